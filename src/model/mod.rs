//! Level 2 of the code: the stack of LSTM layers.
//!
//! [`Parameters`] are the weights (and, in the same type, their gradients and Adam's moments);
//! [`State`] is what one batch hands to the next; [`Network`] owns the memory of a training step and
//! computes loss and gradients in two phases, rows then parameters.

mod characters;
mod division;
mod memory;
mod network;
mod packed;
mod parameters;
mod rounded;
mod shard;
mod sums;
mod together;

#[doc(hidden)]
pub use division::Division;
pub use network::{Network, Prepared};
pub(crate) use packed::PackedWeights;
pub use parameters::{Initialisation, Parameters, Sizes, State, Tensor};
#[doc(hidden)]
pub use shard::{LayerTape, Shard};
pub(crate) use together::Together;
