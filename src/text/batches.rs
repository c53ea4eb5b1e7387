//! The ids of a text, cut into what a network reads at once.
//!
//! With batches of B rows and T time steps, n = ⌊characters / (B·T)⌋ batches are cut from a text.
//! Its first n·B·T characters become B contiguous rows of n·T characters, and batch k is the
//! columns kT to (k+1)T of all rows. So each row of a batch goes on where the same row of the batch
//! before stopped, and the network's state is carried from batch to batch. For B = 2, T = 3 and a
//! text of the numbers 1 to 12:
//!
//! ```text
//!             batch 0     batch 1              targets of batch 1
//! row 0       1  2  3     4  5  6              5  6  7
//! row 1       7  8  9    10 11 12             11 12  1
//! ```
//!
//! The target of a character is the one after it in the text, across the ends of batches and rows.
//! After the last row that is the first character left over by the division, or the first one held
//! back for validation. Where the text itself ends, no next character exists: there its first one
//! is used instead, as in a ring.

use std::fmt;
use std::ops::Range;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::ids::Ids;

/// How much of a text's end is held back from training, to validate with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Validation {
    /// Nothing, as in the article.
    #[default]
    None,
    /// This share of the characters, above 0 and below 1; rounded to a whole number of characters,
    /// of which whole batches are used.
    Share(f64),
    /// So many batches.
    Batches(usize),
}

impl fmt::Display for Validation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None | Self::Batches(0) => write!(f, "none"),
            Self::Share(share) => write!(f, "{share}"),
            Self::Batches(count) => write!(f, "{count}"),
        }
    }
}

/// A run of characters that is cut into batches.
#[derive(Clone, Copy, Debug)]
struct Section {
    /// Place of its first character in the text.
    start: usize,
    /// n, batches cut from it.
    batches: usize,
}

/// A text as batches to train on, and batches of its end to validate with.
///
/// ```
/// use karenina::ndarray::{Array2, array};
/// use karenina::text::batches::{Batches, Validation};
///
/// let batches = Batches::new((1..=12).collect(), 2, 3, Validation::None)?;
/// let (mut inputs, mut targets) = (Array2::zeros((3, 2)), Array2::zeros((3, 2)));
/// batches.fill(0, &mut inputs, &mut targets);
/// assert_eq!(inputs.t(), array![[1, 2, 3], [7, 8, 9]]);
/// assert_eq!(targets.t(), array![[2, 3, 4], [8, 9, 10]]);
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batches {
    ids: Ids,
    batch: usize,
    unroll: usize,
    training: Section,
    validation: Section,
}

impl Batches {
    /// Cuts `ids` into batches of B = `batch` rows and T = `unroll` time steps.
    ///
    /// # Errors
    /// * [`Error::TextTooShort`] if there is no batch to train on, or none to validate with
    ///   whatever the share
    /// * [`Error::Setting`] if `batch` or `unroll` is 0, or another `validation` would do
    pub fn new(ids: Ids, batch: usize, unroll: usize, validation: Validation) -> Result<Self> {
        for (name, value) in [("batch", batch), ("unroll", unroll)] {
            Error::require(value > 0, name, value, "at least 1")?;
        }
        let size = Size { characters: ids.len(), batch, unroll };
        let tail = match validation {
            Validation::None | Validation::Batches(0) => {
                size.require(1, size.characters)?;
                0
            }
            Validation::Share(share) => size.tail_of_share(share)?,
            Validation::Batches(count) => size.tail_of_batches(count)?,
        };
        let start = ids.len() - tail;
        let training = Section { start: 0, batches: start / size.one() };
        let validation = Section { start, batches: tail / size.one() };
        Ok(Self { ids, batch, unroll, training, validation })
    }

    /// Batches to train on in one pass through the text: at least 1.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.training.batches
    }

    /// Batches held back for validation.
    pub fn validation_len(&self) -> usize {
        self.validation.batches
    }

    /// Writes training batch `k` to `inputs` and `targets` [T, B]; allocates nothing.
    ///
    /// # Panics
    /// If there is no batch `k`, or an array has another shape.
    pub fn fill(&self, k: usize, inputs: &mut Array2<u32>, targets: &mut Array2<u32>) {
        self.fill_from(self.training, k, inputs, targets);
    }

    /// Writes validation batch `k` to `inputs` and `targets` [T, B]; allocates nothing.
    ///
    /// # Panics
    /// If there is no batch `k`, or an array has another shape.
    pub fn fill_validation(&self, k: usize, inputs: &mut Array2<u32>, targets: &mut Array2<u32>) {
        self.fill_from(self.validation, k, inputs, targets);
    }

    /// Which characters of the text, counted from 0, row `row` of training batch `k` reads.
    ///
    /// # Panics
    /// If there is no such row or batch.
    pub fn position(&self, k: usize, row: usize) -> Range<usize> {
        self.range(self.training, k, row)
    }

    /// Which characters of the text, counted from 0, row `row` of validation batch `k` reads.
    ///
    /// # Panics
    /// If there is no such row or batch.
    pub fn validation_position(&self, k: usize, row: usize) -> Range<usize> {
        self.range(self.validation, k, row)
    }

    fn range(&self, section: Section, k: usize, row: usize) -> Range<usize> {
        assert!(k < section.batches, "batch {k} of {}", section.batches);
        assert!(row < self.batch, "row {row} of B = {}", self.batch);
        let start = section.start + (row * section.batches + k) * self.unroll;
        start..start + self.unroll
    }

    fn fill_from(
        &self,
        section: Section,
        k: usize,
        inputs: &mut Array2<u32>,
        targets: &mut Array2<u32>,
    ) {
        let shape = (self.unroll, self.batch);
        assert_eq!(inputs.dim(), shape, "inputs are [T, B]");
        assert_eq!(targets.dim(), shape, "targets are [T, B]");
        for row in 0..self.batch {
            let range = self.range(section, k, row);
            self.ids.read(range.start, inputs.column_mut(row));
            self.ids.read(range.start + 1, targets.column_mut(row));
        }
    }
}

/// What decides how many batches a text holds.
#[derive(Clone, Copy)]
struct Size {
    characters: usize,
    batch: usize,
    unroll: usize,
}

impl Size {
    /// B·T, characters in a batch.
    fn one(self) -> usize {
        self.batch.saturating_mul(self.unroll)
    }

    /// Fails if the text does not hold `batches` of them. The sizes suggested then fit into
    /// `room` characters.
    fn require(self, batches: usize, room: usize) -> Result<()> {
        // A single character has no next one, which is all there is to learn.
        let needed = batches.saturating_mul(self.one()).max(2);
        if self.characters >= needed {
            return Ok(());
        }
        let fits = if self.characters < 2 { None } else { self.shrink(room) };
        Err(Error::TextTooShort { found: self.characters, batches, needed, fits })
    }

    /// The largest B and T not above these with B·T ≤ `room`: T stays if one row fits, otherwise
    /// both shrink to about a square, and T takes what the rounding leaves.
    fn shrink(self, room: usize) -> Option<(usize, usize)> {
        if room >= self.unroll {
            return Some((self.batch.min(room / self.unroll), self.unroll));
        }
        let batch = self.batch.min(room / room.isqrt().max(1));
        (batch > 0).then(|| (batch, room / batch))
    }

    /// Characters that `share` holds back.
    fn tail_of_share(self, share: f64) -> Result<usize> {
        if !(share > 0.0 && share < 1.0) {
            let expected = "a share above 0 and below 1, or a number of batches";
            return Err(Error::setting("validation", share, expected));
        }
        let tail = self.share(share);
        self.require(2, tail.min(self.characters - tail))?;
        if tail >= self.one() && self.characters - tail >= self.one() {
            return Ok(tail);
        }
        let (least, most) = self.shares_that_do();
        let one = self.one();
        let expected = match tail < one {
            true => format!("at least {least}, to hold one batch of {one} characters"),
            false => format!("at most {most}, to leave one batch of {one} characters"),
        };
        Err(Error::setting("validation", share, expected))
    }

    /// Characters in `share` of the text.
    fn share(self, share: f64) -> usize {
        (share * self.characters as f64).round() as usize
    }

    /// The smallest and the largest share of four decimals that leave a batch on both sides, in a
    /// text that holds two.
    fn shares_that_do(self) -> (f64, f64) {
        let exact = self.one() as f64 / self.characters as f64;
        ((exact * 1e4).ceil() / 1e4, ((1.0 - exact) * 1e4).floor() / 1e4)
    }

    /// Characters that `count` ≥ 1 batches hold back.
    fn tail_of_batches(self, count: usize) -> Result<usize> {
        let held = self.characters / self.one();
        if held >= 2 && count >= held {
            let one = self.one();
            let expected = format!(
                "at most {}, since the text holds {held} batches of {one} characters and one \
                 must be left to train on",
                held - 1
            );
            return Err(Error::setting("validation", count, expected));
        }
        let batches = count.saturating_add(1);
        self.require(batches, self.characters / batches)?;
        Ok(count * self.one())
    }
}
