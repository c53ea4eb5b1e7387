//! What can go wrong through no fault of the program, each cause with its data: which file, what was
//! found, what would work. A programmer's mistake is an assertion instead.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result of everything that may fail through input, files or the machine.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that the user can do something about, by its cause.
///
/// Messages name settings as this library does, as in `hidden`; what a command calls them, and what could
/// be typed instead, is for the command to add.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an action on a file or stream.
    Io {
        /// What was being done, as in "read" or "rename".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A text holds bytes that mean nothing in the encoding that it was read in.
    Malformed {
        /// Where the text came from.
        path: PathBuf,
        /// The encoding's name, as in "UTF-8".
        encoding: &'static str,
        /// Offset of the first byte that has no meaning.
        offset: usize,
    },
    /// A text is too short for the batches it must hold.
    TextTooShort {
        /// Characters in the text.
        found: usize,
        /// Batches it must hold: one to train on, and those held back for validation.
        batches: usize,
        /// Characters that so many batches of the asked size need.
        needed: usize,
        /// Batch and unroll that would fit, if any does.
        fits: Option<(usize, usize)>,
    },
    /// A setting has a value outside its range.
    Setting {
        /// Its name in this library, as in "learning_rate".
        name: &'static str,
        /// What was given.
        found: String,
        /// What would work, as in "at least 1".
        expected: String,
    },
    /// The system cannot start more threads, or rayon's global pool is already in use.
    Threads {
        /// How many.
        threads: usize,
        /// Why.
        reason: String,
    },
    /// A file for which, read and decoded, there is not enough memory.
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that the machine can give out.
        available: u64,
    },
    /// What was asked for needs more memory than there is.
    NoMemory {
        /// What needs it, as in "a trace of 100 characters".
        what: String,
        /// Bytes that it needs; `u64::MAX` also stands for more.
        needed: u64,
        /// Bytes that it can have.
        available: u64,
    },
    /// A character that the vocabulary lacks.
    UnknownCharacter {
        /// The character.
        character: char,
        /// Characters of the vocabulary nearest to it.
        nearest: Vec<char>,
    },
    /// Something that cannot be used as a checkpoint or must not be written as one, without its bytes proving damage.
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// A file whose own bytes prove that it is not a complete checkpoint. No other failure may be skipped.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// A checkpoint of a version that this program does not know yet.
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// A folder holds no checkpoint that can be used.
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A run cannot go on, since its checkpoint was trained on another text.
    OtherText {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A run cannot go on from a checkpoint for another reason, such as other sizes.
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A run was to continue from an imported model, which belongs to no run.
    NoRun {
        /// The checkpoint.
        path: PathBuf,
    },
    /// A new run was to begin in a folder that already holds one.
    RunExists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process trains in a folder.
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The folder of this run now belongs to another.
    OtherRun {
        /// The folder.
        path: PathBuf,
    },
    /// A new run was replacing the one in a folder when it was interrupted.
    HalfReplaced {
        /// The folder.
        path: PathBuf,
        /// What would bring the old run back, as in "delete run.lock".
        back: String,
    },
    /// What is in a run folder is not what a run leaves.
    RunFolder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// A run has ended, and its last step could not be saved.
    NotSaved {
        /// The step.
        step: u64,
        /// The newest checkpoint that is safe.
        safe: Option<PathBuf>,
        /// Why it was not saved.
        source: Box<Error>,
    },
    /// One of several ranks cannot train with the others.
    Rank {
        /// Which one.
        rank: usize,
        /// Its machine.
        machine: String,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// The loss or a gradient is no longer a finite number.
    NotFinite {
        /// The step that was being computed.
        step: u64,
        /// What was not finite, as in "the loss" or "the gradient of w_hh_l0".
        what: String,
        /// Which characters of the text the batch has in each of its rows.
        text: Vec<Range<usize>>,
    },
}

impl Error {
    /// An I/O error with its action and path; for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_path_buf(), source }
    }

    /// Whether a file's own bytes prove it damaged: no other failure of a checkpoint may be skipped.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// What kind of refusal by the system it is, if it is one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        if let Self::Io { source, .. } = self { Some(source.kind()) } else { None }
    }

    /// Whether an entry of a folder is not there.
    pub fn is_missing(&self) -> bool {
        self.io_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Whether a setting is out of range or asks for more memory than there is, as opposed to a failure of a file or the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::NoMemory { .. })
    }

    /// The error that the file at `path` cannot be used as a checkpoint.
    pub fn checkpoint(path: &Path, reason: impl Into<String>) -> Self {
        Self::Checkpoint { path: path.to_path_buf(), reason: reason.into() }
    }

    /// The error that `found` is not a valid value of the setting `name`.
    pub fn setting(name: &'static str, found: impl ToString, expected: impl Into<String>) -> Self {
        Self::Setting { name, found: found.to_string(), expected: expected.into() }
    }

    /// Refuses the setting `name` with the value `found` unless it `holds`.
    ///
    /// # Errors
    /// [`Error::Setting`] if it does not.
    pub fn require(
        holds: bool,
        name: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Result<()> {
        if holds { Ok(()) } else { Err(Self::setting(name, found, expected)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::Malformed { path, encoding, offset } => write!(
                f,
                "{} is not {encoding}: byte {offset} does not belong to any character",
                path.display()
            ),
            Self::TextTooShort { found, batches, needed, .. } => {
                let (s, batches) = (plural(*found as u64), batches_need(*batches));
                write!(f, "the text has {found} character{s}, but {batches} {needed}")
            }
            Self::Setting { name, found, expected } => {
                let found = if found.is_empty() { "empty" } else { found };
                write!(f, "{name} is {found}, but must be {expected}")
            }
            Self::Threads { threads, reason } => {
                write!(f, "cannot start {threads} thread{}: {reason}", plural(*threads as u64))
            }
            Self::FileTooLarge { path, needed, available } => {
                write!(f, "{} {}", path.display(), needs(*needed, *available))
            }
            Self::NoMemory { what, needed, available } => {
                write!(f, "{what} {}", needs(*needed, *available))
            }
            Self::UnknownCharacter { character, nearest } => {
                write!(f, "the model does not know the character {character:?}{}", similar(nearest))
            }
            Self::Checkpoint { path, reason }
            | Self::Damaged { path, reason }
            | Self::RunFolder { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Newer { path, found, known } => write!(
                f,
                "{}: made by a newer karenina: format version {found}, this program reads up to \
                 {known}",
                path.display()
            ),
            Self::NoCheckpoint { path } => {
                write!(f, "{} holds no checkpoint (i*_l*.ckpt)", path.display())
            }
            Self::OtherText { path } => {
                write!(f, "cannot resume from {}: it was trained on another text", path.display())
            }
            Self::Mismatch { path, reason } => {
                write!(f, "cannot resume from {}: {reason}", path.display())
            }
            Self::NoRun { path } => {
                write!(f, "cannot resume from {}: it is a model without a run", path.display())
            }
            Self::RunExists { path } => write!(f, "{} already holds a run", path.display()),
            Self::Busy { path } => {
                write!(f, "{}: another process is training here", path.display())
            }
            Self::OtherRun { path } => write!(
                f,
                "{} belongs to another run now; this run ends and leaves everything there as it is",
                path.display()
            ),
            Self::HalfReplaced { path, back } => write!(
                f,
                "{}: a new run was replacing the old one here when it was interrupted; to get the old run \
                 back, {back}",
                path.display()
            ),
            Self::Rank { rank, machine, reason } => write!(f, "rank {rank} on {machine}: {reason}"),
            Self::NotSaved { step, safe, source } => {
                let path = safe.as_ref().map(|path| format!("{} is safe", path.display()));
                let safe = path.as_deref().unwrap_or("nothing of this run is saved");
                write!(f, "step {step} is not saved: {source}; {safe}")
            }
            Self::NotFinite { step, what, text } => {
                let rows = first_rows(text);
                write!(f, "step {step}: {what} is not finite in the batch of characters{rows}")
            }
        }
    }
}

/// The ending of the noun after `n`.
pub(crate) fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The end of the sentence about what needs more bytes than there are.
fn needs(needed: u64, available: u64) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let more = if needed == u64::MAX { "more than " } else { "" };
    let decimals = if needed.min(available) < 1 << 29 { 3 } else { 1 };
    format!(
        "needs {more}{:.decimals$} GiB of memory, but only {:.decimals$} GiB is available",
        gib(needed),
        gib(available),
    )
}

/// Who needs the characters that a text does not have.
fn batches_need(batches: usize) -> String {
    match batches {
        1 => "one batch needs".into(),
        n => format!("{n} batches (validation included) need"),
    }
}

/// The end of the sentence about a character that is not known.
fn similar(known: &[char]) -> String {
    let known: Vec<_> = known.iter().map(|c| format!("{c:?}")).collect();
    match known[..] {
        [] => String::new(),
        _ => format!("; similar ones it knows: {}", known.join(", ")),
    }
}

/// Where the first rows of a batch are in the text.
fn first_rows(text: &[Range<usize>]) -> String {
    let rows = text.iter().map(|rows| format!(" {}-{}", rows.start, rows.end));
    let rows: String = rows.take(3).collect();
    match text.len() {
        ..=3 => rows,
        n => format!("{rows} … ({n} rows)"),
    }
}

/// A message includes its cause, so there is no `source` to repeat it.
impl std::error::Error for Error {}
