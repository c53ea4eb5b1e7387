//! karenina
pub mod math;
