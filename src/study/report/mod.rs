//! A trained network at a glance: everything that `karenina report` shows, as plain numbers.
//!
//! Each part has a function of its own: [`curves`] of the run, [`samples`] at its checkpoints, the
//! [`Reading`] of a text, [`find_cells`] that follow one of its [`features`], the [`gates`] over it, and
//! the [`flow`] of gradients back through it. [`report`] puts them together.

mod cells;
mod curves;
mod features;
mod flow;
mod gates;
mod reading;
mod samples;

use std::path::Path;

pub use cells::{Found, find_cells};
pub use curves::{Curves, Stretch, curves};
pub use features::{Feature, features};
pub use flow::{Flow, flow};
pub use gates::{GATES, LayerGates, Saturation, gates};
pub use reading::{Guess, Reading};
pub use samples::{Sample, sample, samples};

use crate::error::{Error, Result};
use crate::memory;
use crate::model::Sizes;
use crate::sample::Picker;
use crate::study::trace::require_two;
use crate::text::vocabulary::Vocabulary;
use crate::train::checkpoint::Checkpoint;
use crate::train::{LogRow, TrainConfig};

/// Points of each learning curve.
const POINTS: usize = 400;
/// Checkpoints that write a sample.
const SAMPLES: usize = 10;
/// Characters of each sample.
const SAMPLE_LENGTH: usize = 300;
/// Seed of the samples.
const SEED: u64 = 0;
/// Steps over which the gates are shown.
const PASSAGE: usize = 48;
/// Losses that are taken back.
const PLACES: usize = 24;
/// Steps over which they are taken back.
const LAGS: usize = 64;

/// A trained network at a glance.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The network's sizes.
    pub sizes: Sizes,
    /// How it was trained.
    pub config: TrainConfig,
    /// Why so, if that was chosen for a text and a number of minutes; else empty.
    pub choice: String,
    /// Steps made.
    pub step: u64,
    /// The V characters by id.
    pub vocabulary: Vocabulary,
    /// The run's history.
    pub curves: Curves,
    /// What its checkpoints wrote.
    pub samples: Vec<Sample>,
    /// What is wrong with each checkpoint that is damaged and wrote nothing.
    pub broken: Vec<Error>,
    /// The text, read.
    pub reading: Reading,
    /// The cells that follow a property of the text.
    pub cells: Vec<Found>,
    /// The gates of each layer.
    pub gates: Vec<LayerGates>,
    /// The gradients on their way back.
    pub flow: Flow,
}

/// Everything about `checkpoint`, seen on `text`.
///
/// * `folder`: the run's, whose checkpoints write the samples; without one `checkpoint` alone does
/// * `history`: of the run
/// * `text`: at least two characters, all of them in the checkpoint's vocabulary
///
/// # Errors
/// A text that is too short, has unknown characters or needs more memory than there is; those of
/// [`samples`].
pub fn report(
    checkpoint: Checkpoint,
    folder: Option<&Path>,
    history: &[LogRow],
    text: &str,
) -> Result<Report> {
    let vocabulary = &checkpoint.vocabulary;
    let ids = vocabulary.encode(text)?;
    require_two(ids.len())?;
    let what = format!("a report on {} characters", ids.len());
    let bytes = Reading::bytes(checkpoint.sizes(), ids.len());
    memory::require(bytes.saturating_add(flow::bytes(checkpoint.sizes(), PLACES, LAGS)), what)?;
    let (samples, broken) = match folder {
        Some(folder) => samples(folder, checkpoint.run, SAMPLES, SAMPLE_LENGTH, SEED)?,
        None => (vec![sample(&checkpoint, SAMPLE_LENGTH, Picker::default(), SEED)], vec![]),
    };
    let reading = Reading::new(&checkpoint.parameters, ids);
    let ids = &reading.ids[..reading.steps()];
    let read: Vec<char> = ids.iter().map(|&id| vocabulary.character(id)).collect();
    Ok(Report {
        sizes: checkpoint.parameters.sizes(),
        step: checkpoint.step,
        curves: curves(history, checkpoint.config.clip, POINTS),
        samples,
        broken,
        cells: find_cells(&read, &reading, &features(&read)),
        gates: gates(&reading, PASSAGE),
        flow: flow(&checkpoint.parameters, &reading.ids, PLACES, LAGS),
        reading,
        vocabulary: checkpoint.vocabulary,
        config: checkpoint.config,
        choice: checkpoint.choice,
    })
}
