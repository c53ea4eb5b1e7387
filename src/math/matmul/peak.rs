//! The roof: how many floating-point operations a second the processor can do at all.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use super::kernel::Kernel;
use super::tile::CHAINS;

impl Kernel {
    /// GFLOP/s that `threads` threads reach together with multiply-adds in registers alone; the best of some runs.
    /// Takes about a tenth of a second.
    ///
    /// # Panics
    /// If this processor cannot run the kernel.
    pub fn peak_gflops(&self, threads: usize) -> f64 {
        const RUNS: usize = 20;
        const ROUNDS: usize = 1_500_000;
        assert!(self.is_available(), "no {} on this processor", self.name);
        let barrier = Barrier::new(threads);
        let flop = (2 * self.lanes * CHAINS * ROUNDS) as f64;
        let measure = || {
            let mut best = 0.0_f64;
            for _ in 0..RUNS {
                // All at once: the slowest counts, as it does in a training step.
                barrier.wait();
                let start = Instant::now();
                // SAFETY: the kernel is available.
                black_box(unsafe { (self.spin)(black_box(ROUNDS)) });
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
