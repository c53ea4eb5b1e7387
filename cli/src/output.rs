//! What is printed, and files that the user names for output.

use std::io::{self, ErrorKind, Write};
use std::path::Path;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::train::replace;
use serde::Serialize;

/// For whom is printed.
#[derive(Args, Clone, Copy)]
pub struct OutputArgs {
    /// Print JSON instead of text
    #[arg(long, conflicts_with = "quiet")]
    pub json: bool,
    /// Print only warnings and errors
    #[arg(long)]
    pub quiet: bool,
}

impl OutputArgs {
    /// A line on standard error for people who want more than warnings.
    pub fn say(&self, text: &str) {
        if !self.json && !self.quiet {
            note(text);
        }
    }
}

/// Whether a file named `path` is standard output.
pub fn is_standard_output(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];
    path == Path::new("-") || (cfg!(unix) && names.iter().any(|name| path == Path::new(name)))
}

/// Writes `bytes` to the file that the user named; `-` is standard output.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    if !is_standard_output(path) {
        return replace(path, &|out| out.write_all(bytes));
    }
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(output_error)
}

/// Names standard output in an error about it.
pub fn output_error(source: io::Error) -> Error {
    Error::Io { action: "write to", path: "standard output".into(), source }
}

/// Whether `error` only says that whoever read our output has seen enough.
pub fn is_broken_pipe(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe)
}

/// What became of printing, where a reader that has seen enough is no failure: for commands whose exit
/// code is a verdict.
pub fn read_enough(printed: Result<()>) -> Result<()> {
    printed.or_else(|error| if is_broken_pipe(&error) { Ok(()) } else { Err(error) })
}

/// `text` with the characters written out that would change their surroundings without being seen: control characters
/// except line break and tab, and those that turn the direction of writing or have no width.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match is_invisible(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
        shown
    })
}

fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// A line on standard error, in which names and texts cannot steer the terminal. If standard error is
/// closed, the work goes on without being watched.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

/// A line on standard error about something that went wrong but stops nothing.
pub fn warn(text: &str) {
    note(&format!("karenina: {text}"));
}

/// Writes `value` to standard output as JSON for people and programs.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(value).expect("numbers and names are JSON");
    writeln!(io::stdout().lock(), "{json}").map_err(output_error)
}

/// As [`print_json`], on one line and at once.
pub fn print_json_line(value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string(value).expect("numbers and names are JSON");
    let mut out = io::stdout().lock();
    writeln!(out, "{json}").and_then(|()| out.flush()).map_err(output_error)
}
