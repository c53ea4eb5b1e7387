//! A training run: the trainer, and the folder that keeps what it has learnt.
//!
//! At every moment the newest checkpoint that was reported as saved loads, and a run that goes on from
//! it ends in the same bits as one that was never interrupted.

mod folder;
mod listing;

use std::path::PathBuf;

pub use folder::{Mode, Opened, RunFolder};
pub use listing::{Entry, Loaded, Newest, checkpoints_in, load_any, newest_good};

use crate::error::{Error, Result};
use crate::train::trainer::{StepReport, Trainer};

/// What [`Run`] yields.
#[derive(Debug)]
pub enum RunEvent {
    /// A step was made; its row is in the log.
    Step(StepReport),
    /// A checkpoint is on the disk.
    Saved(PathBuf),
    /// A batch was left out, for this reason.
    Skipped(Error),
    /// Something failed that the run survives.
    Warning(String),
}

/// A run in its folder.
///
/// As an iterator it trains to the end: one step at a time, each in the log; every
/// [`save_every`](crate::train::TrainConfig::save_every) steps and after the last it validates and
/// saves. Nothing follows an error.
pub struct Run {
    trainer: Trainer,
    folder: RunFolder,
    /// How many batches may be left out because a number in them is not finite. Default none: the first
    /// such batch ends the run.
    pub on_nan: Option<u64>,
    /// The step just made is to be saved.
    save_is_due: bool,
    /// The last save failed.
    save_failed: bool,
    /// A failure to tell of.
    warning: Option<String>,
    /// The log could not be written, and that has been told.
    log_failed: bool,
    ended: bool,
}

impl Run {
    /// A run of `trainer` in `folder`, whose log begins with the trainer's history.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn new(trainer: Trainer, mut folder: RunFolder) -> Result<Self> {
        folder.rewrite_log(trainer.history())?;
        Ok(Self {
            trainer,
            folder,
            on_nan: None,
            save_is_due: false,
            save_failed: false,
            warning: None,
            log_failed: false,
            ended: false,
        })
    }

    /// What is being trained.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// Where it is kept.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// Ends the run here: saves, unless this very step is saved already, and returns the file. It does
    /// not validate, so that the log stays the same as that of a run which was not stopped.
    ///
    /// # Errors
    /// As [`RunFolder::save`].
    pub fn stop(&mut self) -> Result<PathBuf> {
        self.ended = true;
        match self.folder.newest() {
            Some((step, path)) if step == self.trainer.step() => Ok(path.to_path_buf()),
            _ => self.folder.save(self.trainer.checkpoint()),
        }
    }

    fn is_last_step(&self) -> bool {
        self.trainer.step() == self.trainer.last_step()
    }

    fn due(&self) -> bool {
        self.trainer.step().is_multiple_of(self.trainer.config().save_every) || self.is_last_step()
    }

    /// After a step: validation before the row is logged, so that the row holds it.
    fn log(&mut self, mut report: StepReport) -> RunEvent {
        self.save_is_due = self.due();
        if self.save_is_due {
            report.row.validation = self.trainer.validate();
        }
        match self.folder.log(self.trainer.history()) {
            Ok(()) => self.log_failed = false,
            Err(error) if !self.log_failed => {
                self.log_failed = true;
                self.warning =
                    Some(format!("{error}; training goes on, and the log is tried again"));
            }
            Err(_) => {}
        }
        RunEvent::Step(report)
    }

    /// Goes on without the batch that gave `error`, if that is allowed.
    fn skip(&mut self, error: Error) -> Result<RunEvent> {
        match (&error, self.on_nan) {
            (Error::NotFinite { .. }, Some(left @ 1..)) => {
                self.on_nan = Some(left - 1);
                self.trainer.skip_batch();
                self.save_is_due = self.due();
                Ok(RunEvent::Skipped(error))
            }
            _ => Err(error),
        }
    }

    /// A failure is survived if there is something to fall back to, a save will be tried again, and it is
    /// the first in a row.
    fn save(&mut self) -> Result<RunEvent> {
        self.save_is_due = false;
        let error = match self.folder.save(self.trainer.checkpoint()) {
            Ok(path) => {
                self.save_failed = false;
                return Ok(RunEvent::Saved(path));
            }
            Err(error) => error,
        };
        // The whole folder may be gone.
        let older = self.folder.newest().filter(|(_, older)| older.exists());
        let Some((_, older)) = older else { return Err(error) };
        if self.save_failed || self.is_last_step() {
            return Err(error);
        }
        self.save_failed = true;
        let older = older.display();
        Ok(RunEvent::Warning(format!(
            "{error}; training goes on, but until a save succeeds only {older} is safe"
        )))
    }
}

impl Iterator for Run {
    type Item = Result<RunEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        if let Some(warning) = self.warning.take() {
            return Some(Ok(RunEvent::Warning(warning)));
        }
        let event = if self.save_is_due {
            self.save()
        } else {
            self.trainer.next()?.map(|report| self.log(report)).or_else(|error| self.skip(error))
        };
        self.ended = event.is_err();
        Some(event)
    }
}
