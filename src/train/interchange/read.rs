//! From a file's bytes to a checkpoint, every step of which proves what the next relies on.

use std::collections::BTreeSet;

use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::characters::{characters, listed, sort};
use super::layout::{Card, Check, KEY, VERSION, decoder_names, ensure, lstm_names, shapes};
use crate::math::Real;
use crate::model::{Parameters, Sizes, Tensor};
use crate::train::TrainConfig;
use crate::train::checkpoint::Checkpoint;

/// Longest header that is read: 1,024 layers and 150,000 characters have room in it.
const MAX_HEADER: u64 = 2 << 20;
/// Bytes that the carried state of a configuration may take beyond the length of its file.
const MAX_STATE: usize = 16 << 20;

pub fn decode(bytes: &[u8], vocabulary: Option<&str>) -> Check<Checkpoint> {
    let file = File::read(bytes)?;
    let card = file.card()?;
    ensure(card.loss.is_none(), || "it holds the gradients of a loss, not weights".into())?;
    let cell_norm = card.sizes.is_some_and(|said| said.cell_norm);
    let is_meant =
        card.version == VERSION || card.configuration.as_ref().is_some_and(|c| c.cell_norm);
    ensure(cell_norm || !is_meant, || {
        "it is of a network with normalised cells, but has no sizes that say so: \"cell_norm\": true".into()
    })?;
    let sizes = file.sizes()?.with_cell_norm(cell_norm);
    if let Some(said) = card.sizes.filter(|said| *said != sizes) {
        return Err(format!("damaged: its tensors have {sizes:?}, but it says {said:?}"));
    }
    let characters = match (vocabulary, &card.vocabulary) {
        (Some(text), _) => characters(text, sizes.vocabulary)?,
        (None, Some(list)) => listed(list, sizes.vocabulary).ok_or(
            "damaged: its vocabulary does not have as many distinct characters as it predicts",
        )?,
        (None, None) => {
            let v = sizes.vocabulary;
            return Err(format!(
                "it does not say which {v} characters it predicts; its vocabulary must be given, as a text \
                 that has exactly these, or as a list of them in the order of their ids"
            ));
        }
    };
    let config = configuration(card.configuration.unwrap_or_default(), sizes, bytes.len())?;
    let (vocabulary, parameters) = sort(&characters, file.parameters(sizes)?);
    Ok(Checkpoint::without_history(config, vocabulary, parameters))
}

/// The configuration with these sizes, its ranges proven. Where the state of its batch would be more memory than a
/// file of this `length` can ask for, the batch is one row: it means nothing before there is a run.
fn configuration(config: TrainConfig, sizes: Sizes, length: usize) -> Check<TrainConfig> {
    let config = config.of_network(sizes);
    config.validate().map_err(|error| format!("damaged: {error}"))?;
    // h and c; H · L is bounded by the file.
    let state = (8 * sizes.hidden * sizes.layers).checked_mul(config.batch);
    Ok(match state.is_some_and(|state| state <= MAX_STATE + length) {
        true => config,
        false => TrainConfig { batch: 1, groups: 1, ..config },
    })
}

/// The bytes of the header, from the first eight of a file.
pub fn header_length(start: &[u8]) -> Check<u64> {
    let field = start.first_chunk().ok_or("cut short: not even the length of a header is there")?;
    let length = u64::from_le_bytes(*field);
    ensure(length <= MAX_HEADER, || {
        format!(
            "not a safetensors file, or a damaged one: its header is longer than {MAX_HEADER} bytes"
        )
    })?;
    Ok(length)
}

/// A file whose header agrees with its length: every tensor's bytes are there.
struct File<'a> {
    metadata: Metadata,
    data: &'a [u8],
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Check<Self> {
        header_length(bytes)?;
        let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
            format!("not a safetensors file, or a damaged one: {}", plain(&error))
        })?;
        Ok(Self { metadata, data: &bytes[8 + header..] })
    }

    fn card(&self) -> Check<Card> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let text = self.metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let Some(text) = text else { return Ok(Card::default()) };
        let damaged = |error| format!("damaged: its metadata {KEY:?}: {}", plain(&error));
        let Version { version } = serde_json::from_str(text).map_err(damaged)?;
        ensure(version <= VERSION, || {
            format!("made by a newer karenina: version {version}, this program reads {VERSION}")
        })?;
        serde_json::from_str(text).map_err(damaged)
    }

    fn tensor(&self, name: &str) -> Check<&TensorInfo> {
        self.metadata.info(name).ok_or_else(|| {
            let found: Vec<_> = self.metadata.offset_keys();
            let first: Vec<_> = found.iter().take(5).map(|name| quoted(name)).collect();
            let rest = if found.len() > first.len() { " and others" } else { "" };
            format!("it has no tensor {name}; its tensors are {}{rest}", first.join(", "))
        })
    }

    /// V, H and L by the tensors, and the proof that no tensor is missing, too many, or of another
    /// shape: the sizes are then bounded by the file's length.
    fn sizes(&self) -> Check<Sizes> {
        let &[vocabulary, hidden] = &self.tensor("decoder.weight")?.shape[..] else {
            return Err("decoder.weight is not a matrix".into());
        };
        ensure(vocabulary >= 1 && hidden >= 1, || "decoder.weight is empty".into())?;
        let layers = (0..=TrainConfig::MAX_LAYERS)
            .find(|&l| self.metadata.info(&lstm_names(l)[0]).is_none())
            .ok_or_else(|| format!("it has more than {} layers", TrainConfig::MAX_LAYERS))?
            .max(1);
        let sizes = Sizes::new(vocabulary, hidden, layers);
        let mut expected = BTreeSet::new();
        for (name, shape) in shapes(sizes) {
            self.check_tensor(&name, &shape)?;
            expected.insert(name);
        }
        let foreign = self.metadata.offset_keys().into_iter().find(|name| !expected.contains(name));
        match foreign {
            None => Ok(sizes),
            Some(name) => Err(format!(
                "it has a tensor {}, for which a network of karenina (one-hot characters, LSTM \
                 layers, one linear layer) has no place",
                quoted(&name)
            )),
        }
    }

    fn check_tensor(&self, name: &str, shape: &[usize]) -> Check<()> {
        let tensor = self.tensor(name)?;
        ensure(matches!(tensor.dtype, Dtype::F32 | Dtype::F64), || {
            format!("{name} has numbers of the type {}; only F32 and F64 can be read", tensor.dtype)
        })?;
        ensure(tensor.shape == shape, || {
            format!("{name} has the shape {:?} instead of {shape:?}", tensor.shape)
        })
    }

    /// The numbers of a tensor that is there.
    fn numbers(&self, name: &str) -> impl Iterator<Item = f64> + use<'a> {
        let tensor = self.metadata.info(name).expect("the tensors were checked");
        let (from, to) = tensor.data_offsets;
        let bytes = if tensor.dtype == Dtype::F64 { 8 } else { 4 };
        self.data[from..to].chunks_exact(bytes).map(|number| match *number {
            [a, b, c, d] => f32::from_le_bytes([a, b, c, d]).into(),
            _ => f64::from_le_bytes(number.try_into().expect("eight bytes")),
        })
    }

    /// The weights, rounded to `f32`.
    fn parameters(&self, sizes: Sizes) -> Check<Parameters<f32>> {
        let mut parameters = Parameters::<f32>::zeros(sizes);
        for l in 0..sizes.layers {
            let lstm = parameters.lstm_mut(l);
            let [w_ih, w_hh, bias_ih, bias_hh] = lstm_names(l).map(|name| self.numbers(&name));
            fill(lstm.w_ih.reversed_axes(), w_ih);
            fill(lstm.w_hh.reversed_axes(), w_hh);
            fill(lstm.b, bias_ih.zip(bias_hh).map(|(a, b)| a + b));
        }
        let [w, b] = decoder_names().map(|name| self.numbers(&name));
        let projection = parameters.projection_mut();
        fill(projection.w.reversed_axes(), w);
        fill(projection.b, b);
        for Tensor { name, range, .. } in sizes.tensors() {
            let wrong = parameters.numbers()[range].iter().filter(|x| !x.is_finite()).count();
            ensure(wrong == 0, || {
                format!("{name} would hold {wrong} values that are infinite or NaN in f32")
            })?;
        }
        Ok(parameters)
    }
}

fn fill<'a>(to: impl IntoIterator<Item = &'a mut f32>, from: impl Iterator<Item = f64>) {
    to.into_iter().zip(from).for_each(|(to, from)| *to = f32::from_f64(from));
}

/// The start of a name that somebody else chose, on one line.
fn quoted(name: &str) -> String {
    let start: String = name.chars().take(40).collect();
    format!("{start:?}{}", if start.len() < name.len() { "…" } else { "" })
}

/// The start of a message that may quote the file, on one line.
fn plain(message: &impl ToString) -> String {
    message.to_string().escape_debug().take(200).collect()
}
