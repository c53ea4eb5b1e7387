//! `karenina plan`.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{BinaryBytes, DecimalBytes};
use karenina::error::Result;
use karenina::study::plan::{Exchange, Plan as Found};
use karenina::text::corpus::Corpus;
use karenina::train::Workers;
use serde::Serialize;

use super::output::{in_lines, output_error, print_json, printable};
use super::settings::{Recipe, Start, held_back, plan_of};

/// Arguments of `karenina plan`: those of `karenina train` that decide what is computed.
#[derive(Args)]
pub struct Plan {
    #[command(flatten)]
    recipe: Recipe,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Plan {
    /// Calibrates and prints.
    pub fn run(self) -> Result<ExitCode> {
        self.recipe.run(false, |workers, corpus| self.lead(workers, corpus))
    }

    fn lead(&self, workers: &Workers, corpus: Corpus) -> Result<ExitCode> {
        let Start { corpus, config, reason, .. } = self.recipe.start(corpus, workers)?;
        let mut found = Found::new(&corpus, &config, workers)?;
        found.checkpoint_bytes += reason.len() as u64; // it stands in each of them
        let held_back = held_back(&config, &corpus)?;
        if self.json {
            print_json(&Json { choice: plan_of(&reason), held_back, found: &found })?;
            return Ok(ExitCode::SUCCESS);
        }
        let out = &mut io::stdout().lock();
        if !reason.is_empty() {
            writeln!(out, "{}\n", printable(&in_lines(&reason))).map_err(output_error)?;
        }
        print(&found, held_back, out).map_err(output_error)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Json<'a> {
    /// Why these sizes, if they were chosen for a text and a number of minutes.
    choice: Option<&'a str>,
    /// Characters at the end of the text that are held back for validation.
    held_back: usize,
    #[serde(flatten)]
    found: &'a Found,
}

/// The figures, a line each.
fn print(plan: &Found, held_back: usize, out: &mut impl Write) -> io::Result<()> {
    let m = &plan.memory;
    let of_machine = plan.machine_bytes.map_or(String::new(), |all| {
        format!(", {:.1} % of the machine's", 100.0 * m.total() as f64 / all as f64)
    });
    let rate = (plan.batch * plan.unroll) as f64 / plan.step_seconds;
    writeln!(out, "parameters       {}", plan.parameters)?;
    writeln!(out, "memory           {}{of_machine}", BinaryBytes(m.total()))?;
    for (what, bytes) in [
        ("weights and gradients", m.parameters + m.gradients),
        ("Adam's moments", m.moments),
        ("packed weights", m.packed),
        ("activations", m.tapes),
        ("batch and its state", m.state),
        ("threads' own room", m.scratch),
        ("other ranks' sums", m.ranks),
        ("text", m.text),
        ("history", m.history),
        ("writing a sample", m.sampling),
    ] {
        if bytes == 0 {
            continue;
        }
        writeln!(out, "  {what:22} {:>12}", BinaryBytes(bytes).to_string())?;
    }
    writeln!(
        out,
        "a step           {:.2} GFLOP, about {}",
        plan.step_gflop,
        time(plan.step_seconds)
    )?;
    writeln!(out, "                 {rate:.0} characters/s, threads: {}", plan.threads)?;
    if plan.ranks > 1 {
        let Exchange { seconds, waited, .. } = plan.exchange;
        writeln!(
            out,
            "ranks            {}; they exchange data for {} per step, {:.0} % of it while computing; waiting takes \
             {:.1} % of the step",
            plan.ranks,
            time(seconds),
            100.0 * plan.exchange.overlap(),
            100.0 * waited / plan.step_seconds
        )?;
    }
    let (batches, epoch) = (plan.batches_per_epoch, time(plan.epoch_seconds));
    writeln!(out, "an epoch         {batches} steps, about {epoch}")?;
    writeln!(out, "the run          {} steps, about {}", plan.steps, time(plan.run_seconds))?;
    if held_back > 0 {
        writeln!(out, "held back        the last {held_back} characters, for validation")?;
    }
    let (count, bytes) = (plan.checkpoints, plan.checkpoint_bytes);
    writeln!(
        out,
        "checkpoints      {count} of up to {}, {} in all",
        DecimalBytes(bytes),
        DecimalBytes(count.saturating_mul(bytes))
    )?;
    out.flush()
}

/// Seconds as people say them: two units.
fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 1.0 => format!("{:.1} ms", 1e3 * seconds),
        (0, 0, 0) => format!("{seconds:.1} s"),
        (0, 0, _) => format!("{minutes} min {} s", whole % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_the_two_units_that_matter() {
        let seconds = [0.0123, 1.26, 61.0, 3_600.0 * 2.0 + 60.0 * 5.0 + 3.0, 86_400.0 * 3.5];
        let words = ["12.3 ms", "1.3 s", "1 min 1 s", "2 h 5 min", "3 d 12 h"];
        assert_eq!(seconds.map(time), words);
        assert!(time(f64::MAX).contains(" d "), "no overflow: {}", time(f64::MAX));
    }
}
