//! What a trace holds: plain numbers, ready to be printed or serialised.

use serde::Serialize;

use crate::model::Sizes;
use crate::study::trace::numbers::Equation;

/// A short text on its way through the network and back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// The network's sizes.
    pub sizes: Sizes,
    /// `"f32"` or `"f64"`: in which everything was computed.
    pub precision: &'static str,
    /// The unit that is followed, if one is.
    pub unit: Option<usize>,
    /// Mean loss in nats, whose gradient comes back in `steps` and `tensors`.
    pub nats: f64,
    /// The same in bits.
    pub bits: f64,
    /// The time steps.
    pub steps: Vec<Step>,
    /// The mean loss's gradient with respect to each parameter.
    pub tensors: Vec<TensorGradient>,
    /// How far back the last step's loss reaches, by lag k = 0 … T − 1.
    pub reach: Vec<Reach>,
    /// Each equation of one time step with the numbers put in, if asked for.
    pub equations: Vec<Equation>,
}

/// One time step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The character that was read.
    pub character: char,
    /// The character that came next and had to be predicted.
    pub next: char,
    /// The most probable next characters, the likeliest first.
    pub top: Vec<Guess>,
    /// The probability that `next` was given.
    pub probability: f64,
    /// −log₂ of it: the loss.
    pub bits: f64,
    /// What happened in each layer.
    pub layers: Vec<LayerStep>,
}

/// A character and its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Guess {
    /// The character.
    pub character: char,
    /// Its probability.
    pub probability: f64,
}

/// One layer at one time step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerStep {
    /// Input gate over the units.
    pub i: Spread,
    /// Forget gate over the units.
    pub f: Spread,
    /// Candidate over the units.
    pub g: Spread,
    /// Output gate over the units.
    pub o: Spread,
    /// Mean cell state.
    pub c: f64,
    /// Mean output.
    pub h: f64,
    /// ‖dh‖, the gradient at h from above and from the step after (Eq. B6).
    pub dh: f64,
    /// ‖dc‖, the gradient at c through h and from the step after (Eq. B8).
    pub dc: f64,
    /// ‖dz‖ of the gates i, f, g, o (Eq. B13 to B16).
    pub dz: [f64; 4],
    /// The followed unit's own numbers.
    pub unit: Option<UnitStep>,
}

/// A gate over all units of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// Its mean.
    pub mean: f64,
    /// Share of units where it is nearly shut: below 0.1, for g below −0.9.
    pub low: f64,
    /// Share of units where it is nearly open: above 0.9.
    pub high: f64,
}

/// One unit at one time step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct UnitStep {
    /// Input gate.
    pub i: f64,
    /// Forget gate.
    pub f: f64,
    /// Candidate.
    pub g: f64,
    /// Output gate.
    pub o: f64,
    /// Cell state.
    pub c: f64,
    /// Output.
    pub h: f64,
    /// Gradient at h.
    pub dh: f64,
    /// Gradient at c.
    pub dc: f64,
    /// Gradient at the pre-activations of i, f, g, o.
    pub dz: [f64; 4],
}

/// The gradient of one parameter tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TensorGradient {
    /// Its name, as in `w_hh_l1`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// ‖dW‖.
    pub norm: f64,
    /// The largest |dW|.
    pub largest: f64,
}

/// The last step's loss seen from k steps before.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reach {
    /// k.
    pub lag: usize,
    /// The character read at T − k.
    pub character: char,
    /// ‖∂loss_T / ∂h_{T−k}‖ in each layer.
    pub dh: Vec<f64>,
    /// ‖∂loss_T / ∂c_{T−k}‖ in each layer.
    pub dc: Vec<f64>,
}
