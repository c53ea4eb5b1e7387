//! `karenina export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use karenina::error::{Error, Result};
use karenina::math::Real;
use karenina::memory;
use karenina::model::{Network, Parameters, State};
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::interchange;
use ndarray::ArrayView2;

use super::output::write_file;
use super::table::Precision;
use super::{input, load, note};

/// Most characters of a text whose gradients are computed: all time steps are in memory at once.
const LONGEST: usize = 10_000;

/// Arguments of `karenina export`.
#[derive(Args)]
pub struct Export {
    /// A checkpoint, or a folder whose newest one is taken
    #[arg(long, value_name = "FILE or DIR", default_value = "checkpoints")]
    checkpoint: PathBuf,
    /// Form of the file
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Numbers of the file; f64 are the same weights in eight bytes each
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Write, instead of the weights, the gradients of the mean loss over this text (at most 10,000
    /// characters, read in one piece from an empty memory), computed in the precision
    #[arg(long, value_name = "TEXT")]
    gradients: Option<PathBuf>,
    /// The file to write, over one that is there; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "model.safetensors")]
    out: PathBuf,
}

/// Forms of a file.
#[derive(Clone, Copy, Default, ValueEnum)]
enum Format {
    /// PyTorch's names and layout, for torch.nn.LSTM and torch.nn.Linear
    #[default]
    Safetensors,
}

impl Export {
    /// Writes the file and says so.
    pub fn run(self) -> Result<ExitCode> {
        let checkpoint = load(&self.checkpoint)?;
        let Format::Safetensors = self.format;
        let bytes = match (&self.gradients, self.precision) {
            (None, precision) => interchange::export(&checkpoint, written(precision)),
            (Some(text), precision) => {
                let corpus = input::read_text(std::slice::from_ref(text), None)?;
                match precision {
                    Precision::F32 => gradients::<f32>(checkpoint, corpus, precision)?,
                    Precision::F64 => gradients::<f64>(checkpoint, corpus, precision)?,
                }
            }
        };
        write_file(&self.out, &bytes)?;
        note(&format!("wrote {}: {} bytes", self.out.display(), bytes.len()));
        Ok(ExitCode::SUCCESS)
    }
}

/// The file of the gradients of the mean loss over `corpus`, computed in `R`.
fn gradients<R: Real>(
    checkpoint: Checkpoint,
    corpus: Corpus,
    precision: Precision,
) -> Result<Vec<u8>> {
    if !(2..=LONGEST).contains(&corpus.len()) {
        return Err(Error::Setting {
            name: "--gradients",
            found: format!("with a text of {} characters", corpus.len()),
            expected: format!("a text of 2 to {LONGEST} characters"),
        });
    }
    let vocabulary = Vocabulary::from_sorted(checkpoint.vocabulary)?;
    let ids: Vec<u32> = corpus.in_terms_of(&vocabulary)?.ids().iter().collect();
    let (sizes, unroll) = (checkpoint.parameters.sizes(), ids.len() - 1);
    let network = Network::<R>::tape_bytes(sizes, 1, unroll, false)
        .saturating_add(Network::<R>::packed_bytes(sizes).saturating_mul(2));
    let bytes = Parameters::<R>::bytes(sizes).saturating_mul(2).saturating_add(network);
    memory::require(bytes, format!("--gradients with a text of {} characters", ids.len()))?;
    let parameters: Parameters<R> = checkpoint.parameters.cast();
    let column = |from: usize| ArrayView2::from_shape((unroll, 1), &ids[from..from + unroll]);
    let [inputs, targets] = [0, 1].map(|from| column(from).expect("as many ids as steps"));
    let mut network = Network::new(sizes, 1, unroll, 1);
    let (mut gradients, mut state) = (Parameters::zeros(sizes), State::zeros(sizes, 1));
    let loss = network.gradients(&mut gradients, &parameters, inputs, targets, &mut state, None);
    Ok(interchange::export_gradients(&gradients, loss, written(precision)))
}

/// How numbers of this type are written.
fn written(precision: Precision) -> interchange::Precision {
    match precision {
        Precision::F32 => interchange::Precision::F32,
        Precision::F64 => interchange::Precision::F64,
    }
}
