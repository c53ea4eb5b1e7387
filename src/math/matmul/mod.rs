//! Matrix products: C ← start + A·B with packed weights, and dW ← Xᵀ·dZ over all time steps.
//!
//! # The plain algorithm
//!
//! ```text
//! for m in 0..M, n in 0..N:
//!     c = C[m, n], or bias[n], or 0
//!     for k in 0..K: c = fma(A[m, k], B[k, n], c)
//!     C[m, n] = c
//! ```
//!
//! What follows changes where operands lie and when they are touched, never this chain: each
//! element of C is one sequence of fused multiply-adds, k ascending, from what it [starts](Start) with. (dW is a
//! tree of such chains, each from 0: see [`sums`](crate::math::sums).)
//! So every fused kernel, every way to split rows and every number of threads give the same bits,
//! and `tests/all/matmul.rs` compares bits. A processor without FMA multiplies and adds instead: its
//! bits differ.
//!
//! # The ladder
//!
//! Each file imports only those before it:
//!
//! * `vector`: what a register is; `stored`: the types that B may be stored in, and how a register loads them
//! * `tile`: the one register loop; `kernel`: a set of tiles, those of one instruction set
//! * `x86`, `neon`, `portable`: the kernels; `kernels`: the table of them, and the choice at run time
//! * `packed`: B in panels; `blocked`: the loops around the tile
//! * `rows`, `accumulate`: the sums over positions; `element`: both number types behind one trait; `peak`:
//!   what the registers could do at most
//!
//! From a layer to the register tile it is [`multiply_together`], [`Element::multiply`],
//! `blocked::multiply`, `Block::run`, the kernel's `run`, `tile::tile`.
//!
//! # The departures
//!
//! Figures are GFLOP/s of one core of an AMD Zen 5 with AVX-512, by processor time, where nothing else
//! is said. The register peak ([`Kernel::peak_gflops`]) was 275 to 290 from run to run, 138 with AVX2.
//! The machine was busy with other work, which takes cache and memory: products that fit the cache
//! repeat to 2 %, the large ones do not. What a departure bought is the best of four runs with and
//! without it, alternating; where no figure stands, none was measured.
//!
//! 1. **Register tiles** (`tile`). A tile of C stays in registers while k runs: 13 x 32 with
//!    AVX-512, 6 x 16 with AVX2. One vector of B serves all rows, one number of A all columns. The naive
//!    loop makes 0.8 of 25x128x512, `matrixmultiply` 144, these kernels 256. Tiles of 8 x 32 were as
//!    fast on 50x512x2048, within the noise.
//! 2. **Packed B** (`packed`). B is cut into panels as wide as a tile, once per training step; a
//!    kernel reads it from front to back. Transposed weights are packed as they are read.
//! 3. **Even tiles.** 50 rows are 13 + 13 + 12 + 12, for which there is a kernel each, rather than
//!    3 · 13 + 11: no tile with few rows. Columns beyond N are the only wasted work.
//! 4. **Depth** (`tile::DEPTH`). Sums longer than 512 are stored and loaded again, so that panels and rows stay in
//!    cache. 512 instead of 256, which would fit the first level: 96 instead of 93 % of the peak on
//!    50x512x2048.
//! 5. **Rows of A copied** (`blocked`) together, up to 104 at a time, as many as half of the second-level cache
//!    holds: by rows as they lie, without a transposition. The first part of a sum starts from a bias or from zero
//!    where that is meant ([`Start`]), instead of from a C that was filled before.
//! 6. **Fetching ahead.** While a tile computes, it asks for its share of the next panel of B, for C of
//!    the next panel, and for the A that will be copied next, into the second-level cache:
//!    82 instead of 35 % of the peak on 5000x512x155, no difference that shows on 50x512x2048. It asks at every
//!    eighth k. At each k, asking kept units busy that loads needed: with AVX2 on one core of an AMD Zen 3, that costs
//!    nothing while the core's other hardware thread is idle, and up to 20 % while it is busy.
//! 7. **Several panels for few rows.** One row is 2 chains of vectors, where a latency of 4 cycles
//!    wants 8: a single row takes 8 panels at once, or 4 (4 or 6 alone were slower by 6 %). A gap
//!    between panels keeps these streams apart in the first-level cache: 39.8 -> 33.2 µs for 1x512x2048,
//!    and they are not fetched ahead, since the processor follows them better by itself: 33.1 -> 31.8.
//!    That is 67 GFLOP/s, or reading B at 130 GB/s, as fast as the third-level cache gives it;
//!    `matrixmultiply` makes 5.5. With 4 to 6 rows two panels at once: 74 -> 87 % of the peak for 4x128x512 and
//!    88 -> 91 for 6x128x512, on one core of an Intel Emerald Rapids.
//! 8. **dW** (`accumulate`) is the one product whose operands both come from memory. It goes piece by piece of
//!    the sum, at most 1,024 positions each, and by up to 2,048 columns of dZ: a piece of these columns is copied
//!    into panels once and used for all X. Columns of X lie k-major already, so here A is copied in that order,
//!    up to 104 rows of X at a time, which stay in the second-level cache while dZ passes. A tile starts from zero; at its
//!    end it adds the sums that wait for it and leaves the result to wait in turn, beside dW or, for the largest run,
//!    in dW itself. Parts of rows are asked for ahead, since the hardware follows whole rows only. Panels of dZ lie a
//!    cache line further apart than they are long, so that they do not fall on the same sets of the cache, and what
//!    is copied has a length that the compiler knows. docs/performance.md has what each of these gained.
//! 9. **B in 16 or 8 bits** ([`Storage`]), for generation, where reading B is all that counts. A number is widened
//!    as a kernel loads it, which is exact, so the contract holds for the rounded B. 1x512x2048 takes
//!    16.5 µs in either type instead of 31.8, 127 GB/s. `bf16` lies in pairs of vectors, one load for two:
//!    from the second-level cache 1x512x256 takes 1.20 instead of 1.65 µs; from the third-level cache that
//!    was 18.0 instead of 19.4 µs. `f16` is widened by an instruction of its own, 1.63 µs.
//!    `i8` takes two instructions and a multiplication with the column's scale for each vector. To scale the
//!    column's sum instead would save the multiplication, but no product in `f32` would have the same bits.
#![allow(unsafe_code)]

mod accumulate;
mod blocked;
mod element;
mod kernel;
mod kernels;
#[cfg(target_arch = "aarch64")]
mod neon;
mod packed;
mod peak;
mod portable;
mod rows;
mod stored;
mod tile;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use accumulate::scratch;
pub use blocked::Start;
pub use element::{Element, multiply_together};
pub use kernel::Kernel;
pub use packed::Packed;
pub use rows::Rows;
pub use stored::Storage;
