//! `karenina completions` and `karenina man`: the command, described for a shell and for a reader.

use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use karenina::error::{Error, Result};

use super::output::{output_error, print_bytes};

/// Arguments of `karenina completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell to complete commands in
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Prints the script for `command`.
    pub fn run(self, mut command: Command) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "karenina", &mut script);
        print_bytes(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Arguments of `karenina man`.
#[derive(Args)]
pub struct ManPage {
    /// The command to describe, such as train [default: an overview of all]
    command: Option<String>,
}

impl ManPage {
    /// Prints the page of `command` or of one of its subcommands.
    pub fn run(self, mut command: Command) -> Result<ExitCode> {
        command.build();
        if let Some(name) = &self.command {
            let names: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
            let expected = format!("one of {}", names.join(", "));
            let unknown = Error::setting("COMMAND", name, expected);
            command = command.find_subcommand(name).cloned().ok_or(unknown)?;
        }
        let mut page = Vec::new();
        Man::new(command).render(&mut page).map_err(output_error)?;
        print_bytes(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}
