//! Any request to the lab, without the socket: it is refused in a sentence or answered, and only who knows the token is
//! let in.
//!
//! The first byte decides what is asked: 0 the door, with method, path and host on three lines; others a question, with
//! the rest as its body.
#![no_main]

use std::sync::{Arc, LazyLock};

use karenina::model::{Parameters, Sizes};
use karenina::text::vocabulary::Vocabulary;
use karenina::train::TrainConfig;
use libfuzzer_sys::{Corpus, fuzz_target};

#[allow(dead_code, unused_imports, reason = "the command uses all of it")]
#[path = "../../cli/src/lab/api/mod.rs"]
mod api;

use api::{Door, Lab, Network, Source};

const TOKEN: &str = "token";
const QUESTIONS: [&str; 13] = [
    "walk", "equations", "strips", "map", "matrix", "nudge", "differences", "reach", "contrast", "cell", "write",
    "watch", "glance",
];

static LAB: LazyLock<Lab> = LazyLock::new(|| {
    let vocabulary = Vocabulary::from_text("abc ");
    let sizes = Sizes::new(vocabulary.len(), 3, 2);
    let mut parameters = Parameters::zeros(sizes);
    for (n, number) in parameters.numbers_mut().iter_mut().enumerate() {
        *number = (n as f64 * 0.7).sin();
    }
    let (parameters, config) = (Arc::new(parameters), TrainConfig::article());
    let network = Network { name: "new".into(), key: "0".into(), step: 0, vocabulary, parameters, config };
    let source = Source::New { name: "new".into(), network: Arc::new(network) };
    Lab::new(vec![source], Vec::new(), None)
});

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((&kind, rest)) = data.split_first() else { return Corpus::Reject };
    let refused = match kind {
        0 => {
            let Ok(text) = str::from_utf8(rest) else { return Corpus::Reject };
            let mut lines = text.lines();
            let (method, path) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
            let door = Door::new(TOKEN.into(), 7000);
            let opened = door.open(method, path, lines.next());
            assert!(opened.is_err() || path.starts_with("/token/"), "{path} has been let in");
            opened.err()
        }
        1 => str::from_utf8(rest).ok().and_then(|name| LAB.get(name).err()),
        _ => LAB.ask(QUESTIONS[kind as usize % QUESTIONS.len()], rest).err(),
    };
    if let Some(refusal) = refused {
        assert!((400..=503).contains(&refusal.status) && !refusal.sentence.is_empty());
    }
    Corpus::Keep
});
