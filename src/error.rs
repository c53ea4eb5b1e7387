//! What can go wrong through no fault of the program, each with its data: which file, what was
//! found, what would work. A programmer's mistake is an assertion instead.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The result of everything that may fail through input, files or the machine.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that the user can do something about.
#[derive(Debug)]
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
    /// A text is not valid UTF-8.
    NotUtf8 {
        /// Where the text came from.
        path: PathBuf,
        /// Offset of the first byte that is no UTF-8.
        offset: usize,
    },
    /// A text holds bytes that mean nothing in the encoding that it was read in.
    Malformed {
        /// Where the text came from.
        path: PathBuf,
        /// The encoding's name.
        encoding: &'static str,
        /// Offset of the first byte that has no meaning.
        offset: usize,
    },
    /// A folder stands where a text was expected.
    TextIsFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A text has no characters.
    EmptyText {
        /// Where the text came from.
        path: PathBuf,
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
    /// A hyper-parameter has a value outside its range.
    Setting {
        /// Its name as the user writes it.
        name: &'static str,
        /// What was given.
        found: String,
        /// What would work.
        expected: String,
    },
    /// Something that was asked for needs more memory than there is.
    TooLarge {
        /// What needs it, as the user wrote it, as in "--rows 1000000".
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
    /// A list of characters that is no vocabulary, since it does not ascend.
    VocabularyOrder {
        /// Id of the first character that is not above the one before it.
        id: usize,
        /// The character before it.
        before: char,
        /// The character.
        character: char,
    },
    /// What cannot be used as a checkpoint or must not be written as one; its bytes prove no damage.
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would work.
        reason: String,
    },
    /// A file whose own bytes prove that it is no whole checkpoint. No other failure may be passed over.
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
    /// A checkpoint that is larger than the memory that is free.
    NoMemory {
        /// The file.
        path: PathBuf,
        /// Bytes of it.
        needed: u64,
        /// Bytes that the machine can give out.
        available: u64,
    },
    /// The folder of this run is another's by now.
    OtherRun {
        /// The folder.
        path: PathBuf,
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
    /// A folder holds no checkpoint that can be used.
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A run cannot go on from a checkpoint: another text, other sizes.
    Mismatch {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// A run folder cannot be used as asked.
    RunFolder {
        /// The folder.
        path: PathBuf,
        /// Why, and what would work.
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

    /// Whether a file's own bytes prove it damaged: nothing else about a checkpoint may be passed over.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether an entry of a folder is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// A mistake in what the user typed, as against a failure of file or machine: exit code 2.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Setting { .. } | Self::TooLarge { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "cannot {action} {}: {source}", path.display())
            }
            Self::NotUtf8 { path, offset } => write!(
                f,
                "{} is not UTF-8: byte {offset} does not belong to any character; \
                 name its encoding, as in --encoding windows-1251",
                path.display()
            ),
            Self::Malformed { path, encoding, offset } => write!(
                f,
                "{} is not {encoding}: byte {offset} does not belong to any character",
                path.display()
            ),
            Self::TextIsFolder { path } => {
                write!(f, "{} is a folder; name the text files in it", path.display())
            }
            Self::EmptyText { path } => write!(f, "{} holds no text", path.display()),
            Self::TextTooShort { found, batches, needed, fits } => {
                write_too_short(f, *found, *batches, *needed, *fits)
            }
            Self::Setting { name, found, expected } => {
                write!(f, "{name} {found} will not do: it must be {expected}")
            }
            Self::TooLarge { what, needed, available } => {
                write_too_large(f, what, *needed, *available)
            }
            Self::UnknownCharacter { character, nearest } => write_unknown(f, *character, nearest),
            Self::VocabularyOrder { id, before, character } => write!(
                f,
                "the characters of a vocabulary must ascend, but number {id} is {character:?} \
                 after {before:?}"
            ),
            Self::Checkpoint { path, reason } | Self::Damaged { path, reason } => {
                write!(f, "{}: {reason}", path.display())
            }
            Self::Newer { path, found, known } => write!(
                f,
                "{}: made by a newer karenina: format version {found}, this program reads up to \
                 {known}",
                path.display()
            ),
            Self::NoMemory { path, needed, available } => write!(
                f,
                "{}: its {needed} bytes do not fit into this machine's memory, of which {available} \
                 bytes are free",
                path.display()
            ),
            Self::OtherRun { path } => write!(
                f,
                "{} belongs to another run now; this run ends, and what is there stays as it is",
                path.display()
            ),
            Self::NotSaved { step, safe, source } => write_not_saved(f, *step, safe, source),
            Self::NoCheckpoint { path } => write!(
                f,
                "{} holds no checkpoint (i*_l*.ckpt); `karenina train` writes one",
                path.display()
            ),
            Self::Mismatch { path, reason } => {
                write!(f, "cannot resume from {}: {reason}", path.display())
            }
            Self::RunFolder { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::NotFinite { step, what, text } => write_not_finite(f, *step, what, text),
        }
    }
}

fn write_too_short(
    f: &mut fmt::Formatter<'_>,
    found: usize,
    batches: usize,
    needed: usize,
    fits: Option<(usize, usize)>,
) -> fmt::Result {
    let s = if found == 1 { "" } else { "s" };
    write!(f, "the text has {found} character{s}, but ")?;
    match batches {
        1 => write!(f, "one batch needs {needed}; ")?,
        n => write!(f, "{n} batches (validation included) need {needed}; ")?,
    }
    match fits {
        Some((batch, unroll)) => write!(f, "--batch {batch} --unroll {unroll} would fit"),
        None => write!(f, "even --batch 1 --unroll 1 would not fit"),
    }
}

fn write_too_large(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    needed: u64,
    available: u64,
) -> fmt::Result {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let more = if needed == u64::MAX { "more than " } else { "" };
    let decimals = if needed.min(available) < 1 << 29 { 3 } else { 1 };
    write!(
        f,
        "{what} needs {more}{:.decimals$} GiB of memory, but there are {:.decimals$} GiB; ask for less",
        gib(needed),
        gib(available),
    )
}

fn write_unknown(f: &mut fmt::Formatter<'_>, character: char, nearest: &[char]) -> fmt::Result {
    write!(f, "the model does not know the character {character:?}")?;
    if !nearest.is_empty() {
        let nearest: Vec<_> = nearest.iter().map(|c| format!("{c:?}")).collect();
        write!(f, "; nearest to it are {}", nearest.join(", "))?;
    }
    write!(f, "; --skip-unknown leaves unknown characters out")
}

fn write_not_saved(
    f: &mut fmt::Formatter<'_>,
    step: u64,
    safe: &Option<PathBuf>,
    source: &Error,
) -> fmt::Result {
    write!(f, "step {step} is not saved: {source}; ")?;
    match safe {
        Some(path) => write!(f, "{} is safe", path.display()),
        None => write!(f, "nothing of this run is safe"),
    }
}

fn write_not_finite(
    f: &mut fmt::Formatter<'_>,
    step: u64,
    what: &str,
    text: &[Range<usize>],
) -> fmt::Result {
    write!(f, "step {step}: {what} is not finite in the batch of characters")?;
    for range in text.iter().take(3) {
        write!(f, " {}-{}", range.start, range.end)?;
    }
    if text.len() > 3 {
        write!(f, " … ({} rows)", text.len())?;
    }
    write!(f, "; a lower --learning-rate or --clip would help, or --on-nan skip")
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::NotSaved { source, .. } => Some(source),
            _ => None,
        }
    }
}
