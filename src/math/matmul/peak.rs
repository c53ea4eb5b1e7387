//! The roof: how many floating-point operations a second the processor can do at all.

use std::hint::black_box;

use rayon::ThreadPool;

use super::kernel::Kernel;
use crate::math::stopwatch::fastest_of_all;

impl Kernel {
    /// GFLOP/s that the threads of `pool` reach together with multiply-adds in registers alone; the best of some runs,
    /// in which the slowest thread counts, as it does in a training step. Takes about a tenth of a second.
    ///
    /// # Panics
    /// If this processor cannot run the kernel.
    pub fn peak_gflops(&self, pool: &ThreadPool) -> f64 {
        const RUNS: usize = 20;
        /// Multiply-adds of a vector: some milliseconds.
        const COUNT: usize = 18_000_000;
        assert!(self.is_available(), "no {} on this processor", self.name);
        let rounds = COUNT / self.chains;
        // SAFETY: the kernel is available.
        let spin = |_| unsafe { _ = black_box((self.spin)(black_box(rounds))) };
        let seconds = fastest_of_all(pool, RUNS, spin);
        let of_a_thread = 2 * self.lanes * self.chains * rounds;
        (of_a_thread * pool.current_num_threads()) as f64 / seconds / 1e9
    }
}
