//! The point at which gradients are checked, and the network that measures losses around it.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::error::{Error, Result};
use crate::layers::dropout::Dropout;
use crate::math::Real;
use crate::memory;
use crate::model::{Network, Parameters, Sizes, State};
use crate::study::gradcheck::comparison::Element;

/// Roundings of the loss that the tolerance allows for, in units of u·|L|.
///
/// A loss is the end of a long chain of sums, whose roundings partly cancel: measured are 0.1 to 0.7.
pub const ROUNDINGS: f64 = 4.0;

/// A point at which gradients are checked: parameters, state and a batch.
#[derive(Clone, Debug, PartialEq)]
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
    /// * [`Error::Setting`] if B or T is 0 or `keep` is not above 0 and at most 1
    /// * [`Error::TextTooShort`] if `ids` has fewer than B·T + 1 characters
    /// * [`Error::NoMemory`] if there is no memory for the check
    ///
    /// # Panics
    /// If one of these characters is not in the network's vocabulary.
    pub fn on_text(
        parameters: Parameters<R>,
        ids: &[u32],
        (batch, unroll): (usize, usize),
        keep: f64,
        seed: u64,
    ) -> Result<Self> {
        Error::require(batch >= 1, "batch", batch, "at least 1")?;
        Error::require(unroll >= 1, "unroll", unroll, "at least 1")?;
        Error::require(keep > 0.0 && keep <= 1.0, "keep", keep, "above 0 and at most 1")?;
        let needed = batch.saturating_mul(unroll).saturating_add(1);
        if ids.len() < needed {
            let room = ids.len().saturating_sub(1);
            let fits = (room > 0).then(|| match room / unroll {
                0 => (1, room),
                rows => (rows, unroll),
            });
            return Err(Error::TextTooShort { found: ids.len(), batches: 1, needed, fits });
        }
        let Sizes { vocabulary, .. } = parameters.sizes();
        let largest = ids[..needed].iter().max().map_or(0, |&id| id as usize);
        assert!(largest < vocabulary, "character {largest} of {vocabulary}");
        Self::require_memory(parameters.sizes(), (batch, unroll), keep)?;
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

    /// Asks for what a check takes beside its parameters: a copy of them to move about in, the gradients, and
    /// a network.
    ///
    /// * `sizes`: of the parameters, which need not exist yet
    /// * `batch`, `unroll`: B and T
    /// * `keep`: as in [`Problem::on_text`]
    ///
    /// # Errors
    /// [`Error::NoMemory`] if the machine has less.
    pub fn require_memory(sizes: Sizes, (batch, unroll): (usize, usize), keep: f64) -> Result<()> {
        let parts = [
            Parameters::<R>::bytes(sizes).saturating_mul(2),
            Network::<R>::packed_bytes(sizes).saturating_mul(2),
            Network::<R>::tape_bytes(sizes, batch, unroll, keep < 1.0),
        ];
        let Sizes { hidden, layers, .. } = sizes;
        memory::require(
            memory::sum(parts),
            format!("checking {layers} x {hidden} cells on {batch} x {unroll} characters"),
        )
    }
}

/// All that is checked, parameters first, then h_0 and c_0 of every layer.
pub(super) fn tensors_mut<'a, R: Real>(
    parameters: &'a mut Parameters<R>,
    state: &'a mut State<R>,
) -> impl Iterator<Item = &'a mut [R]> {
    let states = state.h.iter_mut().chain(&mut state.c);
    parameters.tensors_mut().chain(states.map(|a| a.as_slice_mut().expect("states are row-major")))
}

/// A network that measures the loss of nearby problems.
pub(in crate::study) struct Probe<R: Real> {
    moved: Problem<R>,
    network: Network<R>,
}

impl<R: Real> Probe<R> {
    pub fn new(problem: Problem<R>) -> Self {
        let (unroll, batch) = problem.inputs.dim();
        let network = Network::new(problem.parameters.sizes(), batch, unroll, 1);
        Self { moved: problem, network }
    }

    pub fn loss(&mut self) -> f64 {
        let at = &self.moved;
        let (x, y) = (at.inputs.view(), at.targets.view());
        self.network.loss(&at.parameters, x, y, &mut at.state.clone(), at.dropout)
    }

    /// Gradients of the parameters and of the initial state.
    pub fn analytic(&mut self) -> (Parameters<R>, State<R>) {
        let at = &self.moved;
        let mut gradients = Parameters::zeros(at.parameters.sizes());
        let (x, y) = (at.inputs.view(), at.targets.view());
        let state = &mut at.state.clone();
        self.network.gradients(&mut gradients, &at.parameters, x, y, state, at.dropout);
        (gradients, self.network.state_gradient())
    }

    /// Both gradients at element `index` of tensor `k`; `loss` is the loss where nothing is moved.
    pub fn element(
        &mut self,
        k: usize,
        index: usize,
        analytic: f64,
        epsilon: f64,
        loss: f64,
    ) -> Element {
        if self.vanishes(k, index, epsilon) {
            let [central, numeric] = [0.0; 2];
            return Element { index, analytic, central, numeric, resolution: f64::INFINITY };
        }
        let [central, wider] = [epsilon, 2.0 * epsilon].map(|step| self.central(k, index, step));
        let numeric = (4.0 * central - wider) / 3.0;
        let rounding = ROUNDINGS * R::EPSILON * loss.abs() / epsilon;
        let truncation = (wider - central).abs() / 3.0;
        Element { index, analytic, central, numeric, resolution: rounding + truncation }
    }

    /// Whether a number is too large to be moved by so small a step.
    fn vanishes(&mut self, k: usize, index: usize, epsilon: f64) -> bool {
        let here = *self.number(k, index);
        here + R::from_f64(epsilon) == here - R::from_f64(epsilon)
    }

    /// The central difference D(ε) at the number `index` of tensor `k`.
    pub fn central(&mut self, k: usize, index: usize, epsilon: f64) -> f64 {
        let ((above, loss_above), (below, loss_below)) =
            (self.moved_by(k, index, epsilon), self.moved_by(k, index, -epsilon));
        // Divided by the step that was really made: θ ± ε is rounded as well.
        (loss_above - loss_below) / (above - below)
    }

    /// Where the number `index` of tensor `k` lands when it is moved by `step`, and the loss there.
    pub fn moved_by(&mut self, k: usize, index: usize, step: f64) -> (f64, f64) {
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
