//! Signals that ask a run to stop: the first is noted for the loop, which stops after its step, and is
//! announced at once; SIGINT after any of them ends the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How soon a signal is announced.
const ANNOUNCED_WITHIN: Duration = Duration::from_millis(50);

/// What has arrived so far.
pub struct Signals {
    received: Arc<AtomicUsize>,
    /// The thread that announces ends when this is dropped.
    _alive: Sender<()>,
}

impl Signals {
    /// Listens from now on. `announce` is called, on a thread of its own, with the number of the first signal that
    /// arrives; where the system starts no more threads, it is not.
    pub fn register(announce: impl FnOnce(usize) + Send + 'static) -> Self {
        let received = Arc::new(AtomicUsize::new(0));
        let asked = Arc::new(AtomicBool::new(false));
        // Order matters: the first SIGINT finds the flag still down, and raises it. Registration fails
        // only for signals that may not be caught, which none of these is.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&asked))
            .expect("may be caught");
        for signal in [SIGINT, SIGTERM].into_iter().chain(of_this_system()) {
            let number = signal as usize;
            flag::register_usize(signal, Arc::clone(&received), number).expect("may be caught");
            flag::register(signal, Arc::clone(&asked)).expect("may be caught");
        }
        let (alive, is_over) = mpsc::channel();
        let watched = Arc::clone(&received);
        let _ = thread::Builder::new().spawn(move || {
            while is_over.recv_timeout(ANNOUNCED_WITHIN) == Err(RecvTimeoutError::Timeout) {
                match watched.load(Ordering::Relaxed) {
                    0 => {}
                    signal => return announce(signal),
                }
            }
        });
        Self { received, _alive: alive }
    }

    /// The number of the last signal, if one came.
    pub fn received(&self) -> Option<usize> {
        Some(self.received.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }
}

/// SIGHUP, which the end of a terminal or an ssh session sends; not if `nohup` started us, which
/// asks that it be ignored.
#[cfg(unix)]
fn of_this_system() -> Option<i32> {
    use signal_hook::consts::SIGHUP;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (ignored >> (SIGHUP - 1) & 1 == 0).then_some(SIGHUP)
}

/// Ctrl-Break.
#[cfg(windows)]
fn of_this_system() -> Option<i32> {
    Some(signal_hook::consts::SIGBREAK)
}
