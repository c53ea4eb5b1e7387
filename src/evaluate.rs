//! Layer 3: how well a network predicts a text that it does not learn from.

use ndarray::{Array2, ArrayView2, s};

use crate::math::Real;
use crate::model::{Network, Parameters, State};

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
    ids: &[u32],
    rows: usize,
    shards: usize,
) -> Evaluation {
    assert!(rows > 0 && ids.len() > rows, "{} characters for {rows} rows", ids.len());
    let predictions = ids.len() - 1;
    let length = predictions / rows;
    let piece = |first: usize, shift: usize| {
        Array2::from_shape_fn((length, rows), |(t, row)| ids[row * length + first + t + shift])
    };
    let mut state = State::zeros(parameters.sizes(), rows);
    let mut reader = Reader { parameters, shards, network: None };
    let mut nats = reader.read(piece(0, 0).view(), piece(0, 1).view(), &mut state);

    // What the division left over: the last row simply goes on.
    let rest = rows * length;
    if rest < predictions {
        let column = |shift: usize| {
            Array2::from_shape_fn((predictions - rest, 1), |(t, _)| ids[rest + t + shift])
        };
        let mut last = State {
            h: state.h.iter().map(|h| h.slice(s![rows - 1.., ..]).to_owned()).collect(),
            c: state.c.iter().map(|c| c.slice(s![rows - 1.., ..]).to_owned()).collect(),
        };
        nats += reader.read(column(0).view(), column(1).view(), &mut last);
    }
    Evaluation { characters: predictions, nats: nats / predictions as f64 }
}

/// A network whose memory fits the piece of text in work.
struct Reader<'a, R: Real> {
    parameters: &'a Parameters<R>,
    shards: usize,
    network: Option<((usize, usize), Network<R>)>,
}

impl<R: Real> Reader<'_, R> {
    /// The sum of the losses over `inputs`, `targets` [T, rows], any T.
    fn read(
        &mut self,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
    ) -> f64 {
        let mut nats = 0.0;
        for start in (0..inputs.nrows()).step_by(UNROLL) {
            let end = (start + UNROLL).min(inputs.nrows());
            let (x, y) = (inputs.slice(s![start..end, ..]), targets.slice(s![start..end, ..]));
            let parameters = self.parameters;
            let loss = self.network(x.dim()).loss(parameters, x, y, state, None);
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
