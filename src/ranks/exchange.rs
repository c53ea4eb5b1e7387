//! What ranks tell each other.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use zerocopy::IntoBytes;

use super::collective::{Alone, Collective, Message};
use super::shares::Shares;
use crate::error::{Error, Result};
use crate::math::sums::add_runs;

/// Bytes that are passed on at once: a second or so on a slow network.
const PIECE: usize = 16 << 20;

/// The ranks that train together, as one of them sees them. Clones are the same ranks.
#[derive(Clone, Debug)]
pub struct Ranks {
    link: Arc<dyn Collective>,
    /// The ranks' machines, as soon as they are known.
    machines: Arc<[String]>,
    /// A signal that asks to stop; 0 for none.
    asked: Arc<AtomicUsize>,
    nanoseconds: Arc<AtomicU64>,
}

impl Default for Ranks {
    fn default() -> Self {
        Self::alone()
    }
}

impl Ranks {
    /// This process alone.
    pub fn alone() -> Self {
        Self::over(Alone)
    }

    /// The ranks that `link` connects. All of them call this at the same time.
    pub fn over(link: impl Collective + 'static) -> Self {
        let machine = link.machine();
        let mut ranks = Self {
            link: Arc::new(link),
            machines: [].into(),
            asked: Arc::default(),
            nanoseconds: Arc::default(),
        };
        let machines = ranks.texts_of_all(&machine);
        ranks.machines = machines.into();
        ranks
    }

    /// Which rank this process is, from 0.
    pub fn rank(&self) -> usize {
        self.link.rank()
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.link.count()
    }

    /// Whether there is no other rank.
    pub fn is_alone(&self) -> bool {
        self.count() == 1
    }

    /// How many ranks are on the machine of this one, itself included.
    pub fn on_this_machine(&self) -> usize {
        let own = &self.machines[self.rank()];
        self.machines.iter().filter(|machine| *machine == own).count()
    }

    /// How many of those say `own` of themselves, as this one does. All ranks call this at the same time.
    pub(crate) fn alike(&self, own: &str) -> usize {
        let alike = |(text, machine)| (text, machine) == (own, self.machines[self.rank()].as_str());
        let texts = self.texts_of_all(own);
        let machines = self.machines.iter().map(String::as_str);
        texts.iter().map(String::as_str).zip(machines).filter(|&rank| alike(rank)).count()
    }

    /// Notes that this rank was asked to stop, by the signal of this number. Rank 0 knows at the end of the step.
    pub fn ask_to_stop(&self, signal: usize) {
        self.asked.fetch_max(signal, Ordering::Relaxed);
    }

    /// The signal by which a rank was asked to stop, if one was.
    pub fn asked_to_stop(&self) -> Option<usize> {
        Some(self.asked.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
    }

    /// How long this process has exchanged messages, waiting for other ranks included.
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    pub(super) fn exchange(&self, send: &[Message<&[u8]>], receive: &mut [Message<&mut [u8]>]) {
        let start = Instant::now();
        self.link.exchange(send, receive);
        self.nanoseconds.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// All ranks but this one.
    pub(super) fn others(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        let own = self.rank();
        (0..self.count()).filter(move |&rank| rank != own)
    }

    /// Rank 0's `bytes` in all ranks; they have the same length everywhere.
    ///
    /// They go from rank r to the ranks 2r + 1 and 2r + 2, so that none sends them more than twice, and piece by piece,
    /// so that no rank waits in silence until those before it have all.
    pub fn broadcast(&self, bytes: &mut [u8]) {
        let (rank, count) = (self.rank(), self.count());
        let next = [2 * rank + 1, 2 * rank + 2].into_iter().filter(|&next| next < count);
        for piece in bytes.chunks_mut(PIECE) {
            if rank != 0 {
                self.exchange(&[], &mut [((rank - 1) / 2, &mut *piece)]);
            }
            let send: Vec<_> = next.clone().map(|next| (next, &*piece)).collect();
            self.exchange(&send, &mut []);
        }
    }

    /// Rank 0's `bytes`, however many.
    pub fn broadcast_all(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.broadcast(&mut length);
        let mut bytes = bytes;
        bytes.resize(u64::from_le_bytes(length) as usize, 0);
        self.broadcast(&mut bytes);
        bytes
    }

    /// Every rank's `own` bytes, `lengths[r]` those of rank r.
    fn bytes_of_all(&self, own: &[u8], lengths: &[usize]) -> Vec<Vec<u8>> {
        let mut all: Vec<_> = lengths.iter().map(|&length| vec![0; length]).collect();
        let send: Vec<_> = self.others().map(|rank| (rank, own)).collect();
        let slots = all.iter_mut().map(Vec::as_mut_slice).enumerate();
        let mut receive: Vec<_> = slots.filter(|&(rank, _)| rank != self.rank()).collect();
        self.exchange(&send, &mut receive);
        all[self.rank()].copy_from_slice(own);
        all
    }

    /// Every rank's `own` text, in the order of the ranks.
    pub fn texts_of_all(&self, own: &str) -> Vec<String> {
        let length = (own.len() as u64).to_le_bytes();
        let lengths = self.bytes_of_all(&length, &vec![length.len(); self.count()]);
        let lengths = lengths.into_iter().map(|bytes| bytes.try_into().expect("eight"));
        let lengths: Vec<_> = lengths.map(|bytes| u64::from_le_bytes(bytes) as usize).collect();
        let texts = self.bytes_of_all(own.as_bytes(), &lengths).into_iter();
        texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// Rank 0 gets the `rows` of every rank's `array` of rows of `width` numbers; `rows[r]` are those of rank r.
    pub(crate) fn gather(&self, array: &mut [f32], width: usize, rows: &[Range<usize>]) {
        let of = |rank: usize| rows[rank].start * width..rows[rank].end * width;
        if self.rank() != 0 {
            return self.exchange(&[(0, array[of(self.rank())].as_bytes())], &mut []);
        }
        let mut receive = Vec::new();
        let mut left = &mut array[of(0).end..];
        for rank in self.others() {
            let own = left.split_off_mut(..of(rank).len()).expect("the rows follow each other");
            receive.push((rank, own.as_mut_bytes()));
        }
        self.exchange(&[], &mut receive);
    }

    /// The sum of all ranks' `own` sums of the runs that `shares` gives them, the same bits in every rank.
    ///
    /// Who was asked to stop tells it here, for all ranks meet here in every step.
    pub(crate) fn sum_of_runs(&self, shares: &Shares, own: &[f64]) -> f64 {
        let asked = self.asked.load(Ordering::Relaxed) as f64;
        let own = [own, &[asked]].concat();
        let runs: Vec<_> = (0..self.count()).map(|rank| shares.runs(rank)).collect();
        let lengths: Vec<_> = runs.iter().map(|runs| (runs.len() + 1) * size_of::<f64>()).collect();
        let all = self.bytes_of_all(own.as_bytes(), &lengths);
        let numbers = all.iter().map(|bytes| {
            let bytes = bytes.chunks_exact(size_of::<f64>());
            bytes.map(|bytes| f64::from_ne_bytes(bytes.try_into().expect("eight")))
        });
        let mut sums = Vec::new();
        for (mut numbers, runs) in numbers.zip(&runs) {
            let lengths = runs.iter().map(ExactSizeIterator::len);
            sums.extend(lengths.map(|n| n.ilog2() as usize).zip(numbers.by_ref()));
            self.ask_to_stop(numbers.next().map_or(0, |asked| asked as usize));
        }
        add_runs(sums, |earlier, later| earlier + later).expect("at least one run")
    }

    /// Every rank learns whether all have succeeded.
    ///
    /// # Errors
    /// The own error, or [`Error::Rank`] with that of the first rank that has failed.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        if self.is_alone() {
            return result;
        }
        let own = result.as_ref().err().map_or(String::new(), ToString::to_string);
        let all = self.texts_of_all(&own);
        let failed = all.into_iter().enumerate().find(|(_, error)| !error.is_empty());
        let value = result?;
        failed.map_or(Ok(value), |(rank, reason)| Err(self.error(rank, reason)))
    }

    /// Every rank learns whether all have the same `facts`, each a name and a value; the names are the same
    /// everywhere.
    ///
    /// # Errors
    /// [`Error::Rank`] with the first fact that differs from rank 0's.
    pub fn compare(&self, facts: &[(String, String)]) -> Result<()> {
        // A line's end separates two facts, so none may have one inside.
        let line = |(name, value): &(String, String)| match value.as_str() {
            "" => format!("no {name}"),
            value => format!("{name} {}", value.escape_debug()),
        };
        let own: Vec<_> = facts.iter().map(line).collect();
        let all = self.texts_of_all(&own.join("\n"));
        for (rank, text) in all.iter().enumerate() {
            let both = text.lines().zip(all[0].lines());
            if let Some((found, expected)) = both.into_iter().find(|(a, b)| a != b) {
                let reason =
                    format!("it has {found}, but rank 0 on {} has {expected}", self.machines[0]);
                return Err(self.error(rank, reason));
            }
        }
        Ok(())
    }

    fn error(&self, rank: usize, reason: String) -> Error {
        Error::Rank { rank, machine: self.machines[rank].clone(), reason }
    }
}
