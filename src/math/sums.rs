//! Sums over positions with a fixed shape.
//!
//! A position is a time step t and a row of the batch. A sum over all of them, one chain of B·T numbers in
//! the plain algorithm, is cut instead into [`Pieces`], by the configuration alone. Each piece is
//! one chain; pieces are added in pairs, pairs in pairs, and so on:
//!
//! ```text
//! ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7))
//! ```
//!
//! So the bits are the same whoever computes which piece, and whoever holds an aligned run of pieces
//! can add them up before. Short chains also round less: `docs/design.md` has the measured errors.

use std::iter;
use std::ops::{AddAssign, Range};

/// Most positions in a piece: their rows of dZ and X wait in the second- and third-level cache.
pub(crate) const LONGEST_PIECE: usize = 1024;
/// Fewest positions of a group in [`default_groups`], on average: shorter chains would only be loaded and stored more often.
const SHORTEST_GROUP: usize = 512;
/// Most groups in [`default_groups`].
const MOST_GROUPS: usize = 16;

/// The number of groups where none is chosen: the largest power of two up to 16 with a row and, on average, at least
/// 512 of the B·T positions for each group.
///
/// * `batch`: B
/// * `unroll`: T
pub fn default_groups(batch: usize, unroll: usize) -> usize {
    let positions = batch.saturating_mul(unroll);
    let most = (positions / SHORTEST_GROUP).min(MOST_GROUPS).min(batch).max(1);
    1 << most.ilog2()
}

/// How B·T positions are cut for a sum.
///
/// The batch's rows are cut into groups of neighbours, as even as can be. A group's positions, in the
/// order (t, row), are cut into a power of two of pieces, the same number in every group, so that the
/// pieces of a group are an aligned run.
///
/// A process that has only some of the rows sums up [runs](Pieces::of_run) of their groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// T
    unroll: usize,
    /// B
    batch: usize,
    groups: usize,
    /// Pieces of a group.
    each: usize,
    /// The first row that is here, and how many are.
    rows: (usize, usize),
    /// The first piece of the sum, and how many it has.
    summed: (usize, usize),
}

impl Pieces {
    /// The pieces of B = `batch` rows in `groups` groups over T = `unroll` steps. Panics unless each group has a row,
    /// and there is a step.
    pub fn new(batch: usize, unroll: usize, groups: usize) -> Self {
        assert!(
            (1..=batch).contains(&groups) && unroll > 0,
            "{groups} groups of {batch} rows over {unroll} steps"
        );
        let largest =
            batch.div_ceil(groups).checked_mul(unroll).expect("positions that can be counted");
        let each = largest.div_ceil(LONGEST_PIECE).next_power_of_two();
        let count = groups.checked_mul(each).expect("pieces that can be counted");
        Self { unroll, batch, groups, each, rows: (0, batch), summed: (0, count) }
    }

    /// The pieces of the groups `here`, all whose rows are here. Its sum is one of the whole tree only if they
    /// are a run: see [`Pieces::of_run`].
    pub fn held(self, here: Range<usize>) -> Self {
        let first = even_part(self.batch, self.groups, here.start).start;
        let end = even_part(self.batch, self.groups, here.end - 1).end;
        Self { rows: (first, end - first), ..self.of_run(here) }
    }

    /// The sum over the groups `run` alone, an aligned run of those that are here.
    pub fn of_run(self, run: Range<usize>) -> Self {
        Self { summed: (run.start * self.each, run.len() * self.each), ..self }
    }

    /// How many pieces the sum has, in all its groups together.
    pub fn count(&self) -> usize {
        self.summed.1
    }

    /// Rows that are here, of the whole batch B, and T.
    pub fn batch_and_unroll(&self) -> (usize, usize) {
        (self.rows.1, self.unroll)
    }

    /// Which rows of the batch are here.
    pub fn rows(&self) -> Range<usize> {
        self.rows.0..self.rows.0 + self.rows.1
    }

    /// The positions (t, row) of a piece, in the order in which they are added; rows count from the first that
    /// is here.
    pub fn positions(&self, piece: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let piece = self.summed.0 + piece;
        let rows = even_part(self.batch, self.groups, piece / self.each);
        let part = even_part(rows.len() * self.unroll, self.each, piece % self.each);
        let first = rows.start - self.rows.0;
        let (mut t, mut row) = (part.start / rows.len(), part.start % rows.len());
        part.map(move |_| {
            let position = (t, first + row);
            row += 1;
            if row == rows.len() {
                (t, row) = (t + 1, 0);
            }
            position
        })
    }

    /// What becomes of the sum of a piece, where pieces come one after the other.
    pub(crate) fn carry(&self, piece: usize) -> Carry {
        let is_last = piece + 1 == self.count();
        Carry {
            // Waiting sums are a binary counter: level l holds 2ˡ pieces where bit l of `piece` is set.
            merged: if is_last { piece } else { piece & !(piece + 1) },
            level: (!is_last).then_some(piece.trailing_ones() as usize),
        }
    }

    /// Levels on which sums wait.
    pub(crate) fn levels(&self) -> usize {
        (self.count() - 1).checked_ilog2().map_or(0, |top| top as usize + 1)
    }
}

/// What becomes of the sum of a piece: first the sums that wait on some levels are added to it, the
/// lowest first, then it waits itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Carry {
    /// Bit l is set if the sum on level l is added.
    merged: usize,
    /// The level on which the sum then waits; none for the sum of all.
    pub level: Option<usize>,
}

impl Carry {
    /// The levels whose sums are added.
    pub fn merged(self) -> impl Iterator<Item = usize> {
        let mut left = self.merged;
        iter::from_fn(move || {
            let level = (left != 0).then_some(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(level)
        })
    }
}

/// The level on which the sums of pieces `a` and `b` meet: that of the smallest aligned run with both.
pub(crate) fn meeting_level(a: usize, b: usize) -> u32 {
    usize::BITS - (a ^ b).leading_zeros()
}

/// Adds sums of pieces, or of equally long aligned runs of pieces, along the tree; none of none.
///
/// * `add(earlier, later)`
pub fn add_in_pairs<S>(sums: impl IntoIterator<Item = S>, add: impl FnMut(S, S) -> S) -> Option<S> {
    add_runs(sums.into_iter().map(|sum| (0, sum)), add)
}

/// [`add_in_pairs`] of the sums of aligned runs of different length: each with its level, the logarithm of
/// its length to base 2.
pub(crate) fn add_runs<S>(
    sums: impl IntoIterator<Item = (usize, S)>,
    mut add: impl FnMut(S, S) -> S,
) -> Option<S> {
    let mut waiting = [const { None }; usize::BITS as usize];
    for (level, sum) in sums {
        let mut carried = Some(sum);
        for level in &mut waiting[level..] {
            let Some(sum) = carried.take() else { break };
            match level.take() {
                Some(earlier) => carried = Some(add(earlier, sum)),
                None => *level = Some(sum),
            }
        }
    }
    waiting.into_iter().flatten().reduce(|later, earlier| add(earlier, later))
}

/// sum ← sum + other.
#[inline(always)]
pub(crate) fn add_to<R: AddAssign + Copy>(sum: &mut [R], other: &[R]) {
    for (sum, &other) in sum.iter_mut().zip(other) {
        *sum += other;
    }
}

/// Part `index` of `0..n` in so many parts, as even as can be: the first ones may be longer by one.
pub(crate) fn even_part(n: usize, parts: usize, index: usize) -> Range<usize> {
    let (short, longer) = (n / parts, n % parts);
    let start = index * short + index.min(longer);
    start..start + short + usize::from(index < longer)
}

/// `0..n` in parts of at most `most`, as even as can be: 50 in parts of 13 is 13 + 13 + 12 + 12.
pub(crate) fn even_parts(
    n: usize,
    most: usize,
) -> impl ExactSizeIterator<Item = Range<usize>> + Clone {
    let parts = n.div_ceil(most);
    (0..parts).map(move |index| even_part(n, parts, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_every_position_once_and_in_order() {
        // Batches whose pieces begin in the middle of a time step.
        for (batch, unroll, groups) in [(7, 175, 1), (5, 411, 2), (3, 1001, 1), (11, 703, 4)] {
            let pieces = Pieces::new(batch, unroll, groups);
            let each = pieces.count() / groups;
            assert!(each > 1, "several pieces in a group");
            let mut all = Vec::new();
            for group in 0..groups {
                let in_group: Vec<Vec<_>> =
                    (0..each).map(|i| pieces.positions(group * each + i).collect()).collect();
                assert!(in_group.iter().all(|piece| piece.len() <= LONGEST_PIECE));
                let in_group = in_group.concat();
                assert!(in_group.is_sorted(), "B = {batch}, T = {unroll}, {groups} groups");
                all.extend(in_group);
            }
            all.sort();
            let expected = (0..unroll).flat_map(|t| (0..batch).map(move |row| (t, row)));
            assert!(all.into_iter().eq(expected), "B = {batch}, T = {unroll}, {groups} groups");
        }
    }
}
