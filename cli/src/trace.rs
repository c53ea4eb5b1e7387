//! `karenina trace`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::model::Parameters;
use karenina::study::trace::{self, LayerStep, Spot, Spread, View, significant, visible};
use karenina::text::vocabulary::Vocabulary;

use super::input::{load, new_network, new_sizes};
use super::output::{Kind, output_error, print_json, printable, write_file};
use super::pages;
use super::settings::NormArg;
use super::table::{Cell, Colour, Precision, Table, dim, is_coloured, plain};

/// Arguments of `karenina trace`.
#[derive(Args)]
pub struct Trace {
    /// A few words; each character but the first is predicted
    #[arg(value_name = "PHRASE")]
    phrase: String,
    /// A run's folder, whose best checkpoint by validation is used, or one checkpoint file
    /// [default: a new, untrained network over the characters of the phrase]
    #[arg(
        long,
        aliases = ["checkpoint", "checkpoints"],
        value_name = "DIR or FILE",
        conflicts_with_all = ["hidden", "layers", "cell_norm", "seed"]
    )]
    run: Option<PathBuf>,
    /// LSTM cells in a layer of a new network
    #[arg(long, value_name = "H", default_value_t = 8)]
    hidden: usize,
    /// LSTM layers of a new network
    #[arg(long, value_name = "L", default_value_t = 2)]
    layers: usize,
    #[command(flatten)]
    norm: NormArg,
    /// Seed of a new network
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Show this unit instead of the means over all
    #[arg(long, value_name = "K")]
    unit: Option<usize>,
    /// Print each equation of one time step with its numbers, for the unit of --unit, or unit 0
    #[arg(long)]
    numbers: bool,
    /// Time step of --numbers, counted from 0 [default: one in the middle, which the loss of later steps
    /// reaches too]
    #[arg(long, value_name = "T", requires = "numbers")]
    step: Option<usize>,
    /// Layer of --numbers, counted from 0
    #[arg(long, value_name = "N", default_value_t = 0, requires = "numbers")]
    layer: usize,
    /// Print JSON instead of text
    #[arg(long, conflicts_with = "html")]
    json: bool,
    /// Write an HTML page; `-` is standard output
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Precision of the network
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    precision: Precision,
}

impl Trace {
    /// Prints or writes the trace.
    pub fn run(self) -> Result<ExitCode> {
        let length = self.phrase.chars().count();
        Error::require(length >= 2, "the phrase's length", length, "at least 2")?;
        let (vocabulary, parameters) = self.network()?;
        let ids = vocabulary.encode(&self.phrase)?;
        let spot = self.numbers.then(|| Spot {
            step: self.step.unwrap_or((ids.len() - 2) / 2),
            layer: self.layer,
            unit: self.unit.unwrap_or(0),
        });
        let view = View { unit: self.unit, spot, ..View::default() };
        let characters = vocabulary.characters();
        let trace = match self.precision {
            Precision::F64 => trace::trace(&parameters, characters, &ids, view)?,
            Precision::F32 => trace::trace(&parameters.cast::<f32>(), characters, &ids, view)?,
        };
        let out = &mut io::stdout().lock();
        match &self.html {
            Some(path) => write_file(path, Kind::Page, pages::trace(&trace).as_bytes())?,
            None if self.json => print_json(&trace)?,
            None => writeln!(out, "{}", self.origin())
                .and_then(|()| match spot {
                    Some(spot) => equations(&trace, &self.phrase, spot, out),
                    None => tables(&trace, out),
                })
                .map_err(output_error)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Whose network it is.
    fn origin(&self) -> String {
        let Self { layers, hidden, seed, .. } = self;
        match &self.run {
            Some(path) => printable(&format!("the network of {}", path.display())),
            None => format!(
                "a new, untrained network (seed {seed}) of {layers} x {hidden} cells; --run names a trained one"
            ),
        }
    }

    fn network(&self) -> Result<(Vocabulary, Parameters<f64>)> {
        if let Some(path) = &self.run {
            let checkpoint = load(path)?.checkpoint;
            return Ok((checkpoint.vocabulary, checkpoint.parameters.cast()));
        }
        let vocabulary = Vocabulary::from_text(&self.phrase);
        let sizes =
            new_sizes(&vocabulary, self.hidden, self.layers)?.with_cell_norm(self.norm.or(false));
        let network = new_network(sizes, self.seed)?;
        Ok((vocabulary, network))
    }
}

fn number(x: f64) -> Cell {
    plain(significant(x, 3))
}

fn title(text: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}", Colour::Bold.paint(text, is_coloured()))
}

/// Step number and character, with which every row begins.
fn start(t: usize, character: char) -> Vec<Cell> {
    vec![dim(t), plain(visible(character))]
}

fn tables(trace: &trace::Trace, out: &mut impl Write) -> io::Result<()> {
    let (nats, bits) = (significant(trace.nats, 6), significant(trace.bits, 6));
    writeln!(
        out,
        "mean loss {nats} nats = {bits} bits per character, computed in {}",
        trace.precision
    )?;
    predictions(trace, out)?;
    for l in 0..trace.sizes.layers {
        gates(trace, l, out)?;
    }
    for l in 0..trace.sizes.layers {
        gradients(trace, l, out)?;
    }
    reach(trace, out)?;
    tensors(trace, out)
}

fn predictions(trace: &trace::Trace, out: &mut impl Write) -> io::Result<()> {
    title("Predictions", out)?;
    let mut table =
        Table::new(["t", "read", "next", "p(next)", "bits", "most probable"], &[1, 2, 5]);
    for (t, step) in trace.steps.iter().enumerate() {
        let colour = match step.bits {
            bits if bits < 1.0 => Colour::Green,
            bits if bits < 4.0 => Colour::Plain,
            bits if bits < 7.0 => Colour::Yellow,
            _ => Colour::Red,
        };
        let top = step.top.iter().map(|g| format!("{} {:.3}", visible(g.character), g.probability));
        let mut row = start(t, step.character);
        row.extend([
            plain(visible(step.next)),
            number(step.probability),
            (format!("{:.3}", step.bits), colour),
            dim(top.collect::<Vec<_>>().join("  ")),
        ]);
        table.row(row);
    }
    table.print(out)
}

fn gates(trace: &trace::Trace, l: usize, out: &mut impl Write) -> io::Result<()> {
    let (what, heads): (_, &[&str]) = match trace.unit {
        Some(unit) => (format!(", unit {unit}"), &["t", "read", "i", "f", "g", "o", "c", "h"]),
        None => {
            let what = ": means, and share of units saturated (beyond 0.1 or 0.9)".into();
            (what, &["t", "read", "i", "", "f", "", "g", "", "o", "", "c", "h"])
        }
    };
    title(&format!("Layer {l}{what}"), out)?;
    let mut table = Table::new(heads, &[1]);
    for (t, step) in trace.steps.iter().enumerate() {
        let mut row = start(t, step.character);
        match step.layers[l].unit {
            Some(u) => row.extend([u.i, u.f, u.g, u.o, u.c, u.h].map(number)),
            None => row.extend(means(&step.layers[l])),
        }
        table.row(row);
    }
    table.print(out)
}

fn means(layer: &LayerStep) -> impl Iterator<Item = Cell> {
    let gate = |Spread { mean, low, high, .. }: Spread| {
        let share = low + high;
        let colour = if share > 0.5 { Colour::Yellow } else { Colour::Dim };
        [number(mean), (format!("{:.0}%", 100.0 * share), colour)]
    };
    let gates = [layer.i, layer.f, layer.g, layer.o].into_iter().flat_map(gate);
    gates.chain([layer.c, layer.h].map(number))
}

fn gradients(trace: &trace::Trace, l: usize, out: &mut impl Write) -> io::Result<()> {
    let heads = match trace.unit {
        Some(unit) => {
            title(&format!("Layer {l}, unit {unit}: gradient of the mean loss"), out)?;
            ["t", "read", "dh", "dc", "dz_i", "dz_f", "dz_g", "dz_o"]
        }
        None => {
            title(&format!("Layer {l}: gradient of the mean loss"), out)?;
            ["t", "read", "‖dh‖", "‖dc‖", "‖dz_i‖", "‖dz_f‖", "‖dz_g‖", "‖dz_o‖"]
        }
    };
    let mut table = Table::new(heads, &[1]);
    // As the gradients come: from the last step back.
    for (t, step) in trace.steps.iter().enumerate().rev() {
        let layer = &step.layers[l];
        let (dh, dc, dz) =
            layer.unit.map_or((layer.dh, layer.dc, layer.dz), |u| (u.dh, u.dc, u.dz));
        let mut row = start(t, step.character);
        row.extend([dh, dc, dz[0], dz[1], dz[2], dz[3]].map(number));
        table.row(row);
    }
    table.print(out)
}

fn reach(trace: &trace::Trace, out: &mut impl Write) -> io::Result<()> {
    title(
        "How far the last step's loss reaches back (bar: powers of ten of the top layer's ‖dh‖)",
        out,
    )?;
    let layers = trace.sizes.layers;
    let mut heads = vec!["lag".to_string(), "read".into()];
    heads.extend((0..layers).flat_map(|l| [format!("‖dh‖ layer {l}"), format!("‖dc‖ layer {l}")]));
    heads.push(String::new());
    let mut table = Table::new(heads, &[1, 2 + 2 * layers]);
    for reach in &trace.reach {
        let mut row = start(reach.lag, reach.character);
        row.extend(reach.dh.iter().zip(&reach.dc).flat_map(|(&dh, &dc)| [number(dh), number(dc)]));
        // Four marks for each power of ten above 1e-8.
        let top = reach.dh[layers - 1].max(1e-8);
        row.push(dim("#".repeat(((libm::log10(top) + 8.0) * 4.0).round() as usize)));
        table.row(row);
    }
    table.print(out)
}

fn tensors(trace: &trace::Trace, out: &mut impl Write) -> io::Result<()> {
    title("Gradient of the mean loss with respect to the parameters", out)?;
    let mut table = Table::new(["tensor", "shape", "norm", "largest"], &[0]);
    for tensor in &trace.tensors {
        let shape = dim(format!("{:?}", tensor.shape));
        table.row([plain(&tensor.name), shape, number(tensor.norm), number(tensor.largest)]);
    }
    table.print(out)
}

fn equations(
    trace: &trace::Trace,
    text: &str,
    Spot { step, layer, unit }: Spot,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut pair = text.chars().skip(step).map(visible);
    let [read, next] = [(); 2].map(|()| pair.next().unwrap_or_default());
    let place = format!("step {step} (the first is 0), layer {layer}, unit {unit}");
    title(&format!("{text:?}, {place}: it reads {read} and should predict {next}"), out)?;
    let mut table = Table::new(["Eq.", "in symbols", "in numbers", "value"], &[0, 1, 2]);
    for line in &trace.equations {
        let label = (line.label.into(), Colour::Bold);
        let value = plain(significant(line.value, 6));
        table.row([label, plain(&line.symbols), dim(&line.numbers), value]);
    }
    table.print(out)
}
