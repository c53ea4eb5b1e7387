//! eˣ, the logistic function and tanh for `f32`, written so that a compiler turns a loop over them
//! into vector instructions: no branch, no table, no call.
//!
//! Every operation is a plain IEEE multiplication, addition or division, never a fused one, so the
//! results are the same bits on every processor. Largest errors, measured by `tests/activation.rs`
//! over all exponents: eˣ 1 ulp, tanh 1.3 ulp, σ 2.1 ulp (where the result is a normal number;
//! below that eˣ is flushed to zero).

/// eˣ = 2ⁿ · eʳ with n = round(x / ln 2) and r = x − n ln 2, |r| ≤ ln 2 / 2.
///
/// ln 2 is split into a short head and a tail so that n·head is exact (Cody and Waite, 1980);
/// eʳ is a polynomial of degree 6, the minimax coefficients of Cephes' `expf`
/// (Moshier, 1992). Results below the smallest normal number are 0, above the largest ∞.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN_2_HEAD: f32 = 0.693_359_4;
    const LN_2_TAIL: f32 = -2.121_944_4e-4;
    /// Adding 1.5·2²³ leaves the nearest integer in the low bits of the mantissa.
    const ROUND: f32 = 12_582_912.0;
    const SMALLEST: f32 = -87.336_54; // ln 2⁻¹²⁶
    const LARGEST: f32 = 88.722_83; // ln of the largest f32

    // NaN goes through: the comparisons below are false for it.
    let y = if x < SMALLEST { SMALLEST } else { x };
    let y = if y > LARGEST { LARGEST } else { y };
    let shifted = y * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (y - n * LN_2_HEAD) - n * LN_2_TAIL;

    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 5.000_000_3e-1;
    let e_r = (p * r) * r + r + 1.0;

    // 2ⁿ in two factors: n reaches 128, one more than an exponent field can hold.
    let n = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = n >> 1;
    let result = e_r * power_of_two(half) * power_of_two(n - half);
    let result = if x < SMALLEST { 0.0 } else { result };
    if x > LARGEST { f32::INFINITY } else { result }
}

/// 2ⁿ for −126 ≤ n ≤ 127, made in the exponent field.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The logistic function σ(x) = 1 / (1 + e⁻ˣ).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// tanh x: an odd polynomial where |x| < 0.625, 1 − 2 / (e^{2|x|} + 1) beyond (Cephes' `tanhf`).
///
/// The second form alone would lose every digit near 0, where it subtracts two ones.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let far = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);

    let s = magnitude * magnitude;
    let p = -5.704_988_7e-3;
    let p = p * s + 2.063_908_8e-2;
    let p = p * s - 5.373_971_5e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328e-1;
    let near = p * s * magnitude + magnitude;

    let tanh = if magnitude < 0.625 { near } else { far };
    tanh.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_the_range() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-100.0), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(88.72).is_finite());
        assert_eq!(sigmoid(f32::NEG_INFINITY), 0.0);
        assert_eq!(sigmoid(f32::INFINITY), 1.0);
        assert_eq!(sigmoid(0.0), 0.5);
        assert!(sigmoid(f32::NAN).is_nan());
        assert_eq!(tanh(f32::NEG_INFINITY), -1.0);
        assert_eq!(tanh(f32::INFINITY), 1.0);
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert!(tanh(f32::NAN).is_nan());
    }
}
