//! Matrix products: C ← C + A·B with packed weights, and dW ← dW + Xᵀ·dZ over all time steps.
#![allow(unsafe_code)] // The kernels address memory by pointers; nowhere else in the crate is it allowed.

mod blocked;
mod cpu;
mod kernel;
mod packed;
#[cfg(target_arch = "x86_64")]
mod x86;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, LinalgScalar};
use rayon::prelude::*;

pub use cpu::vectorised;
pub use kernel::Kernel;
use packed::Panels;

/// A number that can be multiplied: `f32` by our kernels, `f64`, which serves the gradient check, by
/// the crate `matrixmultiply`.
pub trait Element: LinalgScalar + Send + Sync {
    /// A right operand in the layout of its kernel.
    #[doc(hidden)]
    type Packed: Clone + std::fmt::Debug + Send + Sync;
    #[doc(hidden)]
    fn packed_zeros(k: usize, n: usize) -> Self::Packed;
    #[doc(hidden)]
    fn pack(packed: &mut Self::Packed, b: ArrayView2<Self>);
    #[doc(hidden)]
    fn multiply(a: ArrayView2<Self>, b: &Self::Packed, c: ArrayViewMut2<Self>);
    #[doc(hidden)]
    fn accumulate(x: &impl Rows<Self>, dz: &impl Rows<Self>, dw: ArrayViewMut2<Self>);
}

impl Element for f32 {
    type Packed = Panels;

    fn packed_zeros(k: usize, n: usize) -> Panels {
        Panels::zeros(Kernel::best(), k, n)
    }
    fn pack(packed: &mut Panels, b: ArrayView2<f32>) {
        packed.pack(b);
    }
    fn multiply(a: ArrayView2<f32>, b: &Panels, c: ArrayViewMut2<f32>) {
        blocked::multiply(a, b, c);
    }
    fn accumulate(x: &impl Rows<f32>, dz: &impl Rows<f32>, dw: ArrayViewMut2<f32>) {
        blocked::accumulate_transposed(Kernel::best(), x, dz, dw);
    }
}

impl Element for f64 {
    type Packed = Array2<f64>;

    fn packed_zeros(k: usize, n: usize) -> Array2<f64> {
        Array2::zeros((k, n))
    }
    fn pack(packed: &mut Array2<f64>, b: ArrayView2<f64>) {
        packed.assign(&b);
    }
    fn multiply(a: ArrayView2<f64>, b: &Array2<f64>, mut c: ArrayViewMut2<f64>) {
        general_mat_mul(1.0, &a, b, 1.0, &mut c);
    }
    fn accumulate(x: &impl Rows<f64>, dz: &impl Rows<f64>, mut dw: ArrayViewMut2<f64>) {
        dw.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(m, mut dw_row)| {
            for k in 0..x.count() {
                let factor = x.row(k)[m];
                for (d, &z) in dw_row.iter_mut().zip(dz.row(k)) {
                    *d += factor * z;
                }
            }
        });
    }
}

/// A right operand B [K, N], laid out once for the kernels and then shared by all shards and time steps.
#[derive(Clone, Debug)]
pub struct Packed<R: Element> {
    packed: R::Packed,
}

impl<R: Element> Packed<R> {
    /// Room for a right operand [k, n], all zero.
    pub fn zeros(k: usize, n: usize) -> Self {
        Self { packed: R::packed_zeros(k, n) }
    }

    /// Lays out `b` [K, N]; any strides, so a transposed view is packed without a copy between.
    ///
    /// # Panics
    /// If `b` has another shape than the room made for it.
    pub fn pack(&mut self, b: ArrayView2<R>) {
        R::pack(&mut self.packed, b);
    }
}

/// C ← C + A·B for A [M, K], B [K, N] packed, C [M, N]; rows of `a` and `c` are contiguous.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_packed<R: Element>(a: ArrayView2<R>, b: &Packed<R>, c: ArrayViewMut2<R>) {
    R::multiply(a, &b.packed, c);
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
///
/// # Panics
/// If the shapes do not fit.
pub fn accumulate_transposed<R: Element>(
    x: &impl Rows<R>,
    dz: &impl Rows<R>,
    dw: ArrayViewMut2<R>,
) {
    R::accumulate(x, dz, dw);
}
