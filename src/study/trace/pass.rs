//! One text through the network and back, with every intermediate value kept.
//!
//! Training keeps only what it needs: dh and dc exist for one time step at a time, dz takes the
//! memory of the gates. Here the same layer functions run on one row (B = 1), and nothing is thrown
//! away.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::layers::lstm::{self, Input, LstmTape, PackedLstm};
use crate::layers::projection::PackedProjection;
use crate::layers::{cell, loss, projection};
use crate::math::Real;
use crate::math::matmul::matmul_packed;
use crate::math::stopwatch::Stopwatch;
use crate::model::{Network, Parameters, Sizes};

/// The forward pass of a text of T + 1 characters.
pub(super) struct Pass<'a, R: Real> {
    pub parameters: &'a Parameters<R>,
    pub sizes: Sizes,
    lstm: Vec<PackedLstm<R>>,
    projection: PackedProjection<R>,
    /// x_1 … x_T, [T, 1].
    pub inputs: Array2<u32>,
    /// The next characters, `[T]`.
    pub targets: Vec<u32>,
    /// Gates, c and h of every layer.
    tapes: Vec<LstmTape<R>>,
    /// Eq. F9, [T, V].
    pub logits: Array2<R>,
    /// Eq. F10, [T, V].
    pub p: Array2<R>,
    /// Eq. F11, in nats, `[T]`.
    pub losses: Vec<f64>,
}

/// What comes back through one layer.
pub(super) struct LayerGradient<R> {
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
pub(super) struct Gradient<R> {
    /// Eq. B1, [T, V].
    pub dlogits: Array2<R>,
    pub layers: Vec<LayerGradient<R>>,
}

/// Bytes that a pass forward and two back take beside the parameters, theirs and those of the parameters'
/// gradient; `u64::MAX` for as much and more.
pub(super) fn bytes<R: Real>(sizes: Sizes, unroll: usize) -> u64 {
    // Both ways back keep dy, dh, dc, dz, 7H a step; a tape has at least 6H.
    let tapes = Network::<R>::tape_bytes(sizes, 1, unroll, false).saturating_mul(4);
    [Network::<R>::packed_bytes(sizes), Parameters::<R>::bytes(sizes)]
        .into_iter()
        .fold(tapes, u64::saturating_add)
}

impl<'a, R: Real> Pass<'a, R> {
    /// Reads `ids` from an empty memory and predicts each but the first.
    pub fn forward(parameters: &'a Parameters<R>, ids: &[u32]) -> Self {
        let sizes @ Sizes { vocabulary, hidden, layers } = parameters.sizes();
        let unroll = ids.len() - 1;
        let mut pass = Self {
            parameters,
            sizes,
            lstm: (0..layers).map(|l| PackedLstm::zeros(hidden, l == 0)).collect(),
            projection: PackedProjection::zeros(hidden, vocabulary),
            inputs: Array2::from_shape_fn((unroll, 1), |(t, _)| ids[t]),
            targets: ids[1..].to_vec(),
            tapes: vec![LstmTape::zeros(unroll, 1, hidden); layers],
            logits: Array2::zeros((unroll, vocabulary)),
            p: Array2::zeros((unroll, vocabulary)),
            losses: Vec::new(),
        };
        for (packed, lstm) in pass.lstm.iter_mut().zip(&parameters.lstm) {
            packed.pack(lstm);
        }
        pass.projection.pack(&parameters.projection);
        pass.run();
        pass
    }

    fn run(&mut self) {
        for l in 0..self.sizes.layers {
            let (below, rest) = self.tapes.split_at_mut(l);
            let input = match below.last() {
                None => Input::Characters(&self.inputs),
                Some(below) => Input::Sequence(below.outputs()),
            };
            let parameters = &self.parameters.lstm[l];
            let watch = &mut Stopwatch::default();
            lstm::forward(&mut rest[0], input, parameters, &self.lstm[l], watch);
        }
        let top = self.h(self.sizes.layers - 1).to_owned();
        let (w, b) = (&self.projection.w, &self.parameters.projection.b);
        projection::forward(top.slice(s![1.., ..]), w, b, self.logits.view_mut());
        self.p.assign(&self.logits);
        let rows = self.p.rows_mut().into_iter().zip(&self.targets);
        self.losses = rows
            .map(|(mut p, &target)| {
                let p = p.as_slice_mut().expect("row-major");
                loss::forward(p, target as usize).to_f64()
            })
            .collect();
    }

    /// T
    pub fn unroll(&self) -> usize {
        self.targets.len()
    }

    /// i, f, g, o of layer `l`, [T, 4H].
    pub fn gates(&self, l: usize) -> ArrayView2<'_, R> {
        self.tapes[l].gates.index_axis(Axis(1), 0)
    }

    /// c_0 … c_T of layer `l`, [T+1, H].
    pub fn c(&self, l: usize) -> ArrayView2<'_, R> {
        self.tapes[l].c.index_axis(Axis(1), 0)
    }

    /// h_0 … h_T of layer `l`, [T+1, H].
    pub fn h(&self, l: usize) -> ArrayView2<'_, R> {
        self.tapes[l].h.index_axis(Axis(1), 0)
    }

    /// Takes Σ_t `scale(t)` · loss_t back through the network: 1/T everywhere for the mean, 1 at a
    /// single step for that step's loss alone.
    pub fn backward(&self, scale: impl Fn(usize) -> f64) -> Gradient<R> {
        let mut dlogits = self.p.clone();
        for (t, mut row) in dlogits.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("row-major");
            loss::backward(row, self.targets[t] as usize, R::from_f64(scale(t))); // Eq. B1
        }
        let mut dy = Array2::zeros((self.unroll(), self.sizes.hidden));
        projection::backward(dlogits.view(), &self.projection.w_transposed, dy.view_mut());
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
        let last = self.unroll() - 1;
        self.backward(|t| if t == last { 1.0 } else { 0.0 })
    }

    /// Back through time in layer `l`: what [`lstm::backward`] does, and what passes by is written down.
    fn layer_backward(&self, l: usize, dy: Array2<R>) -> LayerGradient<R> {
        let (unroll, hidden) = dy.dim();
        let states = self.c(l);
        let mut dz = self.gates(l).to_owned();
        let (mut dh, mut dc) = (dy.clone(), Array2::zeros((unroll, hidden)));
        let mut dh_0 = Array2::zeros((1, hidden));
        let mut carry = Array1::zeros(hidden);
        for t in (0..unroll).rev() {
            let (c_prev, c) = (states.row(t), states.row(t + 1));
            for k in 0..hidden {
                let (tanh_c, o) = (c[k].tanh(), dz[[t, 3 * hidden + k]]);
                // F7: h = o · tanh c
                dc[[t, k]] = carry[k] + dh[[t, k]] * o * (R::one() - tanh_c * tanh_c); // Eq. B8
            }
            cell::backward(
                dz.row_mut(t).into_slice().expect("row-major"),
                c_prev.to_slice().expect("row-major"),
                c.to_slice().expect("row-major"),
                dh.row(t).to_slice().expect("row-major"),
                carry.as_slice_mut().expect("row-major"),
            );
            // F1: z_t = x_t·W_ih + h_{t−1}·W_hh + b
            let dh_prev = match t {
                0 => dh_0.view_mut(),
                _ => dh.slice_mut(s![t - 1..t, ..]),
            };
            let dz = dz.slice(s![t..=t, ..]);
            matmul_packed(dz, &self.lstm[l].w_hh_transposed, dh_prev); // Eq. B6
        }
        LayerGradient { dy, dh, dc, dz, d_state: [dh_0, carry.insert_axis(Axis(0))] }
    }

    /// dx = dz·W_ihᵀ (Eq. B20), [T, H]; zero below the first layer, where nothing asks for it.
    fn to_layer_below(&self, l: usize, dz: &Array2<R>) -> Array2<R> {
        let mut dx = Array2::zeros((self.unroll(), self.sizes.hidden));
        if let Some([_, w_ih_transposed]) = &self.lstm[l].w_ih {
            matmul_packed(dz.view(), w_ih_transposed, dx.view_mut());
        }
        dx
    }

    /// The gradient of every parameter (Eq. B2, B3, B17 to B19).
    pub fn parameter_gradients(&self, gradient: &Gradient<R>) -> Parameters<R> {
        let mut d = Parameters::zeros(self.sizes);
        let earlier = |l: usize| self.h(l).slice_move(s![..self.unroll(), ..]);
        let outputs = |l: usize| self.h(l).slice_move(s![1.., ..]);
        d.projection.w = outputs(self.sizes.layers - 1).t().dot(&gradient.dlogits); // Eq. B2
        d.projection.b = gradient.dlogits.sum_axis(Axis(0)); // Eq. B3
        for (l, (d, layer)) in d.lstm.iter_mut().zip(&gradient.layers).enumerate() {
            d.b = layer.dz.sum_axis(Axis(0)); // Eq. B17
            d.w_hh = earlier(l).t().dot(&layer.dz); // Eq. B18
            match l {
                0 => {
                    for (&x, dz) in self.inputs.iter().zip(layer.dz.rows()) {
                        let mut row = d.w_ih.row_mut(x as usize);
                        row += &dz; // Eq. B19, x one-hot
                    }
                }
                _ => d.w_ih = outputs(l - 1).t().dot(&layer.dz), // Eq. B19
            }
        }
        d
    }
}
