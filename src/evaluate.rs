//! Level 3 of the code: how well a network predicts a text that it does not learn from.

use ndarray::{Array2, ArrayView2, s};

use crate::math::Real;
use crate::memory;
use crate::model::{Network, Parameters, Sizes, State};
use crate::optim::adam::{Adam, AdamConfig};
use crate::optim::clip::clip_by_global_norm;
use crate::text::ids::Ids;

/// Steps computed at once.
const UNROLL: usize = 100;

/// The mean loss over a text, and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evaluation {
    /// Characters predicted: all but the text's first.
    pub characters: usize,
    /// Mean cross-entropy in nats per character.
    pub nats: f64,
}

impl Evaluation {
    /// e^nats: the number of equally likely characters that would be as hard to guess.
    pub fn perplexity(&self) -> f64 {
        libm::exp(self.nats)
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
    memory::sum([tapes, Network::<R>::packed_bytes(sizes)])
}

/// Bytes of memory that [`evaluate_dynamically`] takes for `rows` rows beside parameters and text; `u64::MAX` for
/// as much and more.
pub fn dynamic_evaluation_bytes<R: Real>(sizes: Sizes, rows: usize) -> u64 {
    let learner = Parameters::<R>::bytes(sizes).saturating_mul(4); // weights, gradients and two moments
    let transposed = Network::<R>::packed_bytes(sizes);
    memory::sum([evaluation_bytes::<R>(sizes, rows), transposed, learner])
}

/// Reads `ids` and predicts each character from all before it, the state carried on.
///
/// With `rows` = 1 the text is read in one piece. More rows cut it into as many contiguous pieces
/// that are read side by side: much faster, but each piece starts from an empty memory (its first
/// character is the last that the piece before predicted, so every character but the text's first
/// counts once).
///
/// * `ids`: the text, in the network's own vocabulary; see [`Corpus::in_terms_of`](crate::text::corpus::Corpus::in_terms_of)
/// * `threads`: as for [`Network::new`]
///
/// # Panics
/// If the text has fewer than `rows` + 1 characters or has one that the network lacks, or `rows` is 0.
///
/// ```
/// use karenina::evaluate::evaluate;
/// use karenina::model::{Parameters, Sizes};
/// use karenina::text::corpus::Corpus;
///
/// let corpus = Corpus::from_text("to and fro");
/// let sizes = Sizes::new(corpus.vocabulary().len(), 8, 1);
/// let blank = Parameters::<f32>::zeros(sizes); // all characters are as likely
/// let found = evaluate(&blank, corpus.ids(), 1, 1);
/// assert_eq!(found.characters, 9);
/// assert!((found.perplexity() - sizes.vocabulary as f64).abs() < 1e-4);
/// ```
pub fn evaluate<R: Real>(
    parameters: &Parameters<R>,
    ids: &Ids,
    rows: usize,
    threads: usize,
) -> Evaluation {
    let sizes = parameters.sizes();
    over_rows(sizes, ids, rows, |stretch, state| {
        let mut network = Network::new(sizes, stretch.starts.len(), stretch.unroll, threads);
        let mut network = network.prepare(parameters);
        stretch.sum(ids, |x, y| network.loss(x, y, state, None))
    })
}

/// [`evaluate`] with a network that learns from what it has read: each batch of up to 100 characters a row counts
/// with the loss before the update that follows it, so nothing is predicted by a network that has seen it.
///
/// The update is Adam's (Eq. U3 to U6) without a first moment, β₁ = 0, at a constant `learning_rate`, after a clip
/// at 1. Dynamic evaluation comes from Mikolov et al., "Recurrent neural network based language model" (Interspeech
/// 2010); scaling the step by the gradients' root mean square, from Krause et al., "Dynamic Evaluation of Neural
/// Sequence Models" (ICML 2018).
///
/// With more than one row, a row also learns from what the others have read.
///
/// # Panics
/// As [`evaluate`], and if `learning_rate` is negative, infinite or not a number.
pub fn evaluate_dynamically<R: Real>(
    parameters: &Parameters<R>,
    ids: &Ids,
    rows: usize,
    learning_rate: f64,
    threads: usize,
) -> Evaluation {
    let is_rate = learning_rate.is_finite() && learning_rate >= 0.0;
    assert!(is_rate, "a learning rate of {learning_rate}");
    let sizes = parameters.sizes();
    let mut parameters = parameters.clone();
    let mut gradients = Parameters::zeros(sizes);
    let mut adam =
        Adam::new(AdamConfig { learning_rate, beta1: 0.0, ..AdamConfig::default() }, sizes);
    over_rows(sizes, ids, rows, |stretch, state| {
        let mut network = Network::new(sizes, stretch.starts.len(), stretch.unroll, threads);
        stretch.sum(ids, |x, y| {
            let loss = network.gradients(&mut gradients, &parameters, x, y, state, None);
            clip_by_global_norm(&mut gradients, 1.0);
            adam.update(&mut parameters, &gradients);
            loss
        })
    })
}

/// A stretch of the text that is read in batches of one shape.
struct Stretch {
    /// Where in the text each row begins.
    starts: Vec<usize>,
    /// Characters to read in each row, a multiple of `unroll`.
    length: usize,
    /// T, time steps of a batch.
    unroll: usize,
}

impl Stretch {
    /// The sum of the losses over all characters; `loss(inputs, targets)` gives a batch's mean.
    fn sum(&self, ids: &Ids, mut loss: impl FnMut(ArrayView2<u32>, ArrayView2<u32>) -> f64) -> f64 {
        let shape = (self.unroll, self.starts.len());
        let (mut x, mut y) = (Array2::zeros(shape), Array2::zeros(shape));
        let mut nats = 0.0;
        for t in (0..self.length).step_by(self.unroll) {
            for (row, start) in self.starts.iter().enumerate() {
                ids.read(start + t, x.column_mut(row));
                ids.read(start + t + 1, y.column_mut(row));
            }
            nats += loss(x.view(), y.view()) * x.len() as f64;
        }
        nats
    }
}

/// Cuts a text into `rows` rows and these into parts of whole batches; `read` returns the sum of the losses over one
/// and carries the state on.
fn over_rows<R: Real>(
    sizes: Sizes,
    ids: &Ids,
    rows: usize,
    mut read: impl FnMut(Stretch, &mut State<R>) -> f64,
) -> Evaluation {
    assert!(rows > 0 && ids.len() > rows, "{} characters for {rows} rows", ids.len());
    let predictions = ids.len() - 1;
    let length = predictions / rows;
    let mut read = |starts: Vec<usize>, length: usize, state: &mut State<R>| -> f64 {
        let rest = length % UNROLL;
        let after = starts.iter().map(|start| start + length - rest).collect();
        let stretches = [
            Stretch { starts, length: length - rest, unroll: UNROLL },
            Stretch { starts: after, length: rest, unroll: rest },
        ];
        stretches.into_iter().filter(|s| s.length > 0).map(|s| read(s, state)).sum()
    };
    let mut state = State::zeros(sizes, rows);
    let mut nats = read((0..rows).map(|row| row * length).collect(), length, &mut state);

    // What the division left over: the last row simply goes on.
    let rest = rows * length;
    if rest < predictions {
        let mut last = State {
            h: state.h.iter().map(|h| h.slice(s![rows - 1.., ..]).to_owned()).collect(),
            c: state.c.iter().map(|c| c.slice(s![rows - 1.., ..]).to_owned()).collect(),
        };
        nats += read(vec![rest], predictions - rest, &mut last);
    }
    Evaluation { characters: predictions, nats: nats / predictions as f64 }
}
