//! The file `run.lock`: who trains in a folder, and which run the folder belongs to.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use same_file::Handle;

use super::listing::{checkpoints_in, refused};
use crate::error::{Error, Result};
use crate::train::RunId;
use crate::train::checkpoint::Summary;
use crate::train::files;

/// Most bytes that a lock's content has.
const MOST: u64 = 64;
/// How often a lock is taken that turns out to be no longer the folder's.
const TRIES: u32 = 20;
/// Milliseconds between attempts to take a lock that is held. A process that is just being started has the files of the
/// one that starts it, locks included, until its own program runs.
const PAUSES: [u64; 5] = [1, 9, 30, 60, 200];
/// Third word of the lock while a run is being replaced.
const REPLACING: &str = "replacing";

/// What stands in the file: two names and a mark, always of the same length, so that one write over an
/// older claim leaves the old one or the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The run that the folder belongs to.
    pub run: RunId,
    /// The process that trains. Where a file system has no locks, two may have opened the file; the last
    /// one that wrote it may go on.
    session: RunId,
    /// An older run is being replaced, and this one is not safe yet.
    pub is_replacing: bool,
}

impl Claim {
    fn text(self) -> String {
        let mark = if self.is_replacing { REPLACING } else { "" };
        format!("{} {} {mark:<9}\n", self.run, self.session)
    }

    /// Reads what [`Claim::text`] writes.
    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let mut name = || words.next()?.parse().ok();
        let (run, session) = (name()?, name()?);
        let claim = Self { run, session, is_replacing: words.next().is_some() };
        (claim.text() == text).then_some(claim)
    }
}

/// The lock of a folder, held until it is dropped; the system lets go of it however the process ends.
#[derive(Debug)]
pub struct Lock {
    folder: PathBuf,
    file: File,
    /// What this process has written into it.
    claim: Option<Claim>,
    session: RunId,
}

/// How an attempt to lock a file ended.
enum Attempt {
    Locked,
    /// The file system has no locks, for this reason.
    Impossible(String),
    /// By another process.
    Held,
}

impl Lock {
    /// Name of the file.
    pub const NAME: &'static str = "run.lock";

    /// Locks `folder` for this process, or not at all where the file system has no locks. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has locked it, [`Error::RunFolder`] if something else stands in
    /// its place.
    pub fn take(folder: &Path, warnings: &mut Vec<String>) -> Result<Self> {
        let path = folder.join(Self::NAME);
        for _ in 0..TRIES {
            let file = open(&path)?;
            match attempt(&file) {
                Attempt::Locked => {}
                Attempt::Held => return Err(Error::Busy { path: folder.to_path_buf() }),
                Attempt::Impossible(why) => {
                    let path = path.display();
                    warnings.push(format!(
                        "{path} cannot be locked ({why}): do not start a second run here"
                    ));
                }
            }
            // Somebody may have replaced the folder in the meantime.
            match is_at(&file, &path) {
                Ok(true) => {
                    let (folder, session) = (folder.to_path_buf(), RunId::random()?);
                    return Ok(Self { folder, file, claim: None, session });
                }
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::io("open", &path)(error));
                }
                _ => {}
            }
        }
        Err(refused(folder, "another process keeps replacing its run.lock; name another folder"))
    }

    /// What stood in the file when it was locked.
    ///
    /// # Errors
    /// [`Error::RunFolder`] if it is nothing that karenina writes there.
    pub fn found(&self) -> Result<Option<Claim>> {
        let text = self.content()?;
        if text.is_empty() {
            return Ok(None);
        }
        let reason = "holds something other than the name of a run; if no process is training here, delete it";
        Claim::read(&text).map(Some).ok_or_else(|| refused(&self.path(), reason))
    }

    /// Writes down that the folder is `run`'s, and returns when it is on the disk.
    pub fn claim(&mut self, run: RunId, is_replacing: bool) -> Result<()> {
        let claim = Claim { run, session: self.session, is_replacing };
        self.write(&claim.text())?;
        self.claim = Some(claim);
        Ok(())
    }

    /// Writes down again what stood in the file before this process claimed it.
    pub fn give_back(&mut self, claim: Option<Claim>) -> Result<()> {
        self.claim = None;
        self.write(&claim.map_or(String::new(), Claim::text))
    }

    /// Makes `text` all that stands in the file, and returns when it is on the disk.
    fn write(&self, text: &str) -> Result<()> {
        let mut file = &self.file;
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(text.as_bytes()))
            .and_then(|()| file.set_len(text.len() as u64))
            .and_then(|()| files::sync(file));
        written.map_err(Error::io("write", &self.path()))
    }

    /// Fails unless the folder's lock is still this very file with this very claim.
    ///
    /// # Errors
    /// [`Error::OtherRun`] if it is another's; [`Error::Io`] if it cannot be seen, as when a share is gone.
    pub fn prove(&self) -> Result<()> {
        let path = self.path();
        let is_there = is_at(&self.file, &path).map_err(Error::io("find", &path))?;
        let is_ours = is_there
            && match self.claim {
                Some(claim) => self.content()? == claim.text(),
                None => true,
            };
        if is_ours { Ok(()) } else { Err(self.lost()) }
    }

    /// As [`Lock::prove`], but takes the lock again in a folder that is ours: one that has come back, whose lock was
    /// deleted, or whose server no longer knows the file that is open.
    pub fn prove_or_retake(&mut self) -> Result<()> {
        let Err(failed) = self.prove() else { return Ok(()) };
        let Some(claim) = self.claim else { return Err(failed) };
        let file = open(&self.path())?;
        if matches!(attempt(&file), Attempt::Held) {
            return Err(failed); // perhaps by this very process, through the file that it can no longer read
        }
        let again = Self { file, folder: self.folder.clone(), ..*self };
        let text = again.content()?;
        if text != claim.text() && !(text.is_empty() && again.is_free_for(claim.run)?) {
            return Err(self.lost());
        }
        *self = again;
        self.claim(claim.run, claim.is_replacing)
    }

    /// Whether no checkpoint in the folder is known to be another run's.
    fn is_free_for(&self, run: RunId) -> Result<bool> {
        let entries = checkpoints_in(&self.folder)?;
        let mut known = entries.iter().filter_map(|entry| Summary::read(&entry.path).ok()?.run);
        Ok(known.all(|found| found == run))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(Self::NAME)
    }

    fn lost(&self) -> Error {
        Error::OtherRun { path: self.folder.clone() }
    }

    /// All that stands in the file, as long as it could be a claim.
    fn content(&self) -> Result<String> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| file.take(MOST).read_to_end(&mut bytes));
        read.map_err(Error::io("read", &self.path()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The lock file at `path`, created if need be. Nothing but a regular file is opened.
fn open(path: &Path) -> Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        return Err(refused(path, "it must be a file; move what is there elsewhere"));
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.map_err(Error::io("open", path))
}

/// Whether the open `file` is the one at `path`, where nothing else than a file is opened. Asked anew each time: some
/// file systems give a file that was empty another number when it is written.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.is_file()
        && Handle::from_path(path)? == file.try_clone().and_then(Handle::from_file)?)
}

fn attempt(file: &File) -> Attempt {
    let mut pauses = PAUSES.into_iter();
    loop {
        match (file.try_lock(), pauses.next()) {
            (Ok(()), _) => return Attempt::Locked,
            (Err(TryLockError::WouldBlock), Some(pause)) => {
                thread::sleep(Duration::from_millis(pause));
            }
            (Err(TryLockError::WouldBlock), None) => return Attempt::Held,
            (Err(TryLockError::Error(error)), _) => return Attempt::Impossible(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> RunId {
        RunId::new(number).unwrap()
    }

    #[test]
    fn every_claim_has_the_same_length_and_reads_back() {
        for is_replacing in [false, true] {
            let claim = Claim { run: name(1), session: name(u64::MAX), is_replacing };
            assert_eq!(claim.text().len(), 44);
            assert_eq!(Claim::read(&claim.text()), Some(claim));
        }
        for other in ["", "\0\0\0", "0000000000000001\n", "a b c"] {
            assert_eq!(Claim::read(other), None);
        }
    }

    #[test]
    fn a_lock_that_is_held_for_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path(), &mut Vec::new()).unwrap();
        let inherited = first.file.try_clone().unwrap(); // as by a process that is being started
        drop(first);
        thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(20));
                drop(inherited);
            });
            Lock::take(folder.path(), &mut Vec::new()).unwrap();
        });
    }

    #[test]
    fn a_claim_written_by_another_process_into_the_same_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(folder.path(), &mut Vec::new()).unwrap();
        lock.claim(name(1), false).unwrap();
        lock.prove().unwrap();
        let other = Claim { run: name(1), session: name(2), is_replacing: false };
        lock.write(&other.text()).unwrap(); // where files are locked against all others, as on Windows, this one may
        assert!(matches!(lock.prove(), Err(Error::OtherRun { .. })));
        assert!(matches!(lock.prove_or_retake(), Err(Error::OtherRun { .. })));
    }

    /// As when a file server has restarted: first it still knows the lock that the dead handle holds.
    #[test]
    fn a_lock_that_can_no_longer_be_read_is_no_other_runs_and_is_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(folder.path(), &mut Vec::new()).unwrap();
        lock.claim(name(1), false).unwrap();
        let unreadable = OpenOptions::new().append(true).open(lock.path()).unwrap();
        let held = std::mem::replace(&mut lock.file, unreadable);
        assert!(matches!(lock.prove(), Err(Error::Io { .. })));
        assert!(matches!(lock.prove_or_retake(), Err(Error::Io { .. })));
        drop(held);
        lock.prove_or_retake().unwrap();
        lock.prove().unwrap();
        assert!(Lock::take(folder.path(), &mut Vec::new()).is_err(), "it is locked");
    }

    #[cfg(unix)] // elsewhere a folder with an open file in it cannot be moved
    #[test]
    fn a_folder_that_is_away_is_no_other_run_and_may_come_back() {
        let parent = tempfile::tempdir().unwrap();
        let (path, away) = (parent.path().join("run"), parent.path().join("away"));
        fs::create_dir(&path).unwrap();
        let mut lock = Lock::take(&path, &mut Vec::new()).unwrap();
        lock.claim(name(1), false).unwrap();
        fs::rename(&path, &away).unwrap();
        assert!(lock.prove_or_retake().unwrap_err().is_missing());
        fs::rename(&away, &path).unwrap();
        lock.prove_or_retake().unwrap();
    }

    #[cfg(unix)] // elsewhere the name of a file that is deleted is free only when it is closed
    #[test]
    fn a_lock_file_that_was_deleted_is_made_again_and_locked_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut lock = Lock::take(folder.path(), &mut Vec::new()).unwrap();
        lock.claim(name(1), false).unwrap();
        fs::remove_file(lock.path()).unwrap();
        assert!(lock.prove().is_err());
        lock.prove_or_retake().unwrap();
        lock.prove().unwrap();
        assert!(Lock::take(folder.path(), &mut Vec::new()).is_err());
    }
}
