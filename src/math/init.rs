//! How parameters start.

use ndarray_rand::rand_distr::{Distribution, StandardNormal};
use rand::Rng;

use crate::math::Real;

/// A draw from a normal distribution of mean 0 and standard deviation `sd`, cut at two standard deviations: a value
/// beyond is drawn again.
///
/// TensorFlow's `truncated_normal`, which the article uses. The cut narrows the spread: the
/// values' own standard deviation is 0.8796 times `sd`.
pub fn truncated_normal<R: Real>(sd: f64, rng: &mut impl Rng) -> R {
    loop {
        let z: f64 = StandardNormal.sample(rng);
        if z.abs() <= 2.0 {
            return R::from_f64(z * sd);
        }
    }
}

/// a = √(6 / (fan_in + fan_out)): a weight that maps `fan_in` numbers to `fan_out` starts uniform on [−a, a].
///
/// Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
/// (AISTATS 2010), eq. 16: it keeps the variance of signals and gradients about equal in all layers.
pub fn glorot_limit(fan_in: usize, fan_out: usize) -> f64 {
    (6.0 / (fan_in + fan_out) as f64).sqrt()
}
