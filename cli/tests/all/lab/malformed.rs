//! Ten thousand requests that no browser would send: the lab answers the next good one all the same.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::json;

use super::support::Server;
use crate::report_support::run_folder;

const REQUESTS: usize = 10_000;

/// Pieces of requests, good ones and others.
const PIECES: [&str; 26] = [
    "GET ",
    "POST ",
    "PUT ",
    " HTTP/1.1\r\n",
    " HTTP/9.9\r\n",
    "\r\n",
    "\r\n\r\n",
    "Host: ",
    "Content-Length: ",
    "Content-Length: -1\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Expect: 100-continue\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: h2c\r\n",
    "ffffffff\r\n",
    "0\r\n\r\n",
    "{",
    "}",
    "\"network\":\"0\",",
    "\"text\":\"The\",",
    "\"step\":",
    "-1",
    "1e999",
    "\0",
    "\u{202e}",
];

/// Names of what can be asked, with bodies that are right but for one thing.
const QUESTIONS: [(&str, &str); 18] = [
    ("walk", r#"{"network":"0","text":"The said"}"#),
    ("equations", r#"{"network":"0","text":"The said","step":1,"layer":0,"unit":0}"#),
    ("strips", r#"{"network":"0","text":"The said","unit":0,"from":0,"to":4}"#),
    (
        "map",
        r#"{"network":"0","text":"The said","layer":0,"quantity":"dc","units":[0,4],"steps":[0,4]}"#,
    ),
    ("matrix", r#"{"network":"0","text":"The said","tensor":"b_l0","rows":[0,1],"columns":[0,4]}"#),
    (
        "nudge",
        r#"{"network":"0","text":"The said","tensor":"b_l0","row":0,"column":1,"epsilons":[0.1]}"#,
    ),
    (
        "differences",
        r#"{"network":"0","text":"The said","tensor":"b_l0","row":0,"column":1,"epsilons":[0.1]}"#,
    ),
    ("reach", r#"{"networks":["0"],"text":"The said","at":3,"window":2}"#),
    ("contrast", r#"{"network":"0","text":"The said","from":1,"to":3,"count":5}"#),
    ("cell", r#"{"network":"0","text":"The said","layer":0,"unit":1}"#),
    (
        "write",
        r#"{"network":"0","text":"The","count":2,"drawn":0,"temperature":1,"top_n":5,"top_p":1,"seed":1}"#,
    ),
    ("watch", r#"{"runs":[0]}"#),
    ("glance", r#"{"run":0,"step":4,"text":"The said"}"#),
    // The others have no body.
    ("lab", ""),
    ("derivation/B8", ""),
    ("derivation/", ""),
    ("derivation/%ff", ""),
    ("lab/../derivation", ""),
];

/// One request: noise (0), pieces in any order (1), or a good question with some bytes changed (2).
fn request(rng: &mut Pcg64, kind: u32, path: &str, port: u16) -> Vec<u8> {
    match kind {
        0 => (0..rng.random_range(1..300)).map(|_| rng.random()).collect(),
        1 => {
            let count = rng.random_range(1..12);
            let mut pieces: Vec<&str> = (0..count).map(|_| *PIECES.choose(rng).unwrap()).collect();
            pieces.insert(rng.random_range(0..=count), path);
            pieces.concat().into_bytes()
        }
        _ => {
            let (name, body) = QUESTIONS.choose(rng).unwrap();
            let mut body = body.as_bytes().to_vec();
            for _ in 0..rng.random_range(0..4) {
                if let Some(at) = body.len().checked_sub(1) {
                    body[rng.random_range(0..=at)] =
                        *b"0123456789\",:[]{}-e.xS \xff".choose(rng).unwrap();
                }
            }
            let method = if body.is_empty() { "GET" } else { "POST" };
            let mut request = format!(
                "{method} {path}api/{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            request.reserve(body.len());
            [request.as_bytes(), &body].concat()
        }
    }
}

#[test]
fn ten_thousand_malformed_requests_leave_the_lab_as_it_was() {
    let folder = run_folder();
    let lab = Server::start(folder.path(), "text.txt");
    let good = json!({"network": "0", "text": "The said"});
    let before = lab.ask("walk", &good);
    #[cfg(target_os = "linux")]
    let memory = lab.memory();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (path, port) = (lab.path(), lab.port());
            scope.spawn(move || {
                let mut rng = Pcg64::seed_from_u64(thread);
                for _ in 0..REQUESTS / 4 {
                    let kind = rng.random_range(0..3);
                    // Hardly any noise has an end: the other side must see that no more will come.
                    send(port, &request(&mut rng, kind, path, port), kind < 2);
                }
            });
        }
    });
    assert_eq!(lab.ask("walk", &good), before);
    #[cfg(target_os = "linux")]
    {
        let grown = lab.memory().saturating_sub(memory);
        assert!(grown < 100 << 10, "{grown} KiB more than before");
    }
    let said = lab.end();
    assert!(!said.contains("panicked"), "{said}");
}

/// Sends it, and reads whatever comes until the other side has enough.
fn send(port: u16, request: &[u8], is_all: bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let _ = stream.write_all(request);
    if is_all {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let _ = stream.read_to_end(&mut Vec::new());
}
