//! Who trains: the threads of this process, and the ranks of which it is one.
//!
//! Rank 0 leads. Whatever it trains, the others are told to do their part of, so only rank 0 reads and writes a run's
//! folder, and only rank 0 has to know what comes next.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::trainer::Trainer;
use crate::error::Result;
use crate::ranks::Ranks;
use crate::text::corpus::Corpus;

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
    /// There is no more to do.
    Leave,
}

impl Order {
    const ALL: [Self; 6] =
        [Self::Begin, Self::Step, Self::Skip, Self::Validate, Self::Gather, Self::Leave];
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

    /// Begins to train from `checkpoint` in all ranks.
    pub(super) fn begin(&self, checkpoint: &Checkpoint) {
        if !self.ranks.is_alone() {
            self.lead(Order::Begin);
            self.ranks.broadcast_all(checkpoint.encode());
        }
    }

    /// In every rank but 0: takes part in whatever rank 0 trains on `corpus`, until it is [dismissed](Workers::dismiss).
    pub fn follow(&self, corpus: &Corpus) {
        let mut trainer = None;
        loop {
            let mut byte = [0];
            self.ranks.broadcast(&mut byte);
            let order = Order::ALL[usize::from(byte[0])];
            match (order, &mut trainer) {
                (Order::Leave, _) => return,
                (Order::Begin, old) => {
                    *old = None; // its memory goes before the next one's comes
                    // Rank 0 knows by then why a rank cannot take part.
                    trainer = self.join(corpus).ok();
                }
                (_, None) => unreachable!("{order:?} without a beginning"),
                // Every rank sees the same numbers, and rank 0 decides what becomes of those that are not finite.
                (Order::Step, Some(trainer)) => drop(trainer.update()),
                (Order::Skip, Some(trainer)) => trainer.skip_batch(),
                (Order::Validate, Some(trainer)) => drop(trainer.validate()),
                (Order::Gather, Some(trainer)) => trainer.gather_state(),
            }
        }
    }

    /// The trainer of this rank's part, from the checkpoint that rank 0 sends.
    fn join(&self, corpus: &Corpus) -> Result<Trainer> {
        let bytes = self.ranks.broadcast_all(Vec::new());
        let checkpoint = Checkpoint::decode(Path::new("rank 0's checkpoint"), &bytes);
        drop(bytes);
        Trainer::take_part(checkpoint, corpus, self.clone())
    }
}
