//! One training step's loss and gradients, in two phases.
//!
//! 1. **Rows.** Each [`Shard`] takes its rows forward and back, one rayon task each.
//! 2. **Parameters.** Every weight's gradient is a sum over all (time step, row) pairs, always added
//!    in that order and split over the *elements of the gradient*, never over the sum.
//!
//! So nothing depends on how many shards or threads there are: the bits are the same.

use std::time::{Duration, Instant};

use ndarray::{ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

use crate::layers::dropout::Dropout;
use crate::layers::lstm::{LstmParameters, contiguous};
use crate::layers::projection::ProjectionParameters;
use crate::math::Real;
use crate::math::matmul::{Rows, accumulate_transposed, ask_for, vectorised};
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::model::packed::PackedWeights;
use crate::model::parameters::{Parameters, Sizes, State};
use crate::model::shard::Shard;

/// The memory of a training step, allocated once and reused by every step.
#[derive(Clone, Debug)]
pub struct Network<R: Real> {
    sizes: Sizes,
    packed: PackedWeights<R>,
    shards: Vec<Shard<R>>,
    /// Seconds by phase outside the shards.
    watch: Stopwatch,
}

impl<R: Real> Network<R> {
    /// Memory for batches of B = `batch` rows and T = `unroll` steps, cut into at most `shards`
    /// shards of equal height (the last may be lower).
    pub fn new(sizes: Sizes, batch: usize, unroll: usize, shards: usize) -> Self {
        let rows = batch.div_ceil(shards.clamp(1, batch));
        let shards = (0..batch)
            .step_by(rows)
            .map(|first| Shard::new(sizes, first..(first + rows).min(batch), batch, unroll))
            .collect();
        Self { sizes, packed: PackedWeights::zeros(sizes), shards, watch: Stopwatch::default() }
    }

    /// The shards with all intermediate values of the last pass, for those who study them.
    pub fn shards(&self) -> &[Shard<R>] {
        &self.shards
    }

    /// Seconds by phase, summed over the shards, since the last [`Network::reset_watch`].
    pub fn watch(&self) -> Stopwatch {
        let mut sum = self.watch.clone();
        for shard in &self.shards {
            sum.add(&shard.watch);
        }
        sum
    }

    /// Sets all phase counters to zero.
    pub fn reset_watch(&mut self) {
        self.watch.reset();
        for shard in &mut self.shards {
            shard.watch.reset();
        }
    }

    /// Runs `work` and adds its time to `phase`: for the parts of a step outside the network.
    pub fn measure<T>(&mut self, phase: Phase, work: impl FnOnce() -> T) -> T {
        self.watch.measure(phase, work)
    }

    /// Adds time in which `shards` shards waited for their threads to wake up.
    pub fn add_waiting(&mut self, time: Duration, shards: usize) {
        self.watch.add_time(Phase::Waiting, time * shards as u32);
    }

    /// Lays out `parameters` for the kernels; needed after every change of them.
    pub fn pack(&mut self, parameters: &Parameters<R>) {
        let packed = &mut self.packed;
        self.watch.measure(Phase::Pack, || packed.pack(parameters));
    }

    /// The mean loss in nats over a batch, without gradients. Call [`Network::pack`] before.
    ///
    /// * `inputs`, `targets` [T, B]
    /// * `state`: carried on
    pub fn loss(
        &mut self,
        parameters: &Parameters<R>,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
        dropout: Option<Dropout>,
    ) -> f64 {
        let Self { shards, packed, watch, .. } = self;
        side_by_side(shards, watch, |shard| {
            shard.load(inputs, targets, state);
            shard.forward(parameters, packed, dropout);
        });
        self.finish(state)
    }

    /// The mean loss in nats over a batch, and its gradient with respect to every parameter.
    /// Call [`Network::pack`] before.
    ///
    /// * `gradients`: overwritten
    /// * `inputs`, `targets` [T, B]
    /// * `state`: carried on; no gradient flows through it (truncated back-propagation)
    pub fn gradients(
        &mut self,
        gradients: &mut Parameters<R>,
        parameters: &Parameters<R>,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &mut State<R>,
        dropout: Option<Dropout>,
    ) -> f64 {
        let scale = R::from_f64(1.0 / inputs.len() as f64);
        let Self { shards, packed, watch, .. } = self;
        side_by_side(shards, watch, |shard| {
            shard.load(inputs, targets, state);
            shard.forward(parameters, packed, dropout);
            shard.backward(packed, dropout, scale);
        });
        let (shards, sizes) = (&self.shards, self.sizes);
        self.watch.measure(Phase::ParameterGradients, || {
            gradients.set_zero();
            sum_over_positions(gradients, shards, sizes);
        });
        self.finish(state)
    }

    /// The gradient of the last batch's mean loss with respect to the state before it (Eq. B21).
    pub fn state_gradient(&self) -> State<R> {
        let batch = self.shards.iter().map(|shard| shard.range.len()).sum();
        let mut d_state = State::zeros(self.sizes, batch);
        for shard in &self.shards {
            for (l, layer) in shard.layers.iter().enumerate() {
                let rows = s![shard.range.clone(), ..];
                d_state.h[l].slice_mut(rows).assign(&layer.carry.dh); // Eq. B21
                d_state.c[l].slice_mut(rows).assign(&layer.carry.dc); // Eq. B21
            }
        }
        d_state
    }

    /// Collects state and loss from the shards: the mean of the losses (Eq. F12), added in the order
    /// (time step, row).
    fn finish(&self, state: &mut State<R>) -> f64 {
        for shard in &self.shards {
            shard.store_state(state);
        }
        let unroll = self.shards[0].losses.nrows();
        let mut sum = 0.0;
        let mut positions = 0;
        for t in 0..unroll {
            for shard in &self.shards {
                // Not the sum of each shard first: the order would depend on their number.
                shard.losses.row(t).iter().for_each(|loss| sum += loss.to_f64());
                positions += shard.losses.ncols();
            }
        }
        sum / positions as f64 // Eq. F12
    }

    /// V, H and L.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }
}

/// Phase one: `work` on every shard, one task each. All of their time that is not work is waiting.
fn side_by_side<R: Real>(
    shards: &mut [Shard<R>],
    watch: &mut Stopwatch,
    work: impl Fn(&mut Shard<R>) + Sync,
) {
    let start = Instant::now();
    let at_once = shards.len().min(rayon::current_num_threads()) as u32;
    let tasks = shards.par_iter_mut().map(|shard| {
        let start = Instant::now();
        work(shard);
        start.elapsed()
    });
    let busy: Duration = tasks.sum();
    watch.add_time(Phase::Waiting, (start.elapsed() * at_once).saturating_sub(busy));
}

/// Phase two: the gradients of all parameters from what the shards left behind.
fn sum_over_positions<R: Real>(gradients: &mut Parameters<R>, shards: &[Shard<R>], sizes: Sizes) {
    let Sizes { vocabulary, hidden, layers } = sizes;
    let outputs = |l: usize| {
        OverShards::new(shards, hidden, move |shard| contiguous(shard.layers[l].y().to_slice()))
    };
    // F9: logits = y·W + b
    let dlogits = OverShards::new(shards, vocabulary, |shard| contiguous(shard.dlogits.as_slice()));
    let y = outputs(layers - 1);
    let ProjectionParameters { w, b } = &mut gradients.projection;
    let db = contiguous(b.as_slice_mut());
    accumulate_transposed([(&y, w.view_mut())], &dlogits, db); // Eq. B2, B3
    for (l, gradient) in gradients.lstm.iter_mut().enumerate() {
        // F1: z_t = x_t·W_ih + h_{t−1}·W_hh + b
        let dz = OverShards::new(shards, 4 * hidden, move |shard| {
            contiguous(shard.layers[l].lstm.dz.as_slice())
        });
        // The first T rows of h are h_0 … h_{T−1}: each step's h_prev.
        let h_prev = OverShards::new(shards, hidden, move |shard| {
            contiguous(shard.layers[l].lstm.h.as_slice())
        });
        let LstmParameters { w_ih, w_hh, b } = gradient;
        let db = contiguous(b.as_slice_mut());
        let dw_hh = (&h_prev as &dyn Rows<R>, w_hh.view_mut());
        match l {
            0 => {
                accumulate_transposed([dw_hh], &dz, db); // Eq. B17, B18
                scatter_add(shards, &dz, w_ih.view_mut()); // Eq. B19, x one-hot
            }
            _ => {
                let x = outputs(l - 1);
                let dw_ih = (&x as &dyn Rows<R>, w_ih.view_mut());
                accumulate_transposed([dw_hh, dw_ih], &dz, db); // Eq. B17, B18, B19
            }
        }
    }
}

/// How many rows of dZ ahead of the one in work [`scatter_add`] asks for.
const DZ_AHEAD: usize = 2;

/// dW_ih ← dW_ih + Xᵀ·dZ for one-hot X: each dz is added to the row of its character.
///
/// Split over columns, since several positions share a row: one part for each thread, so that pieces of
/// rows are long enough to be read ahead.
fn scatter_add<R: Real>(shards: &[Shard<R>], dz: &impl Rows<R>, mut dw: ArrayViewMut2<R>) {
    let characters = OverShards::new(shards, 1, |shard| contiguous(shard.inputs.as_slice()));
    let width = dw.ncols().div_ceil(rayon::current_num_threads());
    let columns = dw.axis_chunks_iter_mut(Axis(1), width).into_par_iter();
    columns.enumerate().for_each(|(chunk, mut dw)| {
        let first = chunk * width;
        let range = first..first + dw.ncols();
        vectorised(
            #[inline(always)]
            || {
                let last = dz.count() - 1;
                for k in 0..=last {
                    ask_for(&dz.row(last.min(k + DZ_AHEAD))[range.clone()]);
                    let mut dw = dw.row_mut(characters.row(k)[0] as usize);
                    let dw = contiguous(dw.as_slice_mut());
                    for (dw, &dz) in dw.iter_mut().zip(&dz.row(k)[range.clone()]) {
                        *dw += dz; // Eq. B19
                    }
                }
            },
        );
    });
}

/// One array of every shard, seen as a single matrix whose rows are the positions in the order
/// (time step, row of the batch).
struct OverShards<'a, R, F> {
    shards: &'a [Shard<R>],
    /// B
    batch: usize,
    /// Rows of every shard but perhaps the last.
    rows: usize,
    width: usize,
    /// Picks the array, [T or more, b, width], as a slice.
    array: F,
}

impl<'a, R: Real, E: 'a, F: Fn(&'a Shard<R>) -> &'a [E]> OverShards<'a, R, F> {
    fn new(shards: &'a [Shard<R>], width: usize, array: F) -> Self {
        let batch = shards.iter().map(|shard| shard.range.len()).sum();
        Self { shards, batch, rows: shards[0].range.len(), width, array }
    }
}

impl<'a, R: Real, E: Sync + 'a, F> Rows<E> for OverShards<'a, R, F>
where
    F: Fn(&'a Shard<R>) -> &'a [E] + Sync,
{
    fn count(&self) -> usize {
        self.shards[0].inputs.nrows() * self.batch
    }

    fn width(&self) -> usize {
        self.width
    }

    fn row(&self, k: usize) -> &[E] {
        let (t, row) = (k / self.batch, k % self.batch);
        let shard = &self.shards[row / self.rows];
        let height = shard.range.len();
        let at = (t * height + row % self.rows) * self.width;
        &(self.array)(shard)[at..at + self.width]
    }
}
