//! One text through the network and back, with every intermediate value kept.
//!
//! The way forward is the engine's own, on one row (B = 1). On the way back training keeps only what it needs:
//! dh and dc exist for one time step at a time, dz takes the memory of the gates. Here the same layer
//! functions run, and nothing is thrown away.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};

use crate::layers::{cell, loss, projection};
use crate::math::Real;
use crate::math::matmul::Start;
use crate::math::team::Team;
use crate::math::views::contiguous;
use crate::memory;
use crate::model::{Network, PackedWeights, Parameters, Shard, Sizes, State};

/// The forward pass of a text of T + 1 characters.
pub(in crate::study) struct Pass<R: Real> {
    pub sizes: Sizes,
    transposed: PackedWeights<R>,
    /// Gates, c and h of every layer, probabilities and losses.
    shard: Shard<R>,
    /// Eq. F9, [T, V].
    pub logits: Array2<R>,
}

/// What comes back through one layer.
pub(in crate::study) struct LayerGradient<R> {
    /// What arrives at h_t from above alone, [T, H] (Eq. B4 or B20).
    pub dy: Array2<R>,
    /// The whole gradient at h_t, from above and from the step after, [T, H] (Eq. B6).
    pub dh: Array2<R>,
    /// The whole gradient at c_t, through h_t and from the step after, [T, H] (Eq. B8).
    pub dc: Array2<R>,
    /// The gradient of the pre-activations, [T, 4H] (Eq. B13 to B16).
    pub dz: Array2<R>,
    /// The gradient at the state before the first step, [1, H] each (Eq. B21).
    pub d_state: [Array2<R>; 2],
}

/// The backward pass.
pub(in crate::study) struct Gradient<R> {
    /// Eq. B1, [T, V].
    pub dlogits: Array2<R>,
    pub layers: Vec<LayerGradient<R>>,
}

/// Bytes that a pass forward and two back take beside the parameters, theirs and those of the parameters'
/// gradient; `u64::MAX` for as much and more.
pub(in crate::study) fn bytes<R: Real>(sizes: Sizes, unroll: usize) -> u64 {
    // Both ways back keep dy, dh, dc, dz, 7H a step; a tape has at least 6H. Parameters' gradients take
    // another network.
    let tapes = Network::<R>::tape_bytes(sizes, 1, unroll, false).saturating_mul(5);
    let packed = Network::<R>::packed_bytes(sizes).saturating_mul(4);
    memory::sum([tapes, packed, Parameters::<R>::bytes(sizes)])
}

impl<R: Real> Pass<R> {
    /// Reads `ids` from an empty memory and predicts each but the first.
    pub fn forward(parameters: &Parameters<R>, ids: &[u32]) -> Self {
        let sizes = parameters.sizes();
        let mut packed = PackedWeights::new(sizes, false, R::packed);
        let mut transposed = PackedWeights::new(sizes, true, R::packed);
        packed.pack(parameters);
        transposed.pack(parameters);
        let mut shard = Shard::new(sizes, 0..1, (1, ids.len() - 1), Team::new(1));
        let [inputs, targets] = [&ids[..ids.len() - 1], &ids[1..]];
        shard.load(column(inputs), column(targets), &State::zeros(sizes, 1));
        shard.predict(parameters, &packed, None);
        let logits = shard.p.index_axis(Axis(1), 0).to_owned();
        shard.take_losses();
        Self { sizes, transposed, shard, logits }
    }

    /// T
    pub fn unroll(&self) -> usize {
        self.shard.losses.nrows()
    }

    /// x_t, which the network reads at step `t`.
    pub fn input(&self, t: usize) -> usize {
        self.shard.inputs[[t, 0]] as usize
    }

    /// The character that follows it.
    pub fn target(&self, t: usize) -> usize {
        self.shard.targets[[t, 0]] as usize
    }

    /// Eq. F10, [T, V].
    pub fn p(&self) -> ArrayView2<'_, R> {
        self.shard.p.index_axis(Axis(1), 0)
    }

    /// Eq. F11, in nats, for each of the T steps.
    pub fn losses(&self) -> impl Iterator<Item = f64> {
        self.shard.losses.iter().map(|loss| loss.to_f64())
    }

    /// i, f, g, o of layer `l`, [T, 4H].
    pub fn gates(&self, l: usize) -> ArrayView2<'_, R> {
        self.shard.layers[l].lstm.gates.index_axis(Axis(1), 0)
    }

    /// c_0 … c_T of layer `l`, [T+1, H].
    pub fn c(&self, l: usize) -> ArrayView2<'_, R> {
        self.shard.layers[l].lstm.c.index_axis(Axis(1), 0)
    }

    /// ĉ_1 … ĉ_T of layer `l`, what h shows of the cell states, [T, H].
    pub fn c_hat(&self, l: usize) -> Array2<R> {
        self.shard.layers[l].lstm.c_hat().index_axis_move(Axis(1), 0)
    }

    /// h_0 … h_T of layer `l`, [T+1, H].
    pub fn h(&self, l: usize) -> ArrayView2<'_, R> {
        self.shard.layers[l].lstm.h.index_axis(Axis(1), 0)
    }

    /// Takes the mean loss back through the network.
    pub fn backward(&self) -> Gradient<R> {
        self.backward_from(self.unroll(), |_| 1.0 / self.unroll() as f64)
    }

    /// Takes the loss of step `t` alone back through the network, from there on: [t + 1, …].
    pub fn backward_from_step(&self, t: usize) -> Gradient<R> {
        self.backward_from(t + 1, |s| if s == t { 1.0 } else { 0.0 })
    }

    /// Takes Σ_t `scale(t)` · loss_t of the first `steps` steps back through the network.
    fn backward_from(&self, steps: usize, scale: impl Fn(usize) -> f64) -> Gradient<R> {
        let mut dlogits = self.p().slice_move(s![..steps, ..]).to_owned();
        for (t, mut row) in dlogits.rows_mut().into_iter().enumerate() {
            let row = contiguous(row.as_slice_mut());
            loss::backward(row, self.target(t), R::from_f64(scale(t))); // Eq. B1
        }
        let mut dy = Array2::zeros((steps, self.sizes.hidden));
        let team = &mut Team::new(1);
        projection::backward(dlogits.view(), &self.transposed.projection, dy.view_mut(), team);
        let mut layers = Vec::new();
        for l in (0..self.sizes.layers).rev() {
            let layer = self.layer_backward(l, dy);
            dy = self.to_layer_below(l, &layer.dz);
            layers.insert(0, layer);
        }
        Gradient { dlogits, layers }
    }

    /// Takes the last step's loss alone back through the network.
    pub fn backward_from_last(&self) -> Gradient<R> {
        self.backward_from_step(self.unroll() - 1)
    }

    /// Back through time in layer `l`: what [`lstm::backward`] does, and what passes by is written down.
    fn layer_backward(&self, l: usize, dy: Array2<R>) -> LayerGradient<R> {
        let (unroll, hidden) = dy.dim();
        let states = self.c(l);
        let mut dz = self.gates(l).slice_move(s![..unroll, ..]).to_owned();
        let (mut dh, mut dc) = (dy.clone(), Array2::zeros((unroll, hidden)));
        let mut dh_0 = Array2::zeros((1, hidden));
        let mut carry = Array1::zeros(hidden);
        for t in (0..unroll).rev() {
            let (c_prev, c) = (states.row(t), contiguous(states.row(t + 1).to_slice()));
            let (carried, mut through_h) = (carry.clone(), dh.row(t).to_vec());
            cell::backward(
                contiguous(dz.row_mut(t).into_slice()),
                contiguous(c_prev.to_slice()),
                c,
                &mut through_h,
                contiguous(carry.as_slice_mut()),
                self.sizes.cell_norm,
            );
            dc.row_mut(t).assign(&(carried + ArrayView1::from(&through_h))); // Eq. B8, B22
            // F1: z_t = x_t·W_ih + h_{t−1}·W_hh + b
            let dh_prev = match t {
                0 => dh_0.view_mut(),
                _ => dh.slice_mut(s![t - 1..t, ..]),
            };
            let dz = dz.slice(s![t..=t, ..]);
            R::multiply(0, Start::C, dz, &self.transposed.lstm[l].w_hh, dh_prev); // Eq. B6
        }
        LayerGradient { dy, dh, dc, dz, d_state: [dh_0, carry.insert_axis(Axis(0))] }
    }

    /// dx = dz·W_ihᵀ (Eq. B20), [T, H]; zero below the first layer, where nothing asks for it.
    fn to_layer_below(&self, l: usize, dz: &Array2<R>) -> Array2<R> {
        let mut dx = Array2::zeros((dz.nrows(), self.sizes.hidden));
        if let Some(w_ih) = &self.transposed.lstm[l].w_ih {
            R::multiply(0, Start::C, dz.view(), w_ih, dx.view_mut()); // Eq. B20
        }
        dx
    }

    /// The gradient of the mean loss with respect to every parameter, as training computes it.
    ///
    /// * `parameters`: those of the way forward
    pub fn parameter_gradients(&self, parameters: &Parameters<R>) -> Parameters<R> {
        let Shard { inputs, targets, .. } = &self.shard;
        let mut network = Network::new(self.sizes, 1, self.unroll(), 1);
        let mut d = Parameters::zeros(self.sizes);
        let (x, y, mut state) = (inputs.view(), targets.view(), State::zeros(self.sizes, 1));
        network.gradients(&mut d, parameters, x, y, &mut state, None);
        d
    }
}

/// A batch of one row, [T, 1].
pub(in crate::study) fn column(ids: &[u32]) -> ArrayView2<'_, u32> {
    ArrayView2::from_shape((ids.len(), 1), ids).expect("one row")
}
