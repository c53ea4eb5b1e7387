//! Hyper-parameters as arguments.

use std::str::FromStr;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use karenina::math::matmul::Storage;
use karenina::text::batches::Validation;
use karenina::train::TrainConfig;

use super::input::TextArgs;

/// The sizes of network and batch.
#[derive(Args)]
pub struct Sizes {
    /// LSTM cells in a layer
    #[arg(long, value_name = "H")]
    hidden: Option<usize>,
    /// LSTM layers
    #[arg(long, value_name = "L")]
    layers: Option<usize>,
    /// Rows of a batch
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Time steps of a batch
    #[arg(long, value_name = "T")]
    unroll: Option<usize>,
}

impl Sizes {
    /// `base` with the sizes that the user has set.
    pub fn on_top_of(&self, base: TrainConfig) -> TrainConfig {
        TrainConfig {
            hidden: self.hidden.unwrap_or(base.hidden),
            layers: self.layers.unwrap_or(base.layers),
            batch: self.batch.unwrap_or(base.batch),
            unroll: self.unroll.unwrap_or(base.unroll),
            ..base
        }
    }
}

/// The type in which weights are stored.
#[derive(Args)]
pub struct WeightsArg {
    /// How weights are stored: f16 and bf16 halve what each character reads and are faster to write
    /// with, at a small loss of quality that `karenina eval --weights` measures
    #[arg(long, value_name = "TYPE", default_value_t = Storage::F32, value_parser = weights())]
    pub weights: Storage,
}

/// Reads the names of [`Storage`].
fn weights() -> impl TypedValueParser<Value = Storage> {
    PossibleValuesParser::new(Storage::ALL.map(Storage::name)).try_map(|name| name.parse())
}

/// Hyper-parameters that the user may set on top of the preset.
#[derive(Args)]
pub struct Settings {
    #[command(flatten)]
    sizes: Sizes,
    /// Passes through the text
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Stop when the step counter stands at N, resumed or not; the run keeps it, and `all` forgets it
    #[arg(long, value_name = "N|all", value_parser = steps)]
    steps: Option<Limit<u64>>,
    /// Adam's step size
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    learning_rate: Option<f64>,
    /// Probability that dropout keeps an output; 1 drops nothing
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    keep: Option<f64>,
    /// Largest global norm of the gradients; inf clips nothing
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    clip: Option<f64>,
    /// Steps between checkpoints
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    /// Minutes after which to save in between; the run keeps it, and `none` forgets it
    #[arg(long, value_name = "M|none", allow_negative_numbers = true, value_parser = minutes)]
    save_minutes: Option<Limit<f64>>,
    /// Held back for validation: a share such as 0.1, or a number of batches such as 3
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = validation)]
    validation: Option<Validation>,
    /// Seed of the initial weights and of dropout
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// A limit that a run has, or has no more.
#[derive(Clone, Copy)]
struct Limit<T>(Option<T>);

fn steps(text: &str) -> std::result::Result<Limit<u64>, String> {
    limit(text, "all").ok_or_else(|| "use a number of steps, or all".into())
}

fn minutes(text: &str) -> std::result::Result<Limit<f64>, String> {
    limit(text, "none").ok_or_else(|| "use a number of minutes, or none".into())
}

fn limit<T: FromStr>(text: &str, no_limit: &str) -> Option<Limit<T>> {
    match text == no_limit {
        true => Some(Limit(None)),
        false => text.parse().ok().map(|limit| Limit(Some(limit))),
    }
}

/// A number with a point is a share, one without a number of batches.
fn validation(text: &str) -> std::result::Result<Validation, String> {
    if let Ok(batches) = text.parse() {
        return Ok(Validation::Batches(batches));
    }
    let share = text.parse().map_err(|_| "use a share such as 0.1, or a number of batches")?;
    Ok(Validation::Share(share))
}

/// What the user types for `validation`.
fn validation_form(validation: Validation) -> String {
    match validation {
        Validation::None => "none".into(),
        Validation::Share(share) => share.to_string(),
        Validation::Batches(batches) => batches.to_string(),
    }
}

/// What training starts from without a preset: quick for the embedded text, article for the user's.
pub fn default_config(texts: &TextArgs) -> TrainConfig {
    if texts.is_embedded() { TrainConfig::quick() } else { TrainConfig::article() }
}

impl Settings {
    /// `base` with everything the user has set.
    pub fn on_top_of(&self, base: TrainConfig) -> TrainConfig {
        let mut config = self.sizes.on_top_of(base);
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.steps = self.steps.map_or(config.steps, |limit| limit.0);
        config.adam.learning_rate = self.learning_rate.unwrap_or(config.adam.learning_rate);
        config.keep = self.keep.unwrap_or(config.keep);
        config.clip = self.clip.unwrap_or(config.clip);
        config.save_every = self.save_every.unwrap_or(config.save_every);
        config.save_minutes = self.save_minutes.map_or(config.save_minutes, |limit| limit.0);
        config.validation = self.validation.unwrap_or(config.validation);
        config.seed = self.seed.unwrap_or(config.seed);
        config
    }

    /// What the user asks for that a run cannot change any more.
    pub fn asked(&self, preset: Option<&TrainConfig>) -> Asked {
        let of = |flag: Option<usize>, preset: Option<usize>| flag.or(preset);
        Asked {
            sizes: [
                ("--hidden", of(self.sizes.hidden, preset.map(|p| p.hidden))),
                ("--layers", of(self.sizes.layers, preset.map(|p| p.layers))),
                ("--batch", of(self.sizes.batch, preset.map(|p| p.batch))),
                ("--unroll", of(self.sizes.unroll, preset.map(|p| p.unroll))),
            ],
            seed: self.seed,
            validation: self.validation,
        }
    }
}

/// Settings that must be the checkpoint's where the user names them.
pub struct Asked {
    sizes: [(&'static str, Option<usize>); 4],
    seed: Option<u64>,
    validation: Option<Validation>,
}

impl Asked {
    /// What differs from `config`, if anything does.
    pub fn compare(&self, config: &TrainConfig) -> std::result::Result<(), String> {
        self.compare_network(config)?;
        let sizes = self.sizes[2..].iter().zip([config.batch, config.unroll]);
        let sizes = sizes
            .map(|(&(name, asked), found)| (name, asked.map(|n| n.to_string()), found.to_string()));
        let seed = ("--seed", self.seed.map(|s| s.to_string()), config.seed.to_string());
        let validation = self.validation.map(validation_form);
        let validation = ("--validation", validation, validation_form(config.validation));
        first_difference(sizes.chain([seed, validation]))
    }

    /// What differs from the network of `config`, if anything does.
    pub fn compare_network(&self, config: &TrainConfig) -> std::result::Result<(), String> {
        let sizes = self.sizes.iter().zip([config.hidden, config.layers]);
        first_difference(
            sizes.map(|(&(name, asked), found)| {
                (name, asked.map(|n| n.to_string()), found.to_string())
            }),
        )
    }
}

/// The first of (name, asked, found) where something else was asked for.
fn first_difference(
    settings: impl Iterator<Item = (&'static str, Option<String>, String)>,
) -> std::result::Result<(), String> {
    for (name, asked, found) in settings {
        if let Some(asked) = asked.filter(|asked| *asked != found) {
            return Err(format!(
                "{name} {asked} was asked for, but the run has {found}; leave {name} out, or name \
                 another folder with --run"
            ));
        }
    }
    Ok(())
}
