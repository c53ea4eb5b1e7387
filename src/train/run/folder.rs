//! The folder of one run: its lock, its checkpoints, its log.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::contents::{self, Contents};
use super::listing::{LOG, by_validation, checkpoints_in, refused};
use super::lock::{Claim, Lock, is_at};
use super::opening::{self, Found};
use crate::error::{Error, Result};
use crate::train::RunId;
use crate::train::checkpoint::{Checkpoint, Summary};
use crate::train::files;
use crate::train::log::LogRow;

/// What to do with a run that is in the folder already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Refuse.
    New,
    /// Go on with it.
    Resume,
    /// Replace it. It is moved aside, and deleted when the new run is safe.
    Overwrite,
}

/// What [`RunFolder::open`] gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The folder, locked.
    pub folder: RunFolder,
    /// Where to go on, if there is something to go on with.
    pub checkpoint: Option<Checkpoint>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What [`RunFolder::begin`] will have to do.
#[derive(Debug)]
enum Task {
    /// Nothing of a run is here.
    Begin,
    /// A run goes on; newer files than its checkpoint are damaged.
    GoOn { damaged: Vec<PathBuf> },
    /// A run is replaced, whose name was this. What stood in the lock.
    Replace { old: Option<RunId>, claim: Option<Claim> },
}

/// A folder that this process alone trains in, until it is dropped.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    run: RunId,
    /// How many checkpoints stay, beside the best by validation. Default none: all of them.
    pub keep: Option<usize>,
    /// The log, open at its end; none after it could not be written.
    log: Option<File>,
    /// Step and file of the newest checkpoint of this run that is known to be good.
    newest: Option<(u64, PathBuf)>,
    /// Checkpoints in excess that could not be deleted yet.
    doomed: Vec<PathBuf>,
    /// Those saved between the steps that are due, oldest first, by earlier sessions too.
    by_the_clock: Vec<PathBuf>,
    task: Task,
    lock: Lock,
}

impl RunFolder {
    /// Name of the log.
    pub const LOG: &'static str = LOG;
    /// Name of the file that carries the lock and the name of the run.
    pub const LOCK: &'static str = Lock::NAME;

    /// Creates the folder at `path` if need be, locks it and looks at what is in it. Not a byte of it is
    /// changed before [`RunFolder::begin`].
    ///
    /// # Errors
    /// [`Error::Busy`] if another process trains here; in [`Mode::New`] [`Error::RunExists`].
    /// In [`Mode::Resume`] whatever keeps the newest checkpoint from being read, unless that is damaged and
    /// an older one is not; a folder that holds more than one run; and [`Error::NoRun`].
    pub fn open(path: &Path, mode: Mode) -> Result<Opened> {
        files::create_folder(path)?;
        let mut warnings = Vec::new();
        let lock = Lock::take(path, &mut warnings)?;
        if !files::sync_folder(path).map_err(Error::io("sync the folder", path))? {
            let path = path.display();
            warnings.push(format!(
                "{path} is on a file system that does not sync folders: after a power cut the newest \
                 checkpoint may be missing"
            ));
        }
        let claim = lock.found()?;
        let contents = Contents::of(path)?;
        let found = match mode {
            Mode::New if !contents.is_empty() => {
                return Err(Error::RunExists { path: path.to_path_buf() });
            }
            Mode::Resume => opening::find(path, claim, &contents, &mut warnings)?,
            Mode::New | Mode::Overwrite => None,
        };
        // A marked lock names a run that may never have been saved: what is here says whose it is.
        let known = claim.filter(|claim| !claim.is_replacing).map(|claim| claim.run);
        let old = known.or_else(|| newest_run(path));
        let path = path.to_path_buf();
        let new = |run, task, newest, by_the_clock| {
            let (keep, log, doomed) = (None, None, Vec::new());
            Self { path, run, keep, log, newest, doomed, by_the_clock, task, lock }
        };
        let Some(Found { run, path: file, checkpoint, damaged, by_the_clock }) = found else {
            let is_free = contents.is_empty();
            let task = if is_free { Task::Begin } else { Task::Replace { old, claim } };
            let folder = new(RunId::random()?, task, None, Vec::new());
            return Ok(Opened { folder, checkpoint: None, warnings });
        };
        let newest = Some((checkpoint.step, file));
        let folder = new(run, Task::GoOn { damaged }, newest, by_the_clock);
        Ok(Opened { folder, checkpoint: Some(checkpoint), warnings })
    }

    /// Makes the folder the run's, whose first or latest state is `start`: its name is written into the
    /// lock, a new run is saved at once, and the log is written anew. Damaged checkpoints are renamed. A run
    /// that is replaced is deleted last. What the user should know, as that the log of a run that goes on could not be
    /// written.
    ///
    /// # Errors
    /// [`Error::RunFolder`] if `start` is of another run or, where a run goes on, of an earlier step than its newest
    /// checkpoint, and nothing was changed; and whatever the system refuses.
    pub fn begin(&mut self, start: &Checkpoint) -> Result<Vec<String>> {
        self.require_ours(start)?;
        let mut told = Vec::new();
        let task = std::mem::replace(&mut self.task, Task::Begin);
        // In a folder that is read-only the lock can still be written, and would tell of a run that never was.
        files::require_writable(&self.path)?;
        self.lock.prove()?; // what is swept and moved below must not be another run's
        contents::sweep(&self.path)?;
        self.lock.claim(self.run, matches!(task, Task::Replace { .. }))?;
        self.lock.prove()?; // where there are no locks, another process may have claimed it
        match task {
            Task::Begin => self.save_first(start)?,
            Task::GoOn { damaged } => {
                for path in damaged {
                    let (aside, path) = (contents::set_aside(&path)?, path.display());
                    told.push(format!("{path} is damaged; it is kept as {}", aside.display()));
                }
                match self.rewrite_log(&start.history) {
                    Err(error @ Error::OtherRun { .. }) => return Err(error),
                    Err(error) => told.push(log_failed(&error)),
                    Ok(()) => {}
                }
            }
            Task::Replace { old, claim } => {
                self.replace(old, claim, start)?;
                self.lock.claim(self.run, false)?;
                for replaced in Contents::of(&self.path)?.replaced {
                    told.extend(contents::delete_replaced(&replaced).err().map(|e| e.to_string()));
                }
            }
        }
        Ok(told)
    }

    /// Refuses a `start` that is not this run's: a log and checkpoints would be lost.
    fn require_ours(&self, start: &Checkpoint) -> Result<()> {
        let newest = self.newest.as_ref().filter(|_| matches!(self.task, Task::GoOn { .. }));
        let reason = match newest {
            _ if !self.may_save(start) => {
                let found = start.run.map_or("no run".into(), |run| format!("run {run}"));
                format!("a checkpoint of {found} cannot begin run {}", self.run)
            }
            Some((step, _)) if start.step < *step => {
                format!("the run is at step {step} and cannot go on from step {}", start.step)
            }
            _ => return Ok(()),
        };
        Err(refused(&self.path, &reason))
    }

    /// Whether `checkpoint` may be saved here: one of this run, or a model that came from elsewhere.
    fn may_save(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.run == Some(self.run) || checkpoint.is_of_no_text()
    }

    /// Saves what a new run starts with, and begins its log.
    fn save_first(&mut self, start: &Checkpoint) -> Result<()> {
        self.save(start)?;
        self.rewrite_log(&start.history)
    }

    /// Moves the run called `old` aside and saves `start` in its place. Where that fails, as on a full disk, the old
    /// one comes back, and so does what the lock said: its `claim`.
    fn replace(
        &mut self,
        old: Option<RunId>,
        claim: Option<Claim>,
        start: &Checkpoint,
    ) -> Result<()> {
        let aside = contents::place_aside(&self.path, old);
        let there = Contents::of(&self.path);
        let moved = there.and_then(|there| contents::move_into(&aside, &there.files));
        let is_moved = moved.is_ok();
        let replaced = moved.and_then(|()| self.save_first(start));
        if replaced.is_err() && self.lock.prove().is_ok() {
            if is_moved {
                for name in [start.file_name().as_str(), LOG] {
                    let _ = fs::remove_file(self.path.join(name)); // of the new run, if it is there
                }
            }
            // If even that fails, the lock goes on saying what has happened, and how to undo it.
            let back = contents::move_back(&aside, &self.path);
            let _ = back.and_then(|()| self.lock.give_back(claim));
        }
        replaced
    }

    /// The name of the run that trains here.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Step and file of the newest checkpoint of this run that is known to be good.
    pub fn newest(&self) -> Option<(u64, &Path)> {
        self.newest.as_ref().map(|(step, path)| (*step, path.as_path()))
    }

    /// Saves `checkpoint` and, once it is on the disk, deletes those that are in excess. A file in its place
    /// that is not this run's gets another name.
    ///
    /// # Errors
    /// As [`Checkpoint::save`], and [`Error::OtherRun`]. Every older checkpoint is then still there.
    ///
    /// # Panics
    /// If `checkpoint` is of another run; a model that came from elsewhere may be of none.
    pub fn save(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        assert!(self.may_save(checkpoint), "a checkpoint that is not of run {}", self.run);
        self.prove()?;
        let path = self.path.join(checkpoint.file_name());
        if fs::symlink_metadata(&path).is_ok() && !self.is_ours(&path) {
            contents::keep(&path)?;
        }
        let saved = checkpoint.save_if(&path, &|| self.lock.prove());
        saved.map_err(|error| match self.lock.prove() {
            Err(other @ Error::OtherRun { .. }) => other,
            _ => error,
        })?;
        self.newest = Some((checkpoint.step, path.clone()));
        // What cannot be found or deleted now is tried again after the next save.
        self.doomed.extend(self.excess(checkpoint).unwrap_or_default());
        self.doomed.retain(|doomed| fs::remove_file(doomed).is_err() && doomed.exists());
        Ok(path)
    }

    /// [`RunFolder::save`] for a checkpoint that is only there in case the run is interrupted: the last two of these
    /// are kept, as a long run would fill the disk with them.
    pub(super) fn save_by_the_clock(&mut self, checkpoint: &Checkpoint) -> Result<PathBuf> {
        let excess = self.by_the_clock.len().saturating_sub(1);
        self.doomed.extend(self.by_the_clock.drain(..excess)); // deleted once the new one is safe
        let path = self.save(checkpoint)?;
        self.by_the_clock.push(path.clone());
        Ok(path)
    }

    /// Fails if the folder is another run's by now. One that came back is ours again, but perhaps without its log.
    fn prove(&mut self) -> Result<()> {
        self.lock.prove_or_retake()?;
        let path = self.path.join(Self::LOG);
        self.log.take_if(|log| !is_at(log, &path).unwrap_or(false));
        Ok(())
    }

    /// Whether the log was there when that was last looked at, before the last save.
    pub(super) fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Whether the file at `path` is a checkpoint of this run.
    fn is_ours(&self, path: &Path) -> bool {
        Summary::read(path).is_ok_and(|summary| summary.run == Some(self.run))
    }

    /// Checkpoints that [`RunFolder::keep`] lets go now that `saved` is durable. The newest are kept, and
    /// the one with the lowest validation loss. Steps after `saved` and other runs' files are left alone.
    fn excess(&self, saved: &Checkpoint) -> Result<Vec<PathBuf>> {
        let Some(keep) = self.keep else { return Ok(Vec::new()) };
        let mut ours = checkpoints_in(&self.path)?;
        ours.retain(|entry| entry.step <= saved.step && !self.doomed.contains(&entry.path));
        ours.retain(|entry| entry.summary().is_ok_and(|summary| summary.run == Some(self.run)));
        let best = by_validation(&ours, &saved.history).first().map(|entry| entry.path.clone());
        ours.truncate(ours.len().saturating_sub(keep.max(1)));
        let old = ours.into_iter().map(|entry| entry.path);
        Ok(old.filter(|path| Some(path) != best.as_ref()).collect())
    }

    /// Writes the log anew: the rows of `history` and no others.
    ///
    /// # Errors
    /// Whatever the system refuses, and [`Error::OtherRun`].
    pub fn rewrite_log(&mut self, history: &[LogRow]) -> Result<()> {
        let path = self.path.join(Self::LOG);
        self.log = None;
        self.prove()?;
        opening::prove_log(&self.path, self.run)?;
        let lines = || LogRow::lines(history, self.run);
        files::replace(&path, &|out| lines().try_for_each(|line| out.write_all(line.as_bytes())))?;
        let log = OpenOptions::new().append(true).open(&path);
        self.log = Some(log.map_err(Error::io("open", &path))?);
        Ok(())
    }

    /// Appends the last row of `history`; after a failure, writes the log anew instead.
    ///
    /// # Errors
    /// Whatever the system refuses, and [`Error::OtherRun`].
    pub fn log(&mut self, history: &[LogRow]) -> Result<()> {
        let (Some(log), Some(row)) = (&mut self.log, history.last()) else {
            return self.rewrite_log(history);
        };
        let written = log.write_all(row.line(self.run).as_bytes());
        written.map_err(|source| {
            self.log = None; // it may end in half a row
            Error::io("write", &self.path.join(Self::LOG))(source)
        })
    }
}

/// Said when the log could not be written, of which each checkpoint holds all rows.
pub(super) fn log_failed(error: &Error) -> String {
    format!("{error}; training continues and will try to write the log again")
}

/// The run whose checkpoint is the newest in `folder` or, without one, whose log is there.
fn newest_run(folder: &Path) -> Option<RunId> {
    let entries = checkpoints_in(folder).ok()?;
    match entries.iter().rev().find_map(|entry| Summary::read(&entry.path).ok()) {
        Some(newest) => newest.run,
        None => LogRow::run_of(&folder.join(LOG)).ok()?,
    }
}
