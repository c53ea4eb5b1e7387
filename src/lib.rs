//! karenina
pub mod error;
pub mod math;
