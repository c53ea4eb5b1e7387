//! A run: at every moment the newest checkpoint that was reported as saved loads, and going on from it
//! ends in the same bits as never having stopped.

use std::fs;
use std::path::Path;

use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Mode, Opened, Run, RunEvent, RunFolder, checkpoints_in, load_any};
use karenina::train::{LogRow, TrainConfig, Trainer};

fn open(path: &Path, mode: Mode) -> Opened {
    RunFolder::open(path, mode).unwrap()
}

fn steps_in(folder: &Path) -> Vec<u64> {
    checkpoints_in(folder).unwrap().iter().map(|entry| entry.step).collect()
}

/// 96 characters of five kinds.
fn corpus() -> Corpus {
    Corpus::from_str(&(0..96).map(|i| ['a', 'b', 'c', 'd', 'e'][i * i % 7 % 5]).collect::<String>())
}

fn config() -> TrainConfig {
    TrainConfig {
        hidden: 4,
        layers: 1,
        batch: 2,
        unroll: 4,
        epochs: 2,
        save_every: 5,
        validation: Validation::Batches(2),
        ..TrainConfig::article()
    }
}

/// A run in `path`, fresh or going on, and where it stands.
fn start(path: &Path, mode: Mode) -> Run {
    let Opened { folder, checkpoint, .. } = open(path, mode);
    let trainer = match checkpoint {
        Some(checkpoint) => Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap(),
        None => Trainer::new(&corpus(), config(), 1).unwrap(),
    };
    Run::new(trainer, folder).unwrap()
}

/// All events to the run's end.
fn finish(run: &mut Run) -> Vec<RunEvent> {
    run.map(Result::unwrap).collect()
}

/// `log.csv` without its last column, the seconds.
fn timeless_log(folder: &Path) -> Vec<String> {
    let log = fs::read_to_string(folder.join("log.csv")).unwrap();
    log.lines().map(|line| line.rsplit_once(',').unwrap().0.to_string()).collect()
}

/// The newest checkpoint with its seconds left out.
fn timeless_end(folder: &Path) -> Checkpoint {
    let mut end = load_any(folder).unwrap().checkpoint;
    end.history.iter_mut().for_each(|row| row.seconds = 0.0);
    end
}

#[test]
fn a_run_validates_and_saves_every_so_often_and_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    let events = finish(&mut run);
    let last = run.trainer().last_step();
    let saved = events.iter().filter(|event| matches!(event, RunEvent::Saved(_))).count() as u64;
    assert_eq!(saved, last.div_ceil(5));
    let validated: Vec<u64> = run
        .trainer()
        .history()
        .iter()
        .filter(|row| row.validation.is_some())
        .map(|row| row.step)
        .collect();
    assert_eq!(validated, steps_in(folder.path()), "a row with a validation for each checkpoint");
    let log = fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(log, LogRow::table(run.trainer().history()), "and the log holds it");
    assert!(run.next().is_none());
}

#[test]
fn a_run_that_is_stopped_or_killed_anywhere_and_resumed_ends_in_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let last = finish(&mut start(whole.path(), Mode::New))
        .iter()
        .filter(|event| matches!(event, RunEvent::Step(_)))
        .count();
    for stop_after in 1..last {
        for is_killed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut run = start(folder.path(), Mode::New);
            let steps = run.by_ref().filter(|event| matches!(event, Ok(RunEvent::Step(_))));
            assert_eq!(steps.take(stop_after).count(), stop_after);
            if !is_killed {
                run.stop().unwrap();
            }
            drop(run);
            finish(&mut start(folder.path(), Mode::Resume));
            assert_eq!(timeless_log(folder.path()), timeless_log(whole.path()));
            assert_eq!(timeless_end(folder.path()), timeless_end(whole.path()));
        }
    }
}

#[test]
fn a_stop_saves_this_very_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    run.by_ref().take(2).for_each(drop);
    let path = run.stop().unwrap();
    assert_eq!(path, folder.path().join("i2_l4.ckpt"));
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(run.stop().unwrap(), path);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
    assert!(run.next().is_none());
}

/// Puts a folder where the checkpoint of `step` is to be, so that its save fails.
fn obstruct(folder: &Path, step: u64) {
    fs::create_dir(folder.join(format!("i{step}_l4.ckpt"))).unwrap();
}

#[test]
fn a_failed_save_ends_the_run_if_nothing_older_is_safe() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    obstruct(folder.path(), 5);
    let error = run.find_map(Result::err).unwrap();
    assert!(error.to_string().contains("i5_l4.ckpt"), "{error}");
    assert_eq!(run.trainer().step(), 5);
    assert!(run.next().is_none());
}

#[test]
fn a_failed_save_is_a_warning_once_and_an_error_twice_in_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    obstruct(folder.path(), 10);
    obstruct(folder.path(), 15);
    let mut warnings = Vec::new();
    let error = run.find_map(|event| match event {
        Ok(RunEvent::Warning(warning)) => {
            warnings.push(warning);
            None
        }
        event => event.err(),
    });
    assert!(error.unwrap().to_string().contains("i15_l4.ckpt"));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("only") && warnings[0].contains("i5_l4.ckpt is safe"));
}

#[test]
fn a_failed_save_is_forgotten_after_one_that_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    obstruct(folder.path(), 10);
    let warnings =
        finish(&mut run).into_iter().filter(|event| matches!(event, RunEvent::Warning(_)));
    assert_eq!(warnings.count(), 1);
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, run.trainer().last_step());
}

/// A run whose next loss overflows.
fn diverged(folder: &Path) -> Run {
    let mut checkpoint = Trainer::new(&corpus(), config(), 1).unwrap().checkpoint().clone();
    checkpoint.parameters.projection.w.fill(f32::MAX);
    checkpoint.parameters.projection.b.fill(f32::MAX);
    let trainer = Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap();
    Run::new(trainer, open(folder, Mode::New).folder).unwrap()
}

#[test]
fn a_number_that_is_not_finite_ends_the_run_before_the_parameters_are_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    let before = run.trainer().checkpoint().clone();
    let message = run.next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with("step 1: the loss is not finite"), "{message}");
    assert!(message.contains(" 0-4 "), "it names where in the text: {message}");
    assert_eq!(run.trainer().checkpoint(), &before);
    assert!(run.next().is_none());
}

#[test]
fn so_many_batches_as_allowed_are_skipped_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    run.on_nan = Some(6);
    let before = run.trainer().checkpoint().clone();
    let events: Vec<_> = run.by_ref().collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| match event {
            Ok(RunEvent::Skipped(_)) => 's',
            Ok(RunEvent::Saved(_)) => 'S',
            Ok(_) => '?',
            Err(_) => 'e',
        })
        .collect();
    assert_eq!(kinds, ['s', 's', 's', 's', 's', 'S', 's', 'e']);
    let after = run.trainer().checkpoint();
    assert_eq!((after.step, after.batch), (6, 6));
    assert_eq!(
        (&after.parameters, &after.adam, &after.state),
        (&before.parameters, &before.adam, &before.state)
    );
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, 5);
}

#[test]
fn training_goes_on_after_a_skipped_batch() {
    let mut skipping = Trainer::new(&corpus(), config(), 1).unwrap();
    skipping.next().unwrap().unwrap();
    let updates = skipping.checkpoint().adam.updates;
    skipping.skip_batch();
    let report = skipping.next().unwrap().unwrap();
    assert_eq!((report.row.step, skipping.step()), (3, 3));
    assert_eq!(skipping.checkpoint().adam.updates, updates + 1);
    let bytes = skipping.checkpoint().encode();
    assert!(Checkpoint::decode(Path::new("skipped"), &bytes).is_ok());
}
