//! Files that are either whole or absent: how the run's files are read and replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile};

use crate::error::{Error, Result};
use crate::memory::available;

/// Bytes of a file that are gathered before they are given to the system.
const BUFFER: usize = 1 << 16;

/// Writes what shall stand in a file, in pieces of any size.
type Contents<'a> = &'a dyn Fn(&mut dyn Write) -> io::Result<()>;

/// Called before each operation of a replacement with its name, so that tests can watch the order and
/// make each one fail.
type Before<'a> = &'a dyn Fn(&'static str) -> io::Result<()>;

/// Writes `contents` to `path` so that a crash at any moment leaves the old file or the new one:
/// temporary file in the same folder, write, sync, rename, sync of the folder.
///
/// A symbolic link stays, and the file that it leads to is replaced. A device or a pipe cannot be replaced
/// and is written to as it is. A new file gets the permissions that any new file gets, and a file
/// that is there keeps its own.
///
/// # Errors
/// Whatever the system refuses, a folder, or a file that is read-only. The old file is then as it was,
/// unless only the folder's sync failed.
pub fn replace(path: &Path, contents: Contents<'_>) -> Result<()> {
    replace_watched(path, contents, &|_| Ok(()))
}

/// [`replace`], if `may` still says so when the new file is on the disk and only the old one is to give way.
pub fn replace_if(
    path: &Path,
    contents: Contents<'_>,
    may: &dyn Fn() -> io::Result<()>,
) -> Result<()> {
    replace_watched(path, contents, &|operation| if operation == "rename" { may() } else { Ok(()) })
}

fn replace_watched(path: &Path, contents: Contents<'_>, before: Before<'_>) -> Result<()> {
    let refuse = |kind, reason: &str| Error::io("write", path)(io::Error::new(kind, reason));
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            Err(refuse(ErrorKind::IsADirectory, "it is a folder; name a file in it"))
        }
        Ok(found) if !found.is_file() || is_open_file(path) => write_through(path, contents),
        Ok(found) if found.permissions().readonly() => {
            Err(refuse(ErrorKind::PermissionDenied, "the file is read-only"))
        }
        found => {
            let target = target(path).map_err(Error::io("write", path))?;
            write_and_rename(&target, contents, found.ok(), before)?;
            before("sync the folder")
                .and_then(|()| sync_folder(folder_of(&target)).map(drop))
                .map_err(Error::io("sync the folder", folder_of(&target)))
        }
    }
}

/// Whether `path` is a name for a file that this process has open: it is written to, for whoever opened
/// it still looks there.
fn is_open_file(path: &Path) -> bool {
    let names = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"];
    cfg!(unix) && names.iter().any(|name| path.starts_with(name))
}

fn write_through(path: &Path, contents: Contents<'_>) -> Result<()> {
    let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
    let mut out = BufWriter::with_capacity(BUFFER, file);
    contents(&mut out).and_then(|()| out.flush()).map_err(Error::io("write", path))
}

/// Most links that lead from one to another; Linux stops here too.
const MOST_LINKS: usize = 40;

/// Where the links lead that begin at `path`; the last of them may lead to a file that is not there yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            Ok(next) => target = folder_of(&target).join(next),
            Err(_) => return Ok(target), // no link
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// * `old`: the file that will be replaced, if there is one.
fn write_and_rename(
    path: &Path,
    contents: Contents<'_>,
    old: Option<fs::Metadata>,
    before: Before<'_>,
) -> Result<()> {
    let failed = |action| Error::io(action, path);
    let mut temporary =
        before("create").and_then(|()| create_beside(path)).map_err(failed("create"))?;
    let file = temporary.as_file();
    if let Some(old) = old {
        file.set_permissions(old.permissions()).map_err(failed("keep the permissions of"))?;
    }
    let mut out = BufWriter::with_capacity(BUFFER, file);
    before("write")
        .and_then(|()| contents(&mut out))
        .and_then(|()| out.flush())
        .map_err(failed("write"))?;
    drop(out);
    before("sync").and_then(|()| sync(file)).map_err(failed("sync"))?;
    before("rename")
        .and_then(|()| rename(temporary.path(), path))
        .map_err(failed("rename a finished file to"))?;
    if cfg!(windows) {
        sync(file).map_err(failed("sync"))?; // its name too: a folder cannot be synced there
    }
    temporary.disable_cleanup(true);
    Ok(())
}

/// Milliseconds between attempts to rename a file.
const PAUSES: [u64; 4] = [10, 50, 200, 1000];

/// Gives the file at `from` the name `to`, whose file gives way. On Windows that fails while another program, such as a
/// virus scanner, has a look at one of the two, and is tried again.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let is_in_use =
        |error: &io::Error| cfg!(windows) && matches!(error.raw_os_error(), Some(5 | 32));
    for pause in PAUSES {
        match fs::rename(from, to) {
            Err(error) if is_in_use(&error) => thread::sleep(Duration::from_millis(pause)),
            renamed => return renamed,
        }
    }
    fs::rename(from, to)
}

/// Returns when all of `file` is on the disk.
pub fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // macOS tells the disk itself to write, which many network and USB file systems do not know: EINVAL, ENODEV,
        // ENOTTY, ENOTSUP, EOPNOTSUPP.
        #[cfg(target_os = "macos")]
        Err(error) if matches!(error.raw_os_error(), Some(22 | 19 | 25 | 45 | 102)) => {
            Ok(rustix::fs::fsync(file)?)
        }
        synced => synced,
    }
}

/// Creates the folder at `path` and those above it that are not there, and returns when they are on the disk.
pub fn create_folder(path: &Path) -> Result<()> {
    let missing =
        path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let missing: Vec<_> = missing.collect();
    fs::create_dir_all(path).map_err(Error::io("create the folder", path))?;
    missing.into_iter().try_for_each(|new| {
        sync_folder(folder_of(new)).map(drop).map_err(Error::io("sync the new folder", new))
    })
}

/// Proves that files can be made in `folder`.
pub fn require_writable(folder: &Path) -> Result<()> {
    create_beside(&folder.join("log.csv")).map(drop).map_err(Error::io("make files in", folder))
}

/// A new file `folder/.name.random.tmp`, which vanishes when it is dropped. The name is drawn at random:
/// two containers that share a folder may have the same process id.
fn create_beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".tmp")
        // Not the crate's own way to open a file, which keeps it from all other users.
        .make_in(folder_of(path), |path| OpenOptions::new().write(true).create_new(true).open(path))
}

/// Returns when the names in `folder` are on the disk, or `false` if its file system cannot tell: some
/// network and shared folders cannot.
pub fn sync_folder(folder: &Path) -> io::Result<bool> {
    // Only on Unix can a folder be opened; elsewhere the rename has to do.
    let synced = if cfg!(unix) { File::open(folder).and_then(|f| sync(&f)) } else { Ok(()) };
    match synced {
        Ok(()) => Ok(true),
        Err(error) if is_unknown(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a sync failed because the file system has none for folders (or the folder may be written
/// to but not read), and not because the disk failed.
fn is_unknown(error: &io::Error) -> bool {
    const EBADF: i32 = 9;
    let kinds = [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::PermissionDenied];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(EBADF)
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
    let require_file = |metadata: io::Result<fs::Metadata>| {
        let metadata = metadata.map_err(Error::io("read", path))?;
        let reason = match metadata.is_dir() {
            _ if metadata.is_file() => return Ok(metadata.len()),
            true => "a folder where a checkpoint file was expected",
            false => "neither a file nor a folder, so no checkpoint can be in it",
        };
        Err(Error::checkpoint(path, reason))
    };
    require_file(fs::metadata(path))?;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let length = require_file(file.metadata())?;
    Ok((file, length))
}

/// The first `count` bytes of `file`, or all there are.
pub fn read_start(file: &mut File, path: &Path, count: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(count).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Bytes that are taken at most where the system does not tell what there is.
const LARGEST: u64 = 64 << 30;

/// Appends the next `count` bytes of `file`. The memory is asked for before it is used, `times` as much with what will be
/// made of the bytes, so that a file too large for the machine is an error.
///
/// # Errors
/// [`Error::FileTooLarge`] if there is no room, [`Error::Checkpoint`] if the file has become shorter.
pub fn read_more(
    file: &mut File,
    path: &Path,
    count: u64,
    times: u64,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    read_within(available().unwrap_or(LARGEST), file, path, (count, times), bytes)
}

/// [`read_more`] where so many bytes of memory are `available`.
fn read_within(
    available: u64,
    file: &mut File,
    path: &Path,
    (count, times): (u64, u64),
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let room = usize::try_from(count).unwrap_or(usize::MAX);
    let fits = |bytes: &mut Vec<u8>| bytes.try_reserve_exact(room).is_ok();
    let needed = count.saturating_mul(times);
    if needed > available || !fits(bytes) || !fits(&mut Vec::new()) {
        return Err(Error::FileTooLarge { path: path.to_path_buf(), needed, available });
    }
    let read = file.take(count).read_to_end(bytes).map_err(Error::io("read", path))?;
    match read < room {
        true => Err(Error::checkpoint(path, "it shrank while it was being read")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    const ORDER: [&str; 5] = ["create", "write", "sync", "rename", "sync the folder"];

    #[test]
    fn a_file_is_synced_before_its_rename_and_the_folder_after() {
        let folder = tempfile::tempdir().unwrap();
        let done = RefCell::new(Vec::new());
        let before = |operation| {
            done.borrow_mut().push(operation);
            Ok(())
        };
        let path = folder.path().join("a.ckpt");
        replace_watched(&path, &|out| out.write_all(b"new"), &before).unwrap();
        assert_eq!(*done.borrow(), ORDER);
    }

    #[test]
    fn a_failure_at_any_operation_leaves_a_whole_file_and_no_temporary_one() {
        for fails_at in ORDER {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.ckpt");
            fs::write(&path, b"old").unwrap();
            let before = |operation| match operation == fails_at {
                true => Err(ErrorKind::StorageFull.into()),
                false => Ok(()),
            };
            let error = replace_watched(&path, &|out| out.write_all(b"new"), &before).unwrap_err();
            assert!(error.to_string().starts_with(&format!("cannot {fails_at}")), "{error}");
            let whole: &[u8] = if fails_at == "sync the folder" { b"new" } else { b"old" };
            assert_eq!(fs::read(&path).unwrap(), whole, "after a failure to {fails_at}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_may_no_longer_be_replaced_stays_and_the_new_one_vanishes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        fs::write(&path, b"old").unwrap();
        let files = || fs::read_dir(folder.path()).unwrap().count();
        let asked = Cell::new(false);
        let may = || {
            asked.set(true);
            assert_eq!(files(), 2, "the new one is written");
            Err(ErrorKind::NotFound.into())
        };
        assert!(replace_if(&path, &|out| out.write_all(b"new"), &may).unwrap_err().is_missing());
        assert_eq!((fs::read(&path).unwrap(), files()), (b"old".to_vec(), 1));
        assert!(asked.get());
    }

    #[test]
    fn a_disk_that_is_full_after_half_of_it_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        fs::write(&path, b"old").unwrap();
        let half = |out: &mut dyn Write| {
            out.write_all(&[7; 2 * BUFFER])?;
            Err(ErrorKind::StorageFull.into())
        };
        assert!(replace(&path, &half).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
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
    fn a_file_is_read_if_there_is_room_for_it_and_what_is_made_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        fs::write(&path, [7; 100]).unwrap();
        for (available, times, is_room) in
            [(100, 2, false), (199, 2, false), (200, 2, true), (399, 4, false), (400, 4, true)]
        {
            let (mut file, length) = open_regular(&path).unwrap();
            let mut bytes = Vec::new();
            match read_within(available, &mut file, &path, (length, times), &mut bytes) {
                Ok(()) => assert!(is_room && bytes == [7; 100], "{available}"),
                Err(Error::FileTooLarge { needed, .. }) => {
                    assert!(!is_room && needed == 100 * times);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn temporary_files_are_known_by_their_names_and_no_two_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["i200_l8.ckpt", "log.csv"] {
            let [one, other] = [(); 2].map(|()| create_beside(&folder.path().join(name)).unwrap());
            assert_ne!(one.path(), other.path());
            assert!(is_temporary(one.path().file_name().unwrap().to_str().unwrap()));
        }
        assert!(is_temporary(".i200_l8.ckpt.4711.tmp"), "as earlier versions named them");
        assert!(!is_temporary(".vimrc.tmp") && !is_temporary("i200_l8.ckpt"));
    }

    #[test]
    fn only_a_folder_that_knows_no_sync_is_passed_over() {
        use ErrorKind::{InvalidInput, PermissionDenied, StorageFull, Unsupported};
        for kind in [InvalidInput, Unsupported, PermissionDenied] {
            assert!(is_unknown(&kind.into()), "{kind}");
        }
        assert!(!is_unknown(&StorageFull.into()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_numbers_of_linux_for_a_folder_without_sync_are_known() {
        let is_unknown = |number| is_unknown(&io::Error::from_raw_os_error(number));
        let [ebadf, einval, enosys, eopnotsupp] = [9, 22, 38, 95];
        assert!([ebadf, einval, enosys, eopnotsupp].into_iter().all(is_unknown));
        let [eio, enospc, edquot] = [5, 28, 122];
        assert!(![eio, enospc, edquot].into_iter().any(is_unknown));
    }
}
