//! Tiles for aarch64, whose NEON every processor of the kind has.

use std::arch::aarch64::*;

use half::{bf16, f16};

use super::kernel::{Kernel, Tiles, WideTile, kernel};
use super::stored::{F16_SCALE, Stored};
use super::tile::{Layout, Operands, TileFn, spin, tile};
use super::vector::{Vector, vector};

/// 6 rows of 4 vectors: 24 sums, 4 vectors of B and some of A in 32 registers.
pub(super) static NEON: Kernel = kernel!(
    "NEON", float32x4_t, 4 a panel, 24 chains, rows 1 2 3 4 5 6, wide 1 x 4, 1 x 2, 2 x 2; fused true, || true
);

vector! {
    float32x4_t, 4 lanes;
    fn zero() -> Self = vdupq_n_f32(0.0);
    fn load(from: *const f32) -> Self = vld1q_f32(from);
    fn load_f16(from: *const f16) -> Self = {
        // The intrinsics for half precision are not stable yet; `widen_f16` says how this works.
        let bits = vmovl_u16(vld1_u16(from.cast()));
        let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
        let magnitude = vandq_u32(bits, vdupq_n_u32(0x7fff));
        let shifted = vreinterpretq_f32_u32(vshlq_n_u32::<13>(magnitude));
        let scaled = vreinterpretq_u32_f32(vmulq_n_f32(shifted, F16_SCALE));
        let endless = vcgeq_u32(magnitude, vdupq_n_u32(0x7c00));
        let exponent = vandq_u32(endless, vdupq_n_u32(0x7f80_0000));
        vreinterpretq_f32_u32(vorrq_u32(vorrq_u32(scaled, exponent), sign))
    };
    fn load_bf16(from: *const bf16) -> [Self; 2] = {
        let pairs = vreinterpretq_u32_u16(vld1q_u16(from.cast()));
        let lower = vshlq_n_u32::<16>(pairs);
        let upper = vandq_u32(pairs, vdupq_n_u32(0xffff_0000));
        [vreinterpretq_f32_u32(lower), vreinterpretq_f32_u32(upper)]
    };
    fn load_i8(from: *const i8) -> [Self; 2] = {
        let whole = vmovl_s8(vld1_s8(from));
        let lower = vmovl_s16(vget_low_s16(whole));
        let upper = vmovl_high_s16(whole);
        [vcvtq_f32_s32(lower), vcvtq_f32_s32(upper)]
    };
    fn splat(from: *const f32) -> Self = vld1q_dup_f32(from);
    fn store(self, to: *mut f32) = vst1q_f32(to, self);
    fn mul(self, b: Self) -> Self = vmulq_f32(self, b);
    fn mul_add(self, b: Self, c: Self) -> Self = vfmaq_f32(c, self, b);
    fn add(self, b: Self) -> Self = vaddq_f32(self, b);
}
