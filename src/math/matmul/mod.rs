//! Matrix products: C ← C + A·B with packed weights, and dW ← dW + Xᵀ·dZ over all time steps.
#![allow(unsafe_code)]

mod blocked;
mod cpu;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packed;
mod peak;
#[cfg(target_arch = "x86_64")]
mod x86;

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, LinalgScalar};
use rayon::prelude::*;

pub use cpu::vectorised;
pub use kernel::Kernel;
pub use packed::Packed;
pub use peak::{fma_peak_gflops, fma_peak_gflops_on};

/// A number the kernels can multiply: `f32` by the kernels of this module; `f64`, the type of the
/// gradient check, by `ndarray` and plain loops.
pub trait Element: LinalgScalar + Send + Sync {
    /// Columns of a panel of [`Packed`], of `columns` in all.
    fn panel_width(kernel: &Kernel, columns: usize) -> usize;
    /// See [`matmul_packed`].
    fn multiply(a: ArrayView2<Self>, b: &Packed<Self>, c: ArrayViewMut2<Self>);
    /// See [`accumulate_transposed`].
    fn accumulate(
        kernel: &'static Kernel,
        x: &impl Rows<Self>,
        dz: &impl Rows<Self>,
        dw: ArrayViewMut2<Self>,
    );
}

impl Element for f32 {
    fn panel_width(kernel: &Kernel, _: usize) -> usize {
        kernel.panel
    }
    fn multiply(a: ArrayView2<Self>, b: &Packed<Self>, c: ArrayViewMut2<Self>) {
        blocked::multiply(a, b, c);
    }
    fn accumulate(
        kernel: &'static Kernel,
        x: &impl Rows<Self>,
        dz: &impl Rows<Self>,
        dw: ArrayViewMut2<Self>,
    ) {
        blocked::accumulate(kernel, x, dz, dw);
    }
}

impl Element for f64 {
    fn panel_width(_: &Kernel, columns: usize) -> usize {
        columns.max(1)
    }
    fn multiply(a: ArrayView2<Self>, b: &Packed<Self>, mut c: ArrayViewMut2<Self>) {
        let shape = (b.rows(), b.columns());
        let b = ArrayView2::from_shape(shape, &b.panels()[..shape.0 * shape.1]);
        general_mat_mul(1.0, &a, &b.expect("a single panel"), 1.0, &mut c);
    }
    fn accumulate(
        _: &'static Kernel,
        x: &impl Rows<Self>,
        dz: &impl Rows<Self>,
        mut dw: ArrayViewMut2<Self>,
    ) {
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

/// C ← C + A·B.
///
/// * `a` [M, K]: rows contiguous, any distance apart
/// * `b` [K, N], packed
/// * `c` [M, N]: rows contiguous, any distance apart
///
/// Runs in the calling thread: it is called inside one shard's task.
///
/// # Panics
/// If the shapes do not agree or rows are not contiguous.
pub fn matmul_packed<R: Element>(a: ArrayView2<R>, b: &Packed<R>, c: ArrayViewMut2<R>) {
    let ((m, k), (c_m, n)) = (a.dim(), c.dim());
    assert!(
        m == c_m && k == b.rows() && n == b.columns(),
        "C [{c_m}, {n}] = A [{m}, {k}] · B [{}, {}]",
        b.rows(),
        b.columns(),
    );
    assert!(a.strides()[1] == 1 || k <= 1, "rows of A must be contiguous");
    assert!(c.strides()[1] == 1 || n <= 1, "rows of C must be contiguous");
    assert!(c.strides()[0] >= 0, "rows of C must ascend");
    if m > 0 && k > 0 && n > 0 {
        R::multiply(a, b, c);
    }
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
/// If the shapes do not agree or rows of `dw` are not contiguous.
pub fn accumulate_transposed<R: Element>(
    x: &impl Rows<R>,
    dz: &impl Rows<R>,
    dw: ArrayViewMut2<R>,
) {
    accumulate_transposed_with(Kernel::best(), x, dz, dw);
}

/// [`accumulate_transposed`] by a kernel other than the best.
///
/// # Panics
/// As [`accumulate_transposed`], and if this processor cannot run the kernel.
pub fn accumulate_transposed_with<R: Element>(
    kernel: &'static Kernel,
    x: &impl Rows<R>,
    dz: &impl Rows<R>,
    dw: ArrayViewMut2<R>,
) {
    let (m, n) = dw.dim();
    assert!(
        x.count() == dz.count() && x.width() == m && dz.width() == n,
        "dW [{m}, {n}] = X [{}, {}]ᵀ · dZ [{}, {}]",
        x.count(),
        x.width(),
        dz.count(),
        dz.width(),
    );
    assert!(dw.strides()[1] == 1 || n <= 1, "rows of dW must be contiguous");
    assert!(dw.strides()[0] >= 0, "rows of dW must ascend");
    assert!(kernel.is_available(), "no {} on this processor", kernel.name());
    if m > 0 && n > 0 {
        R::accumulate(kernel, x, dz, dw);
    }
}

/// The instruction set of the kernel in use.
pub fn kernel_name() -> &'static str {
    Kernel::best().name()
}
