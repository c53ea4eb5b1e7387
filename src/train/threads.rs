//! The threads that a network computes on. Results do not depend on their number.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::ranks::Ranks;
use crate::train::cores::{affinity, physical_cores};

/// More threads than this no batch can keep busy, and few systems start as many.
const MAX_THREADS: usize = 1024;

/// As many threads as were `asked` for, or else one for each core that the process may use, on Linux within its affinity
/// mask and the limits of its control groups; siblings (SMT) count once.
///
/// # Errors
/// [`Error::Setting`] for 0 or more than 1,024 threads.
pub fn thread_count(asked: Option<usize>) -> Result<usize> {
    let threads = asked.unwrap_or_else(|| physical_cores().min(MAX_THREADS));
    match threads {
        1..=MAX_THREADS => Ok(threads),
        _ => Err(Error::setting("threads", threads, format!("from 1 to {MAX_THREADS}"))),
    }
}

/// [`thread_count`] in one of several `ranks`, all of which call this at the same time: those of a machine share its
/// cores, on Linux only with those that may run on the same processors.
///
/// # Errors
/// As [`thread_count`].
pub fn thread_count_in(asked: Option<usize>, ranks: &Ranks) -> Result<usize> {
    let sharing = ranks.alike(&affinity());
    thread_count(asked.or(Some((physical_cores() / sharing).clamp(1, MAX_THREADS))))
}

/// A pool of `threads` threads.
///
/// # Errors
/// As [`thread_count`], and [`Error::Threads`] if the system does not start that many.
pub fn thread_pool(threads: usize) -> Result<ThreadPool> {
    let pool = ThreadPoolBuilder::new().num_threads(thread_count(Some(threads))?).build();
    pool.map_err(|error| refused(threads, &error))
}

/// Gives rayon's global pool, which serves work that is in no other, `threads` threads.
///
/// # Errors
/// As [`thread_pool`], and [`Error::Threads`] if that pool is in use already.
pub fn use_threads(threads: usize) -> Result<()> {
    let built = ThreadPoolBuilder::new().num_threads(thread_count(Some(threads))?).build_global();
    built.map_err(|error| refused(threads, &error))
}

fn refused(threads: usize, error: &ThreadPoolBuildError) -> Error {
    Error::Threads { threads, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::use_threads;

    #[test]
    fn a_pool_that_is_in_use_is_no_mistake_in_a_setting() {
        let _ = use_threads(2);
        let error = use_threads(2).unwrap_err();
        assert!(!error.is_usage() && error.to_string().starts_with("cannot start 2 threads: "));
    }
}
