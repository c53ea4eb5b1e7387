//! The payload as it lies in the file; `docs/checkpoint-format.md` is its specification.
//!
//! Vocabulary, history and numbers that are read are borrowed from the file's bytes, and a list can only be
//! so long: a record takes next to no memory beside them, whatever a file claims.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use bincode::Options;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::frame::{Header, Sum};
use super::tensors::{self, Bytes, Tensor};
use crate::math::sums::default_groups;
use crate::model::{Initialisation, Sizes};
use crate::optim::adam::AdamConfig;
use crate::optim::schedule::Schedule;
use crate::text::batches::Validation;
use crate::train::log::LogRow;
use crate::train::{RunId, TrainConfig};

/// Most tensors that a checkpoint may have: three of each layer and two of the projection, three times;
/// h and c.
const MAX_TENSORS: usize = 3 * (3 * TrainConfig::MAX_LAYERS + 2) + 2 * TrainConfig::MAX_LAYERS;
/// Bytes of a history row: eight little-endian numbers.
pub const ROW: usize = 64;
/// Bytes of everything but the characters of choice and vocabulary, history rows and tensors.
const FIXED: usize = 368;
/// Bytes of [`Added`] in versions 2 and 3, and from version 4 on.
const ADDED: [usize; 3] = [24, 72, 80];
/// Bytes of a string beside its characters: their number.
const STRING: usize = 8;
/// The forget gates' bias at the start before version 3.
const FORGET_BIAS: f64 = 1.0;
/// Bytes of a tensor beside its numbers: shape and length.
const TENSOR: u64 = 24;

/// The whole payload.
#[derive(Serialize, Deserialize)]
pub struct Record<'a> {
    #[serde(borrow)]
    pub head: Head<'a>,
    /// Parameters, first moments, second moments, h of every layer, c of every layer.
    #[serde(borrow, deserialize_with = "bounded")]
    pub tensors: Vec<Tensor<'a>>,
}

/// All that is small.
#[derive(Serialize, Deserialize)]
pub struct Head<'a> {
    /// Stands before all else, and in version 1 not at all.
    #[serde(skip)]
    pub added: Added,
    /// [`Checkpoint::choice`](super::Checkpoint::choice), after [`Added`]; from version 3 on.
    #[serde(skip)]
    pub choice: Cow<'a, str>,
    pub sizes: [u64; 3],
    pub config: ConfigRecord,
    pub text_sha256: [u8; 32],
    pub step: u64,
    pub epoch: u64,
    pub batch: u64,
    pub updates: u64,
    /// The optimiser's constants as they stand, which a schedule may have moved.
    pub adam: AdamRecord,
    #[serde(borrow)]
    pub vocabulary: Cow<'a, str>,
    /// Rows of [`ROW`] bytes.
    #[serde(borrow)]
    pub history: Bytes<'a>,
}

/// What later versions have more than version 1, at the start of their payload.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Added {
    /// 0 for none. This and the next two from version 2 on.
    pub run: u64,
    groups: u64,
    /// 0 for none.
    save_minutes: f64,
    /// This and all after it from version 3 on.
    forget_bias: f64,
    /// 0 for none.
    input_sd: f64,
    warm_up: u64,
    /// Both 0 for none.
    descent: (u64, u64),
    weight_decay: f64,
    /// 0 or 1; from version 4 on, and then after all of the above.
    #[serde(skip)]
    pub cell_norm: u64,
}

/// [`AdamConfig`] as versions 1 and 2 knew it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct AdamRecord {
    learning_rate: f64,
    beta1: f64,
    beta2: f64,
    epsilon: f64,
}

/// [`TrainConfig`] without the sizes, every field of fixed width.
#[derive(Serialize, Deserialize)]
pub struct ConfigRecord {
    /// 0 Glorot uniform, 1 truncated normal with this standard deviation.
    initialisation: (u64, f64),
    batch: u64,
    unroll: u64,
    epochs: u64,
    /// 0 no limit.
    steps: u64,
    adam: AdamRecord,
    keep: f64,
    clip: f64,
    save_every: u64,
    /// 0 none, 1 a share, 2 a number of batches; share; batches.
    validation: (u64, f64, u64),
    seed: u64,
}

/// A list of at most [`MAX_TENSORS`]: an empty one takes more memory than its bytes in the file.
fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Tensor<'de>>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<Tensor<'de>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX_TENSORS} tensors")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut tensors = Vec::new();
            while let Some(tensor) = list.next_element()? {
                if tensors.len() == MAX_TENSORS {
                    return Err(A::Error::invalid_length(MAX_TENSORS + 1, &self));
                }
                tensors.push(tensor);
            }
            Ok(tensors)
        }
    }
    deserializer.deserialize_seq(List)
}

/// The bytes of a history, in memory once more while a file is written.
pub fn history(rows: &[LogRow]) -> Bytes<'static> {
    Bytes(rows.iter().flat_map(row_bytes).collect())
}

fn row_bytes(row: &LogRow) -> impl Iterator<Item = u8> + use<> {
    let &LogRow { step, epoch, loss, validation, norm, learning_rate, seconds } = row;
    let known = u64::from(validation.is_some());
    let [loss, validation, norm, learning_rate, seconds] =
        [loss, validation.unwrap_or(0.0), norm, learning_rate, seconds].map(f64::to_bits);
    [step, epoch, loss, known, validation, norm, learning_rate, seconds]
        .into_iter()
        .flat_map(u64::to_le_bytes)
}

/// A row from its [`ROW`] bytes; nothing if its flag is neither 0 nor 1, or 0 before a value.
fn row_from(bytes: &[u8]) -> Option<LogRow> {
    let number = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight"));
    let float = |i| f64::from_bits(number(i));
    let validation = match (number(3), number(4)) {
        (0, 0) => None,
        (1, _) => Some(float(4)),
        _ => return None,
    };
    let (loss, norm, learning_rate, seconds) = (float(2), float(5), float(6), float(7));
    let (step, epoch) = (number(0), number(1));
    Some(LogRow { step, epoch, loss, validation, norm, learning_rate, seconds })
}

impl ConfigRecord {
    pub fn new(config: &TrainConfig) -> Self {
        // The sizes stand by themselves; a field that is new must get a place in a new version.
        let &TrainConfig {
            hidden: _,
            layers: _,
            cell_norm: _,
            initialisation,
            input_sd: _,
            forget_bias: _, // what is left out is `Added`
            batch,
            unroll,
            groups: _,
            epochs,
            steps,
            adam,
            schedule: _,
            keep,
            clip,
            save_every,
            save_minutes: _,
            validation,
            seed,
        } = config;
        Self {
            initialisation: match initialisation {
                Initialisation::Glorot => (0, 0.0),
                Initialisation::TruncatedNormal(sd) => (1, sd),
            },
            batch: batch as u64,
            unroll: unroll as u64,
            epochs,
            steps: steps.unwrap_or(0),
            adam: AdamRecord::new(adam),
            keep,
            clip,
            save_every,
            validation: match validation {
                Validation::None => (0, 0.0, 0),
                Validation::Share(share) => (1, share, 0),
                Validation::Batches(batches) => (2, 0.0, batches as u64),
            },
            seed,
        }
    }

    /// B.
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// The configuration of a network of these `sizes`; nothing if a choice is none of those known or
    /// a number does not fit this machine.
    pub fn config(&self, sizes: Sizes, added: Added) -> Option<TrainConfig> {
        let whole = |number: u64| usize::try_from(number).ok();
        Some(TrainConfig {
            hidden: sizes.hidden,
            layers: sizes.layers,
            cell_norm: sizes.cell_norm,
            initialisation: match self.initialisation {
                (0, sd) if sd.to_bits() == 0 => Initialisation::Glorot,
                (1, sd) => Initialisation::TruncatedNormal(sd),
                _ => return None,
            },
            input_sd: (added.input_sd.to_bits() != 0).then_some(added.input_sd),
            forget_bias: added.forget_bias,
            batch: whole(self.batch)?,
            unroll: whole(self.unroll)?,
            groups: whole(added.groups).filter(|&groups| groups >= 1)?,
            epochs: self.epochs,
            steps: (self.steps != 0).then_some(self.steps),
            adam: self.adam.config(added),
            schedule: Schedule::new(
                added.warm_up,
                Some(added.descent).filter(|&descent| descent != (0, 0)),
            ),
            keep: self.keep,
            clip: self.clip,
            save_every: self.save_every,
            save_minutes: (added.save_minutes.to_bits() != 0).then_some(added.save_minutes),
            validation: match self.validation {
                (0, share, 0) if share.to_bits() == 0 => Validation::None,
                (1, share, 0) => Validation::Share(share),
                (2, share, batches) if share.to_bits() == 0 => Validation::Batches(whole(batches)?),
                _ => return None,
            },
            seed: self.seed,
        })
    }
}

impl AdamRecord {
    /// What a file says of `config`.
    pub fn new(config: AdamConfig) -> Self {
        let AdamConfig { learning_rate, beta1, beta2, epsilon, weight_decay: _ } = config;
        Self { learning_rate, beta1, beta2, epsilon }
    }

    /// The optimiser's constants, with what was `added`.
    pub fn config(self, added: Added) -> AdamConfig {
        let Self { learning_rate, beta1, beta2, epsilon } = self;
        AdamConfig { learning_rate, beta1, beta2, epsilon, weight_decay: added.weight_decay }
    }
}

impl Added {
    /// What is added for a run with this name and `config`.
    pub fn new(run: Option<RunId>, config: &TrainConfig) -> Self {
        Self {
            run: run.map_or(0, RunId::get),
            groups: config.groups_in_use() as u64,
            save_minutes: config.save_minutes.unwrap_or(0.0),
            forget_bias: config.forget_bias,
            input_sd: config.input_sd.unwrap_or(0.0),
            warm_up: config.schedule.warm_up,
            descent: config.schedule.descent.unwrap_or((0, 0)),
            weight_decay: config.adam.weight_decay,
            cell_norm: config.cell_norm.into(),
        }
    }

    /// What holds for a file of version 1.
    fn of_version_1(config: &ConfigRecord) -> Self {
        let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let groups = default_groups(whole(config.batch), whole(config.unroll)) as u64;
        Self::of_version_2(0, groups, 0.0)
    }

    /// What holds for a file of version 2 with these numbers.
    fn of_version_2(run: u64, groups: u64, save_minutes: f64) -> Self {
        Self { run, groups, save_minutes, forget_bias: FORGET_BIAS, ..Self::default() }
    }
}

impl<'a> Record<'a> {
    /// The header of its payload.
    pub fn header(&self) -> Header {
        let mut sum = Sum::default();
        self.write_payload(&mut sum).expect("a sum takes whatever is written");
        sum.header()
    }

    /// Writes the file: the [`header`](Self::header), and the payload a second time.
    pub fn write(&self, header: Header, mut out: impl Write) -> io::Result<()> {
        out.write_all(&header.bytes())?;
        self.write_payload(out)
    }

    fn write_payload(&self, out: impl Write) -> io::Result<()> {
        let Head { added, choice, .. } = &self.head;
        let payload = (added, added.cell_norm, choice, self);
        coding().serialize_into(out, &payload).map_err(|error| match *error {
            bincode::ErrorKind::Io(error) => error,
            error => io::Error::other(error),
        })
    }
}

/// How the payload is coded: fixed-width little-endian integers.
fn coding() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().with_little_endian()
}

/// What later versions than 1 have at the start of a payload: what is added, and the choice.
type Start<'a> = Option<(Added, &'a str)>;

/// The start of `payload`, and the rest; nothing if it is cut short.
fn split(version: u32, payload: &[u8]) -> Option<(Start<'_>, &[u8])> {
    let coding = coding().with_limit(payload.len() as u64).allow_trailing_bytes();
    Some(match version {
        1 => (None, payload),
        2 => {
            let (run, groups, save_minutes) = coding.deserialize(payload).ok()?;
            (Some((Added::of_version_2(run, groups, save_minutes), "")), &payload[ADDED[0]..])
        }
        3 => {
            let (added, choice): (Added, &str) = coding.deserialize(payload).ok()?;
            (Some((added, choice)), &payload[ADDED[1] + STRING + choice.len()..])
        }
        _ => {
            let (added, cell_norm, choice): (Added, u64, &str) =
                coding.deserialize(payload).ok()?;
            let rest = &payload[ADDED[2] + STRING + choice.len()..];
            (Some((Added { cell_norm, ..added }, choice)), rest)
        }
    })
}

/// The record in `payload`, all of it; or why there is none.
pub fn decode(version: u32, payload: &[u8]) -> Result<Record<'_>, String> {
    let (added, rest) =
        split(version, payload).ok_or("damaged: its payload ends within its first fields")?;
    let coding = coding().with_limit(rest.len() as u64);
    let record = coding.reject_trailing_bytes().deserialize(rest);
    let mut record: Record<'_> = record.map_err(|error| format!("damaged: {error}"))?;
    record.head.complete(added);
    Ok(record)
}

/// The head of a payload of which `start` is the first part; nothing if it needs more.
pub fn decode_head(version: u32, start: &[u8]) -> Option<Head<'_>> {
    let (added, rest) = split(version, start)?;
    let coding = coding().with_limit(rest.len() as u64);
    let mut head: Head<'_> = coding.allow_trailing_bytes().deserialize(rest).ok()?;
    head.complete(added);
    Some(head)
}

impl<'a> Head<'a> {
    /// Every row of the history; nothing in the place of one that is wrong.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = Option<LogRow>> {
        self.history.0.chunks_exact(ROW).map(row_from)
    }

    fn complete(&mut self, start: Start<'a>) {
        let (added, choice) = start.unwrap_or_else(|| (Added::of_version_1(&self.config), ""));
        (self.added, self.choice) = (added, choice.into());
    }
}

/// Bytes of a payload with `characters` bytes of choice and vocabulary and `rows` history rows.
pub fn length(sizes: Sizes, batch: usize, characters: usize, rows: u64) -> u64 {
    let shapes = tensors::shapes(sizes, batch as u64);
    let tensors: u64 = shapes.into_iter().map(|(rows, columns)| 4 * rows * columns + TENSOR).sum();
    ((FIXED + characters) as u64 + tensors).saturating_add((ROW as u64).saturating_mul(rows))
}
