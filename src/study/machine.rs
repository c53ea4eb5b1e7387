//! What the machine can do at most: the roofs under which a training step and generation run.
//!
//! The roof of arithmetic is `math::matmul::Kernel::peak_gflops`; here is the other one, the speed of
//! memory, by a plain loop that adds up an array: s ← s + x\[i\].

use std::env;
use std::fs;
use std::hint::black_box;
use std::thread;

use rayon::ThreadPool;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::math::caches;
use crate::math::simd::vectorised;
use crate::math::stopwatch::fastest_of_all;
use crate::memory;
use crate::train::thread_pool;

/// Speed of reading, all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bandwidth {
    /// Bytes of a last-level cache as the system or the processor tells, else a guess of 32 MiB.
    pub cache_bytes: usize,
    /// 10⁹ bytes a second out of an array half as large as that cache, which every thread reads; 0 where memory has no
    /// room for it.
    pub cache_gigabytes_per_second: f64,
    /// 10⁹ bytes a second out of an array four times as large as all such caches that the threads can fill, of which
    /// each reads a part; 0 where memory has no room for it.
    pub memory_gigabytes_per_second: f64,
}

impl Bandwidth {
    /// Measures it with the threads of `pool`, in about a second for each such cache.
    pub(crate) fn measure(pool: &ThreadPool) -> Self {
        let cache_bytes = caches::last_level();
        let caches = caches::last_levels().min(pool.current_num_threads());
        // Twice, since the system must not fall short of memory only because it is measured.
        let fits = |bytes| memory::available().is_none_or(|free| 2 * bytes as u64 <= free);
        let speed = |bytes, measure: fn(usize, &ThreadPool) -> f64| match fits(bytes) {
            true => measure(bytes, pool),
            false => 0.0,
        };
        Self {
            cache_bytes,
            cache_gigabytes_per_second: speed(cache_bytes / 2, cache_speed),
            memory_gigabytes_per_second: speed(4 * caches * cache_bytes, memory_speed),
        }
    }
}

/// 10⁹ bytes a second at which each thread reads the same `bytes` bytes, often enough for a millisecond or more.
fn cache_speed(bytes: usize, pool: &ThreadPool) -> f64 {
    const RUNS: usize = 40;
    /// Bytes of a run, of each thread: a millisecond even at 100 GB/s.
    const RUN: usize = 128 << 20;
    let array = vec![black_box(1.0_f32); bytes / size_of::<f32>()];
    let times = RUN.div_ceil(bytes);
    let read = |_| (0..times).for_each(|_| _ = black_box(sum(black_box(&array))));
    let seconds = fastest_of_all(pool, RUNS, read);
    (times * bytes * pool.current_num_threads()) as f64 / seconds / 1e9
}

/// 10⁹ bytes a second at which the threads together read `bytes` bytes, each its part.
fn memory_speed(bytes: usize, pool: &ThreadPool) -> f64 {
    const RUNS: usize = 5;
    let numbers = bytes / size_of::<f32>() / pool.current_num_threads();
    // Each written by the thread that reads it, so that it lies near.
    let arrays = pool.broadcast(|_| vec![black_box(1.0_f32); numbers]);
    let read = |thread: usize| _ = black_box(sum(black_box(&arrays[thread])));
    bytes as f64 / fastest_of_all(pool, RUNS, read) / 1e9
}

/// The processor's name as Linux tells it, elsewhere its architecture.
pub(crate) fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or(env::consts::ARCH, |(_, name)| name.trim()).into()
}

/// A pool of as many of `threads` threads as can run at once: at most one for each processor.
pub(crate) fn pool_at_once(threads: usize) -> Result<ThreadPool> {
    thread_pool(threads.min(thread::available_parallelism().map_or(1, usize::from)))
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
