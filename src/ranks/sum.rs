//! The sum of all ranks' gradients, in the shape that one process would give it.

use std::ops::Range;

use zerocopy::IntoBytes;

use super::exchange::Ranks;
use super::shares::Shares;
use crate::math::simd::vectorised;
use crate::math::sums::{add_runs, add_to, even_part};

impl Ranks {
    /// `runs[0]` ← Σ of every rank's `runs`, in all ranks. Its own are the sums of the same numbers over each of
    /// [`Shares::runs`]. `room`, which grows once, is where other ranks' numbers arrive.
    ///
    /// The numbers are cut into one part for each rank. Each sends every other rank that one's part of its runs, adds
    /// up its own part of all runs along the tree, and sends the sum to all: in and out of each process travel
    /// twice the numbers, whatever the number of ranks, as long as each has a single run.
    pub(crate) fn sum(&self, shares: &Shares, runs: &mut [&mut [f32]], room: &mut Vec<f32>) {
        let n = runs[0].len();
        let part = |rank: usize| even_part(n, self.count(), rank);
        self.scatter(shares, runs, room, part);
        self.add_up(shares, runs, room, part(self.rank()));
        self.share_out(runs[0], part);
    }

    /// Every rank's part of the runs goes there; those of others arrive in `room`, in the order of the ranks.
    fn scatter(
        &self,
        shares: &Shares,
        runs: &[&mut [f32]],
        room: &mut Vec<f32>,
        part: impl Fn(usize) -> Range<usize>,
    ) {
        let length = part(self.rank()).len();
        let senders =
            self.others().flat_map(|rank| shares.runs(rank).into_iter().map(move |_| rank));
        let needed = senders.clone().count() * length;
        if room.len() < needed {
            room.resize(needed, 0.0);
        }
        let mut left = &mut room[..needed];
        let mut receive = Vec::new();
        for rank in senders {
            let here = left.split_off_mut(..length).expect("room for all runs");
            receive.push((rank, here.as_mut_bytes()));
        }
        let mut send = Vec::new();
        for rank in self.others() {
            send.extend(runs.iter().map(|run| (rank, run[part(rank)].as_bytes())));
        }
        self.exchange(&send, &mut receive);
    }

    /// The sum over all runs of the own part, into that part of `runs[0]`.
    fn add_up(
        &self,
        shares: &Shares,
        runs: &mut [&mut [f32]],
        room: &mut [f32],
        part: Range<usize>,
    ) {
        let mut left = &mut room[..];
        let mut own = runs.iter_mut().map(|run| &mut run[part.clone()]);
        let mut sums = Vec::new();
        for rank in 0..self.count() {
            for run in shares.runs(rank) {
                let sum = match rank == self.rank() {
                    true => own.next().expect("one for each own run"),
                    false => left.split_off_mut(..part.len()).expect("it has arrived"),
                };
                sums.push((run.len().ilog2() as usize, sum));
            }
        }
        drop(own);
        // The sum is left where the first run of all stood.
        add_runs(sums, |earlier: &mut [f32], later: &mut [f32]| {
            vectorised(
                #[inline(always)]
                || add_to(earlier, later),
            );
            earlier
        });
        if self.rank() != 0 {
            runs[0][part.clone()].copy_from_slice(&room[..part.len()]);
        }
    }

    /// Each rank's part of `sum` goes to all.
    fn share_out(&self, sum: &mut [f32], part: impl Fn(usize) -> Range<usize>) {
        let (before, rest) = sum.split_at_mut(part(self.rank()).start);
        let (own, after) = rest.split_at_mut(part(self.rank()).len());
        let mut receive = Vec::new();
        for (ranks, mut left) in [(0..self.rank(), before), (self.rank() + 1..self.count(), after)]
        {
            for rank in ranks {
                let here = left.split_off_mut(..part(rank).len()).expect("parts follow each other");
                receive.push((rank, here.as_mut_bytes()));
            }
        }
        let own = (*own).as_bytes();
        let send: Vec<_> = self.others().map(|rank| (rank, own)).collect();
        self.exchange(&send, &mut receive);
    }
}
