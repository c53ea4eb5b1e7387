//! The learning rate in the course of a run: up along a line, then down along half a cosine.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How the learning rate changes from step to step.
///
/// Rising slowly spares the first updates, whose second moments are guesses (Goyal et al., arXiv 1706.02677);
/// falling to nothing lets the weights settle (Loshchilov and Hutter, "SGDR", ICLR 2017, eq. 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Schedule {
    /// W, steps over which the rate rises. Default 0: it starts at its height.
    pub warm_up: u64,
    /// N, steps after which the rate has fallen to 0. Default none: it never falls.
    pub descent: Option<u64>,
}

impl Schedule {
    /// A rise over `warm_up` steps and a fall to nothing at step `descent`.
    pub fn new(warm_up: u64, descent: Option<u64>) -> Self {
        Self { warm_up, descent }
    }

    /// The rate of the step after `step` others, as a factor of its height between 0 and 1.
    pub fn factor(self, step: u64) -> f64 {
        let Self { warm_up, descent } = self;
        let rise = ((step + 1) as f64 / warm_up as f64).min(1.0); // no warm-up: 1 of infinity
        let Some(end) = descent else { return rise };
        let fall = step.saturating_sub(warm_up) as f64 / end.saturating_sub(warm_up) as f64;
        rise * (1.0 + (PI * fall.min(1.0)).cos()) / 2.0 // Eq. U7
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_schedule_the_rate_stays() {
        assert!((0..1000).all(|step| Schedule::default().factor(step) == 1.0));
    }

    #[test]
    fn the_rate_rises_along_a_line_and_falls_to_nothing() {
        let schedule = Schedule::new(4, Some(24));
        assert_eq!([0, 1, 2, 3, 4].map(|step| schedule.factor(step)), [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((schedule.factor(14) - 0.5).abs() < 1e-15, "half-way it is in the middle");
        assert!((4..23).all(|step| schedule.factor(step) > schedule.factor(step + 1)));
        assert_eq!([24, 25, u64::MAX - 1].map(|step| schedule.factor(step)), [0.0; 3]);
        assert_eq!(Schedule::new(4, None).factor(1000), 1.0, "only a warm-up");
    }
}
