//! The memory of a run, told and compared with the machine's before any of it is allocated.

use serde::Serialize;

use crate::error::Result;
use crate::math::sums::Pieces;
use crate::memory;
use crate::model::{Network, Parameters, Together};
use crate::ranks::Shares;
use crate::text::corpus::Corpus;
use crate::train::{LogRow, TrainConfig, Workers};

/// Bytes that a training run takes, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// The weights.
    pub parameters: u64,
    /// Their gradients.
    pub gradients: u64,
    /// Adam's two moments of each.
    pub moments: u64,
    /// The weights' copies in the kernels' layout.
    pub packed: u64,
    /// What the backward pass needs of the forward pass, for all time steps and this rank's rows.
    pub tapes: u64,
    /// The characters of the whole batch and the state that it carries on, with a copy to fall back to and one for
    /// validation.
    pub state: u64,
    /// What the threads copy to sum up the weights' gradients, and sums that wait.
    pub scratch: u64,
    /// Where several ranks train: what is added up of other ranks' gradients at once, and own gradients whose sum is
    /// not to be made before that.
    pub ranks: u64,
    /// The text, as the ids of its characters.
    pub text: u64,
    /// The log's rows at the end of the run. They come one by one, and a run is not refused for them: many have no end
    /// but that somebody stops them.
    pub history: u64,
    /// While a sample is written: the weights packed once more, without their transposes. To save a
    /// checkpoint takes no memory worth counting.
    pub sampling: u64,
    /// Ranks on this machine, each of which takes about as much.
    #[serde(skip)]
    processes: u64,
}

impl Memory {
    /// What training with `config` on `corpus` of `vocabulary` distinct characters takes, in this one of the ranks.
    ///
    /// # Errors
    /// Those of [`TrainConfig::validate`], and if there are more ranks than groups of rows.
    pub fn of(
        config: &TrainConfig,
        corpus: &Corpus,
        vocabulary: usize,
        workers: &Workers,
    ) -> Result<Self> {
        config.validate()?;
        let Workers { threads, ref ranks } = *workers;
        let TrainConfig { batch, unroll, .. } = *config;
        let shares = Shares::new(config.groups_in_use(), ranks.count())?;
        let sizes = config.sizes(vocabulary);
        let (rows, drops_out) = (shares.rows(ranks.rank(), batch).len(), config.keep < 1.0);
        let longest = shares.runs(ranks.rank()).into_iter().max_by_key(ExactSizeIterator::len);
        let pieces = Pieces::new(batch, unroll, shares.groups());
        let pieces = pieces.of_run(longest.expect("each rank has a group"));
        let steps = config.last_step((corpus.len() / (batch * unroll)) as u64);
        let parameters = Parameters::<f32>::bytes(sizes);
        let packed = Network::<f32>::packed_bytes(sizes).saturating_mul(2); // and the transposes
        Ok(Self {
            parameters,
            gradients: parameters,
            moments: parameters.saturating_mul(2),
            packed,
            tapes: Network::<f32>::tape_bytes(sizes, rows, unroll, drops_out),
            state: state_bytes(config),
            scratch: Network::<f32>::scratch_bytes(sizes, pieces, threads),
            ranks: Together::bytes(sizes, &shares, ranks),
            text: corpus.ids().bytes(),
            history: steps.saturating_mul(size_of::<LogRow>() as u64),
            sampling: packed / 2,
            processes: ranks.on_this_machine() as u64,
        })
    }

    /// All of it; `u64::MAX` for as much and more.
    pub fn total(&self) -> u64 {
        let Self { parameters, gradients, moments, packed, tapes, state, scratch, .. } = *self;
        let Self { ranks, text, history, sampling, .. } = *self;
        let weights = memory::sum([parameters, gradients, moments, packed]);
        memory::sum([weights, tapes, state, scratch, ranks, text, history, sampling])
    }

    /// Refuses what there is no memory for, all but the text, which has been read.
    ///
    /// # Errors
    /// [`Error::NoMemory`](crate::error::Error::NoMemory) with both figures.
    pub fn require(&self, config: &TrainConfig) -> Result<()> {
        self.require_beside(self.text, config)
    }

    /// The same where a checkpoint has been loaded, which holds the weights and their moments.
    ///
    /// # Errors
    /// As for [`Memory::require`].
    pub fn require_beside_checkpoint(&self, config: &TrainConfig) -> Result<()> {
        let Self { text, parameters, moments, .. } = *self;
        self.require_beside(memory::sum([text, parameters, moments]), config)
    }

    /// Refuses what there is no memory for; so many bytes of it are there.
    fn require_beside(&self, there: u64, config: &TrainConfig) -> Result<()> {
        let TrainConfig { layers, hidden, batch, unroll, .. } = *config;
        let each = match self.processes {
            1 => String::new(),
            n => format!(" in {n} ranks on this machine"),
        };
        let what = format!(
            "training {layers} x {hidden} cells on batches of {batch} x {unroll} characters{each}"
        );
        // All ask before any takes.
        let total = Self { history: 0, ..*self }.total();
        memory::require(total.saturating_sub(there).saturating_mul(self.processes), what)
    }
}

/// Bytes of the whole batch's characters, in and out, and of h and c in each of three states.
fn state_bytes(config: &TrainConfig) -> u64 {
    let [b, t, h, l] =
        [config.batch, config.unroll, config.hidden, config.layers].map(|n| n as f64);
    let (characters, states) = (2.0 * t * b, 3.0 * 2.0 * l * h * b);
    (characters * size_of::<u32>() as f64 + states * size_of::<f32>() as f64) as u64
}
