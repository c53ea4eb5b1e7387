//! How far back a loss reaches: the gradient at the output of each layer, by lag, for many places.

use ndarray::Array2;
use rayon::prelude::*;

use crate::model::{Network, Parameters, Sizes};
use crate::study::trace::norm;
use crate::study::trace::pass::Pass;

/// Steps that are read before those the gradient is followed over: a memory that is still empty lets
/// more of it pass than a full one.
const WARM_UP: usize = 32;

/// Gradients of single losses on their way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// For each place the position in the text of the character that was to be predicted.
    pub targets: Vec<usize>,
    /// For each layer ‖∂loss / ∂h‖ at lag 0, 1, … of each place, [places, lags].
    pub norms: Vec<Array2<f64>>,
}

impl Flow {
    /// The median over all places at each lag in `layer`, relative to lag 0 of the same layer.
    pub fn medians(&self, layer: usize) -> Vec<f64> {
        let mut medians: Vec<f64> = self.norms[layer]
            .columns()
            .into_iter()
            .map(|column| {
                let mut norms = column.to_vec();
                norms.sort_by(f64::total_cmp);
                norms[norms.len() / 2]
            })
            .collect();
        let first = medians[0];
        medians.iter_mut().for_each(|median| *median /= first);
        medians
    }

    /// The first lag at which the median is below a hundredth of lag 0, if there is one.
    pub fn faded(&self, layer: usize) -> Option<usize> {
        self.medians(layer).iter().position(|&median| median < 0.01)
    }
}

/// Bytes that [`flow`] takes on the threads at hand, each of which follows the loss of a place of its own: the weights
/// packed for both ways, the tape, and about twice as much for the gradients.
pub(super) fn bytes(sizes: Sizes, places: usize, lags: usize) -> u64 {
    let weights = Network::<f32>::packed_bytes(sizes).saturating_mul(2);
    let tapes = Network::<f32>::tape_bytes(sizes, 1, lags + WARM_UP, false).saturating_mul(3);
    let threads = rayon::current_num_threads().min(places) as u64;
    weights.saturating_add(tapes).saturating_mul(threads)
}

/// Takes the losses of at most `places` characters, spread over `ids`, back over at most `lags` steps.
/// Each is read from an empty memory some steps before the last of them, where the text reaches back so
/// far. A number of places or steps that is 0 counts as 1.
///
/// # Panics
/// If there are fewer than two `ids`.
pub fn flow(parameters: &Parameters<f32>, ids: &[u32], places: usize, lags: usize) -> Flow {
    assert!(ids.len() > 1, "{} characters: nothing to predict", ids.len());
    let (layers, lags) = (parameters.sizes().layers, lags.clamp(1, ids.len() - 1));
    let places = places.clamp(1, ids.len() - lags);
    let targets: Vec<usize> =
        (1..=places).map(|n| n * (ids.len() - lags) / places + lags - 1).collect();
    let norms_back_from = |&target: &usize| {
        let read = &ids[target.saturating_sub(lags + WARM_UP)..=target];
        let last = Pass::forward(parameters, read).backward_from_last();
        let dh =
            |(layer, lag): (usize, usize)| norm(last.layers[layer].dh.row(read.len() - 2 - lag));
        Array2::from_shape_fn((layers, lags), dh)
    };
    let of_places: Vec<_> = targets.par_iter().map(norms_back_from).collect();
    let of_layer = |layer| {
        Array2::from_shape_fn((places, lags), |(place, lag)| of_places[place][[layer, lag]])
    };
    Flow { norms: (0..layers).map(of_layer).collect(), targets }
}
