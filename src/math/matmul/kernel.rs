//! The kernel: a set of register tiles, those of one instruction set.

use std::fmt;

use half::{bf16, f16};

use super::tile::TileFn;

/// A tile for so many rows and panels.
#[derive(Clone, Copy)]
pub(super) struct WideTile<W> {
    pub(super) rows: usize,
    pub(super) panels: usize,
    pub(super) run: TileFn<W>,
}

/// All tiles of a kernel for one type of B.
pub(super) struct Tiles<W: 'static> {
    /// `by_rows[m - 1]`: m rows and one panel, A in `Layout::ROWS`.
    pub(super) by_rows: &'static [TileFn<W>],
    /// `by_columns[m - 1]`: m rows and one panel, A in `Layout::COLUMNS`; for f32 alone.
    pub(super) by_columns: &'static [TileFn<W>],
    /// Few rows and several panels at once, A in `Layout::ROWS`; for the same rows the most panels first.
    pub(super) wide: &'static [WideTile<W>],
}

/// A register kernel: the tiles of one instruction set.
pub struct Kernel {
    pub(super) name: &'static str,
    pub(super) available: fn() -> bool,
    /// Rounds a multiply-add once.
    pub(super) fused: bool,
    /// Numbers in a vector.
    pub(super) lanes: usize,
    /// Columns of a panel of B.
    pub(super) panel: usize,
    /// Tiles where B is stored in `f32`.
    pub(super) f32: Tiles<f32>,
    /// Tiles where B is stored in [`f16`].
    pub(super) f16: Tiles<f16>,
    /// Tiles where B is stored in [`bf16`].
    pub(super) bf16: Tiles<bf16>,
    /// Tiles where B is stored in `i8`.
    pub(super) i8: Tiles<i8>,
    /// So many rounds of `chains` multiply-adds of registers, with no memory: what `peak` times.
    pub(super) spin: unsafe fn(usize) -> f32,
    /// Independent multiply-adds that keep every unit busy: its latency in cycles times the units.
    pub(super) chains: usize,
}

impl Kernel {
    /// Whether this processor can run it.
    pub fn is_available(&self) -> bool {
        (self.available)()
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
        self.f32.by_rows.len()
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kernel({})", self.name)
    }
}

/// A kernel of `tile::tile`: its vectors and how many of them a panel has, the chains of its peak, the rows of its
/// tiles, and the attribute that lets their code use its instructions.
macro_rules! kernel {
    ($name:literal, $vector:ty, $vectors:literal a panel, $chains:literal chains, rows $($rows:literal)+,
     wide $($wide:literal x $panels:literal),+; fused $fused:literal, $available:expr $(, $attribute:meta)?) => {{
        $(#[$attribute])?
        unsafe fn run<W: Stored, const MR: usize, const P: usize, const LAYOUT: bool>(
            operands: &Operands<'_, W>,
        ) {
            // SAFETY: the caller's.
            unsafe { tile::<$vector, W, MR, P, $vectors, LAYOUT>(operands) }
        }
        $(#[$attribute])?
        unsafe fn run_spin(rounds: usize) -> f32 {
            // SAFETY: the caller's.
            unsafe { spin::<$vector, $chains>(rounds) }
        }
        const fn tiles<W: Stored>(by_columns: &'static [TileFn<W>]) -> Tiles<W> {
            Tiles {
                by_rows: &[$(run::<W, $rows, 1, { Layout::ROWS }>),+],
                by_columns,
                wide: &[$(WideTile {
                    rows: $wide,
                    panels: $panels,
                    run: run::<W, $wide, $panels, { Layout::ROWS }>,
                }),+],
            }
        }
        Kernel {
            name: $name,
            available: $available,
            fused: $fused,
            lanes: <$vector>::LANES,
            panel: $vectors * <$vector>::LANES,
            f32: tiles(&[$(run::<f32, $rows, 1, { Layout::COLUMNS }>),+]),
            f16: tiles(&[]),
            bf16: tiles(&[]),
            i8: tiles(&[]),
            spin: run_spin,
            chains: $chains,
        }
    }};
}
pub(super) use kernel;
