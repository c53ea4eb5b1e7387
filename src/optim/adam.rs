//! Adam: steps scaled by running moments of each gradient.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::CHUNK;
use crate::error::{Error, Result};
use crate::math::Real;
use crate::math::simd::vectorised;
use crate::model::{Parameters, Sizes};

/// The optimiser's constants. Defaults: Kingma and Ba, "Adam" (ICLR 2015), Algorithm 1, which are
/// the article's too.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AdamConfig {
    /// α, the step size. Default 1e-3.
    pub learning_rate: f64,
    /// β₁, decay of the first moment. Default 0.9.
    pub beta1: f64,
    /// β₂, decay of the second moment. Default 0.999.
    pub beta2: f64,
    /// ε, keeps the division finite. Default 1e-8.
    pub epsilon: f64,
    /// λ, decoupled weight decay (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). Each step
    /// takes the part αλ off every parameter, as in PyTorch's `AdamW`; their Algorithm 2 leaves the height of α out.
    /// Default 0.
    pub weight_decay: f64,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self { learning_rate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

impl AdamConfig {
    /// These constants with another [`AdamConfig::learning_rate`].
    pub const fn with_learning_rate(self, learning_rate: f64) -> Self {
        Self { learning_rate, ..self }
    }

    /// Checks every constant against its range.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        let Self { learning_rate, beta1, beta2, epsilon, weight_decay } = *self;
        // Adam moves every weight by about the rate at each step: beyond this the gates are shut for
        // good and hours go by for nothing, or the weights leave the range of f32.
        let holds = learning_rate > 0.0 && learning_rate <= 1e3;
        Error::require(holds, "learning_rate", learning_rate, "above 0 and at most 1000")?;
        for (name, beta) in [("beta1", beta1), ("beta2", beta2)] {
            // A moment that forgets nothing would grow for ever.
            let holds = beta >= 0.0 && (beta as f32) < 1.0;
            Error::require(holds, name, beta, "at least 0 and below 1, in f32 as well")?;
        }
        // A weight without a gradient so far moves by 0 / ε.
        let holds = epsilon.is_finite() && epsilon as f32 > 0.0;
        Error::require(holds, "epsilon", epsilon, "a finite number above 0, in f32 as well")?;
        let most = 1.0 / learning_rate;
        let expected = format!("at least 0 and at most {most} (1 / learning rate)");
        let holds = (0.0..=most).contains(&weight_decay);
        Error::require(holds, "weight_decay", weight_decay, expected)
    }
}

/// Adam's memory: both moments of every parameter, and how many updates were made.
///
/// ```
/// use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
/// use karenina::ndarray::array;
/// use karenina::optim::adam::{Adam, AdamConfig};
/// use karenina::optim::clip::clip_by_global_norm;
/// # use karenina::rand::SeedableRng;
///
/// let sizes = Sizes::new(3, 4, 1);
/// # let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let mut parameters = Parameters::<f32>::initial(sizes, Initialisation::Glorot, &mut rng);
/// let mut gradients = Parameters::zeros(sizes);
/// let mut adam = Adam::new(AdamConfig::default().with_learning_rate(0.01), sizes);
///
/// let (inputs, targets) = (array![[0], [1], [2]], array![[1], [2], [0]]);
/// let mut network = Network::new(sizes, 1, 3, 1);
/// for _ in 0..50 {
///     let (x, y, state) = (inputs.view(), targets.view(), &mut State::zeros(sizes, 1));
///     let loss = network.gradients(&mut gradients, &parameters, x, y, state, None);
///     clip_by_global_norm(&mut gradients, 5.0);
///     adam.update(&mut parameters, &gradients);
/// #   assert!(adam.updates < 50 || loss < 0.9, "ln 3 at first: {loss}");
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Adam<R> {
    /// The constants.
    pub config: AdamConfig,
    /// First moments, running means of the gradients.
    pub m: Parameters<R>,
    /// Second moments, running means of their squares.
    pub v: Parameters<R>,
    /// Updates made so far.
    pub updates: u64,
}

impl<R: Real> Adam<R> {
    /// Moments at zero.
    pub fn new(config: AdamConfig, sizes: Sizes) -> Self {
        Self { config, m: Parameters::zeros(sizes), v: Parameters::zeros(sizes), updates: 0 }
    }

    /// One update of `parameters` against `gradients`, in one pass split over elements.
    ///
    /// # Panics
    /// If they and the moments are not all of the same sizes.
    pub fn update(&mut self, parameters: &mut Parameters<R>, gradients: &Parameters<R>) {
        let sizes = parameters.sizes();
        assert_eq!(gradients.sizes(), sizes, "sizes of the gradients and of the parameters");
        assert_eq!([self.m.sizes(), self.v.sizes()], [sizes; 2], "sizes of the moments");
        self.updates += 1;
        let rates = Rates::new(self.config, self.updates);
        let m = self.m.numbers_mut().par_chunks_mut(CHUNK);
        let v = self.v.numbers_mut().par_chunks_mut(CHUNK);
        let theta = parameters.numbers_mut().par_chunks_mut(CHUNK);
        let g = gradients.numbers().par_chunks(CHUNK);
        theta.zip(g).zip(m.zip(v)).for_each(|((theta, g), (m, v))| rates.update(theta, g, m, v));
    }
}

/// The constants of one update, the bias corrections among them.
#[derive(Clone, Copy)]
struct Rates<R> {
    beta1: R,
    /// 1 − β₁, of which f32 would lose digits.
    one_minus_beta1: R,
    beta2: R,
    /// 1 − β₂
    one_minus_beta2: R,
    epsilon: R,
    /// α / (1 − β₁ᵗ)
    step_size: R,
    /// 1 / √(1 − β₂ᵗ)
    v_correction: R,
    /// 1 − αλ, what weight decay leaves of a parameter.
    decay: R,
}

impl<R: Real> Rates<R> {
    fn new(config: AdamConfig, updates: u64) -> Self {
        let t = updates as f64;
        Self {
            beta1: R::from_f64(config.beta1),
            one_minus_beta1: R::from_f64(1.0 - config.beta1),
            beta2: R::from_f64(config.beta2),
            one_minus_beta2: R::from_f64(1.0 - config.beta2),
            epsilon: R::from_f64(config.epsilon),
            step_size: R::from_f64(config.learning_rate / (1.0 - libm::pow(config.beta1, t))), // Eq. U5
            v_correction: R::from_f64(1.0 / (1.0 - libm::pow(config.beta2, t)).sqrt()), // Eq. U5
            decay: R::from_f64(1.0 - config.learning_rate * config.weight_decay),
        }
    }

    fn update(self, theta: &mut [R], g: &[R], m: &mut [R], v: &mut [R]) {
        vectorised(
            #[inline(always)]
            || {
                for (((theta, &g), m), v) in theta.iter_mut().zip(g).zip(m).zip(v) {
                    *m = self.beta1 * *m + self.one_minus_beta1 * g; // Eq. U3
                    *v = self.beta2 * *v + self.one_minus_beta2 * g * g; // Eq. U4
                    *theta *= self.decay; // Eq. U8
                    *theta -= self.step_size * *m / (v.sqrt() * self.v_correction + self.epsilon); // Eq. U6
                }
            },
        );
    }
}
