//! The numbers that can be multiplied and summed: `f32` by the kernels, `f64` by plain loops.

use ndarray::{ArrayViewMut2, Axis, LinalgScalar};
use rayon::prelude::*;

use super::accumulate::{Product, accumulate};
use super::blocked::Multiply;
use super::kernel::Kernel;
use super::rows::Rows;
use crate::math::sums::{Pieces, add_in_pairs};

/// A number the kernels can multiply: `f32` by the kernels of this module; `f64`, the type of the
/// gradient check, by `ndarray` and plain loops. Sealed.
pub trait Element: LinalgScalar + Send + Sync + Multiply<Self> {
    /// See [`accumulate_transposed_with`].
    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<Self>, ArrayViewMut2<Self>); P],
        dz: Rows<Self>,
        db: &mut [Self],
        pieces: Pieces,
    );
}

impl Element for f32 {
    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<Self>, ArrayViewMut2<Self>); P],
        dz: Rows<Self>,
        db: &mut [Self],
        pieces: Pieces,
    ) {
        check_sums(kernel, &products, dz, db, pieces);
        let products = products.map(|(x, dw)| Product { x, first: 0, dw });
        let (columns, threads) = (0..db.len(), rayon::current_num_threads());
        accumulate(kernel, products, dz, Some(db), columns, pieces, threads);
    }
}

impl Element for f64 {
    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<Self>, ArrayViewMut2<Self>); P],
        dz: Rows<Self>,
        db: &mut [Self],
        pieces: Pieces,
    ) {
        check_sums(kernel, &products, dz, db, pieces);
        sum_rows(db, dz, pieces, |_| 1.0);
        for (x, mut dw) in products {
            dw.axis_iter_mut(Axis(0)).into_par_iter().enumerate().for_each(|(m, mut dw_row)| {
                let dw_row = dw_row.as_slice_mut().expect("rows of dW are contiguous");
                sum_rows(dw_row, dz, pieces, |position| x.row(position)[m]);
            });
        }
    }
}

/// sum ← Σ factor · dz over all positions.
fn sum_rows(
    sum: &mut [f64],
    dz: Rows<f64>,
    pieces: Pieces,
    factor: impl Fn((usize, usize)) -> f64,
) {
    let add = |mut sum: Vec<f64>, factor: f64, other: &[f64]| {
        sum.iter_mut().zip(other).for_each(|(sum, z)| *sum += factor * z);
        sum
    };
    let of_piece = |piece| {
        let start = vec![0.0; sum.len()];
        pieces.positions(piece).fold(start, |sum, at| add(sum, factor(at), dz.row(at)))
    };
    let sums = (0..pieces.count()).map(of_piece);
    let total = add_in_pairs(sums, |earlier, later| add(later, 1.0, &earlier));
    sum.copy_from_slice(&total.expect("at least one piece"));
}

/// dW ← Xᵀ·dZ and db ← Σ dZ: what the gradient dZ of Z = X₁·W₁ + X₂·W₂ + … + b gives its weights.
///
/// * `products`: X [T·B, M] and dW [M, N] of each product
/// * `dz` [T·B, N], the same for all
/// * `db` `[N]`
/// * `pieces`: the shape of the sums
///
/// Split over tiles of dW, so the number of threads changes nothing.
///
/// # Panics
/// If the shapes do not agree or rows of a dW are not contiguous.
pub fn accumulate_transposed<R: Element, const P: usize>(
    products: [(Rows<R>, ArrayViewMut2<R>); P],
    dz: Rows<R>,
    db: &mut [R],
    pieces: Pieces,
) {
    accumulate_transposed_with(Kernel::best(), products, dz, db, pieces);
}

/// [`accumulate_transposed`] by a kernel other than the best.
///
/// # Panics
/// As [`accumulate_transposed`], and if this processor cannot run the kernel.
pub fn accumulate_transposed_with<R: Element, const P: usize>(
    kernel: &'static Kernel,
    products: [(Rows<R>, ArrayViewMut2<R>); P],
    dz: Rows<R>,
    db: &mut [R],
    pieces: Pieces,
) {
    R::accumulate(kernel, products, dz, db, pieces);
}

/// Panics as [`accumulate_transposed_with`] tells.
fn check_sums<R>(
    kernel: &Kernel,
    products: &[(Rows<R>, ArrayViewMut2<R>)],
    dz: Rows<R>,
    db: &[R],
    pieces: Pieces,
) {
    let positions = pieces.batch_and_unroll();
    assert_eq!(dz.batch_and_unroll(), positions, "B and T of dZ and of the sum");
    assert_eq!(db.len(), dz.width(), "db and columns of dZ");
    for (x, dw) in products {
        assert_eq!(x.batch_and_unroll(), positions, "B and T of X and of the sum");
        let ((m, n), (x, dz)) = (dw.dim(), (x.width(), dz.width()));
        assert!(x == m && dz == n, "dW [{m}, {n}] = X [T·B, {x}]ᵀ · dZ [T·B, {dz}]");
        assert!(dw.strides()[1] == 1 || n <= 1, "rows of dW must be contiguous");
        assert!(dw.strides()[0] >= 0, "rows of dW must ascend");
    }
    assert!(kernel.is_available(), "no {} on this processor", kernel.name());
}
