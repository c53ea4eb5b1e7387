//! Tiles for aarch64, whose NEON every processor of the kind has.

use std::arch::aarch64::*;

use super::kernel::{Kernel, Layout, Operands, TileFn, Vector, tables, tile};
use super::peak::{SpinFn, spin};

/// 6 rows of 4 vectors: 24 sums, 4 vectors of B and some of A in 32 registers.
pub(super) static NEON: Kernel = {
    unsafe fn run<const MR: usize, const P: usize, const LAYOUT: bool>(operands: &Operands) {
        // SAFETY: the caller's.
        unsafe { tile::<float32x4_t, MR, P, 4, LAYOUT>(operands) }
    }
    unsafe fn run_spin(rounds: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe { spin::<float32x4_t>(rounds) }
    }
    tables!(run: rows 1 2 3 4 5 6, wide 1 x 4, 2 x 2);
    Kernel {
        name: "NEON",
        available: || true,
        fused: true,
        panel: 16,
        by_rows: BY_ROWS,
        by_columns: BY_COLUMNS,
        wide: WIDE,
        spin: SpinFn { run: run_spin, lanes: 4 },
    }
};

impl Vector for float32x4_t {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, as in all functions below.
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        unsafe { vld1q_dup_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { vst1q_f32(to, self) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { vfmaq_f32(c, self, b) }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {
        // No stable intrinsic; the hardware follows sequential streams by itself.
    }
}
