//! The projection to the vocabulary: logits = y·W + b. Its functions are hidden for the reason that [`lstm`](super::lstm)
//! gives.

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis};

use crate::math::Real;
use crate::math::matmul::Start;
use crate::math::team::Team;
use crate::math::views::contiguous;

/// Weights of the projection, or their gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProjectionParameters<'a, R> {
    /// [H, V]
    pub w: ArrayView2<'a, R>,
    /// `[V]`
    pub b: ArrayView1<'a, R>,
}

/// [`ProjectionParameters`] for writing.
#[derive(Debug)]
pub struct ProjectionParametersMut<'a, R> {
    /// [H, V]
    pub w: ArrayViewMut2<'a, R>,
    /// `[V]`
    pub b: ArrayViewMut1<'a, R>,
}

/// Forward: logits = y·W + b (Eq. F9).
///
/// * `y` [N, H], N = T·b rows of all time steps
/// * `w` [H, V], `b` `[V]`
/// * `logits` [N, V], overwritten
/// * `team`: shares the rows, of which there are many, not the columns
#[doc(hidden)]
pub fn forward<R: Real>(
    y: ArrayView2<R>,
    w: &R::Packed,
    b: ArrayView1<R>,
    mut logits: ArrayViewMut2<R>,
    team: &mut Team,
) {
    let (b, rows) = (contiguous(b.as_slice()), team.share(y.nrows()));
    let parts = y.axis_chunks_iter(Axis(0), rows).zip(logits.axis_chunks_iter_mut(Axis(0), rows));
    team.each(parts, |(y, logits)| {
        R::multiply(0, Start::Bias(b), y, w, logits); // Eq. F9
    });
}

/// Backward to the input: dy = dlogits·Wᵀ (Eq. B4). The gradients of W and b are sums over all
/// shards (Eq. B2, B3) and are taken by the model.
///
/// * `dlogits` [N, V]
/// * `w_transposed` [V, H]
/// * `dy` [N, H], overwritten
/// * `team`: shares the rows
#[doc(hidden)]
pub fn backward<R: Real>(
    dlogits: ArrayView2<R>,
    w_transposed: &R::Packed,
    mut dy: ArrayViewMut2<R>,
    team: &mut Team,
) {
    let rows = team.share(dy.nrows());
    let parts = dlogits.axis_chunks_iter(Axis(0), rows).zip(dy.axis_chunks_iter_mut(Axis(0), rows));
    team.each(parts, |(dlogits, dy)| {
        // F9: logits = y·W + b
        R::multiply(0, Start::Zero, dlogits, w_transposed, dy); // Eq. B4
    });
}
