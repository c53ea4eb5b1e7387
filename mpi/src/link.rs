//! The way between ranks.

use std::fmt;
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use karenina::ranks::{Collective, Message};
use mpi::request::{LocalScope, Request, scope};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, Destination, Source};

/// All messages have the same tag: those between two ranks keep their order.
const TAG: i32 = 0;
/// Longer messages go in parts, each of which is a sign of life when it arrives; MPI itself counts bytes with 31 bits.
const LONGEST: usize = 16 << 20;
/// How often one looks for messages before one sleeps.
const LOOKS: u32 = 30;
/// How long one sleeps then. MPI libraries wait by looking without a pause, which would take the processor away from
/// whoever computes: the gradient's next part, or another rank of this machine.
const NAP: Duration = Duration::from_micros(20);
/// What counts at most of the time between two looks.
const BLINK: Duration = Duration::from_secs(1);
/// How long the job may take to end.
const END: Duration = Duration::from_secs(5);

type LastWords = dyn Fn(&str) + Send + Sync;

/// A rank's way to the others.
pub struct Link {
    rank: usize,
    count: usize,
    patience: Duration,
    last_words: Box<LastWords>,
    /// MPI may be called from any thread, but not from two at once.
    turn: Mutex<()>,
}

impl Link {
    /// The way of this process in the job that it has joined.
    pub fn new(patience: Duration, last_words: Box<LastWords>) -> Self {
        let world = SimpleCommunicator::world();
        Self {
            rank: world.rank() as usize,
            count: world.size() as usize,
            patience,
            last_words,
            turn: Mutex::new(()),
        }
    }

    /// Waits until all `open` requests are done.
    fn wait<'a>(&self, mut open: Open<'a, '_>) {
        let (mut looks, mut silence, mut last) = (0, Duration::ZERO, Instant::now());
        while !open.is_empty() {
            let before = open.len();
            let still =
                open.into_iter().filter_map(|(rank, request)| Some((rank, request.test().err()?)));
            open = still.collect();
            if open.len() < before {
                (looks, silence, last) = (0, Duration::ZERO, Instant::now());
                continue;
            }
            looks += 1;
            if looks > LOOKS {
                thread::sleep(NAP);
            }
            // A job that stood still for hours, as Slurm can make it, was not silent for hours.
            silence += last.elapsed().min(BLINK);
            last = Instant::now();
            if silence > self.patience {
                self.give_up(open[0].0);
            }
        }
    }

    /// Ends the job: nothing has come from `rank`, or could be sent there, for too long.
    fn give_up(&self, rank: usize) -> ! {
        (self.last_words)(&format!(
            "rank {}: no message from rank {rank} for {} s, so the job ends; the newest checkpoint is safe",
            self.rank,
            self.patience.as_secs_f64(),
        ));
        // Where the network is gone, so is the way to tell the others to end.
        thread::spawn(|| {
            thread::sleep(END);
            process::abort();
        });
        SimpleCommunicator::world().abort(1)
    }
}

/// Requests with the ranks that they wait for.
type Open<'a, 's> = Vec<(usize, Request<'a, [u8], &'s LocalScope<'a>>)>;

impl Collective for Link {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn machine(&self) -> String {
        mpi::environment::processor_name().unwrap_or_else(|_| "a machine without a name".into())
    }

    fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let world = SimpleCommunicator::world();
        scope(|scope| {
            let mut open: Open = Vec::new();
            for (rank, bytes) in receive {
                let process = world.process_at_rank(*rank as i32);
                let parts = bytes.chunks_mut(LONGEST);
                open.extend(parts.map(|part| {
                    (*rank, process.immediate_receive_into_with_tag(scope, part, TAG))
                }));
            }
            for &(rank, bytes) in send {
                let process = world.process_at_rank(rank as i32);
                let parts = bytes.chunks(LONGEST);
                open.extend(
                    parts.map(|part| (rank, process.immediate_send_with_tag(scope, part, TAG))),
                );
            }
            self.wait(open);
        });
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rank, count, patience, .. } = self;
        write!(f, "rank {rank} of {count}, with a patience of {patience:?}")
    }
}
