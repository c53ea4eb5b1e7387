//! The roof: how many floating-point operations a second the processor can do at all.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::kernel::{Kernel, Vector};

/// Independent chains, enough to hide the latency of two fused multiply-adds a cycle.
const CHAINS: usize = 12;

/// The loop that [`fma_peak_gflops`] times, in a kernel's own vectors.
pub(super) struct SpinFn {
    /// Does so many rounds of `CHAINS` vector multiply-adds.
    pub(super) run: unsafe fn(usize) -> f32,
    /// Numbers in a vector.
    pub(super) lanes: usize,
}

/// Multiply-adds between registers, no memory: what [`SpinFn`] runs.
#[inline(always)]
pub(super) unsafe fn spin<V: Vector>(rounds: usize) -> f32 {
    // SAFETY: the caller vouches for the instruction set; the arrays are as long as a vector.
    unsafe {
        let near_one = black_box(0.999_999_f32);
        let factor = V::splat(&near_one);
        let mut sums = [factor; CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let mut total = sums[0];
        for &sum in &sums[1..] {
            total = total.mul_add(factor, sum);
        }
        let mut lanes = [0.0_f32; 16];
        total.store(lanes.as_mut_ptr());
        black_box(lanes[0])
    }
}

/// GFLOP/s of one thread at the peak: see [`fma_peak_gflops_on`].
pub fn fma_peak_gflops() -> f64 {
    fma_peak_gflops_on(1)
}

/// GFLOP/s that `threads` threads reach together with fused multiply-adds in registers alone, by
/// the kernel in use; the best of some runs. Takes about a tenth of a second.
pub fn fma_peak_gflops_on(threads: usize) -> f64 {
    Kernel::best().peak_gflops(threads)
}

impl Kernel {
    /// [`fma_peak_gflops_on`] for this kernel's vectors.
    ///
    /// # Panics
    /// If this processor cannot run the kernel.
    pub fn peak_gflops(&self, threads: usize) -> f64 {
        const RUNS: usize = 20;
        const ROUNDS: usize = 1_500_000;
        assert!(self.is_available(), "no {} on this processor", self.name);
        let barrier = Barrier::new(threads);
        let flop = (2 * self.spin.lanes * CHAINS * ROUNDS) as f64;
        let measure = || {
            let mut best = 0.0_f64;
            for _ in 0..RUNS {
                // All at once: the slowest counts, as it does in a training step.
                barrier.wait();
                let start = Instant::now();
                // SAFETY: the kernel is available.
                black_box(unsafe { (self.spin.run)(black_box(ROUNDS)) });
                barrier.wait();
                best = best.max(flop * threads as f64 / start.elapsed().as_secs_f64() / 1e9);
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
}
