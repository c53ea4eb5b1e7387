//! The loops around the register tile: what is kept in which cache.

use std::cell::RefCell;
use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2, ArrayViewMut2, LinalgScalar};

use super::kernel::{Kernel, Tiles, WideTile};
use super::packed::{Aligned, Packed};
use super::tile::{Ahead, DEPTH, Operands, ROW_STRIDE, TileFn, Waiting};
use crate::math::caches;
use crate::math::sums::{LONGEST_PIECE, even_parts};

/// How much is copied at once: what shall stay in the second-level cache while all of B or dZ passes by, so half
/// of it, and no more than has been seen to help. It changes no bits.
///
/// | second-level cache | rows of A | tiles of X, AVX2 | AVX-512 |
/// |---|---|---|---|
/// | 256 KiB | 64 | 5 | 2 |
/// | 512 KiB | 104 (208 KiB) | 10 (240 KiB) | 4 |
/// | 1 MiB and more | 104 | 17 (408 KiB) | 8 (416 KiB) |
pub(super) struct Blocks {
    /// Rows of A in a product with packed weights, [`DEPTH`] numbers each.
    rows: usize,
    /// Tiles of X in a sum over positions, as deep as the longest piece.
    pub(super) tiles: usize,
}

impl Blocks {
    /// Most rows of either: what was best on the processors of `docs/performance.md`.
    const MOST_ROWS: usize = 104;
    /// Most tiles: of the portable kernel, whose largest has 4 rows.
    pub(super) const MOST_TILES: usize = Self::MOST_ROWS / 4;

    /// For a kernel on this processor.
    pub(super) fn of(kernel: &Kernel) -> Self {
        Self::that_fit(caches::second_level(), kernel.rows())
    }

    /// For a second-level cache of so many bytes and tiles of so many rows.
    fn that_fit(cache: usize, tile_rows: usize) -> Self {
        let in_half = |numbers: usize| cache / 2 / (numbers * size_of::<f32>());
        Self {
            rows: in_half(DEPTH).clamp(tile_rows, Self::MOST_ROWS),
            tiles: in_half(LONGEST_PIECE * tile_rows).clamp(1, Self::MOST_ROWS / tile_rows),
        }
    }
}

thread_local! {
    /// Copies of A and B and sums that wait for dW and db, kept from call to call so that a product
    /// allocates nothing.
    pub(super) static SCRATCH: RefCell<[Aligned<f32>; 4]> =
        const { RefCell::new([const { Aligned::new() }; 4]) };
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub enum Start<'a, R> {
    /// What C holds.
    C,
    /// Nothing: what C holds is overwritten.
    Zero,
    /// This row `[N]`, a bias, in each row of C, which is overwritten.
    Bias(&'a [R]),
}

/// Zeros for a tile of the most columns.
static ZEROS: [f32; 256] = [0.0; 256];

/// C ← `start` + A·B, with A [M, K] and the columns from `first` on of B, as many as C [M, N] has: `panels` are
/// B's numbers, and `tiles` those of its kernel. Rows of A and C are contiguous, any distance apart, and a panel
/// begins at `first`.
pub(super) fn multiply<W: Copy>(
    a: ArrayView2<f32>,
    b: &Packed,
    panels: &[W],
    tiles: &Tiles<W>,
    first: usize,
    start: Start<f32>,
    mut c: ArrayViewMut2<f32>,
) {
    check_shapes(a, b, first, start, &c);
    if c.is_empty() || b.rows() == 0 {
        return fill(start, c);
    }
    // A single row lies in one piece already; nor would it gain from blocks.
    let one_row = a.nrows() == 1;
    let depth = if one_row { b.rows() } else { DEPTH };
    let kernel = b.kernel();
    let first_panel = first / kernel.panel * b.panel_stride();
    let c_stride = c.strides()[0] as usize;
    let c_start = c.as_mut_ptr();
    let copied = Blocks::of(kernel).rows;
    let bytes_of_b = b.rows() * c.ncols() * size_of::<W>();
    let is_near = is_near((a.len() + c.len()) * size_of::<f32>() + bytes_of_b);
    SCRATCH.with_borrow_mut(|[copy, ..]| {
        copy.grow(copied * ROW_STRIDE);
        // LOOP 1: rows of A. Not parallel: the caller's shards already are.
        for rows in even_parts(a.nrows(), copied) {
            // LOOP 2: parts of the sum, in order.
            for ks in even_parts(b.rows(), depth) {
                let a_block = match one_row {
                    true => a.as_ptr(),
                    false => copy_part(copy, a, rows.clone(), ks.clone()),
                };
                let c_block = c_start.wrapping_add(rows.start * c_stride);
                let block = Block {
                    rows: rows.len(),
                    columns: c.ncols(),
                    depth: ks.len(),
                    a: A::ByRows(a_block),
                    b: panels[first_panel + ks.start * kernel.panel..].as_ptr(),
                    panel_stride: b.panel_stride(),
                    is_near,
                    scales: b.scales().wrapping_add(first),
                    origin: match ks.start {
                        0 => Origin::of(start, c_block, c_stride),
                        _ => Origin::matrix(c_block, c_stride),
                    },
                    c: c_block,
                    c_stride,
                    next_c: c_start.wrapping_add(rows.end * c_stride),
                    tiles,
                    waiting: &[],
                    place: (0, 0),
                };
                let next = NextRows::after(&a, &rows, &ks);
                // SAFETY: the block is a part of the operands, whose shapes agree.
                unsafe { block.run(kernel, Some(next)) };
            }
        }
    });
}

/// Whether operands of so many bytes stay in the second-level cache from a product to the next. To ask for them all the
/// same would hold up the loads from there.
fn is_near(bytes: usize) -> bool {
    bytes <= caches::second_level() / 4 * 3
}

/// Copies the columns `ks` of some rows of A as a kernel wants them; returns where they begin.
fn copy_part(
    copy: &mut Aligned<f32>,
    a: ArrayView2<f32>,
    rows: Range<usize>,
    ks: Range<usize>,
) -> *const f32 {
    for (to, row) in copy.as_mut_slice().chunks_exact_mut(ROW_STRIDE).zip(rows) {
        let from = a.row(row).to_slice().expect("rows of A are contiguous");
        to[..ks.len()].copy_from_slice(&from[ks.clone()]);
    }
    copy.as_slice().as_ptr()
}

/// C ← `start`.
pub(super) fn fill<R: LinalgScalar>(start: Start<R>, mut c: ArrayViewMut2<R>) {
    match start {
        Start::C => {}
        Start::Zero => c.fill(R::zero()),
        Start::Bias(row) => c.assign(&ArrayView1::from(row)),
    }
}

/// Panics unless the shapes of C = A·B agree, rows are contiguous, and C is of whole panels but for B's last:
/// what follows trusts them.
fn check_shapes(
    a: ArrayView2<f32>,
    b: &Packed,
    first: usize,
    start: Start<f32>,
    c: &ArrayViewMut2<f32>,
) {
    let ((m, k), (c_m, n)) = (a.dim(), c.dim());
    let (rows, columns, panel) = (b.rows(), b.columns(), b.kernel().panel);
    let end = first.checked_add(n).filter(|&end| end <= columns);
    assert!(
        m == c_m && k == rows && end.is_some(),
        "C [{c_m}, {n}] = A [{m}, {k}] · B [{rows}, {columns}], columns from {first} on"
    );
    if let Start::Bias(row) = start {
        assert!(row.len() == n, "a bias [{}] for C [{c_m}, {n}]", row.len());
    }
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

/// Where the sums of a [`Block`] with [`A::ByRows`] start.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    start: *const f32,
    /// From a row to the next, and from a column.
    strides: (usize, usize),
}

impl Origin {
    /// What `start` says of a C that lies at `c`.
    fn of(start: Start<f32>, c: *const f32, stride: usize) -> Self {
        match start {
            Start::C => Self::matrix(c, stride),
            Start::Zero => Self { start: ZEROS.as_ptr(), strides: (0, 0) },
            Start::Bias(row) => Self { start: row.as_ptr(), strides: (0, 1) },
        }
    }

    pub(super) fn matrix(start: *const f32, stride: usize) -> Self {
        Self { start, strides: (stride, 1) }
    }

    fn at(self, row: usize, column: usize) -> *const f32 {
        self.start.wrapping_add(row * self.strides.0 + column * self.strides.1)
    }
}

/// Rows of A that will be copied after a block is done.
#[derive(Clone, Copy)]
pub(super) struct NextRows {
    start: *const f32,
    /// From row to row.
    stride: isize,
    rows: usize,
    columns: usize,
}

impl NextRows {
    /// After the columns `ks` of some rows of `a`: the next columns of the same rows, or the next rows.
    fn after(a: &ArrayView2<f32>, rows: &Range<usize>, ks: &Range<usize>) -> Self {
        let (row, k) = match ks.end < a.ncols() {
            true => (rows.start, ks.end),
            false => (rows.end, 0),
        };
        let stride = a.strides()[0];
        let start = a.as_ptr().wrapping_offset(row as isize * stride).wrapping_add(k);
        Self { start, stride, rows: rows.len(), columns: ks.len() }
    }

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
    /// Whether all operands are in the second-level cache, and nothing need be asked for.
    pub(super) is_near: bool,
    /// The scale of each column, where B is stored with scales.
    pub(super) scales: *const f32,
    pub(super) origin: Origin,
    pub(super) c: *mut f32,
    pub(super) c_stride: usize,
    /// C of the next block.
    pub(super) next_c: *const f32,
    /// With [`A::ByColumns`]: sums that wait to be added, and the block's row and column in them.
    pub(super) waiting: &'a [Waiting],
    pub(super) place: (usize, usize),
}

impl<W: Copy> Block<'_, W> {
    /// C ← its `origin` + A·B for the block with [`A::ByRows`], C ← A·B + all that waits with [`A::ByColumns`],
    /// while what will be copied `next` is fetched.
    ///
    /// # Safety
    /// The pointers must be good for the sizes, C for writing, and the kernel must be available. C may
    /// be among what waits, elsewhere they must not overlap.
    pub(super) unsafe fn run(&self, kernel: &Kernel, next: Option<NextRows>) {
        let width = kernel.panel;
        let tiles = even_parts(self.rows, kernel.rows());
        let tile_count = tiles.len();
        let share_of_b = (self.depth * width).div_ceil(tile_count);
        let share = next.map_or(0, |next| next.share(tile_count * self.columns.div_ceil(width)));
        let ahead_in_b = Ahead::new::<W>(share_of_b, self.depth);
        let ahead_in_a = Ahead::new::<f32>(share, self.depth);
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
                let next_a = next.map_or(self.c.cast_const(), |next| next.address(position));
                position += share;
                let operands = Operands {
                    depth: self.depth,
                    a,
                    b,
                    panel_stride: self.panel_stride,
                    scales: self.scales.wrapping_add(column),
                    from: self.origin.at(tile.start, column),
                    from_stride: self.origin.strides.0,
                    c: self.c.wrapping_add(row + column),
                    c_stride: self.c_stride,
                    next_c: next_c.wrapping_add(row),
                    waiting: self.waiting,
                    place: (self.place.0 + tile.start, self.place.1 + column),
                    ahead: (!self.is_near).then(|| {
                        let next_b = next_b.wrapping_add(index * share_of_b);
                        [ahead_in_b.from(next_b), ahead_in_a.from(next_a)]
                    }),
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
            let from = operands.from.add(r * operands.from_stride);
            row[..columns].copy_from_slice(std::slice::from_raw_parts(from, columns));
        }
        let c = buffer.as_mut_ptr();
        run(&Operands {
            from: c,
            from_stride: width,
            c,
            c_stride: width,
            waiting: &[],
            ..operands
        });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_as_many_as_the_widest_tile_has_columns() {
        for kernel in Kernel::available() {
            let panels = kernel.f32.wide.iter().map(|tile| tile.panels).max();
            assert!(panels.unwrap_or(1) * kernel.panel <= ZEROS.len(), "{kernel:?}");
        }
    }

    #[test]
    fn half_of_the_second_level_cache_is_copied_at_once() {
        let blocks = |kib: usize, tile_rows| {
            let Blocks { rows, tiles } = Blocks::that_fit(kib << 10, tile_rows);
            (rows, tiles)
        };
        assert_eq!((blocks(256, 6), blocks(256, 13)), ((64, 5), (64, 2)));
        assert_eq!((blocks(512, 6), blocks(512, 13)), ((104, 10), (104, 4)));
        assert_eq!((blocks(1024, 6), blocks(2048, 13)), ((104, 17), (104, 8)));
        assert_eq!(blocks(1, 13), (13, 1));
    }
}
