//! The threads that a network computes on. Results do not depend on their number.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::train::cores::physical_cores;

/// More threads than this no batch can keep busy, and few systems start as many.
const MAX_THREADS: usize = 1024;

/// As many threads as were `asked` for, or else one for each core that the process may use: within its affinity mask
/// and the limits of its control groups, where siblings (SMT) count once.
///
/// # Errors
/// [`Error::Setting`] for 0 or more than 1,024 threads.
pub fn thread_count(asked: Option<usize>) -> Result<usize> {
    let threads = asked.unwrap_or_else(physical_cores);
    match threads {
        1..=MAX_THREADS => Ok(threads),
        _ => Err(refused(threads, format!("from 1 to {MAX_THREADS}"))),
    }
}

/// A pool of `threads` threads.
///
/// # Errors
/// As [`thread_count`], or if the system does not start that many.
pub fn thread_pool(threads: usize) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(thread_count(Some(threads))?).build();
    pool.map_err(|error| refused(threads, format!("a number that the system can start ({error})")))
}

/// Gives rayon's global pool, which serves work that is in no other, `threads` threads.
///
/// # Errors
/// As [`thread_pool`], or if that pool is in use already.
pub fn use_threads(threads: usize) -> Result<()> {
    let built = ThreadPoolBuilder::new().num_threads(thread_count(Some(threads))?).build_global();
    built.map_err(|error| refused(threads, format!("a number that the system can start ({error})")))
}

fn refused(threads: usize, expected: String) -> Error {
    Error::setting("threads", threads, expected)
}
