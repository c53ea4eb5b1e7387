//! SIGINT and SIGTERM: the first asks the loop to stop after its step, a second SIGINT ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// What has arrived so far.
pub struct Signals {
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Listens from now on.
    pub fn register() -> Self {
        let received = Arc::new(AtomicUsize::new(0));
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Registration fails only for signals that may not be caught, which these are not.
            let number = signal as usize;
            flag::register_usize(signal, Arc::clone(&received), number).expect("may be caught");
        }
        // Order matters: the first SIGINT finds the flag still down, and raises it.
        flag::register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&interrupted))
            .expect("may be caught");
        flag::register(SIGINT, interrupted).expect("may be caught");
        Self { received }
    }

    /// The number of the last signal, if one came.
    pub fn received(&self) -> Option<usize> {
        Some(self.received.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }
}
