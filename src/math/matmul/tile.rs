//! The register tile: the innermost loop, once for every instruction set.
//!
//! [`tile`] is written over [`Vector`], an instruction set's registers, and over [`Stored`], the type
//! in which B is stored. Beside it stands [`spin`], the same multiply-adds without memory.

use std::hint::black_box;
use std::ptr;

use super::stored::Stored;
use super::vector::Vector;

/// Longest sum of a tile whose A lies in [`Layout::ROWS`] by copies. A panel of B of that depth (64 KB with
/// AVX-512) comes from the second-level cache for every tile of rows; half the depth would keep it in the
/// first, but loading and storing C twice as often costs more: 93 instead of 96 % of the peak on
/// 50x512x2048.
pub(super) const DEPTH: usize = 512;
/// Rows of A lie this far apart when they are copied for the kernel ([`Layout::ROWS`]). A constant,
/// so that the address of each row is one register and a displacement.
pub(super) const ROW_STRIDE: usize = DEPTH;
/// So many k are one straight piece of code, before which a tile asks for what will be needed soon.
const AT_ONCE: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// How the kernel finds A.
pub(super) struct Layout;
impl Layout {
    /// a[r·ROW_STRIDE + k]: rows as they lie in A, copied together. The sum goes on from what is there: in C, or
    /// a row that all rows start from.
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
    /// The scale of each column of the tile, where B is stored with scales.
    pub(super) scales: *const f32,
    /// With [`Layout::ROWS`]: what the first element's sum goes on from, which may be C.
    pub(super) from: *const f32,
    /// From there to the next row's.
    pub(super) from_stride: usize,
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
    /// What will be needed soon of B and of A, and that a row of C will be, unless all is near enough. Several panels are
    /// read at all the cache gives.
    pub(super) ahead: Option<[Ahead; 2]>,
}

impl<W> Operands<'_, W> {
    /// Asks for a row of C of the next tile and of what waits for this one. All rows at once would fill the queue of
    /// outstanding misses and hold up A and B.
    #[inline(always)]
    unsafe fn ask_for_row<V: Vector, const LAYOUT: bool>(&self, r: usize, columns: usize) {
        let (row, column) = self.place;
        for first in (0..columns).step_by(LINE / size_of::<f32>()) {
            // SAFETY: any address may be asked for.
            unsafe {
                V::prefetch(self.next_c.wrapping_add(r * self.c_stride + first).cast());
                if LAYOUT == Layout::COLUMNS {
                    for sum in self.waiting {
                        V::prefetch(sum.at(row + r, column + first).cast());
                    }
                }
            }
        }
    }
}

/// Memory that a tile of one panel asks for while it computes, a part of it at every [`AT_ONCE`]th k.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    address: *const u8,
    /// Of a part.
    bytes: usize,
    lines: usize,
}

impl Ahead {
    /// Most lines of a part. A block's only tile would ask for 16 with AVX-512, and is no faster for it.
    const MOST_LINES: usize = 8;

    /// For tiles of this depth that ask for so many `numbers` each.
    pub(super) fn new<W>(numbers: usize, depth: usize) -> Self {
        let bytes = (numbers * AT_ONCE).div_ceil(depth) * size_of::<W>();
        Self { address: ptr::null(), bytes, lines: bytes.div_ceil(LINE).min(Self::MOST_LINES) }
    }

    /// Those of one tile, from `start` on.
    pub(super) fn from<W>(self, start: *const W) -> Self {
        Self { address: start.cast(), ..self }
    }

    /// Asks for the next part. The compiler writes out a loop of at most eight steps; one over `lines` it would turn
    /// into a loop over eights and one over the rest, whose jumps cost AVX2's tile 7 to 10 %.
    #[inline(always)]
    unsafe fn ask_for<V: Vector>(&mut self) {
        for line in 0..Self::MOST_LINES {
            if line == self.lines {
                break;
            }
            // SAFETY: any address may be asked for.
            unsafe { V::prefetch(self.address.wrapping_add(line * LINE)) };
        }
        self.address = self.address.wrapping_add(self.bytes);
    }
}

/// Computes one tile.
///
/// # Safety
/// The operands must be valid for the tile's rows, panels and depth, and the processor must have
/// the kernel's instructions.
pub(super) type TileFn<W> = unsafe fn(&Operands<'_, W>);

/// C ← `from` + A·B ([`Layout::ROWS`]) or C ← A·B + all that waits ([`Layout::COLUMNS`]) for one tile of
/// MR rows and P panels of NV vectors, all of it held in registers.
///
/// Each element of A·B is one chain of fused multiply-adds in the order of k.
///
/// Here and in [`Stored::load`] loops count by hand. The parts of an adapter such as `zip` may be compiled by
/// themselves, without the kernel's instructions, where a crate is not optimised as a whole: tests ran at a quarter of
/// the speed.
#[inline(always)]
pub(super) unsafe fn tile<
    V: Vector,
    W: Stored,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const LAYOUT: bool,
>(
    operands: &Operands<'_, W>,
) {
    let Operands { depth, mut a, mut b, from, from_stride, c, c_stride, mut ahead, .. } = *operands;
    let (row, column) = operands.place;
    // SAFETY: the caller vouches for the operands and the instruction set.
    unsafe {
        let mut sum = [[[V::zero(); NV]; P]; MR];
        if LAYOUT == Layout::ROWS {
            for (r, row) in sum.iter_mut().enumerate() {
                for v in 0..P * NV {
                    row[v / NV][v % NV] = V::load(from.add(r * from_stride + v * V::LANES));
                }
            }
        }
        // From asking for a row of C to the next one, which row that is, and when it is due.
        let (every, mut next_row, mut due) = ((depth / AT_ONCE / MR).max(1), 0, 0);
        for at in 0..depth / AT_ONCE {
            if let Some(ahead) = &mut ahead {
                if P == 1 {
                    for ahead in ahead {
                        ahead.ask_for::<V>();
                    }
                }
                if at == due {
                    operands.ask_for_row::<V, LAYOUT>(next_row, P * NV * V::LANES);
                    next_row += 1;
                    due = if next_row < MR { due + every } else { usize::MAX };
                }
            }
            // A fixed number, so that the compiler makes one straight piece of them.
            for _ in 0..AT_ONCE {
                multiply_add::<V, W, MR, P, NV, LAYOUT>(&mut a, &mut b, operands, &mut sum);
            }
        }
        for _ in 0..depth % AT_ONCE {
            multiply_add::<V, W, MR, P, NV, LAYOUT>(&mut a, &mut b, operands, &mut sum);
        }
        // Sum by sum outside, so that the loops within have fixed bounds: an index that is known only at run
        // time would keep the tile in memory instead of registers, all the time.
        if LAYOUT == Layout::COLUMNS {
            for earlier in operands.waiting {
                for (r, row_of_sums) in sum.iter_mut().enumerate() {
                    for v in 0..P * NV {
                        let sum = &mut row_of_sums[v / NV][v % NV];
                        *sum = V::load(earlier.at(row + r, column + v * V::LANES)).add(*sum);
                    }
                }
            }
        }
        for (r, row) in sum.iter().enumerate() {
            for v in 0..P * NV {
                row[v / NV][v % NV].store(c.add(r * c_stride + v * V::LANES));
            }
        }
    }
}

/// `sum` += A[.., k]·B[k, ..] for the k where `a` and `b` are, and on to the next.
#[inline(always)]
unsafe fn multiply_add<
    V: Vector,
    W: Stored,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const LAYOUT: bool,
>(
    a: &mut *const f32,
    b: &mut *const W,
    operands: &Operands<'_, W>,
    sum: &mut [[[V; NV]; P]; MR],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut b_k = [[V::zero(); NV]; P];
        for (p, panel) in b_k.iter_mut().enumerate() {
            let scales = operands.scales.wrapping_add(p * NV * V::LANES);
            *panel = W::load(b.add(p * operands.panel_stride), scales);
        }
        for (r, row) in sum.iter_mut().enumerate() {
            let r = if LAYOUT == Layout::ROWS { r * ROW_STRIDE } else { r };
            let a_rk = V::splat(a.add(r));
            for v in 0..P * NV {
                let sum = &mut row[v / NV][v % NV];
                *sum = a_rk.mul_add(b_k[v / NV][v % NV], *sum);
            }
        }
        *a = a.add(if LAYOUT == Layout::ROWS { 1 } else { MR });
        *b = b.add(NV * V::LANES);
    }
}

/// `rounds` rounds of `CHAINS` independent multiply-adds between registers, no memory: what `peak` times.
#[inline(always)]
pub(super) unsafe fn spin<V: Vector, const CHAINS: usize>(rounds: usize) -> f32 {
    // SAFETY: the caller vouches for the instruction set; the arrays are as long as a vector.
    unsafe {
        let near_one = black_box(0.999_999_f32);
        let factor = V::splat(&near_one);
        let mut sums = [factor; CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = sum.mul_add(factor, factor);
            }
        }
        let mut total = sums[0];
        for &sum in &sums[1..] {
            total = total.mul_add(factor, sum);
        }
        let mut lanes = [0.0_f32; 16];
        total.store(lanes.as_mut_ptr());
        black_box(lanes[0])
    }
}
