//! The run folder as a user of the command meets it.

use std::fs;
use std::path::Path;

use karenina::train::run::checkpoints_in;

use crate::command::{errors, run, succeed, with_text};

const SMALL: &str =
    "train text --hidden 4 --layers 1 --batch 2 --unroll 8 --threads 1 --no-samples";

fn steps_in(folder: &Path) -> Vec<u64> {
    let entries = checkpoints_in(&folder.join("checkpoints")).unwrap();
    entries.iter().map(|entry| entry.step).collect()
}

/// Fails with exit code 1 and returns the last line.
fn fail(folder: &Path, arguments: &str) -> String {
    let output = run(folder, arguments);
    let messages = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{messages}");
    messages.lines().last().unwrap().to_string()
}

#[test]
fn a_limit_of_steps_stays_until_it_is_lifted_and_is_named_when_it_has_ended_the_run() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --epochs 1 --steps 5"));
    assert_eq!(steps_in(folder), [0, 5]);
    let told = errors(&succeed(folder, "train text --resume --threads 1"));
    let expected = "nothing to do: step 5 is reached, and the run was to stop at step 5; --resume goes \
                    on with a larger --steps, or --steps all for all 37 steps (checkpoints/i5_l4.ckpt)";
    assert!(told.contains(expected), "{told}");
    succeed(folder, "train text --resume --threads 1 --no-samples --steps all");
    let told = errors(&succeed(folder, "train text --resume --threads 1"));
    let expected =
        "step 37 is reached, the end of epoch 1; --resume goes on with a larger --epochs";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_setting_that_cannot_change_is_told_as_the_user_types_it() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --steps 2"));
    let told = fail(folder.path(), "train text --resume --validation 3");
    assert!(told.contains("--validation 3 was asked for, but the run has none; "), "{told}");
}

#[test]
fn a_newer_version_ends_a_resume_with_nothing_changed() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --steps 2"));
    let path = folder.path().join("checkpoints/i2_l4.ckpt");
    let mut bytes = fs::read(&path).unwrap();
    bytes[12] = 9;
    fs::write(&path, &bytes).unwrap();
    let log = fs::read(folder.path().join("checkpoints/log.csv")).unwrap();
    let expected = "karenina: checkpoints/i2_l4.ckpt: made by a newer karenina: format version 9, this \
                    program reads up to 2";
    assert_eq!(fail(folder.path(), "train text --resume"), expected);
    assert_eq!(fail(folder.path(), "sample"), expected);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read(folder.path().join("checkpoints/log.csv")).unwrap(), log);
    assert_eq!(steps_in(folder.path()), [0, 2]);
}

#[test]
fn minutes_between_saves_must_be_above_zero_and_can_be_forgotten() {
    let folder = with_text();
    let output = run(folder.path(), &format!("{SMALL} --save-minutes 0"));
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("--save-minutes 0 will not do"), "{}", errors(&output));
    succeed(folder.path(), &format!("{SMALL} --steps 3 --save-minutes 1e-9"));
    assert_eq!(steps_in(folder.path()), [0, 1, 2, 3]);
    succeed(folder.path(), "train text --resume --threads 1 --steps 6 --save-minutes none");
    assert_eq!(steps_in(folder.path()), [0, 1, 2, 3, 6]);
}
