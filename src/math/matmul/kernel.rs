//! The innermost loops: a tile of C in registers, one pass over k.

use super::cpu::{InstructionSet, best};
#[cfg(target_arch = "x86_64")]
use super::x86;

/// Where a kernel finds its operands.
///
/// * `a`: A packed for this tile, k-major: `a[k·rows + r]`
/// * `b`: one packed panel of B: `b[k·columns + n]`
/// * `c`, `stride`: the tile's corner in C and the distance of its rows
/// * `next`: what will be read of B after this tile, to be fetched meanwhile (any address will do)
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub k: usize,
    pub a: *const f32,
    pub b: *const f32,
    pub c: *mut f32,
    pub stride: usize,
    pub next: *const f32,
}

/// A register-blocked kernel.
///
/// Every kernel computes each element of C as one chain of fused multiply-adds, k ascending,
/// starting from the value found there: `c = fma(a[k], b[k], c)`. So all of them, and any way of
/// cutting rows, columns or k, give the same bits.
#[derive(Debug)]
pub struct Kernel {
    /// Name in tables.
    pub name: &'static str,
    /// Most rows of a tile; it takes any number from 1 to this.
    pub(super) rows: usize,
    /// Columns of a tile, and of a packed panel.
    pub(super) columns: usize,
    /// Rows of B that are packed together: a panel of this depth stays in the first cache levels.
    pub(super) depth: usize,
    /// Multiplies a tile of `rows` rows: C ← C + A·B.
    pub(super) tile: unsafe fn(rows: usize, tile: Tile),
    /// Multiplies one row by `panels` neighbouring panels, `depth`·`columns` apart: C ← C + a·B.
    pub(super) row: unsafe fn(panels: usize, tile: Tile),
}

impl Kernel {
    /// The kernel that this processor runs best.
    pub fn best() -> &'static Self {
        match best() {
            InstructionSet::Portable => &PORTABLE,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => &x86::AVX2,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => &x86::AVX512,
        }
    }

    /// All kernels that this processor can run, the portable one first.
    pub fn available() -> Vec<&'static Self> {
        let mut kernels = vec![&PORTABLE];
        #[cfg(target_arch = "x86_64")]
        for (needs, kernel) in
            [(InstructionSet::Avx2, &x86::AVX2), (InstructionSet::Avx512, &x86::AVX512)]
        {
            if best() >= needs {
                kernels.push(kernel);
            }
        }
        kernels
    }
}

/// Calls `$function::<N>($arguments)` with the constant N that equals `$n`.
macro_rules! with_constant {
    ($n:expr, $function:ident, $tile:expr, [$($k:literal)*]) => {
        match $n {
            $($k => $function::<$k>($tile),)*
            n => unreachable!("no tile of {n}"),
        }
    };
}
pub(super) use with_constant;

/// The plain kernel for any machine; on aarch64 the compiler makes NEON's fused multiply-adds of it.
pub(super) static PORTABLE: Kernel = Kernel {
    name: "portable",
    rows: 4,
    columns: COLUMNS,
    depth: 256,
    tile: portable_tile,
    row: portable_row,
};

const COLUMNS: usize = 16;

unsafe fn portable_tile(rows: usize, tile: Tile) {
    // SAFETY: the caller's promise is passed on.
    unsafe { with_constant!(rows, portable, tile, [1 2 3 4]) }
}

unsafe fn portable_row(panels: usize, tile: Tile) {
    for panel in 0..panels {
        // SAFETY: the caller promises as many panels and columns.
        unsafe {
            let b = tile.b.add(panel * tile.stride);
            portable::<1>(Tile { b, c: tile.c.add(panel * COLUMNS), ..tile });
        }
    }
}

/// # Safety
/// `tile` must describe ROWS rows of memory that may be read and, in C, written.
unsafe fn portable<const ROWS: usize>(tile: Tile) {
    let mut sums = [[0.0f32; COLUMNS]; ROWS];
    // SAFETY: by this function's contract.
    unsafe {
        for (r, sums) in sums.iter_mut().enumerate() {
            tile.c.add(r * tile.stride).copy_to_nonoverlapping(sums.as_mut_ptr(), COLUMNS);
        }
        for k in 0..tile.k {
            let b = *tile.b.add(k * COLUMNS).cast::<[f32; COLUMNS]>();
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = *tile.a.add(k * ROWS + r);
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = a.mul_add(b, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            tile.c.add(r * tile.stride).copy_from_nonoverlapping(sums.as_ptr(), COLUMNS);
        }
    }
}
