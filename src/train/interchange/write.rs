//! From arrays to a file.

use std::borrow::Cow;
use std::iter;

use ndarray::{Array1, CowArray, IxDyn};
use safetensors::{Dtype, View};

use super::layout::{Card, KEY, Precision, VERSION, decoder_names, lstm_names};
use crate::layers::lstm::LstmParameters;
use crate::layers::projection::ProjectionParameters;
use crate::math::Real;
use crate::model::Parameters;

/// The file of `parameters`, or of gradients if the card has their loss.
pub fn encode<R: Real>(parameters: &Parameters<R>, card: Card, precision: Precision) -> Vec<u8> {
    let version = if parameters.sizes().cell_norm { VERSION } else { 1 };
    let exported = if card.loss.is_some() { "gradients" } else { "weights" };
    let card = Card { version, exported, ..card };
    let mut tensors = Vec::new();
    for l in 0..parameters.sizes().layers {
        let LstmParameters { w_ih, w_hh, b } = parameters.lstm(l);
        let second = match card.loss {
            Some(_) => b.into(),
            None => CowArray::from(Array1::zeros(b.len())),
        };
        let [w_ih, w_hh] = [w_ih, w_hh].map(|w| CowArray::from(w.reversed_axes()).into_dyn());
        let four = [w_ih, w_hh, CowArray::from(b).into_dyn(), second.into_dyn()];
        tensors.extend(lstm_names(l).into_iter().zip(four));
    }
    let ProjectionParameters { w, b } = parameters.projection();
    let decoder = [CowArray::from(w.reversed_axes()).into_dyn(), CowArray::from(b).into_dyn()];
    tensors.extend(decoder_names().into_iter().zip(decoder));
    let tensors = tensors.into_iter().map(|(name, array)| (name, Tensor { array, precision }));
    let card = serde_json::to_string(&card).expect("a card is plain data");
    let metadata = iter::once((KEY.to_string(), card)).collect();
    safetensors::serialize(tensors, Some(metadata)).expect("arrays are of the lengths they say")
}

/// A tensor on its way into a file; its bytes are made one tensor at a time.
struct Tensor<'a, R> {
    array: CowArray<'a, R, IxDyn>,
    precision: Precision,
}

impl<R: Real> View for Tensor<'_, R> {
    fn dtype(&self) -> Dtype {
        match self.precision {
            Precision::F32 => Dtype::F32,
            Precision::F64 => Dtype::F64,
        }
    }

    fn shape(&self) -> &[usize] {
        self.array.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut bytes = Vec::with_capacity(self.data_len());
        for x in self.array.iter().map(|x| x.to_f64()) {
            match self.precision {
                Precision::F32 => bytes.extend((x as f32).to_le_bytes()),
                Precision::F64 => bytes.extend(x.to_le_bytes()),
            }
        }
        bytes.into()
    }

    fn data_len(&self) -> usize {
        self.array.len() * self.dtype().bitsize() / 8
    }
}
