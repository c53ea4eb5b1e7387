//! The kernels for AVX-512 and for AVX2 with FMA: the same loop over vectors of 16 and of 8.

use std::arch::x86_64::*;

use super::kernel::{Kernel, Tile, with_constant};

/// 14 rows of two vectors: 28 sums, two vectors of B; A is broadcast from memory. Of the 32
/// registers two are left.
pub(super) static AVX512: Kernel = Kernel {
    name: "AVX-512",
    rows: 14,
    columns: 32,
    depth: 512,
    tile: avx512_tile,
    row: avx512_row,
};

/// 6 rows of two vectors: 12 sums, two vectors of B, one of A: 15 of the 16 registers.
pub(super) static AVX2: Kernel =
    Kernel { name: "AVX2", rows: 6, columns: 16, depth: 256, tile: avx2_tile, row: avx2_row };

/// Panels that one row is multiplied by at once: eight chains of additions, as many as two units
/// with a latency of four cycles can keep going.
const ROW_PANELS: usize = 4;

#[target_feature(enable = "avx512f")]
fn avx512_tile(rows: usize, tile: Tile) {
    with_constant!(rows, avx512, tile, [1 2 3 4 5 6 7 8 9 10 11 12 13 14])
}

#[target_feature(enable = "avx2,fma")]
fn avx2_tile(rows: usize, tile: Tile) {
    with_constant!(rows, avx2, tile, [1 2 3 4 5 6])
}

#[target_feature(enable = "avx512f")]
fn avx512_row(panels: usize, tile: Tile) {
    let mut tile = tile;
    let mut left = panels;
    while left > 0 {
        let now = left.min(ROW_PANELS);
        with_constant!(now, avx512_panels, tile, [1 2 3 4]);
        tile.b = tile.b.wrapping_add(now * tile.stride);
        tile.c = tile.c.wrapping_add(now * 32);
        left -= now;
    }
}

#[target_feature(enable = "avx2,fma")]
fn avx2_row(panels: usize, tile: Tile) {
    let mut tile = tile;
    let mut left = panels;
    while left > 0 {
        let now = left.min(ROW_PANELS);
        with_constant!(now, avx2_panels, tile, [1 2 3 4]);
        tile.b = tile.b.wrapping_add(now * tile.stride);
        tile.c = tile.c.wrapping_add(now * 16);
        left -= now;
    }
}

/// Writes a tile and a row kernel for one vector type.
macro_rules! kernels {
    ($features:literal, $tile:ident, $row:ident, $width:literal, $zero:ident, $load:ident, $store:ident, $set:ident, $fma:ident) => {
        #[inline]
        #[target_feature(enable = $features)]
        fn $tile<const ROWS: usize>(tile: Tile) {
            const COLUMNS: usize = 2 * $width;
            let Tile { k, a, b, c, stride, next } = tile;
            // SAFETY: the caller of `Kernel::tile` promises that A [k, ROWS], B [k, COLUMNS] may be
            // read and ROWS rows of C be read and written; `next` is only prefetched.
            unsafe {
                let mut sums = [[$zero(); 2]; ROWS];
                for r in 0..ROWS {
                    sums[r] = [$load(c.add(r * stride)), $load(c.add(r * stride + $width))];
                }
                for k in 0..k {
                    let b = [$load(b.add(k * COLUMNS)), $load(b.add(k * COLUMNS + $width))];
                    if k % 2 == 0 {
                        _mm_prefetch(next.wrapping_add(k * 8).cast(), _MM_HINT_T0);
                    }
                    for r in 0..ROWS {
                        let a = $set(*a.add(k * ROWS + r));
                        sums[r] = [$fma(a, b[0], sums[r][0]), $fma(a, b[1], sums[r][1])];
                    }
                }
                for r in 0..ROWS {
                    $store(c.add(r * stride), sums[r][0]);
                    $store(c.add(r * stride + $width), sums[r][1]);
                }
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn $row<const PANELS: usize>(tile: Tile) {
            const COLUMNS: usize = 2 * $width;
            let Tile { k, a, b, c, stride, .. } = tile;
            // SAFETY: the caller of `Kernel::row` promises that `a` [k] and PANELS panels [k, COLUMNS]
            // of B, `stride` apart, may be read and PANELS · COLUMNS numbers of C be read and written.
            unsafe {
                let mut sums = [[$zero(); 2]; PANELS];
                for p in 0..PANELS {
                    let c = c.add(p * COLUMNS);
                    sums[p] = [$load(c), $load(c.add($width))];
                }
                for k in 0..k {
                    let a = $set(*a.add(k));
                    for p in 0..PANELS {
                        let b = b.add(p * stride + k * COLUMNS);
                        _mm_prefetch(b.wrapping_add(16 * COLUMNS).cast(), _MM_HINT_T0);
                        sums[p] = [
                            $fma(a, $load(b), sums[p][0]),
                            $fma(a, $load(b.add($width)), sums[p][1]),
                        ];
                    }
                }
                for p in 0..PANELS {
                    let c = c.add(p * COLUMNS);
                    $store(c, sums[p][0]);
                    $store(c.add($width), sums[p][1]);
                }
            }
        }
    };
}

kernels!(
    "avx512f",
    avx512,
    avx512_panels,
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_fmadd_ps
);
kernels!(
    "avx2,fma",
    avx2,
    avx2_panels,
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_fmadd_ps
);
