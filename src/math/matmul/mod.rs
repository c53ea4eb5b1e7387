//! Matrix products: C ← C + A·B with packed weights, and dW ← Xᵀ·dZ over all time steps.
//!
//! # The plain algorithm
//!
//! ```text
//! for m in 0..M, n in 0..N:
//!     c = C[m, n]
//!     for k in 0..K: c = fma(A[m, k], B[k, n], c)
//!     C[m, n] = c
//! ```
//!
//! What follows changes where operands lie and when they are touched, never this chain: each
//! element of C is one sequence of fused multiply-adds, k ascending, from the value found in C. (dW is a
//! tree of such chains, each from 0: see [`sums`](crate::math::sums).)
//! So every fused kernel, every way to split rows and every number of threads give the same bits,
//! and `tests/all/matmul.rs` compares bits. A processor without FMA multiplies and adds instead: its
//! bits differ.
//!
//! # The departures
//!
//! Figures are GFLOP/s of one core of an AMD Zen 5 with AVX-512, by processor time, where nothing else
//! is said. The register peak ([`fma_peak_gflops`]) was 275 to 290 from run to run, 138 with AVX2.
//! The machine was busy with other work, which takes cache and memory: products that fit the cache
//! repeat to 2 %, the large ones do not (5000x512x2048 made 60 to 265). What a departure bought is the
//! best of four runs with and without it, in turns; where no figure stands, none was measured.
//!
//! 1. **Register tiles** (`kernel`). A tile of C stays in registers while k runs: 13 x 32 with
//!    AVX-512, 6 x 16 with AVX2. One vector of B serves all rows, one number of A all columns. The naive
//!    loop makes 0.8 of 25x128x512, `matrixmultiply` 144, these kernels 256. Tiles of 8 x 32 were as
//!    fast on 50x512x2048, within the noise.
//! 2. **Packed B** (`packed`). B is cut into panels as wide as a tile, once per training step; a
//!    kernel reads it from front to back. Transposed weights are packed as they are read.
//! 3. **Even tiles.** 50 rows are 13 + 13 + 12 + 12, for which there is a kernel each, rather than
//!    3 · 13 + 11: no tile with few rows. Columns beyond N are the only wasted work.
//! 4. **Depth.** Sums longer than 512 are stored and loaded again, so that panels and rows stay in
//!    cache. 512 instead of 256, which would fit the first level: 96 instead of 93 % of the peak on
//!    50x512x2048.
//! 5. **Rows of A copied** together, 104 at a time: by rows as they lie, without a transposition.
//! 6. **Fetching ahead.** While a tile computes, it asks for its share of the next panel of B, for C of
//!    the next panel, and for the A that will be copied next, into the second-level cache:
//!    82 instead of 35 % of the peak on 5000x512x155, no difference that shows on 50x512x2048.
//! 7. **Several panels for few rows.** One row is 2 chains of vectors, where a latency of 4 cycles
//!    wants 8: a single row takes 8 panels at once, or 4 (4 or 6 alone were slower by 6 %). A gap
//!    between panels keeps these streams apart in the first-level cache: 39.8 -> 33.2 µs for 1x512x2048,
//!    and they are not fetched ahead, since the processor follows them better by itself: 33.1 -> 31.8.
//!    That is 67 GFLOP/s, or reading B at 130 GB/s, as fast as the third-level cache gives it;
//!    `matrixmultiply` makes 5.5.
//! 8. **dW** (`accumulate`) is the one product whose operands both come from memory. Each thread copies its
//!    columns of dZ into panels once and uses them for all X; columns of X lie k-major already, so here A is
//!    copied in that order, by fixed-length copies. On 512x10000x2048, one core: sums of 256 terms 250, of 512
//!    257, of 1024 259; then 8 tiles of X at a time, which stay in the second-level cache while dZ passes,
//!    266; then two X with one copy of dZ, 269 (93 % of the peak). Parts of rows are asked for ahead, since
//!    the hardware follows whole rows only: 239 -> 252 with dZ in halves. What does not help: panels of dZ
//!    copied just before use (the rows are a power of two apart and fall on the same sets of the cache).
//! 9. **B in 16 bits** ([`Stored`]), for generation, where reading B is all that counts. A number is widened
//!    as a kernel loads it, which is exact, so the contract holds for the rounded B. 1x512x2048 takes
//!    16.5 µs in either type instead of 31.8, 127 GB/s. `bf16` lies in pairs of vectors, one load for two:
//!    from the second-level cache 1x512x256 takes 1.20 instead of 1.65 µs; from the third-level cache that
//!    was 18.0 instead of 19.4 µs. `f16` is widened by an instruction of its own, 1.63 µs.
#![allow(unsafe_code)]

mod accumulate;
mod blocked;
mod cpu;
mod kernel;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packed;
mod peak;
mod portable;
mod rows;
mod stored;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::{bf16, f16};
use ndarray::{ArrayView2, ArrayViewMut2, Axis, LinalgScalar};
use rayon::prelude::*;

pub use cpu::{ask_for, vectorised};
pub use kernel::Kernel;
pub use packed::Packed;
pub use peak::{fma_peak_gflops, fma_peak_gflops_on};
pub use rows::Rows;
pub use stored::Stored;

use crate::math::sums::{Pieces, add_in_pairs};

/// Keeps the traits of this module to its own types: an implementation from elsewhere could lie.
pub trait Sealed {}
impl Sealed for f32 {}
impl Sealed for f64 {}
impl Sealed for f16 {}
impl Sealed for bf16 {}
impl<R, W> Sealed for Packed<R, W> {}

/// A number the kernels can multiply: `f32` by the kernels of this module; `f64`, the type of the
/// gradient check, by `ndarray` and plain loops. Sealed.
pub trait Element: LinalgScalar + Send + Sync + Stored<Self> {
    /// Columns of a panel of [`Packed`], of `columns` in all.
    fn panel_width(kernel: &Kernel, columns: usize) -> usize;
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
    fn panel_width(kernel: &Kernel, _: usize) -> usize {
        kernel.panel
    }
    fn accumulate<const P: usize>(
        kernel: &'static Kernel,
        products: [(Rows<Self>, ArrayViewMut2<Self>); P],
        dz: Rows<Self>,
        db: &mut [Self],
        pieces: Pieces,
    ) {
        check_sums(kernel, &products, dz, db, pieces);
        let products = products.map(|(x, dw)| accumulate::Product { x, first: 0, dw });
        let (columns, threads) = (0..db.len(), rayon::current_num_threads());
        accumulate::accumulate(kernel, products, dz, Some(db), columns, pieces, threads);
    }
}

impl Element for f64 {
    fn panel_width(_: &Kernel, columns: usize) -> usize {
        columns.max(1)
    }
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

/// C ← C + A·B.
///
/// * `a` [M, K]: rows contiguous, any distance apart
/// * `b` [K, N], packed; its numbers, where stored in 16 bits, are widened as they are read
/// * `c` [M, N]: rows contiguous, any distance apart
///
/// Runs in the calling thread: it is called inside one shard's task.
///
/// # Panics
/// If the shapes do not agree or rows are not contiguous.
pub fn matmul_packed<R: Element, W: Stored<R>>(
    a: ArrayView2<R>,
    b: &Packed<R, W>,
    c: ArrayViewMut2<R>,
) {
    W::multiply(a, b, c);
}

/// A right operand B whose number type is chosen at run time: a [`Packed`] that hides how it is stored.
/// Sealed.
pub trait Factor<R>: Sealed + Send + Sync {
    /// C ← C + A·B: [`matmul_packed`].
    fn multiply(&self, a: ArrayView2<R>, c: ArrayViewMut2<R>);
}

impl<R: Element, W: Stored<R>> Factor<R> for Packed<R, W> {
    fn multiply(&self, a: ArrayView2<R>, c: ArrayViewMut2<R>) {
        matmul_packed(a, self, c);
    }
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

/// The instruction set of the kernel in use.
pub fn kernel_name() -> &'static str {
    Kernel::best().name()
}
