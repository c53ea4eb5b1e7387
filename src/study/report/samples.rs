//! What the network wrote at each checkpoint: the article's story.

use std::path::Path;

use crate::error::{Error, Result};
use crate::sample::{Generator, Picker};
use crate::train::RunId;
use crate::train::checkpoint::Checkpoint;
use crate::train::run::checkpoints_in;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// A text written by one checkpoint.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Steps made.
    pub step: u64,
    /// Training loss in nats per character at the last of them, if there was one.
    pub loss: Option<f64>,
    /// The text.
    pub text: String,
}

/// Lets at most `count` checkpoints of `run` in `folder` write `length` characters each, with the same seed; the
/// first and the last are among them. Damaged files come back as the errors they are; those that a trainer
/// deletes in the meantime are left out, and other runs' as well. One after the other: each may be large.
///
/// # Errors
/// If the folder cannot be read; and everything about a checkpoint that does not prove it damaged.
pub fn samples(
    folder: &Path,
    run: Option<RunId>,
    count: usize,
    length: usize,
    seed: u64,
) -> Result<(Vec<Sample>, Vec<Error>)> {
    let mut entries = checkpoints_in(folder)?;
    entries.retain(|entry| !entry.summary().is_ok_and(|summary| summary.run != run));
    let (mut samples, mut broken) = (Vec::new(), Vec::new());
    for entry in evenly(entries, count) {
        match entry.load() {
            Ok(checkpoint) => samples.push(sample(&checkpoint, length, Picker::default(), seed)),
            Err(error) if error.is_missing() => {}
            Err(error) if error.is_damage() => broken.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok((samples, broken))
}

/// `length` characters that `checkpoint` writes after a line break, drawn by `picker`.
pub fn sample(checkpoint: &Checkpoint, length: usize, picker: Picker, seed: u64) -> Sample {
    let Checkpoint { vocabulary, parameters, step, history, .. } = checkpoint;
    let mut generator = Generator::new(parameters, 1);
    generator.read(&[vocabulary.id('\n').unwrap_or(0)]);
    let written = generator.write(length, picker, &mut Pcg64::seed_from_u64(seed));
    let (loss, text) = (history.last().map(|row| row.loss), vocabulary.decode(&written));
    Sample { step: *step, loss, text }
}

/// At most `count` of `items`, the first and the last among them, the others spread evenly.
fn evenly<T>(items: Vec<T>, count: usize) -> Vec<T> {
    let (all, count) = (items.len(), count.min(items.len()));
    let wanted = (0..count).map(|n| match count {
        1 => all - 1,
        _ => n * (all - 1) / (count - 1),
    });
    let wanted: Vec<_> = wanted.collect();
    let items = items.into_iter().enumerate().filter(|(at, _)| wanted.contains(at));
    items.map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::evenly;

    #[test]
    fn the_first_and_the_last_are_always_chosen() {
        assert_eq!(evenly(vec![1, 2, 3, 4, 5], 3), [1, 3, 5]);
        assert_eq!(evenly(vec![1, 2, 3], 10), [1, 2, 3]);
        assert_eq!(evenly(vec![1, 2, 3], 1), [3]);
        assert!(evenly(vec![1, 2], 0).is_empty());
        assert!(evenly(Vec::<u8>::new(), 4).is_empty());
    }
}
