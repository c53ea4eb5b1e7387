//! `karenina train`.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::mem::take;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::memory::Memory;
use karenina::train::run::{Mode, OnSaveError, Opened, Run, RunEvent, RunFolder};
use karenina::train::{TrainConfig, Trainer, thread_count};

use super::input::TextArgs;
use super::progress::Screen;
use super::sample::short_sample;
use super::settings::{Settings, default_config};
use super::shell::{command, path_word, resuming};
use super::signals::Signals;
use super::{note, output_error};

/// Characters of the sample that is shown whenever a checkpoint is saved.
const SHORT_SAMPLE: usize = 240;
/// Characters of the text that the finished network writes.
const LAST_SAMPLE: usize = 600;

/// Said when a signal arrives: a step, or a save, may take its time.
const STOPPING: &str = "stopping after this step (Ctrl-C again stops at once, without saving)";

/// Arguments of `karenina train`.
#[derive(Args)]
pub struct Train {
    #[command(flatten)]
    texts: TextArgs,
    /// article: two layers of 512, B = T = 100, 20 epochs; quick: a small network for a first look
    /// [default: quick for the embedded text, article for yours]
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// The run's folder, for its checkpoints and its log
    #[arg(long, alias = "checkpoints", value_name = "DIR", default_value = "checkpoints")]
    run: PathBuf,
    /// Continue the run in the folder
    #[arg(long, conflicts_with = "overwrite")]
    resume: bool,
    /// Replace the run in the folder
    #[arg(long)]
    overwrite: bool,
    /// Checkpoints to keep beside the best by validation [default: all]
    #[arg(long, value_name = "N")]
    keep_checkpoints: Option<usize>,
    /// What a save that fails does: retry tries again while training goes on, stop ends the run
    #[arg(long, value_name = "retry|stop", default_value = "retry", value_parser = on_save_error)]
    on_save_error: OnSaveError,
    /// What to do with a batch whose loss or gradient is not finite: stop, or skip up to N of them
    #[arg(long, value_name = "stop|skip|skip=N", default_value = "stop", value_parser = on_nan)]
    on_nan: OnNan,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Show no samples while training
    #[arg(long)]
    no_samples: bool,
}

/// How many batches with numbers that are not finite may be left out; none means stop at the first.
type OnNan = Skips;

/// See [`Train::on_nan`].
#[derive(Clone, Copy)]
pub struct Skips(Option<u64>);

fn on_nan(text: &str) -> std::result::Result<Skips, String> {
    match text.split_once('=') {
        None if text == "stop" => Ok(Skips(None)),
        None if text == "skip" => Ok(Skips(Some(10))),
        Some(("skip", n)) => n.parse().map(|n| Skips(Some(n))).map_err(|e| e.to_string()),
        _ => Err("use stop, skip (up to 10 batches) or skip=N".into()),
    }
}

fn on_save_error(text: &str) -> std::result::Result<OnSaveError, String> {
    match text {
        "retry" => Ok(OnSaveError::Retry),
        "stop" => Ok(OnSaveError::Stop),
        _ => Err("use retry or stop".into()),
    }
}

impl Train {
    /// Trains to the end, or until a signal asks to stop.
    pub fn run(self) -> Result<ExitCode> {
        let threads = thread_count(self.threads)?;
        let mode = match (self.resume, self.overwrite) {
            (true, _) => Mode::Resume,
            (_, true) => Mode::Overwrite,
            _ => Mode::New,
        };
        let preset = self.preset.as_deref().map(TrainConfig::preset).transpose()?;
        let base = preset.clone().unwrap_or_else(|| default_config(&self.texts));
        let fresh = self.settings.on_top_of(base);
        fresh.validate()?;
        let mut corpus = self.texts.read()?;
        if !self.resume {
            // Before the folder is touched. A run that goes on has sizes of its own.
            Memory::of(&fresh, &corpus, corpus.vocabulary().len()).require(&fresh)?;
        }

        let Opened { mut folder, checkpoint, warnings } = RunFolder::open(&self.run, mode)?;
        folder.keep = self.keep_checkpoints;
        for warning in &warnings {
            note(&format!("karenina: {warning}"));
        }
        let trainer = match checkpoint {
            None => Trainer::new(&corpus, fresh, threads)?,
            Some(checkpoint) => {
                let path = folder.newest().expect("it was loaded from a file").1;
                let checkpoint = match checkpoint.is_of_no_text() {
                    true => self.begin(checkpoint, path, preset, &mut corpus)?,
                    false => self.go_on(checkpoint, path, preset, &corpus)?,
                };
                Memory::of(&checkpoint.config, &corpus, checkpoint.vocabulary.len())
                    .require(&checkpoint.config)?;
                note(&format!("going on from {} at step {}", path.display(), checkpoint.step));
                Trainer::from_checkpoint(checkpoint, &corpus, threads)?
            }
        };
        self.introduce(&corpus, &trainer, threads);
        let screen = Screen::new(trainer.step(), trainer.last_step(), trainer.config().epochs);
        // From now on there is something to save, at step 0 already.
        let signals = Signals::register(screen.announcer(STOPPING));
        let mut run = Run::new(trainer, folder)?;
        run.on_nan = self.on_nan.0;
        run.on_save_error = self.on_save_error;
        self.train(run, screen, &signals)
    }

    /// The start of a run with an imported model: only its network and its characters are given.
    fn begin(
        &self,
        model: Checkpoint,
        path: &Path,
        preset: Option<TrainConfig>,
        corpus: &mut Corpus,
    ) -> Result<Checkpoint> {
        let mismatch = |reason| Error::Mismatch { path: path.to_path_buf(), reason };
        let asked = self.settings.asked(preset.as_ref());
        asked.compare_network(&model.config).map_err(mismatch)?;
        let vocabulary = Vocabulary::from_sorted(model.vocabulary.clone())?;
        if let Some(c) = corpus.first_unknown(&vocabulary) {
            return Err(mismatch(format!(
                "it does not know the character {c:?} of {}; name a text of its {} characters",
                self.texts.name(),
                model.vocabulary.len()
            )));
        }
        let config = self.settings.on_top_of(preset.unwrap_or(model.config));
        let config = TrainConfig { groups: 0, ..config }; // another batch, other groups
        config.validate()?;
        *corpus = take(corpus).in_terms_of(&vocabulary)?; // in place, for nobody shares it yet
        let start = Checkpoint::without_history(config, model.vocabulary, model.parameters);
        Ok(Checkpoint { text_sha256: corpus.sha256(), ..start })
    }

    /// The run's checkpoint with the settings that may change.
    fn go_on(
        &self,
        mut checkpoint: Checkpoint,
        path: &Path,
        preset: Option<TrainConfig>,
        corpus: &Corpus,
    ) -> Result<Checkpoint> {
        let mismatch = |reason| Error::Mismatch { path: path.to_path_buf(), reason };
        if checkpoint.text_sha256 != corpus.sha256() {
            return Err(mismatch(format!(
                "it was trained on another text than {}; name that text, or another folder \
                 with --run",
                self.texts.name()
            )));
        }
        let asked = self.settings.asked(preset.as_ref());
        asked.compare(&checkpoint.config).map_err(mismatch)?;
        checkpoint.config = self.settings.on_top_of(checkpoint.config);
        checkpoint.config.validate()?;
        checkpoint.adam.config = checkpoint.config.adam;
        Ok(checkpoint)
    }

    /// Says what will be done.
    fn introduce(&self, corpus: &Corpus, trainer: &Trainer, threads: usize) {
        let (config, sizes) = (trainer.config(), trainer.sizes());
        note(&format!(
            "{}: {} characters, {} distinct\n{} LSTM {} of {}, {} parameters; {} batches of {} x {} \
             characters an epoch, {} {}",
            self.texts.name(),
            corpus.len(),
            sizes.vocabulary,
            sizes.layers,
            if sizes.layers == 1 { "layer" } else { "layers" },
            sizes.hidden,
            sizes.parameters(),
            trainer.batches_per_epoch(),
            config.batch,
            config.unroll,
            threads,
            if threads == 1 { "thread" } else { "threads" },
        ));
    }

    /// The loop: shows what the run reports, and stops it when a signal came.
    fn train(&self, mut run: Run, mut screen: Screen, signals: &Signals) -> Result<ExitCode> {
        while let Some(event) = run.next() {
            match event? {
                RunEvent::Step(report) => screen.step(&report),
                RunEvent::Saved(path) => self.show_saved(&run, &screen, &path),
                RunEvent::Skipped(error) => screen.line(&format!("left out: {error}")),
                RunEvent::Warning(warning) => screen.line(&format!("karenina: {warning}")),
            }
            if let Some(signal) = signals.received() {
                let path = run.stop()?;
                screen.finish();
                note(&format!(
                    "stopped; {} is saved. To go on: {}",
                    path.display(),
                    command(resuming(env::args_os().skip(1)))
                ));
                return Ok(ExitCode::from(128 + signal as u8));
            }
        }
        screen.finish();
        self.conclude(&run, &screen)
    }

    /// A line about the new checkpoint, and what the network writes now.
    fn show_saved(&self, run: &Run, screen: &Screen, path: &Path) {
        let trainer = run.trainer();
        let validation = trainer.history().last().and_then(|row| row.validation);
        let validation = validation.map_or(String::new(), |nats| {
            let bits = nats / std::f64::consts::LN_2;
            format!(", validation {nats:.4} (perplexity {:.3}, {bits:.4} bits)", nats.exp())
        });
        let (step, loss) = (trainer.step(), screen.mean_loss());
        screen.line(&format!("step {step}: loss {loss:.4}{validation}; saved {}", path.display()));
        if !self.no_samples && step < trainer.last_step() {
            let (parameters, vocabulary) = (trainer.parameters(), trainer.vocabulary());
            let text = short_sample(parameters, vocabulary, SHORT_SAMPLE, step);
            screen.line(&format!("\n{}\n", text.trim()));
        }
    }

    /// The end of a finished run: where it lies, how to use it, and what it writes.
    fn conclude(&self, run: &Run, screen: &Screen) -> Result<ExitCode> {
        let trainer = run.trainer();
        let newest = run.folder().newest().map(|(_, path)| path.to_path_buf());
        let file = newest.unwrap_or_else(|| self.run.clone());
        if trainer.history().is_empty() || screen.is_empty() {
            note(&format!("nothing to do: {} ({})", limit(trainer), file.display()));
        } else {
            note(&format!("finished at a loss of {:.4}. It writes:\n", screen.mean_loss()));
        }
        let (parameters, vocabulary) = (trainer.parameters(), trainer.vocabulary());
        let text = short_sample(parameters, vocabulary, LAST_SAMPLE, trainer.step());
        let mut out = io::stdout().lock();
        writeln!(out, "{}", text.trim()).and_then(|()| out.flush()).map_err(output_error)?;
        let words: [&OsStr; 3] = ["sample".as_ref(), "--run".as_ref(), &path_word(&file)];
        note(&format!("\nmore of it: {}", command(words)));
        Ok(ExitCode::SUCCESS)
    }
}

/// What has ended the run, and how it would go on.
fn limit(trainer: &Trainer) -> String {
    let (config, step) = (trainer.config(), trainer.step());
    let all = config.epochs.saturating_mul(trainer.batches_per_epoch() as u64);
    match config.steps {
        Some(steps) if steps < all => format!(
            "step {step} is reached, and the run was to stop at step {steps}; --resume goes on with \
             a larger --steps, or --steps all for all {all} steps"
        ),
        _ => format!(
            "step {step} is reached, the end of epoch {}; --resume goes on with a larger --epochs",
            config.epochs
        ),
    }
}
