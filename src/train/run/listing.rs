//! The checkpoints in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::train::checkpoint::{Checkpoint, Summary};
use crate::train::log::LogRow;

/// Name of the log.
pub(super) const LOG: &str = "log.csv";

/// An error about the run folder at `path`.
pub(super) fn refused(path: &Path, reason: &str) -> Error {
    Error::RunFolder { path: path.to_path_buf(), reason: reason.into() }
}

/// A file whose name is a checkpoint's, `i{step}_l{hidden}.ckpt`; what is in it has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Entry {
    /// The step in its name.
    pub step: u64,
    /// The cells in its name.
    pub hidden: usize,
    /// The file.
    pub path: PathBuf,
}

impl Entry {
    /// The entry of the file at `path`, if it is named like a checkpoint.
    pub fn of(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let (step, hidden) = name.strip_prefix('i')?.strip_suffix(".ckpt")?.split_once("_l")?;
        let (step, hidden) = (step.parse().ok()?, hidden.parse().ok()?);
        // Only the one spelling that is written: no sign, no leading zeros.
        (name == format!("i{step}_l{hidden}.ckpt")).then_some(Self { step, hidden, path })
    }

    /// The checkpoint in it.
    ///
    /// # Errors
    /// As [`Checkpoint::load`], and [`Error::Checkpoint`] if its name is that of another step or size.
    pub fn load(&self) -> Result<Checkpoint> {
        let checkpoint = Checkpoint::load(&self.path)?;
        self.require_named(checkpoint.step, checkpoint.sizes().hidden)?;
        Ok(checkpoint)
    }

    /// What its start says.
    ///
    /// # Errors
    /// As [`Summary::read`] and [`Entry::load`].
    pub fn summary(&self) -> Result<Summary> {
        let summary = Summary::read(&self.path)?;
        self.require_named(summary.step, summary.sizes.hidden)?;
        Ok(summary)
    }

    /// Names put the checkpoints of a run in their order, so a wrong one would send it back to an older step.
    fn require_named(&self, step: u64, hidden: usize) -> Result<()> {
        if (step, hidden) == (self.step, self.hidden) {
            return Ok(());
        }
        let reason = format!(
            "holds a network of {hidden} cells after step {step}; name it i{step}_l{hidden}.ckpt"
        );
        Err(Error::checkpoint(&self.path, reason))
    }
}

/// The folder's checkpoints by their names, lowest step first.
///
/// # Errors
/// If the folder cannot be read.
pub fn checkpoints_in(folder: &Path) -> Result<Vec<Entry>> {
    let mut checkpoints: Vec<_> = entries(folder)?.into_iter().filter_map(Entry::of).collect();
    checkpoints.sort();
    Ok(checkpoints)
}

/// Everything in `folder`.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
    entries.map_err(Error::io("read the folder", folder))
}

/// The entries whose networks have a validation loss in `history`, the lowest first, of equals the newest. A checkpoint
/// holds the network of the last update before it, also where the batches since then were left out.
pub(super) fn by_validation<'a>(entries: &'a [Entry], history: &[LogRow]) -> Vec<&'a Entry> {
    let validation = |entry: &Entry| {
        let updates = history.partition_point(|row| row.step <= entry.step);
        history[..updates].last()?.validation
    };
    let known = entries.iter().rev().filter_map(|entry| Some((entry, validation(entry)?)));
    let mut known: Vec<_> = known.collect();
    known.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    known.into_iter().map(|(entry, _)| entry).collect()
}

/// What [`load_any`] and [`load_best`] loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The file it came from.
    pub path: PathBuf,
    /// What was in it.
    pub checkpoint: Checkpoint,
    /// What is wrong with each file that was skipped as damaged, newest first.
    pub broken: Vec<Error>,
}

/// How often a folder is read again from which a trainer has just deleted an old checkpoint.
const READINGS: u32 = 5;

/// The checkpoint in the file at `path`, or the newest good one in the folder at `path`.
///
/// # Errors
/// The file's own. For a folder: if it cannot be read; everything about a newer checkpoint that does not
/// prove it damaged, such as a version that is not known, a missing permission or too little memory;
/// [`Error::NoCheckpoint`] if none is there; and what is wrong with the newest if all are damaged.
pub fn load_any(path: &Path) -> Result<Loaded> {
    if !path.is_dir() {
        let checkpoint = Checkpoint::load(path)?;
        return Ok(Loaded { path: path.to_path_buf(), checkpoint, broken: Vec::new() });
    }
    for _ in 1..READINGS {
        match load_newest(path) {
            Err(error) if error.is_missing() => {}
            loaded => return loaded,
        }
    }
    load_newest(path)
}

/// The checkpoint in the file at `path`, or of those in the run folder at `path` the one with the lowest validation loss,
/// whose network predicts best; the newest where nothing was validated.
///
/// # Errors
/// As [`load_any`]. A damaged one is passed over for the next best, and [`Loaded::broken`] says why.
pub fn load_best(path: &Path) -> Result<Loaded> {
    let mut newest = load_any(path)?;
    if !path.is_dir() {
        return Ok(newest);
    }
    let mut entries = checkpoints_in(path)?;
    entries.retain(|entry| entry.step <= newest.checkpoint.step); // later ones are damaged, and not in its history
    for best in by_validation(&entries, &newest.checkpoint.history) {
        if best.path == newest.path {
            break;
        }
        match best.load() {
            Ok(checkpoint) if checkpoint.run == newest.checkpoint.run => {
                return Ok(Loaded { path: best.path.clone(), checkpoint, broken: newest.broken });
            }
            Ok(_) => {} // another run's
            Err(error) if error.is_damage() => newest.broken.push(error),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(newest)
}

fn load_newest(folder: &Path) -> Result<Loaded> {
    let mut broken = Vec::new();
    for entry in checkpoints_in(folder)?.into_iter().rev() {
        match entry.load() {
            Ok(checkpoint) => return Ok(Loaded { path: entry.path, checkpoint, broken }),
            Err(error) if error.is_damage() => broken.push(error),
            Err(error) => return Err(error),
        }
    }
    let none = Error::NoCheckpoint { path: folder.to_path_buf() };
    Err(broken.into_iter().next().unwrap_or(none))
}
