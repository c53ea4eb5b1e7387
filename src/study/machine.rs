//! What the machine can do at most: the roofs under which a training step and generation run.
//!
//! The roof of arithmetic is `math::matmul::Kernel::peak_gflops`; here is the other one, the speed of
//! memory, by a plain loop that adds up an array: s ← s + x\[i\].

use std::env;
use std::fs;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::math::caches;
use crate::math::simd::vectorised;

/// Speed of reading, all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bandwidth {
    /// Bytes of the last-level cache as the system or the processor tells, else a guess of 32 MiB.
    pub cache_bytes: usize,
    /// 10⁹ bytes a second out of an array half as large as that cache.
    pub cache_gigabytes_per_second: f64,
    /// 10⁹ bytes a second out of an array four times as large.
    pub memory_gigabytes_per_second: f64,
}

impl Bandwidth {
    /// Bytes of memory that are read, all threads together.
    pub(crate) fn bytes() -> u64 {
        4 * caches::last_level() as u64
    }

    /// Measures it on `threads` threads in about a second.
    pub(crate) fn measure(threads: usize) -> Self {
        let cache_bytes = caches::last_level();
        Self {
            cache_bytes,
            cache_gigabytes_per_second: read_speed(cache_bytes / 2, 40, threads),
            memory_gigabytes_per_second: read_speed(cache_bytes * 4, 5, threads),
        }
    }
}

/// The processor's name as Linux tells it, elsewhere its architecture.
pub(crate) fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(env::consts::ARCH, |(_, name)| name.trim()).into()
}

/// As many threads as can run at once: at most one for each processor.
pub(crate) fn threads_at_once(threads: usize) -> usize {
    threads.min(thread::available_parallelism().map_or(1, usize::from))
}

/// 10⁹ bytes a second at which `threads` threads read `bytes` together; the best of `runs`.
fn read_speed(bytes: usize, runs: usize, threads: usize) -> f64 {
    let numbers = bytes / size_of::<f32>() / threads;
    let barrier = Barrier::new(threads);
    let measure = || {
        // Written by the thread that reads it, so that it lies near; and before any clock runs.
        let array = vec![black_box(1.0_f32); numbers];
        let mut best = 0.0_f64;
        for _ in 0..=runs {
            barrier.wait();
            let start = Instant::now();
            black_box(sum(black_box(&array)));
            barrier.wait();
            let read = (numbers * size_of::<f32>() * threads) as f64;
            best = best.max(read / start.elapsed().as_secs_f64() / 1e9);
        }
        best
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(measure);
        }
        measure()
    })
}

/// Σ x, in lanes enough to hide the latency of an addition.
fn sum(array: &[f32]) -> f32 {
    const LANES: usize = 128;
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0; LANES];
            for block in array.chunks_exact(LANES) {
                for (lane, x) in lanes.iter_mut().zip(block) {
                    *lane += x;
                }
            }
            lanes.iter().sum()
        },
    )
}
