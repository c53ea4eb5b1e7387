//! The loops around the register tile: what is kept in which cache.

use std::cell::RefCell;
use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::kernel::{Kernel, Tiles, WideTile};
use super::packed::{Aligned, Packed};
use super::tile::{DEPTH, Operands, ROW_STRIDE, TileFn, Waiting};
use crate::math::sums::even_parts;

/// Rows of A copied together (213 KB): they stay in the second-level cache.
const COPIED_ROWS: usize = 104;

thread_local! {
    /// Copies of A and B and sums that wait for dW and db, kept from call to call so that a product
    /// allocates nothing.
    pub(super) static SCRATCH: RefCell<[Aligned<f32>; 4]> =
        const { RefCell::new([const { Aligned::new() }; 4]) };
}

/// C ← C + A·B, with A [M, K] and the columns from `first` on of B, as many as C [M, N] has: `panels` are B's
/// numbers, and `tiles` those of its kernel. Rows of A and C may be any distance apart.
///
/// # Panics
/// If the shapes do not agree, rows are not contiguous, or a panel does not begin at `first`.
pub(super) fn multiply<W: Copy>(
    a: ArrayView2<f32>,
    b: &Packed,
    panels: &[W],
    tiles: &Tiles<W>,
    first: usize,
    mut c: ArrayViewMut2<f32>,
) {
    check_shapes(a, b, first, &c);
    if c.is_empty() || b.rows() == 0 {
        return;
    }
    // A single row lies in one piece already; nor would it gain from blocks.
    let one_row = a.nrows() == 1;
    let depth = if one_row { b.rows() } else { DEPTH };
    let kernel = b.kernel();
    let first_panel = first / kernel.panel * b.panel_stride();
    let c_stride = c.strides()[0] as usize;
    let (a_start, a_stride) = (a.as_ptr(), a.strides()[0]);
    let row = |row: usize| a_start.wrapping_offset(row as isize * a_stride);
    let c_start = c.as_mut_ptr();
    SCRATCH.with_borrow_mut(|[copy, ..]| {
        copy.grow(COPIED_ROWS * ROW_STRIDE);
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
                    columns: c.ncols(),
                    depth: ks.len(),
                    a: A::ByRows(a_block),
                    b: panels[first_panel + ks.start * kernel.panel..].as_ptr(),
                    panel_stride: b.panel_stride(),
                    scales: b.scales().wrapping_add(first),
                    c: c_start.wrapping_add(rows.start * c_stride),
                    c_stride,
                    next_c: c_start.wrapping_add(rows.end * c_stride),
                    tiles,
                    waiting: &[],
                    place: (0, 0),
                };
                let next = Ahead {
                    start: match ks.end < b.rows() {
                        true => row(rows.start).wrapping_add(ks.end),
                        false => row(rows.end),
                    },
                    stride: a_stride,
                    rows: rows.len(),
                    columns: ks.len(),
                };
                // SAFETY: the block is a part of the operands, whose shapes agree.
                unsafe { block.run(kernel, Some(next)) };
            }
        }
    });
}

/// Panics unless the shapes of C = A·B agree, rows are contiguous, and C is of whole panels but for B's last:
/// what follows trusts them.
fn check_shapes(a: ArrayView2<f32>, b: &Packed, first: usize, c: &ArrayViewMut2<f32>) {
    let ((m, k), (c_m, n)) = (a.dim(), c.dim());
    let (rows, columns, panel) = (b.rows(), b.columns(), b.kernel().panel);
    let end = first.checked_add(n).filter(|&end| end <= columns);
    assert!(
        m == c_m && k == rows && end.is_some(),
        "C [{c_m}, {n}] = A [{m}, {k}] · B [{rows}, {columns}], columns from {first} on"
    );
    let is_whole = |at: usize| at == columns || at.is_multiple_of(panel);
    assert!(is_whole(first) && end.is_some_and(is_whole), "columns {first}..{end:?} in {panel}s");
    assert!(a.strides()[1] == 1 || k <= 1, "rows of A must be contiguous");
    assert!(c.strides()[1] == 1 || n <= 1, "rows of C must be contiguous");
    assert!(c.strides()[0] >= 0, "rows of C must ascend");
}

/// A of a [`Block`], in one of the two [`Layout`](super::tile::Layout)s.
#[derive(Clone, Copy)]
pub(super) enum A {
    ByRows(*const f32),
    /// And how far tiles are apart.
    ByColumns(*const f32, usize),
}

/// Rows of A that will be copied after a block is done.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    start: *const f32,
    /// From row to row.
    stride: isize,
    rows: usize,
    columns: usize,
}

impl Ahead {
    /// How many numbers each of some tiles asks for.
    fn share(&self, tiles: usize) -> usize {
        (self.rows * self.columns).div_ceil(tiles)
    }

    /// Where the number lies that is number `position` of all.
    fn address(&self, position: usize) -> *const f32 {
        let (row, column) = (position / self.columns, position % self.columns);
        self.start.wrapping_offset(row as isize * self.stride).wrapping_add(column)
    }
}

/// A block of A, small enough for the second-level cache, times a block of B of the same depth.
pub(super) struct Block<'a, W: 'static> {
    pub(super) tiles: &'a Tiles<W>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) a: A,
    pub(super) b: *const W,
    pub(super) panel_stride: usize,
    /// The scale of each column, where B is stored with scales.
    pub(super) scales: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    /// C of the next block.
    pub(super) next_c: *const f32,
    /// With [`A::ByColumns`]: sums that wait to be added, and the block's row and column in them.
    pub(super) waiting: &'a [Waiting],
    pub(super) place: (usize, usize),
}

impl<W: Copy> Block<'_, W> {
    /// C ← C + A·B for the block with [`A::ByRows`], C ← A·B + all that waits with [`A::ByColumns`], while
    /// what will be copied `next` is fetched.
    ///
    /// # Safety
    /// The pointers must be good for the sizes, C for writing, and the kernel must be available. C may
    /// be among what waits, elsewhere they must not overlap.
    pub(super) unsafe fn run(&self, kernel: &Kernel, next: Option<Ahead>) {
        let width = kernel.panel;
        let tiles = even_parts(self.rows, kernel.rows());
        let tile_count = tiles.len();
        let share = next.map_or(0, |next| next.share(tile_count * self.columns.div_ceil(width)));
        let mut position = 0;
        let mut column = 0;
        // BLOCK LOOP 1: panels of B.
        while column < self.columns {
            let wide = self.several_panels(kernel, column);
            let end = column + width * wide.map_or(1, |wide| wide.panels);
            let next_c = if end < self.columns { self.c.wrapping_add(end) } else { self.next_c };
            let b = self.b.wrapping_add(column / width * self.panel_stride);
            let next_b = self.b.wrapping_add(end / width * self.panel_stride);
            // BLOCK LOOP 2: tiles of rows. Not parallel, like all here: a block is a fraction of a
            // millisecond, and the caller's shards or tasks keep the other processors busy.
            for (index, tile) in tiles.clone().enumerate() {
                let (a, run) = self.tile_of_a(wide, index, tile.clone());
                let row = tile.start * self.c_stride;
                let share_of_b = index * self.depth * width / tile_count;
                let next_a = next.map_or(self.c.cast_const(), |next| next.address(position));
                position += share;
                let operands = Operands {
                    depth: self.depth,
                    a,
                    b,
                    panel_stride: self.panel_stride,
                    scales: self.scales.wrapping_add(column),
                    c: self.c.wrapping_add(row + column),
                    c_stride: self.c_stride,
                    next_c: next_c.wrapping_add(row),
                    waiting: self.waiting,
                    place: (self.place.0 + tile.start, self.place.1 + column),
                    ahead: [
                        (
                            next_b.wrapping_add(share_of_b).cast(),
                            width.div_ceil(tile_count) * size_of::<W>(),
                        ),
                        (next_a.cast(), share.div_ceil(self.depth) * size_of::<f32>()),
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
            A::ByRows(_) => self.tiles.wide.iter().find(fits).copied(),
            A::ByColumns(..) => None,
        }
    }

    /// Where A of a tile begins, and the function for it.
    fn tile_of_a(
        &self,
        wide: Option<WideTile<W>>,
        index: usize,
        tile: Range<usize>,
    ) -> (*const f32, TileFn<W>) {
        let tiles = self.tiles;
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
    // SAFETY: the caller vouches for C's rows and columns and for what waits; the buffer holds the tile.
    unsafe {
        let c_row = |r: usize| operands.c.add(r * operands.c_stride);
        for (r, row) in buffer.chunks_exact_mut(width).take(rows).enumerate() {
            row[..columns].copy_from_slice(std::slice::from_raw_parts(c_row(r), columns));
        }
        run(&Operands { c: buffer.as_mut_ptr(), c_stride: width, waiting: &[], ..operands });
        for (r, row) in buffer.chunks_exact_mut(width).take(rows).enumerate() {
            for earlier in operands.waiting {
                let start = earlier.at(operands.place.0 + r, operands.place.1);
                for (sum, &earlier) in
                    row.iter_mut().zip(std::slice::from_raw_parts(start, columns))
                {
                    *sum += earlier;
                }
            }
            std::slice::from_raw_parts_mut(c_row(r), columns).copy_from_slice(&row[..columns]);
        }
    }
}
