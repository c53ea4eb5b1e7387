//! A matrix whose rows lie in several arrays.

use std::fmt;
use std::ops::Range;

use crate::math::sums::{LONGEST_PIECE, Pieces};

/// A matrix [T·B, N] of one row for each position: time step t and row of the batch.
///
/// The rows of the batch are cut into shards of equal height b (the last may be lower), and each shard has an
/// array [T, b, N] of its own. What this type tells of its shape is fixed when it is made, and every row is
/// cut out of its array with the bounds checked, so nothing that a caller passes can lead outside.
#[derive(Clone, Copy)]
pub struct Rows<'a, R> {
    unroll: usize,
    batch: usize,
    /// Rows of every shard but perhaps the last.
    height: usize,
    width: usize,
    array: &'a (dyn Fn(usize) -> &'a [R] + Sync),
}

impl<R> fmt::Debug for Rows<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unroll, batch, height, width, .. } = self;
        write!(f, "Rows [{unroll}·{batch}, {width}] in shards of {height}")
    }
}

impl<'a, R> Rows<'a, R> {
    /// The arrays of the shards as one matrix.
    ///
    /// * `(batch, unroll)`: B and T
    /// * `height`: b, rows of every shard but perhaps the last; not 0
    /// * `width`: N
    /// * `array`: of each shard, [T, b, N], at least; what is beyond is left alone
    pub fn new(
        (batch, unroll): (usize, usize),
        height: usize,
        width: usize,
        array: &'a (dyn Fn(usize) -> &'a [R] + Sync),
    ) -> Self {
        assert!(height > 0, "shards without rows");
        for (shard, first) in (0..batch).step_by(height).enumerate() {
            let (rows, found) = (height.min(batch - first), array(shard).len());
            let needed = unroll.checked_mul(rows).and_then(|n| n.checked_mul(width));
            assert!(
                needed.is_some_and(|needed| needed <= found),
                "[{unroll}, {rows}, {width}] in an array of {found} numbers"
            );
        }
        Self { unroll, batch, height, width, array }
    }

    /// B and T.
    pub fn batch_and_unroll(&self) -> (usize, usize) {
        (self.batch, self.unroll)
    }

    /// N.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The row of step `t` and row `row` of the batch, N long.
    pub fn row(&self, position: (usize, usize)) -> &'a [R] {
        let (array, row) = self.place(position);
        &array[row]
    }

    /// The array of that row, and where in it the row lies.
    fn place(&self, (t, row): (usize, usize)) -> (&'a [R], Range<usize>) {
        let shard = row / self.height;
        let height = self.height.min(self.batch - shard * self.height);
        let at = (t * height + row % self.height) * self.width;
        ((self.array)(shard), at..at + self.width)
    }

    /// Looks up the rows of a piece, once for the loops that visit each many times; returns them. Each goes on
    /// by up to `beyond` numbers of what follows it in its array, so that copies of fixed length may read past it.
    pub(super) fn look_up<'b>(
        &self,
        pieces: &Pieces,
        piece: usize,
        beyond: usize,
        found: &'b mut [&'a [R]; LONGEST_PIECE],
    ) -> &'b [&'a [R]] {
        let mut count = 0;
        for (to, position) in found.iter_mut().zip(pieces.positions(piece)) {
            let (array, row) = self.place(position);
            *to = &array[row.start..row.end.max(array.len().min(row.end + beyond))];
            count += 1;
        }
        &found[..count]
    }
}
