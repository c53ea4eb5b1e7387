//! Files that are either whole or absent: how the run's files are read and replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process;

use crate::error::{Error, Result};

/// The operations of a replacement, so that tests can watch their order and make each one fail.
trait Disk {
    /// Creates `path`, which must not exist.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Writes all of `bytes`.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Returns when the file's bytes are on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file the name of another, which vanishes.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Returns when the folder's names are on the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
}

/// A file of the disk that can be written to.
struct Output<'a, D> {
    disk: &'a D,
    file: &'a File,
}

impl<D: Disk> Write for Output<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write(self.file, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of a file that are gathered before they are given to the system.
const BUFFER: usize = 1 << 16;

/// The operating system's own.
struct System;

impl Disk for System {
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }
    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // Only on Unix can a folder be opened; elsewhere the rename has to do.
        if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
    }
}

/// Writes `contents` to `path` so that a crash at any moment leaves the old file or the new one:
/// temporary file in the same folder, write, sync, rename, sync of the folder.
///
/// # Errors
/// Whatever the system refuses; the old file is then as it was, unless only the folder's sync failed.
pub fn replace(path: &Path, contents: Contents<'_>) -> Result<()> {
    replace_on(&System, path, contents)
}

/// Writes what shall stand in a file, in pieces of any size.
type Contents<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

fn replace_on(disk: &impl Disk, path: &Path, contents: Contents<'_>) -> Result<()> {
    let temporary = temporary(path);
    // A process of the same number may have been killed here; containers repeat theirs.
    let _ = fs::remove_file(&temporary);
    let written = write_and_rename(disk, &temporary, path, contents);
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    let folder = folder_of(path);
    disk.sync_folder(folder).map_err(Error::io("sync the folder", folder))
}

fn write_and_rename(
    disk: &impl Disk,
    temporary: &Path,
    path: &Path,
    contents: Contents<'_>,
) -> Result<()> {
    let file = disk.create(temporary).map_err(Error::io("create", temporary))?;
    let mut out = BufWriter::with_capacity(BUFFER, Output { disk, file: &file });
    contents(&mut out).and_then(|()| out.flush()).map_err(Error::io("write", temporary))?;
    disk.sync(&file).map_err(Error::io("sync", temporary))?;
    disk.rename(temporary, path).map_err(Error::io("rename a finished file to", path))
}

/// `folder/.name.process.tmp`
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Whether a file of this name was left behind by a replacement that never ended.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.')
        && name.ends_with(".tmp")
        && (name.contains(".ckpt.") || name.contains("log.csv."))
}

/// A regular file, opened, and its length. Nothing else is opened at all: reading a pipe waits for a
/// writer, and some devices never end.
///
/// # Errors
/// [`Error::Checkpoint`] for what is no regular file.
pub fn open_regular(path: &Path) -> Result<(File, u64)> {
    let refuse = |metadata: &fs::Metadata| match metadata.is_file() {
        true => Ok(()),
        false if metadata.is_dir() => wrong(path, "a folder where a checkpoint file was expected"),
        false => wrong(path, "neither a file nor a folder, so no checkpoint can be in it"),
    };
    refuse(&fs::metadata(path).map_err(Error::io("read", path))?)?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let metadata = file.metadata().map_err(Error::io("read", path))?;
    refuse(&metadata)?;
    Ok((file, metadata.len()))
}

/// The first `count` bytes of `file`, or all there are.
///
/// # Errors
/// As [`read_more`].
pub fn read_start(file: &mut File, path: &Path, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Appends the next `count` bytes of `file`. The memory is asked for before it is used, and as much again
/// for what will be made of the bytes, so that a file too large for the machine is an error.
///
/// # Errors
/// [`Error::Checkpoint`] if there is no room or the file has become shorter.
pub fn read_more(file: &mut File, path: &Path, count: u64, bytes: &mut Vec<u8>) -> Result<()> {
    let room = usize::try_from(count).unwrap_or(usize::MAX);
    let fits = |bytes: &mut Vec<u8>| bytes.try_reserve_exact(room).is_ok();
    if count > available_memory() || !fits(bytes) || !fits(&mut Vec::new()) {
        return wrong(path, &format!("its {count} bytes do not fit into this machine's memory"));
    }
    let read = file.take(count).read_to_end(bytes).map_err(Error::io("read", path))?;
    if read < room { wrong(path, "it became shorter while it was read") } else { Ok(()) }
}

fn wrong<T>(path: &Path, reason: &str) -> Result<T> {
    Err(Error::Checkpoint { path: path.to_path_buf(), reason: reason.into() })
}

/// Bytes that this machine can give out now; where it does not say, 64 GiB.
fn available_memory() -> u64 {
    let kilobytes = || {
        let table = fs::read_to_string("/proc/meminfo").ok()?;
        let line = table.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    kilobytes().map_or(64 << 30, |kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Does what [`System`] does, notes it, and fails at one operation.
    #[derive(Default)]
    struct Watched {
        done: RefCell<Vec<&'static str>>,
        fails_at: &'static str,
    }

    impl Watched {
        fn note(&self, operation: &'static str) -> io::Result<()> {
            if self.fails_at == operation {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.done.borrow_mut().push(operation);
            Ok(())
        }
    }

    impl Disk for Watched {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.note("create")?;
            System.create(path)
        }
        fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
            // A full disk takes the first half.
            System.write(file, &bytes[..bytes.len() / 2])?;
            self.note("write")?;
            System.write(file, &bytes[bytes.len() / 2..])
        }
        fn sync(&self, file: &File) -> io::Result<()> {
            self.note("sync")?;
            System.sync(file)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.note("rename")?;
            System.rename(from, to)
        }
        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.note("sync the folder")?;
            System.sync_folder(folder)
        }
    }

    const ORDER: [&str; 5] = ["create", "write", "sync", "rename", "sync the folder"];

    #[test]
    fn a_file_is_synced_before_its_rename_and_the_folder_after() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Watched::default();
        replace_on(&disk, &folder.path().join("a.ckpt"), &|out| out.write_all(b"new")).unwrap();
        assert_eq!(*disk.done.borrow(), ORDER);
    }

    #[test]
    fn a_failure_at_any_operation_leaves_a_whole_file_and_no_temporary_one() {
        for fails_at in ORDER {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.ckpt");
            fs::write(&path, b"old").unwrap();
            let disk = Watched { fails_at, ..Watched::default() };
            let error = replace_on(&disk, &path, &|out| out.write_all(b"new")).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot {fails_at}")), "{error}");
            let whole: &[u8] = if fails_at == "sync the folder" { b"new" } else { b"old" };
            assert_eq!(fs::read(&path).unwrap(), whole, "after a failure to {fails_at}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn pieces_of_any_size_arrive_whole_and_in_their_order() {
        let pieces = [3, 2 * BUFFER, 5, BUFFER - 1, 7].map(|length| vec![length as u8; length]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        replace(&path, &|out| pieces.iter().try_for_each(|piece| out.write_all(piece))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), pieces.concat());
    }

    #[test]
    fn temporary_files_are_known_by_their_names() {
        for path in ["runs/i200_l8.ckpt", "log.csv"] {
            let name = temporary(Path::new(path));
            assert!(is_temporary(name.file_name().unwrap().to_str().unwrap()));
        }
        assert!(!is_temporary(".vimrc.tmp") && !is_temporary("i200_l8.ckpt"));
    }
}
