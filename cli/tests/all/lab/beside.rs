//! `train --lab`: the training's bits are the same, whoever asks the lab, and the lab ends with the training.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::load_any;
use serde_json::Value;

use super::support::{ask, port};
use crate::command::{karenina, succeed, with_text};

const TRAIN: &str = "train text --preset article --hidden 48 --layers 2 --batch 4 --unroll 20 --epochs 1000000 --save-every 100000 \
                     --no-samples --threads 1 --json";
const CLIENTS: usize = 50;
/// Answers that they get before the training is stopped.
const ANSWERS: usize = 150;

/// The newest checkpoint of a run without what it says of its name, its times and its end.
fn numbers(folder: &Path, run: &str) -> Checkpoint {
    let mut checkpoint = load_any(&folder.join(run)).unwrap().checkpoint;
    checkpoint.run = None;
    checkpoint.config.steps = None;
    checkpoint.history.iter_mut().for_each(|row| row.seconds = 0.0);
    checkpoint
}

/// Starts a training with a lab; returns it with the lab's address and what else it prints.
fn start(
    folder: &Path,
    arguments: &str,
) -> (std::process::Child, String, impl Iterator<Item = Value> + use<>) {
    let mut command = karenina(folder, arguments.split_whitespace());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut events = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let lab = events.by_ref().find(|event| event["event"] == "lab").expect("a lab");
    (child, lab["address"].as_str().unwrap().into(), events)
}

/// Asks again and again until `answered` is as high as it shall be.
fn client(number: usize, address: &str, answered: &AtomicUsize) {
    let questions = [
        ("watch", "{\"runs\":[0]}".to_string()),
        ("walk", format!("{{\"network\":\"0\",\"text\":\"abcd{}\"}}", "efg".repeat(number))),
        (
            "equations",
            "{\"network\":\"0:0\",\"text\":\"abcabc\",\"step\":1,\"layer\":0,\"unit\":0}".into(),
        ),
    ];
    let start = Instant::now();
    for (name, question) in questions.iter().cycle().skip(number) {
        if answered.load(Ordering::Relaxed) >= ANSWERS {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "{answered:?} answers in two minutes");
        if ask(address, name, question).is_ok_and(|(status, _)| status == 200) {
            answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn fifty_clients_at_its_lab_change_no_bit_of_a_training() {
    let folder = with_text();
    let (mut child, address, mut events) =
        start(folder.path(), &format!("{TRAIN} --run watched --lab"));
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (address, answered) = (&address, &answered);
            scope.spawn(move || client(number, address, answered));
        }
        // What it prints must be read, or it would wait.
        let stopped = std::thread::scope(|scope| {
            let end = scope.spawn(|| events.find(|event| event["event"] == "end").expect("an end"));
            while answered.load(Ordering::Relaxed) < ANSWERS {
                std::thread::sleep(Duration::from_millis(10));
            }
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
            end.join().unwrap()
        });
        assert_eq!(stopped["reason"], "stopped");
    });
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let watched = numbers(folder.path(), "watched");
    assert!(watched.step > 0, "it was stopped before it began");
    let steps = watched.step;
    succeed(folder.path(), &format!("{TRAIN} --run alone --steps {steps}"));
    assert!(watched == numbers(folder.path(), "alone"), "other bits after {steps} steps");
}

#[test]
fn the_lab_ends_soon_after_a_training_that_was_killed() {
    let folder = with_text();
    let endless = "train text --preset article --hidden 8 --layers 1 --batch 2 --unroll 8 --epochs 1000000 --no-samples --threads 1 --json --lab";
    let (mut child, address, _) = start(folder.path(), endless);
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    assert!(ask(&address, "watch", "{\"runs\":[0]}").is_ok(), "who looks on can see the end");
    while TcpStream::connect(("127.0.0.1", port(&address))).is_ok() {
        assert!(killed.elapsed() < Duration::from_secs(30), "it is still there");
        std::thread::sleep(Duration::from_millis(100));
    }
}
