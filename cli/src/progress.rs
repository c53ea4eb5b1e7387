//! The screen of a training run: a bar on a terminal, plain lines elsewhere, JSON for programs, or nothing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use karenina::error::{Error, Result};
use karenina::train::{LogRow, StepReport, TrainConfig};
use serde::Serialize;

use super::output::{OutputArgs, count, note, print_json_line};

/// Steps over which the shown loss is averaged.
const WINDOW: usize = 20;
/// Time between plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What a program is told of a run, one JSON object a line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<'a> {
    Start {
        run: String,
        text: String,
        characters: usize,
        vocabulary: usize,
        parameters: usize,
        batches_per_epoch: usize,
        step: u64,
        last_step: u64,
        threads: usize,
        ranks: usize,
        choice: Option<&'a str>,
        validation: Option<f64>,
        config: &'a TrainConfig,
    },
    Step {
        #[serde(flatten)]
        row: &'a LogRow,
        characters_per_second: f64,
    },
    Lab {
        address: &'a str,
    },
    Saved {
        step: u64,
        file: String,
    },
    Sample {
        step: u64,
        text: &'a str,
    },
    End {
        step: u64,
        reason: &'static str,
        file: String,
    },
}

/// The address of a run's lab, or why there is none.
pub type LabNews = std::result::Result<String, String>;

/// How a run is shown.
#[derive(Clone)]
enum Display {
    Bar(ProgressBar),
    /// With the time of the last line about a step.
    Lines(Option<Instant>),
    Json,
    Nothing,
}

impl Display {
    /// A line for people, if they are watching: it stays above the bar.
    fn line(&self, text: &str) {
        if let Self::Bar(_) | Self::Lines(_) = self {
            self.warn(text);
        }
    }

    /// A line on standard error in any case.
    fn warn(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| note(text)),
            _ => note(text),
        }
    }
}

/// The screen of a training run.
pub struct Screen {
    display: Display,
    recent: VecDeque<f64>,
    last_step: u64,
    epochs: u64,
    pace: Pace,
    /// Steps made before it was there.
    pub first_step: u64,
    /// Why nobody reads the JSON any more. The run itself goes on.
    failure: Option<Error>,
}

impl Screen {
    /// A screen for the steps `first`+1 to `last` of `epochs` epochs.
    pub fn new(output: OutputArgs, first: u64, last: u64, epochs: u64) -> Self {
        let display = match output {
            OutputArgs { json: true, .. } => Display::Json,
            OutputArgs { quiet: true, .. } => Display::Nothing,
            _ => match bar(first, last) {
                bar if bar.is_hidden() => Display::Lines(None), // no terminal, or one that is dumb
                bar => Display::Bar(bar),
            },
        };
        Self {
            display,
            recent: VecDeque::with_capacity(WINDOW),
            last_step: last,
            epochs,
            pace: Pace::default(),
            first_step: first,
            failure: None,
        }
    }

    /// Shows a step.
    pub fn step(&mut self, report: &StepReport) {
        let &StepReport { ref row, characters_per_second, .. } = report;
        self.recent.push_back(row.loss);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        self.event(&Event::Step { row, characters_per_second });
        let message = format!(
            "epoch {}/{}  loss {:.4}  norm {:.3}  {characters_per_second:.0} characters/s",
            row.epoch,
            self.epochs,
            self.mean(),
            row.norm,
        );
        let done = row.step.saturating_sub(self.first_step);
        self.pace
            .step(Instant::now(), Duration::try_from_secs_f64(row.seconds).unwrap_or_default());
        let left = time_left(self.pace.spent, done, self.last_step - row.step);
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_message(message);
                bar.set_prefix(left.to_string());
                bar.set_position(row.step);
            }
            Display::Lines(last) => {
                let is_due = last.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
                if is_due || row.step == self.last_step {
                    *last = Some(Instant::now());
                    note(&format!("step {}/{}  {message}  {left} left", row.step, self.last_step));
                }
            }
            Display::Json | Display::Nothing => {}
        }
    }

    /// Tells a program, if one is listening.
    pub fn event(&mut self, event: &Event) {
        if matches!(self.display, Display::Json) && self.failure.is_none() {
            self.failure = print_json_line(event).err();
        }
    }

    /// Tells people, if they are watching: a line that stays above the bar.
    pub fn line(&self, text: &str) {
        self.display.line(text);
    }

    /// A line on standard error in any case.
    pub fn warn(&self, text: &str) {
        self.display.warn(text);
    }

    /// Tells where the lab is that the user asked for, or why there is none.
    pub fn lab(&mut self, news: LabNews) {
        match (news, &self.display) {
            (Ok(address), Display::Json) => self.event(&Event::Lab { address: &address }),
            (Ok(address), _) => self.warn(&format!("the lab of this run: {address}")),
            (Err(why), _) => self.warn(&format!(
                "karenina: the lab did not start ({why}); training goes on without it"
            )),
        }
    }

    /// As [`Screen::line`], for another thread.
    pub fn announcer(&self, text: &'static str) -> impl FnOnce(usize) + Send + use<> {
        let display = self.display.clone();
        move |_| display.line(text)
    }

    /// The mean loss of the last steps in nats, in words; nothing before there was one.
    pub fn mean_loss(&self) -> Option<String> {
        let count = count(self.recent.len(), "step");
        (!self.recent.is_empty()).then(|| format!("loss {:.4} (mean of {count})", self.mean()))
    }

    fn mean(&self) -> f64 {
        self.recent.iter().sum::<f64>() / self.recent.len() as f64
    }

    /// Removes the bar; what was printed stays.
    ///
    /// # Errors
    /// If not all JSON could be written.
    pub fn finish(&mut self) -> Result<()> {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl Drop for Screen {
    /// What is said after a failure must not be cleared with the bar.
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// The time that steps have taken, with the validations and saves between them.
#[derive(Default)]
struct Pace {
    spent: Duration,
    steps: u32,
    last: Option<Instant>,
}

impl Pace {
    /// A step has ended `now`, which took so `long`. Before the first one, other things have taken time; and a process
    /// that was stopped for hours has not trained for hours.
    fn step(&mut self, now: Instant, long: Duration) {
        let gap = self.last.map_or(long, |last| now.saturating_duration_since(last));
        let usual = self.spent / self.steps.max(1);
        let is_pause = self.steps > 0 && gap > 100 * usual + Duration::from_secs(60);
        self.spent += if is_pause { usual } else { gap };
        (self.steps, self.last) = (self.steps.saturating_add(1), Some(now));
    }
}

/// A bar at step `first` of `last`.
fn bar(first: u64, last: u64) -> ProgressBar {
    let bar = ProgressBar::new(last).with_position(first);
    let template = "{wide_msg}\n{bar:24} step {pos}/{len}, {prefix} left";
    bar.set_style(ProgressStyle::with_template(template).expect("a valid template"));
    bar
}

/// What `left` steps will take if they take as long as the `done` ones of this process, whose time
/// includes saving and validation.
fn time_left(elapsed: Duration, done: u64, left: u64) -> HumanDuration {
    let seconds = elapsed.as_secs_f64() * left as f64 / done.max(1) as f64;
    HumanDuration(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_no_step() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut pace = Pace::default();
        for n in 1..=10 {
            pace.step(start + n * second, second);
        }
        pace.step(start + 60 * second, second); // a validation
        assert_eq!(pace.spent, 60 * second);
        pace.step(start + 30_000 * second, second); // a night
        assert!(pace.spent < 70 * second, "{:?}", pace.spent);
    }

    #[test]
    fn time_left_counts_the_steps_of_this_process_alone() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(minute, 10, 100).to_string(), "10 minutes");
        assert_eq!(time_left(minute, 0, 10).to_string(), "10 minutes");
        assert!(!time_left(minute, 1, u64::MAX).to_string().is_empty(), "longer than any duration");
        assert_eq!(time_left(minute, 10, 0).to_string(), "0 seconds");
    }
}
