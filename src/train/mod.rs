//! Layer 3: the training loop and its files. Nothing here prints.

pub mod checkpoint;
mod config;
pub mod run;
mod trainer;

pub use config::TrainConfig;
pub use trainer::{LogRow, StepReport, Trainer};
