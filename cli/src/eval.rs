//! `karenina eval`.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::evaluate::{
    Evaluation, dynamic_evaluation_bytes, evaluate, evaluate_dynamically, evaluation_bytes,
};
use karenina::memory;
use karenina::train::thread_pool;
use serde::Serialize;

use super::input::{ModelArg, TextArgs, of_network};
use super::job::ThreadsArg;
use super::output::{OutputArgs, count, output_error, print_json};
use super::settings::WeightsArg;

/// Characters in each of the rows into which a long text is cut.
const ROW: usize = 10_000;

/// Arguments of `karenina eval`.
#[derive(Args)]
#[command(mut_arg("texts", of_network))]
pub struct Eval {
    #[command(flatten)]
    texts: TextArgs,
    #[command(flatten)]
    model: ModelArg,
    /// Also measure the network while it keeps learning from what it has read, at this learning rate
    /// [default of RATE: 5e-4]
    #[arg(
        long,
        value_name = "RATE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "5e-4",
        conflicts_with = "weights"
    )]
    dynamic: Option<f64>,
    /// Cut the text into N pieces, which are read side by side, each from a zero state
    /// [default: one for each 10,000 characters, at most 100; 1 with --dynamic]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    #[command(flatten)]
    weights: WeightsArg,
    /// Skip characters that the network does not know
    #[arg(long)]
    skip_unknown: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    output: OutputArgs,
}

impl Eval {
    /// Prints loss, perplexity and bits per character, at rest and learning.
    pub fn run(self) -> Result<ExitCode> {
        let threads = self.threads.count()?;
        let checkpoint = self.model.load()?;
        let corpus = self.texts.read_for(&checkpoint)?;
        let all = corpus.len();
        let corpus = match self.skip_unknown {
            true => corpus.restricted_to(&checkpoint.vocabulary)?,
            false => corpus.in_terms_of(&checkpoint.vocabulary)?,
        };
        let ids = corpus.ids();
        self.texts.require_two(ids.len())?;
        let left_out = all - ids.len();
        if left_out > 0 {
            self.output
                .say(&format!("{left_out} of {all} characters are unknown, and are left out"));
        }
        let rows = self.rows.unwrap_or(match self.dynamic {
            Some(_) => 1, // in the order of the text
            None => (ids.len() / ROW).clamp(1, 100),
        });
        let expected = format!("at least 1 and fewer than the text's {} characters", ids.len());
        Error::require((1..ids.len()).contains(&rows), "--rows", rows, expected)?;
        let rate = self.dynamic.unwrap_or(0.0);
        Error::require((0.0..=1.0).contains(&rate), "--dynamic", rate, "a rate from 0 to 1")?;
        let sizes = checkpoint.parameters.sizes();
        let bytes = match self.dynamic {
            None => evaluation_bytes::<f32>(sizes, rows),
            Some(_) => dynamic_evaluation_bytes::<f32>(sizes, rows),
        };
        memory::require(bytes, format!("--rows {rows}"))?;
        let parameters = checkpoint.parameters.rounded(self.weights.weights)?;
        let pool = thread_pool(threads)?;
        let found = pool.install(|| Evaluated {
            rows,
            left_out,
            resting: evaluate(&parameters, ids, rows, threads).into(),
            dynamic: self.dynamic.map(|learning_rate| Dynamic {
                learning_rate,
                loss: evaluate_dynamically(&parameters, ids, rows, learning_rate, threads).into(),
            }),
        });
        self.model.require_finite("the loss", found.resting.nats_per_character)?;
        if let Some(Dynamic { loss, .. }) = &found.dynamic {
            self.model.require_finite("the loss while it learns", loss.nats_per_character)?;
        }
        match self.output {
            OutputArgs { json: true, .. } => print_json(&found)?,
            OutputArgs { quiet: true, .. } => {}
            _ => writeln!(io::stdout(), "{found}").map_err(output_error)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is printed.
#[derive(Serialize)]
struct Evaluated {
    #[serde(flatten)]
    resting: Loss,
    rows: usize,
    /// Characters of the text that the network does not know.
    left_out: usize,
    dynamic: Option<Dynamic>,
}

/// How well the network predicts while it keeps learning.
#[derive(Serialize)]
struct Dynamic {
    #[serde(flatten)]
    loss: Loss,
    learning_rate: f64,
}

#[derive(Serialize)]
struct Loss {
    nats_per_character: f64,
    perplexity: f64,
    bits_per_character: f64,
    characters: usize,
}

impl From<Evaluation> for Loss {
    fn from(evaluation: Evaluation) -> Self {
        Self {
            nats_per_character: evaluation.nats,
            perplexity: evaluation.perplexity(),
            bits_per_character: evaluation.bits_per_character(),
            characters: evaluation.characters,
        }
    }
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resting, rows, dynamic, .. } = self;
        write!(f, "{resting} ({} characters in {})", resting.characters, count(*rows, "piece"))?;
        match dynamic {
            None => Ok(()),
            Some(Dynamic { loss, learning_rate }) => {
                write!(f, "\n{loss}, learning from what it has read at a rate of {learning_rate}")
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nats_per_character, perplexity, bits_per_character, .. } = self;
        write!(
            f,
            "{nats_per_character:.4} nats per character, perplexity {perplexity:.3}, \
             {bits_per_character:.4} bits per character"
        )
    }
}
