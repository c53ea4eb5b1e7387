//! What training shows on standard error: a bar on a terminal, plain lines elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use karenina::train::StepReport;

use super::note;

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
            let template = "{msg}\n{bar:40} step {pos}/{len}, {prefix} left";
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
        let done = row.step.saturating_sub(self.first_step);
        let left = time_left(self.started.elapsed(), done, self.last_step - row.step);
        if let Some(bar) = &self.bar {
            bar.set_message(message);
            bar.set_prefix(left.to_string());
            bar.set_position(row.step);
        } else if self.is_line_due(row.step) {
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
        write_above(self.bar.as_ref(), text);
    }

    /// As [`Screen::line`], for another thread.
    pub fn announcer(&self, text: &'static str) -> impl FnOnce() + Send + use<> {
        let bar = self.bar.clone();
        move || write_above(bar.as_ref(), text)
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
}

/// What `left` steps will take if they take as long as the `done` ones of this process, whose time
/// includes saving and validation.
fn time_left(elapsed: Duration, done: u64, left: u64) -> HumanDuration {
    HumanDuration(elapsed.mul_f64(left as f64 / done.max(1) as f64))
}

fn write_above(bar: Option<&ProgressBar>, text: &str) {
    match bar {
        Some(bar) => bar.suspend(|| note(text)),
        None => note(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_counts_the_steps_of_this_process_alone() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 10, 100).to_string(), "10 minutes");
        assert_eq!(time_left(minute, 0, 10).to_string(), "10 minutes");
        assert_eq!(time_left(minute, 10, 0).to_string(), "0 seconds");
    }
}
