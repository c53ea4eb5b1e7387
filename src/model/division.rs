//! How the threads of a process share the rows of a batch.

use crate::math::team::MOST_MEMBERS;

/// So many shards, a team of so many members for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Shards of equal height; the last may be lower.
    pub shards: usize,
    /// Threads of a shard, 1 to 16.
    pub members: usize,
}

impl Division {
    /// Cells up to which a core keeps W_hh, 16·H² bytes, in its own cache or nearly: up to there a few rows are
    /// enough for each thread, and a time step is too short to share. A smaller limit where 512 KiB hold less was no
    /// faster.
    const SMALL: usize = 256;
    /// Rows for each shard above that, while threads can be shared out otherwise, that is in teams that are not yet full:
    /// with fewer, reading the weights takes longer than the arithmetic (24 rows reach 0.95 of what 50 do, 16 reach
    /// 0.88, 8 reach 0.5).
    const ROWS: usize = 24;

    /// For `batch` rows of a network of `hidden` cells and `threads` threads: what leaves the least to do for each
    /// thread. Of equals the one with more shards, whose members have less to wait for.
    pub fn new(hidden: usize, batch: usize, threads: usize) -> Self {
        if hidden <= Self::SMALL {
            return Self { shards: threads.clamp(1, batch.max(1)), members: 1 };
        }
        let full_teams = threads.div_ceil(MOST_MEMBERS).min(batch);
        let most = (batch / Self::ROWS).max(full_teams).clamp(1, threads.max(1));
        let divided = |shards: usize| {
            let members = (threads / shards).clamp(1, MOST_MEMBERS);
            Self { shards, members }
        };
        let work =
            |division: &Self| batch.div_ceil(division.shards) as f64 / division.members as f64;
        let all = (1..=most).rev().map(divided);
        all.min_by(|a, b| work(a).total_cmp(&work(b))).expect("at least one shard")
    }
}
