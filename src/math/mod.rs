//! Level 0 of the code: numbers only. Nothing here knows what a character or a network is.

pub mod activation;
pub(crate) mod caches;
pub mod init;
#[doc(hidden)]
pub mod matmul;
pub(crate) mod random;
mod real;
#[doc(hidden)]
pub mod simd;
pub mod stopwatch;
#[doc(hidden)]
pub mod sums;
#[doc(hidden)]
pub mod team;
pub(crate) mod views;

#[doc(inline)]
pub use matmul::Storage;
pub use real::Real;
