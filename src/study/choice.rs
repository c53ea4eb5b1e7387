//! What a number of minutes can buy for a text: the network, how it is trained, and for how long.
//!
//! A clock is looked at only before the first step, in trials that show how fast the machine is: they decide what
//! network suits the time, and how many steps fit into it. What is chosen is an ordinary
//! configuration: a run with it gives the same bits as one whose user had set it all by hand.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::model::Sizes;
use crate::optim::adam::AdamConfig;
use crate::optim::schedule::Schedule;
use crate::study::plan::{CALIBRATION, GUESS, calibrate, peak_gflops};
use crate::study::trace::significant;
use crate::text::batches::Validation;
use crate::text::corpus::Corpus;
use crate::train::memory::Memory;
use crate::train::{TrainConfig, Workers};

/// Numbers of cells that are considered, smallest first.
const HIDDEN: [usize; 14] = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024];
/// Characters that a network should read for each of its weights before a larger one is worth its time.
const READ_PER_WEIGHT: f64 = 2.5;
/// Weights for each character of the text beyond which a network mostly learns it by heart.
const WEIGHTS_PER_CHARACTER: f64 = 8.0;
/// Passes through a text after which another one does more harm than good.
const PASSES: f64 = 12.0;
/// Validations in a run, each with a checkpoint.
const VALIDATIONS: u64 = 12;
/// The part of the text that is held back, at most.
const HELD_BACK: f64 = 0.05;
/// The part of the time that validation may take.
const VALIDATION_TIME: f64 = 0.05;
/// A step without its backward pass takes this part of it.
const FORWARD: f64 = 1.0 / 3.0;

/// A configuration, and why it is that one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Choice {
    /// What to train with.
    pub config: TrainConfig,
    /// Why, in a sentence or two for people.
    pub reason: String,
}

impl Choice {
    /// What to do with `corpus` in `minutes` with these workers. `on_top` sets what the user has asked for; if
    /// that includes where the run ends, no clock is looked at.
    ///
    /// # Errors
    /// [`Error::Setting`] unless the minutes are a number above 0, and for what `on_top` sets out of range;
    /// [`Error::TextTooShort`]; [`Error::NoMemory`].
    pub fn new(
        corpus: &Corpus,
        minutes: f64,
        workers: impl Into<Workers>,
        on_top: impl Fn(TrainConfig) -> TrainConfig,
    ) -> Result<Self> {
        if !(minutes.is_finite() && minutes > 0.0) {
            return Err(Error::setting("minutes", minutes, "a number above 0"));
        }
        let (start, seconds) = (Instant::now(), 60.0 * minutes);
        let workers = workers.into();
        let text = Text { characters: corpus.len(), vocabulary: corpus.vocabulary().len() };
        let suited_to = |flop| {
            let config = on_top(text.table(flop));
            config.validate()?;
            Memory::of(&config, corpus, text.vocabulary, &workers.ranks)?.require(&config)?;
            Ok(config)
        };
        let mut config = suited_to(seconds * GUESS * 1e9 * peak_gflops(&workers))?;
        let mut affordable = None;
        if config.steps.is_none() && config.epochs == UNDECIDED {
            let trial = Duration::from_secs_f64(CALIBRATION.as_secs_f64().min(seconds / 20.0));
            let measure = |config: &TrainConfig| {
                let sizes = config.sizes(text.vocabulary);
                let (step, _) = calibrate(corpus, config, sizes, &workers, trial)?;
                Ok::<_, Error>((step, sizes.flop(config.batch * config.unroll) / step))
            };
            // The first network was chosen by a guess. What it really computes in a second may suit another.
            let (mut step, speed) = measure(&config)?;
            let better = suited_to(seconds * speed)?;
            if better != config {
                step = measure(&better)?.0;
                config = better;
            }
            affordable = Some((seconds - start.elapsed().as_secs_f64()) / step); // the trials took some
        }
        let batches = config.batches(corpus.ids().clone())?;
        let epoch = batches.len() as u64;
        let steps = match affordable {
            Some(affordable) => {
                let validation = VALIDATIONS as f64 * batches.validation_len() as f64 * FORWARD;
                let steps = (affordable - validation).max(1.0) as u64;
                steps.min((PASSES * epoch as f64) as u64)
            }
            None => config.last_step(epoch),
        };
        let config = on_top(ending(config, steps, steps.div_ceil(epoch)));
        config.validate()?;
        let could = affordable.map_or(0.0, |affordable| affordable / epoch as f64);
        let mut reason = text.reason(&config, minutes, steps, epoch);
        if could > 1.1 * PASSES {
            reason += &format!("; to read so short a text more than {PASSES} times would not help");
        }
        Ok(Self { config, reason })
    }
}

/// The passes of a run whose end nobody has decided yet.
const UNDECIDED: u64 = u64::MAX;

/// `config` with an end after `steps` in pass number `epochs`, to which learning rate and saves keep.
fn ending(config: TrainConfig, steps: u64, epochs: u64) -> TrainConfig {
    let schedule = Schedule::new(steps / 50, Some((steps * 3 / 5, steps)));
    let save_every = steps.div_ceil(VALIDATIONS);
    TrainConfig { steps: Some(steps), epochs, schedule, save_every, ..config }
}

/// What matters of a text.
#[derive(Clone, Copy, Debug)]
struct Text {
    characters: usize,
    vocabulary: usize,
}

impl Text {
    /// The configuration for so many operations; where it ends is open.
    fn table(self, flop: f64) -> TrainConfig {
        let length = self.characters as f64;
        let per_character = |hidden| self.sizes(hidden).flop(1);
        let is_worth = |&hidden: &usize| {
            let weights = per_character(hidden) / 6.0;
            flop / per_character(hidden) >= READ_PER_WEIGHT * weights
                && weights <= WEIGHTS_PER_CHARACTER * length
        };
        let hidden = HIDDEN.into_iter().rev().find(is_worth).unwrap_or(HIDDEN[0]);
        let read = (flop / per_character(hidden)).min(PASSES * length);
        let (batch, unroll) = match read {
            ..3e5 => (8, 32),
            ..3e6 => (16, 32),
            ..1e7 => (32, 64),
            _ => (64, 64),
        };
        let keep = match read / length {
            ..2.0 => 1.0,
            ..4.0 => 0.9,
            ..7.0 => 0.8,
            ..10.0 => 0.7,
            _ => 0.6,
        };
        let weight_decay = if read / length < 2.0 { 0.0 } else { 0.1 };
        let learning_rate = (2.0 / hidden as f64).min(16e-3);
        let batches = read / (batch * unroll) as f64;
        let seldom = batches * VALIDATION_TIME / (VALIDATIONS as f64 * FORWARD);
        let tail = (HELD_BACK * length / (batch * unroll) as f64).min(seldom).max(1.0);
        TrainConfig {
            hidden,
            cell_norm: true,
            input_sd: Some(1.0),
            batch,
            unroll,
            epochs: UNDECIDED,
            steps: None,
            adam: AdamConfig { learning_rate, weight_decay, ..AdamConfig::default() },
            keep,
            validation: Validation::Batches(tail as usize),
            ..TrainConfig::article()
        }
    }

    fn sizes(self, hidden: usize) -> Sizes {
        Sizes::new(self.vocabulary, hidden, 2)
    }

    /// What `config` does with this text in so many minutes.
    fn reason(self, config: &TrainConfig, minutes: f64, steps: u64, epoch: u64) -> String {
        let passes = steps as f64 / epoch as f64;
        let weights = self.sizes(config.hidden).parameters();
        format!(
            "{} {} characters: {} layers of {} {}cells ({weights} weights) read the text {passes:.1} times in {steps} \
             steps of {} x {}; {}; dropout keeps {}",
            for_minutes(minutes),
            self.characters,
            config.layers,
            config.hidden,
            if config.cell_norm { "normalised " } else { "" },
            config.batch,
            config.unroll,
            rate(config),
            config.keep,
        )
    }
}

/// How a reason begins: `for 20 minutes and`.
pub fn for_minutes(minutes: f64) -> String {
    format!("for {minutes} {} and", if minutes == 1.0 { "minute" } else { "minutes" })
}

/// What the learning rate does.
fn rate(config: &TrainConfig) -> String {
    let height: f64 = significant(config.adam.learning_rate, 3).parse().expect("it was a number");
    let rises = if config.schedule.warm_up > 0 { "rises to" } else { "starts at" };
    let then = match config.schedule.descent {
        None => "stays there".into(),
        Some((_, end)) if config.steps == Some(end) => "falls to 0 at the last step".into(),
        Some((_, end)) => format!("falls to 0 at step {end}"),
    };
    format!("the learning rate {rises} {height} and {then}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operations of a minute on two slow cores.
    const MINUTE: f64 = 5e12;

    fn table(characters: usize, minutes: f64) -> TrainConfig {
        let config = Text { characters, vocabulary: 100 }.table(minutes * MINUTE);
        config.validate().unwrap();
        config
    }

    #[test]
    fn more_time_and_more_text_buy_a_larger_network() {
        let hidden = |characters, minutes| table(characters, minutes).hidden;
        for characters in [20_000, 200_000, 2_000_000, 1_000_000_000] {
            let sizes = [0.1, 1.0, 10.0, 100.0, 1_000.0].map(|minutes| hidden(characters, minutes));
            assert!(sizes.is_sorted(), "{characters} characters: {sizes:?}");
        }
        let sizes = [20_000, 200_000, 2_000_000].map(|characters| hidden(characters, 60.0));
        assert!(sizes.is_sorted() && sizes[0] < sizes[2], "{sizes:?}");
        assert_eq!(hidden(1_000_000_000, 1e9), 1024, "as large as there is");
    }

    #[test]
    fn a_text_that_is_read_often_is_learned_with_dropout() {
        assert_eq!(table(1_000_000_000, 10.0).keep, 1.0);
        assert!(table(100_000, 60.0).keep < 0.7);
    }

    #[test]
    fn what_is_held_back_leaves_a_text_to_learn_and_time_to_learn_it() {
        for characters in [10_000, 20_000, 200_000, 2_000_000, 1_000_000_000] {
            for minutes in [0.1, 1.0, 20.0, 600.0] {
                let config = table(characters, minutes);
                let Validation::Batches(tail) = config.validation else { panic!("{config:?}") };
                let batch = config.batch * config.unroll;
                assert!(tail >= 1 && tail * batch <= characters / 10, "{characters}: {config:?}");
                let read = minutes * MINUTE / Sizes::new(100, config.hidden, 2).flop(1);
                let validated = VALIDATIONS as f64 * (tail * batch) as f64 * FORWARD;
                assert!(
                    validated <= read.max(batch as f64) * 0.2 + batch as f64 * 4.0,
                    "{characters}, {minutes}"
                );
            }
        }
    }

    #[test]
    fn the_rate_ends_its_descent_at_the_last_step() {
        for steps in [1, 2, 49, 1_000] {
            let config = ending(TrainConfig::article(), steps, 1);
            config.validate().unwrap();
            assert_eq!(config.steps, Some(steps));
            assert_eq!(config.schedule.descent.unwrap().1, steps);
        }
    }
}
