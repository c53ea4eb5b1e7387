//! Whether a disk has room for the checkpoints of a run.

use std::path::Path;

use indicatif::DecimalBytes;
use karenina::train::Trainer;
use karenina::train::checkpoint::Checkpoint;

use super::output::warn;

/// Warns if what will be saved in the folder `run`, of which so many checkpoints are kept, takes more than is free, where
/// the system tells.
pub fn warn_of_little_room(run: &Path, keep: Option<usize>, trainer: &Trainer) {
    let needed = bytes_to_save(keep, trainer);
    if let Some(free) = free_bytes(run).filter(|&free| free < needed) {
        warn(&format!(
            "the checkpoints of this run will take {}, but only {} is free for {}; a larger --save-every makes fewer of \
             them, and --keep-checkpoints keeps fewer",
            DecimalBytes(needed),
            DecimalBytes(free),
            run.display()
        ));
    }
}

/// Bytes of the checkpoints that are still to come and will be kept; each holds a row for every step before it.
fn bytes_to_save(keep: Option<usize>, trainer: &Trainer) -> u64 {
    let (config, step, last) = (trainer.config(), trainer.step(), trainer.last_step());
    let bytes =
        |rows| Checkpoint::file_bytes(trainer.vocabulary(), trainer.sizes(), config.batch, rows);
    let due = last.div_ceil(config.save_every).saturating_sub(step / config.save_every);
    let kept = keep.map_or(u64::MAX, |keep| (keep as u64).saturating_add(1)); // and the best
    match kept < due {
        true => kept.saturating_mul(bytes(last)),
        false => due.saturating_mul(bytes(step).midpoint(bytes(last))),
    }
}

/// Bytes that this user can still write into the folder at `path`.
#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use karenina::text::corpus::Corpus;
    use karenina::train::TrainConfig;

    #[test]
    fn what_will_be_saved_is_what_the_files_take() {
        let corpus = Corpus::from_text(&"to and fro ".repeat(10));
        let config = TrainConfig::builder().hidden(4).batch(2).unroll(5).steps(Some(10));
        let config = config.save_every(4).build().unwrap();
        let mut trainer = Trainer::new(&corpus, config, 1).unwrap();
        let length = |trainer: &Trainer| trainer.checkpoint().encode().len() as u64;
        let first = length(&trainer);
        assert_eq!(bytes_to_save(None, &trainer), 3 * (first + 5 * 64), "after steps 4, 8 and 10");
        assert_eq!(bytes_to_save(Some(1), &trainer), 2 * (first + 10 * 64));
        trainer.by_ref().take(9).for_each(|report| assert!(report.is_ok()));
        assert_eq!(bytes_to_save(None, &trainer), length(&trainer) + 32, "after step 10");
    }

    #[cfg(unix)]
    #[test]
    fn the_free_room_is_that_of_the_folders_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).is_some_and(|bytes| bytes > 0 && bytes < 1 << 60));
        assert_eq!(free_bytes(&folder.path().join("nowhere")), None);
    }
}
