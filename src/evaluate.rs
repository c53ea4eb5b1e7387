//! Layer 3: how well a network predicts a text that it does not learn from.

use ndarray::{Array2, s};

use crate::math::Real;
use crate::model::{Network, Parameters, Sizes, State};
use crate::text::ids::Ids;

/// Steps computed at once.
const UNROLL: usize = 100;

/// The mean loss over a text, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Characters predicted: all but the first of each row.
    pub characters: usize,
    /// Mean cross-entropy in nats per character.
    pub nats: f64,
}

impl Evaluation {
    /// e^nats: the number of equally likely characters that would be as hard to guess.
    pub fn perplexity(&self) -> f64 {
        self.nats.exp()
    }

    /// nats / ln 2.
    pub fn bits_per_character(&self) -> f64 {
        self.nats / std::f64::consts::LN_2
    }
}

/// Bytes of memory that [`evaluate`] takes for `rows` rows beside parameters and text; `u64::MAX` for as
/// much and more.
pub fn evaluation_bytes<R: Real>(sizes: Sizes, rows: usize) -> u64 {
    let tapes = Network::<R>::tape_bytes(sizes, rows, UNROLL, false);
    tapes.saturating_add(Network::<R>::packed_bytes(sizes))
}

/// Reads `ids` and predicts each character from all before it, the state carried on.
///
/// With `rows` = 1 the text is read in one piece. More rows cut it into as many contiguous pieces
/// that are read side by side: much faster, but each piece starts from an empty memory (its first
/// character is the last that the piece before predicted, so every character but the text's first
/// counts once).
///
/// # Panics
/// If the text has not at least `rows` + 1 characters, or `rows` is 0.
pub fn evaluate<R: Real>(
    parameters: &Parameters<R>,
    ids: &Ids,
    rows: usize,
    shards: usize,
) -> Evaluation {
    assert!(rows > 0 && ids.len() > rows, "{} characters for {rows} rows", ids.len());
    let predictions = ids.len() - 1;
    let length = predictions / rows;
    let mut state = State::zeros(parameters.sizes(), rows);
    let starts: Vec<usize> = (0..rows).map(|row| row * length).collect();
    let mut nats = read(parameters, ids, &starts, length, &mut state, shards);

    // What the division left over: the last row simply goes on.
    let rest = rows * length;
    if rest < predictions {
        let mut last = State {
            h: state.h.iter().map(|h| h.slice(s![rows - 1.., ..]).to_owned()).collect(),
            c: state.c.iter().map(|c| c.slice(s![rows - 1.., ..]).to_owned()).collect(),
        };
        nats += read(parameters, ids, &[rest], predictions - rest, &mut last, shards);
    }
    Evaluation { characters: predictions, nats: nats / predictions as f64 }
}

/// The sum of the losses over `length` characters in each row.
///
/// * `starts`: where in the text the rows begin, `[rows]`
fn read<R: Real>(
    parameters: &Parameters<R>,
    ids: &Ids,
    starts: &[usize],
    length: usize,
    state: &mut State<R>,
    shards: usize,
) -> f64 {
    let full = length - length % UNROLL;
    let mut nats = 0.0;
    for (part, unroll) in [(0..full, UNROLL), (full..length, length % UNROLL)] {
        if part.is_empty() {
            continue;
        }
        let mut network = Network::new(parameters.sizes(), starts.len(), unroll, shards);
        let mut network = network.prepare(parameters);
        let shape = (unroll, starts.len());
        let (mut x, mut y) = (Array2::zeros(shape), Array2::zeros(shape));
        for t in part.step_by(unroll) {
            for (row, start) in starts.iter().enumerate() {
                ids.read(start + t, x.column_mut(row));
                ids.read(start + t + 1, y.column_mut(row));
            }
            nats += network.loss(x.view(), y.view(), state, None) * x.len() as f64;
        }
    }
    nats
}
