//! What carries bytes between ranks.

use std::fmt;

/// Bytes for one rank, or from one.
pub type Message<B> = (usize, B);

/// What carries bytes between ranks.
///
/// A call that cannot be fulfilled, because a rank or the way to it is gone, does not return: no step can be made
/// without all ranks, and what is on the disk is safe. So an implementation ends the process, with a message.
pub trait Collective: fmt::Debug + Send + Sync {
    /// Which rank this process is, from 0.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn count(&self) -> usize;

    /// What people call the machine of this rank.
    fn machine(&self) -> String;

    /// Sends each message of `send` to its rank, and fills each of `receive` with what its rank sends here. Two
    /// ranks name their messages for each other in the same order and with the same lengths. No message goes to
    /// the rank itself.
    fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]);
}

/// One process.
#[derive(Debug)]
pub(super) struct Alone;

impl Collective for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn machine(&self) -> String {
        "this machine".into()
    }

    fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
        assert!(send.is_empty() && receive.is_empty(), "one process has nobody to talk to");
    }
}
