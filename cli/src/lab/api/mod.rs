//! What the lab answers: from a request's method, path, host and body to a status and a body. Nothing here knows of
//! sockets, so that a fuzzer and tests can ask as a browser does.

mod cache;
mod derivation;
mod door;
mod networks;
mod refusal;
mod walking;
mod watching;
mod writing;

use karenina::study::lab::Walk;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use door::{Door, Route};
use networks::Networks;
pub use networks::{Network, Source};
use refusal::Answer;
pub use refusal::Refusal;
use walking::Asked;
use watching::Watched;
use writing::Readers;

/// Everything that can be asked.
#[derive(Debug)]
pub struct Lab {
    networks: Networks,
    readers: Readers,
    watched: Watched,
    excerpts: Vec<String>,
}

impl Lab {
    /// * `sources`: at least one
    /// * `excerpts`: of the user's texts, to look at
    /// * `last_step`: where the run ends to which the lab belongs
    pub fn new(sources: Vec<Source>, excerpts: Vec<String>, last_step: Option<u64>) -> Self {
        let watched = Watched::new(sources.len(), last_step);
        Self { networks: Networks::new(sources), readers: Readers::new(), watched, excerpts }
    }

    /// The answer to a question without a body.
    pub fn get(&self, name: &str) -> Answer {
        match name.split_once('/') {
            None if name == "lab" => self.overview(),
            Some(("derivation", label)) => derivation::derivation(label),
            _ => Err(Refusal::new(404, "there is no such request")),
        }
    }

    /// The answer to a question with the JSON `body`.
    pub fn ask(&self, name: &str, body: &[u8]) -> Answer {
        let Self { networks, readers, watched, .. } = self;
        match name {
            "walk" => walking::walk(networks, &read(body)?),
            "equations" => on_walk(networks, body, walking::equations),
            "strips" => on_walk(networks, body, walking::strips),
            "map" => on_walk(networks, body, walking::map),
            "matrix" => on_walk(networks, body, walking::matrix),
            "nudge" => on_walk(networks, body, walking::nudge),
            "differences" => on_walk(networks, body, walking::differences),
            "reach" => walking::reach(networks, &read(body)?),
            "contrast" => on_walk(networks, body, walking::contrast),
            "cell" => on_walk(networks, body, walking::cell),
            "write" => writing::write(networks, readers, &read(body)?),
            "watch" => watching::watch(networks, watched, &read(body)?),
            "glance" => watching::glance(networks, watched, &read(body)?),
            _ => Err(Refusal::new(404, "there is no such request")),
        }
    }

    /// The runs, their checkpoints, and texts to begin with.
    fn overview(&self) -> Answer {
        let run = |source: &Source| {
            let steps = source.checkpoints()?.iter().map(|entry| entry.step).collect::<Vec<u64>>();
            let is_folder = source.folder().is_some();
            Ok(json!({ "name": source.name(), "steps": steps, "is_folder": is_folder }))
        };
        let runs: Result<Vec<Value>, Refusal> = self.networks.sources.iter().map(run).collect();
        Ok(json!({ "runs": runs?, "excerpts": self.excerpts }))
    }
}

/// The `answer` to the question in a body about a walk.
fn on_walk<T: DeserializeOwned>(
    networks: &Networks,
    body: &[u8],
    answer: fn(&Walk, &T) -> Answer,
) -> Answer {
    let Asked { on, what } = read::<Asked<T>>(body)?;
    answer(&*networks.walk(&on.network, &on.text)?, &what)
}

/// The question in a body.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the request cannot be read: {error}")))
}
