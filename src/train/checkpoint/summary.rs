//! What a list of checkpoints shows of each, from the start of its file alone.

use std::path::Path;
use std::time::SystemTime;

use super::frame::{self, at};
use super::{check, record};
use crate::error::Result;
use crate::model::Sizes;
use crate::train::{RunId, TrainConfig, files};

/// A checkpoint without its numbers.
///
/// However large the network, what is read of the file is 64 kB and the history, 64 bytes an update; of a longer history
/// than that, up to eight times as much. Damage further on in the file does not show here; [`Checkpoint::load`](super::Checkpoint::load) finds it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The run it belongs to; none for an imported model and for files of version 1.
    pub run: Option<RunId>,
    /// Hyper-parameters: batch, unroll and all others.
    pub config: TrainConfig,
    /// The network's sizes.
    pub sizes: Sizes,
    /// Steps made.
    pub step: u64,
    /// The pass through the text that the last step belongs to, from 1, as in the log.
    pub epoch: u64,
    /// Training loss of the last step, in nats per character.
    pub loss: Option<f64>,
    /// Validation loss at this step, in nats per character, if it was evaluated.
    pub validation: Option<f64>,
    /// When the file was written, as far as the system knows.
    pub modified: Option<SystemTime>,
    /// Length of the file.
    pub bytes: u64,
}

impl Summary {
    /// The summary of the checkpoint file at `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::load`](super::Checkpoint::load), but for damage further on.
    pub fn read(path: &Path) -> Result<Self> {
        let (mut file, bytes) = files::open_regular(path)?;
        let modified = file.metadata().and_then(|metadata| metadata.modified()).ok();
        let mut start = files::read_start(&mut file, path, frame::HEADER as u64)?;
        let header = frame::Header::read(&start, bytes).map_err(at(path))?;
        start.clear();
        // The head says itself where it ends: read on until it does.
        let mut count = header.length.min(64 << 10);
        let head = loop {
            files::read_more(&mut file, path, count - start.len() as u64, 2, &mut start)?;
            if let Some(head) = record::decode_head(header.version, &start) {
                break head;
            }
            if count == header.length {
                return Err(at(path)("damaged: its header has no end".to_string()));
            }
            count = header.length.min(8 * count);
        };
        let (sizes, config) = check::head(&head, header.length).map_err(at(path))?;
        let newest = head.rows().next_back().flatten();
        Ok(Self {
            run: RunId::new(head.added.run),
            config,
            sizes,
            step: head.step,
            epoch: newest.map_or(1, |row| row.epoch),
            loss: newest.map(|row| row.loss),
            validation: newest.and_then(|row| row.validation),
            modified,
            bytes,
        })
    }
}
