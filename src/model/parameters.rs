//! Sizes, parameters and carried state of a network.

use ndarray::{Array1, Array2, s};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::layers::lstm::LstmParameters;
use crate::layers::projection::ProjectionParameters;
use crate::math::Real;
use crate::math::init::{GlorotUniform, TruncatedNormal, random};

/// The three numbers that fix every shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// V, distinct characters.
    pub vocabulary: usize,
    /// H, LSTM cells in a layer.
    pub hidden: usize,
    /// L, layers.
    pub layers: usize,
}

impl Sizes {
    /// D of layer `l`: V for the first, H above.
    pub fn input(&self, l: usize) -> usize {
        if l == 0 { self.vocabulary } else { self.hidden }
    }

    /// Numbers in all parameters together.
    pub fn parameters(&self) -> usize {
        let lstm: usize =
            (0..self.layers).map(|l| 4 * self.hidden * (self.input(l) + self.hidden + 1)).sum();
        lstm + self.vocabulary * (self.hidden + 1)
    }

    /// Floating-point operations of one training step on `positions` = B·T characters.
    ///
    /// 3 · 2·B·T·(4H·H for the first layer's recurrence + (L−1)·4H·2H + H·V): each multiplication
    /// happens once forward and twice backward; the gathered one-hot input counts nothing.
    pub fn flop(&self, positions: usize) -> f64 {
        let [v, h, l] = [self.vocabulary, self.hidden, self.layers].map(|n| n as f64);
        6.0 * positions as f64 * (4.0 * h * h + (l - 1.0) * 8.0 * h * h + h * v)
    }

    /// PyTorch-like names of all tensors, in the order of [`Parameters::tensors`].
    pub fn tensor_names(&self) -> Vec<String> {
        let lstm =
            (0..self.layers).flat_map(|l| ["w_ih", "w_hh", "b"].map(|name| format!("{name}_l{l}")));
        lstm.chain(["projection.w", "projection.b"].map(String::from)).collect()
    }

    /// Shapes of all tensors, in the order of [`Parameters::tensors`]; a bias has one dimension.
    pub fn tensor_shapes(&self) -> Vec<Vec<usize>> {
        let gates = 4 * self.hidden;
        let lstm = (0..self.layers)
            .flat_map(|l| [vec![self.input(l), gates], vec![self.hidden, gates], vec![gates]]);
        lstm.chain([vec![self.hidden, self.vocabulary], vec![self.vocabulary]]).collect()
    }
}

/// How the LSTM kernels start; the projection is truncated normal with sd 0.1 in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Initialisation {
    /// Glorot uniform over the joint kernel [D+H, 4H], as TensorFlow's `BasicLSTMCell`.
    #[default]
    Glorot,
    /// Truncated normal of this standard deviation, cut at two.
    TruncatedNormal(f64),
}

/// All weights of a network. Gradients and Adam's moments are values of the same type.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<R> {
    /// The L layers, lowest first.
    pub lstm: Vec<LstmParameters<R>>,
    /// The projection to the vocabulary.
    pub projection: ProjectionParameters<R>,
}

impl<R: Real> Parameters<R> {
    /// All zero.
    pub fn zeros(sizes: Sizes) -> Self {
        let gates = 4 * sizes.hidden;
        Self {
            lstm: (0..sizes.layers)
                .map(|l| LstmParameters {
                    w_ih: Array2::zeros((sizes.input(l), gates)),
                    w_hh: Array2::zeros((sizes.hidden, gates)),
                    b: Array1::zeros(gates),
                })
                .collect(),
            projection: ProjectionParameters {
                w: Array2::zeros((sizes.hidden, sizes.vocabulary)),
                b: Array1::zeros(sizes.vocabulary),
            },
        }
    }

    /// The article's start: kernels by `initialisation`, biases zero but the forget gate's 1,
    /// projection truncated normal with standard deviation 0.1.
    ///
    /// A forget bias of 1 lets the cell state pass at first (Jozefowicz et al., ICML 2015).
    pub fn initial(sizes: Sizes, initialisation: Initialisation, rng: &mut impl Rng) -> Self {
        let h = sizes.hidden;
        let mut parameters = Self::zeros(sizes);
        for (l, lstm) in parameters.lstm.iter_mut().enumerate() {
            let glorot = GlorotUniform::new(sizes.input(l) + h, 4 * h);
            for w in [&mut lstm.w_ih, &mut lstm.w_hh] {
                *w = match initialisation {
                    Initialisation::Glorot => random(w.dim(), glorot, rng),
                    Initialisation::TruncatedNormal(sd) => {
                        random(w.dim(), TruncatedNormal { sd }, rng)
                    }
                };
            }
            lstm.b.slice_mut(s![h..2 * h]).fill(R::one());
        }
        let w = &mut parameters.projection.w;
        *w = random(w.dim(), TruncatedNormal { sd: 0.1 }, rng);
        parameters
    }

    /// The sizes these parameters have.
    pub fn sizes(&self) -> Sizes {
        let (hidden, vocabulary) = self.projection.w.dim();
        Sizes { vocabulary, hidden, layers: self.lstm.len() }
    }

    /// Whether every tensor has the shape that it has in a network of `sizes`.
    pub fn have(&self, sizes: Sizes) -> bool {
        let (gates, Sizes { vocabulary, hidden, layers }) = (4 * sizes.hidden, sizes);
        let lstm = self.lstm.iter().enumerate().all(|(l, p)| {
            (p.w_ih.dim(), p.w_hh.dim(), p.b.dim())
                == ((sizes.input(l), gates), (hidden, gates), gates)
        });
        let ProjectionParameters { w, b } = &self.projection;
        self.lstm.len() == layers
            && lstm
            && (w.dim(), b.dim()) == ((hidden, vocabulary), vocabulary)
    }

    /// Every tensor as a row-major slice: w_ih, w_hh, b of each layer, then the projection's w, b.
    pub fn tensors(&self) -> impl Iterator<Item = &[R]> {
        let lstm =
            self.lstm.iter().flat_map(|l| [l.w_ih.as_slice(), l.w_hh.as_slice(), l.b.as_slice()]);
        let projection = [self.projection.w.as_slice(), self.projection.b.as_slice()];
        lstm.chain(projection).map(|tensor| tensor.expect("parameters are row-major"))
    }

    /// [`Parameters::tensors`] for writing.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut [R]> {
        let lstm = self
            .lstm
            .iter_mut()
            .flat_map(|l| [l.w_ih.as_slice_mut(), l.w_hh.as_slice_mut(), l.b.as_slice_mut()]);
        let projection = [self.projection.w.as_slice_mut(), self.projection.b.as_slice_mut()];
        lstm.chain(projection).map(|tensor| tensor.expect("parameters are row-major"))
    }

    /// The same weights in another precision: `f32` to `f64` is exact, back is rounded.
    pub fn cast<S: Real>(&self) -> Parameters<S> {
        let mut cast = Parameters::zeros(self.sizes());
        for (to, from) in cast.tensors_mut().zip(self.tensors()) {
            for (to, from) in to.iter_mut().zip(from) {
                *to = S::from_f64(from.to_f64());
            }
        }
        cast
    }

    /// Sets every number to zero.
    pub fn set_zero(&mut self) {
        for tensor in self.tensors_mut() {
            tensor.fill(R::zero());
        }
    }
}

/// h and c of every layer between two batches.
#[derive(Debug, PartialEq)]
pub struct State<R> {
    /// Outputs, for each layer [B, H].
    pub h: Vec<Array2<R>>,
    /// Cell states, for each layer [B, H].
    pub c: Vec<Array2<R>>,
}

impl<R: Clone> Clone for State<R> {
    fn clone(&self) -> Self {
        Self { h: self.h.clone(), c: self.c.clone() }
    }

    /// Copies the numbers into the memory that is there, where the derived one would allocate.
    fn clone_from(&mut self, source: &Self) {
        self.h.clone_from(&source.h);
        self.c.clone_from(&source.c);
    }
}

impl<R: Real> State<R> {
    /// The state at the start of a text.
    pub fn zeros(sizes: Sizes, rows: usize) -> Self {
        let zeros = vec![Array2::zeros((rows, sizes.hidden)); sizes.layers];
        Self { h: zeros.clone(), c: zeros }
    }

    /// Forgets everything read so far.
    pub fn set_zero(&mut self) {
        for a in self.h.iter_mut().chain(&mut self.c) {
            a.fill(R::zero());
        }
    }
}
