//! What a folder holds of a run, and how it is put aside: nothing is overwritten or lost.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::listing::{Entry, LOG, entries, refused};
use crate::error::{Error, Result};
use crate::train::RunId;
use crate::train::checkpoint::Summary;
use crate::train::files::{self, replace};
use crate::train::log::LogRow;

/// Ending of a checkpoint that was found damaged.
const DAMAGED: &str = "damaged";
/// Ending of a file whose name a checkpoint of the run took.
const KEPT: &str = "kept";
/// Beginning of the folder of a run that is being replaced.
const REPLACED: &str = "replaced-";

/// Everything in a folder that belongs to a run.
#[derive(Debug, Default)]
pub struct Contents {
    /// Checkpoints, those put aside too, and the log.
    pub files: Vec<PathBuf>,
    /// Folders of runs that were to be replaced.
    pub replaced: Vec<PathBuf>,
}

impl Contents {
    /// What is in `folder` now.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut contents = Self::default();
        for path in entries(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_replaced(&name) {
                contents.replaced.push(path);
            } else if is_of_a_run(&name) {
                contents.files.push(path);
            }
        }
        contents.replaced.sort();
        Ok(contents)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.replaced.is_empty()
    }
}

/// `log.csv`, or a checkpoint's name with or without the ending of one put aside.
fn is_of_a_run(name: &str) -> bool {
    let aside = [DAMAGED, KEPT].iter().find_map(|ending| name.split_once(&format!(".{ending}")));
    let name = aside.map_or(name, |(name, _)| name);
    name == LOG || Entry::of(PathBuf::from(name)).is_some()
}

/// `replaced-` and the name of a run, perhaps with a number.
fn is_replaced(name: &str) -> bool {
    run_replaced(name).is_some_and(|run| run == "unnamed" || run.parse::<RunId>().is_ok())
}

/// The run after which the folder of that name is called.
pub fn run_replaced(name: &str) -> Option<&str> {
    name.strip_prefix(REPLACED).map(|run| run.split_once('.').map_or(run, |(run, _)| run))
}

/// Deletes what writers left behind that were killed; the lock is held, so none is at work.
pub fn sweep(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        if path.file_name().and_then(|name| name.to_str()).is_some_and(files::is_temporary) {
            fs::remove_file(&path).map_err(Error::io("delete", &path))?;
        }
    }
    Ok(())
}

/// `path` with the first of the endings `.ending`, `.ending.2`, … that `is_good`.
fn with_ending(path: &Path, ending: &str, is_good: impl Fn(&Path) -> bool) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    numbered(&path.with_file_name(format!("{name}.{ending}")), is_good)
}

/// The first of `path`, `path`.2, `path`.3, … that is good.
fn numbered(path: &Path, is_good: impl Fn(&Path) -> bool) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let endings = std::iter::once(String::new()).chain((2_u64..).map(|n| format!(".{n}")));
    let mut paths = endings.map(|n| path.with_file_name(format!("{name}{n}")));
    paths.find(|path| is_good(path)).expect("the numbers do not end")
}

fn is_free(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Renames a damaged checkpoint so that its name is free, and returns what it is called now.
pub fn set_aside(path: &Path) -> Result<PathBuf> {
    let aside = with_ending(path, DAMAGED, is_free);
    fs::rename(path, &aside).map_err(Error::io("rename", path))?;
    Ok(aside)
}

/// Gives the file at `path` a second name, under which it stays when `path` is replaced. After an error `path` is as it
/// was.
pub fn keep(path: &Path) -> Result<()> {
    let failed = "keep a second name of";
    let metadata = fs::symlink_metadata(path).map_err(Error::io("read", path))?;
    if metadata.is_symlink() {
        let aside = with_ending(path, KEPT, is_free);
        return fs::rename(path, aside).map_err(Error::io(failed, path));
    }
    // What follows would open a pipe, and wait.
    if !metadata.is_file() {
        return Err(refused(
            path,
            "not a file, so no checkpoint can take its place; move it elsewhere",
        ));
    }
    // It may have the second name already, or a copy, if the save failed that it was made for.
    let is_kept = |aside: &Path| {
        same_file::is_same_file(path, aside).unwrap_or(false) || is_copy(path, aside)
    };
    let aside = with_ending(path, KEPT, |aside| is_free(aside) || is_kept(aside));
    if is_kept(&aside) || fs::hard_link(path, &aside).is_ok() {
        return Ok(());
    }
    // A file system without hard links.
    replace(&aside, &|out| io::copy(&mut File::open(path)?, out).map(drop))
}

/// Whether two files hold the same bytes.
fn is_copy(path: &Path, other: &Path) -> bool {
    let is_file = |path: &Path| fs::symlink_metadata(path).ok().filter(|found| found.is_file());
    let lengths = [path, other].map(|path| is_file(path).map(|found| found.len()));
    if lengths[0].is_none() || lengths[0] != lengths[1] {
        return false;
    }
    let bytes = |path| File::open(path).map(|file| BufReader::new(file).bytes());
    let (Ok(bytes), Ok(others)) = (bytes(path), bytes(other)) else { return false };
    bytes.zip(others).all(|two| matches!(two, (Ok(byte), Ok(other)) if byte == other))
}

/// A folder for what `folder` holds of the run named `run`: a name that is free.
pub fn place_aside(folder: &Path, run: Option<RunId>) -> PathBuf {
    let run = run.map_or("unnamed".into(), |run| run.to_string());
    numbered(&folder.join(format!("{REPLACED}{run}")), is_free)
}

/// Moves all files to be `moved` into the new folder `aside`, if there are any.
pub fn move_into(aside: &Path, moved: &[PathBuf]) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    fs::create_dir(aside).map_err(Error::io("create the folder", aside))?;
    for file in moved {
        let name = file.file_name().unwrap_or_default();
        fs::rename(file, aside.join(name)).map_err(Error::io("move", file))?;
    }
    // Before the folder above is synced, in which these files are no longer.
    files::sync_folder(aside).map(drop).map_err(Error::io("sync the folder", aside))
}

/// Moves what is in `aside` back into `folder`, if it is there.
pub fn move_back(aside: &Path, folder: &Path) -> Result<()> {
    if is_free(aside) {
        return Ok(());
    }
    for file in entries(aside)? {
        let name = file.file_name().unwrap_or_default();
        fs::rename(&file, folder.join(name)).map_err(Error::io("move", &file))?;
    }
    fs::remove_dir(aside).map_err(Error::io("delete", aside))
}

/// Deletes what the folder `replaced` holds of the run that it is named after, and the folder unless anything
/// else is in it, which is an error.
pub fn delete_replaced(replaced: &Path) -> Result<()> {
    let name = replaced.file_name().unwrap_or_default().to_string_lossy();
    let run = run_replaced(&name).and_then(|run| run.parse().ok());
    for file in Contents::of(replaced)?.files.iter().filter(|file| is_of(file, run)) {
        fs::remove_file(file).map_err(Error::io("delete", file))?;
    }
    if entries(replaced)?.is_empty() {
        return fs::remove_dir(replaced).map_err(Error::io("delete", replaced));
    }
    Err(refused(replaced, "still holds files that do not belong to the run that was replaced"))
}

/// Whether the file itself says that `run` has written it, or where that is none a run that had no name. A log without
/// rows, which names no run, is anybody's.
pub fn is_of(file: &Path, run: Option<RunId>) -> bool {
    let is_log = file.file_name().is_some_and(|name| name == LOG);
    let found = if is_log { LogRow::run_of(file) } else { Summary::read(file).map(|s| s.run) };
    found.is_ok_and(|found| found == run)
        || is_log && LogRow::read_table(file).is_ok_and(|rows| rows.is_empty())
}
