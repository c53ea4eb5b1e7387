//! The weights laid out for the kernels.

use crate::layers::lstm::PackedLstm;
use crate::layers::projection::PackedProjection;
use crate::math::Real;
use crate::model::parameters::{Parameters, Sizes};

/// All weights laid out for the kernels.
#[derive(Clone, Debug)]
pub(crate) struct PackedWeights<R: Real> {
    pub lstm: Vec<PackedLstm<R>>,
    pub projection: PackedProjection<R>,
}

impl<R: Real> PackedWeights<R> {
    pub fn zeros(sizes: Sizes) -> Self {
        Self {
            lstm: (0..sizes.layers).map(|l| PackedLstm::zeros(sizes.hidden, l == 0)).collect(),
            projection: PackedProjection::zeros(sizes.hidden, sizes.vocabulary),
        }
    }

    pub fn pack(&mut self, parameters: &Parameters<R>) {
        for (packed, lstm) in self.lstm.iter_mut().zip(&parameters.lstm) {
            packed.pack(lstm);
        }
        self.projection.pack(&parameters.projection);
    }
}
