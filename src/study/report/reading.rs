//! One pass over a text, with everything that the network thought on the way.

use ndarray::{Array2, Array3, ArrayView2, Axis, s};

use super::features;
use crate::math::Real;
use crate::memory;
use crate::model::{Network, Parameters, Shard, Sizes, State};
use crate::study::trace::pass::column;
use crate::study::trace::ranked;

/// Steps computed at once.
const UNROLL: usize = 100;
/// How many of the most probable characters are kept.
const TOP: usize = 5;

/// A character's id and the probability it was given.
pub type Guess = (u32, f32);

/// A text of N + 1 characters, read from an empty memory: N steps, each of which reads one character
/// and predicts the next.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Reading {
    /// All N + 1 ids.
    pub ids: Vec<u32>,
    /// −log₂ of the probability that the next character was given, in bits, `[N]`.
    pub surprise: Vec<f32>,
    /// The most probable next characters, the likeliest first: five, or V if there are fewer, [N, 5].
    pub guesses: Array2<Guess>,
    /// tanh of the cell states after each step, normalised ones where the network has those, for each layer [N, H].
    pub cells: Vec<Array2<f32>>,
    /// The gates i, f, g, o at each step, for each layer [N, 4H].
    pub gates: Vec<Array2<f32>>,
}

impl Reading {
    /// Bytes that the reading of a text and the search for cells in it take; `u64::MAX` for as much and more.
    ///
    /// * for each cell i, f, g, o and tanh c, and tanh c once more, standardised
    /// * for each character itself and its surprise, the guesses, the properties, and three copies of
    ///   the property that is looked for: shifted along the text, as a column, standardised
    /// * once: the network that reads
    pub fn bytes(sizes: Sizes, characters: usize) -> u64 {
        let [h, l, n] = [sizes.hidden, sizes.layers, characters].map(|size| size as f64);
        let numbers = 6.0 * h * l + (2 + features::COUNT + 3) as f64;
        let guesses = sizes.vocabulary.min(TOP) * size_of::<Guess>();
        let tape = Network::<f32>::tape_bytes(sizes, 1, UNROLL, false);
        let read = (n * (4.0 * numbers + guesses as f64)) as u64;
        memory::sum([tape, Network::<f32>::packed_bytes(sizes), read])
    }

    /// Reads `ids`.
    ///
    /// # Panics
    /// If there are fewer than two.
    pub fn new(parameters: &Parameters<f32>, ids: Vec<u32>) -> Self {
        assert!(ids.len() > 1, "{} characters: nothing to predict", ids.len());
        let (sizes, steps) = (parameters.sizes(), ids.len() - 1);
        let empty = |width| vec![Array2::zeros((steps, width)); sizes.layers];
        let mut reading = Self {
            surprise: Vec::with_capacity(steps),
            guesses: Array2::default((steps, sizes.vocabulary.min(TOP))),
            cells: empty(sizes.hidden),
            gates: empty(4 * sizes.hidden),
            ids,
        };
        let mut state = State::zeros(sizes, 1);
        let full = steps - steps % UNROLL;
        for (steps, unroll) in [(0..full, UNROLL), (full..steps, steps % UNROLL)] {
            if steps.is_empty() {
                continue;
            }
            let mut network = Network::new(sizes, 1, unroll, 1);
            let mut network = network.prepare(parameters);
            for start in steps.step_by(unroll) {
                let [inputs, targets] =
                    [start, start + 1].map(|first| column(&reading.ids[first..first + unroll]));
                network.loss(inputs, targets, &mut state, None);
                reading.write_down(start, &network.shards()[0]);
            }
        }
        reading
    }

    /// Copies what the network's tapes hold to the steps from `start` on.
    fn write_down(&mut self, start: usize, shard: &Shard<f32>) {
        let steps = start..start + shard.losses.nrows();
        self.surprise.extend(shard.losses.iter().map(|nats| nats / std::f32::consts::LN_2));
        let mut guesses = self.guesses.slice_mut(s![steps.clone(), ..]);
        for (guesses, p) in guesses.rows_mut().into_iter().zip(row_of(&shard.p).rows()) {
            guesses.into_iter().zip(ranked(p)).for_each(|(guess, next)| *guess = next);
        }
        for (l, layer) in shard.layers.iter().enumerate() {
            let shown = row_of(&layer.lstm.c_hat()).mapv(Real::tanh);
            self.cells[l].slice_mut(s![steps.clone(), ..]).assign(&shown);
            self.gates[l].slice_mut(s![steps.clone(), ..]).assign(&row_of(&layer.lstm.gates));
        }
    }

    /// N, the steps.
    pub fn steps(&self) -> usize {
        self.surprise.len()
    }

    /// Mean surprise in bits per character.
    pub fn mean_surprise(&self) -> f64 {
        self.surprise.iter().map(|&bits| f64::from(bits)).sum::<f64>() / self.steps() as f64
    }
}

/// The only row of a batch of one, [T, …].
fn row_of(batch: &Array3<f32>) -> ArrayView2<'_, f32> {
    batch.index_axis(Axis(1), 0)
}
