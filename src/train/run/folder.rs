//! The folder of one run: its lock, its checkpoints, its log.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::listing::{Entry, Newest, checkpoints_in, newest_good};
use crate::error::{Error, Result};
use crate::train::checkpoint::Checkpoint;
use crate::train::files;
use crate::train::log::LogRow;

/// What to do with a run that is in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuse.
    New,
    /// Go on with it.
    Resume,
    /// Replace it. Its checkpoints stay until the new run has one of its own.
    Overwrite,
}

/// What [`RunFolder::open`] gives.
#[derive(Debug)]
pub struct Opened {
    /// The folder, locked.
    pub folder: RunFolder,
    /// Where to go on, if there is something to go on with.
    pub checkpoint: Option<Checkpoint>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// A folder that this process alone trains in, until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// How many checkpoints stay, beside the best by validation. Default none: all of them.
    pub keep: Option<usize>,
    /// The log, open at its end; none after it could not be written.
    log: Option<File>,
    /// Step and file of the newest checkpoint of this run that is known to be good.
    newest: Option<(u64, PathBuf)>,
    /// An overwritten run's checkpoints.
    doomed: Vec<PathBuf>,
    /// The system lets go of the lock when the process ends, however it ends.
    _lock: Option<File>,
}

impl RunFolder {
    /// Name of the log.
    pub const LOG: &'static str = "log.csv";
    /// Name of the file that carries the lock; the file itself means nothing.
    pub const LOCK: &'static str = "run.lock";

    /// Creates the folder at `path` if need be, locks it and looks at what is in it.
    ///
    /// # Errors
    /// [`Error::RunFolder`] if another process trains here or, in [`Mode::New`], a run is here already.
    pub fn open(path: &Path, mode: Mode) -> Result<Opened> {
        fs::create_dir_all(path).map_err(Error::io("create the folder", path))?;
        let mut warnings = Vec::new();
        let lock = lock(path, &mut warnings)?;
        sweep(path)?;
        if !files::sync_folder(path).map_err(Error::io("sync the folder", path))? {
            let path = path.display();
            warnings.push(format!(
                "{path} is on a file system that does not sync folders: after a power cut the newest \
                 checkpoint may be missing"
            ));
        }
        let (keep, log, newest, doomed) = (None, None, None, Vec::new());
        let mut folder = Self { path: path.to_path_buf(), keep, log, newest, doomed, _lock: lock };
        let found = checkpoints_in(path)?;
        let checkpoint = match mode {
            Mode::New if found.is_empty() && !path.join(Self::LOG).exists() => None,
            Mode::New => {
                let reason = "holds a run already; --resume goes on with it, --overwrite replaces it, \
                              --checkpoints names another folder";
                return Err(refused(path, reason));
            }
            Mode::Overwrite => {
                folder.doomed = found.into_iter().map(|entry| entry.path).collect();
                None
            }
            Mode::Resume => folder.newest_good(&mut warnings)?,
        };
        Ok(Opened { folder, checkpoint, warnings })
    }

    fn newest_good(&mut self, warnings: &mut Vec<String>) -> Result<Option<Checkpoint>> {
        let Newest { good, broken } = newest_good(&self.path)?;
        warnings.extend(broken.iter().map(|error| format!("{error}; passed over")));
        let Some((path, checkpoint)) = good else {
            let folder = self.path.display();
            let which = if broken.is_empty() { "no" } else { "no good" };
            warnings.push(format!("{folder} holds {which} checkpoint: training starts afresh"));
            return Ok(None);
        };
        self.newest = Some((checkpoint.step, path));
        Ok(Some(checkpoint))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Step and file of the newest checkpoint of this run that is known to be good.
    pub fn newest(&self) -> Option<(u64, &Path)> {
        self.newest.as_ref().map(|(step, path)| (*step, path.as_path()))
    }

    /// Saves `checkpoint` and, once it is on the disk, deletes those that are in excess.
    ///
    /// # Errors
    /// As [`Checkpoint::save`]. Every older checkpoint is then still there.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let path = self.path.join(checkpoint.file_name());
        checkpoint.save(&path)?;
        self.newest = Some((checkpoint.step, path.clone()));
        self.doomed.retain(|doomed| *doomed != path);
        // What cannot be found or deleted now is tried again after the next save.
        self.doomed.extend(self.excess(checkpoint).unwrap_or_default());
        self.doomed.retain(|doomed| fs::remove_file(doomed).is_err() && doomed.exists());
        Ok(path)
    }

    /// Checkpoints that [`RunFolder::keep`] lets go now that `saved` is durable. The newest are kept,
    /// and the one with the lowest validation loss. Steps after `saved` belong to nobody: left alone.
    fn excess(&self, saved: &Checkpoint) -> Result<Vec<PathBuf>> {
        let Some(keep) = self.keep else { return Ok(Vec::new()) };
        let mut ours = checkpoints_in(&self.path)?;
        ours.retain(|entry| entry.step <= saved.step && !self.doomed.contains(&entry.path));
        let best = best(&ours, &saved.history).map(|entry| entry.path.clone());
        ours.truncate(ours.len().saturating_sub(keep.max(1)));
        let old = ours.into_iter().map(|entry| entry.path);
        Ok(old.filter(|path| Some(path) != best.as_ref()).collect())
    }

    /// Writes the log anew: the rows of `history` and no others.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn rewrite_log(&mut self, history: &[LogRow]) -> Result<()> {
        let path = self.path.join(Self::LOG);
        self.log = None;
        files::replace(&path, &|out| out.write_all(LogRow::table(history).as_bytes()))?;
        let log = OpenOptions::new().append(true).open(&path);
        self.log = Some(log.map_err(Error::io("open", &path))?);
        Ok(())
    }

    /// Appends the last row of `history`; after a failure, writes the log anew instead.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn log(&mut self, history: &[LogRow]) -> Result<()> {
        let (Some(log), Some(row)) = (&mut self.log, history.last()) else {
            return self.rewrite_log(history);
        };
        let written = log.write_all(format!("{row}\n").as_bytes());
        written.map_err(|source| {
            self.log = None; // it may end in half a row
            Error::io("write", &self.path.join(Self::LOG))(source)
        })
    }
}

fn refused(path: &Path, reason: &str) -> Error {
    Error::RunFolder { path: path.to_path_buf(), reason: reason.into() }
}

/// Locks `folder` for this process, or not at all where the file system has no locks.
fn lock(folder: &Path, warnings: &mut Vec<String>) -> Result<Option<File>> {
    let path = folder.join(RunFolder::LOCK);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(refused(
            folder,
            "another process is training here; wait for it, or name another folder with --checkpoints",
        )),
        Err(TryLockError::Error(error)) => {
            let path = path.display();
            warnings.push(format!("{path} cannot be locked ({error}): start no second run here"));
            Ok(None)
        }
    }
}

/// Deletes what writers left behind that were killed; the lock is held, so none is at work.
fn sweep(folder: &Path) -> Result<()> {
    for file in fs::read_dir(folder).map_err(Error::io("read the folder", folder))? {
        let file = file.map_err(Error::io("read the folder", folder))?;
        if file.file_name().to_str().is_some_and(files::is_temporary) {
            fs::remove_file(file.path()).map_err(Error::io("delete", &file.path()))?;
        }
    }
    Ok(())
}

/// The entry whose step has the lowest validation loss in `history`; of equals the newest.
fn best<'a>(entries: &'a [Entry], history: &[LogRow]) -> Option<&'a Entry> {
    let validation = |entry: &Entry| {
        let at = history.binary_search_by_key(&entry.step, |row| row.step).ok()?;
        history[at].validation
    };
    let known = entries.iter().rev().filter_map(|entry| Some((entry, validation(entry)?)));
    known.min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(entry, _)| entry)
}
