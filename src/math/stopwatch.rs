//! Where the time of a step goes: one counter per phase, read with two clock calls around the work.

use std::time::{Duration, Instant};

use rayon::ThreadPool;

/// The least seconds, of `runs` runs, from the first thread of `pool` that begins `work` to the last that ends it. A run
/// should take so long that waking a thread does not count: a millisecond or more.
///
/// * `work`: gets the thread's number
pub(crate) fn fastest_of_all(pool: &ThreadPool, runs: usize, work: impl Fn(usize) + Sync) -> f64 {
    let run = |_| {
        let times = pool.broadcast(|thread| {
            let start = Instant::now();
            work(thread.index());
            (start, Instant::now())
        });
        let first = times.iter().map(|time| time.0).min();
        let last = times.iter().map(|time| time.1).max();
        first.zip(last).map_or(0.0, |(first, last)| (last - first).as_secs_f64())
    };
    (0..runs).map(run).fold(f64::INFINITY, f64::min)
}

/// The phases of a training step, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// First layer: the input weight's rows are gathered by character.
    Gather,
    /// Higher layers: X·W_ih, for about 100 rows at a time.
    InputMatmul,
    /// h·W_hh, once per time step.
    RecurrentMatmul,
    /// The gates' pass, once per time step.
    Gates,
    /// Masking a layer's output.
    Dropout,
    /// Y·W + b, the logits.
    Projection,
    /// Softmax, loss and the logits' gradient.
    Softmax,
    /// The projection's gradient to its input.
    ProjectionBackward,
    /// The mask applied to the gradient.
    DropoutBackward,
    /// The gates' derivative, once per time step.
    GatesBackward,
    /// dz·W_hhᵀ, once per time step.
    RecurrentBackward,
    /// dZ·W_ihᵀ, for about 100 rows at a time.
    InputBackward,
    /// A shard waits for its thread to wake up, or for the slowest shard: rows do not divide evenly, or another program
    /// took a core.
    Waiting,
    /// Sums over time and rows: every weight's and bias's gradient.
    ParameterGradients,
    /// Waiting for what other ranks have to send, as far as nothing is computed meanwhile.
    Ranks,
    /// The global norm.
    Clip,
    /// Adam's update.
    Adam,
    /// Weights laid out for the matmul kernels.
    Pack,
}

impl Phase {
    /// How many phases there are.
    pub const COUNT: usize = Self::Pack as usize + 1;
    /// All of them in order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Gather,
        Self::InputMatmul,
        Self::RecurrentMatmul,
        Self::Gates,
        Self::Dropout,
        Self::Projection,
        Self::Softmax,
        Self::ProjectionBackward,
        Self::DropoutBackward,
        Self::GatesBackward,
        Self::RecurrentBackward,
        Self::InputBackward,
        Self::Waiting,
        Self::ParameterGradients,
        Self::Ranks,
        Self::Clip,
        Self::Adam,
        Self::Pack,
    ];

    /// The phase's name in a table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gather => "gather",
            Self::InputMatmul => "input matmul",
            Self::RecurrentMatmul => "recurrent matmul",
            Self::Gates => "gates",
            Self::Dropout => "dropout",
            Self::Projection => "projection",
            Self::Softmax => "softmax",
            Self::ProjectionBackward => "projection backward",
            Self::DropoutBackward => "dropout backward",
            Self::GatesBackward => "gates backward",
            Self::RecurrentBackward => "recurrent backward",
            Self::InputBackward => "input backward",
            Self::Waiting => "waiting",
            Self::ParameterGradients => "dW",
            Self::Ranks => "ranks",
            Self::Clip => "clip",
            Self::Adam => "Adam",
            Self::Pack => "pack",
        }
    }

    /// Whether shards go through this phase side by side: its seconds are then a sum over shards, of
    /// which as many pass at once as there are threads. The others are wall time.
    pub const fn is_in_shards(self) -> bool {
        !matches!(
            self,
            Self::ParameterGradients | Self::Ranks | Self::Clip | Self::Adam | Self::Pack
        )
    }
}

/// Seconds and calls per phase. Each shard owns one, so that no thread waits for another's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stopwatch {
    nanoseconds: [u64; Phase::COUNT],
    calls: [u64; Phase::COUNT],
}

impl Stopwatch {
    /// Runs `work` and adds its wall time to `phase`.
    #[inline]
    pub fn measure<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add_time(phase, start.elapsed());
        result
    }

    /// Adds `time` to `phase` as one call.
    #[inline]
    pub fn add_time(&mut self, phase: Phase, time: Duration) {
        self.nanoseconds[phase as usize] += time.as_nanos() as u64;
        self.calls[phase as usize] += 1;
    }

    /// Seconds spent in `phase`.
    pub fn seconds(&self, phase: Phase) -> f64 {
        self.nanoseconds[phase as usize] as f64 * 1e-9
    }

    /// How often `phase` was measured.
    pub fn calls(&self, phase: Phase) -> u64 {
        self.calls[phase as usize]
    }

    /// Adds another stopwatch's figures to this one's.
    pub fn add(&mut self, other: &Self) {
        for k in 0..Phase::COUNT {
            self.nanoseconds[k] += other.nanoseconds[k];
            self.calls[k] += other.calls[k];
        }
    }

    /// What was added to this stopwatch since it read `before`.
    pub fn since(&self, before: &Self) -> Self {
        let difference = |now: &[u64; Phase::COUNT], then: &[u64; Phase::COUNT]| {
            std::array::from_fn(|k| now[k] - then[k])
        };
        Self {
            nanoseconds: difference(&self.nanoseconds, &before.nanoseconds),
            calls: difference(&self.calls, &before.calls),
        }
    }
}
