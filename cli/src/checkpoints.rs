//! `karenina checkpoints`.

use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Args;
use humantime::format_rfc3339_seconds;
use indicatif::DecimalBytes;
use karenina::error::{Error, Result};
use karenina::train::checkpoint::Summary;
use karenina::train::run::checkpoints_in;
use serde_json::{Value, json};

use super::output::{OutputArgs, output_error, print_json, read_enough, warn};
use super::table::{Cell, Table, dim, plain};

/// Arguments of `karenina checkpoints`.
#[derive(Args)]
pub struct Checkpoints {
    /// The run's folder
    #[arg(long, alias = "checkpoints", value_name = "DIR", default_value = "checkpoints")]
    run: PathBuf,
    /// The folder, as it was named before there was `--run`
    #[arg(value_name = "DIR", hide = true, conflicts_with = "run")]
    folder: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A file and what its start says.
type Listed = (PathBuf, Result<Summary>);

impl Checkpoints {
    /// Prints a table. Two checkpoints are marked: the newest, with which `train --resume` goes on, for which only
    /// damaged ones are skipped; and the best by validation of the same run, with which the network writes. Exit code 1
    /// if there is none. Only the start of each file is read: damage further on shows when it is loaded.
    pub fn run(self) -> Result<ExitCode> {
        let folder = self.folder.unwrap_or(self.run);
        let entries = match checkpoints_in(&folder) {
            Err(error) if error.is_missing() => vec![],
            entries => entries?,
        };
        if entries.is_empty() {
            return Err(Error::NoCheckpoint { path: folder });
        }
        let listed = entries.into_iter().map(|entry| {
            let summary = entry.summary();
            (entry.path, summary)
        });
        let mut files: Vec<Listed> = listed.collect();
        // A trainer may have deleted some in the meantime.
        files.retain(|(_, summary)| !summary.as_ref().is_err_and(Error::is_missing));
        let newest = files
            .iter()
            .rposition(|(_, summary)| !summary.as_ref().is_err_and(Error::is_damage))
            .filter(|&at| files[at].1.is_ok());
        let run = newest.and_then(|at| files[at].1.as_ref().ok()?.run);
        let validations = files.iter().enumerate().rev().filter_map(|(at, (_, summary))| {
            let ours = summary.as_ref().ok().filter(|summary| summary.run == run)?;
            Some((at, ours.validation?))
        });
        let best = validations.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(at, _)| at);
        for (_, summary) in &files {
            summary.as_ref().err().into_iter().for_each(|error| warn(&error.to_string()));
        }
        read_enough(match self.output {
            OutputArgs { json: true, .. } => print_json(&list(&files, newest, best)),
            OutputArgs { quiet: true, .. } => Ok(()),
            _ => table(&files, newest, best).print(&mut io::stdout().lock()).map_err(output_error),
        })?;
        Ok(ExitCode::from(u8::from(newest.is_none())))
    }
}

/// An object for each file.
fn list(files: &[Listed], newest: Option<usize>, best: Option<usize>) -> Vec<Value> {
    let object = |(at, (path, summary)): (usize, &Listed)| {
        let file = path.display().to_string();
        match summary {
            Err(error) => json!({"file": file, "state": state(error), "error": error.to_string()}),
            Ok(s) => json!({
                "file": file,
                "state": "good",
                "newest": Some(at) == newest,
                "best": Some(at) == best,
                "step": s.step,
                "epoch": s.epoch,
                "loss": s.loss,
                "validation": s.validation,
                "sizes": s.sizes,
                "config": s.config,
                "modified": s.modified.and_then(date),
                "bytes": s.bytes,
            }),
        }
    };
    files.iter().enumerate().map(object).collect()
}

/// A row for each file.
fn table(files: &[Listed], newest: Option<usize>, best: Option<usize>) -> Table {
    let heads = [
        "step",
        "epoch",
        "step's loss",
        "validation",
        "network",
        "batch",
        "chars",
        "date (UTC)",
        "size",
        "",
    ];
    let mut table = Table::new(heads, &[4, 5, 7, 9]);
    for (at, (path, summary)) in files.iter().enumerate() {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        table.row(match summary {
            Ok(s) => row(s, mark(Some(at) == newest, Some(at) == best)),
            Err(error) => {
                let mut cells = vec![dim("-"); heads.len()];
                cells[heads.len() - 1] = plain(format!("{file}: {}", state(error)));
                cells
            }
        });
    }
    table
}

fn mark(is_newest: bool, is_best: bool) -> &'static str {
    match (is_newest, is_best) {
        (true, true) => "newest, best",
        (true, false) => "newest",
        (false, true) => "best",
        (false, false) => "",
    }
}

fn row(s: &Summary, mark: &str) -> Vec<Cell> {
    let nats = |loss: Option<f64>| loss.map_or("-".to_string(), |loss| format!("{loss:.4}"));
    vec![
        plain(s.step),
        plain(s.epoch),
        plain(nats(s.loss)),
        plain(nats(s.validation)),
        plain(format!("{} x {}", s.sizes.layers, s.sizes.hidden)),
        plain(format!("{} x {}", s.config.batch, s.config.unroll)),
        plain(s.sizes.vocabulary),
        plain(
            s.modified.and_then(date).unwrap_or("-".into()).replace('T', " ").trim_end_matches('Z'),
        ),
        plain(DecimalBytes(s.bytes)),
        plain(mark),
    ]
}

/// Why a file is no checkpoint that can be used, in a word.
fn state(error: &Error) -> &'static str {
    match error {
        Error::Damaged { .. } => "damaged",
        Error::Newer { .. } => "from a newer version",
        _ => "unreadable",
    }
}

/// A date as 2026-11-24T06:51:07Z; nothing for one that no file of ours can have.
fn date(time: SystemTime) -> Option<String> {
    let mut text = String::new();
    let is_known = time >= SystemTime::UNIX_EPOCH;
    (is_known && write!(text, "{}", format_rfc3339_seconds(time)).is_ok()).then_some(text)
}
