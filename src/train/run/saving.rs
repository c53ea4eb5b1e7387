//! When a run saves, and what it does when that fails.

use std::time::{Duration, Instant};

/// What a save that fails does to the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnSaveError {
    /// It is tried again until it succeeds.
    #[default]
    Retry,
    /// It ends the run.
    Stop,
}

/// Longest pause between two attempts while training goes on.
const LONGEST: Duration = Duration::from_secs(60);
/// Time between two warnings of the same trouble.
const SILENCE: Duration = Duration::from_secs(600);
/// Pauses between the attempts to save when the run must end: a batch system gives a process that it stops some half a
/// minute.
pub const LAST_PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Age of the newest checkpoint from which on a save comes before a validation too: that may take longer than a process
/// is given that is told to stop.
const OLD: Duration = Duration::from_secs(60);

/// When to write again what could not be written. The clock is the system's that only goes forward.
#[derive(Debug)]
pub struct Attempts {
    failures: u32,
    again: Instant,
    told: Option<Instant>,
}

impl Attempts {
    /// Nothing has failed.
    pub fn new(now: Instant) -> Self {
        Self { failures: 0, again: now, told: None }
    }

    /// Whether the last one has failed.
    pub fn are_failing(&self) -> bool {
        self.failures > 0
    }

    /// Whether it is time for one, not too soon after one that failed.
    pub fn is_time(&self, now: Instant) -> bool {
        self.failures == 0 || now >= self.again
    }

    /// One has failed; whether to tell.
    pub fn failed(&mut self, now: Instant) -> bool {
        let pause = Duration::from_secs(1 << self.failures.min(6)).min(LONGEST);
        self.failures += 1;
        self.again = now + pause;
        let is_news = self.told.is_none_or(|told| now.saturating_duration_since(told) >= SILENCE);
        if is_news {
            self.told = Some(now);
        }
        is_news
    }
}

/// The clock of a run's saves.
#[derive(Debug)]
pub struct Saving {
    last: Instant,
    is_wanted: bool,
    is_due: bool,
    attempts: Attempts,
}

impl Saving {
    /// A run that has just been saved.
    pub fn new(now: Instant) -> Self {
        Self { last: now, is_wanted: false, is_due: false, attempts: Attempts::new(now) }
    }

    /// After a step: a save is wanted if it `is_due` or `minutes` are over.
    pub fn ask(&mut self, is_due: bool, minutes: Option<f64>, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        self.is_due |= is_due;
        self.is_wanted |= is_due || minutes.is_some_and(|minutes| elapsed >= 60.0 * minutes);
    }

    /// Whether it is not by the clock alone that a save is wanted; also where one has failed.
    pub fn is_due(&self) -> bool {
        self.is_due
    }

    /// Whether steps have been made that were to be saved.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Whether it is time for one, and not too soon after one that failed.
    pub fn is_time(&self, now: Instant) -> bool {
        self.is_wanted && self.attempts.is_time(now)
    }

    /// Whether to save before a validation too.
    pub fn is_old(&self, now: Instant) -> bool {
        self.attempts.is_time(now) && now.saturating_duration_since(self.last) >= OLD
    }

    /// A save is on the disk.
    pub fn succeeded(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// A save has failed; whether to tell.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.attempts.failed(now)
    }

    /// The next attempt comes at once, as if none had failed.
    pub fn forget_failures(&mut self, now: Instant) {
        self.attempts = Attempts::new(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_after_1_2_4_and_up_to_60_seconds_and_are_told_every_ten_minutes() {
        let start = Instant::now();
        let mut saving = Saving::new(start);
        let (mut now, mut pauses, mut told) = (start, Vec::new(), 0);
        saving.ask(true, None, now);
        while now < start + Duration::from_secs(1200) {
            assert!(saving.is_time(now));
            told += u32::from(saving.failed(now));
            let pause = saving.attempts.again - now;
            pauses.push(pause.as_secs());
            assert!(!saving.is_time(now + pause - Duration::from_millis(1)));
            now += pause;
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(told, 2);
        saving.succeeded(now);
        assert!(!saving.is_time(now));
    }

    #[test]
    fn a_due_save_that_has_failed_is_still_due() {
        let now = Instant::now();
        let mut saving = Saving::new(now);
        saving.ask(false, Some(1e-9), now + Duration::from_secs(1));
        assert!(saving.is_wanted() && !saving.is_due());
        saving.ask(true, None, now);
        saving.failed(now);
        saving.ask(false, None, now);
        assert!(saving.is_due());
        saving.succeeded(now);
        assert!(!saving.is_due());
    }

    #[test]
    fn minutes_count_from_the_last_save() {
        let start = Instant::now();
        let mut saving = Saving::new(start);
        let after = |seconds| start + Duration::from_secs_f64(seconds);
        saving.ask(false, Some(0.5), after(29.9));
        assert!(!saving.is_time(after(29.9)));
        saving.ask(false, Some(0.5), after(30.0));
        assert!(saving.is_time(after(30.0)));
        saving.succeeded(after(31.0));
        saving.ask(false, Some(0.5), after(60.0));
        assert!(!saving.is_time(after(60.0)));
    }

    #[test]
    fn what_a_minute_has_learnt_is_saved_before_a_validation() {
        let start = Instant::now();
        let mut saving = Saving::new(start);
        assert!(!saving.is_old(start + Duration::from_secs(59)));
        assert!(saving.is_old(start + OLD));
        saving.failed(start + OLD);
        assert!(!saving.is_old(start + OLD), "not again so soon");
    }
}
