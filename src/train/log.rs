//! One row per step: the run's history, in memory, in checkpoints and as `log.csv`.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::train::RunId;

/// One line of the log: what the run's history keeps of a step.
///
/// Displayed as a line of `log.csv` without the run and the line's end. Each number is the shortest that reads back as
/// itself, so equal rows are equal bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LogRow {
    /// Steps made so far, this one included.
    pub step: u64,
    /// Pass through the text, from 1.
    pub epoch: u64,
    /// Mean training loss of the batch in nats per character.
    pub loss: f64,
    /// Mean loss over the validation tail in nats per character, where it was evaluated.
    pub validation: Option<f64>,
    /// Global norm of the gradients before clipping.
    pub norm: f64,
    /// Adam's α.
    pub learning_rate: f64,
    /// Wall time of the step, in seconds.
    pub seconds: f64,
}

impl LogRow {
    /// The first line of `log.csv`.
    pub const HEADER: &'static str =
        "step,epoch,train_loss,validation_loss,norm,learning_rate,seconds,run";
    /// That of a log from before runs had names.
    const NAMELESS: &'static str =
        "step,epoch,train_loss,validation_loss,norm,learning_rate,seconds";

    /// Every line of `log.csv` for this history of `run`.
    pub fn lines(history: &[Self], run: RunId) -> impl Iterator<Item = String> {
        let lines = history.iter().map(move |row| row.line(run));
        std::iter::once(format!("{}\n", Self::HEADER)).chain(lines)
    }

    /// Its line in the log of `run`.
    pub fn line(&self, run: RunId) -> String {
        format!("{self},{run}\n")
    }

    /// Reads a `log.csv` back. A last line without its end is left out: a run is writing it.
    ///
    /// # Errors
    /// If the file cannot be read, or a line of it is no row of a log.
    pub fn read_table(path: &Path) -> Result<Vec<Self>> {
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let rows = rows(path, &text)?;
        rows.map(|row| row.map(|(row, _)| row)).collect()
    }

    /// The run that the log at `path` is of; nothing for a log without rows or of a run without a name.
    ///
    /// # Errors
    /// If the file cannot be read or is no log.
    pub fn run_of(path: &Path) -> Result<Option<RunId>> {
        let wrong = |reason: &str| Error::RunFolder { path: path.into(), reason: reason.into() };
        if !fs::metadata(path).map_err(Error::io("read", path))?.is_file() {
            return Err(wrong("not a file, so it cannot be the log"));
        }
        let mut start = Vec::new();
        let file = File::open(path).map_err(Error::io("open", path))?;
        file.take(4096).read_to_end(&mut start).map_err(Error::io("read", path))?;
        let start = String::from_utf8_lossy(&start);
        if !start.contains('\n') && Self::HEADER.starts_with(&*start) {
            return Ok(None); // killed while its first line was written
        }
        let first = rows(path, &start)?.next().transpose()?;
        Ok(first.and_then(|(_, run)| run))
    }
}

/// The rows in the log `text`, each with its run if the log names one.
fn rows<'a>(
    path: &'a Path,
    text: &'a str,
) -> Result<impl Iterator<Item = Result<(LogRow, Option<RunId>)>> + 'a> {
    let wrong = move |line: usize, text: &str| Error::RunFolder {
        path: path.to_path_buf(),
        reason: format!("line {line} is not a line of a log: {text:?}"),
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut lines = whole.lines().zip(1..);
    let is_named = match lines.next() {
        Some((LogRow::HEADER, _)) => true,
        Some((LogRow::NAMELESS, _)) => false,
        header => return Err(wrong(1, header.map_or("", |(text, _)| text))),
    };
    let row = move |line: &str| {
        let (row, run) = match is_named {
            true => line.rsplit_once(',').map(|(row, run)| (row, run.parse().map(Some)))?,
            false => (line, Ok(None)),
        };
        Some((row.parse().ok()?, run.ok()?))
    };
    Ok(lines.map(move |(line, number)| row(line).ok_or_else(|| wrong(number, line))))
}

impl FromStr for LogRow {
    type Err = Error;

    /// Reads what [`Display`](fmt::Display) writes.
    fn from_str(line: &str) -> Result<Self> {
        fn number<T: FromStr>(field: &str) -> Result<T> {
            field.parse().map_err(|_| Error::setting("field", field, "a number"))
        }
        let fields: Vec<&str> = line.split(',').collect();
        let &[step, epoch, loss, validation, norm, learning_rate, seconds] = &fields[..] else {
            return Err(Error::setting("row", line, "seven fields with commas between them"));
        };
        Ok(Self {
            step: number(step)?,
            epoch: number(epoch)?,
            loss: number(loss)?,
            validation: (!validation.is_empty()).then(|| number(validation)).transpose()?,
            norm: number(norm)?,
            learning_rate: number(learning_rate)?,
            seconds: number(seconds)?,
        })
    }
}

impl fmt::Display for LogRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, epoch, loss, validation, norm, learning_rate, seconds } = self;
        write!(f, "{step},{epoch},{loss},")?;
        if let Some(validation) = validation {
            write!(f, "{validation}")?;
        }
        write!(f, ",{norm},{learning_rate},{seconds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        file
    }

    fn read(text: &str) -> Result<Vec<LogRow>> {
        LogRow::read_table(file(text).path())
    }

    fn history() -> Vec<LogRow> {
        let row = LogRow {
            step: 1,
            epoch: 1,
            loss: 1.0 / 3.0,
            validation: None,
            norm: 1e-300,
            learning_rate: 1e-3,
            seconds: 0.1,
        };
        vec![row, LogRow { step: 2, validation: Some(2.0 / 3.0), ..row }]
    }

    fn table() -> String {
        LogRow::lines(&history(), RunId::new(7).unwrap()).collect()
    }

    #[test]
    fn a_table_reads_back_as_itself_and_names_its_run() {
        assert_eq!(read(&table()).unwrap(), history());
        assert_eq!(LogRow::run_of(file(&table()).path()).unwrap(), RunId::new(7));
    }

    #[test]
    fn a_table_from_before_runs_had_names_is_read() {
        let table = table().replace(",run\n", "\n").replace(",0000000000000007\n", "\n");
        assert_eq!(read(&table).unwrap(), history());
        assert_eq!(LogRow::run_of(file(&table).path()).unwrap(), None);
    }

    #[test]
    fn a_line_that_is_still_being_written_is_left_out() {
        let table = table();
        assert_eq!(read(&table[..table.len() - 3]).unwrap(), history()[..1]);
    }

    #[test]
    fn a_line_that_is_no_row_is_named_with_its_number() {
        let table = table() + "3,1,x,,1,1,1,0000000000000007\n";
        let message = read(&table).unwrap_err().to_string();
        assert!(
            message.ends_with("line 4 is not a line of a log: \"3,1,x,,1,1,1,0000000000000007\""),
            "{message}"
        );
        assert!(read("a,b\n").unwrap_err().to_string().contains("line 1"));
    }
}
