//! The numbers that can be multiplied and summed: `f32` by the kernels, `f64` by plain loops.

use std::fmt::Debug;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, LinalgScalar, s};
use rayon::prelude::*;

use super::accumulate::{Product, accumulate};
use super::blocked::{Start, fill, multiply};
use super::kernel::Kernel;
use super::packed::{Packed, Panels};
use super::rows::Rows;
use super::stored::Storage;
use crate::math::sums::{Pieces, add_in_pairs};
use crate::math::team::Team;

/// The engine's two number types, as those who multiply see them. Training computes in `f32`, by the kernels;
/// the gradient check in `f64`, by `ndarray` and plain loops. Sealed.
pub trait Element: LinalgScalar + Send + Sync + Sealed {
    /// A right operand B [K, N], laid out once for many products.
    type Packed: Clone + Debug + Send + Sync;

    /// Room for a right operand [k, n], all zero. Panics if no memory could ever hold so many numbers.
    fn packed(k: usize, n: usize) -> Self::Packed;

    /// Lays out `b` [K, N]; any strides, so that a transposed view will do.
    fn pack(packed: &mut Self::Packed, b: ArrayView2<Self>);

    /// C ← `start` + A·B, of B only the columns from `first` on, as many as C has; a bias in `start` is as long.
    ///
    /// * `first`: a multiple of [`Element::columns_at_once`]; 0 for the whole product
    /// * `a` [M, K]: rows contiguous, any distance apart
    /// * `b` [K, N], packed; its numbers, where stored in fewer bits, are widened as they are read
    /// * `c` [M, ≤ N]: rows contiguous, any distance apart
    ///
    /// Runs in the calling thread; [`multiply_together`] shares the columns among several.
    fn multiply(
        first: usize,
        start: Start<Self>,
        a: ArrayView2<Self>,
        b: &Self::Packed,
        c: ArrayViewMut2<Self>,
    );

    /// K and N of a packed B.
    fn shape(b: &Self::Packed) -> (usize, usize);

    /// Columns that lie together in a packed B.
    fn columns_at_once(b: &Self::Packed) -> usize;

    /// dW ← Xᵀ·dZ and db ← Σ dZ: what the gradient dZ of Z = X₁·W₁ + X₂·W₂ + … + b gives its weights.
    ///
    /// * `kernel`: [`Kernel::best`], or another to test and measure it
    /// * `products`: X [T·B, M] and dW [M, N], rows contiguous, of each product
    /// * `dz` [T·B, N], the same for all
    /// * `db` `[N]`
    /// * `pieces`: the shape of the sums
    ///
    /// Split over tiles of dW, so the number of threads changes nothing.
    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<Self>, ArrayViewMut2<Self>); P],
        dz: Rows<Self>,
        db: &mut [Self],
        pieces: Pieces,
    );
}

/// Keeps [`Element`] to its two types: what is unsafe here relies on them.
pub trait Sealed {}
impl Sealed for f32 {}
impl Sealed for f64 {}

impl Element for f32 {
    type Packed = Packed;

    fn packed(k: usize, n: usize) -> Packed {
        Packed::zeros(k, n, Storage::F32)
    }

    fn pack(packed: &mut Packed, b: ArrayView2<f32>) {
        packed.pack(b);
    }

    fn multiply(
        first: usize,
        start: Start<f32>,
        a: ArrayView2<f32>,
        b: &Packed,
        c: ArrayViewMut2<f32>,
    ) {
        let kernel = b.kernel();
        match b.panels() {
            Panels::F32(panels) => multiply(a, b, panels.as_slice(), &kernel.f32, first, start, c),
            Panels::F16(panels) => multiply(a, b, panels.as_slice(), &kernel.f16, first, start, c),
            Panels::Bf16(panels) => {
                multiply(a, b, panels.as_slice(), &kernel.bf16, first, start, c)
            }
            Panels::I8(panels, _) => multiply(a, b, panels.as_slice(), &kernel.i8, first, start, c),
        }
    }

    fn shape(b: &Packed) -> (usize, usize) {
        (b.rows(), b.columns())
    }

    fn columns_at_once(b: &Packed) -> usize {
        b.kernel().panel
    }

    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<f32>, ArrayViewMut2<f32>); P],
        dz: Rows<f32>,
        db: &mut [f32],
        pieces: Pieces,
    ) {
        check_sums(kernel, &products, dz, db, pieces);
        let products = products.map(|(x, dw)| Product { x, first: 0, dw });
        let (columns, threads) = (0..db.len(), rayon::current_num_threads());
        accumulate(kernel, products, dz, Some(db), columns, pieces, threads);
    }
}

impl Element for f64 {
    type Packed = Array2<f64>;

    fn packed(k: usize, n: usize) -> Array2<f64> {
        Array2::zeros((k, n))
    }

    fn pack(packed: &mut Array2<f64>, b: ArrayView2<f64>) {
        assert_eq!(b.dim(), packed.dim(), "the shape to pack");
        packed.assign(&b);
    }

    fn multiply(
        first: usize,
        start: Start<f64>,
        a: ArrayView2<f64>,
        b: &Array2<f64>,
        mut c: ArrayViewMut2<f64>,
    ) {
        let columns = s![.., first..first + c.ncols()];
        fill(start, c.view_mut());
        general_mat_mul(1.0, &a, &b.slice(columns), 1.0, &mut c);
    }

    fn shape(b: &Array2<f64>) -> (usize, usize) {
        b.dim()
    }

    fn columns_at_once(_: &Array2<f64>) -> usize {
        1
    }

    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<f64>, ArrayViewMut2<f64>); P],
        dz: Rows<f64>,
        db: &mut [f64],
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

/// [`Element::multiply`] by all members of a team, who share the columns: a member reads the same part of B each
/// time, and finds it in its own cache if it has stayed there. A column's sum stays on one thread, so
/// the bits are the same.
pub fn multiply_together<R: Element>(
    team: &mut Team,
    start: Start<R>,
    a: ArrayView2<R>,
    b: &R::Packed,
    mut c: ArrayViewMut2<R>,
) {
    let (_, n) = R::shape(b);
    assert_eq!(c.ncols(), n, "columns of C and of B [K, N]");
    let width = n.div_ceil(team.members()).next_multiple_of(R::columns_at_once(b));
    if team.members() == 1 || width >= n {
        return R::multiply(0, start, a, b, c);
    }
    let start_at = |first: usize, columns: usize| match start {
        Start::Bias(row) => Start::Bias(&row[first..first + columns]),
        all => all,
    };
    let parts = c.axis_chunks_iter_mut(Axis(1), width).enumerate();
    team.each(parts, |(part, c)| {
        let first = part * width;
        R::multiply(first, start_at(first, c.ncols()), a, b, c);
    });
}

/// Panics unless all shapes agree, rows of a dW are contiguous and this processor can run the kernel.
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
