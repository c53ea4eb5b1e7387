//! `karenina checkpoints`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use karenina::error::{Error, Result};
use karenina::train::checkpoint::Summary;
use karenina::train::run::checkpoints_in;

use super::output::{note, output_error, read_enough};

/// Arguments of `karenina checkpoints`.
#[derive(Args)]
pub struct Checkpoints {
    /// The run's folder
    #[arg(long, alias = "checkpoints", value_name = "DIR", default_value = "checkpoints")]
    run: PathBuf,
    /// The folder, as it was named before there was `--run`
    #[arg(value_name = "DIR", hide = true, conflicts_with = "run")]
    folder: Option<PathBuf>,
}

impl Checkpoints {
    /// Prints a table and a line for each file that is of no use. The newest checkpoint is marked, as the
    /// other commands choose it: only damaged ones are passed over. Exit code 1 if there is none.
    pub fn run(self) -> Result<ExitCode> {
        let folder = self.folder.as_ref().unwrap_or(&self.run);
        let entries = checkpoints_in(folder)?;
        if entries.is_empty() {
            return Err(Error::NoCheckpoint { path: folder.clone() });
        }
        let mut summaries: Vec<_> =
            entries.iter().map(|entry| (&*entry.path, Summary::read(&entry.path))).collect();
        // A trainer may have deleted some in the meantime.
        summaries.retain(|(_, summary)| !summary.as_ref().is_err_and(Error::is_missing));
        let newest = summaries
            .iter()
            .rposition(|(_, summary)| !summary.as_ref().is_err_and(Error::is_damage))
            .filter(|&at| summaries[at].1.is_ok());
        read_enough(self.print(&summaries, newest).map_err(output_error))?;
        Ok(ExitCode::from(u8::from(newest.is_none())))
    }

    fn print(
        &self,
        summaries: &[(&Path, Result<Summary>)],
        newest: Option<usize>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{:>9} {:>6} {:>9} {:>10}  {:<10} {:<9} {:>5}  {:<16} {:>9}",
            "step",
            "epoch",
            "loss",
            "validation",
            "network",
            "batch",
            "chars",
            "date (UTC)",
            "size"
        )?;
        for (at, (path, summary)) in summaries.iter().enumerate() {
            match summary {
                Ok(summary) => {
                    let mark = if Some(at) == newest { "  newest" } else { "" };
                    writeln!(out, "{}{mark}", line(summary))?;
                }
                Err(error) => {
                    note(&format!("karenina: {error}"));
                    writeln!(out, "{:>9} {}: {}", "-", name(path), state(error))?;
                }
            }
        }
        out.flush()
    }
}

/// Why a file is no checkpoint that can be used, in a word.
fn state(error: &Error) -> &'static str {
    match error {
        Error::Damaged { .. } => "damaged",
        Error::Newer { .. } => "of a newer version",
        _ => "unreadable",
    }
}

/// One line of the table.
fn line(s: &Summary) -> String {
    let nats = |loss: Option<f64>| loss.map_or("-".to_string(), |loss| format!("{loss:.4}"));
    format!(
        "{:>9} {:>6} {:>9} {:>10}  {:<10} {:<9} {:>5}  {:<16} {:>9}",
        s.step,
        (s.epoch + 1).min(s.config.epochs),
        nats(s.loss),
        nats(s.validation),
        format!("{} x {}", s.sizes.layers, s.sizes.hidden),
        format!("{} x {}", s.config.batch, s.config.unroll),
        s.sizes.vocabulary,
        s.modified.map_or("-".into(), date),
        size(s.bytes),
    )
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Bytes in the unit that leaves at most four digits.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

/// A date as 2026-11-24 06:51, in UTC.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil_from_days(days);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}", seconds / 3600, seconds / 60 % 60)
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
