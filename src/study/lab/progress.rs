//! How far a run has come, from its log.

use serde::Serialize;

use crate::train::{LogRow, TrainConfig};

/// Steps over which loss and speed are averaged, as on the screen of a training run.
const WINDOW: usize = 20;

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// The step that ends the run; none where that cannot be told yet.
    pub last_step: Option<u64>,
    /// Mean training loss of the last 20 steps, in nats per character.
    pub loss: f64,
    /// The lowest validation loss, and the step where it was measured.
    pub best: Option<(u64, f64)>,
    /// Characters learnt in a second, over the last 20 steps.
    pub characters_per_second: f64,
    /// What the steps that are left take at that speed.
    pub seconds_left: Option<f64>,
}

impl Progress {
    /// Of a run with this `history`; nothing without a step.
    ///
    /// * `last_step`: where it ends, if somebody knows; the steps of a whole pass show it too
    pub fn of(history: &[LogRow], config: &TrainConfig, last_step: Option<u64>) -> Option<Self> {
        let newest = history.last()?;
        let recent = &history[history.len().saturating_sub(WINDOW)..];
        let mean =
            |value: fn(&LogRow) -> f64| recent.iter().map(value).sum::<f64>() / recent.len() as f64;
        let seconds = mean(|row| row.seconds);
        // A run that has been extended says so in its next checkpoint.
        let known = || last_step_of(history, config).filter(|&last| newest.step <= last);
        let last_step = last_step.or_else(known);
        let validated = history.iter().filter_map(|row| Some((row.step, row.validation?)));
        Some(Self {
            step: newest.step,
            last_step,
            loss: mean(|row| row.loss),
            best: validated.min_by(|a, b| a.1.total_cmp(&b.1)),
            characters_per_second: (config.batch * config.unroll) as f64 / seconds,
            seconds_left: last_step.map(|last| last.saturating_sub(newest.step) as f64 * seconds),
        })
    }
}

/// The end of a run that has been seen going from one pass to the next, or that ends after so many steps in any case.
fn last_step_of(history: &[LogRow], config: &TrainConfig) -> Option<u64> {
    // A batch that was skipped has a step but no row, so rows are not counted.
    let is_turn = |rows: &[LogRow]| {
        let [last, first] = [rows[0], rows[1]];
        (1..first.epoch).contains(&last.epoch) && last.step.checked_add(1) == Some(first.step)
    };
    let turn = history.windows(2).find(|rows| is_turn(rows));
    let last = config.last_step(turn.map_or(u64::MAX, |rows| rows[0].step / rows[0].epoch));
    Some(last).filter(|&last| last < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(steps: u64, pass: u64) -> Vec<LogRow> {
        let row = |step: u64| LogRow {
            step,
            epoch: 1 + (step - 1) / pass,
            loss: step as f64,
            validation: step.is_multiple_of(10).then_some(1.0 / step as f64),
            norm: 1.0,
            learning_rate: 1e-3,
            seconds: 0.5,
        };
        (1..=steps).map(row).collect()
    }

    fn config() -> TrainConfig {
        TrainConfig { batch: 4, unroll: 10, epochs: 3, steps: None, ..TrainConfig::article() }
    }

    #[test]
    fn speed_and_time_left_are_those_of_the_last_steps() {
        let progress = Progress::of(&history(40, 30), &config(), None).unwrap();
        assert_eq!(progress.step, 40);
        assert_eq!(progress.last_step, Some(90), "three passes of 30 steps");
        assert_eq!(progress.characters_per_second, 80.0);
        assert_eq!(progress.seconds_left, Some(25.0));
        assert_eq!(progress.loss, 30.5);
        assert_eq!(progress.best, Some((40, 1.0 / 40.0)));
    }

    #[test]
    fn a_batch_that_was_skipped_is_a_step_of_its_pass() {
        for skipped in [1, 3, 30] {
            let mut history = history(70, 30);
            history.remove(skipped - 1);
            let last_step = Progress::of(&history, &config(), None).unwrap().last_step;
            assert_eq!(last_step, Some(90), "step {skipped}");
        }
    }

    #[test]
    fn an_end_that_nobody_knows_yet_is_not_told() {
        assert_eq!(Progress::of(&[], &config(), None), None);
        assert_eq!(Progress::of(&history(20, 30), &config(), None).unwrap().last_step, None);
        assert_eq!(
            Progress::of(&history(20, 30), &config(), Some(90)).unwrap().last_step,
            Some(90)
        );
        let steps = TrainConfig { steps: Some(50), ..config() };
        let extended = Progress::of(&history(70, 30), &steps, None).unwrap();
        assert_eq!(extended.last_step, None, "it is past the end that its checkpoint knows");
        assert_eq!(Progress::of(&history(20, 30), &steps, None).unwrap().last_step, Some(50));
    }
}
