//! [`karenina::reference`] on the tests' problems, its numbers as arrays.

use karenina::model::{Parameters, Sizes};
use karenina::reference::{self, Adam, Dropout, State, Weights};
pub use karenina::reference::{Batch, training_step};
use ndarray::{Array2, Array3, Array4, ArrayView2};

use crate::equations::case::Problem;

/// One layer's values.
pub struct Layer {
    /// [T, B, 4, H]
    pub z: Array4<f64>,
    /// i, f, g, o: [T, B, 4, H]
    pub gates: Array4<f64>,
    /// [T+1, B, H]
    pub c: Array3<f64>,
    /// [T+1, B, H]
    pub h: Array3<f64>,
    /// [T, B, H]
    pub y: Array3<f64>,
    /// What arrives at y from above, [T, B, H].
    pub dy: Array3<f64>,
    /// What comes to h through y alone, [T, B, H].
    pub dh_above: Array3<f64>,
    /// Whole, [T, B, H].
    pub dh: Array3<f64>,
    /// Whole, [T, B, H].
    pub dc: Array3<f64>,
    /// What c_{t−1} gets through c_t, [T, B, H].
    pub dc_prev: Array3<f64>,
    /// di, df, dg, do: [T, B, 4, H]
    pub d_gates: Array4<f64>,
    /// [T, B, 4, H]
    pub dz: Array4<f64>,
    /// [B, H]
    pub dh_0: Array2<f64>,
    /// [B, H]
    pub dc_0: Array2<f64>,
}

/// Every value of one training step.
pub struct Step {
    pub layers: Vec<Layer>,
    /// [T, B, V]
    pub logits: Array3<f64>,
    /// [T, B, V]
    pub p: Array3<f64>,
    /// [T, B]
    pub losses: Array2<f64>,
    pub loss: f64,
    /// [T, B, V]
    pub dlogits: Array3<f64>,
    pub gradients: Parameters<f64>,
    pub norm: f64,
    pub clipped: Parameters<f64>,
    /// Adam's, after the update.
    pub m: Parameters<f64>,
    /// Adam's, after the update.
    pub v: Parameters<f64>,
    /// After the update.
    pub parameters: Parameters<f64>,
}

/// The rows of a matrix.
pub fn rows<E: Clone>(matrix: ArrayView2<E>) -> Vec<Vec<E>> {
    matrix.rows().into_iter().map(|row| row.to_vec()).collect()
}

/// [T, B, N] from the N numbers at each step and row.
fn sequence<'a>(
    [unroll, batch]: [usize; 2],
    numbers: impl Fn(usize, usize) -> &'a Vec<f64>,
) -> Array3<f64> {
    let width = numbers(0, 0).len();
    Array3::from_shape_fn((unroll, batch, width), |(t, row, n)| numbers(t, row)[n])
}

/// [T, B, 4H] as [T, B, 4, H].
pub fn by_gate(rows: Array3<f64>) -> Array4<f64> {
    let (unroll, batch, width) = rows.dim();
    rows.into_shape_with_order((unroll, batch, 4, width / 4)).unwrap()
}

/// Weights as the reference has them.
pub fn weights(parameters: &Parameters<f64>) -> Weights {
    let layers = (0..parameters.sizes().layers).map(|l| {
        let layer = parameters.lstm(l);
        reference::Layer { w_ih: rows(layer.w_ih), w_hh: rows(layer.w_hh), b: layer.b.to_vec() }
    });
    let projection = parameters.projection();
    Weights {
        layers: layers.collect(),
        w: rows(projection.w),
        b: projection.b.to_vec(),
        cell_norm: parameters.sizes().cell_norm,
    }
}

/// Weights as the engine has them.
pub fn parameters(sizes: Sizes, mut weights: Weights) -> Parameters<f64> {
    let mut parameters = Parameters::zeros(sizes);
    for (to, from) in parameters.tensors_mut().flatten().zip(weights.numbers_mut()) {
        *to = *from;
    }
    parameters
}

/// Characters as the reference has them, [T, B].
pub fn ids(ids: &Array2<u32>) -> Vec<Vec<usize>> {
    rows(ids.mapv(|id| id as usize).view())
}

/// What a training step starts from, and what it leaves.
pub struct Run {
    pub weights: Weights,
    pub adam: Adam,
    pub state: State,
    pub batch: Batch,
    pub dropout: Option<Dropout>,
}

impl Run {
    /// Before the step.
    pub fn new(problem: &Problem) -> Self {
        let karenina::optim::adam::Adam { config, m, v, updates } = &problem.adam;
        Self {
            weights: weights(&problem.parameters),
            adam: Adam {
                learning_rate: config.learning_rate,
                beta1: config.beta1,
                beta2: config.beta2,
                epsilon: config.epsilon,
                weight_decay: config.weight_decay,
                m: weights(m),
                v: weights(v),
                updates: *updates,
            },
            state: State {
                h: problem.state.h.iter().map(|a| rows(a.view())).collect(),
                c: problem.state.c.iter().map(|a| rows(a.view())).collect(),
            },
            batch: Batch { inputs: ids(&problem.inputs), targets: ids(&problem.targets) },
            dropout: problem.dropout.map(like),
        }
    }

    /// The step's numbers as arrays; `self` is what it left.
    pub fn arrays(self, problem: &Problem, step: reference::Step) -> Step {
        let sizes = problem.sizes();
        let (forward, backward) = (&step.forward.positions, &step.backward.positions);
        let (unroll, batch) = problem.positions();
        let steps = [unroll, batch];
        Step {
            layers: (0..sizes.layers).map(|l| self.layer(problem, &step, l)).collect(),
            logits: sequence(steps, |t, row| &forward[t][row].logits),
            p: sequence(steps, |t, row| &forward[t][row].p),
            losses: Array2::from_shape_fn((unroll, batch), |(t, row)| forward[t][row].loss),
            loss: step.forward.loss,
            dlogits: sequence(steps, |t, row| &backward[t][row].dlogits),
            gradients: parameters(sizes, step.backward.dw),
            norm: step.norm,
            clipped: parameters(sizes, step.clipped),
            m: parameters(sizes, self.adam.m),
            v: parameters(sizes, self.adam.v),
            parameters: parameters(sizes, self.weights),
        }
    }

    fn layer<'a>(&self, problem: &Problem, step: &'a reference::Step, l: usize) -> Layer {
        let ((unroll, batch), hidden) = (problem.positions(), problem.sizes().hidden);
        let steps = [unroll, batch];
        let cells = |t: usize, row: usize| &step.forward.positions[t][row].layers[l];
        let d = |t: usize, row: usize| &step.backward.positions[t][row].layers[l];
        let four = |gate: &dyn Fn(usize, usize) -> [&'a Vec<f64>; 4]| {
            Array4::from_shape_fn((unroll, batch, 4, hidden), |(t, row, q, k)| gate(t, row)[q][k])
        };
        // The state before each step, and that after the last.
        let states = |before: &dyn Fn(usize, usize) -> &'a Vec<f64>, last: &[Vec<f64>]| {
            Array3::from_shape_fn((unroll + 1, batch, hidden), |(t, row, k)| {
                if t < unroll { before(t, row)[k] } else { last[row][k] }
            })
        };
        let at_start =
            |rows: &[Vec<f64>]| Array2::from_shape_fn((batch, hidden), |(row, k)| rows[row][k]);
        Layer {
            z: by_gate(sequence(steps, |t, row| &cells(t, row).z)),
            gates: four(&|t, row| {
                [&cells(t, row).i, &cells(t, row).f, &cells(t, row).g, &cells(t, row).o]
            }),
            c: states(&|t, row| &cells(t, row).c_prev, &self.state.c[l]),
            h: states(&|t, row| &cells(t, row).h_prev, &self.state.h[l]),
            y: sequence(steps, |t, row| &cells(t, row).y),
            dy: sequence(steps, |t, row| &d(t, row).dy),
            dh_above: sequence(steps, |t, row| &d(t, row).dh_above),
            dh: sequence(steps, |t, row| &d(t, row).dh),
            dc: sequence(steps, |t, row| &d(t, row).dc),
            dc_prev: sequence(steps, |t, row| &d(t, row).dc_prev),
            d_gates: four(&|t, row| {
                [&d(t, row).d_i, &d(t, row).d_f, &d(t, row).d_g, &d(t, row).d_o]
            }),
            dz: by_gate(sequence(steps, |t, row| &d(t, row).dz)),
            dh_0: at_start(&step.backward.d_state.h[l]),
            dc_0: at_start(&step.backward.d_state.c[l]),
        }
    }
}

/// Dropout's factors as the reference makes them, `[H]`.
pub fn mask(
    dropout: Option<karenina::layers::dropout::Dropout>,
    layer: usize,
    position: usize,
    hidden: usize,
) -> Vec<f64> {
    reference::mask(dropout.map(like), layer, position, hidden)
}

fn like(d: karenina::layers::dropout::Dropout) -> Dropout {
    Dropout { keep: d.keep, seed: d.seed, step: d.step }
}

/// One training step of `problem`.
pub fn run(problem: &Problem) -> Step {
    let mut run = Run::new(problem);
    let Run { weights, adam, state, batch, dropout } = &mut run;
    let step = training_step(weights, adam, state, batch, *dropout, problem.limit);
    run.arrays(problem, step)
}
