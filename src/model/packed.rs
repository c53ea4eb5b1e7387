//! The weights laid out for the kernels.

use crate::layers::lstm::PackedLstm;
use crate::math::Real;
use crate::model::parameters::{Parameters, Sizes};

/// All weights that are multiplied, laid out for the kernels: themselves for the way forward, or the transpose
/// of each for the way back.
#[derive(Clone, Debug)]
pub(crate) struct PackedWeights<R: Real> {
    pub lstm: Vec<PackedLstm<R>>,
    /// W [H, V], or Wᵀ.
    pub projection: R::Packed,
    transposed: bool,
}

impl<R: Real> PackedWeights<R> {
    /// Room for the weights, or for their transposes; `room(k, n)` makes that of one matrix [k, n].
    pub fn new(sizes: Sizes, transposed: bool, room: impl Fn(usize, usize) -> R::Packed) -> Self {
        let Sizes { vocabulary, hidden, layers, .. } = sizes;
        let room = &|k, n| if transposed { room(n, k) } else { room(k, n) };
        Self {
            lstm: (0..layers).map(|l| PackedLstm::zeros(hidden, l == 0, room)).collect(),
            projection: room(hidden, vocabulary),
            transposed,
        }
    }

    /// Lays out `parameters`.
    pub fn pack(&mut self, parameters: &Parameters<R>) {
        for (l, packed) in self.lstm.iter_mut().enumerate() {
            let lstm = parameters.lstm(l);
            packed.pack(if self.transposed { lstm.transposed() } else { lstm });
        }
        let w = parameters.projection().w;
        R::pack(&mut self.projection, if self.transposed { w.reversed_axes() } else { w });
    }
}
