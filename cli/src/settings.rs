//! Hyper-parameters as arguments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args};
use karenina::error::{Error, Result};
use karenina::math::matmul::Storage;
use karenina::model::Initialisation;
use karenina::optim::schedule::Schedule;
use karenina::ranks::Ranks;
use karenina::study::choice::{Choice, for_minutes};
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::Loaded;
use karenina::train::{TrainConfig, Workers};

use super::input::{TextArgs, load};
use super::job::WorkersArgs;

/// Whether cells are normalised.
#[derive(Args)]
pub struct NormArg {
    /// Divide the cell states by their root mean square on the way to the output; without a value: true
    /// [default: true, but false for the preset article, in gradcheck and in trace]
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        default_missing_value = "true",
        value_parser = truth
    )]
    cell_norm: Option<bool>,
}

fn truth(text: &str) -> std::result::Result<bool, &'static str> {
    text.parse().map_err(|_| "true or false; before a text, write --cell-norm=true")
}

impl NormArg {
    /// What the user has set, or else `default`.
    pub fn or(&self, default: bool) -> bool {
        self.cell_norm.unwrap_or(default)
    }
}

/// The sizes of network and batch.
#[derive(Args)]
pub struct Sizes {
    /// LSTM cells in a layer [default: article 512, quick 192, otherwise chosen for text and time]
    #[arg(long, value_name = "H")]
    hidden: Option<usize>,
    /// LSTM layers [default: 2]
    #[arg(long, value_name = "L")]
    layers: Option<usize>,
    #[command(flatten)]
    norm: NormArg,
    /// Rows of a batch [default: article 100, quick 16, otherwise chosen for text and time]
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Time steps of a batch [default: article 100, quick 48, otherwise chosen for text and time]
    #[arg(long, value_name = "T")]
    unroll: Option<usize>,
    /// Groups into which the rows of a batch are divided, at least one for each rank. Their number changes the last bits
    /// of the results [default: up to 16, each of 512 characters or more on average]
    #[arg(long, value_name = "G")]
    groups: Option<usize>,
}

/// `arg`, one of [`Sizes`], of a command that always has a preset.
pub fn of_preset(arg: Arg) -> Arg {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    arg.help(help.replace(", otherwise chosen for text and time", ""))
}

impl Sizes {
    /// `config` with the sizes that the user has set.
    pub fn on_top_of(&self, mut config: TrainConfig) -> TrainConfig {
        config.hidden = self.hidden.unwrap_or(config.hidden);
        config.layers = self.layers.unwrap_or(config.layers);
        config.cell_norm = self.norm.or(config.cell_norm);
        config.batch = self.batch.unwrap_or(config.batch);
        config.unroll = self.unroll.unwrap_or(config.unroll);
        config.groups = self.groups.unwrap_or(config.groups);
        config
    }
}

/// The type in which weights are stored.
#[derive(Args)]
pub struct WeightsArg {
    /// How weights are stored: in networks of some 250 cells or more f16 and bf16 are faster, since they halve the
    /// memory that is read for each character; i8 quarters it, which pays off with AVX-512 from about 300 cells on.
    /// Predictions may get slightly worse; `karenina eval --weights` measures by how much
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
    /// Draw the LSTM's first weights from a truncated normal distribution of this standard deviation
    /// [default: Glorot uniform]
    #[arg(long, value_name = "X")]
    init_sd: Option<f64>,
    /// Draw the first layer's input weights from a truncated normal distribution of this standard deviation
    /// [default: article like the others, quick 0.5, otherwise 1]
    #[arg(long, value_name = "X")]
    input_sd: Option<f64>,
    /// Bias of the forget gates before training [default: 1]
    #[arg(long, value_name = "X")]
    forget_bias: Option<f64>,
    /// Passes through the text; with --resume another number also lifts the limit of steps of a run that was planned
    /// [default: article 20, quick 15, otherwise chosen for text and time]
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Stop at step N, counted from the start of the run. A learning rate that falls does so until then, unless
    /// --descent is given. A resumed run keeps this limit unless told otherwise; `all` removes it
    /// [default: all with a preset, otherwise chosen for text and time]
    #[arg(long, value_name = "N|all", value_parser = steps)]
    steps: Option<Limit<u64>>,
    /// Highest learning rate of Adam [default: article 0.001, quick 0.016, otherwise 2 / H, at most 0.016]
    #[arg(long, value_name = "X")]
    learning_rate: Option<f64>,
    /// Steps over which the learning rate rises to its highest value [default: article 0, otherwise a fiftieth of the run]
    #[arg(long, value_name = "N")]
    warm_up: Option<u64>,
    /// Learning-rate decay, or cooldown: from step D on, the rate falls linearly towards 0 until step N, where the run ends
    /// if it has not ended before; with `none` it does not fall [default: article none, otherwise the last two fifths of the run]
    #[arg(long, value_name = "D..N|none", value_parser = descent)]
    descent: Option<Limit<(u64, u64)>>,
    /// Weight decay: each step shrinks every parameter by the fraction X times the learning rate
    /// [default: article 0, quick 0.1, otherwise chosen for text and time]
    #[arg(long, value_name = "X")]
    weight_decay: Option<f64>,
    /// Probability that dropout keeps an output; 1 turns dropout off
    /// [default: article 0.5, quick 0.8, otherwise chosen for text and time]
    #[arg(long, value_name = "P")]
    keep: Option<f64>,
    /// Largest global norm of the gradients; inf turns clipping off [default: 5]
    #[arg(long, value_name = "X")]
    clip: Option<f64>,
    /// Steps between checkpoints [default: article 200, quick 480, otherwise a twelfth of the run]
    #[arg(long, value_name = "N")]
    save_every: Option<u64>,
    /// Also save every M minutes; of these checkpoints the last two are kept. A resumed run keeps this setting unless
    /// told otherwise; `none` turns it off
    /// [default: none with a preset, otherwise 10]
    #[arg(long, value_name = "M|none", value_parser = minutes)]
    save_minutes: Option<Limit<f64>>,
    /// How much of the text's end to hold back for validation: a share such as 0.1, or a number of batches
    /// such as 3 [default: none with a preset, otherwise at most a twentieth, but at least one batch]
    #[arg(long, value_name = "X", value_parser = validation)]
    validation: Option<Validation>,
    /// Seed of the initial weights and of dropout [default: 0]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

/// A limit, or none.
#[derive(Clone, Copy)]
pub struct Limit<T>(pub Option<T>);

fn steps(text: &str) -> std::result::Result<Limit<u64>, String> {
    limit(text, "all").ok_or_else(|| "a number of steps, or all".into())
}

fn descent(text: &str) -> std::result::Result<Limit<(u64, u64)>, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let steps = text.split_once("..").and_then(|(start, end)| {
        let (start, end) = (start.parse().ok()?, end.parse().ok()?);
        (start < end).then_some((start, end))
    });
    let limit = steps.map(|steps| Limit(Some(steps)));
    limit.ok_or_else(|| "two steps, the first one smaller, such as 600..1000, or none".into())
}

fn minutes(text: &str) -> std::result::Result<Limit<f64>, String> {
    limit(text, "none").ok_or_else(|| "a number of minutes, or none".into())
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
    let share = text.parse().map_err(|_| "a share such as 0.1, or a number of batches")?;
    Ok(Validation::Share(share))
}

/// How many characters at the end of `corpus` a run of this `config` holds back for validation.
pub fn held_back(config: &TrainConfig, corpus: &Corpus) -> Result<usize> {
    let batches = config.batches(corpus.ids().clone())?;
    let is_any = batches.validation_len() > 0;
    Ok(if is_any { corpus.len() - batches.validation_position(0, 0).start } else { 0 })
}

/// Minutes for a user's own text.
const MINUTES: f64 = 20.0;

/// What decides what a run computes: the arguments that training and planning share.
#[derive(Args)]
pub struct Recipe {
    #[command(flatten)]
    pub texts: TextArgs,
    /// article: 2 layers of 512 cells, batches of 100 x 100 characters, 20 epochs, learning rate 0.001, keep 0.5;
    /// quick: 2 layers of 192, 16 x 48, 15 epochs, 0.016 with a descent, weight decay 0.1, keep 0.8
    /// [default: quick for the built-in text]
    #[arg(long, value_name = "NAME", conflicts_with = "minutes")]
    preset: Option<String>,
    /// Minutes to train: network, batches, learning rate and number of steps are chosen to suit this time and the text
    /// [default: 20 for a text of your own]
    #[arg(long, value_name = "M")]
    minutes: Option<f64>,
    /// Start with the network of a run or of an imported model instead of a new one; for a folder, its best checkpoint
    /// by validation is used
    #[arg(
        long,
        value_name = "DIR or FILE",
        conflicts_with_all = ["hidden", "layers", "cell_norm", "init_sd", "input_sd", "forget_bias"]
    )]
    pub from: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    workers: WorkersArgs,
}

/// What a new run is to start with.
pub struct Start {
    /// The text, in the characters that the run knows.
    pub corpus: Corpus,
    /// The network to start with, if it is to be no new one.
    pub model: Option<Checkpoint>,
    /// How to train.
    pub config: TrainConfig,
    /// Why it is that configuration and that network; empty where the user has named it.
    pub reason: String,
}

impl Recipe {
    /// [`WorkersArgs::run`] with the text that the user names.
    pub fn run(
        &self,
        is_saved: bool,
        lead: impl FnOnce(&Workers, Corpus) -> Result<ExitCode>,
    ) -> Result<ExitCode> {
        let read = |ranks: &Ranks| {
            self.validate()?;
            self.texts.read_on(ranks)
        };
        self.workers.run(is_saved, read, lead)
    }

    /// The preset that the user names.
    fn preset(&self) -> Result<Option<TrainConfig>> {
        self.preset.as_deref().map(TrainConfig::preset).transpose()
    }

    /// Refuses to change what is fixed in the configuration of a `run`, by an option or by the sizes of a preset.
    pub fn require_same(&self, run: &TrainConfig) -> std::result::Result<(), String> {
        let mut asked = run.clone();
        if let Ok(Some(preset)) = self.preset() {
            (asked.batch, asked.unroll) = (preset.batch, preset.unroll);
            // With --from the network is that of another run.
            if self.from.is_none() {
                (asked.hidden, asked.layers) = (preset.hidden, preset.layers);
            }
        }
        let (asked, without_preset) =
            (self.settings.on_top_of(asked), self.settings.on_top_of(run.clone()));
        let Some((name, value)) = FIXED.iter().find(|(_, value)| value(&asked) != value(run))
        else {
            return Ok(());
        };
        let (is, cause) = match value(&without_preset) == value(run) {
            true => ("comes with that --preset", "--preset"),
            false => ("was asked for", *name),
        };
        Err(format!(
            "{name} {} {is}, but the run has {}; leave {cause} out, or name another folder with --run",
            value(&asked),
            value(run)
        ))
    }

    /// Refuses another start or other minutes than those for which a run was planned, of which its `choice` speaks:
    /// they would change nothing any more.
    pub fn require_planned_for(&self, choice: &str) -> std::result::Result<(), String> {
        let start = start_of(choice).map(|(path, _)| path);
        if let Some(from) = self.from.as_ref().filter(|from| !start.is_some_and(|s| is_in(s, from)))
        {
            return Err(format!(
                "--from {} was asked for, but the run started with {}; leave it out, or name another folder \
                 with --run",
                from.display(),
                start.unwrap_or("a new network")
            ));
        }
        let plan = plan_of(choice).unwrap_or_default();
        let asked = self.minutes.filter(|&minutes| !plan.starts_with(&for_minutes(minutes)));
        asked.map_or(Ok(()), |minutes| {
            Err(format!(
                "--minutes {minutes} was asked for, but --minutes only plans a new run; leave it out, and use --steps to \
                 end this one at another step"
            ))
        })
    }

    /// Refuses settings that no text could make right, before a text is read.
    fn validate(&self) -> Result<()> {
        let preset = self.preset()?;
        let mut any = preset.clone().unwrap_or_default();
        if preset.is_none() {
            // A batch that nobody asks for has a row for each group.
            any.batch = any.batch.max(self.settings.sizes.groups.unwrap_or(0));
        }
        self.settings.on_top_of(any).validate()
    }

    /// What a new run on `corpus` starts with.
    pub fn start(&self, corpus: Corpus, workers: &Workers) -> Result<Start> {
        let Some(path) = &self.from else {
            let (config, reason) = self.choose(&corpus, None, workers)?;
            return Ok(Start { corpus, model: None, config, reason });
        };
        let Loaded { path, checkpoint: model, .. } = load(path).map_err(|error| match error {
            Error::NoCheckpoint { path } => {
                let expected = "a folder with a checkpoint in it, or a checkpoint";
                Error::setting("from", path.display(), expected)
            }
            error => error,
        })?;
        let known = &model.vocabulary;
        let all = corpus.vocabulary().union(known);
        let is_new = |c: &&char| known.id(**c).is_none();
        let new: Vec<_> = all.characters().iter().filter(is_new).copied().collect();
        let corpus = corpus.in_terms_of(&all)?;
        let (config, reason) = self.choose(&corpus, Some(&model), workers)?;
        let mut start = starting_with(&path, known.len(), &new);
        if !reason.is_empty() {
            start += &format!("; {reason}");
        }
        Ok(Start { corpus, model: Some(model), config, reason: start })
    }

    /// The configuration of a new run on `corpus`, and why it is that one; the reason is empty where the user
    /// has named it.
    fn choose(
        &self,
        corpus: &Corpus,
        model: Option<&Checkpoint>,
        workers: &Workers,
    ) -> Result<(TrainConfig, String)> {
        let on_top = |config| {
            self.settings.on_top_of(match model {
                None => config,
                Some(model) => of_network(config, &model.config),
            })
        };
        let preset = match (self.preset()?, self.minutes) {
            (None, None) if self.texts.is_embedded() && model.is_none() => {
                Some(TrainConfig::quick())
            }
            (preset, _) => preset,
        };
        if let Some(preset) = preset {
            let config = self.settings.with_its_end(on_top(preset), corpus);
            return Ok((config, String::new()));
        }
        let is_all = self.settings.steps.is_some_and(|steps| steps.0.is_none());
        let expected = "a number, since nothing else says where a planned run ends; `all` goes with --epochs or \
                        --preset";
        Error::require(!is_all || self.settings.epochs.is_some(), "steps", "all", expected)?;
        let choice = Choice::new(corpus, self.minutes.unwrap_or(MINUTES), workers, on_top)?;
        Ok((choice.config, choice.reason))
    }
}

/// Whether a run was planned for a number of steps, and its passes are only as many as these take.
pub fn passes_follow_steps(checkpoint: &Checkpoint, batches_per_epoch: u64) -> bool {
    let TrainConfig { epochs, steps, .. } = checkpoint.config;
    let passes = steps.map(|steps| steps.div_ceil(batches_per_epoch));
    plan_of(&checkpoint.choice).is_some() && passes == Some(epochs)
}

/// `config` for the network that `model` describes.
fn of_network(mut config: TrainConfig, model: &TrainConfig) -> TrainConfig {
    (config.hidden, config.layers, config.cell_norm) =
        (model.hidden, model.layers, model.cell_norm);
    // How that was drawn once.
    config.initialisation = model.initialisation;
    (config.input_sd, config.forget_bias) = (model.input_sd, model.forget_bias);
    config
}

/// Characters that a message names one by one.
const NAMED: usize = 12;

/// Around the path in the sentence about a run's start.
const STARTS_WITH: &str = "starts with the network of ";
const KNOWS: &str = ", which knows ";
const AS_THE_MEAN: &str = "with weights that start as the mean of the others";

/// The network that a run started with, by its path, and all that its `choice` says after that.
fn start_of(choice: &str) -> Option<(&str, &str)> {
    choice.strip_prefix(STARTS_WITH)?.rsplit_once(KNOWS)
}

/// The plan in a run's `choice`, which may begin with another network.
pub fn plan_of(choice: &str) -> Option<&str> {
    match start_of(choice) {
        None => Some(choice).filter(|plan| !plan.is_empty()),
        // Characters are named in quotes, so that none looks like this.
        Some((_, rest)) => rest.find("; for ").map(|end| &rest[end + 2..]),
    }
}

/// Whether the file at `path` is `place`, or lies in that folder.
fn is_in(path: &str, place: &Path) -> bool {
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| whole(path));
    let path = Path::new(path);
    // The sentence cannot name a path that is not UTF-8 in full.
    real(path).starts_with(real(place)) || path.starts_with(&*whole(place).to_string_lossy())
}

/// A path that means the same whatever folder a later command is typed in.
fn whole(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.into())
}

/// The sentence about a run that starts with the network in `path`, which knows so many characters and not the
/// `new` ones.
fn starting_with(path: &Path, known: usize, new: &[char]) -> String {
    let start = format!("{STARTS_WITH}{}{KNOWS}{known} characters", whole(path).display());
    let named: String = new.iter().take(NAMED).map(|c| format!(" {c:?}")).collect();
    match new.len() {
        0 => format!("{start}, including all those in the text"),
        1 => format!("{start}; one more is in the text:{named}, {AS_THE_MEAN}"),
        n if n <= NAMED => format!("{start}; {n} more are in the text:{named}, {AS_THE_MEAN}"),
        n => {
            let others = n - NAMED;
            format!("{start}; {n} more are in the text:{named} and {others} others, {AS_THE_MEAN}")
        }
    }
}

/// A setting by its option, and its value in a configuration as the user would type it.
type Fixed = (&'static str, fn(&TrainConfig) -> String);

/// What cannot change in a run.
const FIXED: [Fixed; 11] = [
    ("--hidden", |c| c.hidden.to_string()),
    ("--layers", |c| c.layers.to_string()),
    ("--cell-norm", |c| c.cell_norm.to_string()),
    ("--init-sd", |c| match c.initialisation {
        Initialisation::TruncatedNormal(sd) => sd.to_string(),
        _ => "none".into(),
    }),
    ("--input-sd", |c| c.input_sd.map_or("none".into(), |sd| sd.to_string())),
    ("--forget-bias", |c| c.forget_bias.to_string()),
    ("--batch", |c| c.batch.to_string()),
    ("--unroll", |c| c.unroll.to_string()),
    ("--groups", |c| c.groups_in_use().to_string()),
    ("--seed", |c| c.seed.to_string()),
    ("--validation", |c| c.validation.to_string()),
];

impl Settings {
    /// `base` with everything the user has set.
    pub fn on_top_of(&self, base: TrainConfig) -> TrainConfig {
        let mut config = self.sizes.on_top_of(base);
        if let Some(sd) = self.init_sd {
            config.initialisation = Initialisation::TruncatedNormal(sd);
        }
        config.input_sd = self.input_sd.or(config.input_sd);
        config.forget_bias = self.forget_bias.unwrap_or(config.forget_bias);
        config.epochs = self.epochs.unwrap_or(config.epochs);
        config.steps = self.steps.map_or(config.steps, |limit| limit.0);
        config.adam.learning_rate = self.learning_rate.unwrap_or(config.adam.learning_rate);
        let decay = self.weight_decay.unwrap_or(config.adam.weight_decay);
        config.adam.weight_decay = decay;
        config.schedule.warm_up = self.warm_up.unwrap_or(config.schedule.warm_up);
        config.schedule.descent = self.descent.map_or(config.schedule.descent, |limit| limit.0);
        config.keep = self.keep.unwrap_or(config.keep);
        config.clip = self.clip.unwrap_or(config.clip);
        config.save_every = self.save_every.unwrap_or(config.save_every);
        config.save_minutes = self.save_minutes.map_or(config.save_minutes, |limit| limit.0);
        config.validation = self.validation.unwrap_or(config.validation);
        config.seed = self.seed.unwrap_or(config.seed);
        config
    }

    /// `config` with a learning rate that is down when the run ends, also where the user has moved the end. One who
    /// names the descent gets that.
    pub fn with_its_end(&self, mut config: TrainConfig, corpus: &Corpus) -> TrainConfig {
        // A text too short for a batch is refused with all that is said of it then.
        if let (None, Ok(batches)) = (self.descent, config.batches(corpus.ids().clone())) {
            let mut level = config.clone();
            level.schedule = Schedule::default();
            config.schedule = config.schedule.ending_at(level.last_step(batches.len() as u64));
            config.schedule.warm_up = self.warm_up.unwrap_or(config.schedule.warm_up);
        }
        config
    }

    /// The configuration of the run on `corpus` that `checkpoint` is of, with everything the user has set for going on.
    /// Whoever moves its end moves the descent of the learning rate too. The error is a sentence about settings that
    /// do not suit the run.
    pub fn going_on(
        &self,
        checkpoint: &Checkpoint,
        corpus: &Corpus,
    ) -> std::result::Result<TrainConfig, String> {
        let old = &checkpoint.config;
        let mut config = self.on_top_of(old.clone());
        if let Ok(batches) = old.batches(corpus.ids().clone())
            && passes_follow_steps(checkpoint, batches.len() as u64)
        {
            match (self.epochs, self.steps) {
                (Some(epochs), None) if epochs != old.epochs => config.steps = None,
                (Some(_), _) => {}
                (None, Some(Limit(None))) => {
                    let reason = "--steps all was asked for, but this run was planned for a number of steps and has no \
                                  other end; give --steps N or --epochs N";
                    return Err(reason.into());
                }
                (None, _) => {
                    let passes = |steps: u64| steps.div_ceil(batches.len() as u64);
                    config.epochs = config.steps.map_or(config.epochs, passes);
                }
            }
        }
        // `--steps all` lifts a descent that came sooner too.
        let is_moved = self.steps.is_some_and(|steps| steps.0.is_none() || steps.0 != old.steps)
            || self.epochs.is_some_and(|epochs| epochs != old.epochs);
        Ok(if is_moved { self.with_its_end(config, corpus) } else { config })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};
    use karenina::train::Trainer;

    use super::*;

    fn recipe(words: &str) -> Recipe {
        let command = Recipe::augment_args(Command::new("train").no_binary_name(true));
        Recipe::from_arg_matches(&command.get_matches_from(words.split_whitespace())).unwrap()
    }

    /// A text of some thousands of characters.
    fn text(times: usize) -> Corpus {
        Corpus::from_text(&"It was a fine day, and the carriages rolled by. ".repeat(times))
    }

    /// Of a share, whole batches are validated, but all of it is held back.
    #[test]
    fn more_may_be_held_back_than_is_validated() {
        for (validation, expected) in
            [("", 0), ("--validation 0.101", 1939), ("--validation 3", 300)]
        {
            let sizes = "text --preset article --hidden 4 --batch 2 --unroll 50";
            let recipe = recipe(&format!("{sizes} {validation}"));
            let start = recipe.start(text(400), &Workers::from(1)).unwrap();
            assert_eq!(
                held_back(&start.config, &start.corpus).ok(),
                Some(expected),
                "{validation}"
            );
        }
    }

    #[test]
    fn whoever_goes_on_with_the_same_words_changes_nothing() {
        for end in [
            "--preset quick",
            "--preset quick --steps all",
            "--preset quick --steps 7 --warm-up 3",
            "--preset quick --descent 6..10 --steps all",
        ] {
            let recipe = recipe(&format!("text --hidden 4 {end}"));
            let workers = Workers::from(1);
            let Start { corpus, config, reason, .. } = recipe.start(text(100), &workers).unwrap();
            let run = Trainer::new(&corpus, config, 1).unwrap().chosen_because(reason);
            let run = run.checkpoint().clone();
            let on = recipe.settings.going_on(&run, &corpus);
            assert_eq!(on.as_ref(), Ok(&run.config), "{end}");
        }
        for end in ["--steps all", "--steps all --descent none"] {
            let recipe = recipe(&format!("text --minutes 0.001 --hidden 4 {end}"));
            let error = recipe.start(text(100), &Workers::from(1)).err().unwrap();
            assert!(error.to_string().starts_with("steps is all, but must be a number"), "{error}");
        }
    }

    /// Every setting, each with a value that no preset has.
    const ALL: &str = "--hidden 31 --layers 3 --cell-norm true --batch 21 --unroll 33 --groups 7 --init-sd 0.25 \
                       --input-sd 0.75 --forget-bias 1.5 --epochs 11 --steps 99 --learning-rate 0.125 --warm-up 4 \
                       --descent 50..90 --weight-decay 0.375 --keep 0.625 --clip 2.5 --save-every 13 --save-minutes 3 \
                       --validation 5 --seed 9";

    #[test]
    fn every_option_reaches_its_own_setting() {
        let config = recipe(&format!("text {ALL}")).settings.on_top_of(TrainConfig::article());
        let expected = TrainConfig::builder().hidden(31).layers(3).cell_norm(true).batch(21);
        let expected = expected.initialisation(Initialisation::TruncatedNormal(0.25));
        let expected = expected.unroll(33).groups(7).input_sd(Some(0.75)).forget_bias(1.5);
        let expected = expected.epochs(11).steps(Some(99)).learning_rate(0.125).warm_up(4);
        let expected = expected.descent(Some((50, 90))).weight_decay(0.375).keep(0.625).clip(2.5);
        let expected = expected.save_every(13).save_minutes(Some(3.0)).seed(9);
        let expected = expected.validation(Validation::Batches(5));
        assert_eq!(config, expected.build().unwrap());
    }

    #[test]
    fn what_is_fixed_in_a_run_is_refused_by_its_name() {
        let run = recipe(&format!("text {ALL}")).settings.on_top_of(TrainConfig::article());
        assert_eq!(recipe(&format!("text {ALL}")).require_same(&run), Ok(()));
        for other in [
            "--hidden 32",
            "--layers 2",
            "--cell-norm false",
            "--batch 22",
            "--unroll 34",
            "--groups 6",
            "--init-sd 0.5",
            "--input-sd 0.5",
            "--forget-bias 1",
            "--validation 4",
            "--seed 8",
        ] {
            let refused = recipe(&format!("text {other}")).require_same(&run).unwrap_err();
            assert!(
                refused.starts_with(&format!("{other} was asked for, but the run has ")),
                "{refused}"
            );
        }
    }

    #[test]
    fn without_a_word_the_built_in_text_is_quick_and_any_other_takes_20_minutes() {
        let workers = Workers::from(1);
        let Start { config, reason, .. } =
            recipe("--hidden 4").start(Corpus::embedded(), &workers).unwrap();
        let quick = TrainConfig::quick().into_builder().hidden(4).build().unwrap();
        assert_eq!((config, reason), (quick, String::new()));
        let own = recipe("text --hidden 4 --steps 2").start(text(40), &workers).unwrap();
        assert!(own.reason.starts_with("for 20 minutes and "), "{}", own.reason);
    }

    /// What is saved of a new run that is told what `words` say, if its network is given or not.
    fn begun(words: &str, corpus: &Corpus, is_given: bool) -> Checkpoint {
        let start = recipe(&format!("text --hidden 4 --batch 16 --unroll 32 {words}"));
        let Start { config, reason, .. } = start.start(corpus.clone(), &Workers::from(1)).unwrap();
        let given = starting_with(Path::new("; for 9 minutes and"), 5, &[';', 'f']);
        let choice = match is_given {
            true if reason.is_empty() => given,
            true => format!("{given}; {reason}"),
            false => reason,
        };
        Trainer::new(corpus, config, 1).unwrap().chosen_because(choice).checkpoint().clone()
    }

    #[test]
    fn a_planned_run_that_was_shortened_is_lengthened_again() {
        let corpus = text(400);
        for is_given in [false, true] {
            let mut run = begun("--minutes 20 --steps 200", &corpus, is_given);
            let epoch = run.config.batches(corpus.ids().clone()).unwrap().len() as u64;
            for steps in [60, 500] {
                let words = recipe(&format!("text --steps {steps}"));
                run.config = words.settings.going_on(&run, &corpus).unwrap();
                assert_eq!(run.config.last_step(epoch), steps);
            }
            let all = recipe("text --steps all").settings.going_on(&run, &corpus);
            assert!(all.unwrap_err().contains("give --steps N or --epochs N"));
        }
    }

    #[test]
    fn a_run_with_a_preset_is_not_planned_whatever_network_it_starts_with() {
        let corpus = text(400);
        for is_given in [false, true] {
            let run = begun("--preset quick --epochs 1 --steps 10", &corpus, is_given);
            let goes_on = |words| {
                let TrainConfig { epochs, steps, .. } =
                    recipe(words).settings.going_on(&run, &corpus).unwrap();
                (epochs, steps)
            };
            assert_eq!(goes_on("text --steps 100"), (1, Some(100)), "{}", run.choice);
            assert_eq!(goes_on("text --epochs 2"), (2, Some(10)), "{}", run.choice);
        }
    }
}
