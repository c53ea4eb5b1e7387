//! The history of a run in as many points as a picture can show.

use serde::Serialize;

use crate::train::LogRow;

/// Some steps one after the other, as one point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stretch {
    /// The last of its steps.
    pub step: u64,
    /// Mean training loss in nats per character.
    pub loss: f64,
    /// Mean norm of the gradients before clipping.
    pub norm: f64,
    /// The largest norm.
    pub largest_norm: f64,
    /// Share of the steps whose gradients were clipped.
    pub clipped: f64,
}

/// What became of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Curves {
    /// The steps, in stretches of equal length (the last may be shorter).
    pub stretches: Vec<Stretch>,
    /// Step and validation loss in nats per character, wherever it was measured.
    pub validation: Vec<(u64, f64)>,
}

/// The curves of `history` in at most `points` stretches (0 counts as 1); a norm above `clip` was clipped.
///
/// ```
/// use karenina::study::report::curves;
/// use karenina::train::LogRow;
///
/// let mut history = [LogRow::default(); 4];
/// for (row, norm) in history.iter_mut().zip([1.0, 2.0, 3.0, 4.0]) {
///     row.norm = norm;
/// }
/// let curves = curves(&history, 3.5, 2);
/// assert_eq!(curves.stretches[1].clipped, 0.5);
/// ```
pub fn curves(history: &[LogRow], clip: f64, points: usize) -> Curves {
    let length = history.len().div_ceil(points.max(1)).max(1);
    Curves {
        stretches: history.chunks(length).map(|rows| stretch(rows, clip)).collect(),
        validation: history.iter().filter_map(|row| Some((row.step, row.validation?))).collect(),
    }
}

fn stretch(rows: &[LogRow], clip: f64) -> Stretch {
    let mean =
        |value: &dyn Fn(&LogRow) -> f64| rows.iter().map(value).sum::<f64>() / rows.len() as f64;
    Stretch {
        step: rows[rows.len() - 1].step,
        loss: mean(&|row| row.loss),
        norm: mean(&|row| row.norm),
        largest_norm: rows.iter().map(|row| row.norm).fold(0.0, f64::max),
        clipped: mean(&|row| if row.norm > clip { 1.0 } else { 0.0 }),
    }
}
