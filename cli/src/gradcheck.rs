//! `karenina gradcheck`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::math::Real;
use karenina::model::{Parameters, Sizes};
use karenina::study::gradcheck::{
    CurvePoint, Problem, TensorCheck, Verdict, check, curve, default_epsilon,
};
use karenina::study::trace::visible;
use karenina::text::vocabulary::Vocabulary;

use super::input::{TextArgs, load, new_network, new_sizes};
use super::output::{output_error, read_enough};
use super::settings::NormArg;
use super::table::{Cell, Colour, Precision, Table, dim, is_coloured, plain};

/// Elements of each tensor that the curve is made of; one if a loss takes its time.
fn curve_sample(sizes: Sizes) -> usize {
    if sizes.parameters() < 100_000 { 4 } else { 1 }
}

/// Arguments of `karenina gradcheck`.
#[derive(Args)]
pub struct Gradcheck {
    #[command(flatten)]
    texts: TextArgs,
    /// Check a trained network: a run's folder, whose best checkpoint by validation is used, or one
    /// checkpoint file [default: a new, untrained network]
    #[arg(
        long,
        aliases = ["checkpoint", "checkpoints"],
        value_name = "DIR or FILE",
        conflicts_with_all = ["hidden", "layers", "cell_norm"]
    )]
    run: Option<PathBuf>,
    /// LSTM cells in a layer
    #[arg(long, value_name = "H", default_value_t = 5)]
    hidden: usize,
    /// LSTM layers
    #[arg(long, value_name = "L", default_value_t = 2)]
    layers: usize,
    #[command(flatten)]
    norm: NormArg,
    /// Rows of the batch
    #[arg(long, value_name = "B", default_value_t = 3)]
    batch: usize,
    /// Time steps of the batch
    #[arg(long, value_name = "T", default_value_t = 4)]
    unroll: usize,
    /// Probability that dropout keeps an output
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    keep: f64,
    /// Step of the finite differences [default: the fifth root of the machine epsilon, 7.4e-4 in f64]
    #[arg(long, value_name = "X")]
    epsilon: Option<f64>,
    /// Compare at most N elements of each tensor, evenly spread
    /// [default: all; 16 with --run]
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Precision of the network; f32 shows why gradients are checked in f64
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    precision: Precision,
    /// Seed of weights, state and dropout
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

impl Gradcheck {
    /// Prints a table of all tensors and the curve of error against step; exit code 1 unless all agree.
    pub fn run(self) -> Result<ExitCode> {
        self.validate()?;
        let text = self.texts.read()?;
        let (vocabulary, parameters) = match &self.run {
            Some(path) => {
                let checkpoint = load(path)?.checkpoint;
                (checkpoint.vocabulary, checkpoint.parameters.cast())
            }
            None => {
                let vocabulary = text.vocabulary().clone();
                let sizes = new_sizes(&vocabulary, self.hidden, self.layers)?
                    .with_cell_norm(self.norm.or(false));
                // Before any weight is drawn: billions of them take half a minute.
                Problem::<f64>::require_memory(sizes, (self.batch, self.unroll), self.keep)?;
                (vocabulary, new_network(sizes, self.seed)?)
            }
        };
        // Only the batch itself must be known to the network.
        let needed = self.batch.saturating_mul(self.unroll).saturating_add(1);
        let start: String = text.characters().take(needed).collect();
        let ids = vocabulary.encode(&start)?;
        match self.precision {
            Precision::F64 => self.report::<f64>(parameters, &vocabulary, &ids),
            Precision::F32 => self.report::<f32>(parameters.cast(), &vocabulary, &ids),
        }
    }

    fn validate(&self) -> Result<()> {
        let sizes = [
            ("--batch", self.batch),
            ("--unroll", self.unroll),
            ("--sample", self.sample.unwrap_or(1)),
        ];
        for (name, value) in sizes {
            Error::require(value > 0, name, value, "at least 1")?;
        }
        for (name, value) in [("--keep", self.keep), ("--epsilon", self.epsilon.unwrap_or(1.0))] {
            let holds = value > 0.0 && value <= 1.0;
            Error::require(holds, name, value, "above 0 and at most 1")?;
        }
        Ok(())
    }

    fn report<R: Real>(
        &self,
        parameters: Parameters<R>,
        vocabulary: &Vocabulary,
        ids: &[u32],
    ) -> Result<ExitCode> {
        let sizes = parameters.sizes();
        let shape = (self.batch, self.unroll);
        let problem = Problem::on_text(parameters, ids, shape, self.keep, self.seed)?;
        let epsilon = self.epsilon.unwrap_or_else(default_epsilon::<R>);
        let sample = self.sample.or(self.run.as_ref().map(|_| 16));
        let mut out = io::stdout().lock();
        let Sizes { vocabulary: v, hidden, layers, .. } = sizes;
        let (batch, unroll) = shape;
        let checks = check(&problem, epsilon, sample);
        let head = format!(
            "{} parameters: V = {v}, H = {hidden}, L = {layers}; B = {batch}, T = {unroll}; \
             {} with step {epsilon:.1e}\n",
            sizes.parameters(),
            R::NAME,
        );
        let mut print = || -> io::Result<()> {
            writeln!(out, "{head}")?;
            table(&checks, vocabulary).print(&mut out)?;
            plot(&curve(&problem, &epsilons::<R>(), curve_sample(sizes)), &mut out)?;
            conclude(&checks, &mut out)
        };
        read_enough(print().map_err(output_error))?;
        let agree = checks.iter().all(|check| check.verdict() == Verdict::Agrees);
        Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn table(checks: &[TensorCheck], vocabulary: &Vocabulary) -> Table {
    let heads = [
        "tensor",
        "shape",
        "checked",
        "error",
        "tolerance",
        "verdict",
        "largest abs",
        "rel",
        "at",
        "analytic",
        "numeric",
    ];
    let mut table = Table::new(heads, &[0, 5, 8]);
    for check in checks {
        let shape = format!("{:?}", check.shape);
        let mut row = vec![
            plain(&check.name),
            dim(shape),
            dim(check.elements.len()),
            plain(format!("{:.1e}", check.relative_error())),
            dim(format!("{:.1e}", check.tolerance())),
            verdict(check.verdict()),
        ];
        if let Some(worst) = check.worst() {
            row.extend([
                plain(format!("{:.1e}", worst.absolute_error())),
                dim(format!("{:.1e}", check.largest_relative_error())),
                plain(place(check, worst.index, vocabulary)),
                plain(format!("{:.9e}", worst.analytic)),
                plain(format!("{:.9e}", worst.numeric)),
            ]);
        }
        table.row(row);
    }
    table
}

fn verdict(verdict: Verdict) -> Cell {
    match verdict {
        Verdict::Agrees => ("agrees".into(), Colour::Green),
        Verdict::Differs => ("DIFFERS".into(), Colour::Red),
        Verdict::Blind => ("cannot tell".into(), Colour::Yellow),
    }
}

/// Row, gate and column of an element; the rows of the first W_ih and the columns of the projection
/// are characters.
fn place(check: &TensorCheck, index: usize, vocabulary: &Vocabulary) -> String {
    let place = check.place(index);
    let character = |id: usize| format!("'{}'", visible(vocabulary.character(id as u32)));
    let row = place.row.map(|row| match check.name.as_str() {
        "w_ih_l0" => format!("row {} ", character(row)),
        _ => format!("row {row} "),
    });
    let column = match (place.gate, check.name.starts_with("projection")) {
        (Some(gate), _) => format!("gate {gate} unit {}", place.column),
        (None, true) => character(place.column),
        (None, false) => format!("unit {}", place.column),
    };
    row.unwrap_or_default() + &column
}

/// Two steps for every power of ten, from 1 to where θ + ε is θ.
fn epsilons<R: Real>() -> Vec<f64> {
    let powers = (0..).map(|k| libm::pow(10.0, -0.5 * f64::from(k)));
    powers.take_while(|&epsilon| epsilon > 10.0 * R::EPSILON && epsilon > 1e-12).collect()
}

/// The curve on paper ruled in powers of ten: `o` for the central difference, `x` for the
/// extrapolated one, `*` for both.
fn plot(points: &[CurvePoint], out: &mut impl Write) -> io::Result<()> {
    let decade = |error: f64| libm::log10(error).round() as i32;
    let finite = |error: f64| error.is_finite() && error > 0.0;
    let errors = points.iter().flat_map(|p| [p.central, p.extrapolated]).filter(|&e| finite(e));
    let decades: Vec<i32> = errors.map(decade).collect();
    let (Some(&lowest), Some(&highest)) = (decades.iter().min(), decades.iter().max()) else {
        return Ok(());
    };
    let mut lines = vec!["relative error against step: o central, x extrapolated, * both".into()];
    for row in (lowest..=highest).rev() {
        let marks = points.iter().map(|point| {
            let is_here = |error: f64| finite(error) && decade(error) == row;
            match (is_here(point.central), is_here(point.extrapolated)) {
                (true, true) => "  *",
                (true, false) => "  o",
                (false, true) => "  x",
                (false, false) => "   ",
            }
        });
        let line: String = marks.collect();
        lines.push(format!("{:>6} |{}", format!("1e{row}"), line).trim_end().to_string());
    }
    let axis: String = points
        .iter()
        .step_by(2)
        .map(|point| format!("{:>6}", format!("1e{}", decade(point.epsilon))))
        .collect();
    lines.push(format!("{:>6} +{}", "", "---".repeat(points.len())));
    lines.push(format!("{:>4}{axis}", ""));
    writeln!(out, "\n{}\n", lines.join("\n"))
}

fn conclude(checks: &[TensorCheck], out: &mut impl Write) -> io::Result<()> {
    let count = |v: Verdict| checks.iter().filter(|check| check.verdict() == v).count();
    let all = checks.len();
    let worst = checks.iter().map(TensorCheck::relative_error).fold(0.0, f64::max);
    let small = "too small to be checked by differences in this precision";
    let (text, colour) = match (count(Verdict::Differs), count(Verdict::Blind)) {
        (0, 0) => {
            (format!("all {all} gradients agree; worst relative error {worst:.1e}"), Colour::Green)
        }
        (0, blind) => (format!("{blind} of {all} gradients are {small}"), Colour::Yellow),
        (differ, _) => (format!("{differ} of {all} gradients differ"), Colour::Red),
    };
    writeln!(out, "{}", colour.paint(&text, is_coloured()))
}
