//! One LSTM layer over T time steps of a shard's b rows, and back through time.
//!
//! Within the layer only h·W_hh has to wait for the step before. X·W_ih on the way forward and
//! dZ·W_ihᵀ on the way back are done for several time steps at once: for as many rows as keep the kernels
//! busy, and for no more, so that z and dz are still in the cache. The sums over time that are the weights'
//! gradients are in `model`, since they run over all shards.
//!
//! The functions, as those of [`projection`](super::projection), are hidden from this documentation with what only they
//! take, like the team of threads and the packed weights: [`Network`](crate::model::Network) is the way to call them.

use std::mem::swap;

use ndarray::{
    Array2, Array3, ArrayView1, ArrayView2, ArrayView3, ArrayViewMut1, ArrayViewMut2, Axis, s,
};

use crate::layers::cell;
use crate::math::Real;
use crate::math::matmul::{Start, multiply_together};
use crate::math::simd::{ask_for, vectorised};
use crate::math::stopwatch::{Phase, Stopwatch};
use crate::math::team::Team;
use crate::math::views::{contiguous, flatten, flatten_mut};

/// Weights of one layer, or their gradient. The four gates stand side by side in the columns, in
/// the order i, f, g, o.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmParameters<'a, R> {
    /// Input to gates, [D, 4H]; D = V in the first layer, H above.
    pub w_ih: ArrayView2<'a, R>,
    /// Last output to gates, [H, 4H].
    pub w_hh: ArrayView2<'a, R>,
    /// One bias for each gate of each unit, `[4H]`.
    pub b: ArrayView1<'a, R>,
}

impl<R> LstmParameters<'_, R> {
    /// The transposes of both matrices, for the way back.
    pub fn transposed(self) -> Self {
        let Self { w_ih, w_hh, b } = self;
        Self { w_ih: w_ih.reversed_axes(), w_hh: w_hh.reversed_axes(), b }
    }
}

/// [`LstmParameters`] for writing.
#[derive(Debug)]
pub struct LstmParametersMut<'a, R> {
    /// [D, 4H]
    pub w_ih: ArrayViewMut2<'a, R>,
    /// [H, 4H]
    pub w_hh: ArrayViewMut2<'a, R>,
    /// `[4H]`
    pub b: ArrayViewMut1<'a, R>,
}

/// A layer's weights laid out for the kernels: W_ih [D, 4H] and W_hh [H, 4H] on the way forward, their
/// transposes on the way back.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct PackedLstm<R: Real> {
    /// W_ih; absent in the first layer, which gathers rows instead.
    pub w_ih: Option<R::Packed>,
    /// W_hh
    pub w_hh: R::Packed,
}

impl<R: Real> PackedLstm<R> {
    /// Room for a layer of `hidden` cells; the first layer packs no input weight. `room(k, n)` makes that of
    /// one matrix [k, n].
    pub fn zeros(hidden: usize, is_first: bool, room: impl Fn(usize, usize) -> R::Packed) -> Self {
        let room = || room(hidden, 4 * hidden);
        Self { w_ih: (!is_first).then(room), w_hh: room() }
    }

    /// Lays out `parameters`, or their transposes where there is room for those.
    pub fn pack(&mut self, parameters: LstmParameters<R>) {
        if let Some(w_ih) = &mut self.w_ih {
            R::pack(w_ih, parameters.w_ih);
        }
        R::pack(&mut self.w_hh, parameters.w_hh);
    }
}

/// What comes into a layer.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub enum Input<'a, R> {
    /// Characters [T, b]: a one-hot row times W_ih is a row of W_ih, which is gathered.
    Characters(&'a Array2<u32>),
    /// The outputs of the layer below, [T, b, D].
    Sequence(ArrayView3<'a, R>),
}

/// What the backward pass needs of the forward pass, for b rows.
///
/// Stored: the gates, c and h, (6H)·T·b numbers. Computed again: tanh c.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct LstmTape<R> {
    /// After the forward pass: the activations i, f, g, o, [T, b, 4H]. Otherwise empty.
    pub gates: Array3<R>,
    /// After the backward pass: the gradient of the pre-activations, [T, b, 4H]. Otherwise empty:
    /// it takes over the memory of `gates`, whose values it no longer needs.
    pub dz: Array3<R>,
    /// Cell states, [T+1, b, H]; `c[0]` is the state before the first step.
    pub c: Array3<R>,
    /// Outputs, [T+1, b, H]; `h[0]` is the state before the first step.
    pub h: Array3<R>,
    /// Whether h shows the cell states normalised (Eq. F13).
    pub cell_norm: bool,
}

impl<R: Real> LstmTape<R> {
    /// Room for `unroll` steps of `rows` rows, with the state at zero.
    pub fn zeros(unroll: usize, rows: usize, hidden: usize, cell_norm: bool) -> Self {
        Self {
            gates: Array3::zeros((unroll, rows, 4 * hidden)),
            dz: Array3::zeros((0, 0, 0)),
            c: Array3::zeros((unroll + 1, rows, hidden)),
            h: Array3::zeros((unroll + 1, rows, hidden)),
            cell_norm,
        }
    }

    /// What h shows of the cell states, ĉ_1 … ĉ_T, [T, b, H]: the states themselves, or normalised.
    pub fn c_hat(&self) -> Array3<R> {
        let mut c = self.c.slice(s![1.., .., ..]).to_owned();
        if self.cell_norm {
            c.rows_mut().into_iter().for_each(|c| cell::normalise(contiguous(c.into_slice())));
        }
        c
    }

    /// The outputs h_1 … h_T, [T, b, H].
    pub fn outputs(&self) -> ArrayView3<'_, R> {
        self.h.slice(s![1.., .., ..])
    }
}

/// What the backward pass carries through time beside dy.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct Carry<R> {
    /// Gradient at `h[0]`, the output before the first step, [b, H].
    pub dh: Array2<R>,
    /// Gradient at c of the step in work, in the end at `c[0]` (B12 of step 1, which is B21), [b, H].
    pub dc: Array2<R>,
}

impl<R: Real> Carry<R> {
    /// All zero: nothing comes back from beyond the last step (that is the truncation).
    pub fn zeros(rows: usize, hidden: usize) -> Self {
        Self { dh: Array2::zeros((rows, hidden)), dc: Array2::zeros((rows, hidden)) }
    }

    /// Back to zero, for the next batch.
    pub fn reset(&mut self) {
        self.dh.fill(R::zero());
        self.dc.fill(R::zero());
    }
}

/// Rows of z, of all time steps together, that one product with W_ih or its transpose takes: enough
/// that the weights are rarely loaded, few enough to stay in the cache (819 KB at H = 512).
const ROWS_AT_ONCE: usize = 100;

/// Time steps of b rows that make up [`ROWS_AT_ONCE`].
fn steps_at_once(rows: usize) -> usize {
    (ROWS_AT_ONCE / rows).max(1)
}

/// Forward through time: fills `tape.gates`, `tape.c[1..]` and `tape.h[1..]` from `input` and the
/// state in `tape.c[0]`, `tape.h[0]`. The members of `team` share the columns of each product and the rows of
/// everything else.
#[doc(hidden)]
pub fn forward<R: Real>(
    tape: &mut LstmTape<R>,
    input: Input<R>,
    parameters: LstmParameters<R>,
    packed: &PackedLstm<R>,
    team: &mut Team,
    watch: &mut Stopwatch,
) {
    if tape.gates.is_empty() {
        swap(&mut tape.gates, &mut tape.dz);
    }
    let (unroll, rows, gates) = tape.gates.dim();
    check_input(input, parameters, packed, (unroll, rows, gates));
    let (at_once, cell_norm) = (steps_at_once(rows), tape.cell_norm);
    for t in 0..unroll {
        if let (Input::Sequence(x), Some(w_ih)) = (input, &packed.w_ih)
            && t % at_once == 0
        {
            watch.measure(Phase::InputMatmul, || {
                let steps = s![t..unroll.min(t + at_once), .., ..];
                let z = flatten_mut(tape.gates.slice_mut(steps));
                let (b, x) = (contiguous(parameters.b.as_slice()), flatten(x.slice(steps)));
                multiply_together(team, Start::Bias(b), x, w_ih, z); // Eq. F1: x_t·W_ih + b
            });
        }
        let mut z = tape.gates.index_axis_mut(Axis(0), t);
        let (c_past, mut c_rest) = tape.c.view_mut().split_at(Axis(0), t + 1);
        let (h_past, mut h_rest) = tape.h.view_mut().split_at(Axis(0), t + 1);
        let (c_prev, h_prev) = (c_past.index_axis(Axis(0), t), h_past.index_axis(Axis(0), t));
        if let Input::Characters(ids) = input {
            watch.measure(Phase::Gather, || gather(z.view_mut(), ids.row(t), parameters, team));
        }
        watch.measure(Phase::RecurrentMatmul, || {
            let (w_hh, z) = (&packed.w_hh, z.view_mut());
            multiply_together(team, Start::C, h_prev, w_hh, z); // Eq. F1: … + h_{t−1}·W_hh
        });
        watch.measure(Phase::Gates, || {
            let c = c_rest.index_axis_mut(Axis(0), 0);
            let h = h_rest.index_axis_mut(Axis(0), 0);
            cells_forward(z, c_prev, c, h, cell_norm, team);
        });
    }
}

/// Panics unless an input and weights fit a tape of [T, b, 4H].
fn check_input<R: Real>(
    input: Input<R>,
    parameters: LstmParameters<R>,
    packed: &PackedLstm<R>,
    (unroll, rows, gates): (usize, usize, usize),
) {
    assert!(parameters.b.len() == gates, "b [{}] for [4H] = [{gates}]", parameters.b.len());
    let (steps, width) = match input {
        Input::Characters(ids) => (ids.dim(), parameters.w_ih.ncols()),
        Input::Sequence(x) => {
            assert!(packed.w_ih.is_some(), "a sequence needs W_ih packed, not as in a first layer");
            ((x.len_of(Axis(0)), x.len_of(Axis(1))), gates)
        }
    };
    assert!(
        steps == (unroll, rows) && width == gates,
        "an input of [T, b] = {steps:?} and W_ih [D, {width}] for a tape of [{unroll}, {rows}, {gates}]"
    );
}

/// z = W_ih[character] + b for each row: Eq. F1's x_t·W_ih where x_t is one-hot.
fn gather<R: Real>(
    mut z: ArrayViewMut2<R>,
    ids: ArrayView1<u32>,
    parameters: LstmParameters<R>,
    team: &mut Team,
) {
    let (b, rows) = (contiguous(parameters.b.as_slice()), team.share(z.nrows()));
    let parts = z.axis_chunks_iter_mut(Axis(0), rows).zip(ids.axis_chunks_iter(Axis(0), rows));
    team.each(parts, |(mut z, ids)| {
        for (mut z, &id) in z.rows_mut().into_iter().zip(ids) {
            let z = contiguous(z.as_slice_mut());
            let row = parameters.w_ih.row(id as usize);
            for ((z, &w), &b) in z.iter_mut().zip(contiguous(row.as_slice())).zip(b) {
                *z = w + b; // Eq. F1: x_t·W_ih + b
            }
        }
    });
}

/// The cells of all rows at one time step; see [`cell::forward`].
fn cells_forward<R: Real>(
    mut z: ArrayViewMut2<R>,
    c_prev: ArrayView2<R>,
    mut c: ArrayViewMut2<R>,
    mut h: ArrayViewMut2<R>,
    cell_norm: bool,
    team: &mut Team,
) {
    let rows = team.share(z.nrows());
    let parts = z
        .axis_chunks_iter_mut(Axis(0), rows)
        .zip(c_prev.axis_chunks_iter(Axis(0), rows))
        .zip(c.axis_chunks_iter_mut(Axis(0), rows))
        .zip(h.axis_chunks_iter_mut(Axis(0), rows));
    team.each(parts, |(((mut z, c_prev), mut c), mut h)| {
        vectorised(
            #[inline(always)]
            || {
                for row in 0..z.nrows() {
                    cell::forward(
                        contiguous(z.row_mut(row).into_slice()),
                        contiguous(c_prev.row(row).to_slice()),
                        contiguous(c.row_mut(row).into_slice()),
                        contiguous(h.row_mut(row).into_slice()),
                        cell_norm,
                    );
                }
            },
        );
    });
}

/// Backward through time: dy → dz, dx, and the state's gradient in `carry`.
///
/// * `tape`: `gates` on entry, `dz` in their memory on return
/// * `dy_to_dx` [T, b, H]: the gradient that arrives at h_1 … h_T from above on entry; overwritten, with dx where
///   there is a layer below (D = H)
/// * `carry`: zero on entry; on return the gradient at `h[0]`, `c[0]` (Eq. B21)
/// * `transposed`: the transposes of the layer's weights
/// * `team`: shares the work as in [`forward`]
#[doc(hidden)]
pub fn backward<R: Real>(
    tape: &mut LstmTape<R>,
    dy_to_dx: &mut Array3<R>,
    carry: &mut Carry<R>,
    transposed: &PackedLstm<R>,
    team: &mut Team,
    watch: &mut Stopwatch,
) {
    swap(&mut tape.dz, &mut tape.gates);
    let (unroll, rows, gates) = tape.dz.dim();
    let shape = (unroll, rows, gates / 4);
    let dy = dy_to_dx.dim();
    assert!(dy == shape, "dy {dy:?} for [T, b, H] = {shape:?}");
    assert!(carry.dc.nrows() == rows && carry.dh.nrows() == rows, "carried rows for {rows}");
    let (at_once, cell_norm) = (steps_at_once(rows), tape.cell_norm);
    for t in (0..unroll).rev() {
        let mut gates_to_dz = tape.dz.index_axis_mut(Axis(0), t);
        let (mut dy_before, mut dy_rest) = dy_to_dx.view_mut().split_at(Axis(0), t);
        let dh = dy_rest.index_axis_mut(Axis(0), 0); // the total: the iteration for t + 1 has added its share
        watch.measure(Phase::GatesBackward, || {
            let (c_prev, c) = (tape.c.index_axis(Axis(0), t), tape.c.index_axis(Axis(0), t + 1));
            let (gates_to_dz, dc) = (gates_to_dz.view_mut(), carry.dc.view_mut());
            cells_backward(gates_to_dz, c_prev, c, dh, dc, cell_norm, team);
        });
        watch.measure(Phase::RecurrentBackward, || {
            // F1: z_t = x_t·W_ih + h_{t−1}·W_hh + b; and h_{t−1} feeds the layer above as well.
            let dh_prev = match t {
                0 => carry.dh.view_mut(), // Eq. B21: nothing is above h_0
                _ => dy_before.index_axis_mut(Axis(0), t - 1),
            };
            let dz = gates_to_dz.view();
            multiply_together(team, Start::C, dz, &transposed.w_hh, dh_prev); // Eq. B6
        });
        if let Some(w_ih) = &transposed.w_ih
            && t % at_once == 0
        {
            watch.measure(Phase::InputBackward, || {
                // F1: z = x·W_ih + h_prev·W_hh + b; dy of these steps has done its work.
                let steps = s![t..unroll.min(t + at_once), .., ..];
                let dx = flatten_mut(dy_to_dx.slice_mut(steps));
                let dz = flatten(tape.dz.slice(steps));
                multiply_together(team, Start::Zero, dz, w_ih, dx); // Eq. B20
            });
        }
    }
}

/// The cells of all rows at one time step; see [`cell::backward`].
fn cells_backward<R: Real>(
    mut gates_to_dz: ArrayViewMut2<R>,
    c_prev: ArrayView2<R>,
    c: ArrayView2<R>,
    mut dh: ArrayViewMut2<R>,
    mut dc: ArrayViewMut2<R>,
    cell_norm: bool,
    team: &mut Team,
) {
    let rows = team.share(gates_to_dz.nrows());
    let parts = gates_to_dz
        .axis_chunks_iter_mut(Axis(0), rows)
        .zip(c_prev.axis_chunks_iter(Axis(0), rows))
        .zip(c.axis_chunks_iter(Axis(0), rows))
        .zip(dh.axis_chunks_iter_mut(Axis(0), rows))
        .zip(dc.axis_chunks_iter_mut(Axis(0), rows));
    team.each(parts, |((((mut gates_to_dz, c_prev), c), mut dh), mut dc)| {
        vectorised(
            #[inline(always)]
            || {
                let last = gates_to_dz.nrows() - 1;
                for row in 0..=last {
                    // Written long ago, and in parts too short for the processor to follow.
                    let next = last.min(row + 1);
                    ask_for(contiguous(gates_to_dz.row(next).to_slice()));
                    ask_for(contiguous(c_prev.row(next).to_slice()));
                    cell::backward(
                        contiguous(gates_to_dz.row_mut(row).into_slice()),
                        contiguous(c_prev.row(row).to_slice()),
                        contiguous(c.row(row).to_slice()),
                        contiguous(dh.row_mut(row).into_slice()),
                        contiguous(dc.row_mut(row).into_slice()),
                        cell_norm,
                    );
                }
            },
        );
    });
}
