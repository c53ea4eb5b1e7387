//! How open the gates are: over a passage, and for each unit over the whole text.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, Axis, s};

use super::reading::Reading;

/// The gates' names in their order.
pub const GATES: [&str; 4] = ["input gate i", "forget gate f", "candidate g", "output gate o"];

/// How often a unit's gate is nearly shut (below 0.1) and nearly open (above 0.9).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Saturation {
    /// Share of the steps where it is nearly shut.
    pub shut: f32,
    /// Share of the steps where it is nearly open.
    pub open: f32,
}

/// The gates of one layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerGates {
    /// The passage shown.
    pub passage: Range<usize>,
    /// i, f, g, o over the passage, [H, passage] each. The units stand in the order of their mean forget
    /// gate, the most forgetful first, the same in all four.
    pub maps: [Array2<f32>; 4],
    /// Saturation of i, f and o over the whole text, `[H]` each.
    pub saturation: [Vec<Saturation>; 3],
}

/// Steps that are not shown while the memory fills, where the text is long enough.
const WARM_UP: usize = 200;

/// The gates of each layer, with maps of `length` steps, or all there are.
pub fn gates(reading: &Reading, length: usize) -> Vec<LayerGates> {
    let length = length.min(reading.steps());
    let start = WARM_UP.min(reading.steps() - length);
    let passage = start..start + length;
    reading.gates.iter().map(|gates| layer_gates(gates, passage.clone())).collect()
}

fn layer_gates(gates: &Array2<f32>, passage: Range<usize>) -> LayerGates {
    let hidden = gates.ncols() / 4;
    let gate = |n: usize| gates.slice(s![.., n * hidden..(n + 1) * hidden]);
    let openness = gate(1).sum_axis(Axis(0));
    let mut order: Vec<usize> = (0..hidden).collect();
    order.sort_by(|&a, &b| openness[a].total_cmp(&openness[b]));
    LayerGates {
        maps: [0, 1, 2, 3].map(|n| {
            let gate = gate(n);
            Array2::from_shape_fn((hidden, passage.len()), |(row, t)| {
                gate[[passage.start + t, order[row]]]
            })
        }),
        saturation: [0, 1, 3].map(|n| saturation(gate(n))),
        passage,
    }
}

/// * `gate` [N, H]
fn saturation(gate: ArrayView2<f32>) -> Vec<Saturation> {
    let steps = gate.nrows() as f32;
    let share = |count: usize| count as f32 / steps;
    let unit = |values: ndarray::ArrayView1<f32>| Saturation {
        shut: share(values.iter().filter(|&&x| x < 0.1).count()),
        open: share(values.iter().filter(|&&x| x > 0.9).count()),
    };
    gate.columns().into_iter().map(unit).collect()
}
