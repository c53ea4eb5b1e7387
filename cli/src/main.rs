//! The `karenina` command: arguments, printing, and the files that the user names. Thin: the work is the
//! library's.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod checkpoints;
mod compare;
mod describe;
mod eval;
mod export;
mod gradcheck;
mod hints;
mod import;
mod input;
mod job;
#[cfg(feature = "lab")]
mod lab;
mod output;
mod pages;
mod plan;
mod profile;
mod progress;
mod report;
mod room;
mod sample;
mod settings;
mod shell;
mod signals;
mod table;
mod trace;
mod train;

use std::env;
use std::mem::take;
use std::path::PathBuf;
use std::process::{ExitCode, exit};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use karenina::math::matmul::Kernel;

/// Trains character-level LSTM language models on the CPU, writes text with them and looks inside them.
#[derive(Parser)]
#[command(name = "karenina", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a network on a text and save checkpoints
    Train(train::Train),
    /// Write text with a trained network
    Sample(sample::Sample),
    /// Measure how well a trained network predicts a text
    Eval(eval::Eval),
    /// Measure where the time of a training step goes, and how close it comes to the machine's peak
    Profile(profile::Profile),
    /// Estimate the time, memory and disk space of a training run
    Plan(plan::Plan),
    /// List the checkpoints of a run
    Checkpoints(checkpoints::Checkpoints),
    /// Check every gradient against finite differences
    Gradcheck(gradcheck::Gradcheck),
    /// Follow a phrase through the network, and its gradients back
    Trace(trace::Trace),
    /// Export a trained network to PyTorch, as safetensors
    Export(export::Export),
    /// Import a network from PyTorch as a new run
    Import(import::Import),
    /// Write an HTML page that shows a trained network at a glance
    Report(report::Report),
    /// Serve pages on this machine to step through gradients and to watch runs
    #[cfg(feature = "lab")]
    Lab(lab::Lab),
    /// Print a shell completion script for karenina
    Completions(describe::Completions),
    /// Print a manual page, to be read with `man -l -`
    Man(describe::ManPage),
}

impl Cli {
    /// What clap parses with: an option's value may begin with a minus, so that a negative number where there can
    /// be none is called that, and not an unknown option.
    fn parser() -> clap::Command {
        let mut cli = Self::command();
        for subcommand in cli.get_subcommands_mut() {
            *subcommand = take(subcommand).mut_args(|arg| {
                let takes_one = !arg.is_positional() && arg.get_action().takes_values();
                arg.allow_negative_numbers(takes_one)
            });
        }
        cli
    }
}

/// Runs the command; exit code 0, 1 for a failure, 2 for a mistake in the arguments.
fn main() -> ExitCode {
    let mut parser = Cli::parser();
    let typed = parser.try_get_matches_from_mut(env::args_os()).unwrap_or_else(|e| refuse(&e));
    let command = match Cli::from_arg_matches(&typed) {
        Ok(cli) => cli.command,
        Err(error) => error.exit(),
    };
    // Asked before anything is computed, so that a mistake is a sentence.
    let result = Kernel::asked_for().and_then(|_| match command {
        Command::Train(train) => train.run(),
        Command::Sample(sample) => sample.run(),
        Command::Eval(eval) => eval.run(),
        Command::Profile(profile) => profile.run(),
        Command::Plan(plan) => plan.run(),
        Command::Checkpoints(checkpoints) => checkpoints.run(),
        Command::Gradcheck(gradcheck) => gradcheck.run(),
        Command::Trace(trace) => trace.run(),
        Command::Export(export) => export.run(),
        Command::Import(import) => import.run(),
        Command::Report(report) => report.run(),
        #[cfg(feature = "lab")]
        Command::Lab(lab) => lab.run(),
        Command::Completions(completions) => completions.run(Cli::parser()),
        Command::Man(man) => man.run(Cli::parser()),
    });
    match result {
        Ok(code) => code,
        // Whoever read our output has seen enough: nothing is wrong.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let (name, given) = typed.subcommand().expect("one was run");
            let command = parser.find_subcommand(name).expect("clap has found it");
            output::warn(&hints::sentence(&error, command, &texts(given)));
            ExitCode::from(if error.is_usage() { 2 } else { 1 })
        }
    }
}

/// Ends with what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ! {
    let Some(sentence) = hints::of_value(error) else { error.exit() };
    output::warn(&sentence);
    exit(2)
}

/// The names of the texts that were `given` to a subcommand.
fn texts(given: &ArgMatches) -> Vec<String> {
    let of = |name| given.try_get_many::<PathBuf>(name).ok().flatten().unwrap_or_default();
    of("texts").chain(of("prime_file")).map(|path| path.display().to_string()).collect()
}
