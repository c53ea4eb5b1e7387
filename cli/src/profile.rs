//! `karenina profile`.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::study::profile::{PhaseProfile, Profile as Measured};
use karenina::train::{TrainConfig, thread_count};

use super::input::TextArgs;
use super::settings::Sizes;
use super::{output_error, print_json};

/// Arguments of `karenina profile`.
#[derive(Args)]
pub struct Profile {
    #[command(flatten)]
    texts: TextArgs,
    /// The sizes to start from: article or quick
    #[arg(long, value_name = "NAME", default_value = "article")]
    preset: String,
    #[command(flatten)]
    sizes: Sizes,
    /// Threads to use [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Steps to measure after a first one that does not count [default: 3 seconds of them, at least 5]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Profile {
    /// Measures and prints.
    pub fn run(self) -> Result<ExitCode> {
        let threads = thread_count(self.threads)?;
        if self.steps == Some(0) {
            let (name, found, expected) = ("--steps", "0".into(), "at least 1".into());
            return Err(Error::Setting { name, found, expected });
        }
        let config = self.sizes.on_top_of(TrainConfig::preset(&self.preset)?);
        let corpus = self.texts.read()?;
        let measured = Measured::measure(&corpus, config, threads, self.steps)?;
        match self.json {
            true => print_json(&measured)?,
            false => print(&measured, &mut io::stdout().lock()).map_err(output_error)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The tables, and what they mean.
fn print(p: &Measured, out: &mut impl Write) -> io::Result<()> {
    let plural = if p.threads == 1 { "" } else { "s" };
    writeln!(
        out,
        "{} thread{plural}, {} kernel: peak {:.1} GFLOP/s; reading {:.1} GB/s from memory, {:.1} GB/s from \
         the last cache",
        p.threads,
        p.kernel,
        p.peak_gflops,
        p.bandwidth.memory_gigabytes_per_second,
        p.bandwidth.cache_gigabytes_per_second,
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
    print_phases(p, out)?;
    writeln!(
        out,
        "\ntraining {:.0} characters/s; reading the clock took {:.2} % of the step\n\
         writing {:.0} characters/s; with weights in f16 {:.0}, in bf16 {:.0}",
        p.characters_per_second,
        100.0 * p.clock_share,
        p.sample_characters_per_second,
        p.sample_characters_per_second_f16,
        p.sample_characters_per_second_bf16,
    )?;
    if let Some(bytes) = p.peak_rss_bytes {
        writeln!(out, "most memory while training: {:.1} MiB", bytes as f64 / f64::from(1 << 20))?;
    }
    print_gain(p, out)
}

/// One row for each phase.
fn print_phases(p: &Measured, out: &mut impl Write) -> io::Result<()> {
    let heads = ["phase", "calls", "ms", "share", "GFLOP", "GFLOP/s", "% of peak"];
    let [phase, calls, ms, share, gflop, gflops, peak] = heads;
    writeln!(out, "{phase:20}{calls:>7}{ms:>10}{share:>8}{gflop:>9}{gflops:>9}{peak:>11}")?;
    let whole = PhaseProfile {
        name: "the step",
        calls: 1,
        seconds: p.step_seconds,
        share: 1.0,
        gflop: p.step_gflop,
        gflops: p.gflops,
        fraction_of_peak: p.fraction_of_peak,
    };
    for phase in p.phases.iter().chain([&whole]) {
        let calls = if phase.calls == 0 { String::new() } else { phase.calls.to_string() };
        let (ms, share) = (1e3 * phase.seconds, 100.0 * phase.share);
        write!(out, "{:20}{calls:>7}{ms:>10.2}{share:>6.1} %", phase.name)?;
        if phase.gflop > 0.0 {
            let (gflop, peak) = (phase.gflop, 100.0 * phase.fraction_of_peak);
            write!(out, "{gflop:>9.2}{:>9.1}{peak:>9.1} %", phase.gflops)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// What a perfect engine would gain, and where most of it lies.
fn print_gain(p: &Measured, out: &mut impl Write) -> io::Result<()> {
    let at_peak = p.step_gflop / p.peak_gflops;
    writeln!(
        out,
        "\nAt the peak from end to end the step would take {:.1} ms, {:.1} ms less. They lie in",
        1e3 * at_peak,
        1e3 * (p.step_seconds - at_peak),
    )?;
    let mut phases: Vec<_> = p.phases.iter().collect();
    phases.sort_by(|a, b| b.loss(p.peak_gflops).total_cmp(&a.loss(p.peak_gflops)));
    for phase in phases.iter().take(5) {
        let what = if phase.gflop > 0.0 { "below the peak" } else { "no matrix product" };
        writeln!(out, "{:20}{:>8.1} ms  {what}", phase.name, 1e3 * phase.loss(p.peak_gflops))?;
    }
    out.flush()
}
