//! How parameters start.

use ndarray_rand::rand_distr::{Distribution, StandardNormal, Uniform};
use rand::Rng;

use crate::math::Real;

/// A normal distribution of mean 0 cut at two standard deviations: a value beyond is drawn again.
///
/// TensorFlow's `truncated_normal`, which the article uses. The cut narrows the spread: the
/// values' own standard deviation is 0.8796 times `sd`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TruncatedNormal {
    /// Standard deviation before the cut.
    pub sd: f64,
}

impl<R: Real> Distribution<R> for TruncatedNormal {
    fn sample<G: Rng + ?Sized>(&self, rng: &mut G) -> R {
        loop {
            let z: f64 = StandardNormal.sample(rng);
            if z.abs() <= 2.0 {
                return R::from_f64(z * self.sd);
            }
        }
    }
}

/// The uniform distribution on [−a, a] with a = √(6 / (fan_in + fan_out)).
///
/// Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
/// (AISTATS 2010), eq. 16: it keeps the variance of signals and gradients about equal in all layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GlorotUniform {
    limit: f64,
}

impl GlorotUniform {
    /// For a weight that maps `fan_in` numbers to `fan_out`.
    pub fn new(fan_in: usize, fan_out: usize) -> Self {
        Self { limit: (6.0 / (fan_in + fan_out) as f64).sqrt() }
    }

    /// a, the largest magnitude.
    pub fn limit(&self) -> f64 {
        self.limit
    }
}

impl<R: Real> Distribution<R> for GlorotUniform {
    fn sample<G: Rng + ?Sized>(&self, rng: &mut G) -> R {
        let uniform = Uniform::new_inclusive(-self.limit, self.limit).expect("a finite limit");
        R::from_f64(uniform.sample(rng))
    }
}

/// Draws every number of `to` from `distribution`, in its order.
pub fn fill<'a, R: Real>(
    to: impl IntoIterator<Item = &'a mut R>,
    distribution: impl Distribution<R>,
    rng: &mut impl Rng,
) {
    to.into_iter().for_each(|x| *x = distribution.sample(rng));
}
