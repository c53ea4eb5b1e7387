//! `karenina checkpoints`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use karenina::error::{Error, Result};
use karenina::train::checkpoint::Summary;
use karenina::train::run::checkpoints_in;
use serde_json::{Value, json};

use super::output::{OutputArgs, output_error, print_json, read_enough, warn};
use super::table::{Colour, Table, dim, is_coloured, plain};

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
    /// Prints a table. The newest checkpoint is marked, as the other commands choose it: only damaged ones
    /// are skipped. Exit code 1 if there is none.
    pub fn run(self) -> Result<ExitCode> {
        let folder = self.folder.unwrap_or(self.run);
        let entries = checkpoints_in(&folder)?;
        if entries.is_empty() {
            return Err(Error::NoCheckpoint { path: folder });
        }
        let summaries = entries.into_iter().map(|entry| (Summary::read(&entry.path), entry.path));
        let mut files: Vec<Listed> = summaries.map(|(summary, path)| (path, summary)).collect();
        // A trainer may have deleted some in the meantime.
        files.retain(|(_, summary)| !summary.as_ref().is_err_and(Error::is_missing));
        let newest = files
            .iter()
            .rposition(|(_, summary)| !summary.as_ref().is_err_and(Error::is_damage))
            .filter(|&at| files[at].1.is_ok());
        for (_, summary) in &files {
            summary.as_ref().err().into_iter().for_each(|error| warn(&error.to_string()));
        }
        read_enough(match self.output {
            OutputArgs { json: true, .. } => print_json(&list(&files, newest)),
            OutputArgs { quiet: true, .. } => Ok(()),
            _ => table(&files, newest)
                .print(&mut io::stdout().lock(), is_coloured())
                .map_err(output_error),
        })?;
        Ok(ExitCode::from(u8::from(newest.is_none())))
    }
}

/// An object for each file.
fn list(files: &[Listed], newest: Option<usize>) -> Vec<Value> {
    let object = |(at, (path, summary)): (usize, &Listed)| {
        let file = path.display().to_string();
        match summary {
            Err(error) => json!({"file": file, "state": state(error), "error": error.to_string()}),
            Ok(s) => json!({
                "file": file,
                "state": "good",
                "newest": Some(at) == newest,
                "step": s.step,
                "epoch": epoch(s),
                "loss": s.loss,
                "validation": s.validation,
                "sizes": s.sizes,
                "config": s.config,
                "modified": s.modified.map(date),
                "bytes": s.bytes,
            }),
        }
    };
    files.iter().enumerate().map(object).collect()
}

/// A row for each file.
fn table(files: &[Listed], newest: Option<usize>) -> Table {
    let heads = [
        "step",
        "epoch",
        "loss",
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
            Ok(s) => row(s, if Some(at) == newest { "newest" } else { "" }),
            Err(error) => {
                let mut cells = vec![dim("-"); heads.len()];
                cells[heads.len() - 1] = plain(format!("{file}: {}", state(error)));
                cells
            }
        });
    }
    table
}

fn row(s: &Summary, mark: &str) -> Vec<(String, Colour)> {
    let nats = |loss: Option<f64>| loss.map_or("-".to_string(), |loss| format!("{loss:.4}"));
    vec![
        plain(s.step),
        plain(epoch(s)),
        plain(nats(s.loss)),
        plain(nats(s.validation)),
        plain(format!("{} x {}", s.sizes.layers, s.sizes.hidden)),
        plain(format!("{} x {}", s.config.batch, s.config.unroll)),
        plain(s.sizes.vocabulary),
        plain(s.modified.map_or("-".into(), |time| date(time)[..16].replace('T', " "))),
        plain(size(s.bytes)),
        plain(mark),
    ]
}

/// The pass through the text that the run is in, from 1.
fn epoch(s: &Summary) -> u64 {
    (s.epoch + 1).min(s.config.epochs)
}

/// Why a file is no checkpoint that can be used, in a word.
fn state(error: &Error) -> &'static str {
    match error {
        Error::Damaged { .. } => "damaged",
        Error::Newer { .. } => "of a newer version",
        _ => "unreadable",
    }
}

/// Bytes in the unit that leaves at most four digits.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A date as 2026-11-24T06:51:07Z.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01 (Hinnant, "chrono-compatible low-level date
/// algorithms": years that begin in March put the leap day last).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_two_digits_for_each_part() {
        let time = UNIX_EPOCH + Duration::from_secs(1_704_164_645);
        assert_eq!(date(time), "2024-01-02T03:04:05Z");
    }

    #[test]
    fn dates_around_leap_days() {
        for (days, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (20_781, (2026, 11, 24)),
        ] {
            assert_eq!(civil_from_days(days), expected);
        }
    }

    #[test]
    fn sizes_keep_to_four_digits() {
        assert_eq!(size(812), "812 B");
        assert_eq!(size(2_663_399), "2663 kB");
        assert_eq!(size(42_700_000), "42.7 MB");
    }
}
