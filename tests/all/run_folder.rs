//! The run folder: one trainer at a time, nothing deleted before something newer is safe.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::support::{row, tiny};
use karenina::error::{Error, Result};
use karenina::train::RunId;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Mode, Opened, RunFolder, checkpoints_in, load_any, load_best};

/// [`tiny`] at another step, its history with these validation losses at their steps.
fn at_step(step: u64, validations: &[(u64, f64)]) -> Checkpoint {
    let mut checkpoint = tiny();
    checkpoint.history = (1..=step).map(|step| row(step, 1)).collect();
    checkpoint.history.iter_mut().for_each(|row| row.validation = None);
    for &(step, validation) in validations {
        checkpoint.history[step as usize - 1].validation = Some(validation);
    }
    (checkpoint.step, checkpoint.epoch, checkpoint.batch) = (step, 0, step as usize);
    checkpoint.adam.updates = step;
    checkpoint
}

/// `checkpoint` as one of `run`.
fn of(run: RunId, mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.run = Some(run);
    checkpoint
}

/// Saves `checkpoint` as one of the folder's run.
fn save(folder: &mut RunFolder, checkpoint: Checkpoint) -> Result<PathBuf> {
    folder.save(&of(folder.run(), checkpoint))
}

/// [`at_step`] of the folder's run, begun there.
fn begin(folder: &mut RunFolder, start: Checkpoint) {
    folder.begin(&of(folder.run(), start)).unwrap();
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
    begin(&mut open(folder.path(), Mode::New).folder, at_step(0, &[]));
    let left = names.map(|name| folder.path().join(name).exists());
    assert_eq!(left, [false, false, true, true, true]);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_without_resume_or_overwrite() {
    for name in ["i5_l2.ckpt", "log.csv"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), "").unwrap();
        let error = RunFolder::open(folder.path(), Mode::New).unwrap_err();
        assert!(matches!(error, Error::RunExists { .. }), "{error}");
    }
}

#[test]
fn resuming_without_a_checkpoint_starts_afresh_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/run");
    let opened = open(&path, Mode::Resume);
    assert!(opened.checkpoint.is_none() && opened.folder.newest().is_none());
    let expected = format!("{} holds no checkpoint: a new run begins", path.display());
    assert_eq!(opened.warnings, [expected]);
}

#[test]
fn resuming_passes_over_damaged_checkpoints_and_keeps_each_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    for step in [2, 3, 4] {
        save(&mut run, at_step(step, &[])).unwrap();
    }
    drop(run);
    fs::write(folder.path().join("i4_l2.ckpt"), "").unwrap();
    let third = fs::read(folder.path().join("i3_l2.ckpt")).unwrap();
    fs::write(folder.path().join("i3_l2.ckpt"), &third[..third.len() - 1]).unwrap();
    fs::write(folder.path().join("i9_l2.ckpt"), "PK\x03\x04").unwrap();

    let mut opened = open(folder.path(), Mode::Resume);
    assert_eq!(opened.checkpoint, Some(of(opened.folder.run(), at_step(2, &[]))));
    assert_eq!(opened.folder.newest().unwrap().0, 2);
    let bytes: Vec<_> = [9, 4, 3].map(|step| bytes_of(folder.path(), step)).into();
    let told = opened.folder.begin(&opened.checkpoint.unwrap()).unwrap();
    assert_eq!(steps_in(folder.path()), [2]);
    for ((step, bytes), told) in [9, 4, 3].into_iter().zip(bytes).zip(told) {
        let aside = folder.path().join(format!("i{step}_l2.ckpt.damaged"));
        assert_eq!(fs::read(&aside).unwrap(), bytes, "kept as it was");
        assert!(told.ends_with(&format!("it is kept as {}", aside.display())), "{told}");
    }
}

#[test]
fn what_is_put_aside_gets_a_name_that_is_free() {
    let (folder, _) = left_run();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("i9_l2.ckpt"), "half of one").unwrap();
    fs::write(path("i9_l2.ckpt.damaged"), "an older half").unwrap();
    fs::write(path("i9_l2.ckpt.damaged.2"), "").unwrap();
    fs::write(path("i4_l2.ckpt.kept"), "another's ").unwrap(); // as long, but no copy
    let mut run = open(folder.path(), Mode::Resume);
    run.folder.begin(&run.checkpoint.unwrap()).unwrap();
    fs::write(path("i4_l2.ckpt"), "somebody's").unwrap();
    save(&mut run.folder, at_step(4, &[])).unwrap();
    for (name, expected) in [
        ("i9_l2.ckpt.damaged", "an older half"),
        ("i9_l2.ckpt.damaged.2", ""),
        ("i9_l2.ckpt.damaged.3", "half of one"),
        ("i4_l2.ckpt.kept", "another's "),
        ("i4_l2.ckpt.kept.2", "somebody's"),
    ] {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), expected, "{name}");
    }
}

fn bytes_of(folder: &Path, step: u64) -> Vec<u8> {
    fs::read(folder.join(format!("i{step}_l2.ckpt"))).unwrap()
}

/// A folder with a run of steps 2 and 3, begun and left.
fn left_run() -> (tempfile::TempDir, RunId) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    begin(&mut run, at_step(2, &[]));
    save(&mut run, at_step(3, &[])).unwrap();
    (folder, run.run())
}

/// Every file of the folder with its bytes.
fn all_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap_or_default()))
        .collect();
    files.sort();
    files
}

/// Resuming is refused with these words, and not a byte is changed.
#[track_caller]
fn refused(folder: &Path, expected: &str) {
    let before = all_of(folder);
    let error = RunFolder::open(folder, Mode::Resume).unwrap_err().to_string();
    assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    assert_eq!(all_of(folder), before);
}

#[test]
fn a_newer_version_stops_a_resume_and_nothing_is_changed() {
    let (folder, _) = left_run();
    for step in [3, 2] {
        let mut bytes = bytes_of(folder.path(), step);
        bytes[12] = 5;
        fs::write(folder.path().join(format!("i{step}_l2.ckpt")), bytes).unwrap();
        refused(folder.path(), "i3_l2.ckpt: made by a newer karenina: format version 5");
    }
    let sampled = load_any(folder.path()).unwrap_err();
    assert!(matches!(sampled, Error::Newer { found: 5, known: 4, .. }));
}

#[test]
#[cfg_attr(windows, ignore = "NTFS gives the holes of a file space")]
fn too_little_memory_stops_a_resume_and_nothing_is_changed() {
    let (folder, _) = left_run();
    let path = folder.path().join("i9_l2.ckpt");
    let mut header = bytes_of(folder.path(), 3)[..28].to_vec();
    header[16..24].copy_from_slice(&((1_u64 << 42) - 28).to_le_bytes());
    fs::write(&path, header).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    let error = RunFolder::open(folder.path(), Mode::Resume).unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { .. }), "{error}");
    assert_eq!(steps_in(folder.path()), [2, 3, 9]);
}

#[test]
fn what_is_no_file_stops_a_resume_and_nothing_is_changed() {
    let (folder, _) = left_run();
    fs::create_dir(folder.path().join("i9_l2.ckpt")).unwrap();
    refused(folder.path(), "i9_l2.ckpt: a folder where a checkpoint file was expected");
    fs::remove_dir(folder.path().join("i9_l2.ckpt")).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", folder.path().join("i9_l2.ckpt")).unwrap();
        refused(folder.path(), "cannot read");
    }
}

#[test]
fn a_folder_whose_checkpoints_are_all_damaged_stops_a_resume() {
    let (folder, _) = left_run();
    for step in [2, 3] {
        fs::write(folder.path().join(format!("i{step}_l2.ckpt")), "").unwrap();
    }
    refused(
        folder.path(),
        "its 2 checkpoints are all damaged, and nothing was changed; the newest: ",
    );
}

#[test]
fn a_log_without_a_checkpoint_stops_a_resume() {
    let (folder, _) = left_run();
    for step in [2, 3] {
        fs::remove_file(folder.path().join(format!("i{step}_l2.ckpt"))).unwrap();
    }
    refused(folder.path(), "holds no checkpoint");
}

#[test]
fn a_foreign_checkpoint_stops_a_resume_that_would_go_on_with_it() {
    let ((folder, ours), (other, theirs)) = (left_run(), left_run());
    let foreign = folder.path().join("i9_l2.ckpt");
    let mut run = open(other.path(), Mode::Resume).folder;
    fs::copy(save(&mut run, at_step(9, &[])).unwrap(), &foreign).unwrap();
    let expected = format!(
        "i9_l2.ckpt: belongs to another run ({theirs}), not the folder's ({ours}); move it"
    );
    refused(folder.path(), &expected);
    fs::write(folder.path().join(RunFolder::LOCK), "").unwrap();
    refused(folder.path(), "holds checkpoints of different runs");
    fs::remove_file(foreign).unwrap();
    assert_eq!(open(folder.path(), Mode::Resume).folder.run(), ours);
}

#[test]
fn a_foreign_checkpoint_of_an_earlier_step_is_neither_pruned_nor_overwritten() {
    let ((folder, _), (other, _)) = (left_run(), left_run());
    let mut run = open(other.path(), Mode::Resume).folder;
    for step in [1, 4] {
        let foreign = save(&mut run, at_step(step, &[])).unwrap();
        let mut ours = open(folder.path(), Mode::Resume);
        ours.folder.begin(&ours.checkpoint.unwrap()).unwrap();
        let place = folder.path().join(format!("i{step}_l2.ckpt"));
        fs::copy(&foreign, &place).unwrap();
        ours.folder.keep = Some(1);
        save(&mut ours.folder, at_step(4, &[])).unwrap();
        let kept = if step == 4 { place.with_file_name("i4_l2.ckpt.kept") } else { place };
        assert_eq!(fs::read(kept).unwrap(), fs::read(foreign).unwrap());
        fs::remove_file(folder.path().join("i4_l2.ckpt")).unwrap();
        fs::remove_file(folder.path().join("i1_l2.ckpt")).unwrap_or_default();
        save(&mut ours.folder, at_step(3, &[])).unwrap();
    }
}

#[test]
fn a_copy_of_a_whole_folder_goes_on_as_the_same_run() {
    let (folder, run) = left_run();
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in all_of(folder.path()) {
        fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
    }
    assert_eq!(open(copy.path(), Mode::Resume).folder.run(), run);
}

#[test]
fn the_log_of_another_run_is_not_written_over() {
    let ((folder, ours), (other, theirs)) = (left_run(), left_run());
    fs::copy(other.path().join("log.csv"), folder.path().join("log.csv")).unwrap();
    refused(
        folder.path(),
        &format!("log.csv: the log of another run ({theirs}), not the folder's ({ours})"),
    );
    fs::remove_file(folder.path().join("log.csv")).unwrap();
    fs::create_dir(folder.path().join("log.csv")).unwrap();
    refused(folder.path(), "log.csv: not a file, so it cannot be the log");
}

#[test]
fn a_lock_that_is_no_lock_is_refused() {
    let (folder, _) = left_run();
    let lock = folder.path().join(RunFolder::LOCK);
    fs::write(&lock, "somebody's notes").unwrap();
    refused(folder.path(), "run.lock: holds something other than the name of a run");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    refused(folder.path(), "run.lock: it must be a file");
}

#[test]
fn a_run_of_version_1_is_given_a_name_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.ckpt");
    fs::copy(golden, folder.path().join("i5_l2.ckpt")).unwrap();
    let Opened { folder: mut run, checkpoint, .. } = open(folder.path(), Mode::Resume);
    begin(&mut run, checkpoint.unwrap());
    let name = run.run();
    drop(run);
    let mut again = open(folder.path(), Mode::Resume).folder;
    assert_eq!(again.run(), name, "also if it was killed before its first save");
    let newest = save(&mut again, at_step(6, &[])).unwrap();
    drop(again);
    assert_eq!(open(folder.path(), Mode::Resume).folder.run(), name);

    let mut damaged = fs::read(&newest).unwrap();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(newest, damaged).unwrap();
    let opened = open(folder.path(), Mode::Resume);
    assert_eq!((opened.folder.run(), opened.checkpoint.unwrap().step), (name, 5));
    drop(opened.folder);
    for name in [RunFolder::LOCK, RunFolder::LOG] {
        fs::remove_file(folder.path().join(name)).unwrap();
    }
    assert_eq!(open(folder.path(), Mode::Resume).checkpoint.unwrap().step, 5);
}

#[cfg(unix)] // elsewhere a folder with an open file in it cannot be deleted
#[test]
fn a_folder_deleted_and_made_anew_by_another_run_is_left_to_it() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    let mut first = open(&path, Mode::New).folder;
    begin(&mut first, at_step(0, &[]));
    fs::remove_dir_all(&path).unwrap();
    assert!(save(&mut first, at_step(2, &[])).unwrap_err().is_missing(), "gone is not another's");
    let mut second = open(&path, Mode::New).folder;
    begin(&mut second, at_step(1, &[]));
    let before = all_of(&path);
    for is_running in [true, false] {
        let error = save(&mut first, at_step(2, &[])).unwrap_err();
        assert!(matches!(error, Error::OtherRun { .. }), "{error}");
        assert!(matches!(first.rewrite_log(&[]), Err(Error::OtherRun { .. })));
        assert_eq!(all_of(&path), before);
        if is_running {
            drop(std::mem::replace(&mut second, open(&parent.path().join("x"), Mode::New).folder));
        }
    }
}

#[cfg(unix)] // elsewhere the name of a file that is deleted is free only when it is closed
#[test]
fn a_folder_without_a_lock_that_holds_another_runs_checkpoint_is_left_to_it() {
    let ((folder, _), (other, _)) = (left_run(), left_run());
    let mut ours = open(folder.path(), Mode::Resume);
    ours.folder.begin(&ours.checkpoint.unwrap()).unwrap();
    fs::remove_file(folder.path().join(RunFolder::LOCK)).unwrap();
    fs::copy(other.path().join("i2_l2.ckpt"), folder.path().join("i2_l2.ckpt")).unwrap();
    let before = all_of(folder.path());
    let error = save(&mut ours.folder, at_step(4, &[])).unwrap_err();
    assert!(matches!(error, Error::OtherRun { .. }), "{error}");
    fs::remove_file(folder.path().join(RunFolder::LOCK)).unwrap(); // made for a look, and empty
    assert_eq!(all_of(folder.path()), before);
}

/// Found by the soak: the first run swept away the file that the second was writing.
#[cfg(unix)] // elsewhere a folder with an open file in it cannot be deleted
#[test]
fn a_run_whose_folder_is_taken_before_it_begins_touches_nothing_there() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run");
    for mode in [Mode::New, Mode::Overwrite] {
        let mut first = open(&path, mode).folder;
        fs::remove_dir_all(&path).unwrap();
        let mut second = open(&path, Mode::New).folder;
        begin(&mut second, at_step(1, &[]));
        fs::write(path.join(".i2_l2.ckpt.Ab3dEf.tmp"), "half of it").unwrap();
        let before = all_of(&path);
        let start = of(first.run(), at_step(0, &[]));
        let error = first.begin(&start).unwrap_err();
        assert!(matches!(error, Error::OtherRun { .. }), "{error}");
        assert!(all_of(&path) == before, "the folder was changed");
    }
}

#[test]
fn a_checkpoint_is_loaded_from_its_file_or_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let none = load_any(folder.path()).unwrap_err();
    assert!(matches!(none, Error::NoCheckpoint { .. }));
    let mut run = open(folder.path(), Mode::New).folder;
    let older = save(&mut run, at_step(2, &[])).unwrap();
    let newer = save(&mut run, at_step(10, &[])).unwrap();
    assert_eq!(load_any(&older).unwrap().checkpoint.step, 2);
    assert_eq!(load_any(folder.path()).unwrap().path, newer);
    fs::write(&newer, "").unwrap();
    let loaded = load_any(folder.path()).unwrap();
    assert_eq!((loaded.path, loaded.broken.len()), (older.clone(), 1));
    fs::write(&older, "").unwrap();
    assert!(load_any(folder.path()).unwrap_err().to_string().contains("i10_l2.ckpt: empty"));
}

#[test]
fn the_best_by_validation_is_used_and_the_newest_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    let best_step = || load_best(folder.path()).unwrap().checkpoint.step;
    save(&mut run, at_step(1, &[])).unwrap();
    let best = save(&mut run, at_step(2, &[])).unwrap();
    assert_eq!(best_step(), 2, "nothing was validated");
    let validations = [(2, 1.5), (3, 2.0), (4, 1.5), (5, 1.75)];
    for step in 3..=4 {
        save(&mut run, at_step(step, &validations[..step as usize - 1])).unwrap();
    }
    assert_eq!(best_step(), 4, "of equals the newest");
    let newest = save(&mut run, at_step(5, &validations)).unwrap();
    fs::remove_file(folder.path().join("i4_l2.ckpt")).unwrap();
    assert_eq!(best_step(), 2);
    assert_eq!(load_best(&newest).unwrap().checkpoint.step, 5, "a file is what it is");

    fs::write(&best, "").unwrap();
    let loaded = load_best(folder.path()).unwrap();
    assert_eq!((loaded.path, loaded.broken.len()), (newest, 1), "the best is damaged");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = open(elsewhere.path(), Mode::New).folder.run();
    of(other, at_step(2, &[])).save(&best).unwrap();
    assert_eq!(best_step(), 5, "another run's file is not the best of this one");
}

/// The history of the newest good one ends before its step, so it would seem to have that one's validation.
#[test]
fn a_damaged_checkpoint_later_than_the_newest_is_not_taken_for_the_best() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    save(&mut run, at_step(1, &[(1, 2.0)])).unwrap();
    let newest = save(&mut run, at_step(2, &[(1, 2.0), (2, 1.0)])).unwrap();
    fs::write(folder.path().join("i3_l2.ckpt"), "").unwrap();
    let loaded = load_best(folder.path()).unwrap();
    assert_eq!((loaded.path, loaded.broken.len()), (newest, 1));
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
        save(&mut run, at_step(step, &validations[..step as usize])).unwrap();
        left.push(steps_in(folder.path()));
    }
    assert_eq!(left, [vec![1], vec![1, 2], vec![2, 3], vec![2, 3, 4], vec![2, 4, 5]]);
}

#[test]
fn a_checkpoint_after_a_skipped_batch_has_the_validation_of_its_last_update() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.keep = Some(1);
    let without_3 = |mut checkpoint: Checkpoint| {
        checkpoint.history.retain(|row| row.step != 3);
        checkpoint.adam.updates -= 1;
        checkpoint
    };
    save(&mut run, without_3(at_step(3, &[(2, 1.0)]))).unwrap();
    save(&mut run, without_3(at_step(5, &[(2, 1.0), (5, 2.0)]))).unwrap();
    assert_eq!(steps_in(folder.path()), [3, 5], "the best is kept");
    assert_eq!(load_best(folder.path()).unwrap().checkpoint.step, 3);
}

#[test]
fn pruning_keeps_one_even_if_asked_for_none_and_leaves_later_steps_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.keep = Some(0);
    fs::write(folder.path().join("i9_l2.ckpt"), "broken").unwrap();
    save(&mut run, at_step(8, &[])).unwrap();
    save(&mut run, at_step(1, &[])).unwrap();
    save(&mut run, at_step(2, &[])).unwrap();
    assert_eq!(steps_in(folder.path()), [2, 8, 9]);
}

#[test]
fn nothing_is_pruned_when_a_save_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.keep = Some(1);
    save(&mut run, at_step(1, &[])).unwrap();
    fs::create_dir(folder.path().join("i2_l2.ckpt")).unwrap(); // a rename onto a folder fails
    save(&mut run, at_step(2, &[])).unwrap_err();
    assert_eq!(steps_in(folder.path()), [1, 2]);
    fs::remove_dir(folder.path().join("i2_l2.ckpt")).unwrap();
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, 1);
    let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(!names.into_iter().any(|name| name.to_str().unwrap().ends_with(".tmp")));
}

/// The folder in `folder` where a run that is replaced lies.
fn replaced(folder: &Path) -> Option<PathBuf> {
    let mut entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir())
}

#[test]
fn an_overwritten_run_is_deleted_when_the_new_one_is_safe() {
    let (folder, old) = left_run();
    let mut new = open(folder.path(), Mode::Overwrite).folder;
    assert_eq!(steps_in(folder.path()), [2, 3], "nothing is touched before the new one begins");
    begin(&mut new, at_step(0, &[]));
    assert_ne!(new.run(), old);
    assert_eq!((steps_in(folder.path()), replaced(folder.path())), (vec![0], None));
    drop(new);
    assert_eq!(open(folder.path(), Mode::Resume).checkpoint.unwrap().step, 0);
    // This one has a log without rows.
    begin(&mut open(folder.path(), Mode::Overwrite).folder, at_step(1, &[]));
    assert_eq!((steps_in(folder.path()), replaced(folder.path())), (vec![1], None));
}

#[test]
fn an_overwrite_that_fails_before_anything_is_moved_leaves_the_lock_as_it_was() {
    let (folder, _) = left_run();
    let before = all_of(folder.path());
    fs::create_dir(folder.path().join(".i3_l2.ckpt.abc.tmp")).unwrap(); // cannot be swept away
    let mut new = open(folder.path(), Mode::Overwrite).folder;
    new.begin(&of(new.run(), at_step(0, &[]))).unwrap_err();
    drop(new);
    assert_eq!(all_of(folder.path()), before);
}

#[test]
fn a_run_comes_back_if_the_one_that_replaces_it_cannot_be_saved() {
    for has_lock in [true, false] {
        let (folder, _) = left_run();
        if !has_lock {
            fs::remove_file(folder.path().join(RunFolder::LOCK)).unwrap();
            File::create(folder.path().join(RunFolder::LOCK)).unwrap();
        }
        let before = all_of(folder.path());
        let mut new = open(folder.path(), Mode::Overwrite).folder;
        let mut start = of(new.run(), at_step(0, &[]));
        start.parameters.numbers_mut()[0] = f32::NAN; // no such checkpoint is ever written
        assert!(matches!(new.begin(&start), Err(Error::Checkpoint { .. })));
        drop(new);
        assert_eq!((all_of(folder.path()), replaced(folder.path())), (before, None));
        assert_eq!(open(folder.path(), Mode::Resume).checkpoint.unwrap().step, 3);
    }
}

/// Another run's checkpoint, one that was damaged, a log that is none and a link: they only have such names.
#[test]
fn what_is_not_of_the_overwritten_run_is_kept() {
    for has_lock in [true, false] {
        let (folder, _) = left_run();
        let path = folder.path();
        if !has_lock {
            fs::remove_file(path.join(RunFolder::LOCK)).unwrap();
        }
        let other = of(RunId::new(77).unwrap(), at_step(1, &[]));
        other.save(&path.join("i1_l2.ckpt")).unwrap();
        fs::write(path.join("i9_l2.ckpt.damaged"), "half of one").unwrap();
        fs::write(path.join("log.csv"), "date,weight\n").unwrap();
        let kept = ["i1_l2.ckpt", "i9_l2.ckpt.damaged", "log.csv"];
        let before = kept.map(|name| fs::read(path.join(name)).unwrap());
        let mut new = open(path, Mode::Overwrite).folder;
        let told = new.begin(&of(new.run(), at_step(0, &[]))).unwrap();
        let aside = replaced(path).unwrap();
        let expected =
            format!("{}: still holds files that do not belong to the run", aside.display());
        assert!(told.len() == 1 && told[0].starts_with(&expected), "{told:?}");
        assert_eq!(kept.map(|name| fs::read(aside.join(name)).unwrap()), before, "{has_lock}");
        assert_eq!(fs::read_dir(&aside).unwrap().count(), 3, "what is the old run's is deleted");
        assert_eq!(steps_in(path), [0]);
        drop(new);
        let warnings = open(path, Mode::Resume).warnings;
        assert!(warnings[0].ends_with("check it before you delete it"), "{warnings:?}");
    }
}

#[test]
fn an_interrupted_overwrite_is_not_gone_on_with_and_can_be_repeated_or_undone() {
    // As a process leaves it that is killed before anything is moved, or when its step 0 is saved.
    let begin_in_vain = |folder: &Path, is_moved: bool| {
        let new = open(folder, Mode::Overwrite).folder.run();
        let old = load_any(folder).unwrap().checkpoint.run.unwrap();
        let lock = format!("{new} {new} {:<9}\n", "replacing");
        fs::write(folder.join(RunFolder::LOCK), lock).unwrap();
        if is_moved {
            let aside = folder.join(format!("replaced-{old}"));
            fs::create_dir(&aside).unwrap();
            for (path, _) in all_of(folder) {
                let name = path.file_name().unwrap();
                if name != RunFolder::LOCK {
                    fs::rename(&path, aside.join(name)).unwrap();
                }
            }
            of(new, at_step(0, &[])).save(&folder.join("i0_l2.ckpt")).unwrap();
        }
    };
    let (folder, old) = left_run();
    let path = folder.path();
    let before: Vec<_> = [2, 3].map(|step| bytes_of(path, step)).into();
    begin_in_vain(path, true);
    let error = RunFolder::open(path, Mode::Resume).unwrap_err().to_string();
    let (new, aside) = (path.join("i0_l2.ckpt"), replaced(path).unwrap());
    let expected = format!(
        "when it was interrupted; to get the old run back, delete {}, move what is in {} back here, and delete run.lock",
        new.display(),
        aside.display()
    );
    assert!(error.ends_with(&expected), "{error}");

    // What the message says brings the old run back, also after a second attempt.
    begin_in_vain(path, true);
    let error = RunFolder::open(path, Mode::Resume).unwrap_err().to_string();
    assert!(error.contains(aside.to_str().unwrap()) && error.contains(" or "), "{error}");
    fs::remove_file(new).unwrap();
    for (file, _) in all_of(&aside) {
        fs::rename(&file, path.join(file.file_name().unwrap())).unwrap();
    }
    fs::remove_dir(aside).unwrap();
    fs::remove_file(path.join(RunFolder::LOCK)).unwrap();
    let back = open(path, Mode::Resume).folder;
    assert_eq!((back.run(), back.newest().unwrap().0), (old, 3));
    assert_eq!([2, 3].map(|step| bytes_of(path, step)).to_vec(), before);
    drop(back);

    for is_moved in [false, true] {
        begin_in_vain(path, is_moved);
        begin(&mut open(path, Mode::Overwrite).folder, at_step(0, &[]));
        assert_eq!((steps_in(path), replaced(path)), (vec![0], None));
    }
}

#[test]
fn the_log_holds_the_shortest_exact_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = open(folder.path(), Mode::New).folder;
    run.rewrite_log(&[row(1, 1)]).unwrap();
    run.log(&[row(1, 1), row(2, 1)]).unwrap();
    let name = run.run();
    assert_eq!(
        fs::read_to_string(folder.path().join("log.csv")).unwrap(),
        format!(
            "step,epoch,train_loss,validation_loss,norm,learning_rate,seconds,run\n\
             1,1,4,,1.1,0.4375,0.015625,{name}\n\
             2,1,2,2.5,2.1,0.4375,0.03125,{name}\n"
        )
    );
}
