//! One training step in plain scalar loops: no packing, no shards, no gather, no memory used twice.
//!
//! Every line carries the number of its equation, and [`Mutation`] can spoil any backward or update
//! equation: `right` and `wrong` stand side by side at the place.

mod backward;
mod forward;
mod mutation;
mod update;

use karenina::model::Parameters;
use ndarray::{Array2, Array3, Array4};

use crate::equations::case::Problem;
pub use forward::mask;
use mutation::Mistake;
pub use mutation::Mutation;
pub use update::Update;

/// One layer's values.
#[derive(Clone)]
pub struct Layer {
    /// Input, [T, B, D]; one-hot in the first layer.
    pub x: Array3<f64>,
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
    /// [T, B, D]
    pub dx: Array3<f64>,
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
    pub update: Update,
}

/// One training step of `problem`, with one mistake if `mutation` says so.
pub fn run(problem: &Problem, mutation: Option<Mutation>) -> Step {
    let mistake = Mistake(mutation);
    let mut step = forward::run(problem);
    backward::run(problem, &mut step, mistake);
    step.update = update::run(problem, &step.gradients, mistake);
    step
}
