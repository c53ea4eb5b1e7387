//! Who trains: the threads of this process, and the ranks of which it is one.
//!
//! Rank 0 leads and tells the others to do their part of whatever it trains, so only rank 0 reads and writes a run's
//! folder, and only rank 0 has to know what comes next.

use super::checkpoint::Checkpoint;
use crate::ranks::Ranks;

/// Threads and ranks. A number of threads stands for this process alone: `Trainer::new(&corpus, config, 2)`.
#[derive(Clone, Debug)]
pub struct Workers {
    /// Threads of this process.
    pub threads: usize,
    /// The processes that train together.
    pub ranks: Ranks,
}

impl From<usize> for Workers {
    fn from(threads: usize) -> Self {
        Self { threads, ranks: Ranks::alone() }
    }
}

impl From<&Workers> for Workers {
    fn from(workers: &Workers) -> Self {
        workers.clone()
    }
}

/// What rank 0 tells the others to do, with the byte that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Train from the checkpoint that follows.
    Begin,
    /// Make a step.
    Step,
    /// Leave out a batch.
    Skip,
    /// Measure the loss over the validation tail.
    Validate,
    /// Send the state of the own rows.
    Gather,
    /// Give back the memory of what is trained.
    Rest,
    /// There is no more to do.
    Leave,
}

impl Order {
    /// All of them, each at the place of its byte.
    pub const ALL: [Self; 7] = [
        Self::Begin,
        Self::Step,
        Self::Skip,
        Self::Validate,
        Self::Gather,
        Self::Rest,
        Self::Leave,
    ];
}

impl Workers {
    /// Rank 0 tells the others what it is about to do; the others know already.
    pub(super) fn lead(&self, order: Order) {
        if self.ranks.rank() == 0 && !self.ranks.is_alone() {
            self.ranks.broadcast(&mut [order as u8]);
        }
    }

    /// Rank 0 lets the others go, after which [`Workers::follow`] returns there.
    pub fn dismiss(&self) {
        self.lead(Order::Leave);
    }

    /// After a trial of rank 0's: waits until the others have given back its memory.
    pub(crate) fn rest(&self) {
        self.lead(Order::Rest);
        let _ = self.ranks.agree(Ok(()));
    }

    /// Whether to stop in the middle of what all ranks do together: rank 0 says so to all.
    pub(super) fn are_told_to_stop(&self) -> bool {
        let mut is_told = [u8::from(self.ranks.asked_to_stop().is_some())];
        self.ranks.broadcast(&mut is_told);
        is_told != [0]
    }

    /// Begins to train from `checkpoint` in all ranks.
    pub(super) fn begin(&self, checkpoint: &Checkpoint) {
        if !self.ranks.is_alone() {
            self.lead(Order::Begin);
            self.ranks.broadcast_all(checkpoint.encode());
        }
    }
}
