//! Every derivative against a finite difference.
//!
//! The analytic gradient comes from the code that trains. The numeric one never looks inside: it
//! moves one number by ±ε and measures the loss, D(ε) = (L(θ+ε) − L(θ−ε)) / 2ε = L′ + L‴·ε²/6 + …
//! Since D(2ε) has four times that error, N = (4·D(ε) − D(2ε)) / 3 is rid of it (Richardson's
//! extrapolation; what is left is of the order ε⁴).
//!
//! **How close must they be?** N itself is only so exact, and both of its errors can be told
//! without a look at the analytic gradient:
//!
//! * rounding: a loss in a number type of machine epsilon u is off by some u·|L|, a difference
//!   quotient therefore by [`ROUNDINGS`]·u·|L| / ε;
//! * truncation: no more than that of D(ε), which is |D(2ε) − D(ε)| / 3.
//!
//! Their sum is the element's [`Element::resolution`]. A tensor agrees if ‖analytic − numeric‖ stays
//! within ‖resolution‖: a tolerance for each tensor, from its own numbers, instead of a loose one for
//! all behind which a bug in a small tensor could hide. Where the resolution is no longer small beside
//! the gradient the check is [`Verdict::Blind`], and says so. The errors of N are least near
//! ε = u^⅕, where they are of the order u^⅘: 10⁻¹³ in `f64`, but 10⁻⁶ in `f32`, where many a
//! gradient is no larger than that. This is why one checks in `f64`.

mod comparison;
mod probe;

pub use comparison::{BLIND, Element, Place, TensorCheck, Verdict};
pub use probe::{Problem, ROUNDINGS};

use crate::math::Real;
use crate::model::Sizes;
use comparison::relative;
pub(super) use probe::Probe;
use probe::tensors_mut;

/// The ε that balances rounding against truncation in precision `R`: u^⅕.
pub fn default_epsilon<R: Real>() -> f64 {
    libm::pow(R::EPSILON, 0.2)
}

/// Compares the gradients of all tensors and of the initial state.
///
/// * `epsilon`: the step ε of the central difference
/// * `sample`: how many elements of each tensor are compared at most, evenly spread; half of them
///   such whose analytic gradient is zero, if there are so many (rows of W_ih whose character does
///   not occur); none means all
///
/// # Panics
/// If `sample` is 0: what compares nothing proves nothing.
///
/// ```
/// use karenina::model::{Initialisation, Parameters, Sizes};
/// use karenina::study::gradcheck::{Problem, Verdict, check, default_epsilon};
/// # use karenina::rand::SeedableRng;
///
/// let (sizes, text) = (Sizes::new(3, 4, 1), [0, 1, 2, 1, 0, 2, 2]);
/// # let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let parameters = Parameters::<f64>::initial(sizes, Initialisation::Glorot, &mut rng);
/// let problem = Problem::on_text(parameters, &text, (2, 3), 1.0, 0)?; // B = 2, T = 3, no dropout
/// for tensor in check(&problem, default_epsilon::<f64>(), Some(10)) {
///     assert_eq!(tensor.verdict(), Verdict::Agrees, "{}", tensor.name);
/// }
/// # Ok::<(), karenina::error::Error>(())
/// ```
pub fn check<R: Real>(
    problem: &Problem<R>,
    epsilon: f64,
    sample: Option<usize>,
) -> Vec<TensorCheck> {
    assert!(sample != Some(0), "a sample of no elements");
    let sizes = problem.parameters.sizes();
    let mut probe = Probe::new(problem.clone());
    let mut gradients = probe.analytic();
    let loss = probe.loss();
    let gradients = tensors_mut(&mut gradients.0, &mut gradients.1).enumerate();
    let described = names_and_shapes(sizes, problem.state.h[0].nrows());
    gradients
        .zip(described)
        .map(|((k, gradient), (name, shape))| TensorCheck {
            elements: choose(gradient, sample.unwrap_or(usize::MAX))
                .into_iter()
                .map(|index| probe.element(k, index, gradient[index].to_f64(), epsilon, loss))
                .collect(),
            has_gates: k < 3 * sizes.layers,
            name,
            shape,
        })
        .collect()
}

/// The error at one ε.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CurvePoint {
    /// The step of the central differences.
    pub epsilon: f64,
    /// ‖analytic − D(ε)‖ / (‖analytic‖ + ‖D(ε)‖) over the elements of all tensors.
    pub central: f64,
    /// The same for the extrapolated N.
    pub extrapolated: f64,
}

/// The error against ε: falling with ε² (extrapolated: ε⁴) while truncation rules, rising with 1/ε
/// where rounding does.
///
/// * `epsilons`: the steps to try
/// * `sample`: elements of each tensor, as in [`check`]
///
/// # Panics
/// As [`check`].
pub fn curve<R: Real>(problem: &Problem<R>, epsilons: &[f64], sample: usize) -> Vec<CurvePoint> {
    let at = |&epsilon: &f64| {
        let checks = check(problem, epsilon, Some(sample));
        let elements = || checks.iter().flat_map(|tensor| &tensor.elements);
        CurvePoint {
            epsilon,
            central: relative(elements(), |e| e.central),
            extrapolated: relative(elements(), |e| e.numeric),
        }
    };
    epsilons.iter().map(at).collect()
}

/// Names and shapes of all that is checked: the parameters, then h_0 and c_0 of every layer.
fn names_and_shapes(sizes: Sizes, batch: usize) -> Vec<(String, Vec<usize>)> {
    let parameters = sizes.tensors().map(|tensor| (tensor.name, tensor.shape));
    let states = ["h_0", "c_0"].into_iter().flat_map(|name| {
        (0..sizes.layers).map(move |l| (format!("{name}_l{l}"), vec![batch, sizes.hidden]))
    });
    parameters.chain(states).collect()
}

/// The places of at most `sample` elements, ascending; at most half of them where `gradient` is zero
/// as long as there are enough others.
fn choose<R: Real>(gradient: &[R], sample: usize) -> Vec<usize> {
    if gradient.len() <= sample {
        return (0..gradient.len()).collect();
    }
    let (zeros, others): (Vec<usize>, Vec<usize>) =
        (0..gradient.len()).partition(|&index| gradient[index] == R::zero());
    let from_others = others.len().min(sample - zeros.len().min(sample / 2));
    let mut chosen = spread(&others, from_others);
    chosen.extend(spread(&zeros, sample - from_others));
    chosen.sort_unstable();
    chosen
}

/// `count` of the `places`: one from each of as many equal stretches, at a spot that moves on by the
/// golden ratio. (Always the first would pick the same column of a matrix again and again.)
fn spread(places: &[usize], count: usize) -> Vec<usize> {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let stretch = places.len() as f64 / count as f64;
    let at = |k: usize| ((k as f64 + (k as f64 * GOLDEN).fract()) * stretch) as usize;
    (0..count.min(places.len())).map(|k| places[at(k).min(places.len() - 1)]).collect()
}
