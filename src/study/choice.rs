//! What to train on a text in a given number of minutes: the network, how it is trained, and for how long.
//!
//! The clock is consulted only before the first step, in trials that show how fast the machine is: they decide which
//! of the networks that fit into memory suits the time, and how many steps fit into it. What is chosen is an
//! ordinary configuration: a run with it gives the same bits as one whose user had set it all by hand.

use std::time::{Duration, Instant};

use crate::error::{Error, Result, plural};
use crate::model::Parameters;
use crate::optim::adam::AdamConfig;
use crate::optim::schedule::Schedule;
use crate::study::plan::{CALIBRATION, FORWARD, GUESS, calibrate, peak_gflops};
use crate::study::trace::significant;
use crate::text::batches::{Batches, Validation};
use crate::text::corpus::Corpus;
use crate::train::memory::Memory;
use crate::train::{TrainConfig, Workers};

/// Numbers of cells that are considered, smallest first.
const HIDDEN: [usize; 14] = [64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024];
/// Characters that a network should read for each of its weights before a larger one is worth its time.
const READ_PER_WEIGHT: f64 = 2.5;
/// Weights for each character of the text beyond which a network mostly learns it by heart.
const WEIGHTS_PER_CHARACTER: f64 = 5.0;
/// Passes through a text after which another one does more harm than good to a network with a weight for each character
/// or more. One with fewer learns more slowly, and has as many more passes.
const PASSES: f64 = 12.0;
/// Validations in a run, each with a checkpoint.
const VALIDATIONS: u64 = 12;
/// The part of the time that the validations of a tail take at most which the user has chosen; there are fewer then.
const CHOSEN_VALIDATION_TIME: f64 = 0.2;
/// The part of the text that is held back, at most.
const HELD_BACK: f64 = 0.05;
/// The part of the time that validation may take.
const VALIDATION_TIME: f64 = 0.05;
/// Seconds of a validation that nobody minds, however short the run.
const MOMENT: f64 = 5.0;

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
    /// that includes where the run ends, no step is tried out, and the minutes only decide the size of the network.
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
        let holds = minutes.is_finite() && minutes > 0.0;
        Error::require(holds, "minutes", minutes, "a number above 0")?;
        // What is asked for, in any network; a batch that nobody asked for has a row for each group.
        let any = TrainConfig::article();
        let groups = on_top(any.clone()).groups;
        on_top(TrainConfig { batch: any.batch.max(groups), ..any }).validate()?;
        let (start, seconds) = (Instant::now(), 60.0 * minutes);
        let workers = workers.into();
        let (characters, vocabulary) = (corpus.len(), corpus.vocabulary().len());
        let text = Text { characters, vocabulary, ranks: workers.ranks.count() };
        let require_memory = |config: &TrainConfig| {
            Memory::of(config, corpus, text.vocabulary, &workers)?.require(config)
        };
        let suited_to = |flop| {
            let config = text.table(flop, &on_top, |config| require_memory(config).is_ok());
            config.validate()?;
            require_memory(&config)?;
            config.batches(corpus.ids().clone())?; // trials hold nothing back
            Ok(config)
        };
        let mut config = suited_to(seconds * GUESS * 1e9 * peak_gflops(&workers)?)?;
        let (mut time, mut measured) = (None, String::new());
        if !has_end(&config) {
            let trial = Duration::from_secs_f64(CALIBRATION.as_secs_f64().min(seconds / 20.0));
            let measure = |config: &TrainConfig| {
                let sizes = config.sizes(text.vocabulary);
                let (step, _) = calibrate(corpus, config, sizes, &workers, trial)?;
                Ok::<_, Error>((step, sizes.flop(config.batch * config.unroll) / step))
            };
            let (step, speed);
            (config, step, speed) = tried(config, seconds, suited_to, measure)?;
            let speed = significant(speed / 1e9, 3);
            measured = format!("; in a trial this machine computed {speed} GFLOP/s");
            time = Some(Time::after(start.elapsed(), seconds, step));
        }
        let batches = config.batches(corpus.ids().clone())?;
        let (epoch, most) = (batches.len() as u64, text.most_passes(&config));
        let config = text.ended(config, &batches, time, &on_top)?;
        config.validate()?;
        require_memory(&config)?; // dropout may have come in
        let mut reason = text.reason(&config, minutes, config.last_step(epoch), epoch) + &measured;
        if time.is_some_and(|time| time.steps() > 1.1 * most * epoch as f64) {
            reason += &format!(
                "; reading this text more than {most:.0} times would not help a network of this size"
            );
        }
        Ok(Self { config, reason })
    }
}

/// A network for so many `seconds` that was chosen by a guess, or the one that suits what the first really computed; the
/// seconds of a step and the operations in a second, as `measure` finds them.
fn tried(
    guess: TrainConfig,
    seconds: f64,
    suited_to: impl Fn(f64) -> Result<TrainConfig>,
    measure: impl Fn(&TrainConfig) -> Result<(f64, f64)>,
) -> Result<(TrainConfig, f64, f64)> {
    let (step, speed) = measure(&guess)?;
    let better = suited_to(seconds * speed)?;
    if better == guess {
        return Ok((guess, step, speed));
    }
    let (step, speed) = measure(&better)?;
    Ok((better, step, speed))
}

/// How long a run may take.
#[derive(Clone, Copy, Debug)]
struct Time {
    /// What there is.
    seconds: f64,
    /// What a step takes of it.
    step: f64,
}

impl Time {
    /// What trials have left of so many `seconds`, but at least half: the machine may have stood still meanwhile.
    fn after(trials: Duration, seconds: f64, step: f64) -> Self {
        Self { seconds: (seconds - trials.as_secs_f64()).max(seconds / 2.0), step }
    }

    /// Steps that there is time for.
    fn steps(self) -> f64 {
        self.seconds / self.step
    }
}

/// For how many steps there is `time` beside validations of a `tail` of so many batches, and for how many validations,
/// where their number is open. An error if a single one would take more than half of the time.
fn beside_validation(config: &TrainConfig, tail: usize, time: Time) -> Result<(f64, u64)> {
    let (validation, affordable) = (tail as f64 * FORWARD, time.steps());
    let seconds = validation * time.step;
    if tail > 1 && seconds > MOMENT.max(time.seconds / 2.0) {
        let expected = format!(
            "less: to validate once would take {seconds:.0} seconds, more than half of the time"
        );
        return Err(Error::setting("validation", config.validation, expected));
    }
    Ok(match config.save_every {
        UNDECIDED => {
            let most = CHOSEN_VALIDATION_TIME * affordable / validation.max(f64::MIN_POSITIVE);
            let validations = most.clamp(1.0, VALIDATIONS as f64).floor();
            (affordable - validations * validation, validations as u64)
        }
        // And one after the last step.
        every => ((affordable - validation) / (1.0 + validation / every as f64), VALIDATIONS),
    })
}

/// The passes of a run, and the steps between its saves, that nobody has decided yet.
const UNDECIDED: u64 = u64::MAX;

/// Whether somebody has decided where a run ends.
fn has_end(config: &TrainConfig) -> bool {
    config.steps.is_some() || config.epochs != UNDECIDED || config.schedule.descent.is_some()
}

/// `config` with an end after `steps` in passes of so many batches, to which learning rate and saves keep.
fn ending(config: TrainConfig, steps: u64, epoch: u64, validations: u64) -> TrainConfig {
    let schedule = Schedule::trapezoid(steps);
    let (epochs, save_every) = (steps.div_ceil(epoch), steps.div_ceil(validations));
    TrainConfig { steps: Some(steps), epochs, schedule, save_every, ..config }
}

/// `config` with the dropout and the weight decay that suit a text which is read so many times, by a network with so many
/// weights for each character: what has few of them needs no dropout, however often it reads.
fn suited_to_passes(config: TrainConfig, passes: f64, weights: f64) -> TrainConfig {
    let keep = match (passes, passes * weights) {
        (..4.0, _) | (_, ..16.0) => 1.0,
        (..7.0, _) | (_, ..22.0) => 0.9,
        _ => 0.8,
    };
    let weight_decay = if passes < 2.0 { 0.0 } else { 0.1 };
    TrainConfig { keep, adam: AdamConfig { weight_decay, ..config.adam }, ..config }
}

/// What matters of a text, and how many processes read it.
#[derive(Clone, Copy, Debug)]
struct Text {
    characters: usize,
    vocabulary: usize,
    ranks: usize,
}

impl Text {
    /// The configuration for so many operations; where it ends is open. What `on_top` sets decides with: a network
    /// that is given has the batches, the rate and the dropout that suit it. Of networks the largest is chosen that is
    /// worth its time and for which there is memory: that `fits`.
    fn table(
        self,
        flop: f64,
        on_top: &impl Fn(TrainConfig) -> TrainConfig,
        fits: impl Fn(&TrainConfig) -> bool,
    ) -> TrainConfig {
        let length = self.characters as f64;
        let per_character = |config: &TrainConfig| config.sizes(self.vocabulary).flop(1);
        let is_worth = |config: &TrainConfig| {
            let weights = per_character(config) / 6.0;
            flop / per_character(config) >= READ_PER_WEIGHT * weights
                && weights <= WEIGHTS_PER_CHARACTER * length
        };
        let network = |hidden| on_top(TrainConfig { hidden, ..undecided() });
        let trained = |network| self.trained(network, flop, on_top);
        let worth = HIDDEN.into_iter().rev().map(network).filter(is_worth).map(trained).find(fits);
        worth.unwrap_or_else(|| trained(network(HIDDEN[0])))
    }

    /// `network` with what suits it in so many operations.
    fn trained(
        self,
        network: TrainConfig,
        flop: f64,
        on_top: &impl Fn(TrainConfig) -> TrainConfig,
    ) -> TrainConfig {
        let length = self.characters as f64;
        let per_character = network.sizes(self.vocabulary).flop(1);
        let read = (flop / per_character).min(self.most_passes(&network) * length);
        let read = read.min(network.epochs as f64 * length);
        let passes = read / length;
        let (batch, unroll) = match read {
            ..3e5 => (8, 32),
            ..1e6 if passes >= 4.0 => (8, 32),
            ..4e6 => (16, 32),
            ..15e6 => (16, 64),
            _ => (32, 64),
        };
        // Each group has a row, and each rank a group.
        let batch = batch.max(self.ranks).max(network.groups);
        let learning_rate = (2.0 / network.hidden as f64).min(16e-3);
        let adam = AdamConfig { learning_rate, ..AdamConfig::default() };
        let config = on_top(TrainConfig { batch, unroll, adam, ..network });
        // Where the run ends may be given in steps.
        let end = config.last_step(u64::MAX) as f64 * (config.batch * config.unroll) as f64;
        let read = read.min(end);
        let config = suited_to_passes(config, read / length, self.weights(&network));
        let groups = match config.groups {
            0 if (config.groups_in_use()..=config.batch).contains(&self.ranks) => self.ranks,
            groups => groups,
        };
        let config = TrainConfig { groups, ..config };
        let validation = Validation::Batches(tail(&config, length, read));
        on_top(TrainConfig { validation, ..config })
    }

    /// `config` with the end that it has or, where there is a `time`, with one that leaves some of it for validation; and
    /// with what suits a run of that length.
    fn ended(
        self,
        config: TrainConfig,
        batches: &Batches,
        time: Option<Time>,
        on_top: &impl Fn(TrainConfig) -> TrainConfig,
    ) -> Result<TrainConfig> {
        let (epoch, tail) = (batches.len() as u64, batches.validation_len());
        let (steps, validations) = match time {
            Some(time) => {
                let (steps, validations) = beside_validation(&config, tail, time)?;
                let most = self.most_passes(&config) * epoch as f64;
                (steps.max(1.0).min(most) as u64, validations)
            }
            None => (config.last_step(epoch), VALIDATIONS),
        };
        let (passes, weights) = (steps as f64 / epoch as f64, self.weights(&config));
        let config = suited_to_passes(config, passes, weights);
        let mut config = on_top(ending(config, steps, epoch, validations));
        if time.is_some() && config.last_step(epoch) > steps {
            config.steps = Some(steps); // without a descent, and all steps asked for: the time still counts
        }
        Ok(config)
    }

    /// How often a network of this size should read the text.
    fn most_passes(self, config: &TrainConfig) -> f64 {
        PASSES / self.weights(config).min(1.0)
    }

    /// Weights of a network of this size for each character of the text.
    fn weights(self, config: &TrainConfig) -> f64 {
        let bytes = Parameters::<f32>::bytes(config.sizes(self.vocabulary)) as f64;
        bytes / size_of::<f32>() as f64 / self.characters as f64
    }

    /// What `config` does with this text in so many minutes.
    fn reason(self, config: &TrainConfig, minutes: f64, steps: u64, epoch: u64) -> String {
        let passes = steps as f64 / epoch as f64;
        let parameters = config.sizes(self.vocabulary).parameters();
        format!(
            "{} {} characters: {} layer{} of {} {}cells ({parameters} parameters) read {} in {steps} step{} of {} x {}; {}; \
             {}, {}",
            for_minutes(minutes),
            self.characters,
            config.layers,
            plural(config.layers as u64),
            config.hidden,
            if config.cell_norm { "normalised " } else { "" },
            match 100.0 * passes {
                percent @ ..1.0 => format!("{} % of the text", significant(percent, 1)),
                percent @ ..100.0 => format!("{percent:.0} % of the text"),
                _ => format!("the text {passes:.1} times"),
            },
            plural(steps),
            config.batch,
            config.unroll,
            rate(config),
            match config.keep {
                1.0 => "no dropout".into(),
                keep => format!("dropout keeps {keep}"),
            },
            match config.adam.weight_decay {
                0.0 => "no weight decay".into(),
                decay => format!("weight decay {decay}"),
            },
        )
    }
}

/// What every configuration has, before anything is decided.
fn undecided() -> TrainConfig {
    TrainConfig {
        cell_norm: true,
        input_sd: Some(1.0),
        epochs: UNDECIDED,
        steps: None,
        save_every: UNDECIDED,
        // A twelfth of a long run is too much to lose.
        save_minutes: Some(10.0),
        ..TrainConfig::article()
    }
}

/// Batches to hold back of a text of `length` characters, if so many are `read`.
fn tail(config: &TrainConfig, length: f64, read: f64) -> usize {
    let batch = (config.batch * config.unroll) as f64;
    let seldom = read / batch * VALIDATION_TIME / (VALIDATIONS as f64 * FORWARD);
    (HELD_BACK * length / batch).min(seldom).max(1.0) as usize
}

/// How a reason begins: `for 20 minutes and`.
pub fn for_minutes(minutes: f64) -> String {
    format!("for {minutes} {} and", if minutes == 1.0 { "minute" } else { "minutes" })
}

/// What the learning rate does.
fn rate(config: &TrainConfig) -> String {
    let height: f64 = significant(config.adam.learning_rate, 3).parse().expect("it was a number");
    let rises = match config.schedule.warm_up {
        0 | 1 => "starts at",
        warm_up if config.steps.is_some_and(|steps| warm_up > steps) => "rises towards",
        _ => "rises to",
    };
    let then = match config.schedule.descent {
        None => "stays there".into(),
        Some((_, end)) if config.steps == Some(end) => "falls towards 0 until the last step".into(),
        Some((_, end)) => format!("falls towards 0 until step {end}"),
    };
    format!("the learning rate {rises} {height} and {then}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Sizes;

    /// Operations of a minute on two slow cores.
    const MINUTE: f64 = 5e12;

    fn table(characters: usize, minutes: f64) -> TrainConfig {
        table_with(characters, minutes, |config| config)
    }

    fn table_with(
        characters: usize,
        minutes: f64,
        on_top: impl Fn(TrainConfig) -> TrainConfig,
    ) -> TrainConfig {
        let text = Text { characters, vocabulary: 100, ranks: 1 };
        let config = text.table(minutes * MINUTE, &on_top, |_| true);
        config.validate().unwrap();
        config
    }

    #[test]
    fn a_network_that_is_given_has_what_suits_it() {
        let given = |hidden| move |config| TrainConfig { hidden, ..config };
        for hidden in [160, 512, 1024] {
            let config = table_with(2_000_000, 1.0, given(hidden));
            assert_eq!(config.adam.learning_rate, 2.0 / hidden as f64);
        }
        // The same time is a pass for the one and twenty for the other.
        let [often, once] = [64, 512].map(|hidden| table_with(200_000, 1.0, given(hidden)));
        assert!(often.batch > once.batch && often.keep == 1.0 && once.keep == 1.0);
        assert!(often.adam.weight_decay > once.adam.weight_decay, "{often:?}, {once:?}");
    }

    #[test]
    fn what_is_held_back_is_counted_in_the_batches_that_are_given() {
        for (batch, unroll) in [(1, 8), (100, 100), (256, 256)] {
            let given = |config| TrainConfig { batch, unroll, ..config };
            let Validation::Batches(tail) = table_with(1_000_000, 20.0, given).validation else {
                panic!("no number of batches")
            };
            assert!(tail == 1 || tail * batch * unroll <= 50_000, "{tail} of {batch} x {unroll}");
        }
    }

    #[test]
    fn every_rank_has_rows() {
        for characters in [20_000, 2_000_000, 1_000_000_000] {
            for ranks in [1, 3, 16, 50] {
                let text = Text { characters, vocabulary: 100, ranks };
                let config = text.table(MINUTE, &|config| config, |_| true);
                config.validate().unwrap();
                assert!(config.groups_in_use() >= ranks, "{ranks} ranks: {config:?}");
            }
        }
        let asked_for = table_with(20_000, 1.0, |config| TrainConfig { groups: 12, ..config });
        assert_eq!((asked_for.groups, asked_for.batch), (12, 12));
        let too_few = Text { characters: 20_000, vocabulary: 100, ranks: 5 };
        let on_top = |config| TrainConfig { batch: 4, ..config };
        too_few.table(MINUTE, &on_top, |_| true).validate().unwrap();
    }

    #[test]
    fn a_descent_is_an_end() {
        let falls = |schedule| has_end(&TrainConfig { schedule, ..undecided() });
        assert!(falls(Schedule::new(0, Some((600, 1_000)))) && !falls(Schedule::new(9, None)));
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
    fn a_network_for_which_there_is_no_memory_is_not_chosen() {
        let text = Text { characters: 10_000_000, vocabulary: 100, ranks: 1 };
        let within =
            |most| text.table(1e16, &|config| config, |config| config.hidden <= most).hidden;
        assert_eq!(
            [2_000, 300, 10].map(within),
            [1024, 256, 64],
            "the smallest is tried in any case"
        );
    }

    #[test]
    fn a_short_text_has_a_small_network_and_few_rows() {
        let sizes = |characters| {
            let config = table(characters, 60.0);
            (config.hidden, config.batch)
        };
        // docs/recipes.md, "Short texts"
        assert_eq!([20_000, 60_000].map(sizes), [(64, 8), (128, 8)]);
        assert_eq!(sizes(100_000), (192, 16));
        assert_eq!(
            table(2_000_000, 0.2).batch,
            16,
            "few rows take longer, and a long text is read once"
        );
    }

    #[test]
    fn a_text_that_is_read_often_is_learned_with_dropout() {
        assert_eq!(table(1_000_000_000, 10.0).keep, 1.0);
        assert_eq!(table(100_000, 60.0).keep, 0.8);
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
    fn a_tail_that_the_user_has_chosen_leaves_time_to_learn() {
        let config = undecided();
        let minute = |step| Time { seconds: 60.0, step };
        let beside = |tail, steps| beside_validation(&config, tail, minute(60.0 / steps));
        assert_eq!(beside(3, 4_000.0).unwrap(), (3_988.0, VALIDATIONS));
        for tail in [100, 1_000, 2_000, 5_000] {
            let (steps, validations) = beside(tail, 4_000.0).unwrap();
            assert!(
                steps >= 2_000.0 && (1..=VALIDATIONS).contains(&validations),
                "{tail}: {steps}"
            );
        }
        let error = beside(9_000, 4_000.0).unwrap_err().to_string();
        assert!(
            error.contains("to validate once would take 45 seconds, more than half"),
            "{error}"
        );
        assert!(beside(160, 12.0).is_err(), "few steps, and long ones");
        let moment = Time { seconds: 0.1, step: 0.01 };
        assert!(beside_validation(&config, 160, moment).is_ok(), "it takes half a second");
        let seldom = TrainConfig { save_every: 100_000, ..config };
        let (steps, _) = beside_validation(&seldom, 3_000, minute(60.0 / 4_000.0)).unwrap();
        assert!(steps <= 3_000.0, "there is one after the last step: {steps}");
    }

    /// How long they take only a clock can tell; that they are as many as there is time for, it need not.
    #[test]
    fn steps_and_validations_together_are_as_many_as_there_is_time_for() {
        for (characters, affordable) in [(20_000, 90.0), (200_000, 700.0), (2_000_000, 9_000.0)] {
            let corpus = Corpus::from_text(
                &"So many families, so many happy ones! ".repeat(characters / 38),
            );
            let text = Text { characters, vocabulary: corpus.vocabulary().len(), ranks: 1 };
            let config = text.table(MINUTE, &|config| config, |_| true);
            let batches = config.batches(corpus.ids().clone()).unwrap();
            let (epoch, tail) = (batches.len() as u64, batches.validation_len() as f64);
            let time = Some(Time { seconds: affordable, step: 1.0 });
            let plan = text.ended(config, &batches, time, &|config| config).unwrap();
            let steps = plan.last_step(epoch);
            assert!(epoch > 0 && steps < 12 * epoch, "the time decides: {plan:?}");
            let time = steps as f64 + steps.div_ceil(plan.save_every) as f64 * tail * FORWARD;
            let holds = (affordable - 2.0..=affordable + 1.0).contains(&time);
            assert!(holds, "{characters}: {time} of {affordable} steps' time, {plan:?}");
        }
    }

    #[test]
    fn a_network_that_suits_what_was_guessed_wrongly_is_tried_too() {
        let with = |hidden| TrainConfig { hidden, ..TrainConfig::article() };
        let suited_to = |flop: f64| Ok(with(if flop < 1e12 { 64 } else { 256 }));
        // (seconds of a step, operations in a second) by H; 100 s of the run.
        let measure =
            |config: &TrainConfig| Ok(if config.hidden == 64 { (0.25, 1e9) } else { (1.0, 2e10) });
        assert_eq!(tried(with(64), 100.0, suited_to, measure).unwrap(), (with(64), 0.25, 1e9));
        assert_eq!(tried(with(256), 100.0, suited_to, measure).unwrap(), (with(256), 1.0, 2e10));
        let slow =
            |config: &TrainConfig| Ok(if config.hidden == 64 { (0.25, 1e9) } else { (20.0, 1e9) });
        assert_eq!(tried(with(256), 100.0, suited_to, slow).unwrap(), (with(64), 0.25, 1e9));
    }

    #[test]
    fn an_end_that_is_given_decides_how_often_the_text_is_read() {
        let few = table_with(2_000_000, 120.0, |config| TrainConfig { steps: Some(200), ..config });
        let by_time = table(2_000_000, 120.0);
        assert_eq!((few.keep, few.adam.weight_decay), (1.0, 0.0));
        assert!(by_time.keep < 1.0 && by_time.adam.weight_decay > 0.0);
        let batches = |config: &TrainConfig| match config.validation {
            Validation::Batches(batches) => batches,
            _ => panic!("{config:?}"),
        };
        assert!(batches(&few) <= 3 && batches(&by_time) > 9, "{few:?}");
        let once = table_with(200_000, 60.0, |config| TrainConfig { epochs: 1, ..config });
        assert_eq!((once.keep, once.adam.weight_decay), (1.0, 0.0));
    }

    #[test]
    fn a_network_with_few_weights_reads_a_text_more_often() {
        let text = Text { characters: 2_000_000, vocabulary: 100, ranks: 1 };
        let most = |hidden| text.most_passes(&TrainConfig { hidden, ..undecided() });
        assert_eq!([512, 1024].map(most), [PASSES; 2]);
        assert!(most(64) > 100.0 && most(256) > most(384), "{}", most(64));
        let keep = |hidden| {
            let given = |config| TrainConfig { hidden, ..config };
            table_with(600_000, 1_000.0, given).keep
        };
        assert_eq!([64, 160, 512].map(keep), [1.0, 1.0, 0.8], "docs/recipes.md");
    }

    #[test]
    fn a_part_of_a_long_text_is_told_in_percent() {
        let text = Text { characters: 600_000_000, vocabulary: 100, ranks: 1 };
        for (steps, epoch, told) in [
            (12, 1_000, "read 1 % of the text in 12 steps"),
            (1, 10_000, "read 0.01 % of the text in 1 step of"),
            (999, 1_000, "read 100 % of the text in"),
            (1_250, 1_000, "read the text 1.2 times in"),
        ] {
            let reason = text.reason(&TrainConfig::article(), 20.0, steps, epoch);
            assert!(reason.contains(told), "{told}: {reason}");
        }
    }

    #[test]
    fn a_pause_during_the_trials_leaves_time_for_a_run() {
        let after = |trials| Time::after(Duration::from_secs(trials), 1_200.0, 2.0).steps();
        assert_eq!([after(10), after(3_600)], [595.0, 300.0]);
    }

    #[test]
    fn the_rate_ends_its_descent_at_the_last_step() {
        for steps in [1, 2, 49, 1_000] {
            let config = ending(TrainConfig::article(), steps, 100, VALIDATIONS);
            config.validate().unwrap();
            assert_eq!(config.steps, Some(steps));
            assert_eq!(config.schedule.descent.unwrap().1, steps);
        }
    }
}
