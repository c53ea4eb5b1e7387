//! Who is let in, what is answered to whom, and that nobody can hold up the others.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{Server, agree, exchange, walk};
use crate::command::{errors, karenina, run};
use crate::report_support::run_folder;
use karenina::study::trace::{Spot, significant};

#[test]
fn only_this_machine_s_own_name_and_the_token_open_the_door() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let (port, path) = (lab.port(), lab.path());
    let get = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        exchange(port, request.as_bytes()).unwrap()
    };
    let own = format!("127.0.0.1:{port}");
    assert_eq!(get(path, &own).0, 200);
    assert_eq!(get(path, &format!("localhost:{port}")).0, 200);
    for host in ["evil.example", "127.0.0.1", &format!("evil.example:{port}"), ""] {
        let (status, answer) = get(path, host);
        assert_eq!(
            (status, answer.contains("names another host")),
            (403, true),
            "{host}: {answer}"
        );
    }
    let without_host = exchange(port, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    assert_eq!(without_host.0, 403);
    for path in ["/", "/api/lab", "/0123456789abcdef0123456789abcdef/api/lab"] {
        let (status, answer) = get(path, &own);
        assert_eq!(
            (status, answer.contains("lacks this lab's token")),
            (403, true),
            "{path}: {answer}"
        );
    }
    for file in
        ["../text.txt", "%2e%2e/text.txt", "checkpoints/log.csv", "/etc/passwd", "nothing.js"]
    {
        assert_eq!(get(&format!("{path}{file}"), &own).0, 404, "{file}");
    }
    assert!(TcpStream::connect(("127.0.0.2", port)).is_err(), "it listens on 127.0.0.1 alone");
}

#[test]
fn every_answer_forbids_what_comes_from_elsewhere() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let mut stream = TcpStream::connect(("127.0.0.1", lab.port())).unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
        lab.path(),
        lab.port()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self';"),
        "{head}"
    );
    assert!(!page.contains("http://") && !page.contains("https://"), "{page}");
}

/// A text for the network of [`run_folder`].
const TEXT: &str = "The said (the 3rd";

#[test]
fn numbers_are_the_engine_s() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let walk = walk(&folder.path().join("checkpoints"), TEXT);
    let spot = Spot { step: 4, layer: 1, unit: 3 };
    let asked = json!({"network": "0", "text": TEXT, "step": 4, "layer": 1, "unit": 3});
    let found = lab.ask("equations", &asked);
    let (found, expected) = (found.as_array().unwrap(), walk.equations(spot).unwrap());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found["label"], expected.label);
        assert!(agree(found["value"].as_f64().unwrap(), expected.value), "{found}");
    }
    assert!(!lab.end().contains("panicked"));
}

/// What is asked, and what the answer must say.
fn bad_questions() -> Vec<(&'static str, Value, &'static str)> {
    let long = "T".repeat(5000);
    vec![
        ("walk", json!({"network": "0", "text": "Ω"}), "'Ω'"),
        (
            "walk",
            json!({"network": "0", "text": "T"}),
            "text is 1 character, but must be at least 2",
        ),
        ("walk", json!({"network": "0", "text": long}), "at most 4000"),
        ("walk", json!({"network": "../x"}), "names no network"),
        (
            "equations",
            json!({"step": 99, "layer": 0, "unit": 0}),
            "step is 99, but must be at most 15",
        ),
        ("strips", json!({"unit": 12, "from": 0, "to": 4}), "unit is 12, but must be at most 11"),
        (
            "strips",
            json!({"unit": 0, "from": 0, "to": u64::MAX}),
            "18446744073709551615 numbers are too many",
        ),
        ("matrix", json!({"tensor": "w", "rows": [0, 1], "columns": [0, 1]}), "tensor is w"),
        (
            "map",
            json!({"layer": 0, "quantity": "c", "units": [0, 99999999], "steps": [0, 99999999]}),
            "too many",
        ),
        ("nudge", json!({"tensor": "b_l0", "row": 0, "column": 0, "epsilons": []}), "values of ε"),
        (
            "reach",
            json!({"networks": [], "text": "The", "at": 0, "window": 1}),
            "one or two networks",
        ),
        ("contrast", json!({"from": 2, "to": 2, "count": 1}), "span is 2 to 2"),
    ]
}

#[test]
fn bad_questions_get_a_sentence() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let refused = |name, question: &str, status, sentence| {
        let (found, said) = lab.refusal(name, question);
        assert_eq!(found, status, "{name} {question}: {said}");
        assert!(said.contains(sentence), "{name} {question}: {said}");
        assert!(!said.contains('\n'), "{said}");
    };
    refused("walk", "", 400, "the request cannot be read");
    for (name, mut question, sentence) in bad_questions() {
        let asked = question.as_object_mut().unwrap();
        if name != "reach" {
            asked.entry("network").or_insert("0".into());
            asked.entry("text").or_insert(TEXT.into());
        }
        refused(name, &question.to_string(), 400, sentence);
    }
    refused("walk", r#"{"network":"7","text":"The"}"#, 404, "there is no run 7");
    refused("walk", r#"{"network":"0:999","text":"The"}"#, 404, "no checkpoint of step 999");
    refused("watch", r#"{"runs":[3]}"#, 404, "there is no run 3");
    refused("nothing", "{}", 404, "there is no such request");
    assert!(!lab.end().contains("panicked"));
}

#[test]
fn what_is_too_large_is_refused_and_who_is_slow_holds_up_nobody() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let (port, path) = (lab.port(), lab.path());
    let large = format!("{{\"network\":\"0\",\"text\":\"{}\"}}", "T".repeat(1 << 20));
    assert_eq!(lab.refusal("walk", &large).0, 413);
    let headers = |count: usize, value: &str| {
        let lines: String = (0..count).map(|n| format!("X-{n}: {value}\r\n")).collect();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{lines}\r\n"
        );
        exchange(port, head.as_bytes()).map_or(0, |(status, _)| status)
    };
    assert_eq!(headers(10, "x"), 200);
    assert!([431, 0].contains(&headers(100, "x")), "more headers than anybody needs");
    assert!([431, 0].contains(&headers(2, &"x".repeat(20_000))), "larger ones");

    // A head that does not end, a body that does not come, and more of both than there are places.
    let slow: Vec<TcpStream> = (0..150)
        .map(|n| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let start = match n % 2 {
                0 => format!("GET {path} HTT"),
                _ => format!("POST {path}api/walk HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\n{{"),
            };
            stream.write_all(start.as_bytes()).unwrap();
            stream
        })
        .collect();
    let start = Instant::now();
    lab.ask("walk", &json!({"network": "0", "text": "The said"}));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    for mut stream in slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap(); // an end, not a timeout
        assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}");
    }
}

#[test]
fn a_text_from_standard_input_is_read_once() {
    let folder = run_folder();
    let below = folder.path().join("without a run");
    fs::create_dir(&below).unwrap();
    let mut command = karenina(&below, ["lab", "-"]);
    command.stdin(File::open(folder.path().join("text.txt")).unwrap());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
    child.kill().unwrap();
    let said = errors(&child.wait_with_output().unwrap());
    assert!(address.starts_with("http://127.0.0.1:"), "{said}");
}

#[test]
fn what_the_command_line_gets_wrong_it_is_told() {
    let folder = run_folder();
    let refused = |arguments: &str| {
        let output = run(folder.path(), arguments);
        (output.status.code(), errors(&output))
    };
    let (code, said) = refused("lab --run nowhere");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("karenina: cannot read nowhere: "), "{said}");
    let (code, said) = refused("lab --run text.txt");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("karenina: ") && said.contains("text.txt"), "{said}");
    let expected = "karenina: --port is 70000, but must be a whole number from 0 to 65535\n";
    assert_eq!(refused("lab --port 70000"), (Some(2), expected.into()));
    let lab = Server::start(folder.path(), "text.txt");
    let (code, said) = refused(&format!("lab text.txt --port {}", lab.port()));
    assert_eq!(code, Some(1));
    assert!(
        said.starts_with(&format!("karenina: cannot listen on 127.0.0.1:{}: ", lab.port())),
        "{said}"
    );
}

#[test]
fn without_a_run_there_is_a_network_that_is_new() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("checkpoints")).unwrap(); // as in a checkout
    let lab = Server::start(Path::new(folder.path()), "");
    let found = lab.ask("walk", &json!({"network": "0", "text": "The mill"}));
    assert_eq!(found["sizes"]["hidden"], 8);
    assert_eq!(found["steps"].as_array().unwrap().len(), 7);

    // The tour computes two of its numbers by hand.
    let tour = include_str!("../../../../docs/lab.md");
    for (label, step, value) in [("F6", 3, "−0.0680805"), ("B8", 8, "−3.97181e-4")] {
        let asked = json!({"network": "0", "text": "to be or not to be", "step": step, "layer": 0, "unit": 0});
        let equations = lab.ask("equations", &asked);
        let all = equations.as_array().unwrap();
        let equation = all.iter().find(|equation| equation["label"] == label).unwrap();
        assert!(tour.contains(equation["numbers"].as_str().unwrap()), "{equation}");
        let found = significant(equation["value"].as_f64().unwrap(), 6).replacen('-', "−", 1);
        assert!(found == value && tour.contains(value), "{found}");
    }
}

/// Where memory runs out the lab is ended, but not the browser that it has opened.
#[cfg(target_os = "linux")]
#[test]
fn the_browser_is_not_ended_first() {
    use std::process::Command;
    let folder = crate::command::with_text();
    // Written by another process: what this one may have open for writing cannot be started.
    let write = "printf '#!/bin/sh\ncat /proc/self/oom_score_adj > part; mv part found' > xdg-open; chmod +x xdg-open";
    assert!(
        Command::new("sh").args(["-c", write]).current_dir(&folder).status().unwrap().success()
    );
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let lab =
        Server::start_as(karenina(folder.path(), ["lab", "text", "--open"]).env("PATH", path));
    let found = folder.path().join("found");
    let start = Instant::now();
    while !found.exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "no browser");
        std::thread::sleep(Duration::from_millis(10));
    }
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(fs::read_to_string(found).unwrap(), own);
    lab.end();
}
