//! The `karenina` command: reads its arguments, runs one of the library's stages, prints.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
