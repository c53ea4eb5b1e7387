//! Views of the engine's arrays, which are stored in one piece, time step after time step.

use ndarray::{ArrayView2, ArrayView3, ArrayViewMut2, ArrayViewMut3};

/// [T, b, N] as the [T·b, N] matrix it is in memory.
pub(crate) fn flatten<R>(x: ArrayView3<R>) -> ArrayView2<R> {
    let (unroll, rows, width) = x.dim();
    x.into_shape_with_order((unroll * rows, width)).expect("time-major arrays are contiguous")
}

/// [`flatten`] for writing.
pub(crate) fn flatten_mut<R>(x: ArrayViewMut3<R>) -> ArrayViewMut2<R> {
    let (unroll, rows, width) = x.dim();
    x.into_shape_with_order((unroll * rows, width)).expect("time-major arrays are contiguous")
}

/// The slice of a row: rows of the engine's arrays always lie in one piece.
pub(crate) fn contiguous<S>(row: Option<S>) -> S {
    row.expect("rows are contiguous")
}
