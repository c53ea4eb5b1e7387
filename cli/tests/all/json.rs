//! `--json` and `--quiet`: what programs read, and what nobody reads.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::command::{errors, karenina, run, succeed, with_text};

const SMALL: &str = "train text --preset article --hidden 4 --layers 1 --batch 2 --unroll 8 --threads 1 --epochs 1 --save-every 20";

/// The objects in standard output, one a line.
pub fn lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn training_as_json_is_an_object_for_each_event_and_nothing_else() {
    let folder = with_text();
    let output = succeed(folder.path(), &format!("{SMALL} --validation 0.2 --json"));
    assert_eq!(errors(&output), "");
    let all = lines(&output.stdout);
    let of = |event: &str| all.iter().filter(|o| o["event"] == event).collect::<Vec<_>>();
    assert_eq!((&all[0]["event"], &all[all.len() - 1]["event"]), (&"start".into(), &"end".into()));
    let last = all[0]["last_step"].as_u64().unwrap();
    let (steps, saved, end) = (of("step"), of("saved"), of("end"));
    let numbers: Vec<_> = steps.iter().map(|o| o["step"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=last).collect::<Vec<_>>());
    assert_eq!(all[0]["config"]["hidden"], 4);
    assert!(steps.iter().all(|o| o["characters_per_second"].as_f64().unwrap() > 0.0));
    assert!(steps[0]["validation"].is_null() && steps[19]["validation"].is_f64());
    let log = fs::read_to_string(folder.path().join("checkpoints/log.csv")).unwrap();
    let first = format!("1,1,{},", steps[0]["loss"]);
    assert!(log.lines().nth(1).unwrap().starts_with(&first), "{first} in {log}");
    for object in &saved {
        assert!(folder.path().join(object["file"].as_str().unwrap()).is_file(), "{object}");
    }
    assert_eq!((saved.len(), of("sample").len()), (2, 2));
    assert_eq!((&end[0]["reason"], &end[0]["step"]), (&"finished".into(), &last.into()));
}

#[test]
fn the_line_about_a_checkpoint_says_what_is_in_the_log() {
    let folder = with_text();
    let told = errors(&succeed(folder.path(), &format!("{SMALL} --validation 0.2 --steps 25")));
    let log = fs::read_to_string(folder.path().join("checkpoints/log.csv")).unwrap();
    let column = |row: &str, n: usize| row.split(',').nth(n).unwrap().parse::<f64>();
    let rows: Vec<_> = log.lines().skip(1).collect();
    let mean = |rows: &[&str]| {
        rows.iter().map(|row| column(row, 2).unwrap()).sum::<f64>() / rows.len() as f64
    };
    for (step, last) in [(20, &rows[..20]), (25, &rows[5..])] {
        let nats = column(rows[step - 1], 3).unwrap();
        let expected = format!(
            "step {step}: loss {:.4} (mean of 20 steps), validation {nats:.4} (perplexity {:.3}, {:.4} bits); saved ",
            mean(last),
            nats.exp(),
            nats / 2_f64.ln(),
        );
        assert!(told.contains(&expected), "{expected} in {told}");
    }
}

#[test]
fn the_help_names_every_key_of_every_event() {
    let folder = with_text();
    let help = succeed(folder.path(), "train --help").stdout;
    let help = String::from_utf8(help).unwrap();
    let (_, promised) = help.split_once("With --json").unwrap();
    for object in lines(&succeed(folder.path(), &format!("{SMALL} --json")).stdout) {
        for key in keys(&object) {
            let is_named = promised.split(|c: char| !c.is_alphabetic() && c != '_');
            assert!(is_named.into_iter().any(|word| word == key), "{key} of {object}");
        }
    }
}

#[test]
fn a_reader_that_leaves_does_not_end_the_run() {
    let folder = with_text();
    let words = format!("{SMALL} --json");
    let mut command = karenina(folder.path(), words.split_whitespace());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((lines(first.as_bytes()).len(), errors(&output).as_str()), (1, ""));
    let list = succeed(folder.path(), "checkpoints --json").stdout;
    let list: Value = serde_json::from_slice(&list).unwrap();
    assert_eq!(list.as_array().unwrap().last().unwrap()["step"], 37, "the last step is saved");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_the_json_is_told_when_the_run_is_saved() {
    let folder = with_text();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let words = format!("{SMALL} --json");
    let output = karenina(folder.path(), words.split(' ')).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = errors(&output);
    assert!(told.starts_with("karenina: cannot write to standard output: No space"), "{told}");
    assert!(folder.path().join("checkpoints/i37_l4.ckpt").is_file());
}

#[test]
fn quiet_commands_print_nothing_but_warnings_and_errors() {
    let folder = with_text();
    for words in [
        &format!("{SMALL} --quiet"),
        "train text --resume --threads 1 --quiet",
        "eval text --threads 1 --quiet",
        "checkpoints --quiet",
    ] {
        let output = succeed(folder.path(), words);
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{words}: {output:?}");
    }
    fs::write(folder.path().join("checkpoints/i99_l4.ckpt"), "torn").unwrap();
    let output = succeed(folder.path(), "checkpoints --quiet");
    assert!(errors(&output).starts_with("karenina: checkpoints/i99_l4.ckpt: "), "{output:?}");
    assert!(output.stdout.is_empty());
    for command in ["train", "eval", "checkpoints"] {
        let output = run(folder.path(), &format!("{command} --quiet --json"));
        assert_eq!(output.status.code(), Some(2), "{command}: they exclude each other");
    }
}

#[test]
fn an_evaluation_and_a_list_are_json_too() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --no-samples"));
    fs::write(folder.path().join("checkpoints/i99_l4.ckpt"), "torn").unwrap();
    let of =
        |words| -> Value { serde_json::from_slice(&succeed(folder.path(), words).stdout).unwrap() };
    let found = of("eval text --threads 1 --rows 1 --json");
    let nats = found["nats_per_character"].as_f64().unwrap();
    let bits = found["bits_per_character"].as_f64().unwrap();
    assert!((nats / std::f64::consts::LN_2 - bits).abs() < 1e-12);
    assert!((nats.exp() / found["perplexity"].as_f64().unwrap() - 1.0).abs() < 1e-12);
    assert_eq!((&found["characters"], &found["rows"]), (&599.into(), &1.into()));
    assert!(found["dynamic"].is_null());
    assert_eq!(found["left_out"], 0);
    let text = fs::read_to_string(folder.path().join("text")).unwrap();
    fs::write(folder.path().join("more"), format!("{text}ЖЖЖ")).unwrap();
    let known = of("eval more --threads 1 --rows 1 --json --skip-unknown");
    assert_eq!((&known["characters"], &known["left_out"]), (&599.into(), &3.into()));
    let both = of("eval text --threads 1 --dynamic=0.01 --json");
    assert_eq!(both["nats_per_character"], found["nats_per_character"], "in one piece, too");
    assert_eq!(both["dynamic"]["learning_rate"], 0.01);
    assert!(both["dynamic"]["nats_per_character"].as_f64().unwrap() < nats, "{both}");

    let list = of("checkpoints --json");
    let column =
        |key: &str| -> Vec<_> { list.as_array().unwrap().iter().map(|o| o[key].clone()).collect() };
    assert_eq!(column("state"), ["good", "good", "good", "damaged"]);
    assert_eq!(column("step")[..3], [0, 20, 37]);
    assert_eq!(column("newest")[..3], [false, false, true]);
    assert_eq!(list[2]["sizes"]["hidden"], 4);
    let date = list[2]["modified"].as_str().unwrap();
    assert!(date.starts_with("20") && date.ends_with('Z') && date.len() == 20, "{date}");
    assert!(list[3]["error"].as_str().unwrap().contains("i99_l4.ckpt"));
}

#[test]
fn weights_in_fewer_bits_are_evaluated_and_written_with() {
    let folder = with_text();
    succeed(folder.path(), &format!("{SMALL} --no-samples"));
    let nats = |weights: &str| {
        let words = format!("eval text --threads 1 --weights {weights} --json");
        let found: Value = serde_json::from_slice(&succeed(folder.path(), &words).stdout).unwrap();
        found["nats_per_character"].as_f64().unwrap()
    };
    let whole = nats("f32");
    for weights in ["f16", "bf16", "i8"] {
        let loss = (nats(weights) - whole).abs();
        assert!(loss > 0.0 && loss < 0.01, "{weights}: {loss} nats");
        let words = format!("sample --weights {weights} --length 50 --seed 1");
        assert_eq!(succeed(folder.path(), &words).stdout.len(), 51, "{weights}");
    }
}
