//! The register tile: the innermost loop, once for every instruction set.
//!
//! [`tile`] is written over [`Vector`], an instruction set's registers; `x86` and `neon` say what a
//! vector is there, this file holds the one that runs anywhere.

use std::fmt;

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
    /// One number in all lanes.
    unsafe fn splat(from: *const f32) -> Self;
    /// Stores `LANES` numbers.
    unsafe fn store(self, to: *mut f32);
    /// self · b + c, rounded once.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// Asks for the cache line at `address` before it is needed.
    unsafe fn prefetch(address: *const f32);
}

/// How the kernel finds A.
pub(super) struct Layout;
impl Layout {
    /// a[r·ROW_STRIDE + k]: rows as they lie in A, copied together.
    pub(super) const ROWS: bool = true;
    /// a[k·MR + r]: all rows of the tile side by side for each k.
    pub(super) const COLUMNS: bool = false;
}

/// The operands of one tile of C.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    /// Length of the sum.
    pub(super) depth: usize,
    /// A of the tile in one of the two [`Layout`]s.
    pub(super) a: *const f32,
    /// The panel of B: `depth` rows of panel width.
    pub(super) b: *const f32,
    /// From a panel of B to the next; for tiles of several panels.
    pub(super) panel_stride: usize,
    /// C's first element in the tile.
    pub(super) c: *mut f32,
    /// From a row of C to the next.
    pub(super) c_stride: usize,
    /// C of the tile that comes next: as many rows, the same stride.
    pub(super) next_c: *const f32,
    /// What will be needed soon of B and of A: at every k the lines at these addresses are asked
    /// for, and the addresses move on by so many numbers.
    pub(super) ahead: [(*const f32, usize); 2],
}

/// Computes one tile.
///
/// # Safety
/// The operands must be valid for the tile's rows, panels and depth, and the processor must have
/// the kernel's instructions.
pub(super) type TileFn = unsafe fn(&Operands);

/// C ← C + A·B for one tile of MR rows and P panels of NV vectors, all of it held in registers.
///
/// Each element is one chain of fused multiply-adds in the order of k.
#[inline(always)]
pub(super) unsafe fn tile<
    V: Vector,
    const MR: usize,
    const P: usize,
    const NV: usize,
    const LAYOUT: bool,
>(
    operands: &Operands,
) {
    let Operands { depth, mut a, mut b, panel_stride, c, c_stride, mut next_c, mut ahead } =
        *operands;
    // SAFETY: the caller vouches for the operands and the instruction set.
    unsafe {
        let mut sum = [[[V::zero(); NV]; P]; MR];
        for (r, row) in sum.iter_mut().enumerate() {
            for (v, sum) in row.as_flattened_mut().iter_mut().enumerate() {
                *sum = V::load(c.add(r * c_stride + v * V::LANES));
            }
        }
        let mut left = depth;
        while left > 0 {
            // C of the next tile is asked for row by row: all at once would fill the queue of
            // outstanding misses and hold up A and B.
            for line in 0..(P * NV * V::LANES).div_ceil(16) {
                V::prefetch(next_c.wrapping_add(line * 16));
            }
            next_c = next_c.wrapping_add(c_stride);
            let part = depth.div_ceil(MR).min(left);
            left -= part;
            for _ in 0..part {
                let mut b_k = [[V::zero(); NV]; P];
                for (p, panel) in b_k.iter_mut().enumerate() {
                    for (v, b_k) in panel.iter_mut().enumerate() {
                        *b_k = V::load(b.add(p * panel_stride + v * V::LANES));
                    }
                }
                for (address, step) in &mut ahead {
                    V::prefetch(*address);
                    *address = address.wrapping_add(*step);
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
        for (r, row) in sum.iter().enumerate() {
            for (v, &sum) in row.as_flattened().iter().enumerate() {
                sum.store(c.add(r * c_stride + v * V::LANES));
            }
        }
    }
}

/// A register kernel: the tiles of one instruction set.
pub struct Kernel {
    pub(super) name: &'static str,
    pub(super) available: fn() -> bool,
    /// Rounds a multiply-add once.
    pub(super) fused: bool,
    /// Columns of a panel of B.
    pub(super) panel: usize,
    /// `by_rows[m - 1]`: m rows and one panel, A in [`Layout::ROWS`].
    pub(super) by_rows: &'static [TileFn],
    /// `by_columns[m - 1]`: m rows and one panel, A in [`Layout::COLUMNS`].
    pub(super) by_columns: &'static [TileFn],
    /// `wide[m - 1]`: m rows and so many panels at once, A in [`Layout::ROWS`]; for few rows.
    pub(super) wide: &'static [(usize, TileFn)],
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

    /// Rows of its largest tile.
    pub(super) fn rows(&self) -> usize {
        self.by_rows.len()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

/// Spells out a [`Kernel`]'s tables from a tile function generic over (rows, panels, layout).
macro_rules! tables {
    ($tile:ident: rows $($rows:literal)+, wide $($wide:literal x $panels:literal),+) => {
        const BY_ROWS: &[TileFn] = &[$($tile::<$rows, 1, { Layout::ROWS }>),+];
        const BY_COLUMNS: &[TileFn] = &[$($tile::<$rows, 1, { Layout::COLUMNS }>),+];
        const WIDE: &[(usize, TileFn)] = &[$(($panels, $tile::<$wide, $panels, { Layout::ROWS }>)),+];
    };
}
pub(super) use tables;

/// The kernel in plain Rust: four lanes, which every compiler makes one register.
pub(super) mod portable {
    use super::*;
    use crate::math::matmul::peak::{self, spin};

    /// FUSED: with one rounding, which without FMA hardware would be a slow call.
    #[derive(Clone, Copy)]
    #[repr(align(16))]
    struct Four<const FUSED: bool>([f32; 4]);

    impl<const FUSED: bool> Vector for Four<FUSED> {
        const LANES: usize = 4;
        #[inline(always)]
        unsafe fn zero() -> Self {
            Self([0.0; 4])
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the trait's contract.
            Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> Self {
            // SAFETY: the trait's contract.
            Self([unsafe { *from }; 4])
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            // SAFETY: the trait's contract.
            unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, b: Self, c: Self) -> Self {
            let mut sum = c.0;
            for (sum, (a, b)) in sum.iter_mut().zip(self.0.iter().zip(b.0)) {
                *sum = if FUSED { a.mul_add(b, *sum) } else { a * b + *sum };
            }
            Self(sum)
        }
        #[inline(always)]
        unsafe fn prefetch(_: *const f32) {}
    }

    macro_rules! portable_kernel {
        ($kernel:ident, $name:literal, $fused:literal, $available:expr $(, $attribute:meta)?) => {
            pub(in crate::math::matmul) static $kernel: Kernel = {
                $(#[$attribute])?
                unsafe fn run<const MR: usize, const P: usize, const LAYOUT: bool>(o: &Operands) {
                    // SAFETY: the caller's.
                    unsafe { tile::<Four<$fused>, MR, P, 2, LAYOUT>(o) }
                }
                $(#[$attribute])?
                unsafe fn run_spin(rounds: usize) -> f32 {
                    // SAFETY: the caller's.
                    unsafe { spin::<Four<$fused>>(rounds) }
                }
                tables!(run: rows 1 2 3 4, wide 1 x 4, 2 x 2);
                Kernel {
                    name: $name,
                    available: $available,
                    fused: $fused,
                    panel: 8,
                    by_rows: BY_ROWS,
                    by_columns: BY_COLUMNS,
                    wide: WIDE,
                    spin: peak::SpinFn { run: run_spin, lanes: 4 },
                }
            };
        };
    }

    #[cfg(target_arch = "x86_64")]
    portable_kernel!(
        FUSED,
        "portable with FMA",
        true,
        || std::arch::is_x86_feature_detected!("fma"),
        target_feature(enable = "fma")
    );
    #[cfg(target_arch = "aarch64")]
    portable_kernel!(FUSED, "portable with FMA", true, || true);
    portable_kernel!(PLAIN, "portable", false, || true);
}
