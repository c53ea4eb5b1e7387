//! The loops around the register tile: what is kept in which cache.

use std::cell::RefCell;
use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::Rows;
use super::kernel::{Kernel, Operands, ROW_STRIDE, TileFn, WideTile};
use super::packed::{Aligned, Packed};
use super::stored::Weight;

/// Longest sum done in one go. A panel of B of that depth (64 KB with AVX-512) comes from the
/// second-level cache for every tile of rows; half the depth would keep it in the first, but
/// loading and storing C twice as often costs more: 93 instead of 96 % of the peak on 50x512x2048.
pub(super) const DEPTH: usize = 512;
/// The same for dW, where copies of both operands have to fit into the cache.
const TASK_DEPTH: usize = 256;
/// Rows of A copied together (213 KB): they stay in the second-level cache.
const COPIED_ROWS: usize = 104;
/// Most rows of dW that one task sums up, and columns; [`task_size`] halves them until every thread
/// has a task. The copies of X and dZ of one depth take half a megabyte and two at most.
const TASK: [usize; 2] = [512, 2048];
/// Numbers copied at once when columns of X are gathered: at least a tile's rows.
const COPY: usize = 16;

thread_local! {
    /// Copies of A and B, kept from call to call so that a product allocates nothing.
    static SCRATCH: RefCell<[Aligned<f32>; 2]> =
        const { RefCell::new([Aligned::new(), Aligned::new()]) };
}

/// `0..n` in parts of at most `most`, as even as can be: 50 in parts of 13 is 13 + 13 + 12 + 12.
fn even_parts(n: usize, most: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let parts = n.div_ceil(most);
    let short = n.checked_div(parts).unwrap_or(0);
    let longer = n - short * parts;
    (0..parts).map(move |i| {
        let start = i * short + i.min(longer);
        start..start + short + usize::from(i < longer)
    })
}

/// C ← C + A·B: see [`super::matmul_packed`], which has checked the shapes.
pub(super) fn multiply<W: Weight>(
    a: ArrayView2<f32>,
    b: &Packed<f32, W>,
    mut c: ArrayViewMut2<f32>,
) {
    // A single row lies in one piece already; nor would it gain from blocks.
    let one_row = a.nrows() == 1;
    let depth = if one_row { b.rows() } else { DEPTH };
    let c_stride = c.strides()[0] as usize;
    let (a_start, a_stride) = (a.as_ptr(), a.strides()[0]);
    let c_start = c.as_mut_ptr();
    SCRATCH.with_borrow_mut(|[copy, _]| {
        copy.grow(COPIED_ROWS * ROW_STRIDE, 0.0);
        // LOOP 1: rows of A. Not parallel: the caller's shards already are.
        for rows in even_parts(a.nrows(), COPIED_ROWS) {
            // LOOP 2: parts of the sum, in order.
            for ks in even_parts(b.rows(), depth) {
                let a_block = if one_row {
                    a_start
                } else {
                    let copies = copy.as_mut_slice().chunks_exact_mut(ROW_STRIDE);
                    for (to, row) in copies.zip(rows.clone()) {
                        let from = a.row(row).to_slice().expect("rows of A are contiguous");
                        to[..ks.len()].copy_from_slice(&from[ks.clone()]);
                    }
                    copy.as_slice().as_ptr()
                };
                let block = Block {
                    rows: rows.len(),
                    columns: b.columns(),
                    depth: ks.len(),
                    a: A::ByRows(a_block),
                    b: b.panels()[ks.start * b.width()..].as_ptr(),
                    panel_stride: b.panel_stride(),
                    c: c_start.wrapping_add(rows.start * c_stride),
                    c_stride,
                    next_c: c_start.wrapping_add(rows.end * c_stride),
                };
                // The part of A that is copied next.
                let (next_row, next_k) = match ks.end < b.rows() {
                    true => (rows.start, ks.end),
                    false => (rows.end, 0),
                };
                let ahead = |row: usize, k: usize| {
                    a_start
                        .wrapping_offset((next_row + row) as isize * a_stride)
                        .wrapping_add(next_k + k)
                };
                // SAFETY: the block is a part of the operands, whose shapes agree.
                unsafe { block.run(b.kernel(), [rows.len(), ks.len()], ahead) };
            }
        }
    });
}

/// dW ← dW + Xᵀ·dZ: see [`super::accumulate_transposed`], which has checked the shapes.
pub(super) fn accumulate(
    kernel: &'static Kernel,
    x: &impl Rows<f32>,
    dz: &impl Rows<f32>,
    mut dw: ArrayViewMut2<f32>,
) {
    let [task_rows, task_columns] = task_size(dw.dim(), rayon::current_num_threads(), kernel.panel);
    // Parallel: tiles of dW share nothing but what they read. The sum over k is never split: its
    // order would then depend on the number of threads.
    dw.axis_chunks_iter_mut(Axis(0), task_rows).into_par_iter().enumerate().for_each(
        |(i, mut band)| {
            let ms = i * task_rows..i * task_rows + band.nrows();
            band.axis_chunks_iter_mut(Axis(1), task_columns).into_par_iter().enumerate().for_each(
                |(j, dw)| {
                    let ns = j * task_columns..j * task_columns + dw.ncols();
                    accumulate_task(kernel, x, dz, dw, ms.clone(), ns);
                },
            );
        },
    );
}

/// Rows and columns of dW for one task: as large as the cache allows, which reads X and dZ the
/// fewest times, but small enough to give every thread one.
fn task_size((m, n): (usize, usize), threads: usize, panel: usize) -> [usize; 2] {
    let mut size = [m.min(TASK[0]), n.min(TASK[1])];
    while m.div_ceil(size[0]) * n.div_ceil(size[1]) < threads && size[0].max(size[1]) > 64 {
        let larger = usize::from(size[1] > size[0]);
        size[larger] = size[larger].div_ceil(2);
    }
    size[1] = size[1].next_multiple_of(panel);
    size
}

/// One task of [`accumulate`]: rows `ms` and columns `ns` of dW.
fn accumulate_task(
    kernel: &'static Kernel,
    x: &impl Rows<f32>,
    dz: &impl Rows<f32>,
    mut dw: ArrayViewMut2<f32>,
    ms: Range<usize>,
    ns: Range<usize>,
) {
    let (count, c_stride) = (x.count(), dw.strides()[0] as usize);
    SCRATCH.with_borrow_mut(|[a, b]| {
        for ks in even_parts(count, TASK_DEPTH) {
            let tile_stride = gather_columns(a, kernel, x, ks.clone(), ms.clone());
            gather_panels(b, kernel, dz, ks.clone(), ns.clone());
            let block = Block {
                rows: ms.len(),
                columns: ns.len(),
                depth: ks.len(),
                a: A::ByColumns(a.as_slice().as_ptr(), tile_stride),
                b: b.as_slice().as_ptr(),
                panel_stride: ks.len() * kernel.panel,
                c: dw.as_mut_ptr(),
                c_stride,
                next_c: dw.as_ptr(),
            };
            // The part of X and then dZ that is copied next.
            let ahead = |k: usize, column: usize| match ks.end + k < count {
                true if column < ms.len() => x.row(ks.end + k)[ms.start + column..].as_ptr(),
                true => dz.row(ks.end + k)[ns.start + column - ms.len()..].as_ptr(),
                false => dz.row(0).as_ptr(),
            };
            // SAFETY: A and B were copied just now, in the sizes given.
            unsafe { block.run(kernel, [ks.len(), ms.len() + ns.len()], ahead) };
        }
    });
}

/// Copies columns `ms` of rows `ks` of X, for each tile k after k; returns how far tiles are apart.
fn gather_columns(
    a: &mut Aligned<f32>,
    kernel: &Kernel,
    x: &impl Rows<f32>,
    ks: Range<usize>,
    ms: Range<usize>,
) -> usize {
    assert!(kernel.rows() <= COPY, "a tile's rows are copied at once");
    let tiles = even_parts(ms.len(), kernel.rows());
    let tile_stride = ks.len() * kernel.rows() + COPY;
    a.grow(tiles.clone().count() * tile_stride, 0.0);
    let a = a.as_mut_slice();
    for (k, row) in ks.map(|k| &x.row(k)[ms.clone()]).enumerate() {
        for (index, tile) in tiles.clone().enumerate() {
            let to = &mut a[index * tile_stride + k * tile.len()..];
            match row.get(tile.start..tile.start + COPY) {
                // A copy of fixed length is two instructions. What it writes too much is written
                // over by the next k, and falls into the gap between tiles after the last.
                Some(from) => to[..COPY].copy_from_slice(from),
                None => to[..tile.len()].copy_from_slice(&row[tile]),
            }
        }
    }
    tile_stride
}

/// Copies columns `ns` of rows `ks` of dZ into panels.
fn gather_panels(
    b: &mut Aligned<f32>,
    kernel: &Kernel,
    dz: &impl Rows<f32>,
    ks: Range<usize>,
    ns: Range<usize>,
) {
    let (depth, width) = (ks.len(), kernel.panel);
    b.grow(ns.len().div_ceil(width) * width * depth, 0.0);
    let b = b.as_mut_slice();
    for (k, row) in ks.map(|k| &dz.row(k)[ns.clone()]).enumerate() {
        for (panel, from) in row.chunks(width).enumerate() {
            b[(panel * depth + k) * width..][..from.len()].copy_from_slice(from);
        }
    }
}

/// A of a [`Block`], in one of the two [`Layout`](super::kernel::Layout)s.
#[derive(Clone, Copy)]
enum A {
    ByRows(*const f32),
    /// And how far tiles are apart.
    ByColumns(*const f32, usize),
}

/// A block of A, small enough for the second-level cache, times a block of B of the same depth.
struct Block<W> {
    rows: usize,
    columns: usize,
    depth: usize,
    a: A,
    b: *const W,
    panel_stride: usize,
    c: *mut f32,
    c_stride: usize,
    /// C of the next block.
    next_c: *const f32,
}

impl<W: Weight> Block<W> {
    /// C ← C + A·B for the block, while the memory that the next block copies is fetched:
    /// `next_size` rows and columns, of which `next` tells the addresses.
    ///
    /// # Safety
    /// The pointers must be good for the sizes, C for writing, and the kernel must be available.
    unsafe fn run(
        &self,
        kernel: &Kernel,
        [next_rows, next_columns]: [usize; 2],
        next: impl Fn(usize, usize) -> *const f32,
    ) {
        let width = kernel.panel;
        let tiles = even_parts(self.rows, kernel.rows());
        let tile_count = tiles.clone().count();
        let tiles_in_all = tile_count * self.columns.div_ceil(width);
        let next_share = (next_rows * next_columns).div_ceil(tiles_in_all);
        let mut next_position = 0;
        let mut column = 0;
        // LOOP 3: panels of B.
        while column < self.columns {
            let wide = self.several_panels(kernel, column);
            let end = column + width * wide.map_or(1, |wide| wide.panels);
            let next_c = if end < self.columns { self.c.wrapping_add(end) } else { self.next_c };
            let b = self.b.wrapping_add(column / width * self.panel_stride);
            let next_b = self.b.wrapping_add(end / width * self.panel_stride);
            // LOOP 4: tiles of rows. Not parallel, like all here: a block is a fraction of a
            // millisecond, and the caller's shards or tasks keep the other processors busy.
            for (index, tile) in tiles.clone().enumerate() {
                let (a, run) = self.tile_of_a(kernel, wide, index, tile.clone());
                let row = tile.start * self.c_stride;
                let share_of_b = index * self.depth * width / tile_count;
                let next_a = next(next_position / next_columns, next_position % next_columns);
                next_position += next_share;
                let operands = Operands {
                    depth: self.depth,
                    a,
                    b,
                    panel_stride: self.panel_stride,
                    c: self.c.wrapping_add(row + column),
                    c_stride: self.c_stride,
                    next_c: next_c.wrapping_add(row),
                    ahead: [
                        (
                            next_b.wrapping_add(share_of_b).cast(),
                            width.div_ceil(tile_count) * size_of::<W>(),
                        ),
                        (next_a.cast(), next_share.div_ceil(self.depth) * size_of::<f32>()),
                    ],
                };
                // SAFETY: the tile lies in the block, or at its edge.
                unsafe {
                    if end <= self.columns {
                        run(&operands);
                    } else {
                        run_at_edge(run, operands, tile.len(), self.columns - column, width);
                    }
                }
            }
            column = end;
        }
    }

    /// Few rows are too few chains for the latency of a multiply-add: then the tile that takes
    /// the most panels at once, as far as C has the columns for it.
    fn several_panels(&self, kernel: &Kernel, column: usize) -> Option<WideTile<W>> {
        let fits = |wide: &&WideTile<W>| {
            wide.rows == self.rows && column + wide.panels * kernel.panel <= self.columns
        };
        match self.a {
            A::ByRows(_) => W::tiles(kernel).wide.iter().find(fits).copied(),
            A::ByColumns(..) => None,
        }
    }

    /// Where A of a tile begins, and the function for it.
    fn tile_of_a(
        &self,
        kernel: &Kernel,
        wide: Option<WideTile<W>>,
        index: usize,
        tile: Range<usize>,
    ) -> (*const f32, TileFn<W>) {
        let tiles = W::tiles(kernel);
        match self.a {
            A::ByRows(a) => {
                let run = wide.map_or(tiles.by_rows[tile.len() - 1], |wide| wide.run);
                (a.wrapping_add(tile.start * ROW_STRIDE), run)
            }
            A::ByColumns(a, tile_stride) => {
                (a.wrapping_add(index * tile_stride), tiles.by_columns[tile.len() - 1])
            }
        }
    }
}

/// A tile that reaches beyond C's last column: computed in a buffer as wide as the tile.
///
/// # Safety
/// As for [`TileFn`], where C has `columns` columns only.
#[cold]
unsafe fn run_at_edge<W>(
    run: TileFn<W>,
    operands: Operands<W>,
    rows: usize,
    columns: usize,
    width: usize,
) {
    const LARGEST: usize = 16 * 32;
    let mut buffer = [0.0_f32; LARGEST];
    assert!(rows * width <= LARGEST);
    // SAFETY: the caller vouches for C's rows and columns; the buffer holds the tile.
    unsafe {
        let c_row = |r: usize| operands.c.add(r * operands.c_stride);
        for (r, row) in buffer.chunks_exact_mut(width).take(rows).enumerate() {
            row[..columns].copy_from_slice(std::slice::from_raw_parts(c_row(r), columns));
        }
        run(&Operands { c: buffer.as_mut_ptr(), c_stride: width, ..operands });
        for (r, row) in buffer.chunks_exact(width).take(rows).enumerate() {
            std::slice::from_raw_parts_mut(c_row(r), columns).copy_from_slice(&row[..columns]);
        }
    }
}
