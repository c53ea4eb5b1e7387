//! Answers of Watch, from what a run writes into its folder. Nothing here opens a file of the run for writing.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use karenina::memory;
use karenina::sample::{Generator, Picker};
use karenina::study::lab::{Progress, Walk};
use karenina::study::report::{curves, sample};
use karenina::train::LogRow;
use karenina::train::checkpoint::{Checkpoint, Summary};
use karenina::train::run::{Entry, RunFolder};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cache::{Cache, Key};
use super::networks::{Network, Networks, Source, of_step};
use super::refusal::{Answer, Refusal};

/// Points of each curve.
const POINTS: usize = 400;
/// Checkpoints that are listed, the newest.
const LISTED: usize = 200;
/// Glances at a run's checkpoints that are kept.
const GLANCES: usize = 50;
/// Characters of a checkpoint's sample.
const SAMPLE: usize = 300;
/// Characters of the text on which gradients are measured.
const MEASURED: usize = 64;
/// A run that has written nothing to its log for so long, and for ten steps, may have ended.
const QUIET: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub struct Watch {
    runs: Vec<usize>,
}

#[derive(Deserialize)]
pub struct Glance {
    run: usize,
    step: u64,
    /// On which the gradient is measured.
    text: String,
}

/// What was read of the runs.
#[derive(Debug)]
pub struct Watched {
    logs: Cache<Vec<LogRow>>,
    summaries: Cache<Summary>,
    glances: Cache<Value>,
    /// Where the run ends to which this lab belongs.
    last_step: Option<u64>,
}

impl Watched {
    /// With room for what is looked at of so many `runs`.
    pub fn new(runs: usize, last_step: Option<u64>) -> Self {
        let (logs, summaries) = (Cache::new(runs), Cache::new(runs * LISTED));
        Self { logs, summaries, glances: Cache::new(runs * GLANCES), last_step }
    }

    fn log(&self, folder: &Path) -> Result<Arc<Vec<LogRow>>, Refusal> {
        let path = folder.join(RunFolder::LOG);
        if !path.exists() {
            return Ok(Arc::default());
        }
        self.logs.get(&Key::of(&path)?, || Ok(LogRow::read_table(&path)?))
    }

    fn summary(&self, path: &Path) -> Result<Arc<Summary>, Refusal> {
        self.summaries.get(&Key::of(path)?, || Ok(Summary::read(path)?))
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Curves, progress, checkpoints and events of some runs.
pub fn watch(networks: &Networks, watched: &Watched, asked: &Watch) -> Answer {
    if asked.runs.len() > networks.sources.len() {
        return Err(Refusal::bad("the same run is asked for twice"));
    }
    let runs = asked.runs.iter().map(|&run| {
        let source = networks.source(run)?;
        Ok(one(source, watched).unwrap_or_else(|refusal| nothing(source, &refusal.sentence)))
    });
    Ok(json!(runs.collect::<Result<Vec<Value>, Refusal>>()?))
}

/// What is shown of a run that cannot be read now: why. The others go on.
fn nothing(source: &Source, why: &str) -> Value {
    json!({
        "name": source.name(),
        "state": why,
        "progress": null,
        "curves": curves(&[], f64::INFINITY, POINTS),
        "checkpoints": [],
        "events": [],
    })
}

fn one(source: &Source, watched: &Watched) -> Answer {
    let Some(folder) = source.folder() else { return Ok(nothing(source, "not a run's folder")) };
    let history = watched.log(folder)?;
    let mut entries = source.checkpoints()?;
    entries.drain(..entries.len().saturating_sub(LISTED));
    let listed: Vec<(Entry, Result<Arc<Summary>, Refusal>)> =
        entries.into_iter().map(|entry| (entry.clone(), watched.summary(&entry.path))).collect();
    let newest = listed.iter().rev().find_map(|(_, summary)| summary.as_ref().ok());
    let config = newest.map(|summary| &summary.config);
    let progress = config.and_then(|config| Progress::of(&history, config, watched.last_step));
    let clip = config.map_or(f64::INFINITY, |config| config.clip);
    Ok(json!({
        "name": source.name(),
        "run": newest.and_then(|summary| summary.run).map(|run| run.to_string()),
        "state": state(folder, &history, progress.as_ref(), watched.last_step.is_some()),
        "progress": progress,
        "curves": curves(&history, clip, POINTS),
        "checkpoints": listed.iter().map(|(entry, _)| entry.step).collect::<Vec<u64>>(),
        "events": events(&listed, &history),
    }))
}

/// Whether a run goes on, as far as its log shows: a long validation writes nothing into it.
///
/// * `is_beside`: it does, for this lab would end with it
fn state(
    folder: &Path,
    history: &[LogRow],
    progress: Option<&Progress>,
    is_beside: bool,
) -> String {
    if progress.is_some_and(|p| p.last_step.is_some_and(|last| p.step >= last)) {
        return "finished".into();
    }
    let Some(newest) = history.last() else { return "no steps yet".into() };
    let log = fs::metadata(folder.join(RunFolder::LOG)).and_then(|metadata| metadata.modified());
    let age = log.ok().and_then(|time| time.elapsed().ok()).unwrap_or_default();
    let ten_steps = Duration::from_secs_f64(10.0 * newest.seconds.clamp(0.0, 1e6));
    match age.as_secs() {
        _ if is_beside || age < QUIET.max(ten_steps) => "running".into(),
        seconds @ ..120 => format!("quiet for {seconds} s"),
        seconds @ ..7200 => format!("quiet for {} min", seconds / 60),
        seconds => format!("quiet for {} h", seconds / 3600),
    }
}

/// What happened, newest first: saves with what validation found, new passes, files that are no good.
fn events(listed: &[(Entry, Result<Arc<Summary>, Refusal>)], history: &[LogRow]) -> Vec<Value> {
    let mut events = Vec::new();
    let first = listed.first().map_or(0, |(entry, _)| entry.step);
    let before = history.iter().take_while(|row| row.step < first).filter_map(|row| row.validation);
    let mut best = before.fold(f64::INFINITY, f64::min);
    for (entry, summary) in listed {
        let (when, what) = match summary {
            Err(refusal) => (None, refusal.sentence.clone()),
            Ok(summary) => {
                let at = history.binary_search_by_key(&entry.step, |row| row.step);
                let nats = at.ok().and_then(|at| history[at].validation).or(summary.validation);
                let found = nats.map_or(String::new(), |nats| {
                    let word = if nats < best { ", the best so far" } else { "" };
                    best = best.min(nats);
                    format!(", validation {nats:.4}{word}")
                });
                (summary.modified.map(seconds), format!("saved{found}"))
            }
        };
        events.push(json!({ "step": entry.step, "time": when, "what": what }));
    }
    let passes = history.windows(2).filter(|rows| rows[0].epoch < rows[1].epoch);
    events.extend(passes.map(|rows| {
        let what = format!("pass {} through the text begins", rows[1].epoch);
        json!({ "step": rows[1].step, "time": null, "what": what })
    }));
    events.sort_by_key(|event| std::cmp::Reverse(event["step"].as_u64()));
    events.truncate(LISTED);
    events
}

/// What a checkpoint writes, and the norm of the gradient in each of its layers on the start of a text.
pub fn glance(networks: &Networks, watched: &Watched, asked: &Glance) -> Answer {
    let entry = of_step(asked.run, networks.source(asked.run)?.checkpoints()?, asked.step)?;
    let mut key = Key::of(&entry.path)?;
    key.name += &format!(" {}", asked.text);
    let make = || look(Checkpoint::load(&entry.path)?, &asked.text);
    let value = networks.with_room(|| watched.glances.get(&key, make))?;
    Ok(Value::clone(&value))
}

fn look(checkpoint: Checkpoint, text: &str) -> Answer {
    memory::require(Generator::<f32>::bytes(checkpoint.sizes(), 1), "writing a sample")?;
    let written = sample(&checkpoint, SAMPLE, Picker::default(), 0);
    let network = Network::new(String::new(), String::new(), checkpoint)?;
    let ids: Vec<u32> =
        text.chars().filter_map(|c| network.vocabulary.id(c)).take(MEASURED).collect();
    let characters = network.vocabulary.characters();
    // A text of characters that it does not know says nothing of its gradient.
    let norms = match ids.len() {
        0 | 1 => Vec::new(),
        _ => Walk::new(Arc::clone(&network.parameters), characters, ids)?.norms(),
    };
    Ok(json!({ "step": written.step, "text": written.text, "norms": norms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_quiet_may_be_validating() {
        let folder = tempfile::tempdir().unwrap();
        let log = fs::File::create(folder.path().join(RunFolder::LOG)).unwrap();
        let state_after = |seconds: u64, is_beside| {
            log.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
            state(folder.path(), &[LogRow::default()], None, is_beside)
        };
        assert_eq!(state_after(5, false), "running");
        assert_eq!(state_after(200, false), "quiet for 3 min");
        assert_eq!(state_after(200, true), "running", "the lab of a training ends with it");
    }
}
