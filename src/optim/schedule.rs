//! The learning rate in the course of a run: up along a line, level, down along a line.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the learning rate changes from step to step: warm-up, level part, and decay or cooldown.
///
/// Rising slowly spares the first updates, whose second moments are guesses (Liu et al., arXiv 1908.03265);
/// falling to nothing lets the weights settle, and doing so late leaves most of the run to the full rate (Hägele et
/// al., arXiv 2405.18392).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Schedule {
    /// Steps over which the rate rises. Default 0: it starts at its height.
    pub warm_up: u64,
    /// Steps after which the rate starts to fall and after which it has fallen to 0. Default none: it never falls.
    pub descent: Option<(u64, u64)>,
}

impl Schedule {
    /// A rise over `warm_up` steps, and a fall from the first step of `descent` to nothing at its second.
    pub fn new(warm_up: u64, descent: Option<(u64, u64)>) -> Self {
        Self { warm_up, descent }
    }

    /// Checks that a descent has a length.
    ///
    /// # Errors
    /// [`Error::Setting`] if it has none.
    pub fn validate(self) -> Result<()> {
        let Some((start, end)) = self.descent else { return Ok(()) };
        let later = start.saturating_add(1);
        let expected = format!("from a step to a later one, as in {start}..{later}");
        Error::require(end > start, "descent", format!("{start}..{end}"), expected)
    }

    /// What suits a run of so many steps: the rate rises over the first fiftieth and falls over the last two fifths.
    pub fn trapezoid(steps: u64) -> Self {
        Self::new((steps / 50).max(1), Some((steps.saturating_mul(3) / 5, steps)))
    }

    /// The schedule of a run whose end was moved to `end`. Where it is not [`Schedule::trapezoid`]'s, somebody has chosen
    /// it: a warm-up keeps its length, and a descent its share of the run.
    pub fn ending_at(self, end: u64) -> Self {
        let Some((start, old)) = self.descent else { return self };
        let (was, is) = (Self::trapezoid(old), Self::trapezoid(end));
        let share = u128::from(start) * u128::from(end) / u128::from(old.max(1));
        let warm_up = if self.warm_up == was.warm_up { is.warm_up } else { self.warm_up };
        let descent =
            if self.descent == was.descent { is.descent } else { Some((share as u64, end)) };
        Self { warm_up, descent }
    }

    /// The rate of the step after `step` others, as a fraction of its highest value.
    pub fn factor(self, step: u64) -> f64 {
        let rise = (step + 1) as f64 / self.warm_up as f64; // no warm-up: infinite
        let left = self.descent.map_or(1.0, |(start, end)| {
            end.saturating_sub(step) as f64 / end.saturating_sub(start) as f64
        });
        rise.min(1.0) * left.min(1.0) // Eq. U7
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
    fn the_rate_rises_stays_and_falls_to_nothing() {
        let schedule = Schedule::new(4, Some((8, 24)));
        let rates = [0, 1, 2, 3, 4, 8, 12, 16, 23, 24, 25, u64::MAX - 1];
        let expected = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 0.75, 0.5, 0.0625, 0.0, 0.0, 0.0];
        assert_eq!(rates.map(|step| schedule.factor(step)), expected);
        assert_eq!(Schedule::new(4, None).factor(1000), 1.0, "only a warm-up");
    }

    #[test]
    fn a_run_has_a_short_rise_and_a_long_fall() {
        let quick = Schedule::new(50, Some((1503, 2505))); // with a validation tail; docs/recipes.md
        assert_eq!(Schedule::trapezoid(2505), quick);
    }

    #[test]
    fn whoever_moves_the_end_moves_what_nobody_chose_with_it() {
        for end in [1, 2, 10, 2790] {
            let shape = Schedule::trapezoid(end);
            shape.validate().unwrap();
            for other in [1, 2, 10, 2790] {
                assert_eq!(shape.ending_at(other), Schedule::trapezoid(other), "{end}, {other}");
            }
        }
        let chosen = Schedule::new(5, Some((900, 1_000)));
        assert_eq!(chosen.ending_at(500), Schedule::new(5, Some((450, 500))));
        assert_eq!(Schedule::new(20, None).ending_at(10), Schedule::new(20, None));
    }

    #[test]
    fn a_rise_that_is_longer_than_the_level_part_is_cut_by_the_fall() {
        let schedule = Schedule::new(10, Some((0, 10)));
        assert_eq!([0, 4, 9].map(|step| schedule.factor(step)), [0.1, 0.3, 0.1]);
    }
}
