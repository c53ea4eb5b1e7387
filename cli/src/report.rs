//! `karenina report`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::memory;
use karenina::study::report::{Reading, report};
use karenina::train::LogRow;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::RunFolder;
use karenina::train::thread_pool;

use super::input::{ModelArg, TextArgs, is_log_of, of_network};
use super::job::ThreadsArg;
use super::output::{Kind, note, warn};
use super::pages;

/// Arguments of `karenina report`.
#[derive(Args)]
#[command(mut_arg("texts", of_network))]
pub struct Report {
    #[command(flatten)]
    texts: TextArgs,
    #[command(flatten)]
    model: ModelArg,
    /// How many characters of the text to show, counted from its end
    #[arg(long, value_name = "N", default_value_t = 3000)]
    length: usize,
    /// Skip characters that the network does not know
    #[arg(long)]
    skip_unknown: bool,
    /// The page to write, which replaces an older page; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    out: PathBuf,
    #[command(flatten)]
    threads: ThreadsArg,
}

impl Report {
    /// Writes the page and says where it is.
    pub fn run(self) -> Result<ExitCode> {
        let threads = self.threads.count()?;
        let expected = "at least 2: one character to read and one to predict";
        Error::require(self.length >= 2, "--length", self.length, expected)?;
        Kind::Page.require_at(&self.out)?; // before the work
        let checkpoint = self.model.load()?;
        let history = self.history(&checkpoint)?;
        let text = self.excerpt(&checkpoint)?;
        let folder = self.model.run.is_dir().then_some(self.model.run.as_path());
        let pool = thread_pool(threads)?;
        let report = pool.install(|| report(checkpoint, folder, &history, &text))?;
        self.model.require_finite("the loss", report.reading.mean_surprise())?;
        let page = pages::report(&report, &name(&self.model.run), &self.texts.name());
        let found = format!(
            "{:.3} bits per character over {} characters",
            report.reading.mean_surprise(),
            report.reading.steps(),
        );
        pages::write(&self.out, &page, &found, false)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The folder's log, which may be ahead of its newest checkpoint; without one, or with another run's, what the
    /// checkpoint remembers.
    fn history(&self, checkpoint: &Checkpoint) -> Result<Vec<LogRow>> {
        let log = self.model.run.join(RunFolder::LOG);
        if log.exists() && is_log_of(&log, checkpoint) {
            match LogRow::read_table(&log) {
                Err(error @ Error::RunFolder { .. }) => {
                    warn(&format!("{error}; the checkpoint's own history is used"));
                }
                rows => return rows,
            }
        }
        Ok(checkpoint.history.clone())
    }

    /// The end of the text: there lies what a run holds back for validation. Asks for the memory of all
    /// that is made of it.
    fn excerpt(&self, checkpoint: &Checkpoint) -> Result<String> {
        let corpus = self.texts.read_for(checkpoint)?;
        let known = |c: &char| !self.skip_unknown || checkpoint.vocabulary.id(*c).is_some();
        let most = self.length.min(corpus.len());
        let page = pages::BYTES_PER_CHARACTER.saturating_mul(most as u64);
        let reading = Reading::bytes(checkpoint.sizes(), most);
        memory::require(reading.saturating_add(page), format!("--length {}", self.length))?;
        let mut end = Vec::with_capacity(most);
        let mut read = 0;
        let characters = corpus.characters().rev().inspect(|_| read += 1);
        end.extend(characters.filter(known).take(most));
        if read > end.len() {
            let left_out = read - end.len();
            note(&format!(
                "{left_out} of the last {read} characters are unknown, and are left out"
            ));
        }
        self.texts.require_two(end.len())?;
        Ok(end.into_iter().rev().collect())
    }
}

/// The name of the run: that of its folder or file, without the way there.
fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    whole.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
