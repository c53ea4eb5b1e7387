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

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use door::{Door, Route};
use networks::Networks;
pub use networks::{Network, Source};
pub use refusal::Refusal;
use watching::Watched;
use writing::Minds;

/// Everything that can be asked.
#[derive(Debug)]
pub struct Lab {
    networks: Networks,
    minds: Minds,
    watched: Watched,
    excerpts: Vec<String>,
}

impl Lab {
    /// * `sources`: at least one
    /// * `excerpts`: of the user's texts, to look at
    /// * `last_step`: where the run ends to which the lab belongs
    pub fn new(sources: Vec<Source>, excerpts: Vec<String>, last_step: Option<u64>) -> Self {
        let (networks, minds) = (Networks::new(sources), Minds::new());
        Self { networks, minds, watched: Watched::new(last_step), excerpts }
    }

    /// The answer to a question without a body.
    pub fn get(&self, name: &str) -> Result<Value, Refusal> {
        match name.split_once('/') {
            None if name == "lab" => self.overview(),
            Some(("derivation", label)) => derivation::derivation(label),
            _ => Err(Refusal::new(404, "there is no such question")),
        }
    }

    /// The answer to a question with the JSON `body`.
    pub fn ask(&self, name: &str, body: &[u8]) -> Result<Value, Refusal> {
        let Self { networks, minds, watched, .. } = self;
        match name {
            "walk" => walking::walk(networks, &read(body)?),
            "equations" => walking::equations(networks, &read(body)?),
            "strips" => walking::strips(networks, &read(body)?),
            "map" => walking::map(networks, &read(body)?),
            "matrix" => walking::matrix(networks, &read(body)?),
            "nudge" => walking::nudge(networks, &read(body)?),
            "differences" => walking::differences(networks, &read(body)?),
            "reach" => walking::reach(networks, &read(body)?),
            "contrast" => walking::contrast(networks, &read(body)?),
            "cell" => walking::cell(networks, &read(body)?),
            "write" => writing::write(networks, minds, &read(body)?),
            "watch" => watching::watch(networks, watched, &read(body)?),
            "glance" => watching::glance(networks, watched, &read(body)?),
            _ => Err(Refusal::new(404, "there is no such question")),
        }
    }

    /// The runs, their checkpoints, and texts to begin with.
    fn overview(&self) -> Result<Value, Refusal> {
        let run = |source: &Source| {
            let steps = source.checkpoints()?.iter().map(|entry| entry.step).collect::<Vec<u64>>();
            let is_folder = source.folder().is_some();
            Ok(json!({ "name": source.name(), "steps": steps, "is_folder": is_folder }))
        };
        let runs: Result<Vec<Value>, Refusal> = self.networks.sources.iter().map(run).collect();
        Ok(json!({ "runs": runs?, "excerpts": self.excerpts }))
    }
}

/// The question in a body.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::bad(format!("the question cannot be read: {error}")))
}
