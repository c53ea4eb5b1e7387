//! What is printed, and files that the user names for output.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::model::Sizes;
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

/// What a file is that the user names for output.
#[derive(Clone, Copy)]
pub enum Kind {
    /// One of our pages in HTML.
    Page,
    /// One of our models in safetensors.
    Model,
    /// Gradients in safetensors.
    Gradients,
}

impl Kind {
    /// Checks that `path` may become a file of this kind: that its folder is there, and that what is there itself, if
    /// anything, is empty, is one too, or is no file, as a pipe. A name in the wrong place must not cost somebody's
    /// text, checkpoint or page.
    pub fn require_at(self, path: &Path) -> Result<()> {
        let refuse = |kind, reason: &str| Error::io("write", path)(io::Error::new(kind, reason));
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.exists()) {
            let reason = format!("there is no folder {}", folder.display());
            return Err(refuse(ErrorKind::NotFound, &reason));
        }
        if path.is_dir() {
            return Err(refuse(ErrorKind::IsADirectory, "it is a folder; name a file in it"));
        }
        let open = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"]; // not /dev/shm, where files may lie
        let is_open = cfg!(unix) && open.iter().any(|name| path.starts_with(name));
        let is_written_over = fs::metadata(path)
            .is_ok_and(|found| found.is_file() && !found.permissions().readonly());
        if is_open || is_standard_output(path) || !is_written_over {
            return Ok(()); // or refused when it is written, for another reason
        }
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
        let name = match self {
            _ if read.is_ok() && (start.is_empty() || self.begins_with(&start)) => return Ok(()),
            Self::Page => "page",
            Self::Model => "model",
            Self::Gradients => "file of gradients",
        };
        let reason = format!(
            "the file exists and is not known to be a {name} written by karenina; name another file, or delete it first"
        );
        Err(refuse(ErrorKind::AlreadyExists, &reason))
    }

    /// Whether a file of this kind begins like that.
    fn begins_with(self, start: &[u8]) -> bool {
        let has = |mark: &[u8]| start.windows(mark.len()).any(|window| window == mark);
        // The length of the header, at most 100 MB, and the header, which is JSON and begins with its metadata.
        let has_header = || {
            start.split_first_chunk().is_some_and(|(&n, json)| {
                u64::from_le_bytes(n) <= 100_000_000 && json.starts_with(b"{\"__metadata__\"")
            })
        };
        match self {
            Self::Page => start.starts_with(b"<!DOCTYPE html>") && has(br#"content="karenina""#),
            // JSON within JSON, whose quotation marks are written out.
            Self::Model => has_header() && has(br#"\"exported\":\"weights\""#),
            Self::Gradients => has_header() && has(br#"\"exported\":\"gradients\""#),
        }
    }
}

/// Bytes that tell what a file is.
const START: u64 = 512;

/// Writes `bytes`, of that `kind`, to the file that the user named; `-` is standard output.
pub fn write_file(path: &Path, kind: Kind, bytes: &[u8]) -> Result<()> {
    if is_standard_output(path) {
        return print_bytes(bytes);
    }
    kind.require_at(path)?;
    replace(path, &|out| out.write_all(bytes))
}

/// Writes `bytes` to standard output.
pub fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(output_error)
}

/// A plan, which is one long sentence, with a line for each of its parts.
pub fn in_lines(plan: &str) -> String {
    plan.replace("; ", ";\n  ")
}

/// `n` things, called by `noun` if it is one: `1 layer`, `2 batches`.
pub fn count<N: Display + PartialEq + From<u8>>(n: N, noun: &str) -> String {
    let ending = match () {
        () if n == N::from(1) => "",
        () if noun.ends_with("ch") => "es",
        () => "s",
    };
    format!("{n} {noun}{ending}")
}

/// What a network is made of: `2 layers of 512 LSTM cells`.
pub fn layers(sizes: Sizes) -> String {
    let Sizes { layers, hidden, cell_norm, .. } = sizes;
    let normalised = if cell_norm { "normalised " } else { "" };
    format!("{} of {hidden} {normalised}LSTM cells", count(layers, "layer"))
}

/// Names standard output in an error about it.
pub fn output_error(source: io::Error) -> Error {
    Error::Io { action: "write to", path: "standard output".into(), source }
}

/// Whether `error` only says that whoever read our output has seen enough.
pub fn is_broken_pipe(error: &Error) -> bool {
    error.io_kind() == Some(ErrorKind::BrokenPipe)
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
    print_bytes(format!("{json}\n").as_bytes())
}
