//! `karenina eval`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::evaluate::evaluate;
use karenina::text::vocabulary::Vocabulary;
use rayon::ThreadPoolBuilder;

use super::{input, load, output_error, threads};

/// Characters in each of the rows into which a long text is cut.
const ROW: usize = 10_000;

/// Arguments of `karenina eval`.
#[derive(Args)]
pub struct Eval {
    /// Texts to predict, read as one; `-` is standard input [default: the embedded text]
    #[arg(value_name = "TEXT")]
    texts: Vec<PathBuf>,
    /// A checkpoint, or a folder whose newest one is taken
    #[arg(long, value_name = "FILE or DIR", default_value = "checkpoints")]
    checkpoint: PathBuf,
    /// Encoding of the texts, as in windows-1251 [default: UTF-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Pieces that are read side by side, each from an empty memory; 1 reads the text in one piece
    /// [default: one for each 10,000 characters, at most 100]
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Leave out characters that the network does not know
    #[arg(long)]
    skip_unknown: bool,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl Eval {
    /// Prints loss, perplexity and bits per character.
    pub fn run(self) -> Result<ExitCode> {
        let threads = threads(self.threads)?;
        let checkpoint = load(&self.checkpoint)?;
        let vocabulary = Vocabulary::from_sorted(checkpoint.vocabulary)?;
        let corpus = input::read_text(&self.texts, self.encoding.as_deref())?;
        let ids: Vec<u32> = match self.skip_unknown {
            true => corpus.text().chars().filter_map(|c| vocabulary.id(c)).collect(),
            false => vocabulary.encode(corpus.text())?,
        };
        let rows = self.rows.unwrap_or_else(|| (ids.len() / ROW).clamp(1, 100));
        if rows == 0 || ids.len() <= rows {
            return Err(Error::Setting {
                name: "--rows",
                found: rows.to_string(),
                expected: format!("at least 1 and fewer than the text's {} characters", ids.len()),
            });
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        let evaluation = pool.install(|| evaluate(&checkpoint.parameters, &ids, rows, threads));
        let mut out = io::stdout().lock();
        writeln!(
            out,
            "{:.4} nats per character, perplexity {:.3}, {:.4} bits per character \
             ({} characters in {rows} {})",
            evaluation.nats,
            evaluation.perplexity(),
            evaluation.bits_per_character(),
            evaluation.characters,
            if rows == 1 { "piece" } else { "pieces" },
        )
        .map_err(output_error)?;
        Ok(ExitCode::SUCCESS)
    }
}
