//! Layer 3: how well a network predicts a text that it does not learn from.

use ndarray::{Array2, s};

use crate::math::Real;
use crate::model::{Network, Parameters, Sizes, State};
use crate::text::ids::Ids;

/// Steps computed at once.
const UNROLL: usize = 100;

/// The mean loss over a text, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    let mut reader = Reader { parameters, ids, shards, network: None };
    let starts: Vec<usize> = (0..rows).map(|row| row * length).collect();
    let mut nats = reader.read(&starts, length, &mut state);

    // What the division left over: the last row simply goes on.
    let rest = rows * length;
    if rest < predictions {
        let mut last = State {
            h: state.h.iter().map(|h| h.slice(s![rows - 1.., ..]).to_owned()).collect(),
            c: state.c.iter().map(|c| c.slice(s![rows - 1.., ..]).to_owned()).collect(),
        };
        nats += reader.read(&[rest], predictions - rest, &mut last);
    }
    Evaluation { characters: predictions, nats: nats / predictions as f64 }
}

/// A network whose memory fits the piece of text in work.
struct Reader<'a, R: Real> {
    parameters: &'a Parameters<R>,
    ids: &'a Ids,
    shards: usize,
    network: Option<((usize, usize), Network<R>)>,
}

impl<R: Real> Reader<'_, R> {
    /// The sum of the losses over `length` characters in each row.
    ///
    /// * `starts`: where in the text the rows begin, `[rows]`
    fn read(&mut self, starts: &[usize], length: usize, state: &mut State<R>) -> f64 {
        let mut nats = 0.0;
        for t in (0..length).step_by(UNROLL) {
            let shape = (UNROLL.min(length - t), starts.len());
            let (mut x, mut y) = (Array2::zeros(shape), Array2::zeros(shape));
            for (row, start) in starts.iter().enumerate() {
                self.ids.read(start + t, &mut x.column_mut(row));
                self.ids.read(start + t + 1, &mut y.column_mut(row));
            }
            let parameters = self.parameters;
            let loss = self.network(shape).loss(parameters, x.view(), y.view(), state, None);
            nats += loss * x.len() as f64;
        }
        nats
    }

    fn network(&mut self, (unroll, rows): (usize, usize)) -> &mut Network<R> {
        let fits = self.network.take().filter(|(shape, _)| *shape == (unroll, rows));
        let (_, network) = self.network.insert(fits.unwrap_or_else(|| {
            let mut network = Network::new(self.parameters.sizes(), rows, unroll, self.shards);
            network.pack(self.parameters);
            ((unroll, rows), network)
        }));
        network
    }
}
