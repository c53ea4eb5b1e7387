//! What is chosen for a text and a time is an ordinary configuration, which says itself where it ends.

use karenina::error::Error;
use karenina::study::choice::Choice;
use karenina::text::corpus::Corpus;
use karenina::train::{TrainConfig, Trainer};

fn corpus(characters: usize) -> Corpus {
    let text = "All happy families are alike; each unhappy family is unhappy in its own way. ";
    Corpus::from_text(&text.chars().cycle().take(characters).collect::<String>())
}

#[test]
fn a_run_ends_where_its_plan_says_and_keeps_the_reason() {
    let corpus = corpus(400_000);
    let minutes = 0.1;
    // So small a network makes many steps even where other programs take most of the time.
    let small = |config: TrainConfig| config.into_builder().hidden(24).build().unwrap();
    let choice = Choice::new(&corpus, minutes, 1, small).unwrap();
    let config = &choice.config;
    assert!(config.steps.is_some_and(|steps| steps > 10), "{config:?}");
    let expected =
        format!("for {minutes} minutes and 400000 characters: 2 layers of {}", config.hidden);
    assert!(choice.reason.starts_with(&expected), "{}", choice.reason);

    let trainer =
        Trainer::new(&corpus, config.clone(), 1).unwrap().chosen_because(choice.reason.clone());
    assert_eq!(trainer.last_step(), config.steps.unwrap());
    assert_eq!(trainer.checkpoint().choice, choice.reason);
}

#[test]
fn minutes_are_minutes() {
    let corpus = corpus(400_000);
    let small = |config: TrainConfig| config.into_builder().hidden(24).build().unwrap();
    let config = Choice::new(&corpus, 0.1, 1, small).unwrap().config;
    let trainer = Trainer::new(&corpus, config.clone(), 1).unwrap();
    let steps = trainer.take(20).map(|report| report.unwrap().row.seconds);
    let seconds = steps.fold(f64::INFINITY, f64::min) * config.steps.unwrap() as f64;
    assert!((0.6..20.0).contains(&seconds), "{seconds} s where 6 were asked for");
}

#[test]
fn the_users_settings_stand_and_the_rest_is_made_to_fit() {
    let on_top = |config: TrainConfig| {
        let config = config.into_builder().hidden(4).layers(1).batch(2).unroll(8).steps(Some(40));
        config.build().unwrap()
    };
    let choose = || Choice::new(&corpus(2_000), 20.0, 1, on_top).unwrap().config;
    let config = choose();
    assert_eq!((config.hidden, config.layers, config.batch, config.unroll), (4, 1, 2, 8));
    assert_eq!(
        (config.steps, config.epochs, config.schedule.descent),
        (Some(40), 1, Some((24, 40)))
    );
    assert_eq!(config, choose(), "nothing of it depends on how fast the machine is just now");
}

#[test]
fn any_number_of_minutes_above_0_gets_an_answer() {
    for minutes in [f64::MIN_POSITIVE, 1e-6, 1e300] {
        let tiny = |config: TrainConfig| {
            config.into_builder().hidden(4).layers(1).batch(2).unroll(8).build().unwrap()
        };
        let choice = Choice::new(&corpus(2_000), minutes, 1, tiny).unwrap();
        assert!(choice.config.steps.is_some_and(|steps| steps > 0), "{minutes}: {choice:?}");
    }
    for minutes in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = Choice::new(&corpus(2_000), minutes, 1, |config| config).unwrap_err();
        assert!(matches!(error, Error::Setting { name: "minutes", .. }), "{error}");
    }
}

#[test]
fn a_short_text_is_not_read_for_all_the_time_that_there_is() {
    let choice = Choice::new(&corpus(3_000), 60.0, 1, |config| config).unwrap();
    let trainer = Trainer::new(&corpus(3_000), choice.config.clone(), 1).unwrap();
    let passes = trainer.last_step() as f64 / trainer.batches_per_epoch() as f64;
    assert!((1.0..=12.0).contains(&passes), "{passes} passes");
}

#[test]
fn a_text_without_a_batch_is_refused() {
    for characters in [0, 1, 10] {
        let corpus = corpus(characters);
        let error = Choice::new(&corpus, 1.0, 1, |config| config).unwrap_err();
        assert!(matches!(error, Error::TextTooShort { .. }), "{error}");
        let error = Trainer::new(&corpus, TrainConfig::article(), 1).unwrap_err();
        assert!(matches!(error, Error::TextTooShort { .. }), "{error}");
    }
}

#[test]
fn the_time_counts_even_where_all_steps_are_asked_for() {
    let on_top = |mut config: TrainConfig| {
        (config.steps, config.schedule.descent) = (None, None);
        (config.hidden, config.layers) = (64, 1);
        config
    };
    let corpus = corpus(3_000_000);
    let choice = Choice::new(&corpus, 0.02, 1, on_top).unwrap();
    let trainer = Trainer::new(&corpus, choice.config, 1).unwrap();
    assert!(trainer.last_step() < trainer.batches_per_epoch() as u64 / 2, "{}", choice.reason);
}
