//! `karenina train`.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::memory::Memory;
use karenina::train::run::{Mode, OnSaveError, Opened, Run, RunEvent, RunFolder, load_best};
use karenina::train::{Trainer, Workers};

use super::input::holds_run;
#[cfg(feature = "lab")]
use super::lab::Beside;
use super::output::{OutputArgs, count, in_lines, layers, output_error, read_enough, warn};
use super::progress::{Event, LabNews, Screen};
use super::room::warn_of_little_room;
use super::sample::short_sample;
use super::settings::{Limit, Recipe, held_back, passes_follow_steps, plan_of};
use super::shell::{command, path_word, resuming};
use super::signals::Signals;

/// Characters of the sample that is shown whenever a checkpoint is saved.
const SHORT_SAMPLE: usize = 240;
/// Characters of the text that the finished network writes.
const LAST_SAMPLE: usize = 600;

/// Said when a signal arrives: a step, or a save, may take its time.
const STOPPING: &str = "stopping after this step (Ctrl-C again stops at once, without saving)";

/// The end of `karenina train --help`.
const JSON: &str = "\
With --json, standard output has one JSON object on each line, and standard error only warnings \
and errors. The key \"event\" of an object says which other keys it has:
  start   run, text, characters, vocabulary, parameters, batches_per_epoch, step, last_step,
          threads, ranks, choice (the plan of a run that was planned, else null),
          validation (loss of the network that --from names; null without one, or if nothing is
          held back), config
  step    step, epoch, loss, validation (null if not measured), norm, learning_rate, seconds,
          characters_per_second
  lab     address (with --lab)
  saved   step, file
  sample  step of the network that writes (at the end the best by validation), text
  end     step, reason (finished, nothing to do, or, after a signal, stopped), file
Losses are in nats per character.";

/// Arguments of `karenina train`.
#[derive(Args)]
#[command(after_long_help = JSON)]
pub struct Train {
    #[command(flatten)]
    recipe: Recipe,
    /// The run's folder, for its checkpoints and its log
    #[arg(long, alias = "checkpoints", value_name = "DIR", default_value = "checkpoints")]
    run: PathBuf,
    /// Continue the run in the folder
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the run in the folder
    #[arg(long)]
    overwrite: bool,
    /// How many of the newest checkpoints to keep, besides the best by validation [default: all]
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<usize>,
    /// When a checkpoint cannot be saved: retry while training continues, and after the last step until it succeeds; or stop
    #[arg(long, value_name = "retry|stop", default_value = "retry", value_parser = on_save_error)]
    on_save_error: OnSaveError,
    /// When the loss or a gradient is not finite: stop, or skip up to N such batches of the whole run
    /// (10 without a number)
    #[arg(long, value_name = "stop|skip|skip=N", default_value = "stop", value_parser = on_nan)]
    on_nan: Limit<u64>,
    /// Show no samples while training
    #[arg(long)]
    no_samples: bool,
    /// Serve `karenina lab` during training, to watch it in a browser
    #[cfg(feature = "lab")]
    #[arg(long)]
    lab: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// How many batches may be skipped because a number in them is not finite.
fn on_nan(text: &str) -> std::result::Result<Limit<u64>, &'static str> {
    let skipped = match text.split_once('=') {
        None if text == "stop" => Some(Limit(None)),
        None if text == "skip" => Some(Limit(Some(10))),
        Some(("skip", n)) => n.parse().ok().map(|n| Limit(Some(n))),
        _ => None,
    };
    skipped.ok_or("stop, skip (up to 10 batches) or skip=N, such as skip=3")
}

fn on_save_error(text: &str) -> std::result::Result<OnSaveError, String> {
    match text {
        "retry" => Ok(OnSaveError::Retry),
        "stop" => Ok(OnSaveError::Stop),
        _ => Err("retry or stop".into()),
    }
}

impl Train {
    /// Trains to the end, or until a signal asks to stop.
    pub fn run(self) -> Result<ExitCode> {
        self.recipe.run(true, |workers, corpus| self.lead(workers, corpus))
    }

    /// What to do with a run that is there already.
    fn mode(&self) -> Mode {
        match (self.resume, self.overwrite) {
            (true, _) => Mode::Resume,
            (_, true) => Mode::Overwrite,
            _ => Mode::New,
        }
    }

    /// The run, as the only process or the first of several.
    fn lead(&self, workers: &Workers, mut corpus: Corpus) -> Result<ExitCode> {
        let mode = self.mode();
        if mode == Mode::New && holds_run(&self.run) {
            RunFolder::open(&self.run, mode)?; // says no, and before a plan is made
        }
        // Before the folder is touched. A run that continues has a configuration of its own.
        let fresh = (!self.resume).then(|| self.begin(&mut corpus, workers)).transpose()?;
        let Opened { mut folder, checkpoint, warnings, .. } = RunFolder::open(&self.run, mode)?;
        folder.keep = self.keep_checkpoints;
        warnings.iter().for_each(|warning| warn(warning));
        let mut trainer = match checkpoint {
            None => fresh.map_or_else(|| self.begin(&mut corpus, workers), Ok)?,
            Some(checkpoint) => {
                let path = folder.newest().expect("it was loaded from a file").1;
                let checkpoint = self.go_on(checkpoint, path, &mut corpus, workers)?;
                Trainer::from_checkpoint(checkpoint, &corpus, workers)?
            }
        };
        let (last, epoch) = (trainer.last_step(), trainer.batches_per_epoch() as u64);
        let mut screen = Screen::new(self.output, trainer.step(), last, last.div_ceil(epoch));
        self.introduce(&corpus, &trainer);
        // From now on there is something to save, at step 0 already.
        let (ranks, announce) = (workers.ranks.clone(), screen.announcer(STOPPING));
        let signals = Signals::register(move |signal| {
            ranks.ask_to_stop(signal); // a validation hears it too
            announce(signal);
        });
        let validation = self.starts_with(&mut trainer);
        self.begins(&corpus, &trainer, validation, &mut screen);
        warn_of_little_room(&self.run, self.keep_checkpoints, &trainer);
        if trainer.lacks_validation() {
            let step = trainer.step();
            self.output.say(&format!("validating step {step}, which is still to be done"));
        }
        let mut run = Run::new(trainer, folder)?;
        run.on_nan = self.on_nan.0;
        run.on_save_error = self.on_save_error;
        #[cfg(feature = "lab")]
        let lab = self.lab.then(|| Beside::start(&self.run, last));
        #[cfg(feature = "lab")]
        let news = || lab.as_ref().and_then(Beside::news);
        #[cfg(not(feature = "lab"))]
        let news = || None;
        self.train(run, screen, &signals, validation, news)
    }

    /// A new run on `corpus`, of which a copy in other ids would be too much.
    fn begin(&self, corpus: &mut Corpus, workers: &Workers) -> Result<Trainer> {
        let start = self.recipe.start(take(corpus), workers)?;
        *corpus = start.corpus;
        let trainer = match start.model {
            None => Trainer::new(corpus, start.config, workers),
            Some(model) => Trainer::fine_tuning(&model, corpus, start.config, workers),
        };
        Ok(trainer?.chosen_because(start.reason))
    }

    /// The run's `checkpoint`, read from `path`, with the settings that may change.
    fn go_on(
        &self,
        mut checkpoint: Checkpoint,
        path: &Path,
        corpus: &mut Corpus,
        workers: &Workers,
    ) -> Result<Checkpoint> {
        let mismatch = |reason| Error::Mismatch { path: path.to_path_buf(), reason };
        if checkpoint.text_sha256 != corpus.sha256() {
            return Err(Error::OtherText { path: path.to_path_buf() });
        }
        self.recipe.require_same(&checkpoint.config).map_err(mismatch)?;
        self.recipe.require_planned_for(&checkpoint.choice).map_err(mismatch)?;
        checkpoint.config = self.recipe.settings.going_on(&checkpoint, corpus).map_err(mismatch)?;
        checkpoint.config.validate()?;
        *corpus = take(corpus).in_terms_of(&checkpoint.vocabulary)?;
        Memory::of(&checkpoint.config, corpus, checkpoint.vocabulary.len(), workers)?
            .require_beside_checkpoint(&checkpoint.config)
            .map_err(|error| mismatch(error.to_string()))?; // the sizes are the run's, and no mistake
        self.output.say(&format!("continuing {} at step {}", path.display(), checkpoint.step));
        Ok(checkpoint)
    }

    /// Says and returns the validation loss of a network that comes from elsewhere, before it learns: what the run has
    /// to improve on.
    fn starts_with(&self, trainer: &mut Trainer) -> Option<f64> {
        let is_given = trainer.step() == 0 && self.recipe.from.is_some();
        let validation = trainer.config().validation;
        if !is_given || matches!(validation, Validation::None | Validation::Batches(0)) {
            return None;
        }
        self.output.say("validating the starting network");
        let loss = trainer.validate()?;
        self.output.say(&format!("the starting network has a validation loss of {loss:.4}"));
        Some(loss)
    }

    /// Says what will be done.
    fn introduce(&self, corpus: &Corpus, trainer: &Trainer) {
        let (config, sizes) = (trainer.config(), trainer.sizes());
        let Workers { threads, ref ranks } = *trainer.workers();
        let each = match ranks.count() {
            1 => String::new(),
            n => format!(" in the first of {n} ranks"),
        };
        let text = self.recipe.texts.name();
        let held_back = match held_back(config, corpus) {
            Ok(0) | Err(_) => String::new(),
            Ok(n) => format!("; the last {n} are held back for validation"),
        };
        self.output.say(&format!(
            "{text}: {} characters, {} distinct{held_back}\n{}, {} parameters; {} of {} x {} characters per epoch, {}{each}",
            corpus.len(),
            sizes.vocabulary,
            layers(sizes),
            sizes.parameters(),
            count(trainer.batches_per_epoch(), "batch"),
            config.batch,
            config.unroll,
            count(threads, "thread"),
        ));
        let choice = &trainer.checkpoint().choice;
        match trainer.step() {
            _ if choice.is_empty() => {}
            0 => self.output.say(&in_lines(choice)),
            _ => self.output.say(&format!("the run began like this: {}", in_lines(choice))),
        }
    }

    /// Tells programs what begins.
    fn begins(
        &self,
        corpus: &Corpus,
        trainer: &Trainer,
        validation: Option<f64>,
        screen: &mut Screen,
    ) {
        let (sizes, choice) = (trainer.sizes(), &trainer.checkpoint().choice);
        let Workers { threads, ref ranks } = *trainer.workers();
        screen.event(&Event::Start {
            run: self.run.display().to_string(),
            text: self.recipe.texts.name(),
            characters: corpus.len(),
            vocabulary: sizes.vocabulary,
            parameters: sizes.parameters(),
            batches_per_epoch: trainer.batches_per_epoch(),
            step: trainer.step(),
            last_step: trainer.last_step(),
            threads,
            ranks: ranks.count(),
            choice: plan_of(choice),
            validation,
            config: trainer.config(),
        });
    }

    /// The loop: shows what the run and a lab report, and stops the run when a signal came. `before` is the validation
    /// loss of a network that was given.
    fn train(
        &self,
        mut run: Run,
        mut screen: Screen,
        signals: &Signals,
        before: Option<f64>,
        of_lab: impl Fn() -> Option<LabNews>,
    ) -> Result<ExitCode> {
        let asked =
            |run: &Run| signals.received().or(run.trainer().workers().ranks.asked_to_stop());
        while asked(&run).is_none()
            && let Some(event) = run.next()
        {
            if let Some(news) = of_lab() {
                screen.lab(news);
            }
            match event? {
                RunEvent::Step(report) => screen.step(&report),
                RunEvent::Saved(path) => self.show_saved(&run, &mut screen, &path),
                RunEvent::Skipped(error) => screen.warn(&format!("skipped: {error}")),
                RunEvent::Warning(warning) => screen.warn(&format!("karenina: {warning}")),
                _ => {}
            }
        }
        match asked(&run) {
            Some(signal) => self.stop(run, screen, signal),
            None => self.conclude(&run, &mut screen, before),
        }
    }

    /// The end of a run that `signal` asked to stop: its step is saved, and how to go on is said.
    fn stop(&self, mut run: Run, mut screen: Screen, signal: usize) -> Result<ExitCode> {
        let path = run.stop()?;
        if let Err(error) = read_enough(end(&run, &mut screen, "stopped", &path)) {
            warn(&format!("{error}; {} is saved", path.display()));
        }
        let as_before = match self.recipe.texts.place_of_input() {
            Some(place) => format!(", with the same text {place}"),
            None if !run.trainer().workers().ranks.is_alone() => {
                ", with mpirun or srun as before".into()
            }
            None => String::new(),
        };
        self.output.say(&format!(
            "stopped; {} is saved. To continue{as_before}: {}",
            path.display(),
            command(resuming(env::args_os().skip(1)))
        ));
        Ok(ExitCode::from(128 + signal as u8))
    }

    /// A line about the new checkpoint, and what the network writes now.
    fn show_saved(&self, run: &Run, screen: &mut Screen, path: &Path) {
        let trainer = run.trainer();
        let validation = trainer.history().last().and_then(|row| row.validation);
        let validation = validation.map(|nats| {
            let bits = nats / std::f64::consts::LN_2;
            format!("validation {nats:.4} (perplexity {:.3}, {bits:.4} bits)", libm::exp(nats))
        });
        let (step, file) = (trainer.step(), path.display().to_string());
        let losses: Vec<_> = screen.mean_loss().into_iter().chain(validation).collect();
        let losses = if losses.is_empty() { String::new() } else { losses.join(", ") + "; " };
        screen.line(&format!("step {step}: {losses}saved {file}"));
        screen.event(&Event::Saved { step, file });
        if !self.no_samples && !self.output.quiet && step < trainer.last_step() {
            let text = short_sample(trainer.checkpoint(), SHORT_SAMPLE);
            screen.event(&Event::Sample { step, text: &text });
            screen.line(&format!("\n{text}\n"));
        }
    }

    /// The checkpoint that `sample` would use, if it is better by validation than the network now.
    fn best_before(&self, trainer: &Trainer) -> Option<Checkpoint> {
        if trainer.history().last()?.validation == Some(lowest_validation(trainer)?) {
            return None; // no need to read it from the disk
        }
        let best = load_best(&self.run).ok()?.checkpoint;
        let is_before = best.step < trainer.step() && best.run == trainer.checkpoint().run;
        is_before.then_some(best)
    }

    /// The end of a finished run: where it lies, how to use it, and what it writes.
    fn conclude(&self, run: &Run, screen: &mut Screen, before: Option<f64>) -> Result<ExitCode> {
        let trainer = run.trainer();
        let newest = run.folder().newest().map(|(_, path)| path.to_path_buf());
        let file = newest.unwrap_or_else(|| self.run.clone());
        let best = self.best_before(trainer);
        let writes = best.as_ref().unwrap_or(trainer.checkpoint());
        let (step, text) = (writes.step, short_sample(writes, LAST_SAMPLE));
        let is_idle = trainer.step() == screen.first_step;
        screen.event(&Event::Sample { step, text: &text });
        end(run, screen, if is_idle { "nothing to do" } else { "finished" }, &file)?;
        warn_if_worse(before, trainer);
        self.output.say(&match is_idle {
            true => format!("nothing to do: {}", limit(trainer, &file)),
            false => {
                let loss = screen.mean_loss().unwrap_or("all batches were skipped".into());
                let which = match best {
                    Some(_) => {
                        format!("The network of step {step}, the best by validation, writes")
                    }
                    None => "The network writes".into(),
                };
                format!("finished: {loss}. {which}:\n")
            }
        });
        if !self.output.json && !self.output.quiet {
            let mut out = io::stdout().lock();
            writeln!(out, "{text}").and_then(|()| out.flush()).map_err(output_error)?;
        }
        let words: [&OsStr; 3] = ["sample".as_ref(), "--run".as_ref(), &path_word(&self.run)];
        self.output.say(&format!("\nfor more text: {}", command(words)));
        Ok(ExitCode::SUCCESS)
    }
}

/// The lowest validation loss of the run, if any was measured.
fn lowest_validation(trainer: &Trainer) -> Option<f64> {
    trainer.history().iter().filter_map(|row| row.validation).min_by(f64::total_cmp)
}

/// Says so if no network of the run is as good as the one that it started with.
fn warn_if_worse(before: Option<f64>, trainer: &Trainer) {
    if let (Some(before), Some(lowest)) = (before, lowest_validation(trainer))
        && lowest > before
    {
        warn(&format!(
            "the network that the run started with predicts better: its validation loss is {before:.4}, the lowest of \
             the run {lowest:.4}; a lower --learning-rate may help"
        ));
    }
}

/// Tells a program that the run ends, and clears the screen.
fn end(run: &Run, screen: &mut Screen, reason: &'static str, file: &Path) -> Result<()> {
    let (step, file) = (run.trainer().step(), file.display().to_string());
    screen.event(&Event::End { step, reason, file });
    screen.finish()
}

/// Where the run has ended, with all saved in `file`, and how to train it further.
fn limit(trainer: &Trainer, file: &Path) -> String {
    let (config, batches) = (trainer.config(), trainer.batches_per_epoch() as u64);
    let all = config.epochs.saturating_mul(batches);
    let (step, last) = (trainer.step(), trainer.last_step());
    let more = format!(
        "a larger --steps, or with --steps all for all {all} steps; for more, add a larger --epochs"
    );
    let (is_at, more) = match () {
        () if step != last => {
            (format!("is at step {step}, and was told to stop at step {last}"), more)
        }
        () if passes_follow_steps(trainer.checkpoint(), batches) => {
            (format!("has reached step {step}, as planned"), "a larger --steps".into())
        }
        () if last >= all => {
            (format!("has reached the end of epoch {}", config.epochs), "a larger --epochs".into())
        }
        () => (format!("has reached step {step}, where it was told to stop"), more),
    };
    let rate = match config.schedule.descent {
        None => "",
        Some(_) => ". The learning rate then rises again, and falls towards 0 until the new end",
    };
    format!(
        "the run {is_at} ({}). To train it further, pass --resume with {more}{rate}",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_skipped_as_often_as_is_said_or_ten_times() {
        let skipped = |text| on_nan(text).map(|limit| limit.0);
        assert_eq!(["stop", "skip", "skip=3"].map(skipped), [None, Some(10), Some(3)].map(Ok));
        assert!(["skip=", "skip=-1", "10", ""].iter().all(|text| on_nan(text).is_err()));
    }
}
