//! Tiles for x86-64: AVX-512 and AVX2 with FMA.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::*;

use half::{bf16, f16};

use super::kernel::{Kernel, Tiles, WideTile, kernel};
use super::stored::Stored;
use super::tile::{Layout, Operands, TileFn, spin, tile};
use super::vector::{Vector, vector};

/// 13 rows of 2 vectors: 26 sums, 2 vectors of B and one of A in 32 registers.
pub(super) static AVX512: Kernel = kernel!(
    "AVX-512", __m512, 2 a panel, 12 chains, rows 1 2 3 4 5 6 7 8 9 10 11 12 13, wide 1 x 8, 1 x 4, 2 x 4, 3 x 2, 4 x 2, 5 x 2, 6 x 2;
    fused true, || is_x86_feature_detected!("avx512f"), target_feature(enable = "avx512f")
);

/// 6 rows of 2 vectors: 12 sums, 2 vectors of B and one of A in 16 registers. F16C, which widens f16, is a
/// feature of its own, but every processor with AVX2 has it.
pub(super) static AVX2: Kernel = kernel!(
    "AVX2", __m256, 2 a panel, 12 chains, rows 1 2 3 4 5 6, wide 1 x 4, 1 x 2, 2 x 2;
    fused true, has_avx2, target_feature(enable = "avx2,f16c,fma")
);

fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("fma")
}

/// The second of a pair of `bf16` in a lane of 32 bits.
const UPPER_HALF: i32 = 0xffff_0000_u32.cast_signed();

vector! {
    __m512, 16 lanes;
    fn zero() -> Self = _mm512_setzero_ps();
    fn load(from: *const f32) -> Self = _mm512_loadu_ps(from);
    fn load_f16(from: *const f16) -> Self = _mm512_cvtph_ps(_mm256_loadu_si256(from.cast()));
    fn load_bf16(from: *const bf16) -> [Self; 2] = {
        let pairs = _mm512_loadu_si512(from.cast());
        let lower = _mm512_slli_epi32::<16>(pairs);
        let upper = _mm512_and_si512(pairs, _mm512_set1_epi32(UPPER_HALF));
        [_mm512_castsi512_ps(lower), _mm512_castsi512_ps(upper)]
    };
    fn load_i8(from: *const i8) -> [Self; 2] = {
        let first = _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()));
        let second = _mm512_cvtepi8_epi32(_mm_loadu_si128(from.add(Self::LANES).cast()));
        [_mm512_cvtepi32_ps(first), _mm512_cvtepi32_ps(second)]
    };
    fn splat(from: *const f32) -> Self = _mm512_set1_ps(*from);
    fn store(self, to: *mut f32) = _mm512_storeu_ps(to, self);
    fn mul(self, b: Self) -> Self = _mm512_mul_ps(self, b);
    fn mul_add(self, b: Self, c: Self) -> Self = _mm512_fmadd_ps(self, b, c);
    fn add(self, b: Self) -> Self = _mm512_add_ps(self, b);
    fn prefetch(address: *const u8) = _mm_prefetch::<_MM_HINT_T1>(address.cast());
}

vector! {
    __m256, 8 lanes;
    fn zero() -> Self = _mm256_setzero_ps();
    fn load(from: *const f32) -> Self = _mm256_loadu_ps(from);
    fn load_f16(from: *const f16) -> Self = _mm256_cvtph_ps(_mm_loadu_si128(from.cast()));
    fn load_bf16(from: *const bf16) -> [Self; 2] = {
        let pairs = _mm256_loadu_si256(from.cast());
        let lower = _mm256_slli_epi32::<16>(pairs);
        let upper = _mm256_and_si256(pairs, _mm256_set1_epi32(UPPER_HALF));
        [_mm256_castsi256_ps(lower), _mm256_castsi256_ps(upper)]
    };
    fn load_i8(from: *const i8) -> [Self; 2] = {
        let first = _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast()));
        let second = _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(Self::LANES).cast()));
        [_mm256_cvtepi32_ps(first), _mm256_cvtepi32_ps(second)]
    };
    fn splat(from: *const f32) -> Self = _mm256_broadcast_ss(&*from);
    fn store(self, to: *mut f32) = _mm256_storeu_ps(to, self);
    fn mul(self, b: Self) -> Self = _mm256_mul_ps(self, b);
    fn mul_add(self, b: Self, c: Self) -> Self = _mm256_fmadd_ps(self, b, c);
    fn add(self, b: Self) -> Self = _mm256_add_ps(self, b);
    fn prefetch(address: *const u8) = _mm_prefetch::<_MM_HINT_T1>(address.cast());
}
