//! Every derivative against a finite difference.
//!
//! The analytic gradient comes from the code that trains. The numeric one never looks inside: it
//! moves one number by ±ε and measures the loss, (L(θ+ε) − L(θ−ε)) / 2ε, whose error is of the order
//! ε² (truncation) plus the machine's rounding divided by ε.

use ndarray::Array2;

use crate::layers::dropout::Dropout;
use crate::math::Real;
use crate::model::{Network, Parameters, State};

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

/// One number of a tensor where both gradients were computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Its place in the row-major tensor.
    pub index: usize,
    /// By back-propagation.
    pub analytic: f64,
    /// By the central difference.
    pub numeric: f64,
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

/// The verdict on one tensor.
#[derive(Clone, Debug)]
pub struct TensorCheck {
    /// The tensor's name, as in `w_hh_l1`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The elements compared, in the order of their index.
    pub elements: Vec<Element>,
}

impl TensorCheck {
    /// ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖) over the compared elements.
    pub fn relative_error(&self) -> f64 {
        let norm =
            |f: fn(&Element) -> f64| self.elements.iter().map(|e| f(e) * f(e)).sum::<f64>().sqrt();
        ratio(norm(Element::absolute_error), norm(|e| e.analytic) + norm(|e| e.numeric))
    }

    /// The element with the largest absolute error.
    pub fn worst(&self) -> Option<&Element> {
        self.elements.iter().max_by(|a, b| a.absolute_error().total_cmp(&b.absolute_error()))
    }
}

/// a / b, and 0 where both are 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

/// Compares the gradients of all tensors and of the initial state.
///
/// * `epsilon`: the step ε of the central difference
/// * `stride`: of each tensor every `stride`-th element is compared; 1 compares all
pub fn check<R: Real>(problem: &Problem<R>, epsilon: f64, stride: usize) -> Vec<TensorCheck> {
    let sizes = problem.parameters.sizes();
    let mut probe = Probe::new(problem);
    let (gradients, d_state) = probe.analytic();

    let mut checks = Vec::new();
    let mut place = problem.clone();
    let named = sizes.tensor_names().into_iter().zip(sizes.tensor_shapes());
    for (k, ((name, shape), gradient)) in named.zip(gradients.tensors()).enumerate() {
        let elements = compare(gradient, epsilon, stride, |index, step| {
            let theta = tensor_mut(&mut place.parameters, k);
            let before = theta[index];
            theta[index] = before + R::from_f64(step);
            let loss = probe.loss(&place);
            tensor_mut(&mut place.parameters, k)[index] = before;
            loss
        });
        checks.push(TensorCheck { name, shape, elements });
    }
    for (kind, pick, gradient) in [
        ("h", (|state| &mut state.h) as fn(&mut State<R>) -> &mut Vec<Array2<R>>, &d_state.h),
        ("c", |state| &mut state.c, &d_state.c),
    ] {
        for (l, gradient) in gradient.iter().enumerate() {
            let slice = gradient.as_slice().expect("states are row-major");
            let elements = compare(slice, epsilon, stride, |index, step| {
                let array = &mut pick(&mut place.state)[l];
                let at = (index / array.ncols(), index % array.ncols());
                let before = array[at];
                array[at] = before + R::from_f64(step);
                let loss = probe.loss(&place);
                pick(&mut place.state)[l][at] = before;
                loss
            });
            let shape = vec![gradient.nrows(), gradient.ncols()];
            checks.push(TensorCheck { name: format!("{kind}_0 of layer {l}"), shape, elements });
        }
    }
    checks
}

/// The central differences at every `stride`-th element beside the analytic values.
fn compare<R: Real>(
    gradient: &[R],
    epsilon: f64,
    stride: usize,
    mut loss_moved_by: impl FnMut(usize, f64) -> f64,
) -> Vec<Element> {
    let places = (0..gradient.len()).step_by(stride.max(1));
    places
        .map(|index| {
            let difference = loss_moved_by(index, epsilon) - loss_moved_by(index, -epsilon);
            Element {
                index,
                analytic: gradient[index].to_f64(),
                numeric: difference / (2.0 * epsilon),
            }
        })
        .collect()
}

/// The `k`-th tensor.
fn tensor_mut<R: Real>(parameters: &mut Parameters<R>, k: usize) -> &mut [R] {
    parameters.tensors_mut().nth(k).expect("as many tensors as names")
}

/// A network that measures loss and gradients of nearby problems.
struct Probe<'a, R: Real> {
    problem: &'a Problem<R>,
    network: Network<R>,
}

impl<'a, R: Real> Probe<'a, R> {
    fn new(problem: &'a Problem<R>) -> Self {
        let (unroll, batch) = problem.inputs.dim();
        Self { problem, network: Network::new(problem.parameters.sizes(), batch, unroll, 1) }
    }

    fn loss(&mut self, at: &Problem<R>) -> f64 {
        self.network.pack(&at.parameters);
        let (x, y) = (self.problem.inputs.view(), self.problem.targets.view());
        self.network.loss(&at.parameters, x, y, &mut at.state.clone(), self.problem.dropout)
    }

    /// Gradients of the parameters and of the initial state.
    fn analytic(&mut self) -> (Parameters<R>, State<R>) {
        let p = self.problem;
        let mut gradients = Parameters::zeros(p.parameters.sizes());
        self.network.pack(&p.parameters);
        let (x, y) = (p.inputs.view(), p.targets.view());
        let state = &mut p.state.clone();
        self.network.gradients(&mut gradients, &p.parameters, x, y, state, p.dropout);
        (gradients, self.network.state_gradient())
    }
}
