//! What "equal" means here.

use ndarray::{ArrayRef, Dimension};

/// Largest difference, as a fraction of the largest number compared.
const TOLERANCE: f64 = 1e-12;

/// The largest |expected − engine's| as a fraction of the largest magnitude.
///
/// # Panics
/// If there is nothing to compare, or everything on both sides is zero: that would prove nothing.
fn difference<'a>(
    expected: impl IntoIterator<Item = &'a f64>,
    engine: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    let (expected, engine): (Vec<_>, Vec<_>) =
        (expected.into_iter().collect(), engine.into_iter().collect());
    assert_eq!(expected.len(), engine.len(), "as many numbers on either side");
    let largest = expected.iter().chain(&engine).fold(0.0f64, |max, x| max.max(x.abs()));
    assert!(largest > 0.0, "something to compare");
    let differences = expected.iter().zip(engine).map(|(a, b)| (*a - b).abs());
    // A NaN must not pass for equal.
    differences.fold(0.0, |max, d| if d.is_nan() || d > max { d } else { max }) / largest
}

/// Whether the numbers are equal; a NaN is equal to nothing.
pub fn agree(expected: &[f64], engine: &[f64]) -> bool {
    difference(expected, engine) <= TOLERANCE
}

/// Fails unless the arrays are equal.
#[track_caller]
pub fn assert_equal<D: Dimension>(
    what: &str,
    expected: &ArrayRef<f64, D>,
    engine: &ArrayRef<f64, D>,
) {
    assert_eq!(expected.shape(), engine.shape(), "{what}");
    assert_close(what, expected, engine);
}

/// Fails unless the numbers are equal.
#[track_caller]
pub fn assert_close<'a>(
    what: &str,
    expected: impl IntoIterator<Item = &'a f64>,
    engine: impl IntoIterator<Item = &'a f64>,
) {
    let error = difference(expected, engine);
    assert!(error <= TOLERANCE, "{what}: the engine differs from the equation by {error:.1e}");
}
