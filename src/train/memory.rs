//! The memory of a run, told and compared with the machine's before any of it is allocated.

use std::fs;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::model::{Network, Parameters};
use crate::text::corpus::Corpus;
use crate::train::TrainConfig;

/// Bytes that a training run takes, by what they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The weights.
    pub parameters: u64,
    /// Their gradients.
    pub gradients: u64,
    /// Adam's two moments of each.
    pub moments: u64,
    /// The weights' copies in the kernels' layout.
    pub packed: u64,
    /// What the backward pass needs of the forward pass, for all rows and time steps.
    pub tapes: u64,
    /// The text, as it was read and as numbers.
    pub text: u64,
    /// While a sample is written: the weights packed once more, without their transposes. To save a
    /// checkpoint takes no memory worth counting.
    pub sampling: u64,
}

impl Memory {
    /// What training with `config` on `corpus` of `vocabulary` distinct characters takes.
    pub fn of(config: &TrainConfig, corpus: &Corpus, vocabulary: usize) -> Self {
        let sizes = config.sizes(vocabulary);
        let drops_out = config.keep < 1.0;
        let parameters = Parameters::<f32>::bytes(sizes);
        let packed = Network::<f32>::packed_bytes(sizes);
        Self {
            parameters,
            gradients: parameters,
            moments: parameters.saturating_mul(2),
            packed,
            tapes: Network::<f32>::tape_bytes(sizes, config.batch, config.unroll, drops_out),
            text: (corpus.text().len() + size_of::<u32>() * corpus.len()) as u64,
            sampling: packed / 2,
        }
    }

    /// All of it; `u64::MAX` for as much and more.
    pub fn total(&self) -> u64 {
        let Self { parameters, gradients, moments, packed, tapes, text, sampling } = *self;
        let parts = [parameters, gradients, moments, packed, tapes, text, sampling];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Refuses what the machine cannot hold. Where its memory is not known, what no machine can.
    ///
    /// # Errors
    /// [`Error::TooLarge`] with both figures.
    pub fn require(&self, config: &TrainConfig) -> Result<()> {
        let (needed, available) = (self.total(), machine_bytes().unwrap_or(isize::MAX as u64));
        if needed <= available {
            return Ok(());
        }
        let sizes = [config.layers, config.hidden, config.batch, config.unroll];
        Err(Error::TooLarge { needed, available, sizes })
    }
}

/// The machine's memory in bytes, where the system tells (Linux).
pub fn machine_bytes() -> Option<u64> {
    kibibytes("/proc/meminfo", "MemTotal:")
}

/// The most memory that this process has had at once, in bytes, where the system tells (Linux).
pub fn peak_rss_bytes() -> Option<u64> {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// The value after `key` in a file of lines such as "MemTotal:  24000000 kB".
fn kibibytes(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
