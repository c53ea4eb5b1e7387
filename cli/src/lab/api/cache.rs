//! The last few things that were computed, each once however many ask for it at the same time.

use std::fmt::{self, Display, Formatter};
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::UNIX_EPOCH;

use karenina::error::Error;

use super::refusal::Refusal;

/// What a value is of. There is one of each name: another version takes its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    pub name: String,
    pub version: String,
}

impl Key {
    /// What a file holds now, which its length and time tell, and on Unix that it is another file: a copy may have kept
    /// the time.
    pub fn of(path: &Path) -> Result<Self, Refusal> {
        let metadata = fs::metadata(path).map_err(Error::io("read", path))?;
        let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let version = format!("{} {:?}", metadata.len(), since.unwrap_or_default());
        #[cfg(unix)]
        let version = format!("{version} {} {}", metadata.ino(), metadata.ctime());
        Ok(Self { name: path.display().to_string(), version })
    }
}

/// Of what never changes.
impl From<String> for Key {
    fn from(name: String) -> Self {
        Self { name, ..Self::default() }
    }
}

impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}

/// Values by key, the one used last at the end.
#[derive(Debug)]
pub struct Cache<T> {
    most: usize,
    entries: Mutex<Vec<Entry<T>>>,
}

type Entry<T> = (Key, Arc<OnceLock<Option<Arc<T>>>>);

impl<T> Cache<T> {
    /// One that keeps at most `most` values.
    pub fn new(most: usize) -> Self {
        Self { most, entries: Mutex::new(Vec::new()) }
    }

    /// The value of `key`, by `make` if it is not there. What fails is not kept.
    pub fn get(
        &self,
        key: &Key,
        make: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<Arc<T>, Refusal> {
        let cell = self.entry(key);
        let mut failure = None;
        let value = cell.get_or_init(|| match make() {
            Ok(value) => Some(Arc::new(value)),
            Err(refusal) => {
                failure = Some(refusal);
                None
            }
        });
        if let Some(value) = value {
            return Ok(Arc::clone(value));
        }
        self.forget(key);
        Err(failure.unwrap_or_else(|| {
            Refusal::new(503, "what this needs has just failed for another request; try again")
        }))
    }

    /// The value of `key`, if it is there.
    pub fn known(&self, key: &Key) -> Option<Arc<T>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, cell) = entries.iter().find(|(known, _)| known == key)?;
        cell.get()?.clone()
    }

    fn entry(&self, key: &Key) -> Arc<OnceLock<Option<Arc<T>>>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let place = entries.iter().position(|(known, _)| known.name == key.name);
        let known = place.map(|at| entries.remove(at)).filter(|(known, _)| known == key);
        let entry = known.unwrap_or_else(|| (key.clone(), Arc::default()));
        let cell = Arc::clone(&entry.1);
        entries.push(entry);
        let excess = entries.len().saturating_sub(self.most);
        entries.drain(..excess);
        cell
    }

    /// Makes room: nothing is kept.
    pub fn clear(&self) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Does not keep the value of `key`.
    pub fn forget(&self, key: &Key) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|(known, _)| known != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, version: &str) -> Key {
        Key { name: name.into(), version: version.into() }
    }

    #[test]
    fn a_value_is_made_once_and_the_oldest_goes_first() {
        let cache = Cache::new(2);
        let get = |name: &str, value: u8| *cache.get(&key(name, ""), || Ok(value)).unwrap();
        assert_eq!((get("a", 1), get("b", 2), get("a", 3)), (1, 2, 1));
        assert_eq!(get("c", 4), 4); // b goes
        assert_eq!((get("a", 5), get("b", 6)), (1, 6));
    }

    #[test]
    fn another_version_takes_the_place_of_the_one_before() {
        let cache = Cache::new(2);
        let get = |name: &str, version: &str, value: u8| {
            *cache.get(&key(name, version), || Ok(value)).unwrap()
        };
        assert_eq!((get("a", "1", 1), get("b", "1", 2)), (1, 2));
        assert_eq!((get("b", "2", 3), get("b", "3", 4), get("a", "1", 5)), (3, 4, 1));
        assert!(cache.known(&key("b", "2")).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn another_file_of_the_same_length_and_time_is_another_version() {
        let folder = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
        for path in [&old, &new] {
            fs::File::create(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
        }
        let before = Key::of(&old).unwrap();
        assert_eq!(before, Key::of(&old).unwrap());
        fs::rename(&new, &old).unwrap();
        assert_ne!(before, Key::of(&old).unwrap());
    }

    #[test]
    fn a_failure_is_told_and_not_kept() {
        let cache = Cache::<u8>::new(2);
        let failed = cache.get(&key("a", ""), || Err(Refusal::bad("no"))).unwrap_err();
        assert_eq!(failed.sentence, "no");
        assert_eq!(*cache.get(&key("a", ""), || Ok(1)).unwrap(), 1);
    }
}
