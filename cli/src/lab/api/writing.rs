//! Answers of Write: what comes next, and a few characters more.

use std::sync::Arc;

use karenina::memory;
use karenina::sample::{Generator, Picker};
use karenina::study::lab::{Candidate, Draw, Reader};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cache::{Cache, Key};
use super::networks::{Network, Networks};
use super::refusal::{Answer, Refusal};

/// Characters that one answer may add.
const MOST: usize = 100;
/// Candidates for the next character that one answer lists.
const CANDIDATES: usize = 40;
/// Texts whose end is remembered, so that the next request goes on from there.
const MINDS: usize = 8;

#[derive(Deserialize)]
pub struct Write {
    network: String,
    text: String,
    /// Characters to write.
    count: usize,
    /// How many of the text's characters were drawn already.
    drawn: u64,
    temperature: f64,
    top_n: usize,
    top_p: f64,
    seed: u64,
}

/// The ends of texts that were read or written.
#[derive(Debug)]
pub struct Readers(Cache<Reader>);

impl Readers {
    pub fn new() -> Self {
        Self(Cache::new(MINDS))
    }

    /// What `network` keeps of `ids`; from the text without its last few characters, if that is known.
    fn read(&self, network: &Network, ids: &[u32]) -> Result<Arc<Reader>, Refusal> {
        self.0.get(&key(network, ids), || {
            let known = (1..=MOST.min(ids.len())).find_map(|n| {
                let (start, more) = ids.split_at(ids.len() - n);
                Some((self.0.known(&key(network, start))?, more))
            });
            let (mut reader, more) = match known {
                Some((reader, more)) => (Reader::clone(&reader), more),
                None => (Reader::empty(&network.parameters), ids),
            };
            reader.go_on(&network.parameters, more, 0, IDLE);
            Ok(reader)
        })
    }
}

/// Of a reader that only reads.
const IDLE: Draw = Draw { picker: Picker::ARTICLE, seed: 0, drawn: 0 };

fn key(network: &Network, ids: &[u32]) -> Key {
    format!("{} {ids:?}", network.key).into()
}

/// Reads the text, writes on, and tells what may come after that.
pub fn write(networks: &Networks, readers: &Readers, asked: &Write) -> Answer {
    let picker = Picker::default().with_top_n(asked.top_n).with_top_p(asked.top_p);
    let picker = picker.with_temperature(asked.temperature);
    picker.validate()?;
    if asked.count > MOST {
        return Err(Refusal::bad(format!("at most {MOST} characters are written at once")));
    }
    let network = networks.network(&asked.network)?;
    let ids = network.encode(&asked.text)?;
    if ids.is_empty() {
        return Err(Refusal::bad(
            "the text is empty; the network must read a character before it writes",
        ));
    }
    let bytes = Generator::<f64>::bytes(network.sizes(), 1);
    networks.with_room(|| Ok(memory::require(bytes, "writing a text")?))?;
    let read = readers.read(&network, &ids)?;
    let mut reader = Reader::clone(&read);
    let draw = Draw { picker, seed: asked.seed, drawn: asked.drawn };
    let written = reader.go_on(&network.parameters, &[], asked.count, draw);
    let next = reader.next(picker);
    if asked.count > 0 {
        readers.0.get(&key(&network, &reader.read), || Ok(reader))?;
    }
    let character = |id: u32| network.vocabulary.character(id);
    let candidate = |c: &Candidate| json!({ "character": character(c.id), "probability": c.probability, "drawn": c.drawn });
    Ok(json!({
        "network": network.name,
        "written": written.iter().map(|w| character(w.id)).collect::<String>(),
        "probabilities": written.iter().map(|w| w.probability).collect::<Vec<f64>>(),
        "next": next.iter().take(CANDIDATES).map(candidate).collect::<Vec<Value>>(),
        "more": next.len().saturating_sub(CANDIDATES),
    }))
}
