//! Level 3 of the code: the training loop and its files. Nothing here prints.

pub mod checkpoint;
mod config;
mod cores;
mod files;
mod follow;
mod identity;
#[cfg(feature = "interchange")]
pub mod interchange;
mod log;
pub mod memory;
pub mod run;
mod threads;
mod trainer;
mod workers;

pub use config::{TrainConfig, TrainConfigBuilder};
#[doc(hidden)]
pub use files::replace;
pub use identity::RunId;
pub use log::LogRow;
pub use threads::{thread_count, thread_count_in, thread_pool, use_threads};
pub use trainer::{StepReport, Trainer};
pub use workers::Workers;
