//! The register tile: the innermost loop, once for every instruction set.
//!
//! [`tile`] is written over [`Vector`], an instruction set's registers, and over [`Weight`], the type
//! in which B is stored; `x86` and `neon` say what a vector is there, `portable` is the one that runs
//! anywhere.

use std::fmt;

use half::{bf16, f16};

#[cfg(doc)]
use super::stored::Stored;
use super::stored::Weight;

/// Rows of A lie this far apart when they are copied for the kernel ([`Layout::ROWS`]). A constant,
/// so that the address of each row is one register and a displacement.
pub(super) const ROW_STRIDE: usize = super::blocked::DEPTH;

/// The registers of one instruction set.
///
/// # Safety
/// The functions must run only where the instruction set exists; pointers must be good for
/// [`Vector::LANES`] numbers (`splat`: for one; `prefetch`: any address).
pub(super) trait Vector: Copy {
    /// Numbers in a register.
    const LANES: usize;
    /// All lanes 0.
    unsafe fn zero() -> Self;
    /// Loads `LANES` numbers.
    unsafe fn load(from: *const f32) -> Self;
    /// Loads `LANES` numbers and widens them, which is exact.
    unsafe fn load_f16(from: *const f16) -> Self;
    /// Loads 2·`LANES` numbers in the order of [`Stored::arrange`] and widens them, which is exact.
    unsafe fn load_bf16(from: *const bf16) -> [Self; 2];
    /// One number in all lanes.
    unsafe fn splat(from: *const f32) -> Self;
    /// Stores `LANES` numbers.
    unsafe fn store(self, to: *mut f32);
    /// self · b + c, rounded once.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// self + b.
    unsafe fn add(self, b: Self) -> Self;
    /// Asks for the cache line at `address` before it is needed.
    unsafe fn prefetch(address: *const u8);
}

/// How the kernel finds A.
pub(super) struct Layout;
impl Layout {
    /// a[r·ROW_STRIDE + k]: rows as they lie in A, copied together. The sum goes on from what C holds.
    pub(super) const ROWS: bool = true;
    /// a[k·MR + r]: all rows of the tile side by side for each k. The sum starts from zero, and those
    /// that wait are added at its end.
    pub(super) const COLUMNS: bool = false;
}

/// A sum of the same shape as C that waits to be added to it: where it starts, and from a row to the next.
#[derive(Clone, Copy)]
pub(super) struct Waiting {
    pub(super) start: *mut f32,
    pub(super) stride: usize,
}

impl Waiting {
    /// Where the number at `row` and `column` lies.
    #[inline(always)]
    pub(super) fn at(self, row: usize, column: usize) -> *mut f32 {
        self.start.wrapping_add(row * self.stride + column)
    }
}

/// The operands of one tile of C.
#[derive(Clone, Copy)]
pub(super) struct Operands<'a, W> {
    /// Length of the sum.
    pub(super) depth: usize,
    /// A of the tile in one of the two [`Layout`]s.
    pub(super) a: *const f32,
    /// The panel of B: `depth` rows of panel width.
    pub(super) b: *const W,
    /// From a panel of B to the next; for tiles of several panels.
    pub(super) panel_stride: usize,
    /// C's first element in the tile.
    pub(super) c: *mut f32,
    /// From a row of C to the next.
    pub(super) c_stride: usize,
    /// C of the tile that comes next: as many rows, the same stride.
    pub(super) next_c: *const f32,
    /// Sums to add at the end, with [`Layout::COLUMNS`]: those of all of C.
    pub(super) waiting: &'a [Waiting],
    /// Where in them the tile lies: row and column.
    pub(super) place: (usize, usize),
    /// What will be needed soon of B and of A: at every k a tile of one panel asks for the lines at these
    /// addresses, and they move on by so many bytes. Several panels are read at all the cache gives.
    pub(super) ahead: [(*const u8, usize); 2],
}

/// Computes one tile.
///
/// # Safety
/// The operands must be valid for the tile's rows, panels and depth, and the processor must have
/// the kernel's instructions.
pub(super) type TileFn<W> = unsafe fn(&Operands<'_, W>);

/// C ← C + A·B ([`Layout::ROWS`]) or C ← A·B + all that waits ([`Layout::COLUMNS`]) for one tile of MR
/// rows and P panels of NV vectors, all of it held in registers.
///
/// Each element of A·B is one chain of fused multiply-adds in the order of k.
#[inline(always)]
pub(super) unsafe fn tile<
    V: Vector,
    W: Weight,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const LAYOUT: bool,
>(
    operands: &Operands<'_, W>,
) {
    let Operands { depth, mut a, mut b, panel_stride, c, c_stride, mut ahead, .. } = *operands;
    let (row, column) = operands.place;
    // SAFETY: the caller vouches for the operands and the instruction set.
    unsafe {
        let mut sum = [[[V::zero(); NV]; P]; MR];
        if LAYOUT == Layout::ROWS {
            for (r, row) in sum.iter_mut().enumerate() {
                for (v, sum) in row.as_flattened_mut().iter_mut().enumerate() {
                    *sum = V::load(c.add(r * c_stride + v * V::LANES));
                }
            }
        }
        let (mut left, mut asked) = (depth, 0);
        while left > 0 {
            // C of the next tile and what waits for this one are asked for row by row: all at once would
            // fill the queue of outstanding misses and hold up A and B.
            for first in (0..P * NV * V::LANES).step_by(16) {
                V::prefetch(operands.next_c.wrapping_add(asked * c_stride + first).cast());
                if LAYOUT == Layout::COLUMNS {
                    for sum in operands.waiting {
                        V::prefetch(sum.at(row + asked, column + first).cast());
                    }
                }
            }
            asked += 1;
            let part = depth.div_ceil(MR).min(left);
            left -= part;
            for _ in 0..part {
                let mut b_k = [[V::zero(); NV]; P];
                for (p, panel) in b_k.iter_mut().enumerate() {
                    *panel = W::load(b.add(p * panel_stride));
                }
                if P == 1 {
                    for (address, step) in &mut ahead {
                        V::prefetch(*address);
                        *address = address.wrapping_add(*step);
                    }
                }
                for (r, row) in sum.iter_mut().enumerate() {
                    let r = if LAYOUT == Layout::ROWS { r * ROW_STRIDE } else { r };
                    let a_rk = V::splat(a.add(r));
                    for (sum, &b_k) in row.as_flattened_mut().iter_mut().zip(b_k.as_flattened()) {
                        *sum = a_rk.mul_add(b_k, *sum);
                    }
                }
                a = a.add(if LAYOUT == Layout::ROWS { 1 } else { MR });
                b = b.add(NV * V::LANES);
            }
        }
        for (r, sums) in sum.iter().enumerate() {
            for (v, &sum) in sums.as_flattened().iter().enumerate() {
                let mut sum = sum;
                if LAYOUT == Layout::COLUMNS {
                    for earlier in operands.waiting {
                        sum = V::load(earlier.at(row + r, column + v * V::LANES)).add(sum);
                    }
                }
                sum.store(c.add(r * c_stride + v * V::LANES));
            }
        }
    }
}

/// A tile for so many rows and panels.
#[derive(Clone, Copy)]
pub(super) struct WideTile<W> {
    pub(super) rows: usize,
    pub(super) panels: usize,
    pub(super) run: TileFn<W>,
}

/// All tiles of a kernel for one type of B.
pub(super) struct Tiles<W: 'static> {
    /// `by_rows[m - 1]`: m rows and one panel, A in [`Layout::ROWS`].
    pub(super) by_rows: &'static [TileFn<W>],
    /// `by_columns[m - 1]`: m rows and one panel, A in [`Layout::COLUMNS`]; for f32 alone.
    pub(super) by_columns: &'static [TileFn<W>],
    /// Few rows and several panels at once, A in [`Layout::ROWS`]; for the same rows the most panels first.
    pub(super) wide: &'static [WideTile<W>],
}

/// A register kernel: the tiles of one instruction set.
pub struct Kernel {
    pub(super) name: &'static str,
    pub(super) available: fn() -> bool,
    /// Rounds a multiply-add once.
    pub(super) fused: bool,
    /// Columns of a panel of B.
    pub(super) panel: usize,
    /// Tiles where B is stored in `f32`.
    pub(super) f32: Tiles<f32>,
    /// Tiles where B is stored in [`f16`].
    pub(super) f16: Tiles<f16>,
    /// Tiles where B is stored in [`bf16`].
    pub(super) bf16: Tiles<bf16>,
    /// Multiply-adds in registers alone.
    pub(super) spin: super::peak::SpinFn,
}

impl Kernel {
    /// The kernels compiled in that this processor can run, best first.
    pub fn available() -> impl Iterator<Item = &'static Kernel> {
        super::cpu::KERNELS.iter().copied().filter(|kernel| kernel.is_available())
    }

    /// Whether this processor can run it.
    pub fn is_available(&self) -> bool {
        (self.available)()
    }

    /// The best kernel for this processor.
    pub fn best() -> &'static Kernel {
        super::cpu::best()
    }

    /// Name of the instruction set.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a multiply-add is rounded once. All fused kernels give the same bits.
    pub fn is_fused(&self) -> bool {
        self.fused
    }

    /// Numbers in a vector.
    pub(super) fn lanes(&self) -> usize {
        self.spin.lanes
    }

    /// Rows of its largest tile.
    pub(super) fn rows(&self) -> usize {
        self.f32.by_rows.len()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

/// Spells out a kernel's [`Tiles`] from a tile function generic over (W, rows, panels, layout).
macro_rules! tiles {
    ($tile:ident: rows $($rows:literal)+, wide $($wide:literal x $panels:literal),+) => {
        const F32_BY_COLUMNS: &[TileFn<f32>] =
            &[$($tile::<f32, $rows, 1, { Layout::COLUMNS }>),+];
        const fn tiles<W: Weight>(by_columns: &'static [TileFn<W>]) -> Tiles<W> {
            Tiles {
                by_rows: &[$($tile::<W, $rows, 1, { Layout::ROWS }>),+],
                by_columns,
                wide: &[$(WideTile {
                    rows: $wide,
                    panels: $panels,
                    run: $tile::<W, $wide, $panels, { Layout::ROWS }>,
                }),+],
            }
        }
    };
}
pub(super) use tiles;
