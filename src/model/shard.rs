//! Phase one, rows: one shard carries its rows of the batch through all layers and back.
//!
//! Rows never meet here, so shards need no barrier and no shared sum; each owns its memory. Where there are
//! few rows for each thread, several threads share a shard.

use std::mem::swap;
use std::ops::Range;

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, ArrayViewMut2, Axis, s};

use crate::layers::dropout::Dropout;
use crate::layers::lstm::{self, Carry, Input, LstmTape};
use crate::layers::{loss, projection};
use crate::math::Real;
use crate::math::simd::vectorised;
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::math::team::Team;
use crate::math::views::{contiguous, flatten, flatten_mut};
use crate::model::packed::PackedWeights;
use crate::model::parameters::{Parameters, Sizes, State};

/// One layer's memory in a shard.
#[derive(Clone, Debug)]
pub struct LayerTape<R> {
    /// Gates, states and outputs.
    pub lstm: LstmTape<R>,
    /// The outputs after dropout, [T, b, H]; unused where nothing is dropped.
    dropped: Array3<R>,
    /// Whether `dropped` holds this step's outputs.
    is_dropped: bool,
    /// The gradients carried back through time.
    pub carry: Carry<R>,
}

impl<R: Real> LayerTape<R> {
    /// What the layer above reads: y_1 … y_T, [T, b, H].
    pub fn y(&self) -> ArrayView3<'_, R> {
        if self.is_dropped { self.dropped.view() } else { self.lstm.outputs() }
    }
}

/// The rows `range` of every batch, with all memory that their forward and backward pass need.
#[derive(Clone, Debug)]
pub struct Shard<R> {
    /// Which rows of the batch; b = its length.
    pub range: Range<usize>,
    /// B, rows of the whole batch.
    batch: usize,
    /// Input characters, [T, b].
    pub inputs: Array2<u32>,
    /// Next characters, [T, b].
    pub targets: Array2<u32>,
    /// The layers' tapes.
    pub layers: Vec<LayerTape<R>>,
    /// Probabilities after the forward pass, [T, b, V]. Otherwise empty.
    pub p: Array3<R>,
    /// The logits' gradient after the backward pass, [T, b, V], in the memory of `p`. Otherwise empty.
    pub dlogits: Array3<R>,
    /// Loss of every position in nats, [T, b].
    pub losses: Array2<R>,
    /// The gradient on its way down: at the outputs of the layer in work, [T, b, H].
    dy: Array3<R>,
    /// The threads that share its work.
    team: Team,
    /// Seconds by phase, of the team's leader.
    pub watch: Stopwatch,
}

impl<R: Real> Shard<R> {
    /// Memory for `range` of B = `batch` rows over `unroll` steps, and a `team` to work in it.
    pub(crate) fn new(
        sizes: Sizes,
        range: Range<usize>,
        (batch, unroll): (usize, usize),
        team: Team,
    ) -> Self {
        let (rows, hidden) = (range.len(), sizes.hidden);
        let layer = LayerTape {
            lstm: LstmTape::zeros(unroll, rows, hidden, sizes.cell_norm),
            dropped: Array3::zeros((0, 0, 0)),
            is_dropped: false,
            carry: Carry::zeros(rows, hidden),
        };
        Self {
            range,
            batch,
            inputs: Array2::zeros((unroll, rows)),
            targets: Array2::zeros((unroll, rows)),
            layers: vec![layer; sizes.layers],
            p: Array3::zeros((unroll, rows, sizes.vocabulary)),
            dlogits: Array3::zeros((0, 0, 0)),
            losses: Array2::zeros((unroll, rows)),
            dy: Array3::zeros((unroll, rows, hidden)),
            team,
            watch: Stopwatch::default(),
        }
    }

    /// The same with another team.
    pub(crate) fn with_team(self, team: Team) -> Self {
        Self { team, ..self }
    }

    /// Takes this shard's rows of a batch (`inputs`, `targets` [T, B]) and of the state.
    pub(crate) fn load(
        &mut self,
        inputs: ArrayView2<u32>,
        targets: ArrayView2<u32>,
        state: &State<R>,
    ) {
        let rows = self.range.clone();
        self.inputs.assign(&inputs.slice(s![.., rows.clone()]));
        self.targets.assign(&targets.slice(s![.., rows.clone()]));
        for (l, layer) in self.layers.iter_mut().enumerate() {
            layer.lstm.h.index_axis_mut(Axis(0), 0).assign(&state.h[l].slice(s![rows.clone(), ..]));
            layer.lstm.c.index_axis_mut(Axis(0), 0).assign(&state.c[l].slice(s![rows.clone(), ..]));
        }
    }

    /// Gives back the state after the last step.
    pub(crate) fn store_state(&self, state: &mut State<R>) {
        let rows = self.range.clone();
        for (l, layer) in self.layers.iter().enumerate() {
            let last = layer.lstm.h.len_of(Axis(0)) - 1;
            let (h, c) = (&layer.lstm.h, &layer.lstm.c);
            state.h[l].slice_mut(s![rows.clone(), ..]).assign(&h.index_axis(Axis(0), last));
            state.c[l].slice_mut(s![rows.clone(), ..]).assign(&c.index_axis(Axis(0), last));
        }
    }

    /// Forward through all layers to the loss of every position: fills the tapes, `p` and `losses`.
    pub(crate) fn forward(
        &mut self,
        parameters: &Parameters<R>,
        packed: &PackedWeights<R>,
        dropout: Option<Dropout>,
    ) {
        self.predict(parameters, packed, dropout);
        self.take_losses();
    }

    /// Forward through all layers: fills the tapes (F1 to F8), and `p` with the logits (F9). The way of every
    /// character that is read, to learn, to write or to look inside.
    pub(crate) fn predict(
        &mut self,
        parameters: &Parameters<R>,
        packed: &PackedWeights<R>,
        dropout: Option<Dropout>,
    ) {
        let dropout = dropout.filter(Dropout::is_active);
        for l in 0..self.layers.len() {
            let (below, rest) = self.layers.split_at_mut(l);
            let layer = &mut rest[0];
            let input = match below.last() {
                None => Input::Characters(&self.inputs),
                Some(below) => Input::Sequence(below.y()),
            };
            let (weights, packed) = (parameters.lstm(l), &packed.lstm[l]);
            let (team, watch) = (&mut self.team, &mut self.watch);
            lstm::forward(&mut layer.lstm, input, weights, packed, team, watch);
            layer.is_dropped = dropout.is_some();
            if let Some(dropout) = dropout {
                let place = Place { layer: l, first_row: self.range.start, batch: self.batch };
                watch.measure(Phase::Dropout, || layer.drop_out(dropout, place, team));
            }
        }
        let y = self.layers.last().expect("at least one layer").y();
        if self.p.is_empty() {
            swap(&mut self.p, &mut self.dlogits);
        }
        self.watch.measure(Phase::Projection, || {
            let (w, b) = (&packed.projection, parameters.projection().b);
            projection::forward(flatten(y), w, b, flatten_mut(self.p.view_mut()), &mut self.team);
        });
    }

    /// From the logits in `p` to the probabilities and the loss of every position (F10, F11).
    pub(crate) fn take_losses(&mut self) {
        self.watch.measure(Phase::Softmax, || {
            let (p, team) = (flatten_mut(self.p.view_mut()), &mut self.team);
            losses(p, &self.targets, &mut self.losses, team);
        });
    }

    /// Backward through all layers: the logits' gradient (B1), what it sends down (B4), and for each
    /// layer, the last first, dropout (B5) and the way back through time to dz and dx (B6 to B20). The
    /// gradients of the weights are phase two's.
    ///
    /// `scale` is 1 / (B·T), by which the mean divides each position's loss.
    pub(crate) fn backward(
        &mut self,
        transposed: &PackedWeights<R>,
        dropout: Option<Dropout>,
        scale: R,
    ) {
        let dropout = dropout.filter(Dropout::is_active);
        swap(&mut self.dlogits, &mut self.p);
        self.watch.measure(Phase::Softmax, || {
            let dlogits = flatten_mut(self.dlogits.view_mut());
            losses_backward(dlogits, &self.targets, scale, &mut self.team);
        });
        self.watch.measure(Phase::ProjectionBackward, || {
            let (dlogits, dy) = (flatten(self.dlogits.view()), flatten_mut(self.dy.view_mut()));
            projection::backward(dlogits, &transposed.projection, dy, &mut self.team);
        });
        for (l, layer) in self.layers.iter_mut().enumerate().rev() {
            if let Some(dropout) = dropout {
                let place = Place { layer: l, first_row: self.range.start, batch: self.batch };
                self.watch.measure(Phase::DropoutBackward, || {
                    mask(dropout, place, &mut self.dy, |_, _, _| (), &mut self.team); // Eq. B5
                });
            }
            layer.carry.reset();
            let (carry, w) = (&mut layer.carry, &transposed.lstm[l]);
            let (team, watch) = (&mut self.team, &mut self.watch);
            lstm::backward(&mut layer.lstm, &mut self.dy, carry, w, team, watch);
        }
    }
}

impl<R: Real> LayerTape<R> {
    /// y = m ⊙ h / keep. Both h and y stay: the recurrence reads h, the layer above y.
    fn drop_out(&mut self, dropout: Dropout, place: Place, team: &mut Team) {
        let h = self.lstm.outputs();
        if self.dropped.is_empty() {
            self.dropped = Array3::zeros(h.dim());
        }
        let copy = |t, row, y: &mut [R]| {
            y.copy_from_slice(contiguous(h.slice(s![t, row, ..]).to_slice()));
        };
        mask(dropout, place, &mut self.dropped, copy, team); // Eq. F8
    }
}

/// Softmax and loss of every position; turns `logits` [N, V] into probabilities.
fn losses<R: Real>(
    mut logits: ArrayViewMut2<R>,
    targets: &Array2<u32>,
    losses: &mut Array2<R>,
    team: &mut Team,
) {
    let rows = team.share(logits.nrows());
    let (targets, losses) = (contiguous(targets.as_slice()), contiguous(losses.as_slice_mut()));
    let parts = logits
        .axis_chunks_iter_mut(Axis(0), rows)
        .zip(targets.chunks(rows))
        .zip(losses.chunks_mut(rows));
    team.each(parts, |((mut logits, targets), losses)| {
        vectorised(
            #[inline(always)]
            || {
                let rows = logits.rows_mut().into_iter();
                for ((mut row, &target), loss) in rows.zip(targets).zip(losses) {
                    *loss = loss::forward(contiguous(row.as_slice_mut()), target as usize);
                }
            },
        );
    });
}

/// The gradient of every position's loss; turns probabilities [N, V] into it.
fn losses_backward<R: Real>(
    mut dlogits: ArrayViewMut2<R>,
    targets: &Array2<u32>,
    scale: R,
    team: &mut Team,
) {
    let rows = team.share(dlogits.nrows());
    let targets = contiguous(targets.as_slice()).chunks(rows);
    team.each(dlogits.axis_chunks_iter_mut(Axis(0), rows).zip(targets), |(mut rows, targets)| {
        for (mut row, &target) in rows.rows_mut().into_iter().zip(targets) {
            loss::backward(contiguous(row.as_slice_mut()), target as usize, scale);
        }
    });
}

/// Where in the network and batch a mask lies.
#[derive(Clone, Copy)]
struct Place {
    layer: usize,
    first_row: usize,
    batch: usize,
}

/// y ← m ⊙ y / keep for all steps and rows of `y` [T, b, H], each row after `fill(t, row, y)`.
fn mask<R: Real>(
    dropout: Dropout,
    place: Place,
    y: &mut Array3<R>,
    fill: impl Fn(usize, usize, &mut [R]) + Sync,
    team: &mut Team,
) {
    let steps = team.share(y.len_of(Axis(0)));
    let parts = y.axis_chunks_iter_mut(Axis(0), steps).enumerate();
    team.each(parts, |(part, mut y)| {
        vectorised(
            #[inline(always)]
            || {
                for (t, mut y) in (part * steps..).zip(y.outer_iter_mut()) {
                    for (row, y) in y.outer_iter_mut().enumerate() {
                        let position = t * place.batch + place.first_row + row;
                        let y = contiguous(y.into_slice());
                        fill(t, row, y);
                        dropout.apply(place.layer, position, y);
                    }
                }
            },
        );
    });
}
