//! Layer 0: numbers only. Nothing here knows what a character or a network is.

pub mod activation;
pub mod init;
pub mod matmul;
pub mod random;
pub mod real;
pub mod simd;
pub mod stopwatch;
pub mod sums;

pub use real::Real;
