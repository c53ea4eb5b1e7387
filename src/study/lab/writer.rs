//! A network that has read a text, and writes on from there.

use ndarray::{Array1, ArrayView1};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::Serialize;

use crate::model::{Parameters, State};
use crate::sample::{Generator, Picker};
use crate::study::trace::ranked;

/// How a text is drawn: with the random numbers of `karenina sample` for this seed, wherever one begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    /// What may be drawn.
    pub picker: Picker,
    /// Seed of the random numbers.
    pub seed: u64,
    /// Characters that were drawn before: so many random numbers are passed over.
    pub drawn: u64,
}

/// What a network keeps of a text that it has read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reader {
    /// The text.
    pub read: Vec<u32>,
    state: State<f64>,
    /// `[V]`; empty before the first character.
    logits: Array1<f64>,
}

/// A character that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Written {
    /// Its id.
    pub id: u32,
    /// The probability that the network gave it.
    pub probability: f64,
}

/// A character that may come next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// Its id.
    pub id: u32,
    /// The probability that the network gives it.
    pub probability: f64,
    /// The probability with which it is drawn.
    pub drawn: f64,
}

impl Reader {
    /// One that has read nothing.
    pub fn empty(parameters: &Parameters<f64>) -> Self {
        let state = State::zeros(parameters.sizes(), 1);
        Self { read: Vec::new(), state, logits: Array1::zeros(0) }
    }

    /// Reads `more`, then writes `count` characters.
    ///
    /// * `parameters`: always the same
    ///
    /// # Panics
    /// If it writes before it has read anything, or an id is no less than V.
    pub fn go_on(
        &mut self,
        parameters: &Parameters<f64>,
        more: &[u32],
        count: usize,
        draw: Draw,
    ) -> Vec<Written> {
        let mut generator = Generator::new(parameters, 1);
        generator.set_state(&self.state);
        for &id in more {
            self.logits = generator.step(&[id]).row(0).to_owned();
            self.read.push(id);
        }
        let mut rng = Pcg64::seed_from_u64(draw.seed);
        rng.advance(draw.drawn.into());
        let mut written = Vec::with_capacity(count);
        for _ in 0..count {
            assert!(!self.read.is_empty(), "nothing was read yet");
            let id = draw.picker.pick(self.logits.view(), &mut rng);
            let probability = by_id(EVERYTHING, self.logits.view())[id as usize];
            written.push(Written { id, probability });
            self.logits = generator.step(&[id]).row(0).to_owned();
            self.read.push(id);
        }
        self.state.clone_from(generator.state());
        written
    }

    /// All characters, the likeliest first; none before anything was read.
    pub fn next(&self, picker: Picker) -> Vec<Candidate> {
        if self.logits.is_empty() {
            return Vec::new();
        }
        let drawn = by_id(picker, self.logits.view());
        let all = Array1::from(by_id(EVERYTHING, self.logits.view()));
        let candidate =
            |(id, probability)| Candidate { id, probability, drawn: drawn[id as usize] };
        ranked(all.view()).into_iter().map(candidate).collect()
    }
}

/// Draws with the network's own probabilities (Eq. F10).
const EVERYTHING: Picker = Picker::ARTICLE.with_top_n(0);

/// The probability with which `picker` draws each id.
fn by_id(picker: Picker, logits: ArrayView1<f64>) -> Vec<f64> {
    let mut p = vec![0.0; logits.len()];
    for (id, probability) in picker.candidates(logits) {
        p[id as usize] = probability;
    }
    p
}
