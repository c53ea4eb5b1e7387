//! Threads that share work a few microseconds long, again and again: the columns of one product, the rows of
//! one time step.
//!
//! A pool takes tens of microseconds to wake a thread that sleeps, a time step of few rows takes as long. So the
//! members of a team stay awake from one piece of work to the next, and go to sleep only after a while without.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Most members of a team: at H = 512 each then has four panels of W_hh.
pub const MOST_MEMBERS: usize = 16;
/// How long a member stays awake without work: longer than what lies between two shared pieces of a step.
const AWAKE: Duration = Duration::from_micros(200);
/// Turns of a waiting loop before the processor is offered to other threads, and the clock is read.
const TURNS: usize = 200;

/// A leader, the thread that calls, and its helpers.
///
/// Each piece of work is cut into as many parts as there are members, by the caller. A member takes the part
/// with its number, so that it finds in its own cache what it read last time; parts whose member sleeps or is
/// late are done by the leader. So no helper is ever waited for that has not begun, and a team on a busy machine
/// is slow but never stuck.
pub struct Team {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
}

/// What the members know of each other.
struct Shared {
    /// The number of the work that is to be done; 0 before the first.
    number: AtomicUsize,
    /// The work; changed by the leader alone, while no part of the last one is left.
    work: UnsafeCell<&'static (dyn Fn(usize) + Sync)>,
    /// Parts that helpers have begun or may begin, and that are not done.
    left: AtomicUsize,
    /// A part has panicked.
    has_failed: AtomicBool,
    /// The team is dissolved.
    is_over: AtomicBool,
    seats: Vec<Seat>,
}

/// A helper's place.
#[repr(align(128))] // its own cache lines: other members must not wait for this one's
#[derive(Default)]
struct Seat {
    /// The number of the last work whose part was taken.
    taken: AtomicUsize,
    is_asleep: AtomicBool,
}

// SAFETY: `work` is written by the leader while nobody may read it (see `split`), everything else is atomic.
unsafe impl Sync for Shared {}
// SAFETY: as above; a shared closure may be called from any thread.
unsafe impl Send for Shared {}

impl Team {
    /// A team of `members`, the calling thread among them, at most [`MOST_MEMBERS`]. One alone starts no
    /// thread. Where the system does not start enough, it is one alone, since others need threads too.
    pub fn new(members: usize) -> Self {
        let wanted = members.clamp(1, MOST_MEMBERS) - 1;
        let shared = Arc::new(Shared {
            number: AtomicUsize::new(0),
            work: UnsafeCell::new(&|_| ()),
            left: AtomicUsize::new(0),
            has_failed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            seats: (0..wanted).map(|_| Seat::default()).collect(),
        });
        let start = |seat| {
            let shared = Arc::clone(&shared);
            let builder = thread::Builder::new().name(format!("team {}", seat + 1));
            builder.spawn(move || shared.help(seat)).ok()
        };
        let helpers: Vec<_> = (0..wanted).map_while(start).collect();
        let is_complete = helpers.len() == wanted;
        let team = Self { shared, helpers };
        if is_complete { team } else { Self::new(1) }
    }

    /// How many members it has.
    pub fn members(&self) -> usize {
        self.helpers.len() + 1
    }

    /// How many of `n` things each member gets, at most; not 0.
    pub fn share(&self, n: usize) -> usize {
        n.div_ceil(self.members()).max(1)
    }

    /// Does `work` on each of the `parts`, one for each member at most; returns when all are done, and panics if one
    /// did.
    pub fn each<P: Send>(
        &mut self,
        mut parts: impl ExactSizeIterator<Item = P>,
        work: impl Fn(P) + Sync,
    ) {
        assert!(parts.len() <= self.members(), "{} parts of {}", parts.len(), self.members());
        if parts.len() < 2 {
            return parts.for_each(work);
        }
        let slots: [_; MOST_MEMBERS] = std::array::from_fn(|_| Mutex::new(parts.next()));
        self.split(&|member| {
            let part = slots[member].try_lock().ok().and_then(|mut slot| slot.take());
            if let Some(part) = part {
                work(part);
            }
        });
    }

    /// Calls `work` once with the number of each member.
    fn split(&mut self, work: &(dyn Fn(usize) + Sync)) {
        let Self { shared, helpers } = self;
        // SAFETY: the lifetime is only hidden. Helpers call `work` for parts that they have taken, `Unfinished`
        // waits for all of these before this function is left, and no part can be taken twice.
        let work: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(work) };
        // SAFETY: nothing is left of the last work, so nobody reads this.
        unsafe { *shared.work.get() = work };
        shared.has_failed.store(false, Ordering::Relaxed); // also where the leader's own part failed last
        shared.left.store(helpers.len(), Ordering::Relaxed);
        let number = shared.number.load(Ordering::Relaxed).wrapping_add(1);
        shared.number.store(number, Ordering::SeqCst); // publishes the work
        let unfinished = Unfinished(shared);
        for (seat, helper) in shared.seats.iter().zip(helpers.iter()) {
            seat.wake(helper.thread());
        }
        work(0);
        for (index, seat) in shared.seats.iter().enumerate() {
            if seat.take(number) {
                shared.do_part(index + 1);
            }
        }
        drop(unfinished);
        assert!(!shared.has_failed.load(Ordering::Relaxed), "a part of shared work panicked");
    }
}

/// Waits, when it is dropped, until no part is left: also if the leader's own part panics.
struct Unfinished<'a>(&'a Shared);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Self(shared) = self;
        if thread::panicking() {
            // Parts that nobody has taken will not be done.
            let number = shared.number.load(Ordering::Relaxed);
            let untaken = shared.seats.iter().filter(|seat| seat.take(number)).count();
            shared.left.fetch_sub(untaken, Ordering::Relaxed);
        }
        while shared.left.load(Ordering::Acquire) > 0 {
            for _ in 0..TURNS {
                if shared.left.load(Ordering::Acquire) == 0 {
                    return;
                }
                spin_loop();
            }
            thread::yield_now();
        }
    }
}

impl Seat {
    /// Takes this seat's part of work `number`, unless somebody has.
    fn take(&self, number: usize) -> bool {
        let before = number.wrapping_sub(1);
        let (ok, other) = (Ordering::Acquire, Ordering::Relaxed);
        self.taken.compare_exchange(before, number, ok, other).is_ok()
    }

    /// Wakes the helper up if it sleeps.
    fn wake(&self, helper: &Thread) {
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            helper.unpark();
        }
    }
}

impl Shared {
    /// A helper's life: waits for work, takes its part, does it.
    fn help(&self, seat: usize) {
        let mut done = 0;
        while let Some(number) = self.next(done, &self.seats[seat]) {
            if self.seats[seat].take(number) {
                self.do_part(seat + 1);
            }
            done = number;
        }
    }

    /// The number of the work after `done`; none if there will be no more.
    fn next(&self, done: usize, seat: &Seat) -> Option<usize> {
        let start = Instant::now();
        loop {
            for _ in 0..TURNS {
                let number = self.number.load(Ordering::SeqCst);
                if number != done {
                    return Some(number);
                }
                spin_loop();
            }
            if self.is_over.load(Ordering::SeqCst) {
                return None;
            }
            if start.elapsed() < AWAKE {
                thread::yield_now();
                continue;
            }
            // Who publishes work looks at this mark afterwards: one of both sees what the other did.
            seat.is_asleep.store(true, Ordering::SeqCst);
            if self.number.load(Ordering::SeqCst) == done && !self.is_over.load(Ordering::SeqCst) {
                thread::park();
            }
            seat.is_asleep.store(false, Ordering::SeqCst);
        }
    }

    /// Does the part of a member, which was taken for it.
    fn do_part(&self, member: usize) {
        // SAFETY: while a part that was taken is left, the work stays.
        let work = unsafe { *self.work.get() };
        if catch_unwind(AssertUnwindSafe(|| work(member))).is_err() {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        self.left.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            helper.join().expect("a helper catches what its parts throw");
        }
    }
}

/// As many threads of its own.
impl Clone for Team {
    fn clone(&self) -> Self {
        Self::new(self.members())
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Team({})", self.members())
    }
}
