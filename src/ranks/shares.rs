//! Which groups of a batch's rows each rank has.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::math::sums::{Pieces, even_part};

/// The groups of a batch, divided among ranks: neighbours stay together, and no rank has more than one group
/// more than another.
///
/// ```
/// use karenina::ranks::Shares;
///
/// let shares = Shares::new(16, 3)?;
/// assert_eq!(shares.of(1), 6..11);
/// // What can be added up alone: aligned runs, whose lengths are powers of two.
/// assert_eq!(shares.runs(1), [6..8, 8..10, 10..11]);
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    groups: usize,
    ranks: usize,
}

impl Shares {
    /// Shares of so many `groups` for so many `ranks`.
    ///
    /// # Errors
    /// [`Error::Setting`] if a rank would have nothing to do.
    pub fn new(groups: usize, ranks: usize) -> Result<Self> {
        if (1..=groups).contains(&ranks) {
            return Ok(Self { groups, ranks });
        }
        let expected = match groups {
            1 => "1, since the rows of the batch are a single group".into(),
            _ => format!("from 1 to {groups}, since the batch has {groups} groups of rows"),
        };
        Err(Error::setting("ranks", ranks, expected))
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The groups of `rank`.
    pub fn of(&self, rank: usize) -> Range<usize> {
        even_part(self.groups, self.ranks, rank)
    }

    /// The rows of `rank` in a batch of B = `batch`.
    ///
    /// # Panics
    /// Unless each group has a row.
    pub fn rows(&self, rank: usize, batch: usize) -> Range<usize> {
        Pieces::new(batch, 1, self.groups).held(self.of(rank)).rows()
    }

    /// The groups of `rank` as aligned runs, which are whole branches of the tree of sums: the longest that there
    /// are, in order. Who has all groups has the whole tree.
    pub fn runs(&self, rank: usize) -> Vec<Range<usize>> {
        let Range { mut start, end } = self.of(rank);
        let has_all = end - start == self.groups;
        let mut runs = Vec::new();
        while start < end {
            let most = 1 << (end - start).ilog2();
            let length = match start {
                0 if has_all => self.groups,
                0 => most,
                _ => most.min(1 << start.trailing_zeros()),
            };
            runs.push(start..start + length);
            start += length;
        }
        runs
    }
}
