//! What a file holds, whether it is read or written.

use serde::{Deserialize, Deserializer, Serialize};

use crate::model::Sizes;
use crate::train::TrainConfig;

/// Key of the metadata.
pub const KEY: &str = "karenina";
/// The newest version of what stands under it: that of a network with normalised cells. All others are of version 1.
pub const VERSION: u32 = 2;

/// How numbers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Precision {
    /// In four bytes each, as in a checkpoint.
    #[default]
    F32,
    /// In eight bytes each; the weights are the same numbers.
    F64,
}

/// What a file says beside its tensors.
#[derive(Default, Serialize, Deserialize)]
pub struct Card {
    pub version: u32,
    /// What karenina has written, "weights" or "gradients"; other programs leave it out.
    #[serde(skip_deserializing)]
    pub exported: &'static str,
    /// The V characters in the order of their ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<TrainConfig>,
    /// The loss in nats whose gradients the tensors are.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// A loss that is given, even as null, which JSON has for one that is not finite.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    Ok(Some(Option::deserialize(from)?.unwrap_or(f64::NAN)))
}

/// PyTorch's names of layer `l`'s tensors.
pub fn lstm_names(l: usize) -> [String; 4] {
    ["weight_ih", "weight_hh", "bias_ih", "bias_hh"].map(|name| format!("lstm.{name}_l{l}"))
}

/// Those of the projection's.
pub fn decoder_names() -> [String; 2] {
    ["decoder.weight", "decoder.bias"].map(String::from)
}

/// What is proven of a file, or the reason why it is not.
pub type Check<T> = std::result::Result<T, String>;

/// Fails with the reason that `why` gives unless `holds`.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Check<()> {
    if holds { Ok(()) } else { Err(why()) }
}

/// Names and shapes of all tensors of a file.
pub fn shapes(sizes: Sizes) -> impl Iterator<Item = (String, Vec<usize>)> {
    let gates = sizes.hidden.saturating_mul(4);
    let lstm = (0..sizes.layers).flat_map(move |l| {
        let four =
            [vec![gates, sizes.input(l)], vec![gates, sizes.hidden], vec![gates], vec![gates]];
        lstm_names(l).into_iter().zip(four)
    });
    let decoder = [vec![sizes.vocabulary, sizes.hidden], vec![sizes.vocabulary]];
    lstm.chain(decoder_names().into_iter().zip(decoder))
}
