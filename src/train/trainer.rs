//! The training loop, as an iterator of step reports.

use std::time::Instant;

use ndarray::Array2;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::ThreadPool;

use crate::error::{Error, Result};
use crate::layers::dropout::Dropout;
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::model::{Network, Parameters, Sizes, State};
use crate::optim::adam::Adam;
use crate::optim::clip::clip_by_global_norm;
use crate::text::batches::Batches;
use crate::text::corpus::Corpus;
use crate::text::vocabulary::Vocabulary;
use crate::train::TrainConfig;
use crate::train::checkpoint::Checkpoint;
use crate::train::log::LogRow;
use crate::train::memory::Memory;
use crate::train::threads::thread_pool;

/// Largest norm of gradients whose squares, Adam's second moments, are numbers in f32.
const LARGEST_NORM: f64 = 1e19;

/// Whether an update with gradients of this norm, clipped at `clip`, leaves every number finite.
fn is_usable(loss: f64, norm: f64, clip: f64) -> bool {
    loss.is_finite() && norm.is_finite() && norm.min(clip) <= LARGEST_NORM
}

/// What [`Trainer`] yields for each step.
#[derive(Clone, Copy, Debug, PartialEq)]
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
/// As an iterator it makes one update per item, until the last step that its configuration names.
pub struct Trainer {
    config: TrainConfig,
    vocabulary: Vocabulary,
    text_sha256: [u8; 32],
    batches: Batches,
    pool: ThreadPool,
    network: Network<f32>,
    parameters: Parameters<f32>,
    gradients: Parameters<f32>,
    adam: Adam<f32>,
    state: State<f32>,
    /// The state before the step in work, to fall back to.
    state_before: State<f32>,
    inputs: Array2<u32>,
    targets: Array2<u32>,
    /// Steps made, skipped batches included.
    step: u64,
    /// Full passes made through the text.
    epoch: u64,
    /// Batches of this pass that are behind.
    batch: usize,
    history: Vec<LogRow>,
}

impl Trainer {
    /// A fresh network for `corpus`, on `threads` threads.
    ///
    /// # Errors
    /// A setting out of range, or a text too short for one batch.
    pub fn new(corpus: &Corpus, config: TrainConfig, threads: usize) -> Result<Self> {
        config.validate()?;
        let vocabulary = Vocabulary::from_text(corpus.text());
        let sizes = config.sizes(vocabulary.len());
        Memory::of(&config, corpus, vocabulary.len()).require(&config)?;
        let mut rng = Pcg64::seed_from_u64(config.seed);
        let start = Checkpoint {
            vocabulary: vocabulary.characters().to_vec(),
            text_sha256: corpus.sha256(),
            parameters: Parameters::initial(sizes, config.initialisation, &mut rng),
            adam: Adam::new(config.adam, sizes),
            state: State::zeros(sizes, config.batch),
            step: 0,
            epoch: 0,
            batch: 0,
            history: Vec::new(),
            config,
        };
        Self::from_checkpoint(start, corpus, threads)
    }

    /// Goes on where `checkpoint` stopped: the same bits as if it had never stopped.
    ///
    /// # Errors
    /// If `corpus` is not the text that the checkpoint was trained on.
    pub fn from_checkpoint(
        checkpoint: Checkpoint,
        corpus: &Corpus,
        threads: usize,
    ) -> Result<Self> {
        let Checkpoint { config, vocabulary, text_sha256, .. } = checkpoint;
        assert_eq!(text_sha256, corpus.sha256(), "the caller has compared the texts");
        let vocabulary = Vocabulary::from_sorted(vocabulary)?;
        let ids = vocabulary.encode(corpus.text())?;
        let batches = Batches::new(ids, config.batch, config.unroll, config.validation)?;
        let pool = thread_pool(threads)?;
        let Checkpoint { step, epoch, batch, .. } = checkpoint;
        let count = batches.len();
        let behind = epoch.checked_mul(count as u64).and_then(|n| n.checked_add(batch as u64));
        if batch >= count || behind != Some(step) {
            let reason = format!("step {step} is not batch {batch} of {count} in epoch {epoch}");
            return Err(Error::Mismatch { path: "the checkpoint".into(), reason });
        }
        let sizes = config.sizes(vocabulary.len());
        let shape = (config.unroll, config.batch);
        let shards = pool.current_num_threads();
        let mut trainer = Self {
            network: Network::new(sizes, config.batch, config.unroll, shards),
            gradients: Parameters::zeros(sizes),
            parameters: checkpoint.parameters,
            adam: checkpoint.adam,
            state_before: checkpoint.state.clone(),
            state: checkpoint.state,
            inputs: Array2::zeros(shape),
            targets: Array2::zeros(shape),
            step: checkpoint.step,
            epoch: checkpoint.epoch,
            batch: checkpoint.batch,
            history: checkpoint.history,
            config,
            vocabulary,
            text_sha256,
            batches,
            pool,
        };
        let steps_left = trainer.last_step() - trainer.step.min(trainer.last_step());
        trainer.history.reserve(steps_left.min(ROWS_AHEAD) as usize);
        Ok(trainer)
    }

    /// Everything that [`Trainer::from_checkpoint`] needs to go on from here.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            config: self.config.clone(),
            vocabulary: self.vocabulary.characters().to_vec(),
            text_sha256: self.text_sha256,
            parameters: self.parameters.clone(),
            adam: self.adam.clone(),
            state: self.state.clone(),
            step: self.step,
            epoch: self.epoch,
            batch: self.batch,
            history: self.history.clone(),
        }
    }

    /// The step after which training ends.
    pub fn last_step(&self) -> u64 {
        let all = self.config.epochs.saturating_mul(self.batches.len() as u64);
        self.config.steps.map_or(all, |steps| steps.min(all))
    }

    /// One update. Parameters and state stay as they were if it fails.
    ///
    /// # Errors
    /// [`Error::NotFinite`] if the loss or a gradient is not a number.
    fn update(&mut self) -> Result<StepReport> {
        let start = Instant::now();
        if self.batch == 0 {
            self.state.set_zero();
        }
        self.batches.fill(self.batch, &mut self.inputs, &mut self.targets);
        self.state_before.clone_from(&self.state);
        let dropout = Dropout { keep: self.config.keep, seed: self.config.seed, step: self.step };
        let Self { pool, network, parameters, gradients, adam, state, .. } = self;
        let (inputs, targets, clip) = (self.inputs.view(), self.targets.view(), self.config.clip);
        let handed_over = Instant::now();
        let (loss, norm, busy) = pool.install(|| {
            let start = Instant::now();
            network.pack(parameters);
            let loss =
                network.gradients(gradients, parameters, inputs, targets, state, Some(dropout));
            let norm = network.measure(Phase::Clip, || clip_by_global_norm(gradients, clip));
            if is_usable(loss, norm, clip) {
                network.measure(Phase::Adam, || adam.update(parameters, gradients));
            }
            (loss, norm, start.elapsed())
        });
        let waited = handed_over.elapsed().saturating_sub(busy);
        self.network.add_waiting(waited, self.shards_at_once());
        if !is_usable(loss, norm, clip) {
            self.state.clone_from(&self.state_before);
            return Err(self.not_finite(loss));
        }
        self.count_step();
        let seconds = start.elapsed().as_secs_f64();
        let row = LogRow {
            step: self.step,
            epoch: self.epoch + u64::from(self.batch != 0),
            loss,
            validation: None,
            norm,
            learning_rate: self.adam.config.learning_rate,
            seconds,
        };
        self.history.push(row);
        Ok(StepReport { row, characters_per_second: self.inputs.len() as f64 / seconds })
    }

    /// Leaves out the next batch, as if it had been a step without an update: parameters, moments and
    /// state stay as they are.
    pub fn skip_batch(&mut self) {
        self.count_step();
    }

    /// Moves on to the next batch, after the last one to the next epoch.
    fn count_step(&mut self) {
        self.step += 1;
        self.batch += 1;
        if self.batch == self.batches.len() {
            self.batch = 0;
            self.epoch += 1;
        }
    }

    /// Names the first thing that is not finite.
    fn not_finite(&self, loss: f64) -> Error {
        let names = self.sizes().tensor_names();
        let bad = self.gradients.tensors().position(|t| t.iter().any(|g| !g.is_finite()));
        let what = match bad {
            _ if !loss.is_finite() => "the loss".into(),
            Some(tensor) => format!("the gradient of {}", names[tensor]),
            None => "the square of a gradient".into(),
        };
        let rows = 0..self.config.batch;
        let text = rows.map(|row| self.batches.position(self.batch, row)).collect();
        Error::NotFinite { step: self.step + 1, what, text }
    }

    /// Mean loss in nats over the validation tail, without dropout and from a state of its own; none
    /// if nothing was held back. The last log row takes note of it.
    pub fn validate(&mut self) -> Option<f64> {
        let count = self.batches.validation_len();
        if count == 0 {
            return None;
        }
        let Self { pool, network, parameters, batches, inputs, targets, .. } = self;
        let mut state = State::zeros(network.sizes(), inputs.ncols());
        let sum: f64 = pool.install(|| {
            network.pack(parameters);
            let mut sum = 0.0;
            for k in 0..count {
                batches.fill_validation(k, inputs, targets);
                let (x, y) = (inputs.view(), targets.view());
                sum += network.loss(parameters, x, y, &mut state, None);
            }
            sum
        });
        let validation = sum / count as f64;
        if let Some(row) = self.history.last_mut() {
            row.validation = Some(validation);
        }
        Some(validation)
    }

    /// The run's hyper-parameters.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// V, H and L.
    pub fn sizes(&self) -> Sizes {
        self.network.sizes()
    }

    /// The characters it predicts.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The parameters as they stand.
    pub fn parameters(&self) -> &Parameters<f32> {
        &self.parameters
    }

    /// Steps made, skipped batches included.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Batches of one pass through the text.
    pub fn batches_per_epoch(&self) -> usize {
        self.batches.len()
    }

    /// All log rows since the run began.
    pub fn history(&self) -> &[LogRow] {
        &self.history
    }

    /// How many of the network's shards run side by side.
    pub fn shards_at_once(&self) -> usize {
        self.network.shards().len().min(self.pool.current_num_threads())
    }

    /// Seconds by phase; see [`Network::watch`].
    pub fn watch(&self) -> Stopwatch {
        self.network.watch()
    }
}

impl Iterator for Trainer {
    type Item = Result<StepReport>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.step < self.last_step()).then(|| self.update())
    }
}
