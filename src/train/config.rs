//! Hyper-parameters of a run.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::math::sums::default_groups;
use crate::model::{Initialisation, Sizes};
use crate::optim::adam::AdamConfig;
use crate::optim::schedule::Schedule;
use crate::text::batches::{Batches, Validation};
use crate::text::ids::Ids;

/// Everything that decides what a run computes. The number of threads is not part of it: it does
/// not change a single bit.
///
/// [`Default`] is the article's setting, [`TrainConfig::article`]; [`TrainConfig::builder`] starts from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TrainConfig {
    /// H, LSTM cells in a layer. Default 512.
    pub hidden: usize,
    /// L, layers. Default 2.
    pub layers: usize,
    /// How the LSTM kernels start. Default Glorot uniform.
    pub initialisation: Initialisation,
    /// Standard deviation of the truncated normal from which the first layer's input weights start. Default none:
    /// they start like the other kernels. See [`Parameters::set_input_weights`](crate::model::Parameters::set_input_weights).
    pub input_sd: Option<f64>,
    /// The forget gates' bias at the start: 1 lets the cell state pass. Default 1.
    pub forget_bias: f64,
    /// Whether a layer's cell states are divided by their root mean square on the way to h (Eq. F13). Default no.
    pub cell_norm: bool,
    /// B, rows of a batch. Default 100.
    pub batch: usize,
    /// T, time steps of a batch. Default 100.
    pub unroll: usize,
    /// Groups into which the rows of a batch are cut for sums over them, at most B: their number changes the
    /// last bits of the results (`math::sums`). Default 0, which stands for the largest power of two up to 16 that
    /// leaves each group a row and on average at least 512 of the B·T positions, and is replaced by that number when training starts.
    pub groups: usize,
    /// Passes through the text. Default 20.
    pub epochs: u64,
    /// The step at which to stop, if before the last epoch's end. Default none.
    pub steps: Option<u64>,
    /// Step size, moments and weight decay. Default 1e-3, 0.9, 0.999, 1e-8, 0.
    pub adam: AdamConfig,
    /// How the step size rises and falls. Default: it is constant.
    pub schedule: Schedule,
    /// Probability that dropout keeps an output. Default 0.5; 1 drops nothing.
    pub keep: f64,
    /// Largest global norm of the gradients. Default 5; infinity clips nothing.
    #[serde(deserialize_with = "infinite_if_null")]
    pub clip: f64,
    /// Steps between checkpoints. Default 200.
    pub save_every: u64,
    /// Minutes after which a checkpoint is saved as well. Default none: only steps count.
    pub save_minutes: Option<f64>,
    /// What is held back for validation. Default nothing.
    pub validation: Validation,
    /// Seed of initialisation and dropout. Default 0.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::article()
    }
}

impl TrainConfig {
    /// Names of the presets, for messages.
    pub const PRESETS: [&'static str; 2] = ["article", "quick"];

    /// Most layers of a network, so that the size of a checkpoint bounds what it takes to read.
    pub const MAX_LAYERS: usize = 1024;

    /// The article's network and recipe (`docs/design.md` names the two details that differ).
    pub fn article() -> Self {
        Self {
            hidden: 512,
            layers: 2,
            initialisation: Initialisation::Glorot,
            input_sd: None,
            forget_bias: 1.0,
            cell_norm: false,
            batch: 100,
            unroll: 100,
            groups: 0,
            epochs: 20,
            steps: None,
            adam: AdamConfig::default(),
            schedule: Schedule::default(),
            keep: 0.5,
            clip: 5.0,
            save_every: 200,
            save_minutes: None,
            validation: Validation::None,
            seed: 0,
        }
    }

    /// A small network that learns the built-in text in about a minute on two cores; what was tried for it is in
    /// docs/recipes.md.
    pub fn quick() -> Self {
        Self {
            hidden: 192,
            layers: 2,
            input_sd: Some(0.5),
            cell_norm: true,
            batch: 16,
            unroll: 48,
            epochs: 15,
            adam: AdamConfig { learning_rate: 16e-3, weight_decay: 0.1, ..AdamConfig::default() },
            schedule: Schedule::trapezoid(2790),
            keep: 0.8,
            save_every: 480,
            ..Self::article()
        }
    }

    /// A text's `ids` as batches to train on and to validate with.
    ///
    /// # Errors
    /// Those of [`Batches::new`].
    pub fn batches(&self, ids: Ids) -> Result<Batches> {
        Batches::new(ids, self.batch, self.unroll, self.validation)
    }

    /// The step after which training ends, with so many batches in a pass: the one at which it is told to stop, the
    /// last one of the last pass or the one at which the learning rate has fallen to 0, whichever comes first.
    pub fn last_step(&self, batches_per_epoch: u64) -> u64 {
        let all = self.epochs.saturating_mul(batches_per_epoch);
        let ends = [self.steps, self.schedule.descent.map(|(_, end)| end)];
        ends.into_iter().flatten().fold(all, u64::min)
    }

    /// Whether a run validates and saves after `step`, with so many batches in a pass: every `save_every` steps and at the
    /// last one.
    pub(super) fn is_due(&self, step: u64, batches_per_epoch: u64) -> bool {
        step.is_multiple_of(self.save_every) || step == self.last_step(batches_per_epoch)
    }

    /// A builder that starts from the article's setting.
    ///
    /// ```
    /// use karenina::train::TrainConfig;
    ///
    /// let config = TrainConfig::builder().hidden(64).learning_rate(3e-3).steps(Some(200)).build()?;
    /// assert_eq!((config.hidden, config.layers, config.adam.learning_rate), (64, 2, 3e-3));
    /// assert!(TrainConfig::builder().keep(0.0).build().is_err(), "it would drop everything");
    /// # Ok::<(), karenina::error::Error>(())
    /// ```
    pub fn builder() -> TrainConfigBuilder {
        Self::article().into_builder()
    }

    /// A builder that starts from this configuration, as in `TrainConfig::quick().into_builder()`.
    pub fn into_builder(self) -> TrainConfigBuilder {
        TrainConfigBuilder(self)
    }

    /// The preset called `name`.
    ///
    /// # Errors
    /// [`Error::Setting`] if there is none.
    pub fn preset(name: &str) -> Result<Self> {
        match name {
            "article" => Ok(Self::article()),
            "quick" => Ok(Self::quick()),
            _ => Err(Error::setting("preset", name, Self::PRESETS.join(" or "))),
        }
    }

    /// The number of groups that training uses: [`TrainConfig::groups`], or what its 0 stands for.
    pub fn groups_in_use(&self) -> usize {
        match self.groups {
            0 => default_groups(self.batch, self.unroll),
            groups => groups,
        }
    }

    /// The sizes of the network over `vocabulary` characters.
    pub fn sizes(&self, vocabulary: usize) -> Sizes {
        Sizes::new(vocabulary, self.hidden, self.layers).with_cell_norm(self.cell_norm)
    }

    /// The same for a network of these `sizes`.
    pub(super) fn of_network(self, sizes: Sizes) -> Self {
        let Sizes { hidden, layers, cell_norm, .. } = sizes;
        Self { hidden, layers, cell_norm, ..self }
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value out of its range.
    pub fn validate(&self) -> Result<()> {
        let whole = [
            ("hidden", self.hidden as u64),
            ("layers", self.layers as u64),
            ("batch", self.batch as u64),
            ("unroll", self.unroll as u64),
            ("epochs", self.epochs),
            ("save_every", self.save_every),
            ("steps", self.steps.unwrap_or(1)),
        ];
        for (name, value) in whole {
            Error::require(value >= 1, name, value, "at least 1")?;
        }
        // dW and the masks of dropout number the positions of a batch in 32 bits.
        let positions = self.batch.checked_mul(self.unroll).map(u32::try_from);
        let found = format!("{} x {}", self.batch, self.unroll);
        let expected = "fewer than 4294967296 characters, which are numbered in 32 bits";
        Error::require(matches!(positions, Some(Ok(_))), "batch x unroll", found, expected)?;
        let at_most_batch = format!("at most {}, the batch's rows", self.batch);
        Error::require(self.groups <= self.batch, "groups", self.groups, &at_most_batch)?;
        Error::require(self.layers <= Self::MAX_LAYERS, "layers", self.layers, "at most 1024")?;
        self.adam.validate()?;
        self.schedule.validate()?;
        let keep = self.keep;
        // Less than one of the 2³² numbers that a mask is drawn from would drop everything.
        let keeps = keep * 2f64.powi(32) >= 1.0 && keep <= 1.0;
        Error::require(keeps, "keep", keep, "above 0 and at most 1")?;
        // A smaller factor than f32 has would make every gradient 0.
        let clips = self.clip >= 1e-30;
        Error::require(clips, "clip", self.clip, "at least 1e-30 (inf turns clipping off)")?;
        if let Validation::Share(share) = self.validation {
            Error::require(share > 0.0 && share < 1.0, "validation", share, "above 0 and below 1")?;
        }
        let init_sd = match self.initialisation {
            Initialisation::TruncatedNormal(sd) => Some(sd),
            Initialisation::Glorot => None,
        };
        let optional = [
            ("save_minutes", self.save_minutes),
            ("initialisation", init_sd),
            ("input_sd", self.input_sd),
        ];
        for (name, value) in optional {
            let value = value.unwrap_or(1.0);
            let holds = (2.0 * value as f32).is_finite() && value > 0.0; // weights are up to twice an sd
            Error::require(holds, name, value, "above 0 and at most 1.5e38")?;
        }
        let bias = self.forget_bias;
        Error::require((bias as f32).is_finite(), "forget_bias", bias, "from -3e38 to 3e38")?;
        Ok(())
    }
}

/// Makes a [`TrainConfig`]; see [`TrainConfig::builder`].
#[derive(Clone, Debug, PartialEq)]
#[must_use = "`build` makes the configuration"]
pub struct TrainConfigBuilder(TrainConfig);

/// A method for each setting, of its name and type, and the field that it sets.
macro_rules! setters {
    ($($name:ident: $type:ty => $($field:ident).+,)*) => {$(
        #[doc = concat!("Sets `", stringify!($($field).+), "` of [`TrainConfig`].")]
        pub fn $name(mut self, $name: $type) -> Self {
            self.0.$($field).+ = $name;
            self
        }
    )*};
}

impl TrainConfigBuilder {
    setters! {
        hidden: usize => hidden,
        layers: usize => layers,
        initialisation: Initialisation => initialisation,
        input_sd: Option<f64> => input_sd,
        forget_bias: f64 => forget_bias,
        cell_norm: bool => cell_norm,
        batch: usize => batch,
        unroll: usize => unroll,
        groups: usize => groups,
        epochs: u64 => epochs,
        steps: Option<u64> => steps,
        learning_rate: f64 => adam.learning_rate,
        beta1: f64 => adam.beta1,
        beta2: f64 => adam.beta2,
        epsilon: f64 => adam.epsilon,
        weight_decay: f64 => adam.weight_decay,
        warm_up: u64 => schedule.warm_up,
        descent: Option<(u64, u64)> => schedule.descent,
        keep: f64 => keep,
        clip: f64 => clip,
        save_every: u64 => save_every,
        save_minutes: Option<f64> => save_minutes,
        validation: Validation => validation,
        seed: u64 => seed,
    }

    /// The configuration.
    ///
    /// # Errors
    /// Those of [`TrainConfig::validate`].
    pub fn build(self) -> Result<TrainConfig> {
        self.0.validate().map(|()| self.0)
    }
}

/// JSON has no infinity: it is written as null.
fn infinite_if_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_make_every_number_0_is_refused() {
        let article = TrainConfig::article;
        assert!(article().into_builder().keep(1e-9).clip(1e-30).build().is_ok());
        assert!(article().into_builder().keep(1e-10).build().is_err(), "no number is so small");
        assert!(article().into_builder().clip(1e-40).build().is_err(), "gradients that are 0");
    }

    #[test]
    fn a_moment_that_would_forget_nothing_in_f32_is_refused() {
        let of = |beta1, beta2| TrainConfig::builder().beta1(beta1).beta2(beta2).build();
        assert!(of(0.0, 1.0 - 1e-7).is_ok());
        assert!(of(0.9, 1.0 - 1e-9).is_err() && of(1.0 - 1e-9, 0.999).is_err());
        assert!(of(f64::NAN, 0.999).is_err());
    }

    #[test]
    fn more_positions_than_32_bits_number_are_refused() {
        let of = |batch, unroll| TrainConfig::builder().batch(batch).unroll(unroll).build();
        assert!(of(3 * 17, 5 * 257 * 65_537).is_ok(), "2³² - 1");
        for (batch, unroll) in [(1 << 16, 1 << 16), (usize::MAX, 3), (100, usize::MAX)] {
            let error = of(batch, unroll).unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "batch x unroll is {batch} x {unroll}, but must be fewer than 4294967296 characters, which are \
                     numbered in 32 bits"
                )
            );
        }
    }
}
