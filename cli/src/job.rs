//! A command on threads and on several ranks: rank 0 does what it always does, the others take part.

use std::collections::hash_map::DefaultHasher;
use std::env;
use std::fs;
use std::hash::Hasher;
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::math::matmul::Kernel;
use karenina::ranks::Ranks;
use karenina::text::corpus::Corpus;
use karenina::train::{Workers, thread_count, thread_count_in};

use super::output::warn;
use super::signals::Signals;

/// How many threads compute.
#[derive(Args)]
pub struct ThreadsArg {
    /// Threads to use [default: one for each physical core that the process may run on]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl ThreadsArg {
    /// Their number.
    pub fn count(&self) -> Result<usize> {
        thread_count(self.threads)
    }
}

/// How threads and ranks work together.
#[derive(Args)]
pub struct WorkersArgs {
    #[command(flatten)]
    threads: ThreadsArg,
    /// When several ranks train: end the job after S seconds without a message from another rank. Choose more than
    /// reading the text or saving takes
    #[cfg(feature = "mpi")]
    #[arg(long, value_name = "S", default_value_t = 300.0)]
    rank_timeout: f64,
}

impl WorkersArgs {
    /// Rank 0 does `lead` with the text that `read` reads, once all ranks have the same; the others take part in
    /// what it trains. Without a launcher of ranks there is only rank 0. Where a run `is_saved`, a signal to another rank
    /// is rank 0's to act on; elsewhere it ends that rank, and so the job.
    pub fn run(
        &self,
        is_saved: bool,
        read: impl FnOnce(&Ranks) -> Result<Corpus>,
        lead: impl FnOnce(&Workers, Corpus) -> Result<ExitCode>,
    ) -> Result<ExitCode> {
        self.threads.count()?; // fails, if it does, before others wait
        let (ranks, _job) = self.join()?;
        let threads = thread_count_in(self.threads.threads, &ranks)?;
        let workers = Workers { threads, ranks };
        let ranks = &workers.ranks;
        let corpus = ranks.agree(read(ranks)).and_then(|corpus| {
            require_same(ranks, &corpus)?;
            warn_of_few_cores(ranks, threads);
            Ok(corpus)
        });
        if ranks.rank() == 0 {
            let result = corpus.and_then(|corpus| {
                let result = lead(&workers, corpus);
                workers.dismiss();
                result
            });
            return result;
        }
        // What has gone wrong is said once, by rank 0, which a launcher would end if another rank failed before.
        if let Ok(corpus) = corpus {
            let asked = ranks.clone();
            let note = move |signal| asked.ask_to_stop(signal);
            let _signals = is_saved.then(|| Signals::register(note));
            workers.follow(corpus);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The ranks that a launcher has started, and what they live as long as.
    #[cfg(feature = "mpi")]
    fn join(&self) -> Result<(Ranks, Option<karenina_mpi::Mpi>)> {
        let seconds = self.rank_timeout;
        let holds = seconds > 0.0 && seconds <= 1e6;
        Error::require(holds, "--rank-timeout", seconds, "above 0 and at most 1000000")?;
        if !karenina_mpi::is_launched() {
            return Ok((Ranks::alone(), None));
        }
        let patience = std::time::Duration::from_secs_f64(seconds);
        let joined = karenina_mpi::Mpi::join(patience, warn);
        let mpi = joined
            .map_err(|error| Error::setting("ranks", "more than 1", format!("1, since {error}")))?;
        Ok((mpi.ranks(), Some(mpi)))
    }

    /// Every process would train the whole batch, and all but one would find the folder taken.
    #[cfg(not(feature = "mpi"))]
    fn join(&self) -> Result<(Ranks, ())> {
        let count = |name| env::var(name).ok();
        // Slurm's other interface tells a process its rank alone.
        let count =
            ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"].into_iter().find_map(count).or_else(|| {
                ["PMI_RANK", "PMIX_RANK"].into_iter().find_map(env::var_os)?;
                Some(count("SLURM_NTASKS").unwrap_or("unknown".into()))
            });
        let one = "1: this karenina was built without MPI; `cargo build --release -p karenina-cli --features mpi` \
                   builds one with it";
        let is_one = count.as_ref().is_none_or(|count| count == "1");
        Error::require(is_one, "ranks", count.unwrap_or_default(), one)?;
        Ok((Ranks::alone(), ()))
    }
}

/// Refuses ranks that would not compute the same: another program, text or setting, or a processor that rounds
/// otherwise. Names the ranks whose processors are of another kind, for all wait for the slowest.
fn require_same(ranks: &Ranks, corpus: &Corpus) -> Result<()> {
    if ranks.is_alone() {
        return Ok(());
    }
    let fact = |name: &str, value: String| (name.to_string(), value);
    let text: String = corpus.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
    let fused = if Kernel::best().is_fused() { "with" } else { "without" };
    let mut facts = vec![
        fact("karenina", env!("CARGO_PKG_VERSION").into()),
        fact("the program with the hash", program()),
        fact("a processor", format!("{fused} fused multiply-add")),
        fact("the text with the hash", text),
    ];
    facts.extend(arguments());
    ranks.compare(&facts)?;
    let kernels = ranks.texts_of_all(Kernel::best().name());
    for (rank, kernel) in kernels.iter().enumerate() {
        if ranks.rank() == 0 && *kernel != kernels[0] {
            warn(&format!(
                "rank {rank} computes with {kernel}, rank 0 with {}: the same bits, but all wait for the slowest",
                kernels[0]
            ));
        }
    }
    Ok(())
}

/// Names the ranks that have been given more threads than they have processors, as a launcher leaves them that binds
/// each to one.
fn warn_of_few_cores(ranks: &Ranks, threads: usize) {
    if ranks.is_alone() {
        return;
    }
    let cores = available_parallelism().map_or(threads, usize::from);
    let few = if threads > cores { format!("{threads} threads for {cores}") } else { "".into() };
    for (rank, few) in ranks.texts_of_all(&few).iter().enumerate() {
        if ranks.rank() == 0 && !few.is_empty() {
            warn(&format!(
                "rank {rank} has {few} of its machine's processors; if its launcher allows it no more, --bind-to none (mpirun) \
                 or --cpus-per-task (srun) helps"
            ));
        }
    }
}

/// A hash of this program's file.
fn program() -> String {
    let file = env::current_exe().and_then(fs::read);
    let mut hash = DefaultHasher::new();
    hash.write(&file.unwrap_or_default());
    format!("{:016x}", hash.finish())
}

/// Every argument that the command can take, and what was given; ranks may have threads of their own number.
fn arguments() -> Vec<(String, String)> {
    let mut command = crate::Cli::parser();
    let matches = command.get_matches_mut();
    let Some((name, given)) = matches.subcommand() else { return Vec::new() };
    let known = command.find_subcommand(name).expect("clap has found it").get_arguments();
    let compared = known.filter(|arg| arg.get_id() != "threads" && arg.get_id() != "rank_timeout");
    let words = compared.map(|arg| {
        let id = arg.get_id().as_str();
        let values = given.get_raw(id).into_iter().flatten();
        let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
        let name = arg.get_long().map_or(id.to_uppercase(), |long| format!("--{long}"));
        (name, values.join(" "))
    });
    std::iter::once(("the command".to_string(), name.to_string())).chain(words).collect()
}
