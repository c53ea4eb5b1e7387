//! A training step's loss and gradients where several ranks have the rows.

use std::ops::Range;
use std::sync::mpsc;
use std::thread;

use ndarray::ArrayView2;

use crate::math::stopwatch::Phase;
use crate::math::views::contiguous;
use crate::model::network::{Batch, Network, Prepared};
use crate::model::parameters::{Parameters, Sizes, State};
use crate::ranks::{Ranks, Shares};

/// What a rank needs beside its [`Network`] to train with others: who they are, and room for what they send.
#[derive(Clone, Debug)]
pub(crate) struct Together {
    ranks: Ranks,
    /// What each of them has.
    shares: Shares,
    /// The rows of each rank.
    rows: Vec<Range<usize>>,
    /// The gradients of the runs after the first.
    runs: Vec<Parameters<f32>>,
    room: Vec<f32>,
}

impl Together {
    /// For this one of `ranks` and batches of B = `batch` rows.
    pub fn new(ranks: Ranks, shares: Shares, sizes: Sizes, batch: usize) -> Self {
        let others = shares.runs(ranks.rank()).len() - 1;
        Self {
            rows: (0..ranks.count()).map(|rank| shares.rows(rank, batch)).collect(),
            runs: vec![Parameters::zeros(sizes); others],
            room: Vec::new(),
            ranks,
            shares,
        }
    }

    /// Bytes that this takes: the other runs' gradients, and others' numbers for this rank's share of the largest
    /// part of the parameters.
    pub fn bytes(sizes: Sizes, shares: &Shares, ranks: &Ranks) -> u64 {
        let runs = |rank: usize| shares.runs(rank).len();
        let (own, all) = (runs(ranks.rank()), (0..ranks.count()).map(runs).sum::<usize>());
        let [v, h, d] =
            [sizes.vocabulary, sizes.hidden, sizes.input(sizes.layers - 1)].map(|n| n as f64);
        let largest = (4.0 * h * (v.max(d) + h + 1.0)).max((h + 1.0) * v);
        let share = size_of::<f32>() as f64 * largest / ranks.count() as f64;
        let gradients = (own - 1) as f64 * Parameters::<f32>::bytes(sizes) as f64;
        (gradients + (all - own) as f64 * share) as u64 // as much as any network could want
    }

    /// Rank 0's `state` ← every rank's own rows of it.
    pub fn gather(&self, state: &mut State<f32>) {
        if self.ranks.is_alone() {
            return;
        }
        for array in state.h.iter_mut().chain(&mut state.c) {
            let width = array.ncols();
            self.ranks.gather(contiguous(array.as_slice_mut()), width, &self.rows);
        }
    }
}

impl Network<f32> {
    /// [`Network::gradients`] of the whole batch, of whose rows this rank has some. All ranks call this at the same
    /// time, and all get the same loss and gradients.
    ///
    /// What a part of the parameters lacks travels while the next part is summed up: first the projection, then
    /// the layers from the top down.
    pub(crate) fn gradients_together(
        &mut self,
        together: &mut Together,
        gradients: &mut Parameters<f32>,
        parameters: &Parameters<f32>,
        batch: Batch,
        state: &mut State<f32>,
    ) -> f64 {
        if together.ranks.is_alone() {
            let (inputs, targets, dropout) = batch;
            return self.gradients(gradients, parameters, inputs, targets, state, dropout);
        }
        self.propagate(parameters, batch, state);
        let losses: Vec<_> = self.losses_of_runs().collect();
        let Together { ranks, shares, runs, room, .. } = together;
        // For each layer and the projection: its numbers in every run.
        let mut parts: Vec<Vec<&mut [f32]>> =
            gradients.parts_mut().map(|part| vec![part]).collect();
        for run in runs {
            parts.iter_mut().zip(run.parts_mut()).for_each(|(part, run)| part.push(run));
        }
        let sum = thread::scope(|scope| {
            let (send, finished) = mpsc::channel::<Vec<&mut [f32]>>();
            let travel = scope.spawn(move || {
                let sum = ranks.sum_of_runs(shares, &losses);
                finished.into_iter().for_each(|mut runs| ranks.sum(shares, &mut runs, room));
                sum
            });
            for (part, mut runs) in parts.into_iter().enumerate().rev() {
                for (run, numbers) in runs.iter_mut().enumerate() {
                    self.sum_up(part, run, numbers);
                }
                send.send(runs).expect("the other thread takes all");
            }
            drop(send);
            self.measure(Phase::Ranks, || travel.join()).expect("it does not panic")
        });
        self.mean_of(sum)
    }
}

impl Prepared<'_, f32> {
    /// [`Prepared::loss`] of the whole batch, of whose rows this rank has some; nothing drops out.
    pub(crate) fn loss_together(
        &mut self,
        together: &Together,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<f32>,
    ) -> f64 {
        if together.ranks.is_alone() {
            return self.loss(inputs, targets, state, None);
        }
        self.forward((inputs, targets, None), state);
        let own: Vec<_> = self.network.losses_of_runs().collect();
        self.network.mean_of(together.ranks.sum_of_runs(&together.shares, &own))
    }
}
