//! B1 to B21.

use karenina::model::Parameters;
use ndarray::{Array2, Array3};

use super::mutation::Mistake;
use super::{Layer, Mutation, Step, mask};
use crate::equations::case::{F, G, I, O, Problem};

/// The backward pass: fills in every gradient of `step`.
pub fn run(problem: &Problem, step: &mut Step, mistake: Mistake) {
    step.dlogits = logits(problem, &step.p, mistake);
    let last = problem.sizes().layers - 1;
    let mut dy = projection(problem, step, mistake);
    projection_gradients(step, mistake);
    for l in (0..=last).rev() {
        let layer = &mut step.layers[l];
        layer.dy = dy;
        through_time(problem, l, layer, mistake);
        input(problem, l, layer, mistake);
        layer_gradients(l, layer, &mut step.gradients, mistake);
        dy = layer.dx.clone();
    }
}

fn logits(problem: &Problem, p: &Array3<f64>, mistake: Mistake) -> Array3<f64> {
    let scale = 1.0 / problem.inputs.len() as f64;
    let scale = mistake.pick(Mutation::B1SumsInsteadOfAveraging, scale, 1.0);
    Array3::from_shape_fn(p.dim(), |(t, row, v)| {
        let is_target = f64::from(problem.targets[[t, row]] as usize == v);
        let is_target = mistake.pick(Mutation::B1KeepsTheTarget, is_target, 0.0);
        (p[[t, row, v]] - is_target) * scale // Eq. B1
    })
}

fn projection(problem: &Problem, step: &Step, mistake: Mistake) -> Array3<f64> {
    let (unroll, batch, vocabulary) = step.dlogits.dim();
    let characters = mistake.pick(Mutation::B4LosesTheLastCharacter, vocabulary, vocabulary - 1);
    let w = &problem.parameters.projection.w;
    Array3::from_shape_fn((unroll, batch, problem.sizes().hidden), |(t, row, k)| {
        (0..characters).map(|v| step.dlogits[[t, row, v]] * w[[k, v]]).sum() // Eq. B4
    })
}

fn projection_gradients(step: &mut Step, mistake: Mistake) {
    let top = step.layers.last().unwrap();
    let gradient = &mut step.gradients.projection;
    let unroll = step.dlogits.dim().0;
    let hidden = top.y.dim().2;
    for (t, row, v) in ndarray::indices(step.dlogits.dim()) {
        let dlogit = step.dlogits[[t, row, v]];
        for k in 0..hidden {
            let (y, h) = (top.y[[t, row, k]], top.h[[t + 1, row, k]]);
            gradient.w[[k, v]] += mistake.pick(Mutation::B2ReadsHInsteadOfY, y, h) * dlogit; // Eq. B2
        }
        let kept = if t + 1 == unroll { 0.0 } else { dlogit };
        gradient.b[v] += mistake.pick(Mutation::B3LosesTheLastStep, dlogit, kept); // Eq. B3
    }
}

/// From dy to dz, from the last step to the first.
fn through_time(problem: &Problem, l: usize, layer: &mut Layer, mistake: Mistake) {
    let (unroll, batch, hidden) = layer.y.dim();
    let w_hh = &problem.parameters.lstm[l].w_hh;
    for t in (0..unroll).rev() {
        for (row, k) in ndarray::indices((batch, hidden)) {
            let factor = mask(problem.dropout, l, t * batch + row, k);
            let keep = problem.dropout.map_or(1.0, |d| d.keep);
            let factor = mistake.pick(Mutation::B5ForgetsTheScale, factor, factor * keep);
            let above = layer.dy[[t, row, k]] * factor; // Eq. B5
            layer.dh_above[[t, row, k]] = above;
            let after = from_step_after(layer, w_hh, [t + 1, row, k]);
            let above = mistake.pick(Mutation::B6LosesTheLayerAbove, above, 0.0);
            let after = mistake.pick(Mutation::B6LosesTheStepAfter, after, 0.0);
            layer.dh[[t, row, k]] = above + after; // Eq. B6
        }
        for (row, k) in ndarray::indices((batch, hidden)) {
            cell(layer, [t, row, k], mistake);
        }
    }
    for (row, k) in ndarray::indices((batch, hidden)) {
        layer.dh_0[[row, k]] = from_step_after(layer, w_hh, [0, row, k]); // Eq. B21
        let (whole, last) = (layer.dc_prev[[0, row, k]], layer.dc[[0, row, k]]);
        layer.dc_0[[row, k]] = mistake.pick(Mutation::B21StopsOneStepEarly, whole, last); // Eq. B21
    }
}

/// (dz_t·W_hhᵀ) at unit k, and 0 beyond the last step.
fn from_step_after(layer: &Layer, w_hh: &Array2<f64>, [t, row, k]: [usize; 3]) -> f64 {
    let (unroll, _, hidden) = layer.y.dim();
    if t == unroll {
        return 0.0;
    }
    let columns = ndarray::indices((4, hidden)).into_iter();
    columns.map(|(q, j)| layer.dz[[t, row, q, j]] * w_hh[[k, q * hidden + j]]).sum()
}

/// One unit of one row at one step.
fn cell(layer: &mut Layer, [t, row, k]: [usize; 3], mistake: Mistake) {
    use Mutation::*;
    let [i, f, g, o] = [I, F, G, O].map(|q| layer.gates[[t, row, q, k]]);
    let (c_prev, c) = (layer.c[[t, row, k]], layer.c[[t + 1, row, k]]);
    let tanh_c = c.tanh();
    let dh = layer.dh[[t, row, k]];
    let after = if t + 1 == layer.y.dim().0 { 0.0 } else { layer.dc_prev[[t + 1, row, k]] };

    let d_o = dh * mistake.pick(B7ForgetsTanh, tanh_c, c); // Eq. B7
    let after = mistake.pick(B8LosesTheStepAfter, after, 0.0);
    let slope = mistake.pick(B8ForgetsTheSlopeOfTanh, 1.0 - tanh_c * tanh_c, 1.0);
    let dc = after + dh * o * slope; // Eq. B8
    let d_i = mistake.pick(B9HasTheWrongSign, dc * g, -dc * g); // Eq. B9
    let d_f = dc * mistake.pick(B10ReadsTheNewCell, c_prev, c); // Eq. B10
    let d_g = dc * mistake.pick(B11ReadsTheForgetGate, i, f); // Eq. B11
    let dc_prev = dc * mistake.pick(B12ForgetsTheForgetGate, f, 1.0); // Eq. B12
    let dz = [
        d_i * i * mistake.pick(B13LosesOneMinusI, 1.0 - i, 1.0), // Eq. B13
        d_f * f * mistake.pick(B14HasTheWrongSign, 1.0 - f, 1.0 + f), // Eq. B14
        d_g * (1.0 - g * mistake.pick(B15ForgetsTheSquare, g, 1.0)), // Eq. B15
        d_o * mistake.pick(B16TakesTheSlopeOfTanh, o * (1.0 - o), 1.0 - o * o), // Eq. B16
    ];
    layer.dc[[t, row, k]] = dc;
    layer.dc_prev[[t, row, k]] = dc_prev;
    for (q, d) in [d_i, d_f, d_g, d_o].into_iter().enumerate() {
        layer.d_gates[[t, row, q, k]] = d;
        layer.dz[[t, row, q, k]] = dz[q];
    }
}

fn input(problem: &Problem, l: usize, layer: &mut Layer, mistake: Mistake) {
    let hidden = problem.sizes().hidden;
    let gates = mistake.pick(Mutation::B20LosesTheOutputGate, 4, 3);
    let w_ih = &problem.parameters.lstm[l].w_ih;
    layer.dx = Array3::from_shape_fn(layer.x.dim(), |(t, row, d)| {
        let columns = ndarray::indices((gates, hidden)).into_iter();
        columns.map(|(q, k)| layer.dz[[t, row, q, k]] * w_ih[[d, q * hidden + k]]).sum() // Eq. B20
    });
}

fn layer_gradients(l: usize, layer: &Layer, gradients: &mut Parameters<f64>, mistake: Mistake) {
    let gradient = &mut gradients.lstm[l];
    let (_, _, input) = layer.x.dim();
    let hidden = layer.y.dim().2;
    for (t, row, q, k) in ndarray::indices(layer.dz.dim()) {
        let (column, dz) = (q * hidden + k, layer.dz[[t, row, q, k]]);
        let kept = if t == 0 { 0.0 } else { dz };
        gradient.b[column] += mistake.pick(Mutation::B17LosesTheFirstStep, dz, kept); // Eq. B17
        for j in 0..hidden {
            let (h_prev, h) = (layer.h[[t, row, j]], layer.h[[t + 1, row, j]]);
            let h_prev = mistake.pick(Mutation::B18ReadsTheNewOutput, h_prev, h);
            gradient.w_hh[[j, column]] += h_prev * dz; // Eq. B18
        }
        for d in 0..input {
            let x = layer.x[[t, row, d]];
            let sum = gradient.w_ih[[d, column]] + x * dz;
            let overwritten = if l == 0 && x != 0.0 { x * dz } else { sum };
            let repeated = Mutation::B19OverwritesRepeatedCharacters;
            gradient.w_ih[[d, column]] = mistake.pick(repeated, sum, overwritten); // Eq. B19
        }
    }
}
