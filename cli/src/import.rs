//! `karenina import`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::memory;
use karenina::train::interchange;
use karenina::train::run::{Mode, RunFolder, checkpoints_in};

use super::input::{holds_run, unreadable};
use super::output::{layers, note, warn};
use super::shell::{command, path_word};

/// Bytes of a vocabulary that are read at first; then as many again as there are.
const CHUNK: usize = 1 << 20;

/// Arguments of `karenina import`.
#[derive(Args)]
pub struct Import {
    /// A safetensors file, from `karenina export` or from PyTorch
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The characters that the model predicts, if the file does not name them: a UTF-8 file with a list
    /// of them in the order of their ids, or any text with exactly these characters, whose ids then follow
    /// their code points; `-` is standard input
    #[arg(long, value_name = "FILE")]
    vocabulary: Option<PathBuf>,
    /// Folder of the new run [default: the file's name without its extension; with `-checkpoints` added if
    /// that is taken]
    #[arg(long, alias = "checkpoints", value_name = "DIR")]
    run: Option<PathBuf>,
}

impl Import {
    /// Writes a checkpoint of step 0 into a folder of its own.
    pub fn run(self) -> Result<ExitCode> {
        if self.file.is_dir() {
            let reason = "it is a folder; name a safetensors file";
            return Err(unreadable(&self.file, ErrorKind::IsADirectory, reason));
        }
        let vocabulary = self.vocabulary.as_deref().map(read_utf8).transpose()?;
        let checkpoint = interchange::load(&self.file, vocabulary.as_deref())?;
        let folder = self.run.unwrap_or_else(|| beside(&self.file));
        if folder.is_dir() && !checkpoints_in(&folder)?.is_empty() {
            return Err(Error::RunExists { path: folder });
        }
        let mut opened = RunFolder::open(&folder, Mode::New)?;
        opened.warnings.iter().for_each(|warning| warn(warning));
        let path = opened.folder.save(&checkpoint)?;
        let sizes = checkpoint.sizes();
        let folder = path_word(&folder);
        let train: [&OsStr; 4] = ["train".as_ref(), "TEXT".as_ref(), "--from".as_ref(), &folder];
        note(&format!(
            "wrote {}: {}, {} characters\nto train it further: {}",
            path.display(),
            layers(sizes),
            sizes.vocabulary,
            command(train),
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// The folder for the model in `file`: its name without its ending, or with another one if that is the name of
/// something else than a run.
fn beside(file: &Path) -> PathBuf {
    let folder = file.with_extension("");
    let is_run = || folder.join(RunFolder::LOCK).exists() || holds_run(&folder);
    if folder == file || (folder.exists() && !is_run()) {
        let mut name = folder.into_os_string();
        name.push("-checkpoints");
        return name.into();
    }
    folder
}

/// The text as it is: in a list of characters even a line end or a carriage return counts. Its memory is asked for
/// before it is read, for a device may have no end.
fn read_utf8(path: &Path) -> Result<String> {
    let mut source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(Error::io("read", path))?),
    };
    let mut bytes = Vec::new();
    loop {
        let more = bytes.len().max(CHUNK);
        // The text so far, as much again, and what is made of both: a copy with other line ends, and ids.
        memory::require(6 * more as u64, path.display())?;
        let read = source.by_ref().take(more as u64).read_to_end(&mut bytes);
        // Not once more after the end: a terminal would ask for it twice.
        if read.map_err(Error::io("read", path))? < more {
            break;
        }
    }
    String::from_utf8(bytes).map_err(|error| Error::Malformed {
        path: path.to_path_buf(),
        encoding: "UTF-8",
        offset: error.utf8_error().valid_up_to(),
    })
}
