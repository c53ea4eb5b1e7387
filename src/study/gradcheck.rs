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

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::layers::dropout::Dropout;
use crate::math::Real;
use crate::model::{Network, Parameters, Sizes, State};

/// Roundings of the loss that the tolerance allows for, in units of u·|L|.
///
/// A loss is the end of a long chain of sums, whose roundings partly cancel: measured are 0.1 to 0.7.
pub const ROUNDINGS: f64 = 4.0;

/// Largest tolerance, relative to the gradient, with which a check still tells right from wrong.
pub const BLIND: f64 = 0.05;

/// The ε that balances rounding against truncation in precision `R`: u^⅕.
pub fn default_epsilon<R: Real>() -> f64 {
    R::EPSILON.powf(0.2)
}

/// A point at which gradients are checked: parameters, state and a batch.
#[derive(Clone, Debug)]
pub struct Problem<R> {
    /// The parameters θ.
    pub parameters: Parameters<R>,
    /// The state before the first step, whose gradient is checked as well.
    pub state: State<R>,
    /// Characters, [T, B].
    pub inputs: Array2<u32>,
    /// Next characters, [T, B].
    pub targets: Array2<u32>,
    /// A fixed dropout mask, if any.
    pub dropout: Option<Dropout>,
}

impl<R: Real> Problem<R> {
    /// The first B·T + 1 characters of a text: row after row, each target the next character.
    ///
    /// The state is drawn from [−½, ½), so that every gradient that flows through it is exercised.
    ///
    /// * `ids`: the text
    /// * `batch`, `unroll`: B and T
    /// * `keep`: probability with which dropout keeps an output; 1 drops nothing
    /// * `seed`: of state and dropout
    ///
    /// # Errors
    /// [`Error::TextTooShort`] if `ids` has fewer than B·T + 1 characters.
    pub fn on_text(
        parameters: Parameters<R>,
        ids: &[u32],
        (batch, unroll): (usize, usize),
        keep: f64,
        seed: u64,
    ) -> Result<Self> {
        let needed = batch * unroll + 1;
        if ids.len() < needed {
            let fits = ids.len().checked_sub(1).filter(|&n| n > 0).map(|n| (1, n));
            return Err(Error::TextTooShort { found: ids.len(), needed, fits });
        }
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut state = State::zeros(parameters.sizes(), batch);
        for a in state.h.iter_mut().chain(&mut state.c) {
            a.mapv_inplace(|_| R::from_f64(rng.random_range(-0.5..0.5)));
        }
        let characters = |shift| {
            Array2::from_shape_fn((unroll, batch), |(t, row)| ids[row * unroll + t + shift])
        };
        let dropout = (keep < 1.0).then_some(Dropout { keep, seed, step: 0 });
        Ok(Self { parameters, state, inputs: characters(0), targets: characters(1), dropout })
    }
}

/// One number of a tensor where both gradients were computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Its place in the row-major tensor.
    pub index: usize,
    /// By back-propagation.
    pub analytic: f64,
    /// The plain central difference D(ε).
    pub central: f64,
    /// The extrapolated one, N = (4·D(ε) − D(2ε)) / 3.
    pub numeric: f64,
    /// How far off the numeric value itself may be: rounding and truncation.
    pub resolution: f64,
}

impl Element {
    /// |analytic − numeric|.
    pub fn absolute_error(&self) -> f64 {
        (self.analytic - self.numeric).abs()
    }

    /// |analytic − numeric| / (|analytic| + |numeric|), 0 where both are 0.
    pub fn relative_error(&self) -> f64 {
        ratio(self.absolute_error(), self.analytic.abs() + self.numeric.abs())
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gradients differ by no more than the difference quotient's own error.
    Agrees,
    /// They differ by more: the analytic gradient is wrong.
    Differs,
    /// The difference quotient is too coarse beside so small a gradient to tell.
    Blind,
}

/// The comparison for one tensor.
#[derive(Clone, Debug)]
pub struct TensorCheck {
    /// The tensor's name, as in `w_hh_l1`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether its columns are the four gates, [.., 4H].
    pub has_gates: bool,
    /// The elements compared, in the order of their index.
    pub elements: Vec<Element>,
}

impl TensorCheck {
    /// ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖) over the compared elements.
    pub fn relative_error(&self) -> f64 {
        relative(self.elements.iter(), |e| e.numeric)
    }

    /// ‖resolution‖ / (‖analytic‖ + ‖numeric‖): how large [`TensorCheck::relative_error`] may be.
    pub fn tolerance(&self) -> f64 {
        ratio(self.norm(|e| e.resolution), self.scale())
    }

    /// The verdict on all elements together.
    pub fn verdict(&self) -> Verdict {
        let (error, tolerance) = (self.relative_error(), self.tolerance());
        if self.scale() == 0.0 {
            Verdict::Agrees
        } else if tolerance > BLIND {
            Verdict::Blind
        } else if error <= tolerance {
            Verdict::Agrees
        } else {
            Verdict::Differs // NaN too
        }
    }

    /// The element with the largest absolute error.
    pub fn worst(&self) -> Option<&Element> {
        self.elements.iter().max_by(|a, b| a.absolute_error().total_cmp(&b.absolute_error()))
    }

    /// The largest relative error of a single element. Near a zero of the gradient it is large in
    /// any check; the verdict rests on the whole tensor.
    pub fn largest_relative_error(&self) -> f64 {
        self.elements.iter().map(Element::relative_error).fold(0.0, f64::max)
    }

    /// Where the element `index` stands.
    pub fn place(&self, index: usize) -> Place {
        let width = self.shape[self.shape.len() - 1];
        let row = (self.shape.len() > 1).then_some(index / width);
        let column = index % width;
        match (self.has_gates, width / 4) {
            (false, _) => Place { row, gate: None, column },
            (true, h) => {
                Place { row, gate: Some(['i', 'f', 'g', 'o'][column / h]), column: column % h }
            }
        }
    }

    fn scale(&self) -> f64 {
        self.norm(|e| e.analytic) + self.norm(|e| e.numeric)
    }

    fn norm(&self, f: impl Fn(&Element) -> f64) -> f64 {
        self.elements.iter().map(|e| f(e) * f(e)).sum::<f64>().sqrt()
    }
}

/// The place of an element in its tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its row; none in a bias.
    pub row: Option<usize>,
    /// The gate i, f, g or o to which its column belongs, if to any.
    pub gate: Option<char>,
    /// Its column, counted within the gate if there is one.
    pub column: usize,
}

/// a / b, and 0 where both are 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

/// Compares the gradients of all tensors and of the initial state.
///
/// * `epsilon`: the step ε of the central difference
/// * `sample`: how many elements of each tensor are compared at most, evenly spread; half of them
///   such whose analytic gradient is zero, if there are so many (rows of W_ih whose character does
///   not occur); none means all
pub fn check<R: Real>(
    problem: &Problem<R>,
    epsilon: f64,
    sample: Option<usize>,
) -> Vec<TensorCheck> {
    let sizes = problem.parameters.sizes();
    let mut probe = Probe::new(problem);
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

/// ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖).
fn relative<'a>(
    elements: impl Iterator<Item = &'a Element> + Clone,
    numeric: impl Fn(&Element) -> f64,
) -> f64 {
    let norm =
        |f: &dyn Fn(&Element) -> f64| elements.clone().map(|e| f(e) * f(e)).sum::<f64>().sqrt();
    let difference = norm(&|e| e.analytic - numeric(e));
    ratio(difference, norm(&|e| e.analytic) + norm(&numeric))
}

/// Names and shapes of all that is checked: the parameters, then h_0 and c_0 of every layer.
fn names_and_shapes(sizes: Sizes, batch: usize) -> Vec<(String, Vec<usize>)> {
    let parameters = sizes.tensor_names().into_iter().zip(sizes.tensor_shapes());
    let states = ["h_0", "c_0"].into_iter().flat_map(|name| {
        (0..sizes.layers).map(move |l| (format!("{name}_l{l}"), vec![batch, sizes.hidden]))
    });
    parameters.chain(states).collect()
}

/// All that is checked, in the order of [`names_and_shapes`].
fn tensors_mut<'a, R: Real>(
    parameters: &'a mut Parameters<R>,
    state: &'a mut State<R>,
) -> impl Iterator<Item = &'a mut [R]> {
    let states = state.h.iter_mut().chain(&mut state.c);
    parameters.tensors_mut().chain(states.map(|a| a.as_slice_mut().expect("states are row-major")))
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

/// A network that measures the loss of nearby problems.
struct Probe<R: Real> {
    moved: Problem<R>,
    network: Network<R>,
}

impl<R: Real> Probe<R> {
    fn new(problem: &Problem<R>) -> Self {
        let (unroll, batch) = problem.inputs.dim();
        let network = Network::new(problem.parameters.sizes(), batch, unroll, 1);
        Self { moved: problem.clone(), network }
    }

    fn loss(&mut self) -> f64 {
        let at = &self.moved;
        self.network.pack(&at.parameters);
        let (x, y) = (at.inputs.view(), at.targets.view());
        self.network.loss(&at.parameters, x, y, &mut at.state.clone(), at.dropout)
    }

    /// Gradients of the parameters and of the initial state.
    fn analytic(&mut self) -> (Parameters<R>, State<R>) {
        let at = &self.moved;
        let mut gradients = Parameters::zeros(at.parameters.sizes());
        self.network.pack(&at.parameters);
        let (x, y) = (at.inputs.view(), at.targets.view());
        let state = &mut at.state.clone();
        self.network.gradients(&mut gradients, &at.parameters, x, y, state, at.dropout);
        (gradients, self.network.state_gradient())
    }

    /// Both gradients at element `index` of tensor `k`; `loss` is the loss where nothing is moved.
    fn element(
        &mut self,
        k: usize,
        index: usize,
        analytic: f64,
        epsilon: f64,
        loss: f64,
    ) -> Element {
        let [central, wider] = [epsilon, 2.0 * epsilon].map(|step| {
            let ((above, loss_above), (below, loss_below)) =
                (self.moved_by(k, index, step), self.moved_by(k, index, -step));
            // Divided by the step that was really made: θ ± ε is rounded as well.
            (loss_above - loss_below) / (above - below)
        });
        let numeric = (4.0 * central - wider) / 3.0;
        let rounding = ROUNDINGS * R::EPSILON * loss.abs() / epsilon;
        let truncation = (wider - central).abs() / 3.0;
        Element { index, analytic, central, numeric, resolution: rounding + truncation }
    }

    /// Where the number `index` of tensor `k` lands when it is moved by `step`, and the loss there.
    fn moved_by(&mut self, k: usize, index: usize, step: f64) -> (f64, f64) {
        let here = *self.number(k, index);
        *self.number(k, index) = here + R::from_f64(step);
        let there = self.number(k, index).to_f64();
        let loss = self.loss();
        *self.number(k, index) = here;
        (there, loss)
    }

    fn number(&mut self, k: usize, index: usize) -> &mut R {
        let Problem { parameters, state, .. } = &mut self.moved;
        &mut tensors_mut(parameters, state).nth(k).expect("as many tensors as names")[index]
    }
}
