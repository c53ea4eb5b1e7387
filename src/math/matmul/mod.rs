//! Matrix products: C ← C + A·B with packed weights, and dW ← dW + Xᵀ·dZ over all time steps.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, LinalgScalar};
use rayon::prelude::*;

/// A number the kernels can multiply.
pub trait Element: LinalgScalar + Send + Sync {}

impl Element for f32 {}
impl Element for f64 {}

/// A right operand B [K, N], laid out once for the kernels and then shared by all shards and time steps.
#[derive(Clone, Debug)]
pub struct Packed<R> {
    b: Array2<R>,
}

impl<R: Element> Packed<R> {
    /// Room for a right operand [k, n], all zero.
    pub fn zeros(k: usize, n: usize) -> Self {
        Self { b: Array2::zeros((k, n)) }
    }

    /// Lays out `b` [K, N]; any strides, so a transposed view is packed without a copy between.
    pub fn pack(&mut self, b: ArrayView2<R>) {
        self.b.assign(&b);
    }
}

/// C ← C + A·B for A [M, K], B [K, N] packed, C [M, N]; rows of `a` and `c` are contiguous.
pub fn matmul_packed<R: Element>(a: ArrayView2<R>, b: &Packed<R>, mut c: ArrayViewMut2<R>) {
    general_mat_mul(R::one(), &a, &b.b, R::one(), &mut c);
}

/// A matrix of many rows, [K, N], whose rows may lie in different places: the rows of all time
/// steps and shards, in the order (time step, row of the batch).
pub trait Rows<R>: Sync {
    /// K.
    fn count(&self) -> usize;
    /// N.
    fn width(&self) -> usize;
    /// Row k, N long.
    fn row(&self, k: usize) -> &[R];
}

/// dW ← dW + Xᵀ·dZ for X [K, M], dZ [K, N], dW [M, N]; split over tiles of dW, each of which sums over k in order.
pub fn accumulate_transposed<R: Element>(
    x: &impl Rows<R>,
    dz: &impl Rows<R>,
    mut dw: ArrayViewMut2<R>,
) {
    dw.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(m, mut dw_row)| {
        for k in 0..x.count() {
            let factor = x.row(k)[m];
            for (d, &z) in dw_row.iter_mut().zip(dz.row(k)) {
                *d = *d + factor * z;
            }
        }
    });
}

/// Runs `work` compiled for the widest vector instructions this processor has.
#[inline(always)]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    work()
}
