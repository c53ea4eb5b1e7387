//! The kernel: a set of register tiles, those of one instruction set.

use std::fmt;

use half::{bf16, f16};

use super::tile::{SpinFn, TileFn};

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
    /// Multiply-adds in registers alone.
    pub(super) spin: SpinFn,
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
        const fn tiles<W: Stored>(by_columns: &'static [TileFn<W>]) -> Tiles<W> {
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
