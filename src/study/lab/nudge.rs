//! The loss around one weight: what a gradient means, made visible.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::walk::{Walk, within};
use crate::error::{Error, Result};
use crate::memory;
use crate::model::{Parameters, State, Tensor};
use crate::study::gradcheck::{Probe, Problem};
use crate::study::trace::pass::column;
use crate::study::trace::require_below;

/// A number among the parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weight {
    /// Name of its tensor, as in `w_hh_l1`.
    pub tensor: String,
    /// Its row; 0 in a bias.
    pub row: usize,
    /// Its column.
    pub column: usize,
}

/// A part of a tensor and of its gradient.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Matrix {
    /// Rows and columns of the whole tensor; a bias is one row.
    pub shape: [usize; 2],
    /// The weights, row by row.
    pub values: Vec<Vec<f64>>,
    /// The mean loss's gradient with respect to each.
    pub gradients: Vec<Vec<f64>>,
}

/// The loss where one weight is moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Nudge {
    /// By how much: what is left of ε when θ + ε is rounded.
    pub epsilon: f64,
    /// The mean loss there.
    pub loss: f64,
    /// What the gradient predicts: L + ε·dL/dθ.
    pub line: f64,
    /// loss − line.
    pub difference: f64,
}

/// A finite difference beside the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The step of the central difference.
    pub epsilon: f64,
    /// D(ε) = (L(θ+ε) − L(θ−ε)) / 2ε.
    pub central: f64,
    /// |D(ε) − dL/dθ|.
    pub error: f64,
}

/// A weight, its gradient and the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Slope {
    /// θ.
    pub weight: f64,
    /// dL/dθ by back-propagation.
    pub gradient: f64,
    /// L, the mean loss.
    pub loss: f64,
}

impl Walk {
    /// The names and shapes of all tensors; a bias is one row.
    pub fn tensors(&self) -> Vec<(String, [usize; 2])> {
        let tensors = self.sizes().tensors();
        tensors.map(|tensor| (tensor.name.clone(), tensor.rows_and_columns())).collect()
    }

    /// Some `rows` and `columns` of a tensor. Ranges end where there is no more.
    ///
    /// # Errors
    /// [`Error::Setting`] for a tensor that does not exist.
    pub fn weights(
        &self,
        tensor: &str,
        rows: Range<usize>,
        columns: Range<usize>,
    ) -> Result<Matrix> {
        let (_, tensor) = self.tensor(tensor)?;
        let shape = tensor.rows_and_columns();
        let (rows, columns) = (within(rows, shape[0]), within(columns, shape[1]));
        let part = |numbers: &[f64]| -> Vec<Vec<f64>> {
            let numbers = &numbers[tensor.range.clone()];
            let row = |row: usize| numbers[row * shape[1]..][columns.clone()].to_vec();
            rows.clone().map(row).collect()
        };
        let values = part(self.parameters.numbers());
        Ok(Matrix { shape, values, gradients: part(self.gradients().numbers()) })
    }

    /// The gradient of one weight.
    ///
    /// # Errors
    /// [`Error::Setting`] for a weight that does not exist.
    pub fn slope(&self, at: &Weight) -> Result<Slope> {
        let (_, tensor, index) = self.place(at)?;
        let number = |tensors: &[f64]| tensors[tensor.range.start + index];
        Ok(Slope {
            weight: number(self.parameters.numbers()),
            gradient: number(self.gradients().numbers()),
            loss: self.loss(),
        })
    }

    /// The loss with one weight moved by each of `epsilons`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a weight that does not exist; [`Error::NoMemory`].
    pub fn nudges(&self, at: &Weight, epsilons: &[f64]) -> Result<Vec<Nudge>> {
        let Slope { weight, gradient, loss } = self.slope(at)?;
        let (k, _, index) = self.place(at)?;
        self.probe(epsilons, |probe, epsilon| {
            let (there, moved) = probe.moved_by(k, index, epsilon);
            let epsilon = there - weight;
            let line = loss + epsilon * gradient;
            Nudge { epsilon, loss: moved, line, difference: moved - line }
        })
    }

    /// The central difference at one weight with each of `epsilons`.
    ///
    /// # Errors
    /// As [`Walk::nudges`].
    pub fn differences(&self, at: &Weight, epsilons: &[f64]) -> Result<Vec<Difference>> {
        let Slope { gradient, .. } = self.slope(at)?;
        let (k, _, index) = self.place(at)?;
        self.probe(epsilons, |probe, epsilon| {
            let central = probe.central(k, index, epsilon);
            Difference { epsilon, central, error: (central - gradient).abs() }
        })
    }

    /// `look` at each of `epsilons`, on all threads, each with a network of its own.
    fn probe<T: Send>(
        &self,
        epsilons: &[f64],
        look: impl Fn(&mut Probe<f64>, f64) -> T + Sync,
    ) -> Result<Vec<T>> {
        let (sizes, threads) = (self.sizes(), rayon::current_num_threads().min(epsilons.len()));
        Problem::<f64>::require_memory(sizes, (threads, self.steps()), 1.0)?;
        let copies = Parameters::<f64>::bytes(sizes).saturating_mul(threads as u64);
        memory::require(copies, "a copy of the weights for each thread")?;
        let [inputs, targets] = [&self.ids[..self.steps()], &self.ids[1..]].map(column);
        let problem = || Problem {
            parameters: (*self.parameters).clone(),
            state: State::zeros(sizes, 1),
            inputs: inputs.to_owned(),
            targets: targets.to_owned(),
            dropout: None,
        };
        let chunks = epsilons.par_chunks(epsilons.len().div_ceil(threads.max(1)).max(1));
        let looked = chunks.flat_map_iter(|epsilons| {
            let mut probe = Probe::new(problem());
            epsilons.iter().map(|&epsilon| look(&mut probe, epsilon)).collect::<Vec<T>>()
        });
        Ok(looked.collect())
    }

    /// The number of the tensor called `name`, and the tensor.
    fn tensor(&self, name: &str) -> Result<(usize, Tensor)> {
        let found = self.sizes().tensors().enumerate().find(|(_, tensor)| tensor.name == name);
        found.ok_or_else(|| {
            let names: Vec<String> = self.sizes().tensors().map(|tensor| tensor.name).collect();
            Error::setting("tensor", name, format!("one of {}", names.join(", ")))
        })
    }

    /// The number of its tensor, the tensor, and its place in it.
    fn place(&self, at: &Weight) -> Result<(usize, Tensor, usize)> {
        let (k, tensor) = self.tensor(&at.tensor)?;
        let [rows, columns] = tensor.rows_and_columns();
        require_below(rows, "row", at.row)?;
        require_below(columns, "column", at.column)?;
        Ok((k, tensor, at.row * columns + at.column))
    }
}
