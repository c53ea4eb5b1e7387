//! `karenina checkpoints`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use karenina::error::Result;

use super::output_error;

/// Arguments of `karenina checkpoints`.
#[derive(Args)]
pub struct Checkpoints {
    /// The run's folder
    #[arg(value_name = "DIR", default_value = "checkpoints")]
    folder: PathBuf,
}
