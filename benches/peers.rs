//! The same products by other crates, called directly, without ndarray's own path between.
#![allow(unsafe_code)]

use gemm::Parallelism;
use karenina::math::team::Team;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};

/// Width of the parts in which the columns of a product are shared: a multiple of every tile's.
const COLUMNS: usize = 32;

/// C ← keep · C + A·B by `matrixmultiply`. It has threads of its own only as a feature for the whole program, so
/// each member of `team` calls it for its share of the longer side: each copies its A and its B for itself, so the
/// shorter side is better copied by all.
pub fn matrixmultiply(
    team: &mut Team,
    a: ArrayView2<f32>,
    b: ArrayView2<f32>,
    keep: f32,
    mut c: ArrayViewMut2<f32>,
) {
    if c.nrows() > c.ncols() {
        let rows = team.share(c.nrows());
        let parts = a.axis_chunks_iter(Axis(0), rows).zip(c.axis_chunks_iter_mut(Axis(0), rows));
        return team.each(parts, |(a, c)| sgemm(a, b, keep, c));
    }
    let columns = team.share(c.ncols()).next_multiple_of(COLUMNS);
    let parts = b.axis_chunks_iter(Axis(1), columns).zip(c.axis_chunks_iter_mut(Axis(1), columns));
    team.each(parts, |(b, c)| sgemm(a, b, keep, c));
}

#[rustfmt::skip] // an operand a line
fn sgemm(a: ArrayView2<f32>, b: ArrayView2<f32>, keep: f32, mut c: ArrayViewMut2<f32>) {
    let [m, k, n] = shape(a, b, c.view());
    let [of_a, of_b, of_c] = [a, b, c.view()].map(strides);
    // SAFETY: shapes agree, and views point to what their shapes and strides say.
    unsafe {
        matrixmultiply::sgemm(
            m, k, n,
            1.0,
            a.as_ptr(), of_a[0], of_a[1],
            b.as_ptr(), of_b[0], of_b[1],
            keep,
            c.as_mut_ptr(), of_c[0], of_c[1],
        );
    }
}

/// C ← keep · C + A·B by `gemm`, on so many threads of the current pool.
#[rustfmt::skip] // an operand a line, strides from column to column first
pub fn gemm(
    threads: usize,
    a: ArrayView2<f32>,
    b: ArrayView2<f32>,
    keep: f32,
    mut c: ArrayViewMut2<f32>,
) {
    let [m, k, n] = shape(a, b, c.view());
    let [of_a, of_b, of_c] = [a, b, c.view()].map(strides);
    let parallelism = if threads == 1 { Parallelism::None } else { Parallelism::Rayon(threads) };
    // SAFETY: shapes agree, and views point to what their shapes and strides say.
    unsafe {
        gemm::gemm(
            m, n, k,
            c.as_mut_ptr(), of_c[1], of_c[0],
            keep != 0.0,
            a.as_ptr(), of_a[1], of_a[0],
            b.as_ptr(), of_b[1], of_b[0],
            keep, 1.0,
            false, false, false,
            parallelism,
        );
    }
}

/// M, K and N of a product.
fn shape(a: ArrayView2<f32>, b: ArrayView2<f32>, c: ArrayView2<f32>) -> [usize; 3] {
    let ((m, n), k) = (c.dim(), a.ncols());
    assert!(a.nrows() == m && b.dim() == (k, n), "{:?} · {:?} = {:?}", a.dim(), b.dim(), c.dim());
    [m, k, n]
}

fn strides(view: ArrayView2<f32>) -> [isize; 2] {
    [view.strides()[0], view.strides()[1]]
}
