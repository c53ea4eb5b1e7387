//! Read this first: one whole training step in plain loops.
//!
//! Everything that this crate computes while it trains is on this page, in f64, as you would write it down
//! on paper: forward, back through time, clipping, Adam. Nothing is fast here and nothing is clever.
//! [`layers`](crate::layers), [`model`](crate::model) and [`optim`](crate::optim) compute the same numbers many
//! times faster, and tests compare them with this file. `docs/derivation.md` derives each equation; a line that
//! computes one cites it, as in `// Eq. B8`.
//!
//! # The algorithm
//!
//! The network reads a character at each time step and predicts the next one.
//!
//! ```text
//! forward, from the first time step to the last
//!     x = one-hot(character)
//!     in each layer, from the lowest to the highest
//!         z = x·W_ih + h_prev·W_hh + b                    F1
//!         i, f, g, o = σ(z_i), σ(z_f), tanh(z_g), σ(z_o)  F2 to F5
//!         c = f·c_prev + i·g                              F6
//!         ĉ = c, or c over its root mean square           F13, if the network normalises
//!         h = o·tanh(ĉ)                                   F7
//!         y = h·mask                                      F8
//!         x = y                                           the layer above reads y
//!         h_prev, c_prev = h, c                           the next time step reads h and c
//!     p = softmax(y·W + b)                                F9, F10
//!     loss += −ln p[next character] / N                   F11, F12
//!
//! backward, from the last time step to the first
//!     dlogits, dy                                         B1, B4
//!     in each layer, from the highest to the lowest
//!         dh = dy·mask + what the next step sent          B5, B6
//!         dh → do, dc; dc → di, df, dg, dc_prev; then dz  B7 to B16; between dh and dc also B22
//!         dz → dx, the dy of the layer below              B20
//!         dz → dh_prev, for the step before               B6
//!     each weight's gradient grows by this step's share   B2, B3, B17 to B19
//!
//! update
//!     shorten the gradient if its norm is above a limit   U1, U2
//!     move the weights against it, scaled by Adam         U3 to U6, U8; the caller sets the rate (U7)
//! ```
//!
//! # The letters
//!
//! | letter | counts | index |
//! |---|---|---|
//! | V | characters in the vocabulary | v |
//! | H | LSTM cells in a layer | k |
//! | L | layers | l |
//! | B | rows of a batch: sequences that are read side by side | b |
//! | T | time steps of a batch, here from 0, in `docs/derivation.md` from 1 | t |
//! | N | positions in a batch, T·B | |
//! | D | inputs of a layer: V in the lowest, H above | |
//!
//! Vectors are rows, and a weight is on the right: x·W with x \[D\] and W \[D, 4H\]. The four gates stand side
//! by side in z, always in the order i, f, g, o (input, forget, candidate, output): unit k has its four numbers
//! at k, H + k, 2H + k and 3H + k. A `d` in front means "the derivative of the loss with respect to": `dh`
//! belongs to `h` and has its shape.
//!
//! # An example
//!
//! A net of three cells reads "aba" and should say "bac". A training step lowers the loss:
//!
//! ```
//! use karenina::reference::{Adam, Batch, Layer, State, Weights, forward, training_step};
//!
//! // Any small numbers will do for a start, as long as they differ.
//! let matrix = |rows: usize, columns: usize| -> Vec<Vec<f64>> {
//!     let number = |n: usize| 0.3 * (n as f64 * 1.7).sin();
//!     (0..rows).map(|row| (0..columns).map(|n| number(row * columns + n)).collect()).collect()
//! };
//! let (v, h) = (3, 3);
//! let layer = Layer { w_ih: matrix(v, 4 * h), w_hh: matrix(h, 4 * h), b: vec![0.0; 4 * h] };
//! let mut weights = Weights { layers: vec![layer], w: matrix(h, v), b: vec![0.0; v], cell_norm: false };
//!
//! let mut adam = Adam::new(&weights);
//! let empty = State::zeros(&weights, 1);
//! let batch = Batch { inputs: vec![vec![0], vec![1], vec![0]], targets: vec![vec![1], vec![0], vec![2]] };
//! let step = training_step(&mut weights, &mut adam, &mut empty.clone(), &batch, None, 5.0);
//!
//! let after = forward(&weights, &mut empty.clone(), &batch, None).loss;
//! assert!(after < step.forward.loss);
//! ```

use std::iter::zip;

use crate::math::random::philox;

/// A matrix as its rows: `w[d][m]`.
pub type Matrix = Vec<Vec<f64>>;

/// The weights of one LSTM layer, or their gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// From the input, [D, 4H].
    pub w_ih: Matrix,
    /// From the output of the step before, [H, 4H].
    pub w_hh: Matrix,
    /// Bias, `[4H]`.
    pub b: Vec<f64>,
}

/// All weights of the network. Their gradient and Adam's moments have the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The L layers, lowest first.
    pub layers: Vec<Layer>,
    /// From the highest layer's output to the logits, [H, V].
    pub w: Matrix,
    /// Bias of the logits, `[V]`.
    pub b: Vec<f64>,
    /// No weight, but how the layers use theirs: whether h shows the cell states normalised.
    pub cell_norm: bool,
}

impl Weights {
    /// Every single number, in a fixed order.
    pub fn numbers(&self) -> impl Iterator<Item = &f64> {
        let layers = self
            .layers
            .iter()
            .flat_map(|layer| layer.w_ih.iter().chain(&layer.w_hh).flatten().chain(&layer.b));
        layers.chain(self.w.iter().flatten()).chain(&self.b)
    }

    /// The same, to be changed.
    pub fn numbers_mut(&mut self) -> impl Iterator<Item = &mut f64> {
        let layers = self.layers.iter_mut().flat_map(|layer| {
            layer.w_ih.iter_mut().chain(&mut layer.w_hh).flatten().chain(&mut layer.b)
        });
        layers.chain(self.w.iter_mut().flatten()).chain(&mut self.b)
    }

    /// Zeros in the same shape.
    pub fn zeros(&self) -> Self {
        let mut zeros = self.clone();
        zeros.numbers_mut().for_each(|number| *number = 0.0);
        zeros
    }
}

/// What the network remembers between two time steps. Its gradient has the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The last outputs, [L, B, H].
    pub h: Vec<Matrix>,
    /// The cells' contents, [L, B, H].
    pub c: Vec<Matrix>,
}

impl State {
    /// An empty memory for `rows` rows.
    pub fn zeros(weights: &Weights, rows: usize) -> Self {
        let zeros = vec![vec![vec![0.0; weights.w.len()]; rows]; weights.layers.len()];
        Self { h: zeros.clone(), c: zeros }
    }
}

/// The characters of one training step, as their numbers 0 … V − 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// What is read, [T, B].
    pub inputs: Vec<Vec<usize>>,
    /// What should be predicted, [T, B]: the characters that follow.
    pub targets: Vec<Vec<usize>>,
}

// ---------------------------------------------------------------------------------------------------------
// A product with a weight, y = x·W, and its two derivatives. All matrices of the network are used by these.

/// y ← y + x·W, with x \[D\], W [D, M] and y \[M\].
fn add_product(y: &mut [f64], x: &[f64], w: &Matrix) {
    for (x, row) in zip(x, w) {
        for (y, w) in zip(&mut *y, row) {
            *y += x * w;
        }
    }
}

/// The way back to x: dx = dy·Wᵀ, with dy \[M\], W [D, M] and dx \[D\].
fn product_backward(dy: &[f64], w: &Matrix) -> Vec<f64> {
    w.iter().map(|row| zip(dy, row).map(|(dy, w)| dy * w).sum()).collect()
}

/// The way back to W: dW ← dW + xᵀ·dy, with x \[D\], dy \[M\] and dW [D, M].
///
/// It adds, since each time step and each row of the batch has used the same W.
fn product_backward_weight(dw: &mut Matrix, x: &[f64], dy: &[f64]) {
    for (x, row) in zip(x, dw) {
        for (dw, dy) in zip(row, dy) {
            *dw += x * dy;
        }
    }
}

/// The same for a bias, z = … + b: db ← db + dz.
fn bias_backward(db: &mut [f64], dz: &[f64]) {
    for (db, dz) in zip(db, dz) {
        *db += dz;
    }
}

// ---------------------------------------------------------------------------------------------------------
// One LSTM layer at one time step, in one row of the batch.

/// All numbers of a layer at one time step, in one row of the batch, on the way forward.
#[derive(Clone, Debug, PartialEq)]
pub struct Cells {
    /// Input, `[D]`: a one-hot character, or y of the layer below.
    pub x: Vec<f64>,
    /// Output of the step before, `[H]`.
    pub h_prev: Vec<f64>,
    /// Cell state of the step before, `[H]`.
    pub c_prev: Vec<f64>,
    /// Pre-activations of the four gates, `[4H]`.
    pub z: Vec<f64>,
    /// Input gate: how much of g is written into the cell, `[H]`.
    pub i: Vec<f64>,
    /// Forget gate: how much of the old cell state stays, `[H]`.
    pub f: Vec<f64>,
    /// Candidate: what may be written, `[H]`.
    pub g: Vec<f64>,
    /// Output gate: how much of the cell is shown, `[H]`.
    pub o: Vec<f64>,
    /// Cell state, `[H]`.
    pub c: Vec<f64>,
    /// What h shows of the cell state, ĉ: c itself, or c normalised, `[H]`.
    pub c_hat: Vec<f64>,
    /// Output, `[H]`; the next time step reads it.
    pub h: Vec<f64>,
    /// Dropout's factors, `[H]`: all 1 if there is no dropout.
    pub mask: Vec<f64>,
    /// Output after dropout, `[H]`; the layer above reads it.
    pub y: Vec<f64>,
}

/// The gradients of [`Cells`]. Each counts every way to the loss, unless it says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct CellsGradient {
    /// Of y, `[H]`.
    pub dy: Vec<f64>,
    /// The part of dh that comes from above, through y, `[H]`.
    pub dh_above: Vec<f64>,
    /// Of h, `[H]`.
    pub dh: Vec<f64>,
    /// Of o, `[H]`.
    pub d_o: Vec<f64>,
    /// Of c, `[H]`.
    pub dc: Vec<f64>,
    /// Of i, `[H]`.
    pub d_i: Vec<f64>,
    /// Of f, `[H]`.
    pub d_f: Vec<f64>,
    /// Of g, `[H]`.
    pub d_g: Vec<f64>,
    /// Of z, `[4H]`.
    pub dz: Vec<f64>,
    /// Of x, `[D]`; it is the dy of the layer below.
    pub dx: Vec<f64>,
    /// What this step sends to h of the step before, `[H]`; the layer above sends the rest.
    pub dh_prev: Vec<f64>,
    /// What this step sends to c of the step before, `[H]`; the rest comes through h.
    pub dc_prev: Vec<f64>,
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// The root of the mean of the squares of a row of cell states, by which it is divided where the network
/// normalises. The small number, ε, keeps empty cells from dividing by zero.
fn root_mean_square(c: &[f64]) -> f64 {
    (c.iter().map(|c| c * c).sum::<f64>() / c.len() as f64 + 1e-5).sqrt()
}

/// Forward: x, h_prev, c_prev → c, h, y.
fn lstm(
    w: &Layer,
    x: &[f64],
    h_prev: &[f64],
    c_prev: &[f64],
    mask: Vec<f64>,
    cell_norm: bool,
) -> Cells {
    let mut z = w.b.clone();
    add_product(&mut z, x, &w.w_ih);
    add_product(&mut z, h_prev, &w.w_hh); // Eq. F1

    let hidden = h_prev.len();
    let zeros = || vec![0.0; hidden];
    let (mut i, mut f, mut g, mut o) = (zeros(), zeros(), zeros(), zeros());
    let (mut c, mut h, mut y) = (zeros(), zeros(), zeros());
    for k in 0..hidden {
        i[k] = sigmoid(z[k]); // Eq. F2
        f[k] = sigmoid(z[hidden + k]); // Eq. F3
        g[k] = z[2 * hidden + k].tanh(); // Eq. F4
        o[k] = sigmoid(z[3 * hidden + k]); // Eq. F5
        c[k] = f[k] * c_prev[k] + i[k] * g[k]; // Eq. F6
    }
    let r = if cell_norm { root_mean_square(&c) } else { 1.0 };
    let c_hat: Vec<f64> = c.iter().map(|c| c / r).collect(); // Eq. F13
    for k in 0..hidden {
        h[k] = o[k] * c_hat[k].tanh(); // Eq. F7
        y[k] = h[k] * mask[k]; // Eq. F8
    }
    let (x, h_prev, c_prev) = (x.to_vec(), h_prev.to_vec(), c_prev.to_vec());
    Cells { x, h_prev, c_prev, z, i, f, g, o, c, c_hat, h, mask, y }
}

/// The way back through the division by the root mean square: dĉ → what c gets of it.
///
/// The root depends on every c of the row, so each dc depends on every dĉ.
fn norm_backward(d: &[f64], c: &[f64], c_hat: &[f64]) -> Vec<f64> {
    let r = root_mean_square(c);
    let along = zip(d, c_hat).map(|(d, c_hat)| d * c_hat).sum::<f64>() / c.len() as f64;
    zip(d, c_hat).map(|(d, c_hat)| (d - c_hat * along) / r).collect() // Eq. B22
}

/// Backward: dy from above, and dh_next, dc_next from the next time step → dx, dh_prev, dc_prev.
///
/// A quantity that is read in two places gets its gradient from both: h is read by F8 and by the next step's F1,
/// c by F7 and by the next step's F6. `dw` grows by this step's share of the weights' gradient.
fn lstm_backward(
    w: &Layer,
    cells: &Cells,
    dy: Vec<f64>,
    dh_next: &[f64],
    dc_next: &[f64],
    dw: &mut Layer,
    cell_norm: bool,
) -> CellsGradient {
    let Cells { x, h_prev, c_prev, i, f, g, o, c, c_hat, mask, .. } = cells;
    let hidden = h_prev.len();
    let zeros = || vec![0.0; hidden];
    let (mut dh_above, mut dh, mut dc, mut dc_prev) = (zeros(), zeros(), zeros(), zeros());
    let (mut d_i, mut d_f, mut d_g, mut d_o) = (zeros(), zeros(), zeros(), zeros());
    let mut dz = vec![0.0; 4 * hidden];
    for k in 0..hidden {
        // F8: y = h · mask
        dh_above[k] = dy[k] * mask[k]; // Eq. B5
        dh[k] = dh_above[k] + dh_next[k]; // Eq. B6
        // F7: h = o · tanh ĉ
        let tanh_c = c_hat[k].tanh();
        d_o[k] = dh[k] * tanh_c; // Eq. B7
        dc[k] = dh[k] * o[k] * (1.0 - tanh_c * tanh_c); // so far what comes through h
    }
    if cell_norm {
        // F13: ĉ = c / r
        dc = norm_backward(&dc, c, c_hat);
    }
    for k in 0..hidden {
        dc[k] += dc_next[k]; // Eq. B8
        // F6: c = f · c_prev + i · g
        d_i[k] = dc[k] * g[k]; // Eq. B9
        d_f[k] = dc[k] * c_prev[k]; // Eq. B10
        d_g[k] = dc[k] * i[k]; // Eq. B11
        dc_prev[k] = dc[k] * f[k]; // Eq. B12
        // F2, F3, F5: σ' = σ (1 − σ); F4: tanh' = 1 − tanh²
        dz[k] = d_i[k] * i[k] * (1.0 - i[k]); // Eq. B13
        dz[hidden + k] = d_f[k] * f[k] * (1.0 - f[k]); // Eq. B14
        dz[2 * hidden + k] = d_g[k] * (1.0 - g[k] * g[k]); // Eq. B15
        dz[3 * hidden + k] = d_o[k] * o[k] * (1.0 - o[k]); // Eq. B16
    }
    // F1: z = x·W_ih + h_prev·W_hh + b
    bias_backward(&mut dw.b, &dz); // Eq. B17
    product_backward_weight(&mut dw.w_hh, h_prev, &dz); // Eq. B18
    product_backward_weight(&mut dw.w_ih, x, &dz); // Eq. B19
    let dx = product_backward(&dz, &w.w_ih); // Eq. B20
    let dh_prev = product_backward(&dz, &w.w_hh); // Eq. B21 at the first step; else the step before adds it in B6
    CellsGradient { dy, dh_above, dh, d_o, dc, d_i, d_f, d_g, dz, dx, dh_prev, dc_prev }
}

/// Dropout: each output survives with probability `keep`, and grows by 1 / keep so that the mean stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability that an output survives, in (0, 1].
    pub keep: f64,
    /// Seed of all masks of a training run.
    pub seed: u64,
    /// Number of the training step.
    pub step: u64,
}

/// The factors of layer `l` at `position` t·B + b, `[H]`: 0 for a dropped output, 1 / keep for the others.
///
/// On a first reading, that is all there is to know. Random numbers come four at a time, as functions of their
/// place: a call of `philox` serves the units k, k + 16, k + 32 and k + 48 of a block of 64.
pub fn mask(dropout: Option<Dropout>, l: usize, position: usize, hidden: usize) -> Vec<f64> {
    let Some(Dropout { keep, seed, step }) = dropout else { return vec![1.0; hidden] };
    let factor = |k: usize| {
        let (block, word, lane) = (k / 64, k % 64 / 16, k % 16);
        let place = [(block * 16 + lane) as u32, position as u32, l as u32, step as u32];
        let random = philox(place, [seed as u32, (seed >> 32) as u32])[word];
        let survives = f64::from(random) < (keep * 2f64.powi(32)).floor();
        if survives { 1.0 / keep } else { 0.0 }
    };
    (0..hidden).map(factor).collect()
}

// ---------------------------------------------------------------------------------------------------------
// From the highest layer's output to the loss.

/// All numbers of one position, that is one time step in one row of the batch, on the way forward.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The L layers, lowest first.
    pub layers: Vec<Cells>,
    /// `[V]`
    pub logits: Vec<f64>,
    /// Probability of each character to come next, `[V]`.
    pub p: Vec<f64>,
    /// In nats.
    pub loss: f64,
}

/// The gradients of a [`Position`].
#[derive(Clone, Debug, PartialEq)]
pub struct PositionGradient {
    /// The L layers, lowest first.
    pub layers: Vec<CellsGradient>,
    /// `[V]`
    pub dlogits: Vec<f64>,
}

/// Forward: y of the highest layer → logits, p, loss.
fn predict(weights: &Weights, layers: Vec<Cells>, target: usize) -> Position {
    let y = &layers.last().expect("at least one layer").y;
    let mut logits = weights.b.clone();
    add_product(&mut logits, y, &weights.w); // Eq. F9
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    let p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect(); // Eq. F10
    let loss = -p[target].ln(); // Eq. F11
    Position { layers, logits, p, loss }
}

/// Backward: loss → dlogits, dy of the highest layer. `positions` is N, by which the mean loss divides.
fn predict_backward(
    weights: &Weights,
    position: &Position,
    target: usize,
    positions: f64,
    dw: &mut Weights,
) -> (Vec<f64>, Vec<f64>) {
    // F10: p = softmax(logits); F11: loss = −ln p[target]; F12: the mean over N positions
    let mut dlogits = position.p.clone();
    dlogits[target] -= 1.0;
    dlogits.iter_mut().for_each(|d| *d /= positions); // Eq. B1
    // F9: logits = y·W + b
    let top = position.layers.last().expect("at least one layer");
    product_backward_weight(&mut dw.w, &top.y, &dlogits); // Eq. B2
    bias_backward(&mut dw.b, &dlogits); // Eq. B3
    let dy = product_backward(&dlogits, &weights.w); // Eq. B4
    (dlogits, dy)
}

// ---------------------------------------------------------------------------------------------------------
// The whole network over all time steps, there and back.

/// What the way forward leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// [T, B]
    pub positions: Vec<Vec<Position>>,
    /// Mean loss over all positions, in nats.
    pub loss: f64,
}

/// What the way back leaves.
#[derive(Clone, Debug, PartialEq)]
pub struct Backward {
    /// [T, B]
    pub positions: Vec<Vec<PositionGradient>>,
    /// The gradient of all weights.
    pub dw: Weights,
    /// The gradient of the state before the first step.
    pub d_state: State,
}

/// Reads a batch. `state` is that before the first time step on entry, that after the last on return.
pub fn forward(
    weights: &Weights,
    state: &mut State,
    batch: &Batch,
    dropout: Option<Dropout>,
) -> Forward {
    let (vocabulary, hidden) = (weights.b.len(), weights.w.len());
    let mut positions = Vec::new();
    for (t, inputs) in batch.inputs.iter().enumerate() {
        let rows = inputs.len();
        let mut step = Vec::new();
        for b in 0..rows {
            let mut x = vec![0.0; vocabulary];
            x[inputs[b]] = 1.0;
            let mut layers = Vec::new();
            for (l, w) in weights.layers.iter().enumerate() {
                let mask = mask(dropout, l, t * rows + b, hidden);
                let (h_prev, c_prev) = (&state.h[l][b], &state.c[l][b]);
                let cells = lstm(w, &x, h_prev, c_prev, mask, weights.cell_norm);
                x = cells.y.clone();
                state.h[l][b] = cells.h.clone();
                state.c[l][b] = cells.c.clone();
                layers.push(cells);
            }
            step.push(predict(weights, layers, batch.targets[t][b]));
        }
        positions.push(step);
    }
    let losses: Vec<f64> = positions.iter().flatten().map(|position| position.loss).collect();
    let loss = losses.iter().sum::<f64>() / losses.len() as f64; // Eq. F12
    Forward { positions, loss }
}

/// Takes the mean loss back through all layers and time steps.
///
/// The next batch sends nothing back into this one: at the last step `dh_next` and `dc_next` are zero. That is
/// the truncation in "truncated back-propagation through time".
pub fn backward(weights: &Weights, forward: &Forward, batch: &Batch) -> Backward {
    let (steps, rows) = (batch.inputs.len(), batch.inputs[0].len());
    let mut dw = weights.zeros();
    let State { h: mut dh_next, c: mut dc_next } = State::zeros(weights, rows);
    let mut positions = Vec::new();
    for t in (0..steps).rev() {
        let mut step = Vec::new();
        for b in 0..rows {
            let (position, target) = (&forward.positions[t][b], batch.targets[t][b]);
            let n = (steps * rows) as f64;
            let (dlogits, mut dy) = predict_backward(weights, position, target, n, &mut dw);
            let mut layers = Vec::new();
            for (l, w) in weights.layers.iter().enumerate().rev() {
                let (cells, dw) = (&position.layers[l], &mut dw.layers[l]);
                let (dh_next, dc_next) = (&mut dh_next[l][b], &mut dc_next[l][b]);
                let d = lstm_backward(w, cells, dy, dh_next, dc_next, dw, weights.cell_norm);
                dy = d.dx.clone();
                *dh_next = d.dh_prev.clone();
                *dc_next = d.dc_prev.clone();
                layers.insert(0, d);
            }
            step.push(PositionGradient { layers, dlogits });
        }
        positions.insert(0, step);
    }
    // What step 0 has sent back is the gradient of the state before it.
    Backward { positions, dw, d_state: State { h: dh_next, c: dc_next } }
}

// ---------------------------------------------------------------------------------------------------------
// From the gradient to new weights.

/// Shortens the gradient to `limit` if it is longer, and keeps its direction. Returns its norm before.
pub fn clip(dw: &mut Weights, limit: f64) -> f64 {
    let norm = dw.numbers().map(|g| g * g).sum::<f64>().sqrt(); // Eq. U1
    if norm > limit {
        dw.numbers_mut().for_each(|g| *g *= limit / norm); // Eq. U2
    }
    norm
}

/// Adam: the step of each weight is scaled by running means of its gradient and of the gradient's square.
#[derive(Clone, Debug, PartialEq)]
pub struct Adam {
    /// α, the step size.
    pub learning_rate: f64,
    /// β₁: how slowly the first mean forgets.
    pub beta1: f64,
    /// β₂: how slowly the second mean forgets.
    pub beta2: f64,
    /// ε: keeps the division finite.
    pub epsilon: f64,
    /// λ: the part of each weight that a step takes off, in units of α.
    pub weight_decay: f64,
    /// Running mean of the gradient.
    pub m: Weights,
    /// Running mean of its square.
    pub v: Weights,
    /// Updates made so far.
    pub updates: u64,
}

impl Adam {
    /// Means at zero, and the constants of the paper (Kingma and Ba, ICLR 2015).
    pub fn new(weights: &Weights) -> Self {
        let (m, v) = (weights.zeros(), weights.zeros());
        let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
        Self { learning_rate: 1e-3, beta1, beta2, epsilon, weight_decay: 0.0, m, v, updates: 0 }
    }

    /// Moves `weights` against the gradient `dw`.
    pub fn update(&mut self, weights: &mut Weights, dw: &Weights) {
        self.updates += 1;
        let Self { learning_rate, beta1, beta2, epsilon, weight_decay, .. } = *self;
        let t = self.updates as f64;
        // Means that start at zero are too small at first, by these factors.
        let (first, second) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t)); // Eq. U5
        let means = zip(self.m.numbers_mut(), self.v.numbers_mut());
        for ((theta, g), (m, v)) in zip(zip(weights.numbers_mut(), dw.numbers()), means) {
            *m = beta1 * *m + (1.0 - beta1) * g; // Eq. U3
            *v = beta2 * *v + (1.0 - beta2) * g * g; // Eq. U4
            *theta -= learning_rate * weight_decay * *theta; // Eq. U8
            *theta -= learning_rate * (*m / first) / ((*v / second).sqrt() + epsilon); // Eq. U6
        }
    }
}

/// The learning rate of the step after `step` others: for `warm_up` steps it rises along a line to `height`; after
/// `start` steps it falls along a line to 0, which it would reach after `end` steps.
pub fn learning_rate(height: f64, warm_up: f64, (start, end): (f64, f64), step: f64) -> f64 {
    let (rise, left) = ((step + 1.0) / warm_up, (end - step) / (end - start));
    height * rise.min(1.0) * left.clamp(0.0, 1.0) // Eq. U7
}

/// What one training step computed on its way to the new weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// On the way forward.
    pub forward: Forward,
    /// On the way back.
    pub backward: Backward,
    /// The gradient's norm.
    pub norm: f64,
    /// The gradient after clipping.
    pub clipped: Weights,
}

/// One training step: forward, backward, clip, update.
///
/// `state` goes on to the next batch, which reads on where this one ends. `limit` is the largest norm.
pub fn training_step(
    weights: &mut Weights,
    adam: &mut Adam,
    state: &mut State,
    batch: &Batch,
    dropout: Option<Dropout>,
    limit: f64,
) -> Step {
    let forward = forward(weights, state, batch, dropout);
    let backward = backward(weights, &forward, batch);
    let mut clipped = backward.dw.clone();
    let norm = clip(&mut clipped, limit);
    adam.update(weights, &clipped);
    Step { forward, backward, norm, clipped }
}
