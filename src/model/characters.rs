//! A trained network over other characters, as fine-tuning starts it.

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use crate::math::Real;
use crate::model::parameters::{Parameters, Sizes};

impl<R: Real> Parameters<R> {
    /// The same network over other characters: its new character `id` is its old one `old[id]`, or one that it
    /// has never seen.
    ///
    /// One never seen starts with the mean of all input weights and of all weights and biases of the projection.
    /// Its logit is then the mean of all logits, so it is at most as probable as the old characters are on
    /// average, and the odds among these stay as they were (Hewitt, "Initializing New Word Embeddings for
    /// Pretrained Language Models", 2021).
    ///
    /// # Panics
    /// If `old` names a character that the network does not have.
    pub fn with_characters(&self, old: &[Option<usize>]) -> Self {
        let mut new = Self::zeros(Sizes { vocabulary: old.len(), ..self.sizes() });
        // What does not depend on the number of characters is copied.
        for (new, old) in new.tensors_mut().zip(self.tensors()) {
            if new.len() == old.len() {
                new.copy_from_slice(old);
            }
        }
        let (before, projection) = (self.projection(), new.projection_mut());
        let bias = before.b.insert_axis(Axis(1));
        let (mut w, mut b) = (projection.w, projection.b.insert_axis(Axis(1)));
        w.assign(&chosen(before.w, Axis(1), old));
        b.assign(&chosen(bias, Axis(0), old));
        new.lstm_mut(0).w_ih.assign(&chosen(self.lstm(0).w_ih, Axis(0), old));
        new
    }
}

/// The rows or columns `old` of `weights`, and the mean of all of them wherever it names none.
fn chosen<R: Real>(weights: ArrayView2<R>, axis: Axis, old: &[Option<usize>]) -> Array2<R> {
    let count = weights.len_of(axis);
    let mean = weights.sum_axis(axis) / R::from_f64(count as f64);
    let with_mean = concatenate![axis, weights, mean.insert_axis(axis)];
    let places: Vec<_> = old.iter().map(|place| place.unwrap_or(count)).collect();
    with_mean.select(axis, &places)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;
    use crate::model::{Initialisation, Network, State};

    fn network(vocabulary: usize) -> Parameters<f64> {
        let sizes = Sizes::new(vocabulary, 4, 2);
        Parameters::initial(sizes, Initialisation::Glorot, &mut Pcg64::seed_from_u64(7))
    }

    /// Logarithms of the probabilities of all V characters after two of them.
    fn logarithms(parameters: &Parameters<f64>, context: [u32; 2]) -> Vec<f64> {
        let sizes = parameters.sizes();
        let log_probability = |next: u32| {
            let mut network = Network::new(sizes, 1, 2, 1);
            let mut state = State::zeros(sizes, 1);
            let [first, second] = context;
            let inputs = ndarray::array![[first], [second]];
            let mut loss = |next| {
                let targets = ndarray::array![[0], [next]];
                state.set_zero();
                network.loss(parameters, inputs.view(), targets.view(), &mut state, None)
            };
            (loss(next), loss(0))
        };
        // Twice the mean loss is that of target 0 after the first character and that of `next` after the second.
        (0..sizes.vocabulary as u32)
            .map(|next| {
                let (with_next, with_zero) = log_probability(next);
                2.0 * (with_zero - with_next)
            })
            .collect()
    }

    #[test]
    fn the_odds_among_old_characters_stay_and_a_new_one_is_as_likely_as_they_are_on_average() {
        let before = network(3);
        let after = before.with_characters(&[Some(2), None, Some(0), Some(1)]);
        let (old, new) = (logarithms(&before, [0, 1]), logarithms(&after, [2, 3]));
        // All are relative to the first character of each, the old 0 and the new 0, which is the old 2.
        for (id, place) in [(2, 0), (3, 1), (0, 2)] {
            assert!((new[id] - new[2] - (old[place] - old[0])).abs() < 1e-12, "character {id}");
        }
        let mean = (new[0] + new[2] + new[3]) / 3.0;
        assert!((new[1] - mean).abs() < 1e-12, "{} and a mean of {mean}", new[1]);
    }

    #[test]
    fn a_character_that_is_left_out_changes_nothing_for_the_others() {
        let before = network(5);
        let after = before.with_characters(&[Some(0), Some(1), Some(4)]);
        assert_eq!(after.lstm(0).w_ih.row(2), before.lstm(0).w_ih.row(4));
        assert_eq!(after.projection().w.column(2), before.projection().w.column(4));
        assert_eq!(after.lstm(1), before.lstm(1));
        assert_eq!(after.lstm(0).w_hh, before.lstm(0).w_hh);
    }

    #[test]
    fn the_same_characters_are_the_same_network() {
        let before = network(3);
        assert_eq!(before.with_characters(&[Some(0), Some(1), Some(2)]), before);
    }
}
