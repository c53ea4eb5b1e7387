//! `karenina eval`.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use karenina::error::Result;
use karenina::evaluate::{evaluate, evaluation_bytes};
use karenina::memory;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::thread_pool;
use serde::Serialize;

use super::input::{ModelArg, TextArgs};
use super::output::{OutputArgs, output_error, print_json};
use super::settings::{ThreadsArg, WeightsArg, demand};

/// Characters in each of the rows into which a long text is cut.
const ROW: usize = 10_000;

/// Arguments of `karenina eval`.
#[derive(Args)]
pub struct Eval {
    #[command(flatten)]
    texts: TextArgs,
    #[command(flatten)]
    model: ModelArg,
    /// Cut the text into N pieces, which are read side by side, each from a zero state
    /// [default: one for each 10,000 characters, at most 100]
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
    /// Prints loss, perplexity and bits per character.
    pub fn run(self) -> Result<ExitCode> {
        let threads = self.threads.count()?;
        let checkpoint = self.model.load()?;
        let corpus = self.texts.read_for(&checkpoint)?;
        let vocabulary = Vocabulary::from_sorted(checkpoint.vocabulary)?;
        let corpus = match self.skip_unknown {
            true => corpus.known_to(&vocabulary)?,
            false => corpus.in_terms_of(&vocabulary)?,
        };
        let ids = corpus.ids();
        let rows = self.rows.unwrap_or_else(|| (ids.len() / ROW).clamp(1, 100));
        let expected = format!("at least 1 and fewer than the text's {} characters", ids.len());
        demand((1..ids.len()).contains(&rows), "--rows", rows, expected)?;
        let bytes = evaluation_bytes::<f32>(checkpoint.parameters.sizes(), rows);
        memory::require(bytes, format!("--rows {rows}"))?;
        let parameters = checkpoint.parameters.rounded(self.weights.weights)?;
        let pool = thread_pool(threads)?;
        let evaluation = pool.install(|| evaluate(&parameters, ids, rows, threads));
        let found = Evaluated {
            nats_per_character: evaluation.nats,
            perplexity: evaluation.perplexity(),
            bits_per_character: evaluation.bits_per_character(),
            characters: evaluation.characters,
            rows,
        };
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
    nats_per_character: f64,
    perplexity: f64,
    bits_per_character: f64,
    characters: usize,
    rows: usize,
}

impl fmt::Display for Evaluated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self { nats_per_character, perplexity, bits_per_character, characters, rows } = self;
        let pieces = if rows == 1 { "piece" } else { "pieces" };
        write!(
            f,
            "{nats_per_character:.4} nats per character, perplexity {perplexity:.3}, \
             {bits_per_character:.4} bits per character ({characters} characters in {rows} {pieces})"
        )
    }
}
