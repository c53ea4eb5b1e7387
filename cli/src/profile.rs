//! `karenina profile`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::ranks::Ranks;
use karenina::study::profile::Profile as Measured;
use karenina::text::corpus::Corpus;
use karenina::train::{TrainConfig, Workers};

use super::compare::compare;
use super::input::TextArgs;
use super::job::WorkersArgs;
use super::output::{Kind, count, is_standard_output, output_error, print_json};
use super::pages;
use super::settings::{Sizes, of_preset};
use super::table::{Table, dim, plain};

/// Arguments of `karenina profile`.
#[derive(Args)]
#[command(mut_args(of_preset))]
pub struct Profile {
    #[command(flatten)]
    texts: TextArgs,
    /// The sizes to start from: article or quick
    #[arg(long, value_name = "NAME", default_value = "article")]
    preset: String,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    workers: WorkersArgs,
    /// Steps to measure, after one to warm up [default: as many as take 3 seconds, at least 5]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write an HTML page that shows each phase with matrix products under the machine's roofline, and replace an
    /// older page; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Instead of measuring, compare two files written by --json
    #[arg(long, value_names = ["A.json", "B.json"], num_args = 2, exclusive = true)]
    compare: Option<Vec<PathBuf>>,
}

impl Profile {
    /// Measures and prints.
    pub fn run(self) -> Result<ExitCode> {
        if let Some([first, second]) = self.compare.as_deref() {
            return compare([first, second]).map(|()| ExitCode::SUCCESS);
        }
        let read = |ranks: &Ranks| {
            Error::require(self.steps != Some(0), "--steps", 0, "at least 1")?;
            self.demand_one_output()?;
            let page = self.html.as_deref().filter(|_| ranks.rank() == 0); // which alone writes it
            page.map_or(Ok(()), |path| Kind::Page.require_at(path))?;
            TrainConfig::preset(&self.preset)?;
            self.texts.read_on(ranks)
        };
        self.workers.run(false, read, |workers, corpus| self.lead(workers, &corpus))
    }

    fn lead(&self, workers: &Workers, corpus: &Corpus) -> Result<ExitCode> {
        let config = self.sizes.on_top_of(TrainConfig::preset(&self.preset)?);
        let measured = Measured::measure(corpus, config, workers, self.steps)?;
        // Printed first, so that a page that cannot be written loses no measurement.
        if self.json {
            print_json(&measured)?;
        }
        match &self.html {
            Some(path) => {
                let found = format!(
                    "{:.1} ms a step, {:.1} % of the peak",
                    1e3 * measured.step_seconds,
                    100.0 * measured.fraction_of_peak,
                );
                pages::write(path, &pages::profile(&measured), &found, self.json)?;
            }
            None if self.json => (),
            None => print(&measured, &mut io::stdout().lock()).map_err(output_error)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// A page and JSON cannot both go to standard output.
    fn demand_one_output(&self) -> Result<()> {
        let page = self.html.as_deref().filter(|page| self.json && is_standard_output(page));
        let found = page.unwrap_or(Path::new("")).display();
        Error::require(page.is_none(), "--html", found, "a file, since --json uses standard output")
    }
}

/// How fast memory and cache are read, as far as that was measured.
fn bandwidths(p: &Measured) -> String {
    let (memory, cache) =
        (p.bandwidth.memory_gigabytes_per_second, p.bandwidth.cache_gigabytes_per_second);
    let told = |(speed, from)| match speed {
        0.0 => format!("from {from} not measured (too little memory)"),
        _ => format!("{speed:.1} GB/s from {from}"),
    };
    [(memory, "memory"), (cache, "the last-level cache")].map(told).join(", ")
}

/// The tables, and what they mean.
fn print(p: &Measured, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{}, {} kernel, {}: peak {:.1} GFLOP/s; reading {}",
        count(p.threads, "thread"),
        p.kernel,
        p.processor,
        p.peak_gflops,
        bandwidths(p),
    )?;
    writeln!(
        out,
        "L = {}, H = {}, B = {}, T = {}, V = {}; the fastest of {} steps (their median: {:.1} ms)\n",
        p.sizes.layers,
        p.sizes.hidden,
        p.batch,
        p.unroll,
        p.sizes.vocabulary,
        p.steps,
        1e3 * p.median_step_seconds,
    )?;
    if p.was_disturbed() {
        writeln!(
            out,
            "The machine was busy: the median step took {:.1} times as long as the fastest. Measure again when \
             it is quiet.\n",
            p.median_step_seconds / p.step_seconds
        )?;
    }
    phases(p).print(out)?;
    if p.ranks > 1 {
        writeln!(
            out,
            "\n{} ranks, of which this is the first, and the others are taken to have its threads and its peak: it exchanges data for {:.2} ms per step, {:.0} % of it while computing; waiting takes {:.1} % of the step",
            p.ranks,
            1e3 * p.exchange.seconds,
            100.0 * p.exchange.overlap(),
            100.0 * p.exchange.waited / p.step_seconds,
        )?;
    }
    writeln!(
        out,
        "\ntraining {:.0} characters/s; reading the clock took {:.2} % of the step\n\
         sampling {:.0} characters/s; with weights in f16 {:.0}, in bf16 {:.0}, in i8 {:.0}",
        p.characters_per_second,
        100.0 * p.clock_share,
        p.sample_characters_per_second,
        p.sample_characters_per_second_f16,
        p.sample_characters_per_second_bf16,
        p.sample_characters_per_second_i8,
    )?;
    if let Some(bytes) = p.peak_rss_bytes {
        writeln!(out, "peak memory while training: {:.1} MiB", bytes as f64 / f64::from(1 << 20))?;
    }
    print_gain(p, out)
}

/// One row for each phase.
fn phases(p: &Measured) -> Table {
    let heads = ["phase", "calls", "ms", "share", "GFLOP", "GFLOP/s", "% of peak"];
    let mut table = Table::new(heads, &[0]);
    let whole = p.whole_step();
    for phase in p.phases.iter().chain([&whole]) {
        table.row([phase.name.clone()].into_iter().chain(pages::figures(phase)).map(plain));
    }
    table
}

/// What a perfect engine would gain, and where most of it lies.
fn print_gain(p: &Measured, out: &mut impl Write) -> io::Result<()> {
    let at_peak = p.step_gflop / p.peak_gflops;
    writeln!(
        out,
        "\nAt the peak throughout, the step would take {:.1} ms, which is {:.1} ms less. Most of that is in\n",
        1e3 * at_peak,
        1e3 * (p.step_seconds - at_peak),
    )?;
    let peak = p.peak_of_rank(); // phases are those of one
    let mut phases: Vec<_> = p.phases.iter().collect();
    phases.sort_by(|a, b| b.loss(peak).total_cmp(&a.loss(peak)));
    let mut table = Table::new(["phase", "ms", ""], &[0, 2]);
    for phase in phases.iter().take(5) {
        let what = if phase.gflop > 0.0 { "below the peak" } else { "no matrix product" };
        let ms = format!("{:.1}", 1e3 * phase.loss(peak));
        table.row([plain(&phase.name), plain(ms), dim(what)]);
    }
    table.print(out)?;
    out.flush()
}
