//! SIGINT, SIGTERM and SIGHUP: the step is finished, saved, and how to go on is said.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{errors, karenina, name_of, with_text};
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::load_any;

const ENDLESS: &str = "train text --preset article --hidden 8 --layers 1 --batch 2 --unroll 8 --epochs 1000000 \
                       --save-every 20 --no-samples --threads 1";

/// A run without end that has saved something.
fn start(folder: &Path, arguments: &str) -> Child {
    let mut command = karenina(folder, arguments.split_whitespace());
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for_a_save(folder);
    child
}

fn wait_for_a_save(folder: &Path) {
    wait_for_a_save_in(&folder.join("checkpoints"));
}

fn wait_for_a_save_in(run: &Path) {
    let start = Instant::now();
    while load_any(run).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was saved in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

/// Runs a command that was printed.
fn paste(folder: &Path, command: &str) {
    let output = Command::new("bash").args(["-c", command]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{command}: {}", errors(&output));
}

#[test]
fn who_goes_on_is_reminded_of_a_text_that_was_standard_input() {
    for (text, place) in [
        ("-", "on standard input"),
        ("/dev/stdin", "on standard input"),
        ("/dev/fd/9", "in the place of /dev/fd/9"),
    ] {
        let folder = with_text();
        let words = ENDLESS.replace("text", text);
        let script = format!("exec {} {words} <text 9<text", env!("CARGO_BIN_EXE_karenina"));
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(folder.path());
        let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        wait_for_a_save(folder.path());
        send(&child, "-INT");
        let said = errors(&child.wait_with_output().unwrap());
        assert!(said.contains(&format!("To continue, with the same text {place}: ")), "{said}");
    }
}

#[test]
fn a_signal_ends_the_run_after_its_step_with_a_checkpoint_of_that_step() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        if signal == "-HUP" && ignores_hup() {
            continue;
        }
        let folder = with_text();
        let child = start(folder.path(), ENDLESS);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", errors(&output));

        let saved = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        let log = fs::read_to_string(folder.path().join("checkpoints/log.csv")).unwrap();
        assert_eq!(log.lines().count() as u64, saved.step + 1, "every step in the log is saved");
        let messages = errors(&output);
        let how = messages.lines().last().unwrap();
        let (_, command) = how.split_once("To continue: ").unwrap();
        assert!(command.starts_with(env!("CARGO_BIN_EXE_karenina")), "as it was called: {command}");
        let last = saved.step + 3;
        paste(folder.path(), &format!("{command} --steps {last}"));
        let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        assert_eq!(end.step, last, "the command that was printed goes on");
    }
}

/// A step takes milliseconds here, and its validation a minute.
#[test]
fn a_signal_ends_a_validation_too_and_who_goes_on_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "It was a fine day, and ".repeat(100_000)).unwrap();
    let train = "train text --preset article --hidden 256 --layers 1 --batch 2 --unroll 8 --save-every 1 \
                 --validation 0.9 --no-samples --threads 1 --run run";
    for is_resumed in [false, true] {
        let mut command = karenina(folder.path(), train.split_whitespace());
        let command = if is_resumed { command.arg("--resume") } else { &mut command };
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        if is_resumed {
            let said = "validating step 1, which is still to be done";
            assert!(lines.any(|line| line == said));
        }
        std::thread::sleep(Duration::from_secs(2));
        let sent = Instant::now();
        send(&child, "-TERM");
        assert!(lines.any(|line| line.starts_with("stopped; run/i1_l256.ckpt is saved")));
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert!(sent.elapsed() < Duration::from_secs(9), "{:?}", sent.elapsed());
        let saved = load_any(&folder.path().join("run")).unwrap().checkpoint;
        assert_eq!((saved.step, saved.history[0].validation), (1, None));
    }
}

/// Whether the tests run under `nohup`: then so does what they start, and does not end.
fn ignores_hup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// The first SIGINT waits for the step in work; the second does not.
#[test]
fn a_second_sigint_ends_it_at_once_and_leaves_the_last_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    // `start` returns soon after a save, when the next step has just begun, far longer than both signals.
    let child = start(folder.path(), SLOW);
    send(&child, "-INT");
    std::thread::sleep(Duration::from_millis(20));
    send(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert_eq!(output.status.signal(), None);
    let newest = load_any(&folder.path().join("checkpoints")).unwrap();
    assert!(newest.broken.is_empty());
    Checkpoint::load(&newest.path).unwrap();
    assert!(!errors(&output).contains("stopped;"), "nobody waited for its save");
}

/// A step of a second or more, as a child whose messages are read while it works.
const SLOW: &str = "train --hidden 512 --layers 3 --batch 100 --unroll 80 --epochs 10000 --save-every 1 \
                    --no-samples --threads 1";

#[test]
fn a_signal_is_announced_at_once_and_not_after_the_step() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        if signal == "-HUP" && ignores_hup() {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut child = start(folder.path(), SLOW);
        let sent = Instant::now();
        send(&child, signal);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let said = lines.find(|line| line.contains("stopping after this step"));
        let waited = sent.elapsed();
        assert!(said.is_some(), "{signal} was not announced");
        assert!(child.try_wait().unwrap().is_none(), "the step goes on");
        assert!(waited < Duration::from_millis(600), "{signal}: {waited:?}");
        // Ctrl-C ends it at once after any of them.
        send(&child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(130), "after {signal}");
        assert!(!lines.any(|line| line.contains("stopped;")), "nobody waited for its save");
    }
}

/// `nohup` starts a command with SIGHUP ignored; only Linux tells a program so. A script starts what goes to the background
/// with SIGINT ignored, and yet its `kill -INT` is meant.
#[cfg(target_os = "linux")]
#[test]
fn a_run_under_nohup_outlives_its_terminal_and_a_script_can_stop_one_in_the_background() {
    let folder = with_text();
    let script = format!("trap '' HUP INT; exec {} {ENDLESS}", env!("CARGO_BIN_EXE_karenina"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_a_save(folder.path());
    send(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
    send(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(target_os = "linux")]
#[test]
fn a_program_that_cannot_be_told_of_the_end_is_told_what_is_saved() {
    let folder = with_text();
    let words = format!("{ENDLESS} --json");
    let mut command = karenina(folder.path(), words.split_whitespace());
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command.stderr(Stdio::piped()).stdout(full).spawn().unwrap();
    wait_for_a_save(folder.path());
    send(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(143), "{said}");
    assert!(said.contains("standard output") && said.ends_with(".ckpt is saved\n"), "{said}");
}

#[test]
fn a_run_in_a_folder_of_any_name_says_a_command_that_goes_on_with_it() {
    let folder = with_text();
    let name = name_of(b"it's \"$HOME\" `id`;\n\\n\xff\xe2\x80\xae !#~&|<>(){}*?");
    let mut option = OsStr::new("--run=").to_owned();
    option.push(&name);
    let words = ENDLESS.split_whitespace().map(OsStr::new).chain([&*option]);
    let mut command = karenina(folder.path(), words);
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let run = folder.path().join(&name);
    wait_for_a_save_in(&run);
    send(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    let step = load_any(&run).unwrap().checkpoint.step;
    let messages = errors(&output);
    let (_, command) = messages.trim_end().split_once("To continue: ").unwrap();
    assert!(!command.contains('\n') && !command.contains('\u{202e}'), "{command}");
    paste(folder.path(), &format!("{command} --steps {}", step + 1));
    assert_eq!(load_any(&run).unwrap().checkpoint.step, step + 1);
}
