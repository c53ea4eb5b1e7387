//! The training loop, as an iterator of step reports.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ndarray::Array2;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::ThreadPool;

use crate::error::{Error, Result};
use crate::layers::dropout::Dropout;
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::model::{Division, Network, Parameters, Sizes, State, Tensor, Together};
use crate::optim::clip::clip_by_global_norm;
use crate::ranks::Shares;
use crate::text::batches::Batches;
use crate::text::corpus::Corpus;
use crate::text::vocabulary::Vocabulary;
use crate::train::checkpoint::Checkpoint;
use crate::train::log::LogRow;
use crate::train::memory::Memory;
use crate::train::threads::thread_pool;
use crate::train::workers::{Order, Workers};
use crate::train::{RunId, TrainConfig};

/// Largest norm of gradients whose squares, Adam's second moments, are numbers in f32.
const LARGEST_NORM: f64 = 1e19;

/// Whether an update with gradients of this norm, clipped at `clip`, leaves every number finite.
fn is_usable(loss: f64, norm: f64, clip: f64) -> bool {
    loss.is_finite() && norm.is_finite() && norm.min(clip) <= LARGEST_NORM
}

/// What `work` gives in `pool`, and how long the pool took to begin it and to hand it back.
fn install<T: Send>(pool: &ThreadPool, work: impl FnOnce() -> T + Send) -> (T, Duration) {
    let start = Instant::now();
    let (result, busy) = pool.install(|| {
        let start = Instant::now();
        (work(), start.elapsed())
    });
    (result, start.elapsed().saturating_sub(busy))
}

/// What [`Trainer`] yields for each step.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// The log's line.
    pub row: LogRow,
    /// Characters trained on in a second.
    pub characters_per_second: f64,
}

/// Rows of the history for which room is made at once, so that no step has to.
const ROWS_AHEAD: u64 = 1 << 14;

/// A network in training.
///
/// As an iterator it makes one update per item, until the last step that its configuration names. After an error it
/// stands where it stood before: the next item would be the same step again and end in the same error, unless
/// [`Trainer::skip_batch`] leaves the batch out.
///
/// ```
/// use karenina::text::corpus::Corpus;
/// use karenina::train::{TrainConfig, Trainer};
///
/// let corpus = Corpus::from_text(&"to and fro ".repeat(10));
/// let config = TrainConfig::builder().hidden(8).batch(2).unroll(5).steps(Some(3)).build()?;
/// let mut trainer = Trainer::new(&corpus, config, 1)?;
/// for report in trainer.by_ref() {
///     let row = report?.row;
///     println!("step {}: loss {:.3}", row.step, row.loss);
/// }
/// assert_eq!((trainer.step(), trainer.history().len()), (3, 3));
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer {
    /// Where the run stands: all that is saved, and nothing else here is needed to go on.
    checkpoint: Checkpoint,
    /// The run's characters, ready to look up.
    batches: Batches,
    workers: Workers,
    pool: ThreadPool,
    network: Network<f32>,
    /// What this rank has of the batch's rows, and what it needs to sum up gradients with the others.
    together: Together,
    gradients: Parameters<f32>,
    /// The state before the step in work, to fall back to.
    state_before: State<f32>,
    inputs: Array2<u32>,
    targets: Array2<u32>,
}

impl Trainer {
    /// A fresh network for `corpus`, on a number of threads, or together with other ranks, which follow
    /// ([`Workers::follow`]); only rank 0 has a trainer of its own.
    ///
    /// # Errors
    /// [`Error::Setting`] for a setting or a number of threads out of range and for more ranks than groups of rows;
    /// [`Error::TextTooShort`]; [`Error::NoMemory`]; [`Error::Threads`]; [`Error::Rank`] if another rank cannot take part.
    pub fn new(corpus: &Corpus, config: TrainConfig, workers: impl Into<Workers>) -> Result<Self> {
        config.validate()?;
        let workers = workers.into();
        let sizes = config.sizes(corpus.vocabulary().len());
        Memory::of(&config, corpus, sizes.vocabulary, &workers)?.require(&config)?;
        config.batches(corpus.ids().clone())?; // a text of no characters has no network either
        let mut rng = Pcg64::seed_from_u64(config.seed);
        let mut parameters = Parameters::initial(sizes, config.initialisation, &mut rng);
        if let Some(sd) = config.input_sd {
            parameters.set_input_weights(sd, &mut rng);
        }
        parameters.set_forget_bias(config.forget_bias);
        Self::start(parameters, corpus, config, workers)
    }

    /// Fine-tuning: a new run for `corpus` that starts with the network of `model`. The run knows the characters
    /// of both: one that the network has never seen starts as [`Parameters::with_characters`] says. Moments and
    /// state start at zero, and whether its cells are normalised is the model's choice, not `config`'s. A corpus that is
    /// [`in_terms_of`](Corpus::in_terms_of) these characters is not copied.
    ///
    /// # Errors
    /// [`Error::Setting`] if `config` has other sizes than the network, and as [`Trainer::new`].
    pub fn fine_tuning(
        model: &Checkpoint,
        corpus: &Corpus,
        config: TrainConfig,
        workers: impl Into<Workers>,
    ) -> Result<Self> {
        config.validate()?;
        let workers = workers.into();
        let Sizes { hidden, layers, .. } = model.sizes();
        let sizes = [("hidden", config.hidden, hidden), ("layers", config.layers, layers)];
        for (name, found, given) in sizes {
            let expected = format!("{given}, as in the network that it starts with");
            Error::require(found == given, name, found, expected)?;
        }
        let known = &model.vocabulary;
        let vocabulary = corpus.vocabulary().union(known);
        Memory::of(&config, corpus, vocabulary.len(), &workers)?.require(&config)?;
        let characters = vocabulary.characters().iter();
        let old: Vec<_> = characters.map(|&c| known.id(c).map(|id| id as usize)).collect();
        let parameters = model.parameters.with_characters(&old);
        let corpus = corpus.clone().in_terms_of(&vocabulary)?;
        Self::start(parameters, &corpus, config, workers)
    }

    /// A run's first step, with `parameters` over the characters of `corpus`.
    fn start(
        parameters: Parameters<f32>,
        corpus: &Corpus,
        config: TrainConfig,
        workers: Workers,
    ) -> Result<Self> {
        let vocabulary = corpus.vocabulary().clone();
        let mut start = Checkpoint::without_history(config, vocabulary, parameters);
        start.text_sha256 = corpus.sha256();
        Self::from_checkpoint(start, corpus, workers)
    }

    /// Continues where `checkpoint` stopped, with the same bits as if it had never stopped. What its `config` says of the
    /// optimiser counts from here on, so a rate or a decay may be changed there.
    ///
    /// # Errors
    /// [`Error::OtherText`] if `corpus` is not the text that the checkpoint was trained on, [`Error::Mismatch`] if its
    /// place in it does not exist or its configuration names another network or batch than it holds,
    /// [`Error::UnknownCharacter`] if its vocabulary lacks a character of it; otherwise as [`Trainer::new`], but memory is
    /// only checked for a copy of the ids, where one is made.
    pub fn from_checkpoint(
        checkpoint: Checkpoint,
        corpus: &Corpus,
        workers: impl Into<Workers>,
    ) -> Result<Self> {
        let workers = workers.into();
        workers.begin(&checkpoint);
        Self::take_part(Ok(checkpoint), corpus, workers)
    }

    /// [`Trainer::from_checkpoint`] in each rank, once all have the checkpoint: either all train, or none.
    pub(super) fn take_part(
        checkpoint: Result<Checkpoint>,
        corpus: &Corpus,
        workers: Workers,
    ) -> Result<Self> {
        let ranks = workers.ranks.clone();
        let checkpoint = ranks.agree(checkpoint)?; // all have asked for memory before one takes it
        ranks.agree(Self::build(checkpoint, corpus, workers))
    }

    fn build(mut checkpoint: Checkpoint, corpus: &Corpus, workers: Workers) -> Result<Self> {
        let path = PathBuf::from("the checkpoint");
        checkpoint.config.validate()?;
        if !checkpoint.is_consistent() {
            let reason = "its configuration names another network or batch than it holds".into();
            return Err(Error::Mismatch { path, reason });
        }
        let rate = checkpoint.adam.config.learning_rate; // of the last update, whatever the next one's is
        checkpoint.adam.config = checkpoint.config.adam.with_learning_rate(rate);
        if checkpoint.text_sha256 != corpus.sha256() {
            return Err(Error::OtherText { path });
        }
        let config = &checkpoint.config;
        let vocabulary = &checkpoint.vocabulary;
        let ids = corpus.clone().in_terms_of(vocabulary)?.ids().clone(); // shared, not copied
        let batches = config.batches(ids)?;
        let pool = thread_pool(workers.threads)?;
        let Checkpoint { step, epoch, batch, .. } = checkpoint;
        let count = batches.len();
        let behind = epoch.checked_mul(count as u64).and_then(|n| n.checked_add(batch as u64));
        if batch >= count || behind != Some(step) {
            let reason = format!("step {step} is not batch {batch} of {count} in epoch {epoch}");
            return Err(Error::Mismatch { path, reason });
        }
        let sizes = config.sizes(vocabulary.len());
        let shape = (config.unroll, config.batch);
        let (ranks, threads) = (&workers.ranks, pool.current_num_threads());
        let shares = Shares::new(config.groups_in_use(), ranks.count())?;
        let share = (shares, ranks.rank());
        let rows = shares.rows(ranks.rank(), config.batch).len();
        let division = Division::new(sizes.hidden, rows, threads);
        let mut trainer = Self {
            network: Network::on_rank(sizes, (config.batch, config.unroll), share, division),
            together: Together::new(ranks.clone(), shares, sizes, config.batch),
            gradients: Parameters::zeros(sizes),
            state_before: checkpoint.state.clone(),
            inputs: Array2::zeros(shape),
            targets: Array2::zeros(shape),
            checkpoint,
            batches,
            workers,
            pool,
        };
        let steps_left = trainer.last_step().saturating_sub(step);
        trainer.checkpoint.history.reserve(steps_left.min(ROWS_AHEAD) as usize);
        Ok(trainer)
    }

    /// Notes in every checkpoint why the configuration is what it is.
    pub fn chosen_because(mut self, choice: String) -> Self {
        self.checkpoint.choice = choice;
        self
    }

    /// Everything that [`Trainer::from_checkpoint`] needs to go on from here; where other ranks have some of the rows,
    /// after [`Trainer::gather_state`].
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Makes this the trainer of `run`: every checkpoint says so from now on.
    pub(crate) fn belong_to(&mut self, run: RunId) {
        self.checkpoint.run = Some(run);
    }

    /// The step after which training ends.
    pub fn last_step(&self) -> u64 {
        self.checkpoint.config.last_step(self.batches.len() as u64)
    }

    /// Whether a run validates and saves after the step just made.
    pub(super) fn is_due(&self) -> bool {
        self.config().is_due(self.step(), self.batches.len() as u64)
    }

    /// Whether a part of the text is held back to validate with.
    pub(super) fn validates(&self) -> bool {
        self.batches.validation_len() > 0
    }

    /// Whether a run validates after the step just made, and has not done so yet, as when it was interrupted.
    pub fn lacks_validation(&self) -> bool {
        let is_lacking = self.history().last().is_some_and(|row| row.validation.is_none());
        self.validates() && self.is_due() && is_lacking
    }

    /// Collects the state of all rows in rank 0.
    pub fn gather_state(&mut self) {
        self.workers.lead(Order::Gather);
        let Checkpoint { state, .. } = &mut self.checkpoint;
        self.together.gather(state);
    }

    /// One update. All ranks take part. Parameters and state stay as they were if it fails, with
    /// [`Error::NotFinite`] if the loss or a gradient is not a number.
    pub(super) fn update(&mut self) -> Result<StepReport> {
        let start = Instant::now();
        if self.checkpoint.batch == 0 {
            self.checkpoint.state.set_zero();
        }
        self.batches.fill(self.checkpoint.batch, &mut self.inputs, &mut self.targets);
        self.state_before.clone_from(&self.checkpoint.state);
        let Self { checkpoint, pool, network, together, gradients, .. } = self;
        let Checkpoint { config, parameters, adam, state, step, .. } = checkpoint;
        let learning_rate = config.adam.learning_rate * config.schedule.factor(*step); // Eq. U7
        let dropout = Dropout { keep: config.keep, seed: config.seed, step: *step };
        let batch = (self.inputs.view(), self.targets.view(), Some(dropout));
        let ((loss, norm, is_usable), waited) = install(pool, || {
            let loss = network.gradients_together(together, gradients, parameters, batch, state);
            let norm = network.measure(Phase::Clip, || clip_by_global_norm(gradients, config.clip));
            let is_usable = is_usable(loss, norm, config.clip);
            if is_usable {
                adam.config.learning_rate = learning_rate;
                network.measure(Phase::Adam, || adam.update(parameters, gradients));
            }
            (loss, norm, is_usable)
        });
        self.network.add_waiting(waited, self.shards_at_once());
        if !is_usable {
            self.checkpoint.state.clone_from(&self.state_before);
            return Err(self.not_finite(loss));
        }
        self.count_step();
        let Checkpoint { step, epoch, batch, .. } = self.checkpoint;
        let seconds = start.elapsed().as_secs_f64();
        let row = LogRow {
            step,
            epoch: epoch + u64::from(batch != 0), // counted from 1; after a pass's last batch it is counted already
            loss,
            validation: None,
            norm,
            learning_rate,
            seconds,
        };
        self.checkpoint.history.push(row);
        Ok(StepReport { row, characters_per_second: self.inputs.len() as f64 / seconds })
    }

    /// Leaves out the next batch, as if it had been a step without an update: parameters, moments and
    /// state stay as they are.
    pub fn skip_batch(&mut self) {
        self.workers.lead(Order::Skip);
        self.count_step();
    }

    /// Moves on to the next batch, after the last one to the next epoch.
    fn count_step(&mut self) {
        let Checkpoint { step, epoch, batch, .. } = &mut self.checkpoint;
        *step += 1;
        *batch += 1;
        if *batch == self.batches.len() {
            *batch = 0;
            *epoch += 1;
        }
    }

    /// Names the first thing that is not finite.
    fn not_finite(&self, loss: f64) -> Error {
        let is_bad = |tensor: &Tensor| {
            self.gradients.numbers()[tensor.range.clone()].iter().any(|g| !g.is_finite())
        };
        let what = match self.sizes().tensors().find(is_bad) {
            _ if !loss.is_finite() => "the loss".into(),
            Some(tensor) => format!("the gradient of {}", tensor.name),
            None => "the square of a gradient".into(),
        };
        let &Checkpoint { ref config, step, batch, .. } = &self.checkpoint;
        let text = (0..config.batch).map(|row| self.batches.position(batch, row)).collect();
        Error::NotFinite { step: step + 1, what, text }
    }

    /// Mean loss in nats over the validation tail, without dropout and from a state of its own; none
    /// if nothing was held back, or the [ranks](crate::ranks::Ranks::ask_to_stop) are asked to stop before its end. The last
    /// log row records it, if it is finite.
    pub fn validate(&mut self) -> Option<f64> {
        if !self.validates() {
            return None;
        }
        self.workers.lead(Order::Validate);
        let Self { checkpoint, workers, pool, network, together, batches, inputs, targets, .. } =
            self;
        let parameters = &checkpoint.parameters;
        let mut state = State::zeros(network.sizes(), inputs.ncols());
        let count = batches.validation_len();
        let sum = pool.install(|| {
            let mut prepared = network.prepare(parameters);
            let mut sum = 0.0;
            for k in 0..count {
                if workers.are_told_to_stop() {
                    return None;
                }
                batches.fill_validation(k, inputs, targets);
                let (x, y) = (inputs.view(), targets.view());
                sum += prepared.loss_together(together, x, y, &mut state);
            }
            Some(sum)
        })?;
        let validation = sum / count as f64;
        if let Some(row) = self.checkpoint.history.last_mut() {
            row.validation = Some(validation).filter(|loss| loss.is_finite());
        }
        Some(validation)
    }

    /// The run's hyper-parameters.
    pub fn config(&self) -> &TrainConfig {
        &self.checkpoint.config
    }

    /// The network's sizes.
    pub fn sizes(&self) -> Sizes {
        self.network.sizes()
    }

    /// The characters it predicts.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.checkpoint.vocabulary
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &Parameters<f32> {
        &self.checkpoint.parameters
    }

    /// Steps made, skipped batches included.
    pub fn step(&self) -> u64 {
        self.checkpoint.step
    }

    /// Batches of one pass through the text.
    pub fn batches_per_epoch(&self) -> usize {
        self.batches.len()
    }

    /// All log rows since the run began.
    pub fn history(&self) -> &[LogRow] {
        &self.checkpoint.history
    }

    /// Rows of the batch that this rank has.
    pub(crate) fn rows(&self) -> usize {
        self.network.shards().iter().map(|shard| shard.range.len()).sum()
    }

    /// Who trains.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// How many of the network's shards run side by side.
    pub(crate) fn shards_at_once(&self) -> usize {
        self.network.shards().len().min(self.pool.current_num_threads())
    }

    /// Seconds by phase; see [`Network::watch`].
    pub(crate) fn watch(&self) -> Stopwatch {
        self.network.watch()
    }
}

impl Iterator for Trainer {
    type Item = Result<StepReport>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.checkpoint.step < self.last_step()).then(|| {
            self.workers.lead(Order::Step);
            self.update()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_usable;

    #[test]
    fn what_makes_an_update_that_leaves_no_number_finite_is_not_used() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for (loss, norm, clip, expected) in [
            (1.0, 2.0, 5.0, true),
            (nan, 2.0, 5.0, false),
            (inf, 2.0, 5.0, false),
            (1.0, nan, 5.0, false),
            (1.0, inf, 5.0, false),
            // As long as it is clipped, a norm may be large.
            (1.0, 1e30, 5.0, true),
            (1.0, 1e30, inf, false),
            (1.0, 1e30, 1e20, false),
            (1.0, 1e19, inf, true),
            (1.0, 1.1e19, inf, false),
        ] {
            assert_eq!(is_usable(loss, norm, clip), expected, "{loss} {norm} {clip}");
        }
    }
}
