//! The tensors of a checkpoint, between arrays and records.

use std::borrow::Cow;

use ndarray::Array2;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::IntoBytes;

use crate::model::{Parameters, Sizes, State};
use crate::optim::adam::{Adam, AdamConfig};

/// A matrix or, as one row, a vector.
#[derive(Serialize, Deserialize)]
pub struct Tensor<'a> {
    pub shape: (u64, u64),
    #[serde(borrow)]
    pub numbers: Bytes<'a>,
}

/// Numbers or history rows as they lie in the file. What is read borrows from the file's bytes.
pub struct Bytes<'a>(pub Cow<'a, [u8]>);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Self(bytes.into()))
    }
}

impl<'a> Bytes<'a> {
    /// The bytes of `numbers`, the lowest first. Processors that have them so in memory make no copy.
    fn of(numbers: &'a [f32]) -> Self {
        let mut bytes = Cow::Borrowed(numbers.as_bytes());
        if cfg!(target_endian = "big") {
            bytes.to_mut().chunks_exact_mut(size_of::<f32>()).for_each(<[u8]>::reverse);
        }
        Self(bytes)
    }

    /// All numbers, one after the other.
    pub fn numbers(&self) -> impl Iterator<Item = f32> {
        self.0.as_chunks().0.iter().map(|&number| f32::from_le_bytes(number))
    }

    fn copy_to(&self, to: &mut [f32]) {
        to.iter_mut().zip(self.numbers()).for_each(|(to, from)| *to = from);
    }
}

/// All tensors in the file's order.
pub fn list<'a>(
    parameters: &'a Parameters<f32>,
    adam: &'a Adam<f32>,
    state: &'a State<f32>,
) -> Vec<Tensor<'a>> {
    let shapes = parameters_shapes(parameters.sizes());
    let weights = [parameters, &adam.m, &adam.v].into_iter().flat_map(|p| {
        let shaped = p.tensors().zip(&shapes);
        shaped.map(|(numbers, &shape)| Tensor { shape, numbers: Bytes::of(numbers) })
    });
    let carried = state.h.iter().chain(&state.c).map(|a| Tensor {
        shape: (a.nrows() as u64, a.ncols() as u64),
        numbers: Bytes::of(a.as_slice().expect("a state is row-major")),
    });
    weights.chain(carried).collect()
}

/// Shapes of the parameters' tensors in the file: a vector is one row.
fn parameters_shapes(sizes: Sizes) -> Vec<(u64, u64)> {
    let shapes = sizes.tensors().map(|tensor| tensor.rows_and_columns());
    shapes.map(|[rows, columns]| (rows as u64, columns as u64)).collect()
}

/// The shape of every tensor in the file.
pub fn shapes(sizes: Sizes, batch: u64) -> Vec<(u64, u64)> {
    let carried = (batch, sizes.hidden as u64);
    let mut shapes = parameters_shapes(sizes).repeat(3);
    shapes.extend(std::iter::repeat_n(carried, 2 * sizes.layers));
    shapes
}

/// The name of every tensor in the file.
pub fn names(sizes: Sizes) -> Vec<String> {
    let of = |part: &'static str| sizes.tensors().map(move |w| format!("{part}{}", w.name));
    let carried = |part: &'static str| (0..sizes.layers).map(move |l| format!("{part}_l{l}"));
    let moments = of("Adam's m of ").chain(of("Adam's v of "));
    of("").chain(moments).chain(carried("h")).chain(carried("c")).collect()
}

/// The arrays that the checked `tensors` describe.
pub fn build(
    tensors: &[Tensor<'_>],
    sizes: Sizes,
    batch: usize,
    config: AdamConfig,
    updates: u64,
) -> (Parameters<f32>, Adam<f32>, State<f32>) {
    let count = 3 * sizes.layers + 2;
    let weights = |part: usize| {
        let mut parameters = Parameters::zeros(sizes);
        let read = &tensors[part * count..];
        parameters.tensors_mut().zip(read).for_each(|(to, from)| from.numbers.copy_to(to));
        parameters
    };
    let carried = |part: usize| {
        let read = &tensors[3 * count + part * sizes.layers..];
        let array = |from: &Tensor<'_>| {
            let mut to = Array2::zeros((batch, sizes.hidden));
            from.numbers.copy_to(to.as_slice_mut().expect("a new array is row-major"));
            to
        };
        read[..sizes.layers].iter().map(array).collect()
    };
    let adam = Adam { config, m: weights(1), v: weights(2), updates };
    (weights(0), adam, State { h: carried(0), c: carried(1) })
}
