//! What a folder that is to be trained in holds, and whether it may be: decided before a byte is changed.

use std::path::{Path, PathBuf};

use super::contents::{self, Contents};
use super::listing::{Entry, LOG, Loaded, checkpoints_in, load_any, refused};
use super::lock::{Claim, Lock};
use crate::error::{Error, Result};
use crate::train::RunId;
use crate::train::checkpoint::{Checkpoint, Summary};
use crate::train::log::LogRow;

/// The checkpoint that a run goes on from.
pub struct Found {
    /// The run: the checkpoint's, or the one that a checkpoint without a name gets now.
    pub run: RunId,
    /// Its file.
    pub path: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
    /// Newer files that are proven damaged.
    pub damaged: Vec<PathBuf>,
    /// What earlier sessions have saved by the clock, oldest first.
    pub by_the_clock: Vec<PathBuf>,
}

/// The checkpoint to go on from; none in a folder that holds nothing of a run.
///
/// * `claim`: what the folder's lock says.
///
/// # Errors
/// Everything about a checkpoint but damage; [`Error::NoRun`]; [`Error::NoCheckpoint`] if only other files of a run are
/// here; [`Error::HalfReplaced`]; [`Error::RunFolder`] if all checkpoints are damaged or what is here belongs to
/// different runs.
pub fn find(
    folder: &Path,
    claim: Option<Claim>,
    contents: &Contents,
    warnings: &mut Vec<String>,
) -> Result<Option<Found>> {
    if let Some(Claim { run: new, is_replacing: true, .. }) = claim {
        let (path, back) = (folder.to_path_buf(), way_back(contents, new));
        return Err(Error::HalfReplaced { path, back });
    }
    let Loaded { path, checkpoint, broken } = match load_any(folder) {
        Err(Error::NoCheckpoint { .. }) if contents.is_empty() => {
            warnings.push(format!("{} holds no checkpoint: a new run begins", folder.display()));
            return Ok(None);
        }
        Err(newest) if newest.is_damage() => return Err(all_damaged(folder, &newest)),
        loaded => loaded?,
    };
    if checkpoint.is_of_no_text() {
        return Err(Error::NoRun { path });
    }
    let damaged = broken.into_iter().filter_map(|error| match error {
        Error::Damaged { path, .. } => Some(path),
        _ => None,
    });
    let damaged: Vec<_> = damaged.collect();
    let run = run_of(folder, claim, &path, &checkpoint, &damaged)?;
    prove_log(folder, run)?;
    for replaced in &contents.replaced {
        let replaced = replaced.display();
        warnings.push(format!(
            "{replaced} holds what was left when a run was replaced; check it before you delete it"
        ));
    }
    let by_the_clock = by_the_clock(folder, &checkpoint)?;
    Ok(Some(Found { run, path, checkpoint, damaged, by_the_clock }))
}

/// How to have a run back that was being replaced by the `new` one.
fn way_back(contents: &Contents, new: RunId) -> String {
    let lock = Lock::NAME;
    if contents.replaced.is_empty() {
        return format!("delete {lock}");
    }
    let name = |path: &PathBuf| path.display().to_string();
    // Its files may have other names than the old run's, and would stay.
    let files = contents.files.iter().filter(|file| contents::is_of(file, Some(new)));
    let first = match files.map(name).collect::<Vec<_>>().join(", ").as_str() {
        "" => String::new(),
        files => format!("delete {files}, "),
    };
    // A run that was moved in two attempts lies in two folders.
    let run_in = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        contents::run_replaced(&name).map(String::from)
    };
    let is_one = contents.replaced.windows(2).all(|two| run_in(&two[0]) == run_in(&two[1]));
    let folders: Vec<_> = contents.replaced.iter().map(name).collect();
    let folders = folders.join(if is_one { " and " } else { " or " });
    format!("{first}move what is in {folders} back here, and delete {lock}")
}

/// The refusal of a folder in which no checkpoint is sound.
fn all_damaged(folder: &Path, newest: &Error) -> Error {
    let all = match checkpoints_in(folder).map_or(1, |entries| entries.len()) {
        1 => "its only checkpoint is".into(),
        n => format!("its {n} checkpoints are all"),
    };
    refused(folder, &format!("{all} damaged, and nothing was changed; the newest: {newest}"))
}

/// The run that goes on with the newest checkpoint that is not `damaged`.
fn run_of(
    folder: &Path,
    claim: Option<Claim>,
    newest: &Path,
    checkpoint: &Checkpoint,
    damaged: &[PathBuf],
) -> Result<RunId> {
    let others = checkpoints_in(folder)?;
    let others = others.iter().filter(|entry| !damaged.contains(&entry.path));
    let mut others = others.filter_map(|entry| Summary::read(&entry.path).ok()?.run);
    let Some(claim) = claim else {
        // The lock says nothing, as in a copy without it: the checkpoints must agree.
        let Some(other) = others.find(|&run| Some(run) != checkpoint.run) else {
            return checkpoint.run.map_or_else(RunId::random, Ok);
        };
        let this = named(checkpoint.run);
        let reason = format!(
            "holds checkpoints of different runs, {this} and {other}; move those of one run elsewhere"
        );
        return Err(refused(folder, &reason));
    };
    let is_ours = match checkpoint.run {
        Some(run) => run == claim.run,
        None => others.next().is_none(), // from before this run had a name
    };
    if is_ours {
        return Ok(claim.run);
    }
    let (this, ours, lock) = (named(checkpoint.run), claim.run, Lock::NAME);
    let reason = format!(
        "belongs to another run ({this}), not the folder's ({ours}); move it elsewhere or, if everything in \
         the folder belongs to that run, delete {lock}"
    );
    Err(refused(newest, &reason))
}

fn named(run: Option<RunId>) -> String {
    run.map_or("one without a name".into(), |run| run.to_string())
}

/// The files that earlier sessions of the run, which save by the clock too, have left between the steps that are due,
/// oldest first, up to its `newest` checkpoint.
fn by_the_clock(folder: &Path, newest: &Checkpoint) -> Result<Vec<PathBuf>> {
    let &Checkpoint { ref config, run: Some(run), step, epoch, batch, .. } = newest else {
        return Ok(Vec::new());
    };
    let batches = step.saturating_sub(batch as u64).checked_div(epoch).unwrap_or(u64::MAX); // before the first pass ends, it is long
    let is_between = |entry: &Entry| {
        entry.step <= step
            && !entry.step.is_multiple_of(config.save_every) // most are, and need not be read
            && entry.summary().is_ok_and(|then| {
                let config = then.config;
                then.run == Some(run)
                    && config.save_minutes.is_some()
                    && !config.is_due(then.step, batches)
            })
    };
    let entries = checkpoints_in(folder)?.into_iter();
    Ok(entries.filter(is_between).map(|entry| entry.path).collect())
}

/// Refuses a log that another run has written, or somebody else: it would be written anew.
pub fn prove_log(folder: &Path, run: RunId) -> Result<()> {
    let log = folder.join(LOG);
    let found = match LogRow::run_of(&log) {
        Err(error) if error.is_missing() => return Ok(()),
        Err(Error::RunFolder { path, reason }) => {
            let way_out = "move it elsewhere, and it will be rewritten from the checkpoint";
            return Err(refused(&path, &format!("{reason}; {way_out}")));
        }
        found => found?,
    };
    let Some(other) = found.filter(|&found| found != run) else { return Ok(()) };
    let reason =
        format!("the log of another run ({other}), not the folder's ({run}); move it elsewhere");
    Err(refused(&log, &reason))
}
