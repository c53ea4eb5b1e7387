//! Models to and from PyTorch, as safetensors files. Compiled with the feature `interchange`.
//!
//! A file holds the state of a module with `lstm = nn.LSTM(V, H, L)` and `decoder = nn.Linear(H, V)`.
//! PyTorch computes x·Wᵀ where this crate computes x·W, so every matrix is transposed on its way; the
//! gates stand in the same order i, f, g, o.
//!
//! | PyTorch's tensor | shape | this crate's |
//! |---|---|---|
//! | `lstm.weight_ih_l{k}` | [4H, D] | `lstm[k].w_ih`ᵀ |
//! | `lstm.weight_hh_l{k}` | [4H, H] | `lstm[k].w_hh`ᵀ |
//! | `lstm.bias_ih_l{k}` | \[4H\] | `lstm[k].b` |
//! | `lstm.bias_hh_l{k}` | \[4H\] | zeros; when read, it is added to `b` |
//! | `decoder.weight` | [V, H] | `projection.w`ᵀ |
//! | `decoder.bias` | \[V\] | `projection.b` |
//!
//! A network whose cell states are normalised (Eq. F13) has the same tensors, but `nn.LSTM` cannot compute it: the
//! file then says so, in a version that readers who do not know this refuse.
//!
//! What PyTorch does not know (vocabulary, configuration) is JSON under the key `karenina` of the
//! file's metadata: a single key, for several have no fixed order, and the same model shall give the
//! same bytes. `docs/interchange.md` shows both ways from Python.
//!
//! ```
//! use karenina::model::{Parameters, Sizes};
//! use karenina::text::vocabulary::Vocabulary;
//! use karenina::train::TrainConfig;
//! use karenina::train::checkpoint::Checkpoint;
//! use karenina::train::interchange::{Precision, export, import};
//!
//! let parameters = Parameters::zeros(Sizes::new(2, 4, 1));
//! let vocabulary = Vocabulary::from_text("ab");
//! let model = Checkpoint::without_history(TrainConfig::article(), vocabulary, parameters);
//! let bytes = export(&model, Precision::F32);
//! assert_eq!(import("model.safetensors".as_ref(), &bytes, None)?, model);
//! # Ok::<(), karenina::error::Error>(())
//! ```
//!
//! A file is proven before memory is given to it: its header is short, and sizes, names and shapes
//! agree with the bytes that are there. Reading takes at most four times the file's length and 64 MiB.

mod characters;
mod layout;
mod read;
mod write;

use std::path::Path;

use layout::Card;
pub use layout::Precision;

use crate::error::{Error, Result};
use crate::math::Real;
use crate::model::Parameters;
use crate::train::checkpoint::Checkpoint;
use crate::train::files;

/// The weights of `checkpoint` as a safetensors file, with vocabulary and configuration.
pub fn export(checkpoint: &Checkpoint, precision: Precision) -> Vec<u8> {
    let card = Card {
        vocabulary: Some(checkpoint.vocabulary.characters().iter().collect()),
        sizes: Some(checkpoint.sizes()),
        configuration: Some(checkpoint.config.clone()),
        ..Card::default()
    };
    write::encode(&checkpoint.parameters, card, precision)
}

/// The `gradients` of a mean `loss`, under the names of the weights they belong to. That of `bias_hh`
/// is that of `bias_ih`, as in PyTorch: the two are summed.
pub fn export_gradients<R: Real>(
    gradients: &Parameters<R>,
    loss: f64,
    precision: Precision,
) -> Vec<u8> {
    write::encode(gradients, Card { loss: Some(loss), ..Card::default() }, precision)
}

/// The model in a safetensors file, as a checkpoint of a run that has not begun: step 0, moments and
/// state zero, of no text.
///
/// * `vocabulary`: the V characters in the order of their ids, or any text that has V distinct ones,
///   whose ids then ascend with their code points. It outranks what the file says, and a file that
///   says nothing needs it.
///
/// # Errors
/// [`Error::Checkpoint`], `path` named in it, for what is no such file, a damaged one, or a model that
/// is built in another way.
pub fn import(path: &Path, bytes: &[u8], vocabulary: Option<&str>) -> Result<Checkpoint> {
    read::decode(bytes, vocabulary).map_err(|reason| Error::checkpoint(path, reason))
}

/// [`import`] of the file at `path`.
///
/// # Errors
/// * [`Error::Checkpoint`] as [`import`], and for what is no regular file or becomes shorter while it is read
/// * [`Error::Io`] if it cannot be read
/// * [`Error::FileTooLarge`] if four times its length is more than the memory that is free
pub fn load(path: &Path, vocabulary: Option<&str>) -> Result<Checkpoint> {
    let (mut file, length) = files::open_regular(path)?;
    let mut bytes = files::read_start(&mut file, path, 8)?;
    // Another program's file may be huge: its first bytes are enough.
    read::header_length(&bytes).map_err(|reason| Error::checkpoint(path, reason))?;
    let rest = length.saturating_sub(bytes.len() as u64);
    files::read_more(&mut file, path, rest, 4, &mut bytes)?;
    import(path, &bytes, vocabulary)
}
