//! Layer 4: what looks at a network from outside.

pub mod choice;
pub mod gradcheck;
pub mod lab;
pub mod machine;
pub mod plan;
pub mod profile;
pub mod report;
pub mod trace;
