//! What the ranks do that rank 0 leads.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::memory::Memory;
use super::trainer::Trainer;
use super::workers::{Order, Workers};
use crate::error::Result;
use crate::text::corpus::Corpus;

impl Workers {
    /// In every rank but 0: takes part in whatever rank 0 trains on `corpus`, until it is [dismissed](Workers::dismiss).
    pub fn follow(&self, mut corpus: Corpus) {
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
                    trainer = self.join(&mut corpus).ok();
                }
                (Order::Rest, old) => {
                    *old = None;
                    let _ = self.ranks.agree(Ok(())); // says that it is done
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

    /// The trainer of this rank's part, from the checkpoint that rank 0 sends. The text is from then on in terms of its
    /// vocabulary, so that there is only one of it.
    fn join(&self, corpus: &mut Corpus) -> Result<Trainer> {
        let bytes = self.ranks.broadcast_all(Vec::new());
        let checkpoint = Checkpoint::decode(Path::new("rank 0's checkpoint"), &bytes);
        drop(bytes);
        let checkpoint = checkpoint.and_then(|checkpoint| {
            let Checkpoint { config, vocabulary, .. } = &checkpoint;
            if checkpoint.text_sha256 == corpus.sha256() {
                // A translation that fails leaves the text to the next trainer.
                *corpus = corpus.clone().in_terms_of(vocabulary)?;
            }
            Memory::of(config, corpus, vocabulary.len(), self)?
                .require_beside_checkpoint(config)?;
            Ok(checkpoint)
        });
        Trainer::take_part(checkpoint, corpus, self.clone())
    }
}
