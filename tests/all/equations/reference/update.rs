//! U1 to U6.

use karenina::model::{Parameters, Sizes};

use super::Mutation::*;
use super::mutation::Mistake;
use crate::equations::case::Problem;

/// From gradients to new parameters.
pub struct Update {
    pub norm: f64,
    pub clipped: Parameters<f64>,
    pub m: Parameters<f64>,
    pub v: Parameters<f64>,
    /// α / (1 − β₁ᵗ)
    pub step_size: f64,
    /// 1 / √(1 − β₂ᵗ)
    pub v_correction: f64,
    pub parameters: Parameters<f64>,
}

impl Update {
    /// All zero.
    pub fn none(sizes: Sizes) -> Self {
        let zeros = Parameters::zeros(sizes);
        Self {
            norm: 0.0,
            clipped: zeros.clone(),
            m: zeros.clone(),
            v: zeros.clone(),
            step_size: 0.0,
            v_correction: 0.0,
            parameters: zeros,
        }
    }
}

pub fn run(problem: &Problem, gradients: &Parameters<f64>, mistake: Mistake) -> Update {
    let squares: Vec<f64> = gradients.tensors().map(|g| g.iter().map(|g| g * g).sum()).collect();
    let norm = squares.iter().sum::<f64>().sqrt(); // Eq. U1
    let norms = squares.iter().map(|s| s.sqrt()).sum();
    let norm = mistake.pick(U1AddsNormsInsteadOfSquares, norm, norms);

    let config = problem.adam.config;
    let t = (problem.adam.updates + 1) as f64;
    let corrections = [1.0 - config.beta1.powf(t), 1.0 - config.beta2.powf(t)]; // Eq. U5
    let [first, second] = mistake.pick(U5CorrectsNothing, corrections, [1.0, 1.0]);
    let mut update = Update {
        norm,
        clipped: gradients.clone(),
        m: problem.adam.m.clone(),
        v: problem.adam.v.clone(),
        step_size: config.learning_rate / first,
        v_correction: 1.0 / second.sqrt(),
        parameters: problem.parameters.clone(),
    };
    for (g, square) in update.clipped.tensors_mut().zip(squares) {
        let norm = mistake.pick(U2ClipsEachTensorAlone, norm, square.sqrt());
        let scale = problem.limit / norm.max(problem.limit);
        g.iter_mut().for_each(|g| *g *= scale); // Eq. U2
    }
    let moments = update.m.tensors_mut().zip(update.v.tensors_mut());
    for ((theta, g), (m, v)) in
        update.parameters.tensors_mut().zip(update.clipped.tensors()).zip(moments)
    {
        for (k, &g) in g.iter().enumerate() {
            let (beta1, beta2, epsilon) = (config.beta1, config.beta2, config.epsilon);
            m[k] = beta1 * m[k] + mistake.pick(U3ForgetsOneMinusBeta, 1.0 - beta1, 1.0) * g; // Eq. U3
            let square = mistake.pick(U4ForgetsTheSquare, g * g, g.abs());
            v[k] = beta2 * v[k] + (1.0 - beta2) * square; // Eq. U4
            let v_hat = v[k] / second;
            let root = v_hat.sqrt() + epsilon;
            let root = mistake.pick(U6PutsEpsilonUnderTheRoot, root, (v_hat + epsilon).sqrt());
            theta[k] -= config.learning_rate * m[k] / first / root; // Eq. U6
        }
    }
    update
}
