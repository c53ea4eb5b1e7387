//! The projection to the vocabulary: logits = y·W + b.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2};

use crate::math::Real;
use crate::math::matmul::{Packed, matmul_packed};

/// Weights of the projection, or their gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionParameters<R> {
    /// [H, V]
    pub w: Array2<R>,
    /// `[V]`
    pub b: Array1<R>,
}

/// The projection's weight laid out for the kernels, once per training step.
#[derive(Clone, Debug)]
pub struct PackedProjection<R: Real> {
    /// W [H, V]
    pub w: Packed<R>,
    /// Wᵀ [V, H]
    pub w_transposed: Packed<R>,
}

impl<R: Real> PackedProjection<R> {
    /// Room for a projection from `hidden` to `vocabulary`.
    pub fn zeros(hidden: usize, vocabulary: usize) -> Self {
        Self {
            w: Packed::zeros(hidden, vocabulary),
            w_transposed: Packed::zeros(vocabulary, hidden),
        }
    }

    /// Lays out `parameters`.
    pub fn pack(&mut self, parameters: &ProjectionParameters<R>) {
        self.w.pack(parameters.w.view());
        self.w_transposed.pack(parameters.w.t());
    }
}

/// Forward: logits = y·W + b (Eq. F9).
///
/// * `y` [N, H], N = T·b rows of all time steps
/// * `w` [H, V], `b` `[V]`
/// * `logits` [N, V], overwritten
pub fn forward<R: Real>(
    y: ArrayView2<R>,
    w: &Packed<R>,
    b: &Array1<R>,
    mut logits: ArrayViewMut2<R>,
) {
    logits.assign(b);
    matmul_packed(y, w, logits); // Eq. F9
}

/// Backward to the input: dy = dlogits·Wᵀ (Eq. B4). The gradients of W and b are sums over all
/// shards (Eq. B2, B3) and are taken by the model.
///
/// * `dlogits` [N, V]
/// * `w_transposed` [V, H]
/// * `dy` [N, H], overwritten
pub fn backward<R: Real>(
    dlogits: ArrayView2<R>,
    w_transposed: &Packed<R>,
    mut dy: ArrayViewMut2<R>,
) {
    // F9: logits = y·W + b
    dy.fill(R::zero());
    matmul_packed(dlogits, w_transposed, dy); // Eq. B4
}
