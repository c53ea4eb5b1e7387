//! What a run will take, before anyone waits for it.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Result;
use crate::math::matmul::Kernel;
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::memory::total;
use crate::model::Sizes;
use crate::study::machine::pool_at_once;
pub use crate::study::profile::Exchange;
use crate::study::profile::{endless, timed_step};
use crate::text::corpus::Corpus;
use crate::train::checkpoint::Checkpoint;
use crate::train::memory::Memory;
use crate::train::{TrainConfig, Trainer, Workers};

/// How long steps are tried out.
pub(super) const CALIBRATION: Duration = Duration::from_secs(2);
/// How long one of them may take, by a guess of [`GUESS`].
const TRIAL_STEP: f64 = 0.4;
/// The part of the peak that a step is taken to reach when the trial's length is chosen.
pub(super) const GUESS: f64 = 0.7;

/// Steps that are tried out at least: of three, one during which the machine stood still is not the median.
const FEWEST_STEPS: usize = 3;
/// A step without its backward pass takes this part of it.
pub(super) const FORWARD: f64 = 1.0 / 3.0;

/// What [`Plan::new`] finds. A step that is expected to take long is tried out on fewer time steps.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Threads that were asked for, of each rank.
    pub threads: usize,
    /// Processes that train together.
    pub ranks: usize,
    /// What a step takes to exchange with the other ranks.
    pub exchange: Exchange,
    /// The network's sizes.
    pub sizes: Sizes,
    /// B.
    pub batch: usize,
    /// T.
    pub unroll: usize,
    /// Numbers in all weights.
    pub parameters: u64,
    /// Bytes that training takes, in this rank.
    pub memory: Memory,
    /// The memory in bytes that the machine or the container has, where the system tells.
    pub machine_bytes: Option<u64>,
    /// What a step computes, in 10⁹ operations.
    pub step_gflop: f64,
    /// Batches of one pass through the text.
    pub batches_per_epoch: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Expected seconds of a step: the median of those tried out.
    pub step_seconds: f64,
    /// Expected seconds of one pass through the text.
    pub epoch_seconds: f64,
    /// Expected seconds of the whole run with its validations; saving is not counted.
    pub run_seconds: f64,
    /// Bytes of the last checkpoint's file.
    pub checkpoint_bytes: u64,
    /// Checkpoints that the run will leave, that of step 0 included.
    pub checkpoints: u64,
}

impl Plan {
    /// Tries out `config` on `corpus` for two seconds.
    ///
    /// # Errors
    /// Those of [`Trainer::new`].
    pub fn new(corpus: &Corpus, config: &TrainConfig, workers: impl Into<Workers>) -> Result<Self> {
        config.validate()?;
        let workers = workers.into();
        let vocabulary = corpus.vocabulary();
        let sizes = config.sizes(vocabulary.len());
        let memory = Memory::of(config, corpus, sizes.vocabulary, &workers)?;
        memory.require(config)?;
        let batches = config.batches(corpus.ids().clone())?;
        let batches_per_epoch = batches.len() as u64;
        let steps = config.last_step(batches_per_epoch);
        let (step_seconds, exchange) = calibrate(corpus, config, sizes, &workers, CALIBRATION)?;
        Ok(Self {
            threads: workers.threads,
            ranks: workers.ranks.count(),
            exchange,
            sizes,
            batch: config.batch,
            unroll: config.unroll,
            parameters: sizes.parameters() as u64,
            memory,
            machine_bytes: total(),
            step_gflop: sizes.flop(config.batch * config.unroll) / 1e9,
            batches_per_epoch,
            steps,
            step_seconds,
            epoch_seconds: step_seconds * batches_per_epoch as f64,
            run_seconds: step_seconds * with_validations(config, steps, batches.validation_len()),
            checkpoint_bytes: Checkpoint::file_bytes(vocabulary, sizes, config.batch, steps),
            checkpoints: checkpoints(config, steps, step_seconds),
        })
    }
}

/// So many steps and the validations between them, each of a `tail` of so many batches, in steps that take as long.
fn with_validations(config: &TrainConfig, steps: u64, tail: usize) -> f64 {
    let validations = steps.div_ceil(config.save_every);
    steps as f64 + validations as f64 * tail as f64 * FORWARD
}

/// How many are left after so many steps: those that are due, at most two that the clock has asked for in between, and
/// that of the start.
fn checkpoints(config: &TrainConfig, steps: u64, step_seconds: f64) -> u64 {
    let minutes = config.save_every.min(steps) as f64 * step_seconds / 60.0;
    let by_the_clock = config.save_minutes.map_or(0, |every| (minutes / every) as u64);
    let due = steps.div_ceil(config.save_every);
    due.saturating_add(due.saturating_mul(by_the_clock).min(2)).min(steps).saturating_add(1)
}

/// Seconds of a step of `config`, and of its exchange, as steps show that are tried out for so `long`.
pub(super) fn calibrate(
    corpus: &Corpus,
    config: &TrainConfig,
    sizes: Sizes,
    workers: &Workers,
    long: Duration,
) -> Result<(f64, Exchange)> {
    let guess = GUESS * 1e9 * peak_gflops(workers)?;
    let shortened = TRIAL_STEP * guess / sizes.flop(config.batch);
    // A rank's waiting for a slower one grows with its computing, and cannot be told from the exchange.
    let unroll = match workers.ranks.is_alone() {
        true => (shortened as usize).clamp(1, config.unroll),
        false => config.unroll,
    };
    let mut trainer = Trainer::new(corpus, endless(with_unroll(config, unroll)), workers)?;
    let times = config.unroll as f64 / unroll as f64;
    timed_step(&mut trainer)?; // the first one allocates
    let start = Instant::now();
    let mut steps = Vec::new();
    while steps.len() < FEWEST_STEPS || start.elapsed() < long {
        let step = timed_step(&mut trainer)?;
        steps.push((stretched(step.seconds, &step.watch, times), step.exchange()));
    }
    drop(trainer);
    workers.rest();
    steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(steps[steps.len() / 2])
}

/// `config` with fewer time steps and as many groups of rows: by itself it would have fewer, perhaps fewer than there
/// are ranks.
fn with_unroll(config: &TrainConfig, unroll: usize) -> TrainConfig {
    TrainConfig { unroll, groups: config.groups_in_use(), ..config.clone() }
}

/// GFLOP/s that all ranks' processors can reach, if all are like this one's.
pub(super) fn peak_gflops(workers: &Workers) -> Result<f64> {
    let at_once = pool_at_once(workers.threads)?;
    Ok(workers.ranks.count() as f64 * Kernel::best().peak_gflops(&at_once))
}

/// What a step of so many `seconds` would take with so many times its time steps: what looks at the parameters alone
/// takes no longer.
fn stretched(seconds: f64, watch: &Stopwatch, times: f64) -> f64 {
    let fixed = [Phase::Pack, Phase::Ranks, Phase::Clip, Phase::Adam];
    let fixed: f64 = fixed.into_iter().map(|phase| watch.seconds(phase)).sum();
    fixed + (seconds - fixed) * times
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_of_shorter_steps_has_the_groups_of_the_run() {
        let trial = with_unroll(&TrainConfig::article(), 35);
        assert_eq!((trial.unroll, trial.groups_in_use()), (35, 16));
    }

    #[test]
    fn a_longer_step_takes_longer_but_for_what_looks_at_the_parameters_alone() {
        let mut watch = Stopwatch::default();
        for (n, phase) in Phase::ALL.into_iter().enumerate() {
            watch.add_time(phase, Duration::from_millis(1 << n));
        }
        let of_parameters = [Phase::Pack, Phase::Ranks, Phase::Clip, Phase::Adam];
        let fixed: f64 = of_parameters.map(|phase| watch.seconds(phase)).iter().sum();
        let found = stretched(fixed + 5.0, &watch, 3.0);
        assert!((found - (fixed + 15.0)).abs() < 1e-9, "{found}");
    }

    #[test]
    fn a_run_takes_its_validations_too() {
        let config = TrainConfig { save_every: 200, ..TrainConfig::article() };
        let of = |tail| with_validations(&config, 450, tail);
        assert_eq!([of(0), of(30)], [450.0, 480.0], "after steps 200, 400 and 450");
    }

    #[test]
    fn the_clock_asks_for_as_many_checkpoints_as_there_are_minutes() {
        let with = |save_minutes| TrainConfig { save_minutes, ..TrainConfig::article() };
        // 200 steps of 6 s are 20 minutes.
        let count = |save_minutes| checkpoints(&with(save_minutes), 200, 6.0);
        assert_eq!([None, Some(19.0), Some(21.0), Some(5.0)].map(count), [2, 3, 2, 4]);
    }

    #[test]
    fn the_clock_asks_for_no_checkpoints_between_two_steps() {
        let config = TrainConfig { save_minutes: Some(1e-9), ..TrainConfig::article() };
        assert_eq!(checkpoints(&config, 3, 0.01), 4);
        let config = TrainConfig { save_every: 200, save_minutes: Some(1.0), ..config };
        assert_eq!(checkpoints(&config, 3, 0.01), 2, "it ends within seconds");
    }
}
