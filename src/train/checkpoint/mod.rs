//! Everything that a run needs to continue with the same bits, in one file.
//!
//! `docs/checkpoint-format.md` specifies the file. A [`Checkpoint`] is read in three steps, each of
//! which proves what the next relies on: the frame (magic, version, length, checksum), the record that
//! borrows from the file's bytes, and every size, shape and number in it. Only then are arrays
//! allocated, so that a hostile file takes no more than twice its own length.

mod check;
mod frame;
mod record;
mod summary;
mod tensors;

use std::io::{self, Write};
use std::path::Path;

use frame::{Flaw, at};
use record::{AdamRecord, Added, ConfigRecord, Head, Record};
pub use summary::Summary;

use crate::error::{Error, Result};
use crate::model::{Parameters, Sizes, State};
use crate::optim::adam::Adam;
use crate::text::vocabulary::Vocabulary;
use crate::train::files;
use crate::train::log::LogRow;
use crate::train::{RunId, TrainConfig};

/// A run between two steps. Nothing else is needed to go on: dropout masks and the order of batches
/// are functions of what stands here.
///
/// ```
/// use karenina::text::corpus::Corpus;
/// use karenina::train::checkpoint::Checkpoint;
/// use karenina::train::{TrainConfig, Trainer};
///
/// let corpus = Corpus::from_text(&"to and fro ".repeat(10));
/// let config = TrainConfig::builder().hidden(8).batch(2).unroll(5).steps(Some(4)).build()?;
/// let mut trainer = Trainer::new(&corpus, config, 1)?;
/// trainer.nth(1).unwrap()?; // two steps
///
/// // Save, load and go on: the same numbers as if it had never stopped.
/// let path = std::env::temp_dir().join(format!("karenina-{}.ckpt", std::process::id()));
/// trainer.checkpoint().save(&path)?;
/// let mut resumed = Trainer::from_checkpoint(Checkpoint::load(&path)?, &corpus, 1)?;
/// assert_eq!(resumed.next().unwrap()?.row.loss, trainer.next().unwrap()?.row.loss);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The run it belongs to; none for a model that came from elsewhere, or a file of version 1.
    pub run: Option<RunId>,
    /// Hyper-parameters.
    pub config: TrainConfig,
    /// Why the hyper-parameters are what they are, in words for people; empty if nothing was chosen for them.
    pub choice: String,
    /// The V characters.
    pub vocabulary: Vocabulary,
    /// SHA-256 of the training text in UTF-8; zeros for a model that came from elsewhere.
    pub text_sha256: [u8; 32],
    /// All weights.
    pub parameters: Parameters<f32>,
    /// Adam's constants, moments and number of updates.
    pub adam: Adam<f32>,
    /// h and c after the last batch, for each layer [B, H].
    pub state: State<f32>,
    /// Steps made, skipped batches included.
    pub step: u64,
    /// Full passes made through the text.
    pub epoch: u64,
    /// Batches of this pass that are already used.
    pub batch: usize,
    /// One row for each update.
    pub history: Vec<LogRow>,
}

impl Checkpoint {
    /// A model without a run, as imported from another program: step 0, empty memory, moments zero.
    ///
    /// `config` takes the sizes of `parameters`.
    ///
    /// # Panics
    /// If `vocabulary` and `parameters` differ in size.
    pub fn without_history(
        config: TrainConfig,
        vocabulary: Vocabulary,
        parameters: Parameters<f32>,
    ) -> Self {
        let sizes = parameters.sizes();
        assert_eq!(vocabulary.len(), sizes.vocabulary, "characters and columns of the projection");
        let config = config.of_network(sizes);
        Self {
            run: None,
            choice: String::new(),
            text_sha256: [0; 32],
            adam: Adam::new(config.adam, sizes),
            state: State::zeros(sizes, config.batch),
            config: TrainConfig { groups: config.groups_in_use(), ..config },
            vocabulary,
            parameters,
            step: 0,
            epoch: 0,
            batch: 0,
            history: Vec::new(),
        }
    }

    /// Whether it belongs to no text, like an imported model.
    pub fn is_of_no_text(&self) -> bool {
        self.text_sha256 == [0; 32]
    }

    /// Whether weights, moments and state have the sizes that the configuration names: all fields may be changed.
    pub(crate) fn is_consistent(&self) -> bool {
        let Self { config, vocabulary, parameters, adam, state, .. } = self;
        let sizes = config.sizes(vocabulary.len());
        [parameters, &adam.m, &adam.v].into_iter().all(|of| of.sizes() == sizes)
            && state.fits(sizes, config.batch)
    }

    /// The network's sizes.
    pub fn sizes(&self) -> Sizes {
        self.parameters.sizes()
    }

    /// The name of its file in a run folder: `i{step}_l{hidden}.ckpt`.
    pub fn file_name(&self) -> String {
        format!("i{}_l{}.ckpt", self.step, self.config.hidden)
    }

    /// How long the file of a checkpoint with these sizes is after `rows` updates; where it says why its configuration is
    /// as it is, that comes on top, some hundred bytes.
    pub fn file_bytes(vocabulary: &Vocabulary, sizes: Sizes, batch: usize, rows: u64) -> u64 {
        let characters: usize = vocabulary.characters().iter().map(|c| c.len_utf8()).sum();
        record::length(sizes, batch, characters, rows) + frame::HEADER as u64
    }

    /// The bytes of its file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes).expect("memory can be written to");
        bytes
    }

    /// What is written of it.
    fn record(&self) -> Record<'_> {
        let Self { config, vocabulary, text_sha256, parameters, adam, state, .. } = self;
        let &Self { step, epoch, batch, ref history, .. } = self;
        let sizes = self.sizes();
        let head = Head {
            added: Added::new(self.run, config),
            choice: self.choice.as_str().into(),
            sizes: [sizes.vocabulary, sizes.hidden, sizes.layers].map(|size| size as u64),
            config: ConfigRecord::new(config),
            text_sha256: *text_sha256,
            step,
            epoch,
            batch: batch as u64,
            updates: adam.updates,
            adam: AdamRecord::new(adam.config),
            vocabulary: vocabulary.characters().iter().copied().collect(),
            history: record::history(history),
        };
        Record { head, tensors: tensors::list(parameters, adam, state) }
    }

    /// Writes the bytes of its file, in large and small pieces: `out` should have a buffer.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: impl Write) -> io::Result<()> {
        let record = self.record();
        record.write(record.header(), out)
    }

    /// The checkpoint in `bytes`, all of it proven; `path` is for the message.
    ///
    /// # Errors
    /// [`Error::Damaged`] for anything that is not exactly what [`Checkpoint::encode`] writes or wrote in
    /// version 1, [`Error::Newer`] for a version that is not known yet.
    pub fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let read = || -> std::result::Result<Self, Flaw> {
            let (version, payload) = frame::unwrap(bytes)?;
            let record = record::decode(version, payload)?;
            let (sizes, config) = check::record(&record, payload.len() as u64)?;
            Ok(Self::build(&record, sizes, config))
        };
        read().map_err(at(path))
    }

    fn build(record: &Record<'_>, sizes: Sizes, config: TrainConfig) -> Self {
        let head = &record.head;
        let (parameters, adam, state) = tensors::build(
            &record.tensors,
            sizes,
            config.batch,
            head.adam.config(head.added),
            head.updates,
        );
        Self {
            run: RunId::new(head.added.run),
            choice: head.choice.to_string(),
            vocabulary: Vocabulary::from_text(&head.vocabulary), // which is sorted
            text_sha256: head.text_sha256,
            parameters,
            adam,
            state,
            step: head.step,
            epoch: head.epoch,
            batch: head.batch as usize, // below the batches of a pass, which were in memory
            history: head.rows().map(|row| row.expect("the history was checked")).collect(),
            config,
        }
    }

    /// Writes the file at `path` so that a crash at any moment leaves the old file or the new one, and
    /// returns when it is on the disk. Before the first byte is written, everything that a reader would check is
    /// checked on the numbers themselves: a file that would not load is not written.
    ///
    /// # Errors
    /// Whatever the system refuses, or [`Error::Checkpoint`] if a number is not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.save_if(path, &|| Ok(()))
    }

    /// As [`Checkpoint::save`], if `may` still says so when all is written and only the old file is to be
    /// replaced.
    pub(super) fn save_if(&self, path: &Path, may: &dyn Fn() -> Result<()>) -> Result<()> {
        let record = self.record();
        let header = record.header();
        check::record(&record, header.length)
            .map_err(|reason| format!("not saved, because the file would be {reason}"))
            .map_err(|reason| Error::checkpoint(path, reason))?;
        let may = || may().map_err(io::Error::other);
        files::replace_if(path, &|out| record.write(header, &mut *out), &may)
    }

    /// The checkpoint in the file at `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::decode`]; [`Error::Checkpoint`] for what is no regular file, and
    /// [`Error::FileTooLarge`] for one that is too large.
    pub fn load(path: &Path) -> Result<Self> {
        let (mut file, length) = files::open_regular(path)?;
        // Another program's file may be huge: its first bytes are enough.
        let mut bytes = files::read_start(&mut file, path, frame::HEADER as u64)?;
        let header = frame::Header::read(&bytes, length).map_err(at(path))?;
        files::read_more(&mut file, path, header.length, 2, &mut bytes)?;
        Self::decode(path, &bytes)
    }
}
