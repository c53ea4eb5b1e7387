//! dW ← Xᵀ·dZ and db ← Σ dZ: sums over all time steps and rows, thousands of terms long.
//!
//! Both operands come from memory. A thread copies a part of dZ into panels, adding up db on the way, once
//! for all X that are multiplied with it, and then X, tile by tile.
//!
//! The sum has the shape that [`Pieces`] describes. A register tile sums up one piece, adds the sums that
//! wait for it and leaves the result to wait in turn; dW itself is where the largest run waits.

use std::ops::Range;

use ndarray::{ArrayViewMut2, Axis};

use super::blocked::{A, Block, Blocks, Origin, SCRATCH};
use super::kernel::Kernel;
use super::packed::{Aligned, panel_stride};
use super::rows::Rows;
use super::tile::Waiting;
use crate::math::simd::{ask_for, vectorised};
use crate::math::sums::{Carry, LONGEST_PIECE, Pieces, even_part, even_parts};

/// Columns of dW worked on together: whole rows up to H = 512, since half rows are read at half the speed.
const COPIED_COLUMNS: usize = 2048;
/// Most numbers copied at once when columns of X are gathered.
const COPY: usize = 16;
/// How many rows of X ahead of the one in work are asked for.
const X_AHEAD: usize = 8;
/// Rows of dZ that are copied panel by panel, while the next ones are asked for: row by row, each would touch a page
/// of every panel, more than the first level of page tables holds.
const ROWS_OF_DZ: usize = 8;

/// One of the products that share dZ.
pub(super) struct Product<'x, 'w> {
    pub(super) x: Rows<'x, f32>,
    /// The column of X that belongs to dW's first row.
    pub(super) first: usize,
    pub(super) dw: ArrayViewMut2<'w, f32>,
}

impl Product<'_, '_> {
    /// The product for the rows (axis 0) or columns (axis 1) before `at`, and for those from there on.
    fn split(self, axis: usize, at: usize) -> [Self; 2] {
        let Self { x, first, dw } = self;
        let (before, after) = dw.split_at(Axis(axis), at);
        let first_after = if axis == 0 { first + at } else { first };
        [Self { x, first, dw: before }, Self { x, first: first_after, dw: after }]
    }
}

/// dW ← Xᵀ·dZ of every product and db ← Σ dZ, on `threads` threads; the columns of dW and `db` are the
/// columns `ns` of dZ. Where the rows of dW are split, only one part has `db`.
///
/// Half of the threads take one half, the others the other, and so on, each time along the longer
/// side: columns of dZ, or columns of all X together. Tiles of dW share nothing but what they read.
pub(super) fn accumulate<const P: usize>(
    kernel: &'static Kernel,
    products: [Product; P],
    dz: Rows<f32>,
    db: Option<&mut [f32]>,
    ns: Range<usize>,
    pieces: Pieces,
    threads: usize,
) {
    let rows: usize = products.iter().map(|product| product.dw.nrows()).sum();
    if threads < 2 || rows.max(ns.len()) < 2 * kernel.panel {
        return sum_up(kernel, products, dz, db, ns, pieces);
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
        || accumulate(kernel, before, dz, db_left, left, pieces, some),
        || accumulate(kernel, after, dz, db_right, right, pieces, threads - some),
    );
}

/// Numbers that all threads together keep from call to call for [`accumulate`] of so many `rows` of X and `columns` of
/// dZ: copies of dZ, and sums that wait. A split is taken to be even, and the copies of X, a fraction of a MiB, as none.
pub(crate) fn scratch(rows: f64, columns: f64, pieces: Pieces, threads: usize) -> f64 {
    match threads {
        0 | 1 => {
            let levels = pieces.levels().saturating_sub(1);
            let longest = pieces.positions(0).count();
            columns.min(COPIED_COLUMNS as f64) * (rows * levels as f64 + longest as f64)
        }
        _ if columns >= rows => 2.0 * scratch(rows, columns / 2.0, pieces, threads / 2),
        _ => 2.0 * scratch(rows / 2.0, columns, pieces, threads / 2),
    }
}

/// [`accumulate`] in this thread.
fn sum_up<const P: usize>(
    kernel: &Kernel,
    mut products: [Product; P],
    dz: Rows<f32>,
    mut db: Option<&mut [f32]>,
    ns: Range<usize>,
    pieces: Pieces,
) {
    let rows: usize = products.iter().map(|product| product.dw.nrows()).sum();
    let [mut dz_found, mut x_found] = [[[].as_slice(); LONGEST_PIECE]; 2];
    SCRATCH.with_borrow_mut(|[a, b, waiting, waiting_db]| {
        // LOOP 1: columns of dZ.
        for columns in even_parts(ns.len(), COPIED_COLUMNS) {
            let ns = ns.start + columns.start..ns.start + columns.end;
            let mut levels = Levels::new(waiting, &pieces, rows, columns.clone());
            // LOOP 2: pieces of the sum, in order.
            for piece in 0..pieces.count() {
                let carry = pieces.carry(piece);
                let dz = dz.look_up(&pieces, piece, 0, &mut dz_found);
                waiting_db.grow((levels.in_dw + 1) * ns.len());
                let (sum, waiting_db) = waiting_db.as_mut_slice().split_at_mut(ns.len());
                sum.fill(0.0);
                gather_panels(b, kernel, dz, ns.clone(), sum);
                if let Some(db) = &mut db {
                    let db = &mut db[columns.clone()];
                    add_to_bias(db, sum, waiting_db, carry, levels.in_dw);
                }
                levels.first_row = 0;
                for Product { x, first, dw } in &mut products {
                    let x = x.look_up(&pieces, piece, COPY, &mut x_found);
                    levels.add_product(kernel, a, b, (x, *first), dw, carry);
                    levels.first_row += dw.nrows();
                }
            }
        }
    });
}

/// Room for the waiting sums of some columns of dW; those of the highest level wait in dW itself.
struct Levels {
    start: *mut f32,
    /// The rows of all products together.
    rows: usize,
    columns: Range<usize>,
    /// The level whose sums wait in dW.
    in_dw: usize,
    /// The first row of the product in work.
    first_row: usize,
}

impl Levels {
    fn new(room: &mut Aligned<f32>, pieces: &Pieces, rows: usize, columns: Range<usize>) -> Self {
        let in_dw = pieces.levels().saturating_sub(1);
        let size = rows.checked_mul(columns.len()).and_then(|n| n.checked_mul(in_dw));
        room.grow(size.expect("sums that fit into memory"));
        Self { start: room.as_mut_slice().as_mut_ptr(), rows, columns, in_dw, first_row: 0 }
    }

    /// Where sums of the product in work wait on `level`.
    fn on(&self, level: usize, dw: &mut ArrayViewMut2<f32>) -> Waiting {
        if level == self.in_dw {
            let start = dw.as_mut_ptr().wrapping_add(self.columns.start);
            return Waiting { start, stride: dw.strides()[0] as usize };
        }
        let stride = self.columns.len();
        let row = level * self.rows + self.first_row;
        Waiting { start: self.start.wrapping_add(row * stride), stride }
    }

    /// Adds Xᵀ·dZ of one piece, dZ copied to `b`, to the sums of the product in work.
    ///
    /// * `x`: the rows of X, and its column that belongs to dW's first row
    fn add_product(
        &self,
        kernel: &Kernel,
        a: &mut Aligned<f32>,
        b: &Aligned<f32>,
        (x, first): (&[&[f32]], usize),
        dw: &mut ArrayViewMut2<f32>,
        carry: Carry,
    ) {
        let c = self.on(carry.level.unwrap_or(self.in_dw), dw);
        let mut waiting = [c; usize::BITS as usize];
        let merged = waiting.iter_mut().zip(carry.merged());
        let merged = merged.map(|(to, level)| *to = self.on(level, dw)).count();
        let tile_count = dw.nrows().div_ceil(kernel.rows());
        let tile = |index| even_part(dw.nrows(), tile_count, index);
        // LOOP 3: rows of dW, in blocks of whole tiles.
        for block in even_parts(tile_count, Blocks::of(kernel).tiles) {
            let ms = tile(block.start).start..tile(block.end - 1).end;
            let a = gather_columns(a, kernel, x, first + ms.start..first + ms.end);
            let block = Block {
                tiles: &kernel.f32,
                rows: ms.len(),
                columns: self.columns.len(),
                depth: x.len(),
                a,
                b: b.as_slice().as_ptr(),
                panel_stride: panel_stride(kernel, x.len()),
                is_near: false, // sums in dW and in what waits
                scales: std::ptr::null(),
                origin: Origin::matrix(c.at(ms.start, 0), c.stride),
                c: c.at(ms.start, 0),
                c_stride: c.stride,
                next_c: c.at(ms.end, 0),
                waiting: &waiting[..merged],
                place: (ms.start, 0),
            };
            // SAFETY: A and B were copied just now, in the sizes given; room was made for what waits.
            unsafe { block.run(kernel, None) };
        }
    }
}

/// Copies columns `ms` of the rows of X, for each tile row after row.
fn gather_columns(a: &mut Aligned<f32>, kernel: &Kernel, x: &[&[f32]], ms: Range<usize>) -> A {
    match kernel.rows() {
        ..=8 => gather_columns_by::<8>(a, kernel, x, ms),
        _ => gather_columns_by::<COPY>(a, kernel, x, ms),
    }
}

/// [`gather_columns`] by copies of N numbers, at least a tile's rows. Such a copy is one or two instructions; what
/// it writes too much is written over by the next k, and after the last falls into the gap between tiles.
fn gather_columns_by<const N: usize>(
    a: &mut Aligned<f32>,
    kernel: &Kernel,
    x: &[&[f32]],
    ms: Range<usize>,
) -> A {
    assert!(kernel.rows() <= N, "a tile's rows are copied at once");
    let (tile_stride, last) = (x.len() * kernel.rows() + N, x.len() - 1);
    let mut tiles = [const { 0..0 }; Blocks::MOST_TILES];
    let places = even_parts(ms.len(), kernel.rows());
    let count = places.len();
    tiles.iter_mut().zip(places).for_each(|(to, tile)| *to = tile);
    a.grow(count * tile_stride);
    let a = a.as_mut_slice();
    for (k, row) in x.iter().enumerate() {
        ask_for(&x[last.min(k + X_AHEAD)][ms.clone()]);
        let row = &row[ms.start..];
        for (to, tile) in a.chunks_exact_mut(tile_stride).zip(&tiles[..count]) {
            let to = &mut to[k * tile.len()..];
            match row.get(tile.start..tile.start + N) {
                Some(from) => to[..N].copy_from_slice(from),
                None => to[..tile.len()].copy_from_slice(&row[tile.clone()]),
            }
        }
    }
    A::ByColumns(a.as_ptr(), tile_stride)
}

/// Adds `sum`, that of one piece, to the sums that wait on each level below `in_dw` in `waiting` and on that
/// one in `db`.
fn add_to_bias(db: &mut [f32], sum: &mut [f32], waiting: &mut [f32], carry: Carry, in_dw: usize) {
    let n = sum.len();
    let on = |level: usize| level * n..(level + 1) * n;
    let (to, merged) = (carry.level.unwrap_or(in_dw), carry.merged());
    for level in merged {
        let earlier = if level < in_dw { &waiting[on(level)] } else { &*db };
        sum.iter_mut().zip(earlier).for_each(|(sum, &earlier)| *sum += earlier);
    }
    let to = if to < in_dw { &mut waiting[on(to)] } else { db };
    to.copy_from_slice(sum);
}

/// Copies columns `ns` of the rows of dZ into panels, and adds them to `sum`.
fn gather_panels(
    b: &mut Aligned<f32>,
    kernel: &Kernel,
    dz: &[&[f32]],
    ns: Range<usize>,
    sum: &mut [f32],
) {
    match kernel.panel {
        32 => gather_panels_of::<32>(b, kernel, dz, ns, sum),
        16 => gather_panels_of::<16>(b, kernel, dz, ns, sum),
        8 => gather_panels_of::<8>(b, kernel, dz, ns, sum),
        other => unreachable!("panels of {other} columns"),
    }
}

/// [`gather_panels`] of a width known to the compiler, so that a row of a panel is a few instructions.
fn gather_panels_of<const WIDTH: usize>(
    b: &mut Aligned<f32>,
    kernel: &Kernel,
    dz: &[&[f32]],
    ns: Range<usize>,
    sum: &mut [f32],
) {
    let stride = panel_stride(kernel, dz.len());
    b.grow(ns.len().div_ceil(WIDTH) * stride);
    let b = b.as_mut_slice();
    vectorised(
        #[inline(always)]
        || {
            for first in (0..dz.len()).step_by(ROWS_OF_DZ) {
                let (rows, next) = dz[first..].split_at(ROWS_OF_DZ.min(dz.len() - first));
                let panels = b.chunks_exact_mut(stride).zip(sum.chunks_mut(WIDTH)).enumerate();
                for (panel, (to, sum)) in panels {
                    let start = ns.start + panel * WIDTH;
                    for row in next.iter().take(ROWS_OF_DZ) {
                        ask_for(&row[start..start + sum.len()]);
                    }
                    let to = to[first * WIDTH..].as_chunks_mut().0.iter_mut();
                    match <&mut [f32; WIDTH]>::try_from(&mut *sum) {
                        Ok(sum) => copy_rows(rows, start, to, sum),
                        Err(_) => {
                            let end = start + sum.len();
                            for (row, to) in rows.iter().zip(to) {
                                let row = &row[start..end];
                                to[..row.len()].copy_from_slice(row);
                                sum.iter_mut().zip(row).for_each(|(sum, &d)| *sum += d);
                            }
                        }
                    }
                }
            }
        },
    );
}

/// Copies columns of some rows into a panel, and adds them to `sum`.
#[inline(always)]
fn copy_rows<'a, const WIDTH: usize>(
    rows: &[&[f32]],
    start: usize,
    to: impl Iterator<Item = &'a mut [f32; WIDTH]>,
    sum: &mut [f32; WIDTH],
) {
    let mut total = *sum;
    for (row, to) in rows.iter().zip(to) {
        let row = row[start..].first_chunk().expect("a whole panel");
        *to = *row;
        for (total, d) in total.iter_mut().zip(row) {
            *total += d;
        }
    }
    *sum = total;
}
