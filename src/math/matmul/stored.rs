//! The types in which a packed matrix may be stored.

use std::fmt;
use std::str::FromStr;

use half::{bf16, f16};
use ndarray::{ArrayView1, ArrayViewMut2};

use super::vector::Vector;
use crate::error::Error;

/// How the weights that are multiplied are stored while a network writes.
///
/// Writing one text is bound by reading every weight for each character, so half the bytes are up to
/// twice the speed. Numbers are rounded to nearest even; the arithmetic stays `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Storage {
    /// As they were trained: 24 significant bits.
    #[default]
    F32,
    /// IEEE half precision: 11 significant bits, numbers up to 65504. Where a processor has no instruction to
    /// widen it (neither AVX2 nor NEON), it is slower than `F32`.
    F16,
    /// The upper half of an `f32`: 8 significant bits, the range of `f32`.
    Bf16,
    /// A whole number from −127 to 127 times a scale in `f32` that the column shares: the column's largest
    /// magnitude / 127.
    I8,
}

impl Storage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::I8];

    /// The type's name, as [`FromStr`] takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I8 => "i8",
        }
    }

    /// Rounds every number of `matrix` [K, N] to the nearest that the type holds; infinity beyond
    /// [`Storage::largest`]. In `I8` a column with a number that is not finite is NaN throughout.
    pub fn round(self, mut matrix: ArrayViewMut2<f32>) {
        match self {
            Self::F32 => {}
            Self::F16 => matrix.mapv_inplace(|x| f16::from_f32(x).to_f32()),
            Self::Bf16 => matrix.mapv_inplace(|x| bf16::from_f32(x).to_f32()),
            Self::I8 => {
                for mut column in matrix.columns_mut() {
                    let scale = column_scale(column.view());
                    column.mapv_inplace(|x| f32::from(i8::round(x / scale)) * scale);
                }
            }
        }
    }

    /// Whether `x`, if it is finite, stays so when it is rounded; in `I8`, whether it is finite.
    pub(crate) fn holds(self, x: f32) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 => !x.is_finite() || f16::from_f32(x).is_finite(),
            Self::Bf16 => !x.is_finite() || bf16::from_f32(x).is_finite(),
            Self::I8 => x.is_finite(),
        }
    }

    /// The largest finite number of the type.
    pub fn largest(self) -> f32 {
        match self {
            Self::F32 | Self::I8 => f32::MAX,
            Self::F16 => f16::MAX.to_f32(),
            Self::Bf16 => bf16::MAX.to_f32(),
        }
    }
}

/// What the whole numbers of a column stored in `i8` are multiplied by; NaN if one of its numbers is not finite.
///
/// It is never below the smallest normal number: so a column of zeros divides nothing by 0, and the kernels meet no
/// denormal numbers, with which processors are slow. Nor is it so large that 127 times it is infinite.
pub(super) fn column_scale(column: ArrayView1<f32>) -> f32 {
    let largest = column.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
    match column.iter().all(|x| x.is_finite()) {
        true => (largest / 127.0).clamp(f32::MIN_POSITIVE, (f32::MAX / 127.0).next_down()),
        false => f32::NAN,
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Storage {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let named = Self::ALL.into_iter().find(|storage| storage.name() == name);
        named.ok_or_else(|| Error::setting("storage", name, "f32, f16, bf16 or i8"))
    }
}

/// A type in which a matrix may be packed for products in `f32`.
///
/// A kernel widens each number as it loads it, multiplies it with its column's scale if it has one, and computes
/// in `f32`: the result is, to the bit, the product in `f32` with the rounded matrix ([`Storage::round`]).
pub(super) trait Stored: Copy + Send + Sync + 'static {
    /// The nearest number of this type, of two that are as near the one with an even last bit;
    /// beyond the type's range infinity.
    fn round(number: f32) -> Self;
    /// Puts the numbers of a panel, row after row, into the order in which a kernel with vectors of `lanes`
    /// numbers loads them.
    fn arrange(_panel: &mut [Self], _lanes: usize) {}
    /// Loads a row of a panel, NV vectors, and widens it.
    ///
    /// # Safety
    /// That of [`Vector`]; `scales`, one for each column, are read for `i8` alone.
    unsafe fn load<V: Vector, const NV: usize>(from: *const Self, scales: *const f32) -> [V; NV];
}

impl Stored for f32 {
    #[inline(always)]
    fn round(number: f32) -> Self {
        number
    }
    #[inline(always)]
    unsafe fn load<V: Vector, const NV: usize>(from: *const Self, _: *const f32) -> [V; NV] {
        // SAFETY: the caller's.
        unsafe {
            let mut vectors = [V::zero(); NV];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = V::load(from.add(v * V::LANES));
            }
            vectors
        }
    }
}

impl Stored for f16 {
    fn round(number: f32) -> Self {
        Self::from_f32(number)
    }
    #[inline(always)]
    unsafe fn load<V: Vector, const NV: usize>(from: *const Self, _: *const f32) -> [V; NV] {
        // SAFETY: the caller's.
        unsafe {
            let mut vectors = [V::zero(); NV];
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = V::load_f16(from.add(v * V::LANES));
            }
            vectors
        }
    }
}

impl Stored for bf16 {
    fn round(number: f32) -> Self {
        Self::from_f32(number)
    }
    /// Two vectors lie interleaved, number by number, so that one load gives both: the first is the lower
    /// halves of its 32-bit lanes, moved up, and the second the upper halves, the rest cleared.
    fn arrange(panel: &mut [Self], lanes: usize) {
        for vectors in panel.chunks_exact_mut(2 * lanes) {
            let mut pairs = [[Self::ZERO; 2]; 16];
            for (lane, pair) in pairs[..lanes].iter_mut().enumerate() {
                *pair = [vectors[lane], vectors[lanes + lane]];
            }
            vectors.copy_from_slice(pairs[..lanes].as_flattened());
        }
    }
    #[inline(always)]
    unsafe fn load<V: Vector, const NV: usize>(from: *const Self, _: *const f32) -> [V; NV] {
        const { assert!(NV.is_multiple_of(2), "vectors come in pairs") };
        // SAFETY: the caller's.
        unsafe {
            let mut vectors = [V::zero(); NV];
            for (v, pair) in vectors.chunks_exact_mut(2).enumerate() {
                pair.copy_from_slice(&V::load_bf16(from.add(2 * v * V::LANES)));
            }
            vectors
        }
    }
}

/// Whole numbers, which stand for themselves times the scale of their column. The scale is applied to each number
/// and not to the column's sum: so there is a network in `f32` that computes the same.
impl Stored for i8 {
    fn round(number: f32) -> Self {
        number.round_ties_even() as Self
    }
    #[inline(always)]
    unsafe fn load<V: Vector, const NV: usize>(from: *const Self, scales: *const f32) -> [V; NV] {
        const { assert!(NV.is_multiple_of(2), "vectors come in pairs") };
        // SAFETY: the caller's.
        unsafe {
            let mut vectors = [V::zero(); NV];
            for (v, pair) in vectors.chunks_exact_mut(2).enumerate() {
                pair.copy_from_slice(&V::load_i8(from.add(2 * v * V::LANES)));
            }
            for (v, vector) in vectors.iter_mut().enumerate() {
                *vector = vector.mul(V::load(scales.add(v * V::LANES)));
            }
            vectors
        }
    }
}

/// 2^(127 − 15): from the exponents of `f16` to those of `f32`; see [`widen_f16`].
pub(super) const F16_SCALE: f32 = f32::from_bits((127 + 127 - 15) << 23);

/// The same number in `f32`, without a branch.
///
/// Moved up by 13 places (the sign, drawn out by that, by 16), exponent and fraction mean the same number
/// of `f32` but for the exponent's offset, which a multiplication mends; that holds for denormal numbers
/// as well. The largest exponent stands for infinity and NaN, and is set.
#[inline(always)]
pub(super) fn widen_f16(number: f16) -> f32 {
    let bits = i32::from(number.to_bits().cast_signed()).cast_unsigned();
    let moved = (bits << 13) & 0x8fff_ffff;
    let is_endless = ((bits & 0x7fff) + 0x400) >> 15; // 1 for the largest exponent, else 0
    let exponent = is_endless.wrapping_neg() & 0x7f80_0000;
    f32::from_bits((f32::from_bits(moved) * F16_SCALE).to_bits() | exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_widens_to_itself() {
        for bits in 0..=u16::MAX {
            let half = f16::from_bits(bits);
            let (found, expected) = (widen_f16(half), half.to_f32());
            let same = found.to_bits() == expected.to_bits();
            assert!(same || found.is_nan() && expected.is_nan(), "{bits:#06x}: {found}");
        }
    }
}
