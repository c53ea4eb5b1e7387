//! The memory of a run, told and compared with the machine's before any of it is allocated.

use serde::Serialize;

use crate::error::Result;
use crate::memory;
use crate::model::{Network, Parameters, Together};
use crate::ranks::{Ranks, Shares};
use crate::text::corpus::Corpus;
use crate::train::TrainConfig;

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
    /// Where several ranks train: what is added up of other ranks' gradients at once, and own gradients whose sum is
    /// not to be made before that.
    pub ranks: u64,
    /// The text, as the ids of its characters.
    pub text: u64,
    /// While a sample is written: the weights packed once more, without their transposes. To save a
    /// checkpoint takes no memory worth counting.
    pub sampling: u64,
    /// Ranks on this machine, each of which takes about as much.
    #[serde(skip)]
    processes: u64,
}

impl Memory {
    /// What training with `config` on `corpus` of `vocabulary` distinct characters takes, in this one of the `ranks`.
    ///
    /// # Errors
    /// If there are more ranks than groups of rows.
    pub fn of(
        config: &TrainConfig,
        corpus: &Corpus,
        vocabulary: usize,
        ranks: &Ranks,
    ) -> Result<Self> {
        let shares = Shares::new(config.groups_in_use(), ranks.count())?;
        let sizes = config.sizes(vocabulary);
        let (rows, drops_out) = (shares.rows(ranks.rank(), config.batch).len(), config.keep < 1.0);
        let parameters = Parameters::<f32>::bytes(sizes);
        let packed = Network::<f32>::packed_bytes(sizes).saturating_mul(2); // and the transposes
        Ok(Self {
            parameters,
            gradients: parameters,
            moments: parameters.saturating_mul(2),
            packed,
            tapes: Network::<f32>::tape_bytes(sizes, rows, config.unroll, drops_out),
            ranks: Together::bytes(sizes, &shares, ranks),
            text: corpus.ids().bytes(),
            sampling: packed / 2,
            processes: ranks.on_this_machine() as u64,
        })
    }

    /// All of it; `u64::MAX` for as much and more.
    pub fn total(&self) -> u64 {
        let Self { parameters, gradients, moments, packed, tapes, ranks, text, sampling, .. } =
            *self;
        memory::sum([parameters, gradients, moments, packed, tapes, ranks, text, sampling])
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
        memory::require(self.total().saturating_sub(there).saturating_mul(self.processes), what)
    }
}
