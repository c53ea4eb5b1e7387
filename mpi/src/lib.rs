//! karenina's ranks over MPI.
//!
//! MPI starts the processes and carries their bytes; it adds nothing up, since no MPI library promises an order. The
//! engine does, along the same tree as in one process: see [`karenina::ranks`].
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use karenina::train::Workers;
//! use karenina_mpi::Mpi;
//!
//! // In every process that `mpirun` starts.
//! let mpi = Mpi::join(Duration::from_secs(300), |last_words| eprintln!("{last_words}"))?;
//! let workers = Workers { threads: 1, ranks: mpi.ranks() };
//! # Ok::<(), karenina_mpi::JoinError>(())
//! ```

#![deny(missing_docs)]

mod link;

use std::env;
use std::error::Error;
use std::fmt;
use std::mem;
use std::thread;
use std::time::Duration;

use karenina::ranks::Ranks;
use mpi::Threading;
use mpi::environment::Universe;
use mpi::traits::Communicator;

use link::Link;

/// What launchers of MPI jobs tell a process: OpenMPI, MPICH and its kin, and Slurm with either of its interfaces.
const LAUNCHERS: [&str; 4] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"];

/// Whether this process was started as a rank of an MPI job.
pub fn is_launched() -> bool {
    LAUNCHERS.iter().any(|name| env::var_os(name).is_some())
}

/// How many processes the launcher says that it has started.
fn started() -> Option<usize> {
    // Slurm's PMI2 and PMIx tell a process its rank alone; its step knows the rest.
    let names = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
    names.into_iter().find_map(|name| env::var(name).ok()?.parse().ok())
}

/// This process as a rank of an MPI job, until it is dropped: that waits for the other ranks.
pub struct Mpi {
    universe: Option<Universe>,
    ranks: Ranks,
}

impl Mpi {
    /// Takes part in the job. All of its processes do.
    ///
    /// * `patience`: how long a rank that waits hears nothing before it ends the job
    /// * `last_words`: told why, just before
    ///
    /// # Errors
    /// If the MPI library was built without threads, or sees one process where a launcher has started several.
    ///
    /// # Panics
    /// If the process takes part already.
    pub fn join(
        patience: Duration,
        last_words: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, JoinError> {
        let initialised = mpi::initialize_with_threading(Threading::Serialized);
        let (universe, threading) = initialised.expect("a process joins its job once");
        if threading < Threading::Serialized {
            return Err(JoinError::NoThreads);
        }
        if let Some(started) =
            started().filter(|&started| started > 1 && universe.world().size() == 1)
        {
            return Err(JoinError::OtherLauncher { started });
        }
        let ranks = Ranks::over(Link::new(patience, Box::new(last_words)));
        Ok(Self { universe: Some(universe), ranks })
    }

    /// The ranks of the job.
    pub fn ranks(&self) -> Ranks {
        self.ranks.clone()
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        // The others know nothing of a panic. The launcher ends them when this process ends without a word.
        if thread::panicking() {
            mem::forget(self.universe.take());
        }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mpi").field("ranks", &self.ranks).finish_non_exhaustive()
    }
}

/// Why a process cannot take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The MPI library cannot be called from more than one thread.
    NoThreads,
    /// Each process is alone: the launcher is not that of the MPI library.
    OtherLauncher {
        /// How many processes it has started.
        started: usize,
    },
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoThreads => f.write_str(
                "this MPI library allows calls from one thread alone; use one built with MPI_THREAD_SERIALIZED",
            ),
            Self::OtherLauncher { started } => write!(
                f,
                "a launcher has started {started} processes, but the MPI library sees each of them alone; use the \
                 launcher of the library that this program was built with",
            ),
        }
    }
}

impl Error for JoinError {}
