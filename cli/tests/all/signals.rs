//! SIGINT and SIGTERM: the step is finished, saved, and how to go on is said.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{errors, karenina, succeed, with_text};
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::load_any;

const ENDLESS: &str = "train text --hidden 8 --layers 1 --batch 2 --unroll 8 --epochs 1000000 \
                       --save-every 20 --no-samples --threads 1";

/// A run without end that has saved something.
fn start(folder: &Path, arguments: &str) -> Child {
    let mut command = karenina(folder, arguments.split_whitespace());
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while load_any(&folder.join("checkpoints")).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was saved in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn send(child: &Child, signal: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}

#[test]
fn a_signal_ends_the_run_after_its_step_with_a_checkpoint_of_that_step() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
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
        let (_, command) = how.split_once("To go on: karenina ").unwrap();
        let last = saved.step + 3;
        succeed(folder.path(), &format!("{command} --steps {last}"));
        let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        assert_eq!(end.step, last, "the command that was printed goes on");
    }
}

/// The first SIGINT waits for the step in work; the second does not.
#[test]
fn a_second_sigint_ends_it_at_once_and_leaves_the_last_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    // `start` returns soon after a save, when the next step has just begun; on the embedded text it
    // takes a second or more, far longer than both signals.
    let slow = "train --hidden 512 --layers 3 --batch 100 --unroll 80 --epochs 10000 --save-every 1 \
                --no-samples --threads 1";
    let child = start(folder.path(), slow);
    send(&child, "-INT");
    std::thread::sleep(Duration::from_millis(20));
    send(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", errors(&output));
    assert_eq!(output.status.signal(), None);
    let newest = load_any(&folder.path().join("checkpoints")).unwrap();
    assert!(newest.broken.is_empty());
    assert!(Checkpoint::load(&newest.path).unwrap().step >= 1);
    assert!(!errors(&output).contains("stopped;"), "nobody waited for its save");
}
