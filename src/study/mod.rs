//! Level 4 of the code: planning a run, measuring it, and looking inside a network.

pub mod choice;
pub mod gradcheck;
pub mod lab;
pub mod machine;
pub mod plan;
pub mod profile;
pub mod report;
pub mod trace;
