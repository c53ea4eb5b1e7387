//! F1 to F12.

use karenina::layers::dropout::Dropout;
use karenina::math::random::philox;
use karenina::model::Parameters;
use ndarray::{Array2, Array3, Array4, Axis};

use super::{Layer, Step, Update};
use crate::equations::case::{F, G, I, O, Problem};

/// The forward pass; everything backward is still zero.
pub fn run(problem: &Problem) -> Step {
    let sizes = problem.sizes();
    let (unroll, batch) = problem.positions();
    let mut layers: Vec<Layer> = Vec::new();
    for l in 0..sizes.layers {
        let x = match layers.last() {
            None => Array3::from_shape_fn((unroll, batch, sizes.vocabulary), |(t, row, v)| {
                f64::from(problem.inputs[[t, row]] as usize == v)
            }),
            Some(below) => below.y.clone(),
        };
        layers.push(layer(problem, l, x));
    }
    let logits = logits(problem, &layers[sizes.layers - 1].y);
    let (p, losses) = softmax(problem, &logits);
    Step {
        layers,
        loss: losses.sum() / losses.len() as f64, // Eq. F12
        dlogits: Array3::zeros(p.dim()),
        logits,
        p,
        losses,
        gradients: Parameters::zeros(sizes),
        update: Update::none(sizes),
    }
}

fn layer(problem: &Problem, l: usize, x: Array3<f64>) -> Layer {
    let weights = &problem.parameters.lstm[l];
    let (unroll, batch, input) = x.dim();
    let hidden = problem.sizes().hidden;
    let mut layer = empty(x, hidden);
    layer.c.index_axis_mut(Axis(0), 0).assign(&problem.state.c[l]);
    layer.h.index_axis_mut(Axis(0), 0).assign(&problem.state.h[l]);
    for (t, row) in ndarray::indices((unroll, batch)) {
        for (q, k) in ndarray::indices((4, hidden)) {
            let column = q * hidden + k;
            let mut z = weights.b[column];
            for d in 0..input {
                z += layer.x[[t, row, d]] * weights.w_ih[[d, column]];
            }
            for j in 0..hidden {
                z += layer.h[[t, row, j]] * weights.w_hh[[j, column]];
            }
            layer.z[[t, row, q, k]] = z; // Eq. F1
            let activation = if q == G { z.tanh() } else { 1.0 / (1.0 + (-z).exp()) };
            layer.gates[[t, row, q, k]] = activation; // Eq. F2, F3, F4, F5
        }
        for k in 0..hidden {
            let [i, f, g, o] = [I, F, G, O].map(|q| layer.gates[[t, row, q, k]]);
            let c = f * layer.c[[t, row, k]] + i * g; // Eq. F6
            let h = o * c.tanh(); // Eq. F7
            layer.c[[t + 1, row, k]] = c;
            layer.h[[t + 1, row, k]] = h;
            layer.y[[t, row, k]] = h * mask(problem.dropout, l, t * batch + row, k); // Eq. F8
        }
    }
    layer
}

fn empty(x: Array3<f64>, hidden: usize) -> Layer {
    let (unroll, batch, _) = x.dim();
    let outputs = Array3::zeros((unroll, batch, hidden));
    let states = Array3::zeros((unroll + 1, batch, hidden));
    let gates = Array4::zeros((unroll, batch, 4, hidden));
    Layer {
        dx: Array3::zeros(x.dim()),
        x,
        z: gates.clone(),
        gates: gates.clone(),
        c: states.clone(),
        h: states,
        y: outputs.clone(),
        dy: outputs.clone(),
        dh_above: outputs.clone(),
        dh: outputs.clone(),
        dc: outputs.clone(),
        dc_prev: outputs,
        d_gates: gates.clone(),
        dz: gates,
        dh_0: Array2::zeros((batch, hidden)),
        dc_0: Array2::zeros((batch, hidden)),
    }
}

/// m / keep for one unit: 0 or 1 / keep.
///
/// The engine makes the masks of 64 units at once, from 16 counters with four words each; unit k
/// finds its own here.
pub fn mask(dropout: Option<Dropout>, layer: usize, position: usize, k: usize) -> f64 {
    let Some(Dropout { keep, seed, step }) = dropout else { return 1.0 };
    let (block, word, lane) = (k / 64, k % 64 / 16, k % 16);
    let counter = [(block * 16 + lane) as u32, position as u32, layer as u32, step as u32];
    let words = philox(counter, [seed as u32, (seed >> 32) as u32]);
    let survives = f64::from(words[word]) < keep * 2f64.powi(32);
    f64::from(survives) / keep
}

fn logits(problem: &Problem, y: &Array3<f64>) -> Array3<f64> {
    let (unroll, batch, hidden) = y.dim();
    let weights = &problem.parameters.projection;
    Array3::from_shape_fn((unroll, batch, problem.sizes().vocabulary), |(t, row, v)| {
        let products = (0..hidden).map(|k| y[[t, row, k]] * weights.w[[k, v]]);
        products.sum::<f64>() + weights.b[v] // Eq. F9
    })
}

/// Probabilities and each position's loss.
fn softmax(problem: &Problem, logits: &Array3<f64>) -> (Array3<f64>, Array2<f64>) {
    let (unroll, batch, vocabulary) = logits.dim();
    let p = Array3::from_shape_fn(logits.dim(), |(t, row, v)| {
        let sum: f64 = (0..vocabulary).map(|u| logits[[t, row, u]].exp()).sum();
        logits[[t, row, v]].exp() / sum // Eq. F10
    });
    let losses = Array2::from_shape_fn((unroll, batch), |(t, row)| {
        -p[[t, row, problem.targets[[t, row]] as usize]].ln() // Eq. F11
    });
    (p, losses)
}
