//! Level 0 of the code: how much memory there is, so that a command can refuse before it allocates.
//!
//! The one place that knows: the machine's memory, the limits of the containers (control groups) around
//! the process, and its own `ulimit`s. Swap does not count, since a network that is swapped out trains a
//! hundred times slower. Where the system tells nothing (other than Linux), nothing is refused but what no
//! machine holds.

mod limits;

use std::fmt::Display;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use limits::{Room, kibibytes, room};

/// Bytes that are not worth a question.
const SMALL: u64 = 1 << 20;

/// More bytes than any machine has that a network is trained on.
const NO_MACHINE: u64 = 1 << 45;

/// Bytes that this process can still get, where the system tells (Linux).
pub(crate) fn available() -> Option<u64> {
    this_room().map(|room| room.available)
}

/// Not asked elsewhere, even if there are such files: Wine shows those of the Linux below it.
fn this_room() -> Option<Room> {
    if cfg!(target_os = "linux") { room(Path::new("/")) } else { None }
}

/// Bytes that this process can have in all: the machine's, or those of its tightest limit, where the
/// system tells (Linux).
pub(crate) fn total() -> Option<u64> {
    this_room().map(|room| room.total)
}

/// The most memory that this process has had at once, in bytes, where the system tells (Linux).
pub(crate) fn peak() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// The sum of `bytes`; `u64::MAX` for as much and more.
pub(crate) fn sum<const N: usize>(bytes: [u64; N]) -> u64 {
    bytes.into_iter().fold(0, u64::saturating_add)
}

/// Refuses what cannot be had. To be asked before `bytes` are allocated for `what`, as in "3 texts at once".
///
/// ```
/// use karenina::memory::require;
///
/// assert!(require(1 << 20, "one row").is_ok());
/// let refusal = require(1 << 60, "a billion rows").unwrap_err();
/// assert!(refusal.to_string().starts_with("a billion rows needs 1073741824.0 GiB of memory"));
/// ```
///
/// # Errors
/// [`Error::NoMemory`] with both figures.
pub fn require(bytes: u64, what: impl Display) -> Result<()> {
    if bytes < SMALL || bytes <= most() {
        return Ok(());
    }
    Err(too_large(0, bytes, what))
}

/// Makes room for `more` elements in `list`, the memory of `what`; an error names both figures, what the list holds
/// already included.
pub(crate) fn reserve<T>(list: &mut Vec<T>, more: usize, what: impl Display) -> Result<()> {
    let bytes = |count: usize| (count as u64).saturating_mul(size_of::<T>() as u64);
    require(bytes(more), "").map_err(|_| too_large(bytes(list.len()), bytes(more), &what))?;
    list.try_reserve_exact(more).map_err(|_| too_large(bytes(list.len()), bytes(more), &what))
}

/// What can be had at most; where the system does not tell, what no machine has.
fn most() -> u64 {
    available().unwrap_or(NO_MACHINE)
}

fn too_large(held: u64, more: u64, what: impl Display) -> Error {
    let [needed, available] = [more, most()].map(|bytes| bytes.saturating_add(held));
    Error::NoMemory { what: what.to_string(), needed, available }
}
