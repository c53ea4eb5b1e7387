//! Layer 3: text from a trained network, one character at a time.

use std::mem::swap;

use half::{bf16, f16};
use ndarray::{Array1, Array2, ArrayView1};
use rand::Rng;

use crate::error::{Error, Result};
use crate::layers::lstm::{self, LstmParameters};
use crate::math::Real;
use crate::math::matmul::{Factor, Multiply, Packed};
use crate::math::weights::Weights;
use crate::model::{Network, Parameters, Sizes, State};

/// How the next character is drawn from the network's probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picker {
    /// Only the n most probable characters are drawn; 0 means all. Default 5, the article's.
    pub top_n: usize,
    /// Only the most probable characters that together reach this probability are drawn
    /// (Holtzman et al., arXiv 1904.09751). Default 1: all.
    pub top_p: f64,
    /// Logits are divided by this first: below 1 bolder, above 1 freer. Default 1.
    pub temperature: f64,
}

impl Default for Picker {
    fn default() -> Self {
        Self { top_n: 5, top_p: 1.0, temperature: 1.0 }
    }
}

impl Picker {
    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value that will not do.
    pub fn validate(&self) -> Result<()> {
        let check = |holds: bool, name, found: f64, expected: &str| match holds {
            true => Ok(()),
            false => {
                Err(Error::Setting { name, found: found.to_string(), expected: expected.into() })
            }
        };
        let (p, t) = (self.top_p, self.temperature);
        check(p > 0.0 && p <= 1.0, "--top-p", p, "above 0 and at most 1")?;
        check(t > 0.0 && t.is_finite(), "--temperature", t, "a finite number above 0")
    }

    /// Draws a character's id: softmax at the temperature, all but the top n set to zero, the rest
    /// scaled back to a sum of one — the article's `pick_top_n`.
    pub fn pick<R: Real>(&self, logits: ArrayView1<R>, rng: &mut impl Rng) -> u32 {
        let mut ranked: Vec<(usize, f64)> =
            logits.iter().map(|l| l.to_f64() / self.temperature).enumerate().collect();
        // Among equals the smaller id comes first, so the order is the same everywhere.
        let order = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if (1..ranked.len()).contains(&self.top_n) {
            ranked.select_nth_unstable_by(self.top_n, order);
            ranked.truncate(self.top_n);
        }
        ranked.sort_unstable_by(order);
        let max = ranked[0].1;
        let total: f64 = ranked.iter().map(|(_, l)| (l - max).exp()).sum();
        let mut reached = 0.0;
        let nucleus = ranked.iter().position(|(_, l)| {
            reached += (l - max).exp() / total;
            reached >= self.top_p
        });
        ranked.truncate(nucleus.map_or(ranked.len(), |last| last + 1));

        let total: f64 = ranked.iter().map(|(_, l)| (l - max).exp()).sum();
        let mut left = rng.random::<f64>() * total;
        for (id, l) in &ranked {
            left -= (l - max).exp();
            if left < 0.0 {
                return *id as u32;
            }
        }
        ranked[ranked.len() - 1].0 as u32 // rounding may leave a last crumb
    }
}

/// A network that reads and writes `rows` texts at once, a character each per step.
///
/// It computes what the training forward pass computes with T = 1 and no dropout, with the same
/// kernels in the same order: the same bits. With 16-bit [`Weights`] they are the bits of the network
/// whose parameters are [rounded](Parameters::rounded).
pub struct Generator<R: Real> {
    layers: Vec<Layer<R>>,
    /// The projection's W [H, V] and b `[V]`.
    projection: (Weight<R>, Array1<R>),
    state: State<R>,
    /// The new cell state of the layer in work, [rows, H].
    c_next: Array2<R>,
    /// Pre-activations, then gates, of the layer in work, [rows, 4H].
    z: Array2<R>,
    /// [rows, V]
    logits: Array2<R>,
}

/// What a step reads of one layer's weights.
struct Layer<R> {
    input: Input<R>,
    /// [H, 4H]
    w_hh: Weight<R>,
}

/// What comes into a layer, and how it becomes x·W_ih + b.
enum Input<R> {
    /// A character, which is a row of this table: W_ih + b of every character, [V, 4H].
    Character(Array2<R>),
    /// The output of the layer below, which is multiplied by W_ih [H, 4H] and added to b `[4H]`.
    Below(Weight<R>, Array1<R>),
}

/// A packed matrix, in whatever type its numbers are stored.
type Weight<R> = Box<dyn Factor<R>>;

impl<R: Real> Generator<R> {
    /// Bytes of memory that a generator of `rows` texts takes beside the parameters, at most; `u64::MAX`
    /// for as much and more.
    ///
    /// * once: the packed weights and the first layer's table, 4H·V
    /// * per row: h and c of each layer 2H·L, the next c H, z 4H, logits V
    pub fn bytes(sizes: Sizes, rows: usize) -> u64 {
        let [v, h, l, rows] =
            [sizes.vocabulary, sizes.hidden, sizes.layers, rows].map(|size| size as f64);
        let numbers = 4.0 * h * v + rows * (2.0 * h * l + 5.0 * h + v);
        let packed = Network::<R>::packed_bytes(sizes) / 2; // without the transposes
        packed.saturating_add((numbers * size_of::<R>() as f64) as u64)
    }

    /// A generator of `rows` texts that has read nothing yet. It copies what it needs.
    pub fn new(parameters: &Parameters<R>, rows: usize) -> Self {
        Self::packed_by(packed::<R, R>, parameters, rows)
    }

    /// A generator whose matrices are packed by `pack`.
    fn packed_by(
        pack: fn(&Array2<R>) -> Weight<R>,
        parameters: &Parameters<R>,
        rows: usize,
    ) -> Self {
        let sizes @ Sizes { vocabulary, hidden, .. } = parameters.sizes();
        let layer = |(l, p): (usize, &LstmParameters<R>)| {
            let input = match l {
                0 => Input::Character(&p.w_ih + &p.b),
                _ => Input::Below(pack(&p.w_ih), p.b.clone()),
            };
            Layer { input, w_hh: pack(&p.w_hh) }
        };
        Self {
            layers: parameters.lstm.iter().enumerate().map(layer).collect(),
            projection: (pack(&parameters.projection.w), parameters.projection.b.clone()),
            state: State::zeros(sizes, rows),
            c_next: Array2::zeros((rows, hidden)),
            z: Array2::zeros((rows, 4 * hidden)),
            logits: Array2::zeros((rows, vocabulary)),
        }
    }

    /// Reads one character in each row and returns the logits of the next, [rows, V].
    ///
    /// # Panics
    /// Unless there is a character for each row, and in the vocabulary.
    pub fn step(&mut self, characters: &[u32]) -> &Array2<R> {
        let Self { layers, projection, state, c_next, z, logits } = self;
        let (found, rows) = (characters.len(), z.nrows());
        assert!(found == rows, "{found} characters for {rows} rows");
        for (l, Layer { input, w_hh }) in layers.iter().enumerate() {
            match input {
                Input::Character(table) => {
                    for (mut z, &id) in z.rows_mut().into_iter().zip(characters) {
                        z.assign(&table.row(id as usize)); // Eq. F1: x_t·W_ih + b
                    }
                }
                Input::Below(w_ih, b) => {
                    z.assign(b);
                    w_ih.multiply(state.h[l - 1].view(), z.view_mut()); // Eq. F1
                }
            }
            w_hh.multiply(state.h[l].view(), z.view_mut()); // Eq. F1
            let (c, h) = (&mut state.c[l], &mut state.h[l]);
            lstm::cells_forward(z.view_mut(), c.view(), c_next.view_mut(), h.view_mut());
            swap(c, c_next);
        }
        let (w, b) = projection;
        logits.assign(b);
        w.multiply(state.h[state.h.len() - 1].view(), logits.view_mut()); // Eq. F9
        &self.logits
    }

    /// Forgets everything read so far.
    pub fn reset(&mut self) {
        self.state.set_zero();
    }

    /// Reads `characters` in every row and returns the logits after the last, [rows, V].
    ///
    /// # Panics
    /// If `characters` is empty: no character, no next one.
    pub fn read(&mut self, characters: &[u32]) -> &Array2<R> {
        assert!(!characters.is_empty(), "there is nothing to read");
        let rows = self.z.nrows();
        for &id in characters {
            self.step(&vec![id; rows]);
        }
        &self.logits
    }

    /// The logits after the last character read, [rows, V].
    pub fn logits(&self) -> &Array2<R> {
        &self.logits
    }
}

impl Generator<f32> {
    /// [`Generator::new`] with weights stored in another type.
    ///
    /// # Errors
    /// Those of [`Parameters::require_range`].
    pub fn with_weights(
        parameters: &Parameters<f32>,
        rows: usize,
        weights: Weights,
    ) -> Result<Self> {
        parameters.require_range(weights)?;
        let pack = match weights {
            Weights::F32 => packed::<f32, f32>,
            Weights::F16 => packed::<f32, f16>,
            Weights::Bf16 => packed::<f32, bf16>,
        };
        Ok(Self::packed_by(pack, parameters, rows))
    }
}

/// `w` laid out for the kernels, its numbers stored in `W`.
fn packed<R: Real, W: Multiply<R>>(w: &Array2<R>) -> Weight<R> {
    let mut packed = Packed::<R, W>::zeros_stored(w.nrows(), w.ncols());
    packed.pack(w.view());
    Box::new(packed)
}
