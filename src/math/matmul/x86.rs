//! Tiles for x86-64: AVX-512 and AVX2 with FMA.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

use super::kernel::{Kernel, Layout, Operands, TileFn, Vector, tables, tile};
use super::peak::{SpinFn, spin};

/// 13 rows of 2 vectors: 26 sums, 2 vectors of B and one of A in 32 registers.
pub(super) static AVX512: Kernel = {
    #[target_feature(enable = "avx512f")]
    unsafe fn run<const MR: usize, const P: usize, const LAYOUT: bool>(operands: &Operands) {
        // SAFETY: the caller's.
        unsafe { tile::<__m512, MR, P, 2, LAYOUT>(operands) }
    }
    #[target_feature(enable = "avx512f")]
    unsafe fn run_spin(rounds: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe { spin::<__m512>(rounds) }
    }
    tables!(run: rows 1 2 3 4 5 6 7 8 9 10 11 12 13, wide 1 x 8, 2 x 4, 3 x 2);
    Kernel {
        name: "AVX-512",
        available: || is_x86_feature_detected!("avx512f"),
        fused: true,
        panel: 32,
        by_rows: BY_ROWS,
        by_columns: BY_COLUMNS,
        wide: WIDE,
        spin: SpinFn { run: run_spin, lanes: 16 },
    }
};

/// 6 rows of 2 vectors: 12 sums, 2 vectors of B and one of A in 16 registers.
pub(super) static AVX2: Kernel = {
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run<const MR: usize, const P: usize, const LAYOUT: bool>(operands: &Operands) {
        // SAFETY: the caller's.
        unsafe { tile::<__m256, MR, P, 2, LAYOUT>(operands) }
    }
    #[target_feature(enable = "avx2,fma")]
    unsafe fn run_spin(rounds: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe { spin::<__m256>(rounds) }
    }
    tables!(run: rows 1 2 3 4 5 6, wide 1 x 4, 2 x 2);
    Kernel {
        name: "AVX2",
        available: || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        fused: true,
        panel: 16,
        by_rows: BY_ROWS,
        by_columns: BY_COLUMNS,
        wide: WIDE,
        spin: SpinFn { run: run_spin, lanes: 8 },
    }
};

impl Vector for __m512 {
    const LANES: usize = 16;
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, as in all functions below.
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        unsafe { _mm512_set1_ps(*from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm512_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { _mm512_fmadd_ps(self, b, c) }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;
    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, as in all functions below.
        unsafe { _mm256_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        unsafe { _mm256_broadcast_ss(&*from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, self) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        unsafe { _mm256_fmadd_ps(self, b, c) }
    }
    #[inline(always)]
    unsafe fn prefetch(address: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
}
