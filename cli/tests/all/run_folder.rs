//! The run folder as a user of the command meets it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use karenina::model::Initialisation;
use karenina::train::LogRow;
use karenina::train::run::{checkpoints_in, load_any, load_best};

use crate::command::{errors, karenina, run, slashed, succeed, with_text};

const SMALL: &str = "train text --preset article --hidden 4 --layers 1 --batch 2 --unroll 8 --threads 1 --no-samples";

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
    let expected = "nothing to do: the run has reached step 5, where it was told to stop (checkpoints/i5_l4.ckpt). To \
                    train it further, pass --resume with a larger --steps, or with --steps all for all 37 steps; \
                    for more, add a larger --epochs\n";
    assert!(told.contains(expected), "{told}");
    let told = errors(&succeed(folder, "train text --resume --threads 1 --steps 3"));
    assert!(told.contains("the run is at step 5, and was told to stop at step 3 ("), "{told}");
    succeed(folder, "train text --resume --threads 1 --no-samples --steps all");
    let told = errors(&succeed(folder, "train text --resume --threads 1"));
    let expected = "the run has reached the end of epoch 1 (checkpoints/i37_l4.ckpt). To train it further, pass \
                    --resume with a larger --epochs\n";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn the_run_is_found_by_the_names_that_its_option_had_before() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --steps 2 --checkpoints old"));
    for words in [
        "sample --length 5 --checkpoint old",
        "eval text --threads 1 --checkpoint old/i2_l4.ckpt",
        "trace abc --checkpoint old",
        "checkpoints old",
    ] {
        let found = succeed(folder, words).stdout;
        assert!(!found.is_empty(), "{words}");
        let help = succeed(folder, &format!("{} --help", words.split(' ').next().unwrap()));
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains("--run <") && !help.contains("--checkpoint"), "{help}");
    }
}

#[test]
fn a_setting_that_cannot_change_is_told_as_the_user_types_it() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --steps 2"));
    let told = fail(folder.path(), "train text --resume --validation 3");
    assert!(told.contains("--validation 3 was asked for, but the run has none; "), "{told}");
    succeed(folder.path(), "train text --resume --validation 0");
}

#[test]
fn the_start_of_the_weights_is_set_once_and_kept() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --steps 2 --init-sd 0.02 --forget-bias -0.5"));
    let start = load_any(&folder.join("checkpoints/i0_l4.ckpt")).unwrap().checkpoint;
    let layer = start.parameters.lstm(0);
    assert_eq!(layer.b.as_slice().unwrap()[4..8], [-0.5; 4]);
    assert!(layer.w_ih.iter().chain(layer.w_hh).all(|w| w.abs() <= 0.04), "cut at two sd");
    let end = load_any(&folder.join("checkpoints")).unwrap().checkpoint;
    assert_eq!((end.step, end.config.forget_bias), (2, -0.5));
    assert_eq!(end.config.initialisation, Initialisation::TruncatedNormal(0.02));
    for (flag, found) in [("--init-sd 0.1", "0.02"), ("--forget-bias 1", "-0.5")] {
        let told = fail(folder, &format!("train text --resume --steps 3 {flag}"));
        assert!(
            told.contains(&format!("{flag} was asked for, but the run has {found}; ")),
            "{told}"
        );
    }
    succeed(folder, "train text --resume --steps 3 --threads 1 --init-sd 0.02 --forget-bias -0.5");
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
                    program reads up to 4";
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
    assert!(errors(&output).contains("--save-minutes is 0, but must be"), "{}", errors(&output));
    succeed(folder.path(), &format!("{SMALL} --steps 3 --save-minutes 1e-9"));
    assert_eq!(steps_in(folder.path()), [0, 1, 2, 3]);
    succeed(folder.path(), "train text --resume --threads 1 --steps 6 --save-minutes none");
    assert_eq!(steps_in(folder.path()), [0, 1, 2, 3, 6]);
}

/// Makes the checkpoint at `path` one of version 9.
fn make_newer(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes[12] = 9;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_list_says_what_each_file_is_and_calls_no_older_one_the_newest() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --steps 3 --save-every 1"));
    let path = |step| folder.join(format!("checkpoints/i{step}_l4.ckpt"));
    let list = || {
        let output = run(folder, "checkpoints");
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let newest = |table: &str| table.lines().position(|line| line.ends_with("  newest"));
    let (code, table) = list();
    assert_eq!((code, newest(&table)), (Some(0), Some(4)), "{table}");

    fs::write(path(3), "torn").unwrap();
    let (code, table) = list();
    assert_eq!((code, newest(&table)), (Some(0), Some(3)), "{table}");
    assert!(table.contains("i3_l4.ckpt: damaged\n"), "{table}");

    make_newer(&path(2));
    let (code, table) = list();
    assert_eq!((code, newest(&table)), (Some(1), None), "{table}");
    assert!(table.contains("i2_l4.ckpt: from a newer version\n"), "{table}");

    fs::remove_file(path(2)).unwrap();
    fs::create_dir(path(2)).unwrap();
    let (code, table) = list();
    assert_eq!((code, newest(&table)), (Some(1), None), "{table}");
    assert!(table.contains("i2_l4.ckpt: unreadable\n"), "{table}");
}

#[test]
fn a_file_dated_before_1970_is_listed_without_its_date() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --steps 1"));
    let file = fs::File::options().write(true).open(folder.path().join("checkpoints/i1_l4.ckpt"));
    file.unwrap().set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(1)).unwrap();
    let [table, json] = ["", " --json"].map(|option| {
        let output = succeed(folder.path(), &format!("checkpoints{option}"));
        String::from_utf8(output.stdout).unwrap()
    });
    assert!(
        table.lines().any(|line| line.contains("  -  ") && line.ends_with("newest")),
        "{table}"
    );
    let listed: Vec<serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert!(listed[0]["modified"].is_string() && listed[1]["modified"].is_null(), "{json}");
}

#[test]
fn a_report_passes_over_damaged_checkpoints_alone() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --steps 2"));
    let older = folder.join("checkpoints/i0_l4.ckpt");
    let whole = fs::read(&older).unwrap();
    let report = "report text --threads 1";
    fs::write(&older, &whole[..whole.len() / 2]).unwrap();
    succeed(folder, report);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(slashed(&page).contains("Left out: checkpoints/i0_l4.ckpt: "));

    fs::write(&older, whole).unwrap();
    make_newer(&older);
    assert!(fail(folder, report).contains("i0_l4.ckpt: made by a newer karenina"));
    fs::remove_file(&older).unwrap();
    fs::create_dir(&older).unwrap();
    assert!(fail(folder, report).contains("i0_l4.ckpt: a folder where a checkpoint file was"));
}

#[test]
fn of_two_trainers_started_at_once_exactly_one_trains() {
    for _ in 0..10 {
        let folder = with_text();
        let words = format!("{SMALL} --epochs 1");
        let outputs = [(); 2]
            .map(|()| {
                let mut command = karenina(folder.path(), words.split_whitespace());
                command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .map(|child| child.wait_with_output().unwrap());
        let mut codes = outputs.each_ref().map(|output| output.status.code());
        codes.sort();
        assert_eq!(codes, [Some(0), Some(1)], "{outputs:?}");
        let refused = outputs.iter().find(|output| !output.status.success()).unwrap();
        let message = errors(refused);
        // Busy, or already done if the second was slow to start.
        let last = message.lines().last().unwrap();
        assert!(last.starts_with("karenina: checkpoints"), "{message}");
        assert_eq!(steps_in(folder.path()), [0, 37]);
        succeed(folder.path(), "sample --length 5");
    }
}

#[test]
fn a_lock_with_garbage_in_it_stops_every_way_to_train() {
    for garbage in [&b"\xff\0\xfe garbage"[..], &[b'x'; 5000], b"\n"] {
        let folder = with_text();
        let lock = folder.path().join("checkpoints/run.lock");
        fs::create_dir(folder.path().join("checkpoints")).unwrap();
        fs::write(&lock, garbage).unwrap();
        for mode in ["", "--resume", "--overwrite"] {
            let message = fail(folder.path(), &format!("{SMALL} --steps 1 {mode}"));
            let expected =
                "karenina: checkpoints/run.lock: holds something other than the name of a run";
            assert!(message.starts_with(expected), "{mode}: {message}");
            assert_eq!(fs::read(&lock).unwrap(), garbage, "{mode}");
            assert!(steps_in(folder.path()).is_empty(), "{mode}");
        }
    }
}

#[test]
fn a_folder_in_place_of_the_log_stops_a_run_and_is_left_alone() {
    let folder = with_text();
    let folder = folder.path();
    succeed(folder, &format!("{SMALL} --steps 2"));
    let log = folder.join("checkpoints/log.csv");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    fs::write(log.join("mine"), "kept").unwrap();
    for words in ["train text --resume --steps 4", &format!("{SMALL} --steps 4"), "report text"] {
        let message = fail(folder, words);
        assert!(message.starts_with("karenina: "), "{words}: {message}");
        assert_eq!(fs::read_to_string(log.join("mine")).unwrap(), "kept", "{words}");
        assert_eq!(steps_in(folder), [0, 2], "{words}");
    }
}

#[cfg(unix)]
mod unix {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Command, Output};
    use std::thread::sleep;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_folder_may_be_a_symbolic_link() {
        let folder = with_text();
        let folder = folder.path();
        fs::create_dir(folder.join("elsewhere")).unwrap();
        symlink("elsewhere", folder.join("checkpoints")).unwrap();
        succeed(folder, &format!("{SMALL} --steps 2"));
        succeed(folder, "train text --resume --threads 1 --no-samples --steps 4");
        assert_eq!(checkpoints_in(&folder.join("elsewhere")).unwrap().len(), 3);
        succeed(folder, &format!("{SMALL} --steps 1 --overwrite"));
        assert_eq!(steps_in(folder), [0, 1]);
        assert!(folder.join("checkpoints").is_symlink());
        assert_eq!(checkpoints_in(&folder.join("elsewhere")).unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_file_in_place_of_a_checkpoint_stops_a_resume_at_once() {
        let make_pipe = |path: &Path| {
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        };
        let make_folder = |path: &Path| fs::create_dir(path).unwrap();
        for make in [&make_pipe as &dyn Fn(&Path), &make_folder] {
            let folder = with_text();
            succeed(folder.path(), &format!("{SMALL} --steps 2"));
            make(&folder.path().join("checkpoints/i9_l4.ckpt"));
            for words in ["train text --resume", "sample", "checkpoints"] {
                let output = within_seconds(30, folder.path(), words);
                let message = errors(&output);
                assert_eq!(output.status.code(), Some(1), "{words}: {message}");
                assert!(message.contains("checkpoints/i9_l4.ckpt: "), "{words}: {message}");
            }
            assert_eq!(steps_in(folder.path()), [0, 2, 9]);
        }
    }

    /// As [`run`], which must not take longer.
    fn within_seconds(most: u64, folder: &Path, words: &str) -> Output {
        let mut command = karenina(folder, words.split_whitespace());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(most) {
                child.kill().unwrap();
                panic!("{words}: still at work after {most} seconds");
            }
            sleep(Duration::from_millis(5));
        }
        child.wait_with_output().unwrap()
    }

    #[test]
    fn a_read_only_folder_is_refused_and_left_as_it_is() {
        let Some(run) = without_privileges() else {
            return crate::command::left_out("permissions do not bind this user");
        };
        let folder = with_text();
        let folder = folder.path();
        let (empty, full) = (folder.join("empty"), folder.join("checkpoints"));
        fs::create_dir(&empty).unwrap();
        succeed(folder, &format!("{SMALL} --steps 2"));
        let kept = ["i0_l4.ckpt", "i2_l4.ckpt", "log.csv", "run.lock"];
        let contents = || kept.map(|name| fs::read(full.join(name)).unwrap());
        let before = contents();
        for folder in [&empty, &full] {
            fs::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
        }
        for words in [
            format!("{SMALL} --steps 2 --run empty"),
            format!("{SMALL} --steps 2 --run empty/new"),
            format!("{SMALL} --steps 2 --overwrite"),
            "train text --resume --steps 4".into(),
        ] {
            let output = run(folder, &words);
            let message = errors(&output);
            assert_eq!(output.status.code(), Some(1), "{words}: {message}");
            let last = message.lines().last().unwrap();
            assert!(last.starts_with("karenina: "), "{words}: {message}");
            assert!(last.contains("Permission denied"), "{words}: {message}");
            assert!(contents() == before, "{words}");
        }
        assert!(run(folder, "sample --length 5").status.success());
        for folder in [&empty, &full] {
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        succeed(folder, "train text --resume --threads 1 --no-samples --steps 4");
    }

    type Run = fn(&Path, &str) -> Output;

    /// How to run the command as somebody whom permissions bind: root gives up the right to pass over
    /// them, if there is a tool for that.
    fn without_privileges() -> Option<Run> {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
        if fs::write(folder.path().join("file"), "").is_err() {
            return Some(run);
        }
        let is_there = drop_rights().arg("true").status().is_ok_and(|status| status.success());
        is_there.then_some(|folder, words| {
            let mut command = drop_rights();
            command.arg(env!("CARGO_BIN_EXE_karenina")).args(words.split_whitespace());
            command.current_dir(folder).stdin(Stdio::null()).output().unwrap()
        })
    }

    fn drop_rights() -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
        command
    }
}

/// What is held back is written the other way round, so that the network says it the worse the more it has learned.
#[test]
fn at_the_end_the_best_network_by_validation_writes() {
    let folder = tempfile::tempdir().unwrap();
    let text = "abcd".repeat(200) + &"dcba".repeat(60);
    fs::write(folder.path().join("turned"), text).unwrap();
    let words = "train turned --preset article --hidden 16 --layers 1 --batch 2 --unroll 10 --epochs 9 \
                 --save-every 10 --learning-rate 0.05 --keep 1 --validation 0.2 --no-samples --run run";
    let messages = errors(&succeed(folder.path(), &format!("{words} --steps 90")));
    let log = fs::read_to_string(folder.path().join("run/log.csv")).unwrap();
    let rows = log.lines().filter(|line| !line.starts_with(['#', 's']));
    let validated = rows.filter_map(|line| {
        let cells: Vec<_> = line.split(',').collect();
        Some((cells[3].parse::<f64>().ok()?, cells[0].to_string()))
    });
    let (_, best) = validated.min_by(|(a, _), (b, _)| a.total_cmp(b)).unwrap();
    assert_ne!(best, "90", "{log}");
    let expected = format!("The network of step {best}, the best by validation, writes:");
    assert!(messages.contains(&expected), "{expected}: {messages}");

    let again = succeed(folder.path(), &format!("{words} --resume --steps 91 --json"));
    let events = String::from_utf8(again.stdout).unwrap();
    let sample = events.lines().rfind(|line| line.contains(r#""event":"sample""#)).unwrap();
    assert!(sample.contains(&format!(r#""step":{best}"#)), "{sample}");
}

/// A run of eight steps in `checkpoints`, with a checkpoint and a validation after every second.
fn validated() -> tempfile::TempDir {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --validation 0.2 --steps 8 --save-every 2"));
    folder
}

#[test]
fn a_checkpoint_with_another_ones_name_is_refused_by_all() {
    let folder = validated();
    let folder = folder.path();
    let path = |name: &str| folder.join("checkpoints").join(name);
    fs::rename(path("i6_l4.ckpt"), path("i9_l4.ckpt")).unwrap();
    let log = fs::read_to_string(path("log.csv")).unwrap();
    for words in
        ["train text --resume --steps 12", "sample", "eval text", "export --out m.safetensors"]
    {
        let told = fail(folder, words);
        let expected = "i9_l4.ckpt: holds a network of 4 cells after step 6; name it i6_l4.ckpt";
        assert!(slashed(&told).ends_with(expected), "{words}: {told}");
    }
    assert_eq!(fs::read_to_string(path("log.csv")).unwrap(), log);
    assert!(errors(&run(folder, "checkpoints")).contains("name it i6_l4.ckpt"));
    fs::rename(path("i9_l4.ckpt"), path("i6_l4.ckpt")).unwrap();
    succeed(folder, "train text --resume --steps 12 --no-samples");
}

#[test]
fn where_the_best_is_damaged_the_next_best_is_used() {
    let folder = validated();
    let run = folder.path().join("checkpoints");
    let best = load_best(&run).unwrap().path;
    let mut bytes = fs::read(&best).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&best, bytes).unwrap();
    let history = load_any(&run).unwrap().checkpoint.history;
    let validations = history.iter().filter_map(|row| Some((row.validation?, row.step)));
    let name = |step: u64| run.join(format!("i{step}_l4.ckpt"));
    let rest = validations.filter(|&(_, step)| name(step) != best);
    let (_, next) = rest.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let found = load_best(&run).unwrap();
    assert_eq!((found.path, found.broken.len()), (name(next), 1));
}

#[test]
fn another_runs_checkpoint_or_log_is_not_taken_for_this_runs() {
    let folder = validated();
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    succeed(folder, &format!("{SMALL} --validation 0.2 --steps 10 --seed 1 --run other"));
    let mixed = |name: &str| path("checkpoints").join(name);
    fs::copy(path("other/i10_l4.ckpt"), mixed("i10_l4.ckpt")).unwrap();
    let told = errors(&succeed(folder, "eval text --threads 1"));
    assert!(
        slashed(&told).contains("i10_l4.ckpt and checkpoints/log.csv belong to different runs"),
        "{told}"
    );
    fs::remove_file(mixed("i10_l4.ckpt")).unwrap();
    assert!(!errors(&succeed(folder, "eval text --threads 1")).contains("different runs"));

    succeed(folder, "report text --out before.html");
    let before = fs::read_to_string(path("before.html")).unwrap();
    for log in [fs::read_to_string(path("other/log.csv")).unwrap(), String::new(), "step\n".into()]
    {
        fs::write(mixed("log.csv"), log).unwrap();
        succeed(folder, "report text --out after.html");
        assert_eq!(fs::read_to_string(path("after.html")).unwrap(), before);
    }
}

#[test]
fn a_list_of_checkpoints_has_the_epochs_of_the_log() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --epochs 3 --save-every 37"));
    let log = LogRow::read_table(&folder.path().join("checkpoints/log.csv")).unwrap();
    let listed = succeed(folder.path(), "checkpoints --json").stdout;
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed).unwrap();
    let epochs: Vec<_> = listed.iter().map(|c| (c["step"].as_u64(), c["epoch"].as_u64())).collect();
    let expected = [37, 74, 111].map(|step| (Some(step), Some(log[step as usize - 1].epoch)));
    assert_eq!((epochs[0], &epochs[1..]), ((Some(0), Some(1)), &expected[..]));
}
