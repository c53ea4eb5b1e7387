//! The run folder: at every moment the newest checkpoint that was reported as saved loads.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use karenina::error::Error;
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{
    Mode, Opened, Run, RunEvent, RunFolder, checkpoints_in, load_any, newest_good,
};
use karenina::train::{LogRow, TrainConfig, Trainer};
use support::{row, tiny};

/// [`tiny`] at another step, its history with these validation losses at their steps.
fn at_step(step: u64, validations: &[(u64, f64)]) -> Checkpoint {
    let mut checkpoint = tiny();
    checkpoint.history =
        (1..=step).map(|step| LogRow { validation: None, ..row(step, 1) }).collect();
    for &(step, validation) in validations {
        checkpoint.history[step as usize - 1].validation = Some(validation);
    }
    (checkpoint.step, checkpoint.epoch, checkpoint.batch) = (step, 0, step as usize);
    checkpoint.adam.updates = step;
    checkpoint
}

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
fn a_second_trainer_is_refused_until_the_first_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path(), Mode::New);
    let error = RunFolder::open(folder.path(), Mode::New).unwrap_err();
    assert!(error.to_string().contains("another process is training here"), "{error}");
    drop(first);
    open(folder.path(), Mode::New);
}

#[test]
fn a_lock_file_left_behind_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join(RunFolder::LOCK)).unwrap();
    open(folder.path(), Mode::New);
}

#[test]
fn stale_temporary_files_are_swept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let names = [".i5_l2.ckpt.77.tmp", ".log.csv.1.tmp", ".gitignore", "README.md", "a.tmp"];
    for name in names {
        fs::write(folder.path().join(name), "half").unwrap();
    }
    open(folder.path(), Mode::New);
    let left = names.map(|name| folder.path().join(name).exists());
    assert_eq!(left, [false, false, true, true, true]);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_without_resume_or_overwrite() {
    for name in ["i5_l2.ckpt", "log.csv"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "").unwrap();
        let error = RunFolder::open(folder.path(), Mode::New).unwrap_err().to_string();
        assert!(error.contains("--resume") && error.contains("--overwrite"), "{error}");
    }
}

#[test]
fn resuming_without_a_checkpoint_starts_afresh_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/run");
    let opened = open(&path, Mode::Resume);
    assert!(opened.checkpoint.is_none() && opened.folder.newest().is_none());
    let expected = format!("{} holds no checkpoint: training starts afresh", path.display());
    assert_eq!(opened.warnings, [expected]);
}

#[test]
fn resuming_passes_over_broken_checkpoints_and_names_each() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    for step in [2, 3, 4] {
        run.save(&at_step(step, &[])).unwrap();
    }
    drop(run);
    fs::write(folder.path().join("i4_l2.ckpt"), "").unwrap();
    let third = fs::read(folder.path().join("i3_l2.ckpt")).unwrap();
    fs::write(folder.path().join("i3_l2.ckpt"), &third[..third.len() - 1]).unwrap();
    fs::create_dir(folder.path().join("i9_l2.ckpt")).unwrap();

    let opened = open(folder.path(), Mode::Resume);
    assert_eq!(opened.checkpoint, Some(at_step(2, &[])));
    assert_eq!(opened.folder.newest().unwrap().0, 2);
    let named = ["i9_l2.ckpt: a folder", "i4_l2.ckpt: empty", "i3_l2.ckpt: cut short"];
    assert_eq!(opened.warnings.len(), named.len());
    for (warning, name) in opened.warnings.iter().zip(named) {
        assert!(warning.contains(name) && warning.ends_with("passed over"), "{warning}");
    }
}

#[test]
fn a_checkpoint_is_loaded_from_its_file_or_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let none = load_any(folder.path()).unwrap_err();
    assert!(matches!(none, Error::NoCheckpoint { .. }));
    let mut run = open(folder.path(), Mode::New).folder;
    let older = run.save(&at_step(2, &[])).unwrap();
    let newer = run.save(&at_step(10, &[])).unwrap();
    assert_eq!(load_any(&older).unwrap().checkpoint.step, 2);
    assert_eq!(load_any(folder.path()).unwrap().path, newer);
    fs::write(&newer, "").unwrap();
    let loaded = load_any(folder.path()).unwrap();
    assert_eq!((loaded.path, loaded.broken.len()), (older.clone(), 1));
    fs::write(&older, "").unwrap();
    assert!(load_any(folder.path()).unwrap_err().to_string().contains("i10_l2.ckpt: empty"));
    assert!(newest_good(folder.path()).unwrap().good.is_none());
}

#[test]
fn only_names_that_are_written_count_as_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["i10_l2.ckpt", "i9_l2.ckpt", "i+7_l2.ckpt", "i07_l2.ckpt", "i7_l2.ckpt.bak"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    assert_eq!(steps_in(folder.path()), [9, 10]);
}

#[test]
fn pruning_keeps_the_newest_and_the_best_by_validation() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.keep = Some(2);
    let validations = [(1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5), (5, 2.25)];
    let mut left = Vec::new();
    for step in 1..=5 {
        run.save(&at_step(step, &validations[..step as usize])).unwrap();
        left.push(steps_in(folder.path()));
    }
    assert_eq!(left, [vec![1], vec![1, 2], vec![2, 3], vec![2, 3, 4], vec![2, 4, 5]]);
}

#[test]
fn pruning_keeps_one_even_if_asked_for_none_and_leaves_later_steps_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("i9_l2.ckpt"), "broken").unwrap();
    let mut run = open(folder.path(), Mode::Resume).folder;
    run.keep = Some(0);
    run.save(&at_step(1, &[])).unwrap();
    run.save(&at_step(2, &[])).unwrap();
    assert_eq!(steps_in(folder.path()), [2, 9]);
}

#[test]
fn nothing_is_pruned_when_a_save_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.keep = Some(1);
    run.save(&at_step(1, &[])).unwrap();
    fs::create_dir(folder.path().join("i2_l2.ckpt")).unwrap(); // a rename onto a folder fails
    run.save(&at_step(2, &[])).unwrap_err();
    assert_eq!(steps_in(folder.path()), [1, 2]);
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, 1);
    let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_str().unwrap().ends_with(".tmp")));
}

#[test]
fn an_overwritten_run_stays_until_the_new_one_has_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut old = open(folder.path(), Mode::New).folder;
    old.save(&at_step(3, &[])).unwrap();
    old.save(&at_step(4, &[])).unwrap();
    drop(old);
    let mut new = open(folder.path(), Mode::Overwrite).folder;
    assert_eq!(steps_in(folder.path()), [3, 4]);
    new.save(&at_step(3, &[(1, 1.0)])).unwrap();
    assert_eq!(steps_in(folder.path()), [3]);
    assert_eq!(load_any(folder.path()).unwrap().checkpoint, at_step(3, &[(1, 1.0)]));
}

#[test]
fn the_log_holds_the_shortest_exact_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.rewrite_log(&[row(1, 1)]).unwrap();
    run.log(&[row(1, 1), row(2, 1)]).unwrap();
    assert_eq!(
        fs::read_to_string(folder.path().join("log.csv")).unwrap(),
        "step,epoch,train_loss,validation_loss,norm,learning_rate,seconds\n\
         1,1,4,,1.1,0.4375,0.015625\n\
         2,1,2,2.5,2.1,0.4375,0.03125\n"
    );
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
fn obstruct(folder: &Path, step: u64) -> PathBuf {
    let path = folder.join(format!("i{step}_l4.ckpt"));
    fs::create_dir(&path).unwrap();
    path
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
    let mut checkpoint = Trainer::new(&corpus(), config(), 1).unwrap().checkpoint();
    checkpoint.parameters.projection.w.fill(f32::MAX);
    checkpoint.parameters.projection.b.fill(f32::MAX);
    let trainer = Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap();
    Run::new(trainer, open(folder, Mode::New).folder).unwrap()
}

#[test]
fn a_number_that_is_not_finite_ends_the_run_before_the_parameters_are_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    let before = run.trainer().checkpoint();
    let message = run.next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with("step 1: the loss is not finite"), "{message}");
    assert!(message.contains(" 0-4 "), "it names where in the text: {message}");
    assert_eq!(run.trainer().checkpoint(), before);
    assert!(run.next().is_none());
}

#[test]
fn so_many_batches_as_allowed_are_skipped_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    run.on_nan = Some(6);
    let before = run.trainer().checkpoint();
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
        (after.parameters, after.adam, after.state),
        (before.parameters, before.adam, before.state)
    );
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, 5);
}

#[test]
fn training_goes_on_after_a_skipped_batch() {
    let mut skipping = Trainer::new(&corpus(), config(), 1).unwrap();
    skipping.next().unwrap().unwrap();
    let before = skipping.checkpoint();
    skipping.skip_batch();
    let report = skipping.next().unwrap().unwrap();
    assert_eq!((report.row.step, skipping.step()), (3, 3));
    assert_eq!(skipping.checkpoint().adam.updates, before.adam.updates + 1);
    let bytes = skipping.checkpoint().encode();
    assert!(Checkpoint::decode(Path::new("skipped"), &bytes).is_ok());
}
