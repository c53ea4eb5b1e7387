//! dW ← dW + Xᵀ·dZ and db ← db + Σ dZ: sums over all time steps and rows, thousands of terms long.
//!
//! Both operands come from memory. A thread copies a part of dZ into panels, adding up db on the way, once
//! for all X that are multiplied with it, and then X, tile by tile.

use std::ops::Range;

use ndarray::{ArrayViewMut2, Axis};

use super::Rows;
use super::blocked::{A, Block, SCRATCH, even_parts};
use super::cpu::{ask_for, vectorised};
use super::kernel::Kernel;
use super::packed::Aligned;

/// Longest sum done in one go: the longer, the more seldom dW is loaded and stored.
const DEPTH: usize = 1024;
/// Columns of dZ copied together (8 MB): they stay in the third-level cache. Whole rows up to H = 512,
/// since half rows are read at half the speed.
const COPIED_COLUMNS: usize = 2048;
/// Tiles of X copied together (426 KB with AVX-512): they stay in the second-level cache while all
/// panels of dZ pass by.
const COPIED_TILES: usize = 8;
/// Numbers copied at once when columns of X are gathered: at least a tile's rows.
const COPY: usize = 16;
/// How many rows of dZ ahead of the one in work are asked for, and of X.
const DZ_AHEAD: usize = 2;
/// See [`DZ_AHEAD`].
const X_AHEAD: usize = 8;

/// One of the products that share dZ.
pub(super) struct Product<'a> {
    pub(super) x: &'a dyn Rows<f32>,
    /// The column of X that belongs to dW's first row.
    pub(super) first: usize,
    pub(super) dw: ArrayViewMut2<'a, f32>,
}

impl<'a> Product<'a> {
    /// The product for the rows (axis 0) or columns (axis 1) before `at`, and for those from there on.
    fn split(self, axis: usize, at: usize) -> [Self; 2] {
        let Self { x, first, dw } = self;
        let (before, after) = dw.split_at(Axis(axis), at);
        let first_after = if axis == 0 { first + at } else { first };
        [Self { x, first, dw: before }, Self { x, first: first_after, dw: after }]
    }
}

/// dW ← dW + Xᵀ·dZ of every product and db ← db + Σ dZ, on `threads` threads; the columns of dW and `db` are
/// the columns `ns` of dZ. Where the rows of dW are split, only one part has `db`.
///
/// Half of the threads take one half, the others the other, and so on, each time along the longer
/// side: columns of dZ, or columns of all X together. Tiles of dW share nothing but what they read. The
/// sum over k is never split: its order would then depend on the number of threads.
pub(super) fn accumulate<const P: usize>(
    kernel: &'static Kernel,
    products: [Product; P],
    dz: &dyn Rows<f32>,
    db: Option<&mut [f32]>,
    ns: Range<usize>,
    threads: usize,
) {
    let rows: usize = products.iter().map(|product| product.dw.nrows()).sum();
    if threads < 2 || rows.max(ns.len()) < 2 * kernel.panel {
        return sum_up(kernel, products, dz, db, ns);
    }
    let some = threads / 2;
    let share = |n: usize| n * some / threads;
    let columns = share(ns.len()).next_multiple_of(kernel.panel);
    let by_columns = ns.len() >= rows && columns < ns.len();
    let mut after = [const { None }; P];
    let mut slots = after.iter_mut();
    let before = products.map(|product| {
        let rows = share(product.dw.nrows());
        let [before, after] =
            if by_columns { product.split(1, columns) } else { product.split(0, rows) };
        *slots.next().expect("one for each product") = Some(after);
        before
    });
    let after = after.map(|product| product.expect("each was split"));
    let ((left, db_left), (right, db_right)) = match by_columns {
        true => {
            let (left, right) = db.map(|db| db.split_at_mut(columns)).unzip();
            let middle = ns.start + columns;
            ((ns.start..middle, left), (middle..ns.end, right))
        }
        false => ((ns.clone(), db), (ns, None)),
    };
    rayon::join(
        || accumulate(kernel, before, dz, db_left, left, some),
        || accumulate(kernel, after, dz, db_right, right, threads - some),
    );
}

/// [`accumulate`] in this thread.
fn sum_up<const P: usize>(
    kernel: &Kernel,
    mut products: [Product; P],
    dz: &dyn Rows<f32>,
    mut db: Option<&mut [f32]>,
    ns: Range<usize>,
) {
    SCRATCH.with_borrow_mut(|[a, b]| {
        // LOOP 1: columns of dZ.
        for columns in even_parts(ns.len(), COPIED_COLUMNS) {
            let ns = ns.start + columns.start..ns.start + columns.end;
            // LOOP 2: parts of the sum, in order.
            for ks in even_parts(dz.count(), DEPTH) {
                let db = db.as_deref_mut().map(|db| &mut db[columns.clone()]);
                gather_panels(b, kernel, dz, db, ks.clone(), ns.clone());
                for Product { x, first, dw } in &mut products {
                    // LOOP 3: rows of dW.
                    for ms in even_parts(dw.nrows(), COPIED_TILES * kernel.rows()) {
                        let columns_of_x = *first + ms.start..*first + ms.end;
                        let a = gather_columns(a, kernel, *x, ks.clone(), columns_of_x);
                        let c_stride = dw.strides()[0] as usize;
                        let start = ms.start * c_stride + columns.start;
                        let block = Block {
                            rows: ms.len(),
                            columns: ns.len(),
                            depth: ks.len(),
                            a,
                            b: b.as_slice().as_ptr(),
                            panel_stride: ks.len() * kernel.panel,
                            c: dw.as_mut_ptr().wrapping_add(start),
                            c_stride,
                            next_c: dw.as_ptr().wrapping_add(start + ms.len() * c_stride),
                        };
                        // SAFETY: A and B were copied just now, in the sizes given.
                        unsafe { block.run(kernel, None) };
                    }
                }
            }
        }
    });
}

/// Copies columns `ms` of rows `ks` of X, for each tile k after k.
fn gather_columns(
    a: &mut Aligned<f32>,
    kernel: &Kernel,
    x: &dyn Rows<f32>,
    ks: Range<usize>,
    ms: Range<usize>,
) -> A {
    assert!(kernel.rows() <= COPY, "a tile's rows are copied at once");
    let tiles = even_parts(ms.len(), kernel.rows());
    let (tile_stride, last) = (ks.len() * kernel.rows() + COPY, x.count() - 1);
    a.grow(tiles.clone().count() * tile_stride, 0.0);
    let a = a.as_mut_slice();
    for (index_k, k) in ks.enumerate() {
        ask_for(&x.row(last.min(k + X_AHEAD))[ms.clone()]);
        let row = &x.row(k)[ms.clone()];
        for (index, tile) in tiles.clone().enumerate() {
            let to = &mut a[index * tile_stride + index_k * tile.len()..];
            match row.get(tile.start..tile.start + COPY) {
                // A copy of fixed length is two instructions. What it writes too much is written
                // over by the next k, and falls into the gap between tiles after the last.
                Some(from) => to[..COPY].copy_from_slice(from),
                None => to[..tile.len()].copy_from_slice(&row[tile]),
            }
        }
    }
    A::ByColumns(a.as_ptr(), tile_stride)
}

/// Copies columns `ns` of rows `ks` of dZ into panels, and adds them up in `db`.
fn gather_panels(
    b: &mut Aligned<f32>,
    kernel: &Kernel,
    dz: &dyn Rows<f32>,
    mut db: Option<&mut [f32]>,
    ks: Range<usize>,
    ns: Range<usize>,
) {
    let (depth, width, last) = (ks.len(), kernel.panel, dz.count() - 1);
    b.grow(ns.len().div_ceil(width) * width * depth, 0.0);
    let b = b.as_mut_slice();
    vectorised(
        #[inline(always)]
        || {
            for (index_k, k) in ks.enumerate() {
                ask_for(&dz.row(last.min(k + DZ_AHEAD))[ns.clone()]);
                let row = &dz.row(k)[ns.clone()];
                for (panel, from) in row.chunks(width).enumerate() {
                    b[(panel * depth + index_k) * width..][..from.len()].copy_from_slice(from);
                }
                if let Some(db) = &mut db {
                    for (sum, &d) in db.iter_mut().zip(row) {
                        *sum += d;
                    }
                }
            }
        },
    );
}
