//! karenina
pub mod error;
pub mod evaluate;
pub mod layers;
pub mod math;
pub mod model;
pub mod optim;
pub mod sample;
pub mod study;
pub mod text;
