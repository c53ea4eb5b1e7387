//! Layer 3: text from a trained network, one character at a time.

use std::mem::swap;

use ndarray::{Array2, ArrayView1};
use rand::Rng;

use crate::error::{Error, Result};
use crate::layers::lstm;
use crate::layers::projection;
use crate::math::Real;
use crate::math::matmul::{Packed, matmul_packed};
use crate::model::{Parameters, Sizes, State};

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
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        if self.top_n > 0 {
            ranked.truncate(self.top_n);
        }
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
/// kernels in the same order: the same bits.
pub struct Generator<R: Real> {
    parameters: Parameters<R>,
    /// W_ih (but of the first layer) and W_hh of every layer.
    lstm: Vec<(Option<Packed<R>>, Packed<R>)>,
    projection: Packed<R>,
    state: State<R>,
    /// The new cell state of the layer in work, [rows, H].
    c_next: Array2<R>,
    /// Pre-activations, then gates, of the layer in work, [rows, 4H].
    z: Array2<R>,
    /// [rows, V]
    logits: Array2<R>,
}

impl<R: Real> Generator<R> {
    /// A generator of `rows` texts that has read nothing yet.
    pub fn new(parameters: Parameters<R>, rows: usize) -> Self {
        let sizes @ Sizes { vocabulary, hidden, .. } = parameters.sizes();
        let pack = |w: &Array2<R>| {
            let mut packed = Packed::zeros(w.nrows(), w.ncols());
            packed.pack(w.view());
            packed
        };
        let lstm = parameters.lstm.iter().enumerate();
        Self {
            lstm: lstm.map(|(l, p)| ((l > 0).then(|| pack(&p.w_ih)), pack(&p.w_hh))).collect(),
            projection: pack(&parameters.projection.w),
            state: State::zeros(sizes, rows),
            c_next: Array2::zeros((rows, hidden)),
            z: Array2::zeros((rows, 4 * hidden)),
            logits: Array2::zeros((rows, vocabulary)),
            parameters,
        }
    }

    /// Reads one character in each row and returns the logits of the next, [rows, V].
    pub fn step(&mut self, characters: &[u32]) -> &Array2<R> {
        let Self { parameters, lstm, projection, state, c_next, z, logits } = self;
        for (l, (w_ih, w_hh)) in lstm.iter().enumerate() {
            match w_ih {
                None => lstm::gather(z.view_mut(), characters.into(), &parameters.lstm[l]),
                Some(w_ih) => {
                    z.assign(&parameters.lstm[l].b);
                    matmul_packed(state.h[l - 1].view(), w_ih, z.view_mut()); // Eq. F1
                }
            }
            matmul_packed(state.h[l].view(), w_hh, z.view_mut()); // Eq. F1
            let (c, h) = (&mut state.c[l], &mut state.h[l]);
            lstm::cells_forward(z.view_mut(), c.view(), c_next.view_mut(), h.view_mut());
            swap(c, c_next);
        }
        let top = &state.h[state.h.len() - 1];
        projection::forward(top.view(), projection, &parameters.projection.b, logits.view_mut());
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
