//! Where the time of a training step goes, measured against what the machine can do at most.
//!
//! The steps are a [`Trainer`]'s own, on real text. Other programs disturb a measurement in one direction
//! only, so of everything the best is kept: the fastest step with *its* phases, and the highest of the
//! peaks that are measured between the steps.

use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::math::matmul::{Kernel, Storage};
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::memory;
use crate::model::{Parameters, Sizes};
use crate::optim::schedule::Schedule;
use crate::sample::{Generator, Picker};
use crate::study::machine::{Bandwidth, pool_at_once, processor};
use crate::text::batches::Validation;
use crate::text::corpus::Corpus;
use crate::train::{TrainConfig, Trainer, Workers};

/// How long training steps are measured if nobody says how many: so long, but at least [`FEWEST_STEPS`].
const MEASURE: Duration = Duration::from_secs(3);
/// See [`MEASURE`].
const FEWEST_STEPS: usize = 5;

/// What [`Profile::measure`] finds. Seconds are wall time; GFLOP are 10⁹ operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Profile {
    /// The version of this crate; empty in files that are older than this field.
    #[serde(default)]
    pub version: String,
    /// The processor's name as Linux tells it, elsewhere its architecture; empty in older files.
    #[serde(default)]
    pub processor: String,
    /// The instruction set of the matmul kernel in use.
    pub kernel: String,
    /// Threads that were asked for, of each rank.
    pub threads: usize,
    /// Processes that train together. The phases are those of the first.
    pub ranks: usize,
    /// What the fastest step took to exchange with the other ranks.
    pub exchange: Exchange,
    /// The network's sizes.
    pub sizes: Sizes,
    /// B.
    pub batch: usize,
    /// T.
    pub unroll: usize,
    /// Steps measured.
    pub steps: usize,
    /// Seconds of the fastest step.
    pub step_seconds: f64,
    /// Seconds of the step in the middle: much more than the fastest says that the machine was busy.
    pub median_step_seconds: f64,
    /// What a step computes; see [`Sizes::flop`].
    pub step_gflop: f64,
    /// GFLOP/s of the fastest step.
    pub gflops: f64,
    /// GFLOP/s of fused multiply-adds in registers alone, on as many threads and ranks.
    pub peak_gflops: f64,
    /// `gflops` / `peak_gflops`.
    pub fraction_of_peak: f64,
    /// Characters trained on in a second, in the fastest step.
    pub characters_per_second: f64,
    /// Characters written in a second by a network of these sizes.
    pub sample_characters_per_second: f64,
    /// The same with weights stored in `f16`.
    pub sample_characters_per_second_f16: f64,
    /// The same with weights stored in `bf16`.
    pub sample_characters_per_second_bf16: f64,
    /// The same with weights stored in `i8`.
    #[serde(default)] // older files do not have it
    pub sample_characters_per_second_i8: f64,
    /// The most memory that the process had at once while it trained, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Speed of reading memory.
    pub bandwidth: Bandwidth,
    /// The part of the fastest step that reading the clock took.
    pub clock_share: f64,
    /// Where the fastest step's time went; the seconds sum to `step_seconds`.
    pub phases: Vec<PhaseProfile>,
}

/// One phase of the fastest step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PhaseProfile {
    /// As [`Phase::name`]; "other" is what no phase explains.
    pub name: String,
    /// Calls in the step, all shards together; none for "other".
    pub calls: u64,
    /// Wall time.
    pub seconds: f64,
    /// Part of the step's wall time.
    pub share: f64,
    /// What its matrix products compute; 0 if it has none.
    pub gflop: f64,
    /// GFLOP/s of its matrix products.
    pub gflops: f64,
    /// `gflops` / the peak.
    pub fraction_of_peak: f64,
    /// 10⁹ bytes that its matrix products have to read, at least: see [`bytes`]. 0 if it has none.
    #[serde(default)] // older files do not have it
    pub gigabytes: f64,
}

impl PhaseProfile {
    /// Operations of its matrix products for each byte that they have to read; none without products.
    pub fn operations_per_byte(&self) -> Option<f64> {
        (self.gigabytes > 0.0).then(|| self.gflop / self.gigabytes)
    }

    /// Seconds that this phase takes beyond those that its matrix products would take at the peak.
    pub fn loss(&self, peak_gflops: f64) -> f64 {
        self.seconds - self.gflop / peak_gflops
    }
}

impl Profile {
    /// 10⁹ FLOP/s that the processors of one rank can reach, of which the phases are.
    pub fn peak_of_rank(&self) -> f64 {
        self.peak_gflops / self.ranks as f64
    }

    /// Whether the machine was busy with other work too: the median step took over 1.15 times as long as the fastest,
    /// which on a quiet machine it does not.
    pub fn was_disturbed(&self) -> bool {
        self.median_step_seconds > 1.15 * self.step_seconds
    }

    /// The whole step as if it were one phase; its operations are those of all ranks, its bytes those of the first.
    pub fn whole_step(&self) -> PhaseProfile {
        PhaseProfile {
            name: "the step".into(),
            calls: 1,
            seconds: self.step_seconds,
            share: 1.0,
            gflop: self.step_gflop,
            gflops: self.gflops,
            fraction_of_peak: self.fraction_of_peak,
            gigabytes: self.phases.iter().map(|phase| phase.gigabytes).sum(),
        }
    }

    /// Trains a network of `config` on `corpus` for some steps and lets it write.
    ///
    /// * `steps`: how many steps are measured; without, as many as three seconds hold but at least five
    ///
    /// # Errors
    /// [`Error::Setting`] for 0 steps; those of [`Trainer::new`], a loss that is not finite, and what there is too little
    /// memory for.
    pub fn measure(
        corpus: &Corpus,
        config: TrainConfig,
        workers: impl Into<Workers>,
        steps: Option<usize>,
    ) -> Result<Self> {
        Error::require(steps != Some(0), "steps", 0, "at least 1")?;
        let config = endless(config);
        let mut trainer = Trainer::new(corpus, config, workers)?;
        let threads = trainer.workers().threads;
        let at_once = pool_at_once(threads)?;
        let mut peak_gflops = 0.0_f64;
        let start = Instant::now();
        let mut measured = Vec::new();
        timed_step(&mut trainer)?; // the first one allocates
        let sizes = trainer.sizes();
        let writers = Storage::ALL.len() as u64 * Generator::<f32>::bytes(sizes, 1);
        let what = format!("the profile of {} x {} cells", sizes.layers, sizes.hidden);
        memory::require(writers, what)?; // what is allocated after the steps
        if let Some(steps) = steps {
            memory::reserve(&mut measured, steps, format_args!("timing {steps} steps"))?;
        }
        while match steps {
            Some(steps) => measured.len() < steps,
            None => measured.len() < FEWEST_STEPS || start.elapsed() < MEASURE,
        } {
            measured.push(timed_step(&mut trainer)?);
            if measured.len() <= 2 * FEWEST_STEPS {
                peak_gflops = peak_gflops.max(Kernel::best().peak_gflops(&at_once));
            }
        }
        let peak_rss_bytes = memory::peak();
        measured.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let speeds = writing_speeds(trainer.parameters(), threads)?;
        let bandwidth = Bandwidth::measure(&at_once);
        let machine = (peak_gflops, peak_rss_bytes, bandwidth);
        Ok(Self::of_steps(&measured, &trainer, speeds, machine))
    }

    /// All that steps tell, of which the fastest comes first, with the speeds of writing in f32, f16, bf16 and i8.
    fn of_steps(
        measured: &[TimedStep],
        trainer: &Trainer,
        writing: [f64; 4],
        (peak_of_rank, peak_rss_bytes, bandwidth): (f64, Option<u64>, Bandwidth),
    ) -> Self {
        let step = &measured[0];
        let (config, sizes) = (trainer.config(), trainer.sizes());
        let Workers { threads, ref ranks } = *trainer.workers();
        let peak_gflops = ranks.count() as f64 * peak_of_rank;
        let positions = config.batch * config.unroll;
        let step_gflop = sizes.flop(positions) / 1e9;
        let gflops = step_gflop / step.seconds;
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            processor: processor(),
            kernel: Kernel::best().name().into(),
            threads,
            ranks: ranks.count(),
            exchange: step.exchange(),
            sizes,
            batch: config.batch,
            unroll: config.unroll,
            steps: measured.len(),
            step_seconds: step.seconds,
            median_step_seconds: measured[measured.len() / 2].seconds,
            step_gflop,
            gflops,
            peak_gflops,
            fraction_of_peak: gflops / peak_gflops,
            characters_per_second: positions as f64 / step.seconds,
            sample_characters_per_second: writing[0],
            sample_characters_per_second_f16: writing[1],
            sample_characters_per_second_bf16: writing[2],
            sample_characters_per_second_i8: writing[3],
            peak_rss_bytes,
            bandwidth,
            clock_share: step.clock_share(trainer.shards_at_once()),
            phases: phases(step, trainer, peak_of_rank),
        }
    }
}

/// `config` without an end and without a tail held back: it is measured, not trained.
pub(super) fn endless(config: TrainConfig) -> TrainConfig {
    let schedule = Schedule::default();
    TrainConfig { epochs: u64::MAX, steps: None, schedule, validation: Validation::None, ..config }
}

/// One step's wall time and where it went.
pub(super) struct TimedStep {
    pub(super) seconds: f64,
    /// How long messages were on their way.
    exchanged: f64,
    pub(super) watch: Stopwatch,
}

/// Makes one update.
pub(super) fn timed_step(trainer: &mut Trainer) -> Result<TimedStep> {
    let before = (trainer.watch(), trainer.workers().ranks.time());
    let report = trainer.next().expect("an endless run")?;
    Ok(TimedStep {
        seconds: report.row.seconds,
        exchanged: (trainer.workers().ranks.time() - before.1).as_secs_f64(),
        watch: trainer.watch().since(&before.0),
    })
}

/// A step's exchange with other ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exchange {
    /// Seconds from the first message to the last, waiting for slower ranks included.
    pub seconds: f64,
    /// Seconds of these in which nothing was computed.
    pub waited: f64,
}

impl Exchange {
    /// The part of the exchange that took place while something was computed.
    pub fn overlap(&self) -> f64 {
        if self.seconds > 0.0 { (1.0 - self.waited / self.seconds).max(0.0) } else { 0.0 }
    }
}

impl TimedStep {
    /// The step's exchange.
    pub(super) fn exchange(&self) -> Exchange {
        Exchange { seconds: self.exchanged, waited: self.watch.seconds(Phase::Ranks) }
    }

    /// Wall time of a phase: what shards do side by side counts once.
    pub(super) fn wall_seconds(&self, phase: Phase, shards_at_once: usize) -> f64 {
        let at_once = if phase.is_in_shards() { shards_at_once } else { 1 };
        self.watch.seconds(phase) / at_once as f64
    }

    /// The part of the step that its measurement took, by the price of a measurement of nothing.
    fn clock_share(&self, shards_at_once: usize) -> f64 {
        const TRIALS: u32 = 10_000;
        let mut watch = Stopwatch::default();
        let start = Instant::now();
        for _ in 0..TRIALS {
            watch.measure(Phase::Gates, || std::hint::black_box(()));
        }
        let price = start.elapsed().as_secs_f64() / f64::from(TRIALS);
        let calls: u64 = Phase::ALL.iter().map(|&phase| self.watch.calls(phase)).sum();
        price * calls as f64 / shards_at_once as f64 / self.seconds
    }
}

/// The phases that occurred, and in the end what they leave unexplained.
fn phases(step: &TimedStep, trainer: &Trainer, peak_gflops: f64) -> Vec<PhaseProfile> {
    let (config, sizes) = (trainer.config(), trainer.sizes());
    let profile = |name: &str, calls, seconds: f64, gflop, gigabytes| {
        let gflops = if gflop > 0.0 { gflop / seconds } else { 0.0 };
        let (share, fraction_of_peak) = (seconds / step.seconds, gflops / peak_gflops);
        let name = name.into();
        PhaseProfile { name, calls, seconds, share, gflop, gflops, fraction_of_peak, gigabytes }
    };
    let seen = Phase::ALL.into_iter().filter(|&phase| step.watch.calls(phase) > 0);
    let mut phases: Vec<_> = seen
        .map(|phase| {
            let seconds = step.wall_seconds(phase, trainer.shards_at_once());
            let (calls, positions) = (step.watch.calls(phase), trainer.rows() * config.unroll);
            let gflop = flop(phase, sizes, positions) / 1e9;
            let gigabytes = bytes(phase, sizes, positions, calls) / 1e9;
            profile(phase.name(), calls, seconds, gflop, gigabytes)
        })
        .collect();
    let explained: f64 = phases.iter().map(|phase| phase.seconds).sum();
    phases.push(profile("other", 0, step.seconds - explained, 0.0, 0.0));
    phases
}

/// Floating-point operations of a phase's matrix products on `positions` = B·T characters, each
/// product of [B·T, K] with [K, N] being 2·B·T·K·N; all together [`Sizes::flop`].
pub fn flop(phase: Phase, sizes: Sizes, positions: usize) -> f64 {
    let [n, v, h, l] =
        [positions, sizes.vocabulary, sizes.hidden, sizes.layers].map(|size| size as f64);
    let input = (l - 1.0) * 2.0 * n * h * 4.0 * h;
    let recurrent = l * 2.0 * n * h * 4.0 * h;
    let projection = 2.0 * n * h * v;
    match phase {
        Phase::InputMatmul | Phase::InputBackward => input,
        Phase::RecurrentMatmul | Phase::RecurrentBackward => recurrent,
        Phase::Projection | Phase::ProjectionBackward => projection,
        Phase::ParameterGradients => input + recurrent + projection,
        _ => 0.0,
    }
}

/// Bytes that a phase's matrix products have to read on `positions` = B·T characters in so many `calls`, at least:
/// in each call every number of A and B once, and of C where the product is added to it; in dW every number of X and
/// dZ once. What a call reads again, copies or writes is not counted, and where the bytes come from does not matter.
pub fn bytes(phase: Phase, sizes: Sizes, positions: usize, calls: u64) -> f64 {
    let [n, v, h, l] =
        [positions, sizes.vocabulary, sizes.hidden, sizes.layers].map(|size| size as f64);
    let calls = calls as f64;
    // The weights in each call; A's row for each position, H, 4H or V numbers. The recurrent products are added to z
    // and dh, the others start from a bias or from zero.
    let numbers = match phase {
        Phase::InputMatmul => calls * 4.0 * h * h + (l - 1.0) * n * h,
        Phase::InputBackward => calls * 4.0 * h * h + (l - 1.0) * n * 4.0 * h,
        Phase::RecurrentMatmul | Phase::RecurrentBackward => calls * 4.0 * h * h + l * n * 5.0 * h,
        Phase::Projection => calls * h * v + n * h,
        Phase::ProjectionBackward => calls * h * v + n * v,
        // dZ and h of every layer, x above the first; y and dlogits.
        Phase::ParameterGradients => n * (l * 5.0 * h + (l - 1.0) * h) + n * (h + v),
        _ => 0.0,
    };
    size_of::<f32>() as f64 * numbers
}

/// Characters a second of one text that is written as `karenina sample` writes it, for each of
/// [`Storage::ALL`]; the best of some rounds of less than a tenth of a second, alternating.
fn writing_speeds(
    parameters: &Parameters<f32>,
    threads: usize,
) -> Result<[f64; Storage::ALL.len()]> {
    const ROUNDS: usize = 5;
    const ROUND: Duration = Duration::from_millis(60);
    let mut generators = Vec::new();
    for weights in Storage::ALL {
        generators.push(Generator::stored_in(parameters, 1, weights)?.on_threads(threads));
    }
    let (picker, mut rng) = (Picker::default(), Pcg64::seed_from_u64(0));
    let mut round = |generator: &mut Generator<f32>| {
        let (start, mut count, mut character) = (Instant::now(), 0, 0);
        while start.elapsed() < ROUND {
            character = picker.pick(generator.step(&[character]).row(0), &mut rng);
            count += 1;
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    };
    let mut best = [0.0_f64; Storage::ALL.len()];
    for _ in 0..ROUNDS {
        for (best, generator) in best.iter_mut().zip(&mut generators) {
            *best = best.max(round(generator));
        }
    }
    Ok(best)
}
