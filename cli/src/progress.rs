//! What training shows on standard error: a bar on a terminal, plain lines elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use karenina::train::StepReport;

/// Steps over which the shown loss is averaged.
const WINDOW: usize = 20;
/// Time between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The screen of a training run.
pub struct Screen {
    /// The bar, if standard error is a terminal.
    bar: Option<ProgressBar>,
    recent: VecDeque<f64>,
    last_step: u64,
    epochs: u64,
    started: Instant,
    first_step: u64,
    last_line: Option<Instant>,
}

impl Screen {
    /// A screen for the steps `first`+1 to `last` of `epochs` epochs.
    pub fn new(first: u64, last: u64, epochs: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(last).with_position(first);
            let template = "{msg}\n{bar:40} step {pos}/{len}, {eta} left";
            bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
            bar
        });
        Self {
            bar,
            recent: VecDeque::with_capacity(WINDOW),
            last_step: last,
            epochs,
            started: Instant::now(),
            first_step: first,
            last_line: None,
        }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        self.recent.push_back(report.row.loss);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        let row = &report.row;
        let message = format!(
            "epoch {}/{}  loss {:.4}  norm {:.3}  {:.0} characters/s",
            row.epoch,
            self.epochs,
            self.mean_loss(),
            row.norm,
            report.characters_per_second
        );
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_position(row.step);
        } else if self.is_line_due(row.step) {
            let left = self.time_left(row.step);
            self.line(&format!("step {}/{}  {message}  {left} left", row.step, self.last_step));
        }
    }

    /// The mean loss of the last steps, in nats.
    pub fn mean_loss(&self) -> f64 {
        self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64
    }

    /// Whether no step was shown yet.
    pub fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    /// Prints something that stays above the bar.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| write_line(text)),
            None => write_line(text),
        }
    }

    /// Removes the bar; what was printed stays.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn is_line_due(&mut self, step: u64) -> bool {
        let due = step == self.last_step
            || self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if due {
            self.last_line = Some(Instant::now());
        }
        due
    }

    fn time_left(&self, step: u64) -> HumanDuration {
        let done = (step - self.first_step).max(1) as f64;
        let left = (self.last_step - step) as f64;
        HumanDuration(self.started.elapsed().mul_f64(left / done))
    }
}

/// A line on standard error. If that is closed, training goes on without being watched.
fn write_line(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
