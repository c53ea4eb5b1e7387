//! Level 2 of the code: from gradients to a change of the parameters.

pub mod adam;
pub mod clip;
pub mod schedule;

/// Numbers that one task handles, the same on any number of threads so that sums are too.
const CHUNK: usize = 16_384;
