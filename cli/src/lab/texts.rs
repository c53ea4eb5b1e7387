//! Texts to look at, and a network for those who have none yet.

use std::path::Path;
use std::sync::Arc;

use karenina::error::Result;
use karenina::model::Sizes;
use karenina::sample::Picker;
use karenina::study::report::sample;
use karenina::text::corpus::Corpus;
use karenina::train::TrainConfig;
use karenina::train::run::{Loaded, load_best};

use super::api::{Network, Source};
use crate::input::{TextArgs, new_network as initial};

/// Passages of the text that can be clicked.
const EXCERPTS: usize = 8;
/// Characters of each.
const LENGTH: usize = 240;
/// Layers and cells of a network that is new.
const NEW: (usize, usize) = (2, 8);

/// Passages from all over the user's text. Where the text is not at hand, the network of the `run` writes some.
///
/// * `is_beside`: a training goes on, whose text may be long and is not read twice
pub fn excerpts(texts: &TextArgs, run: &Path, is_beside: bool) -> Result<Vec<String>> {
    let corpus = (!is_beside).then(|| texts.read()).transpose()?;
    if let Some(corpus) = corpus.as_ref().filter(|_| !texts.is_embedded()) {
        return Ok(passages(corpus));
    }
    let Ok(Loaded { checkpoint: best, .. }) = load_best(run) else { return Ok(Vec::new()) };
    Ok(match corpus {
        Some(corpus) if best.text_sha256 == corpus.sha256() => passages(&corpus),
        _ => (0..3).map(|seed| sample(&best, LENGTH, Picker::default(), seed).text).collect(),
    })
}

/// Evenly spread passages, each from the start of a line or a word on.
pub fn passages(corpus: &Corpus) -> Vec<String> {
    let count = EXCERPTS.min(corpus.len().div_ceil(LENGTH));
    let passage = |n: usize| {
        // Not `characters().skip(…)`, which takes seconds for a long text.
        let places = n * corpus.len() / count..corpus.len();
        let character = |place| corpus.vocabulary().character(corpus.ids().at(place));
        let mut characters = places.map(character).peekable();
        while n > 0 && characters.next_if(|c| !c.is_whitespace()).is_some() {}
        characters.skip_while(|c| c.is_whitespace()).take(LENGTH).collect::<String>()
    };
    (0..count).map(passage).filter(|text| text.chars().count() > 1).collect()
}

/// A small network as training starts it, over the characters of the text.
pub fn new_network(corpus: &Corpus) -> Result<Source> {
    let vocabulary = corpus.vocabulary().clone();
    let (layers, hidden) = NEW;
    let sizes = Sizes::new(vocabulary.len(), hidden, layers);
    let parameters = Arc::new(initial(sizes, 0)?);
    let config = TrainConfig::builder().hidden(hidden).layers(layers).build()?;
    let network =
        Network { name: "0".into(), key: "0".into(), step: 0, vocabulary, parameters, config };
    let name = format!("a new, untrained network of {layers} x {hidden} cells");
    Ok(Source::New { name, network: Arc::new(network) })
}
