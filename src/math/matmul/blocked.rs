//! The loops around the kernels: cut A, B and C so that each piece stays in its cache.

use std::cell::RefCell;

use ndarray::{ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::Rows;
use super::kernel::{Kernel, Tile};
use super::packed::Panels;

/// Rows of A packed at once: with a depth of 512 some 200 KB, which stay in the second cache level
/// while all panels of B pass by.
const BLOCK_ROWS: usize = 112;

/// Columns of dW that one task adds up.
const TASK_COLUMNS: usize = 1024;

/// Positions whose rows of X and dZ are packed at once.
const TASK_DEPTH: usize = 512;

/// Most numbers of a tile of any kernel.
const LARGEST_TILE: usize = 14 * 32;

thread_local! {
    /// Room for packed A and packed B, kept from call to call.
    static ROOM: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// C ← C + A·B; see [`super::matmul_packed`].
pub(super) fn multiply(a: ArrayView2<f32>, b: &Panels, mut c: ArrayViewMut2<f32>) {
    let (m, n) = c.dim();
    assert_eq!(a.dim(), (m, b.rows()), "A [M, K] against C [{m}, {n}]");
    assert_eq!(n, b.columns(), "B's columns against C's");
    if m == 1 && n % b.kernel.columns == 0 && a.stride_of(Axis(1)) == 1 {
        return multiply_row(a, b, c);
    }
    let kernel = b.kernel;
    ROOM.with_borrow_mut(|[room, _]| {
        // 'row_blocks: not parallel, the caller's shards already are.
        for first in (0..m).step_by(BLOCK_ROWS) {
            let rows = BLOCK_ROWS.min(m - first);
            let mut c = c.slice_axis_mut(Axis(0), (first..first + rows).into());
            // 'k_blocks: in order, since C is stored between them.
            for k in (0..b.rows()).step_by(kernel.depth) {
                let (packed_b, depth) = b.block(k);
                pack_rows(kernel, a, first..first + rows, k..k + depth, room);
                multiply_blocks(kernel, depth, room, packed_b, &mut c);
            }
        }
    });
}

/// C ← C + a·B for a single row, which needs no packing.
fn multiply_row(a: ArrayView2<f32>, b: &Panels, mut c: ArrayViewMut2<f32>) {
    let Kernel { columns, depth, row, .. } = *b.kernel;
    let panels = c.ncols() / columns;
    for k in (0..b.rows()).step_by(depth) {
        let (packed_b, depth) = b.block(k);
        let tile = Tile {
            k: depth,
            a: a.row(0).split_at(Axis(0), k).1.as_ptr(),
            b: packed_b.as_ptr(),
            c: c.as_mut_ptr(),
            stride: depth * columns,
            next: packed_b.as_ptr(),
        };
        // SAFETY: the row of A has k..k+depth, the block `panels` panels, C `panels · columns` numbers.
        unsafe { row(panels, tile) }
    }
}

/// The rows of each tile of `rows` rows in all: as even as can be, so that no tile is left half empty.
fn tiles(kernel: &Kernel, rows: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let count = rows.div_ceil(kernel.rows);
    (0..count).map(move |tile| tile * rows / count..(tile + 1) * rows / count)
}

/// Packs A's `rows` and `ks` tile by tile, k-major.
fn pack_rows(
    kernel: &Kernel,
    a: ArrayView2<f32>,
    rows: std::ops::Range<usize>,
    ks: std::ops::Range<usize>,
    packed: &mut Vec<f32>,
) {
    packed.resize(rows.len() * ks.len(), 0.0);
    let mut rest = &mut packed[..];
    for tile in tiles(kernel, rows.len()) {
        let height = tile.len();
        let (packed, after) = rest.split_at_mut(height * ks.len());
        for (r, row) in tile.enumerate() {
            let a = a.row(rows.start + row);
            let a = a.as_slice().expect("rows of A are contiguous");
            for (packed, &a) in packed[r..].iter_mut().step_by(height).zip(&a[ks.clone()]) {
                *packed = a;
            }
        }
        rest = after;
    }
}

/// C ← C + A·B for one packed block of A and of B, `depth` deep.
fn multiply_blocks(
    kernel: &Kernel,
    depth: usize,
    packed_a: &[f32],
    packed_b: &[f32],
    c: &mut ArrayViewMut2<f32>,
) {
    let (m, n) = c.dim();
    let columns = kernel.columns;
    assert!(c.stride_of(Axis(1)) == 1 || n == 1, "rows of C are contiguous");
    assert!(packed_a.len() >= m * depth && packed_b.len() >= n.next_multiple_of(columns) * depth);
    let stride = c.stride_of(Axis(0)).unsigned_abs();
    // 'panels: one panel of B stays in the first cache level while all tiles of A pass by.
    for (panel, b) in packed_b.chunks_exact(depth * columns).enumerate() {
        let first = panel * columns;
        let width = columns.min(n - first);
        let last_tiles = m.div_ceil(kernel.rows).saturating_sub(4);
        for (count, rows) in tiles(kernel, m).enumerate() {
            let height = rows.len();
            // The last four tiles fetch a quarter of the next panel each.
            let quarter = count.checked_sub(last_tiles).map_or(0, |q| b.len() + q * b.len() / 4);
            let corner = c.as_mut_ptr().wrapping_add(rows.start * stride + first);
            let tile = Tile {
                k: depth,
                a: packed_a[rows.start * depth..].as_ptr(),
                b: b.as_ptr(),
                c: corner,
                stride,
                next: b.as_ptr().wrapping_add(quarter),
            };
            // SAFETY: by the assertions above A and B hold the tile's operands, and C [m, n] contains its
            // `height` rows and, but for the last panel, `columns` columns.
            unsafe {
                match width == columns {
                    true => (kernel.tile)(height, tile),
                    false => edge_tile(kernel, height, width, tile),
                }
            }
        }
    }
}

/// A tile of the last panel, whose right columns are not part of C: computed in a buffer.
///
/// # Safety
/// As for [`Kernel::tile`], with only `width` columns of C.
unsafe fn edge_tile(kernel: &Kernel, height: usize, width: usize, tile: Tile) {
    let mut buffer = [0.0f32; LARGEST_TILE];
    let columns = kernel.columns;
    // SAFETY: C has `height` rows of `width`, the buffer `height` rows of `columns` ≥ `width`.
    unsafe {
        for r in 0..height {
            let c = tile.c.add(r * tile.stride);
            c.copy_to_nonoverlapping(buffer.as_mut_ptr().add(r * columns), width);
        }
        (kernel.tile)(height, Tile { c: buffer.as_mut_ptr(), stride: columns, ..tile });
        for r in 0..height {
            let c = tile.c.add(r * tile.stride);
            c.copy_from_nonoverlapping(buffer.as_ptr().add(r * columns), width);
        }
    }
}

/// dW ← dW + Xᵀ·dZ; see [`super::accumulate_transposed`].
pub(super) fn accumulate_transposed(
    kernel: &'static Kernel,
    x: &impl Rows<f32>,
    dz: &impl Rows<f32>,
    mut dw: ArrayViewMut2<f32>,
) {
    let (m, n) = dw.dim();
    assert_eq!((x.width(), dz.width()), (m, n), "X and dZ against dW");
    assert_eq!(x.count(), dz.count(), "as many rows of X as of dZ");
    // 'tasks: parallel, since each owns its columns of dW.
    let tasks = dw.axis_chunks_iter_mut(Axis(1), TASK_COLUMNS).into_par_iter().enumerate();
    tasks.for_each(|(task, mut dw)| {
        let columns = task * TASK_COLUMNS..task * TASK_COLUMNS + dw.ncols();
        ROOM.with_borrow_mut(|[packed_x, packed_dz]| {
            // 'positions: in order, the one order of the sum.
            for first in (0..x.count()).step_by(TASK_DEPTH) {
                let ks = first..(first + TASK_DEPTH).min(x.count());
                let depth = ks.len();
                pack_transposed(kernel, x, ks.clone(), packed_x);
                pack_columns(kernel, dz, ks, columns.clone(), packed_dz);
                multiply_blocks(kernel, depth, packed_x, packed_dz, &mut dw);
            }
        });
    });
}

/// Packs Xᵀ tile by tile: the rows of X are k-major already, so each is cut into the tiles' pieces.
fn pack_transposed(
    kernel: &Kernel,
    x: &impl Rows<f32>,
    ks: std::ops::Range<usize>,
    packed: &mut Vec<f32>,
) {
    let depth = ks.len();
    packed.resize(x.width() * depth, 0.0);
    for (at, k) in ks.enumerate() {
        let row = x.row(k);
        for tile in tiles(kernel, row.len()) {
            let to = tile.start * depth + at * tile.len();
            packed[to..to + tile.len()].copy_from_slice(&row[tile]);
        }
    }
}

/// Packs some columns of dZ into panels, the last one filled up with zeros.
fn pack_columns(
    kernel: &Kernel,
    dz: &impl Rows<f32>,
    ks: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    packed: &mut Vec<f32>,
) {
    let depth = ks.len();
    packed.clear();
    packed.resize(columns.len().next_multiple_of(kernel.columns) * depth, 0.0);
    for (at, k) in ks.enumerate() {
        let row = &dz.row(k)[columns.clone()];
        for (panel, piece) in row.chunks(kernel.columns).enumerate() {
            let to = (panel * depth + at) * kernel.columns;
            packed[to..to + piece.len()].copy_from_slice(piece);
        }
    }
}
