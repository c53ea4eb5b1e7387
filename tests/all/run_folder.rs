//! The run folder: one trainer at a time, nothing deleted before something newer is safe.

use std::fs::{self, File};
use std::path::Path;

use crate::support::{row, tiny};
use karenina::error::Error;
use karenina::train::LogRow;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Mode, Opened, RunFolder, checkpoints_in, load_any, newest_good};

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
