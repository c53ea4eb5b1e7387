//! A text on its way through a network and back, laid open.
//!
//! [`trace`] runs a short text forward and backward with the engine's own layer functions and keeps what
//! training throws away: the gates of every step, the gradients dh and dc at every step, and how far
//! the loss of the last step reaches back.

mod data;
mod format;
pub(super) mod numbers;
pub(super) mod pass;

use ndarray::{ArrayView1, s};

pub use data::{Guess, LayerStep, Reach, Spread, Step, TensorGradient, Trace, UnitStep};
pub use format::{significant, visible};
pub use numbers::{Equation, Spot};

use crate::error::{Error, Result, plural};
use crate::math::Real;
use crate::memory;
use crate::model::{Parameters, Tensor};
use pass::{Gradient, LayerGradient, Pass};

/// `docs/derivation.md`, which derives each equation under its [`Equation::label`].
pub const DERIVATION: &str = include_str!("../../../docs/derivation.md");

/// What is to be seen beside the means over all units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// A unit to follow. Default none.
    pub unit: Option<usize>,
    /// How many of the most probable characters are kept. Default 5.
    pub top: usize,
    /// A place whose every equation is wanted with its numbers. Default none.
    pub spot: Option<Spot>,
}

impl Default for View {
    fn default() -> Self {
        Self { unit: None, top: 5, spot: None }
    }
}

/// Reads `ids` from a zero state, predicts each but the first, and propagates the loss back.
///
/// * `vocabulary` `[V]`: the characters by id
/// * `ids`: the text, at least two characters
///
/// # Errors
/// * [`Error::Setting`] for fewer than two characters, and for a unit, layer or step that does not exist
/// * [`Error::NoMemory`] if there is no memory for all that is kept
///
/// # Panics
/// If the vocabulary does not have the size V of the parameters, or an id is not below V.
///
/// ```
/// use karenina::model::{Initialisation, Parameters, Sizes};
/// use karenina::rand::SeedableRng;
/// use karenina::study::trace::{View, trace};
///
/// let sizes = Sizes::new(2, 4, 1);
/// let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let parameters: Parameters<f64> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
/// let trace = trace(&parameters, &['a', 'n'], &[0, 1, 1, 0], View::default())?;
/// assert_eq!((trace.steps[1].character, trace.steps[1].next), ('n', 'n'));
/// assert!(trace.reach[2].dh[0] < trace.reach[0].dh[0], "the gradient has faded");
/// # Ok::<(), karenina::error::Error>(())
/// ```
pub fn trace<R: Real>(
    parameters: &Parameters<R>,
    vocabulary: &[char],
    ids: &[u32],
    view: View,
) -> Result<Trace> {
    let sizes = parameters.sizes();
    assert_eq!(vocabulary.len(), sizes.vocabulary, "characters and columns of the projection");
    require_two(ids.len())?;
    let unroll = ids.len() - 1;
    for unit in view.unit.into_iter().chain(view.spot.map(|spot| spot.unit)) {
        require_below(sizes.hidden, "unit", unit)?;
    }
    if let Some(spot) = view.spot {
        require_below(sizes.layers, "layer", spot.layer)?;
        require_below(unroll, "step", spot.step)?;
    }

    let what = format!("a trace of {} characters", ids.len());
    memory::require(pass::bytes::<R>(sizes, unroll), what)?;
    let pass = Pass::forward(parameters, ids);
    let mean = pass.backward();
    let last = pass.backward_from_last();
    let nats = pass.losses().sum::<f64>() / unroll as f64;
    Ok(Trace {
        sizes,
        precision: R::NAME,
        unit: view.unit,
        nats,
        bits: nats / std::f64::consts::LN_2,
        steps: (0..unroll).map(|t| step(&pass, &mean, vocabulary, t, view)).collect(),
        tensors: tensors(&pass.parameter_gradients(parameters)),
        reach: (0..unroll).map(|lag| reach_at(&last, vocabulary, ids, lag)).collect(),
        equations: view
            .spot
            .map_or(Vec::new(), |at| numbers::equations(parameters, &pass, &mean, vocabulary, at)),
    })
}

/// Refuses the place `found` unless it is one of `count`.
pub(super) fn require_below(count: usize, name: &'static str, found: usize) -> Result<()> {
    let expected = || format!("at most {}, counted from 0", count - 1);
    if found < count { Ok(()) } else { Err(Error::setting(name, found, expected())) }
}

/// Refuses a text of so many characters if nothing in it can be predicted.
pub(super) fn require_two(length: usize) -> Result<()> {
    let found = format!("{length} character{}", plural(length as u64));
    Error::require(length >= 2, "text", found, "at least 2: one to read and one to predict")
}

fn step<R: Real>(
    pass: &Pass<R>,
    gradient: &Gradient<R>,
    vocabulary: &[char],
    t: usize,
    view: View,
) -> Step {
    let (probabilities, target) = (pass.p(), pass.target(t));
    let p = probabilities.row(t);
    let guess =
        |(id, p): (u32, R)| Guess { character: vocabulary[id as usize], probability: p.to_f64() };
    Step {
        character: vocabulary[pass.input(t)],
        next: vocabulary[target],
        top: ranked(p).into_iter().take(view.top).map(guess).collect(),
        probability: p[target].to_f64(),
        bits: pass.losses().nth(t).expect("a loss for each step") / std::f64::consts::LN_2,
        layers: (0..pass.sizes.layers)
            .map(|l| layer_step(pass, &gradient.layers[l], l, t, view.unit))
            .collect(),
    }
}

/// The ids of all characters with their probabilities `p` [V], the likeliest first.
pub(super) fn ranked<R: Real>(p: ArrayView1<R>) -> Vec<(u32, R)> {
    let mut ranked: Vec<_> = (0..).zip(p.iter().copied()).collect();
    // A stable sort: among equals the smaller id comes first.
    ranked.sort_by(|(_, a), (_, b)| b.to_f64().total_cmp(&a.to_f64()));
    ranked
}

fn layer_step<R: Real>(
    pass: &Pass<R>,
    gradient: &LayerGradient<R>,
    l: usize,
    t: usize,
    unit: Option<usize>,
) -> LayerStep {
    let hidden = pass.sizes.hidden;
    let (gates, c, h) = (pass.gates(l), pass.c(l), pass.h(l));
    let four = [0, 1, 2, 3].map(|n| s![t, n * hidden..(n + 1) * hidden]);
    let [i, f, g, o] = four.map(|gate| gates.slice(gate));
    let dz = four.map(|gate| gradient.dz.slice(gate));
    let (c, h) = (c.row(t + 1), h.row(t + 1));
    let (dh, dc) = (gradient.dh.row(t), gradient.dc.row(t));
    LayerStep {
        i: spread(i, 0.1),
        f: spread(f, 0.1),
        g: spread(g, -0.9),
        o: spread(o, 0.1),
        c: mean(c),
        h: mean(h),
        dh: norm(dh),
        dc: norm(dc),
        dz: dz.map(norm),
        unit: unit.map(|u| {
            let [i, f, g, o, c, h, dh, dc] = [i, f, g, o, c, h, dh, dc].map(|x| x[u].to_f64());
            UnitStep { i, f, g, o, c, h, dh, dc, dz: dz.map(|dz| dz[u].to_f64()) }
        }),
    }
}

/// The norm and largest number of each tensor of a gradient.
pub(super) fn tensors<R: Real>(gradients: &Parameters<R>) -> Vec<TensorGradient> {
    let described = gradients.sizes().tensors().map(|Tensor { name, shape, range }| {
        let d = &gradients.numbers()[range];
        let largest = d.iter().fold(0.0, |max, d| f64::max(max, d.to_f64().abs()));
        TensorGradient { name, shape, norm: norm(d.into()), largest }
    });
    described.collect()
}

fn reach_at<R: Real>(last: &Gradient<R>, vocabulary: &[char], ids: &[u32], lag: usize) -> Reach {
    let t = ids.len() - 2 - lag;
    Reach {
        lag,
        character: vocabulary[ids[t] as usize],
        dh: last.layers.iter().map(|layer| norm(layer.dh.row(t))).collect(),
        dc: last.layers.iter().map(|layer| norm(layer.dc.row(t))).collect(),
    }
}

fn spread<R: Real>(gate: ArrayView1<R>, low: f64) -> Spread {
    let share = |holds: &dyn Fn(f64) -> bool| {
        gate.iter().filter(|x| holds(x.to_f64())).count() as f64 / gate.len() as f64
    };
    Spread { mean: mean(gate), low: share(&|x| x < low), high: share(&|x| x > 0.9) }
}

fn mean<R: Real>(x: ArrayView1<R>) -> f64 {
    x.iter().map(|x| x.to_f64()).sum::<f64>() / x.len() as f64
}

pub(super) fn norm<R: Real>(x: ArrayView1<R>) -> f64 {
    x.iter().map(|x| x.to_f64() * x.to_f64()).sum::<f64>().sqrt()
}
