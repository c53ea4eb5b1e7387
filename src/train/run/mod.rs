//! A training run: the trainer, and the folder that keeps what it has learnt.
//!
//! At every moment the newest checkpoint that was reported as saved can be loaded, and a run that continues
//! from it ends with the same bits as one that was never interrupted.
//!
//! ```
//! use karenina::text::corpus::Corpus;
//! use karenina::train::run::{Mode, Run, RunEvent, RunFolder};
//! use karenina::train::{TrainConfig, Trainer};
//!
//! # let temporary = tempfile::tempdir().expect("a folder");
//! # let path = temporary.path().join("checkpoints");
//! let corpus = Corpus::from_text(&"to and fro ".repeat(10));
//! let config = TrainConfig::builder().hidden(8).batch(2).unroll(5).steps(Some(3)).build()?;
//!
//! // Continues the run in the folder `path`, or begins one if the folder is empty.
//! let opened = RunFolder::open(&path, Mode::Resume)?;
//! let trainer = match opened.checkpoint {
//!     Some(checkpoint) => Trainer::from_checkpoint(checkpoint, &corpus, 1)?,
//!     None => Trainer::new(&corpus, config, 1)?,
//! };
//! let mut run = Run::new(trainer, opened.folder)?;
//! for event in run.by_ref() {
//!     if let RunEvent::Saved(path) = event? {
//!         println!("{} is safe", path.display());
//!     }
//! }
//! assert_eq!(run.folder().newest().map(|(step, _)| step), Some(3));
//! # Ok::<(), karenina::error::Error>(())
//! ```

mod contents;
mod folder;
mod listing;
mod lock;
mod opening;
mod saving;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use folder::log_failed;
pub use folder::{Mode, Opened, RunFolder};
pub use listing::{Entry, Loaded, checkpoints_in, load_any, load_best};
pub use saving::OnSaveError;
use saving::{Attempts, LAST_PAUSES, Saving};

use crate::error::{Error, Result};
use crate::train::LogRow;
use crate::train::trainer::{StepReport, Trainer};

/// How soon the word to stop is heard while the last save waits to be tried again.
const HEARD_WITHIN: Duration = Duration::from_millis(50);

/// What [`Run`] yields.
#[derive(Debug)]
#[non_exhaustive]
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
/// saves, and after [`save_minutes`](crate::train::TrainConfig::save_minutes) it saves. Where the batch of such a step is
/// left out, the row of the update before it holds the validation. Nothing follows an error, nor the word to stop
/// ([`Ranks::ask_to_stop`](crate::ranks::Ranks::ask_to_stop)), which ends a validation too: then call [`Run::stop`].
#[derive(Debug)]
pub struct Run {
    trainer: Trainer,
    folder: RunFolder,
    /// How many batches may be left out because a number in them is not finite, those before the run was resumed
    /// included. Default none: the first such batch ends the run.
    pub on_nan: Option<u64>,
    /// What happens when a save fails. Default: it is tried again, the last one too, until it succeeds or the run is told
    /// to stop.
    pub on_save_error: OnSaveError,
    saving: Saving,
    logging: Attempts,
    /// What is still to be told.
    warnings: VecDeque<String>,
    /// What ends the run once all else has been told.
    failure: Option<Error>,
    ended: bool,
}

impl Run {
    /// A run of `trainer` in `folder`. A new one is saved here, and its log begins with the trainer's
    /// history.
    ///
    /// # Errors
    /// As [`RunFolder::begin`].
    pub fn new(mut trainer: Trainer, mut folder: RunFolder) -> Result<Self> {
        trainer.belong_to(folder.run());
        let warnings = folder.begin(trainer.checkpoint())?.into();
        let now = Instant::now();
        let mut run = Self {
            trainer,
            folder,
            on_nan: None,
            on_save_error: OnSaveError::default(),
            saving: Saving::new(now),
            logging: Attempts::new(now),
            warnings,
            failure: None,
            ended: false,
        };
        if !run.folder.has_log() {
            run.logging.failed(now); // it has been told
        }
        run.catch_up()?; // what was stopped while it validated has saved the step without its validation
        Ok(run)
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
    /// not validate, so that the log stays the same as that of a run which was not stopped. A save that
    /// fails is tried again for some seconds.
    ///
    /// # Errors
    /// [`Error::NotSaved`] or [`Error::OtherRun`].
    pub fn stop(&mut self) -> Result<PathBuf> {
        self.ended = true;
        match self.folder.newest() {
            Some((_, path)) if self.is_saved() => Ok(path.to_path_buf()),
            _ => self.save_at_last(),
        }
    }

    fn is_last_step(&self) -> bool {
        self.trainer.step() == self.trainer.last_step()
    }

    fn is_told_to_stop(&self) -> bool {
        self.trainer.workers().ranks.asked_to_stop().is_some()
    }

    /// After a step: validation before the row is logged, so that the row holds it.
    fn log(&mut self, mut report: StepReport) -> Result<RunEvent> {
        let is_due = self.ask_for_save();
        if is_due {
            report.row.validation = self.validate();
        }
        if is_due || self.logging.is_time(Instant::now()) {
            self.write_log(RunFolder::log)?;
        }
        Ok(RunEvent::Step(report))
    }

    /// The validation loss, if anything is held back and nobody says stop meanwhile. Where the newest checkpoint is old, a
    /// save comes first, since a validation may take longer than a batch system waits. A loss that is not finite has no
    /// place in a file, and is only told.
    fn validate(&mut self) -> Option<f64> {
        if !self.trainer.validates() {
            return None;
        }
        if !self.is_saved() && self.saving.is_old(Instant::now()) {
            let _ = self.attempt(); // it is tried again after the validation, and a failure told then
        }
        let loss = self.trainer.validate()?;
        self.saving.ask(true, None, Instant::now());
        if !loss.is_finite() {
            let step = self.trainer.step();
            self.warnings.push_back(format!("step {step}: the validation loss is not finite"));
            return None;
        }
        Some(loss)
    }

    /// Validates after the last update, if this step calls for it and that is still to be done.
    fn catch_up(&mut self) -> Result<()> {
        if self.trainer.lacks_validation() && self.validate().is_some() {
            self.write_log(RunFolder::rewrite_log)?;
        }
        Ok(())
    }

    /// One attempt to write what the log lacks, or all of it anew.
    fn write_log(&mut self, write: fn(&mut RunFolder, &[LogRow]) -> Result<()>) -> Result<()> {
        let now = Instant::now();
        match write(&mut self.folder, self.trainer.history()) {
            Ok(()) => self.logging = Attempts::new(now),
            Err(error @ Error::OtherRun { .. }) => return Err(error),
            Err(error) if self.logging.failed(now) => self.warnings.push_back(log_failed(&error)),
            Err(_) => {}
        }
        Ok(())
    }

    /// After a step: notes whether to save. Whether that is by its number, and so with a validation.
    fn ask_for_save(&mut self) -> bool {
        let is_due = self.trainer.is_due();
        if self.is_last_step() {
            self.saving.forget_failures(Instant::now()); // the last save is tried at once, and a failure told
        }
        self.saving.ask(is_due, self.trainer.config().save_minutes, Instant::now());
        is_due
    }

    /// Goes on without the batch that gave `error`, if that is allowed. If not, the steps before it are saved.
    fn skip(&mut self, error: Error) -> Result<RunEvent> {
        match (&error, self.on_nan) {
            (Error::NotFinite { .. }, Some(most)) if self.skipped() < most => {
                self.trainer.skip_batch();
                self.ask_for_save();
                self.catch_up()?;
                Ok(RunEvent::Skipped(error))
            }
            _ if self.is_saved() => Err(error),
            _ => {
                self.failure = Some(error);
                Ok(match self.save_at_last() {
                    Ok(path) => RunEvent::Saved(path),
                    Err(not_saved) => RunEvent::Warning(not_saved.to_string()),
                })
            }
        }
    }

    /// How many batches have been left out so far.
    fn skipped(&self) -> u64 {
        let checkpoint = self.trainer.checkpoint();
        checkpoint.step.saturating_sub(checkpoint.adam.updates)
    }

    /// Whether this very step is on the disk, with its validation.
    fn is_saved(&self) -> bool {
        let is_it = |(step, path): (u64, &Path)| step == self.trainer.step() && path.exists();
        !self.saving.is_wanted() && self.folder.newest().is_some_and(is_it)
    }

    /// One attempt to save; nothing if it failed and that has been told.
    fn save(&mut self) -> Result<Option<RunEvent>> {
        let error = match self.attempt() {
            Ok(path) => return self.with_log(path).map(|path| Some(RunEvent::Saved(path))),
            Err(error) => error,
        };
        let is_hopeless = match error {
            Error::OtherRun { .. } => true,
            Error::Checkpoint { .. } => self.is_last_step(), // whose numbers stay as they are
            _ => false,
        };
        if is_hopeless || self.on_save_error == OnSaveError::Stop {
            return Err(self.not_saved(error));
        }
        let next = match self.is_last_step() {
            true => {
                "this was the last step, and its save is tried again until it succeeds or you stop the run"
            }
            false => "training continues and will try to save again",
        };
        let safe = match self.safe() {
            Some(path) => format!("only {} is safe", path.display()),
            None => "nothing of this run is saved".into(),
        };
        let is_news = self.saving.failed(Instant::now());
        let warning = || RunEvent::Warning(format!("{error}; {next}, but until then {safe}"));
        Ok(is_news.then(warning))
    }

    /// The save of a run that must end, tried for some seconds.
    fn save_at_last(&mut self) -> Result<PathBuf> {
        let mut pauses = LAST_PAUSES.iter();
        loop {
            let error = match self.attempt() {
                Ok(path) => return self.with_log(path),
                Err(error) => error,
            };
            let is_hopeless = matches!(error, Error::OtherRun { .. } | Error::Checkpoint { .. });
            match pauses.next() {
                Some(pause) if self.on_save_error == OnSaveError::Retry && !is_hopeless => {
                    thread::sleep(*pause);
                }
                _ => return Err(self.not_saved(error)),
            }
        }
    }

    fn attempt(&mut self) -> Result<PathBuf> {
        self.trainer.gather_state();
        let checkpoint = self.trainer.checkpoint();
        let path = match self.saving.is_due() || self.trainer.is_due() {
            true => self.folder.save(checkpoint)?,
            false => self.folder.save_by_the_clock(checkpoint)?,
        };
        self.saving.succeeded(Instant::now());
        Ok(path)
    }

    /// What is saved at `path` is in the log too: if that could not be written, there may be room again, and one that
    /// was deleted is made again.
    fn with_log(&mut self, path: PathBuf) -> Result<PathBuf> {
        if self.logging.are_failing() || !self.folder.has_log() {
            self.write_log(RunFolder::log)?;
        }
        Ok(path)
    }

    /// The newest checkpoint; the whole folder may be gone.
    fn safe(&self) -> Option<PathBuf> {
        self.folder.newest().filter(|(_, path)| path.exists()).map(|(_, path)| path.to_path_buf())
    }

    /// `error` as the end of the run.
    fn not_saved(&self, error: Error) -> Error {
        match error {
            Error::OtherRun { .. } => error,
            source => Error::NotSaved {
                step: self.trainer.step(),
                safe: self.safe(),
                source: Box::new(source),
            },
        }
    }

    /// The next thing to tell; nothing at the end.
    fn event(&mut self) -> Option<Result<RunEvent>> {
        if let Some(warning) = self.warnings.pop_front() {
            return Some(Ok(RunEvent::Warning(warning)));
        }
        if let Some(failure) = self.failure.take() {
            return Some(Err(failure));
        }
        loop {
            let is_left = self.saving.is_wanted() && self.is_last_step();
            if is_left {
                self.wait_for_attempt();
            }
            if self.is_told_to_stop() {
                return None;
            }
            if self.saving.is_time(Instant::now())
                && let Some(event) = self.save().transpose()
            {
                return Some(event);
            }
            if !is_left {
                break;
            }
        }
        Some(match self.trainer.next()? {
            Ok(report) => self.log(report),
            Err(error) => self.skip(error),
        })
    }

    /// With no step left to make, waits until it is time to save again, or to stop.
    fn wait_for_attempt(&self) {
        while !self.saving.is_time(Instant::now()) && !self.is_told_to_stop() {
            thread::sleep(HEARD_WITHIN);
        }
    }
}

impl Iterator for Run {
    type Item = Result<RunEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.event();
        self.ended = event.as_ref().is_none_or(Result::is_err);
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::batches::Validation;
    use crate::text::corpus::Corpus;
    use crate::train::TrainConfig;

    /// As where a validation takes longer than a batch system waits.
    #[test]
    fn what_a_minute_has_learnt_is_saved_before_a_validation_and_not_where_there_is_none() {
        let corpus = Corpus::from_text(&"to and fro ".repeat(10));
        for (validation, is_saved) in [(Validation::Batches(1), true), (Validation::None, false)] {
            let config = TrainConfig::builder().hidden(4).layers(1).batch(2).unroll(5);
            let config = config.save_every(1).validation(validation).build().unwrap();
            let path = tempfile::tempdir().unwrap();
            let folder = RunFolder::open(path.path(), Mode::New).unwrap().folder;
            let mut run = Run::new(Trainer::new(&corpus, config, 1).unwrap(), folder).unwrap();
            let a_minute_ago = Instant::now().checked_sub(Duration::from_secs(60));
            run.saving = Saving::new(a_minute_ago.expect("the machine has run for a minute"));
            let report = run.trainer.next().unwrap().unwrap();
            run.trainer.workers().ranks.ask_to_stop(15); // or the save after the validation would not be seen
            run.log(report).unwrap();
            assert_eq!(run.folder.newest().unwrap().0, u64::from(is_saved), "{validation:?}");
        }
    }
}
