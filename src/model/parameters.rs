//! Sizes, parameters and carried state of a network.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use ndarray_rand::rand_distr::{Distribution, Uniform};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::layers::lstm::{LstmParameters, LstmParametersMut};
use crate::layers::projection::{ProjectionParameters, ProjectionParametersMut};
use crate::math::Real;
use crate::math::init::{glorot_limit, truncated_normal};

/// What a network is beside its weights: the three numbers that fix every shape, and how its cells show their state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sizes {
    /// V, distinct characters.
    pub vocabulary: usize,
    /// H, LSTM cells in a layer.
    pub hidden: usize,
    /// L, layers.
    pub layers: usize,
    /// Whether a layer's cell states are divided by their root mean square on the way to h (Eq. F13).
    #[serde(default, skip_serializing_if = "is_false")]
    pub cell_norm: bool,
}

/// For what a file only says where it holds, so that files without it stay as they were.
fn is_false(value: &bool) -> bool {
    !value
}

impl Sizes {
    /// V characters, H cells in each of L layers, without normalisation.
    pub const fn new(vocabulary: usize, hidden: usize, layers: usize) -> Self {
        Self { vocabulary, hidden, layers, cell_norm: false }
    }

    /// The same with or without normalised cell states.
    pub const fn with_cell_norm(self, cell_norm: bool) -> Self {
        Self { cell_norm, ..self }
    }

    /// D of layer `l`: V for the first, H above.
    pub fn input(&self, l: usize) -> usize {
        if l == 0 { self.vocabulary } else { self.hidden }
    }

    /// Numbers in all parameters together.
    pub fn parameters(&self) -> usize {
        self.lengths().sum()
    }

    /// Numbers in w_ih, w_hh and b of layer `l`.
    fn lstm_lengths(&self, l: usize) -> [usize; 3] {
        [self.input(l), self.hidden, 1].map(|rows| 4 * self.hidden * rows)
    }

    /// Numbers in each tensor.
    fn lengths(&self) -> impl Iterator<Item = usize> + use<> {
        let sizes = *self;
        let lstm = (0..self.layers).flat_map(move |l| sizes.lstm_lengths(l));
        lstm.chain([self.hidden * self.vocabulary, self.vocabulary])
    }

    /// The `numbers` of layer `l` as its weights.
    pub(super) fn lstm_mut<R>(self, l: usize, numbers: &mut [R]) -> LstmParametersMut<'_, R> {
        let [w_ih, w_hh, _] = self.lstm_lengths(l);
        let (w_ih, numbers) = numbers.split_at_mut(w_ih);
        let (w_hh, b) = numbers.split_at_mut(w_hh);
        let columns = 4 * self.hidden;
        LstmParametersMut {
            w_ih: matrix_mut(w_ih, columns),
            w_hh: matrix_mut(w_hh, columns),
            b: b.into(),
        }
    }

    /// The `numbers` of the projection as its weights.
    pub(super) fn projection_mut<R>(self, numbers: &mut [R]) -> ProjectionParametersMut<'_, R> {
        let (w, b) = numbers.split_at_mut(numbers.len() - self.vocabulary);
        ProjectionParametersMut { w: matrix_mut(w, self.vocabulary), b: b.into() }
    }

    /// Panics unless there is a layer `l`: the numbers after the last layer are the projection's.
    fn require_layer(&self, l: usize) {
        assert!(l < self.layers, "layer {l} of {}, counted from 0", self.layers);
    }

    /// Where the numbers of layer `l` begin; those of the projection begin at L.
    fn start(&self, l: usize) -> usize {
        (0..l).map(|l| self.lstm_lengths(l).iter().sum::<usize>()).sum()
    }

    /// Floating-point operations of one training step on `positions` = B·T characters.
    ///
    /// 3 · 2·B·T·(4H·H for the first layer's recurrence + (L−1)·4H·2H + H·V): each multiplication
    /// happens once forward and twice backward; the gathered one-hot input counts nothing.
    pub fn flop(&self, positions: usize) -> f64 {
        let [v, h, l] = [self.vocabulary, self.hidden, self.layers].map(|n| n as f64);
        6.0 * positions as f64 * (4.0 * h * h + (l - 1.0) * 8.0 * h * h + h * v)
    }

    /// The tensors of the parameters in the order in which their numbers lie: w_ih, w_hh, b of each layer,
    /// the lowest first, then the projection's w, b.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor> + use<> {
        let (sizes, gates) = (*self, 4 * self.hidden);
        let lstm = (0..self.layers).flat_map(move |l| {
            let shapes = [vec![sizes.input(l), gates], vec![sizes.hidden, gates], vec![gates]];
            ["w_ih", "w_hh", "b"].map(|name| format!("{name}_l{l}")).into_iter().zip(shapes)
        });
        let projection = [vec![self.hidden, self.vocabulary], vec![self.vocabulary]];
        let projection =
            ["projection.w", "projection.b"].map(String::from).into_iter().zip(projection);
        let mut end = 0;
        lstm.chain(projection).zip(self.lengths()).map(move |((name, shape), length)| {
            end += length;
            Tensor { name, shape, range: end - length..end }
        })
    }
}

/// A matrix or vector among the [`Parameters`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tensor {
    /// A name like PyTorch's, as in `w_hh_l0`.
    pub name: String,
    /// Rows and columns; a bias has one dimension.
    pub shape: Vec<usize>,
    /// Where its numbers lie among all of the [`Parameters::numbers`], row by row.
    pub range: Range<usize>,
}

impl Tensor {
    /// Its rows and columns as a matrix: a bias is one row.
    pub(crate) fn rows_and_columns(&self) -> [usize; 2] {
        match self.shape[..] {
            [rows, columns] => [rows, columns],
            _ => [1, self.range.len()],
        }
    }
}

/// How the LSTM kernels start; the projection is truncated normal with sd 0.1 in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Initialisation {
    /// Glorot uniform over the joint kernel [D+H, 4H], as TensorFlow's `BasicLSTMCell`.
    #[default]
    Glorot,
    /// Truncated normal of this standard deviation, cut at two.
    TruncatedNormal(f64),
}

/// All weights of a network: one vector of numbers, and a view of each tensor in it. Gradients and Adam's
/// moments are values of the same type.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<R> {
    sizes: Sizes,
    numbers: Vec<R>,
}

impl<R: Real> Parameters<R> {
    /// Bytes of all parameters of a network of these sizes; `u64::MAX` for as much and more.
    pub fn bytes(sizes: Sizes) -> u64 {
        // In f64, since no size that a user can type overflows it.
        let [v, h, l] = [sizes.vocabulary, sizes.hidden, sizes.layers].map(|n| n as f64);
        let lstm = 4.0 * h * (v + h + 1.0) + (l - 1.0) * 4.0 * h * (2.0 * h + 1.0);
        ((lstm + v * (h + 1.0)) * size_of::<R>() as f64) as u64
    }

    /// All zero.
    ///
    /// # Panics
    /// If a size is 0, or no memory could ever hold so many numbers.
    pub fn zeros(sizes: Sizes) -> Self {
        let Sizes { vocabulary, hidden, layers, .. } = sizes;
        assert!(vocabulary.min(hidden).min(layers) > 0, "{sizes:?} is no network");
        assert!(Self::bytes(sizes) <= isize::MAX as u64, "{sizes:?} is more than memory can hold");
        Self { sizes, numbers: vec![R::zero(); sizes.parameters()] }
    }

    /// The article's start: kernels by `initialisation`, biases zero but the forget gate's 1,
    /// projection truncated normal with standard deviation 0.1.
    ///
    /// A forget bias of 1 lets the cell state pass at first (Jozefowicz et al., ICML 2015).
    ///
    /// # Panics
    /// As [`Parameters::zeros`].
    pub fn initial(sizes: Sizes, initialisation: Initialisation, rng: &mut impl Rng) -> Self {
        let h = sizes.hidden;
        let mut parameters = Self::zeros(sizes);
        for l in 0..sizes.layers {
            let LstmParametersMut { w_ih, w_hh, .. } = parameters.lstm_mut(l);
            let limit = glorot_limit(sizes.input(l) + h, 4 * h);
            let uniform = Uniform::new_inclusive(-limit, limit).expect("a finite limit");
            w_ih.into_iter().chain(w_hh).for_each(|w| {
                *w = match initialisation {
                    Initialisation::Glorot => R::from_f64(uniform.sample(rng)),
                    Initialisation::TruncatedNormal(sd) => truncated_normal(sd, rng),
                }
            });
        }
        parameters.set_forget_bias(1.0);
        parameters.projection_mut().w.into_iter().for_each(|w| *w = truncated_normal(0.1, rng));
        parameters
    }

    /// Draws the first layer's input weights anew, from a truncated normal of standard deviation `sd`.
    ///
    /// Of a one-hot input one number counts, not V: with weights of about 1 each character moves the gates from
    /// the first step on. Glorot's weights, made for V numbers that all count, are some twenty times smaller.
    pub fn set_input_weights(&mut self, sd: f64, rng: &mut impl Rng) {
        self.lstm_mut(0).w_ih.into_iter().for_each(|w| *w = truncated_normal(sd, rng));
    }

    /// Sets the bias of every forget gate.
    pub fn set_forget_bias(&mut self, bias: f64) {
        let h = self.sizes.hidden;
        for l in 0..self.sizes.layers {
            self.lstm_mut(l).b.slice_mut(s![h..2 * h]).fill(R::from_f64(bias));
        }
    }

    /// The sizes of the network.
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Every number, in the order of [`Sizes::tensors`].
    pub fn numbers(&self) -> &[R] {
        &self.numbers
    }

    /// [`Parameters::numbers`] for writing.
    pub fn numbers_mut(&mut self) -> &mut [R] {
        &mut self.numbers
    }

    /// Every tensor's numbers, in the order of [`Sizes::tensors`].
    pub fn tensors(&self) -> impl Iterator<Item = &[R]> {
        let mut left = self.numbers.as_slice();
        self.sizes
            .lengths()
            .map(move |length| left.split_off(..length).expect("all tensors' numbers"))
    }

    /// [`Parameters::tensors`] for writing.
    pub fn tensors_mut(&mut self) -> impl Iterator<Item = &mut [R]> {
        let mut left = self.numbers.as_mut_slice();
        let lengths = self.sizes.lengths();
        lengths.map(move |length| left.split_off_mut(..length).expect("all tensors' numbers"))
    }

    /// The weights of layer `l`, counted from 0.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn lstm(&self, l: usize) -> LstmParameters<'_, R> {
        self.sizes.require_layer(l);
        let [w_ih, w_hh, _] = self.sizes.lstm_lengths(l);
        let numbers = &self.numbers[self.sizes.start(l)..self.sizes.start(l + 1)];
        let (w_ih, numbers) = numbers.split_at(w_ih);
        let (w_hh, b) = numbers.split_at(w_hh);
        let columns = 4 * self.sizes.hidden;
        LstmParameters { w_ih: matrix(w_ih, columns), w_hh: matrix(w_hh, columns), b: b.into() }
    }

    /// [`Parameters::lstm`] for writing.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn lstm_mut(&mut self, l: usize) -> LstmParametersMut<'_, R> {
        self.sizes.require_layer(l);
        let numbers = &mut self.numbers[self.sizes.start(l)..self.sizes.start(l + 1)];
        self.sizes.lstm_mut(l, numbers)
    }

    /// The numbers of each layer's LSTM, and those of the projection at the end.
    pub(crate) fn parts_mut(&mut self) -> impl Iterator<Item = &mut [R]> {
        let sizes = self.sizes;
        let mut left = self.numbers.as_mut_slice();
        let lstm = (0..sizes.layers).map(move |l| sizes.lstm_lengths(l).iter().sum());
        let lengths = lstm.chain([(sizes.hidden + 1) * sizes.vocabulary]);
        lengths.map(move |length: usize| left.split_off_mut(..length).expect("all parts' numbers"))
    }

    /// The projection to the vocabulary.
    pub fn projection(&self) -> ProjectionParameters<'_, R> {
        let Sizes { vocabulary, layers, .. } = self.sizes;
        let numbers = &self.numbers[self.sizes.start(layers)..];
        let (w, b) = numbers.split_at(numbers.len() - vocabulary);
        ProjectionParameters { w: matrix(w, vocabulary), b: b.into() }
    }

    /// [`Parameters::projection`] for writing.
    pub fn projection_mut(&mut self) -> ProjectionParametersMut<'_, R> {
        let start = self.sizes.start(self.sizes.layers);
        self.sizes.projection_mut(&mut self.numbers[start..])
    }

    /// The same weights in another precision: `f32` to `f64` is exact, back is rounded.
    pub fn cast<S: Real>(&self) -> Parameters<S> {
        let numbers = self.numbers.iter().map(|x| S::from_f64(x.to_f64())).collect();
        Parameters { sizes: self.sizes, numbers }
    }
}

/// Numbers row by row as a matrix.
fn matrix<R>(numbers: &[R], columns: usize) -> ArrayView2<'_, R> {
    let rows = numbers.len() / columns;
    ArrayView2::from_shape((rows, columns), numbers).expect("whole rows")
}

/// [`matrix`] for writing.
pub(super) fn matrix_mut<R>(numbers: &mut [R], columns: usize) -> ArrayViewMut2<'_, R> {
    let rows = numbers.len() / columns;
    ArrayViewMut2::from_shape((rows, columns), numbers).expect("whole rows")
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

    /// Whether it is a state of `rows` rows in a network of these `sizes`.
    pub(crate) fn fits(&self, sizes: Sizes, rows: usize) -> bool {
        [&self.h, &self.c].into_iter().all(|arrays| {
            let is_right = |a: &Array2<R>| a.dim() == (rows, sizes.hidden);
            arrays.len() == sizes.layers && arrays.iter().all(is_right)
        })
    }

    /// Forgets everything read so far.
    pub fn set_zero(&mut self) {
        for a in self.h.iter_mut().chain(&mut self.c) {
            a.fill(R::zero());
        }
    }
}
