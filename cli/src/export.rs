//! `karenina export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::math::Real;
use karenina::memory;
use karenina::model::{Network, Parameters, State};
use karenina::train::checkpoint::Checkpoint;
use karenina::train::interchange;
use ndarray::ArrayView2;

use super::input::ModelArg;
use super::output::{Kind, count, note, write_file};
use super::table::Precision;

/// Most characters of a phrase whose gradients are computed: all time steps are in memory at once.
const LONGEST: usize = 10_000;

/// Arguments of `karenina export`.
#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    model: ModelArg,
    /// Type of the numbers in the file; f64 holds the same weights in twice the space
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Instead of the weights, write the gradients of the mean loss over this phrase (2 to 10,000
    /// characters, read from a zero state), computed in the precision of the file
    #[arg(long, value_name = "PHRASE", allow_hyphen_values = true)]
    gradients: Option<String>,
    /// The file to write, which replaces an older one of its kind; `-` is standard output
    #[arg(long, value_name = "FILE", default_value = "model.safetensors")]
    out: PathBuf,
}

impl Export {
    /// Writes the file and says so.
    pub fn run(self) -> Result<ExitCode> {
        let checkpoint = self.model.load()?;
        let bytes = match (&self.gradients, self.precision) {
            (None, precision) => interchange::export(&checkpoint, written(precision)),
            (Some(phrase), Precision::F32) => self.gradients::<f32>(checkpoint, phrase)?,
            (Some(phrase), Precision::F64) => self.gradients::<f64>(checkpoint, phrase)?,
        };
        let kind = if self.gradients.is_some() { Kind::Gradients } else { Kind::Model };
        write_file(&self.out, kind, &bytes)?;
        note(&format!("wrote {}: {} bytes", self.out.display(), bytes.len()));
        Ok(ExitCode::SUCCESS)
    }

    /// The file of the gradients of the mean loss over `phrase`, computed in `R`.
    fn gradients<R: Real>(&self, checkpoint: Checkpoint, phrase: &str) -> Result<Vec<u8>> {
        let length = phrase.chars().count();
        let found = format!("a phrase of {}", count(length, "character"));
        let expected = format!("a phrase of 2 to {LONGEST}");
        Error::require((2..=LONGEST).contains(&length), "--gradients", found, expected)?;
        let ids = checkpoint.vocabulary.encode(phrase)?;
        let (sizes, unroll) = (checkpoint.parameters.sizes(), ids.len() - 1);
        let network = Network::<R>::tape_bytes(sizes, 1, unroll, false)
            .saturating_add(Network::<R>::packed_bytes(sizes).saturating_mul(2));
        let bytes = Parameters::<R>::bytes(sizes).saturating_mul(2).saturating_add(network);
        memory::require(bytes, format!("--gradients with a phrase of {length} characters"))?;
        let parameters: Parameters<R> = checkpoint.parameters.cast();
        let column = |from: usize| ArrayView2::from_shape((unroll, 1), &ids[from..from + unroll]);
        let [inputs, targets] = [0, 1].map(|from| column(from).expect("as many ids as steps"));
        let mut network = Network::new(sizes, 1, unroll, 1);
        let (mut gradients, mut state) = (Parameters::zeros(sizes), State::zeros(sizes, 1));
        let loss =
            network.gradients(&mut gradients, &parameters, inputs, targets, &mut state, None);
        self.model.require_finite("the loss", loss)?;
        Ok(interchange::export_gradients(&gradients, loss, written(self.precision)))
    }
}

/// How numbers of this type are written.
fn written(precision: Precision) -> interchange::Precision {
    match precision {
        Precision::F32 => interchange::Precision::F32,
        Precision::F64 => interchange::Precision::F64,
    }
}
