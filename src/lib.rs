//! karenina
pub mod error;
pub mod layers;
pub mod math;
pub mod model;
pub mod optim;
pub mod study;
