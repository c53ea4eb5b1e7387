//! Tiles in plain Rust: four lanes, which every compiler makes one register.

use half::{bf16, f16};

use super::kernel::{Kernel, Tiles, WideTile, kernel};
use super::stored::{Stored, widen_f16};
use super::tile::{Layout, Operands, TileFn, spin, tile};
use super::vector::Vector;

/// FUSED: with one rounding, which without FMA hardware would be a slow call.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Four<const FUSED: bool>([f32; 4]);

impl<const FUSED: bool> Vector for Four<FUSED> {
    const LANES: usize = 4;
    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_f16(from: *const f16) -> Self {
        // SAFETY: the trait's contract.
        Self([0, 1, 2, 3].map(|lane| widen_f16(unsafe { from.add(lane).read() })))
    }
    #[inline(always)]
    unsafe fn load_bf16(from: *const bf16) -> [Self; 2] {
        // SAFETY: the trait's contract.
        let pairs = unsafe { from.cast::<[u32; 4]>().read_unaligned() };
        let lower = pairs.map(|pair| f32::from_bits(pair << 16));
        let upper = pairs.map(|pair| f32::from_bits(pair & 0xffff_0000));
        match cfg!(target_endian = "little") {
            true => [Self(lower), Self(upper)],
            false => [Self(upper), Self(lower)],
        }
    }
    #[inline(always)]
    unsafe fn load_i8(from: *const i8) -> [Self; 2] {
        // SAFETY: the trait's contract.
        unsafe { from.cast::<[[i8; 4]; 2]>().read() }.map(|whole| Self(whole.map(f32::from)))
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: the trait's contract.
        Self([unsafe { *from }; 4])
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn mul(self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] * b.0[lane]))
    }
    #[inline(always)]
    unsafe fn mul_add(self, b: Self, c: Self) -> Self {
        let mut sum = c.0;
        for (sum, (a, b)) in sum.iter_mut().zip(self.0.iter().zip(b.0)) {
            *sum = if FUSED { a.mul_add(b, *sum) } else { a * b + *sum };
        }
        Self(sum)
    }
    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + b.0[lane]))
    }
}

/// 4 rows of 2 vectors: 8 sums, 2 vectors of B and one of A in 16 registers.
#[cfg(target_arch = "x86_64")]
pub(super) static FUSED: Kernel = kernel!(
    "portable with FMA", Four<true>, 2 a panel, 12 chains, rows 1 2 3 4, wide 1 x 4, 1 x 2, 2 x 2;
    fused true, || std::arch::is_x86_feature_detected!("fma"), target_feature(enable = "fma")
);
/// The same.
#[cfg(target_arch = "aarch64")]
pub(super) static FUSED: Kernel = kernel!(
    "portable with FMA", Four<true>, 2 a panel, 12 chains, rows 1 2 3 4, wide 1 x 4, 1 x 2, 2 x 2; fused true, || true
);
/// The same, for any processor.
pub(super) static PLAIN: Kernel = kernel!(
    "portable", Four<false>, 2 a panel, 12 chains, rows 1 2 3 4, wide 1 x 4, 1 x 2, 2 x 2; fused false, || true
);
