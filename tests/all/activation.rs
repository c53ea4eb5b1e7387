//! The activation functions against f64 over all of f32.

use karenina::math::activation::{exp, sigmoid, tanh};

/// The largest error in units in the last place over every `stride`-th f32 of either sign, and where.
fn largest_error(ours: fn(f32) -> f32, exact: fn(f64) -> f64, stride: usize) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    for bits in (0..0x7f80_0000u32).step_by(stride) {
        for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
            let expected = exact(f64::from(x));
            let got = f64::from(ours(x));
            if expected > f64::from(f32::MAX) || expected.abs() < f64::from(f32::MIN_POSITIVE) {
                // Overflow must be infinite; below the normal numbers only the size is promised.
                let tiny = 2.0 * f64::from(f32::MIN_POSITIVE);
                let is_right = match expected > 1.0 {
                    true => got == f64::INFINITY,
                    false => (got - expected).abs() <= tiny,
                };
                assert!(is_right, "{x:e}: {got:e}");
                continue;
            }
            // One ulp: the spacing of f32 at the exact value.
            let ulp = 2f64.powi((expected.abs().log2().floor() as i32 - 23).max(-149));
            let error = (got - expected).abs() / ulp;
            assert!(!error.is_nan(), "{x:e}: {got:e}");
            if error > worst.0 {
                worst = (error, x);
            }
        }
    }
    worst
}

#[track_caller]
fn assert_ulp(ours: fn(f32) -> f32, exact: fn(f64) -> f64, limit: f64) {
    // A prime stride visits every exponent with all kinds of mantissas.
    let (error, at) = largest_error(ours, exact, 1009);
    eprintln!("largest error {error:.3} ulp at {at:e}");
    assert!(error <= limit, "{error} ulp at {at:e}");
}

#[test]
fn exp_over_all_exponents() {
    assert_ulp(exp, f64::exp, 2.0);
}

#[test]
fn sigmoid_over_all_exponents() {
    assert_ulp(sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 3.0);
}

#[test]
fn tanh_over_all_exponents() {
    assert_ulp(tanh, f64::tanh, 2.5);
}
