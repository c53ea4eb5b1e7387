//! A text that was taken through a network and back, with everything kept.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::{ArrayView2, s};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::memory;
use crate::model::{Parameters, Sizes};
use crate::study::trace::pass::{self, Gradient, Pass};
use crate::study::trace::{Equation, Spot, numbers, require_below, require_two, tensors};

/// A text of T + 1 characters, read from an empty memory: T steps, each of which reads one character and predicts the
/// next. The gradient is that of the mean loss.
///
/// ```
/// use std::sync::Arc;
///
/// use karenina::model::{Initialisation, Parameters, Sizes};
/// use karenina::rand::SeedableRng;
/// use karenina::study::lab::{Quantity, Walk};
/// use karenina::study::trace::Spot;
///
/// let sizes = Sizes::new(2, 4, 1);
/// let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(0);
/// let parameters = Arc::new(Parameters::initial(sizes, Initialisation::Glorot, &mut rng));
/// let walk = Walk::new(parameters, &['a', 'n'], vec![0, 1, 1, 0])?;
/// let equations = walk.equations(Spot { step: 1, layer: 0, unit: 2 })?;
/// let c = equations.iter().find(|equation| equation.label == "F6").expect("F6 is at every spot");
/// assert_eq!(c.value, walk.values(0, Quantity::C, 2..3, 1..2)?[0][0]);
/// # Ok::<(), karenina::error::Error>(())
/// ```
pub struct Walk {
    pub(super) parameters: Arc<Parameters<f64>>,
    vocabulary: Vec<char>,
    pub(super) ids: Vec<u32>,
    pub(super) pass: Pass<f64>,
    /// Of the mean loss; made when it is first asked for, as are the next.
    back: OnceLock<Gradient<f64>>,
    gradients: OnceLock<Parameters<f64>>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sizes, steps) = (self.sizes(), self.steps());
        f.debug_struct("Walk").field("sizes", &sizes).field("steps", &steps).finish_non_exhaustive()
    }
}

/// What a [`Walk`] keeps of each unit of a layer at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is called what it is in docs/derivation.md")]
pub enum Quantity {
    I,
    F,
    G,
    O,
    C,
    H,
    Dh,
    Dc,
    DzI,
    DzF,
    DzG,
    DzO,
}

impl Quantity {
    /// All of them, forward before backward.
    pub const ALL: [Self; 12] = [
        Self::I,
        Self::F,
        Self::G,
        Self::O,
        Self::C,
        Self::H,
        Self::Dh,
        Self::Dc,
        Self::DzI,
        Self::DzF,
        Self::DzG,
        Self::DzO,
    ];
}

/// One step, as far as the text shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WalkStep {
    /// The character that was read.
    pub character: char,
    /// The character that came next and had to be predicted.
    pub next: char,
    /// −log₂ of the probability that `next` was given.
    pub bits: f64,
}

/// The gradient's norm over all parameters of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerNorm {
    /// `layer 0`, …, `projection`.
    pub name: String,
    /// The norm of the mean loss's gradient.
    pub norm: f64,
}

impl Walk {
    /// Reads `ids` and predicts each but the first.
    ///
    /// * `vocabulary` `[V]`: the characters by id
    /// * `ids`: the text, at least two characters
    ///
    /// # Errors
    /// * [`Error::Setting`](crate::error::Error::Setting) for fewer than two characters
    /// * [`Error::NoMemory`](crate::error::Error::NoMemory) if there is no memory for all that is kept
    ///
    /// # Panics
    /// If the vocabulary does not have the size V of the parameters, or an id is not below V.
    pub fn new(
        parameters: Arc<Parameters<f64>>,
        vocabulary: &[char],
        ids: Vec<u32>,
    ) -> Result<Self> {
        let sizes = parameters.sizes();
        assert_eq!(vocabulary.len(), sizes.vocabulary, "characters and columns of the projection");
        require_two(ids.len())?;
        let what = format!("a walk through {} characters", ids.len());
        memory::require(pass::bytes::<f64>(sizes, ids.len() - 1), what)?;
        let pass = Pass::forward(&parameters, &ids);
        let (back, gradients) = (OnceLock::new(), OnceLock::new());
        Ok(Self { parameters, vocabulary: vocabulary.to_vec(), ids, pass, back, gradients })
    }

    /// The network's sizes.
    pub fn sizes(&self) -> Sizes {
        self.pass.sizes
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.pass.unroll()
    }

    /// Mean loss in nats.
    pub fn loss(&self) -> f64 {
        self.pass.losses().sum::<f64>() / self.steps() as f64
    }

    /// What was read and predicted, step by step.
    pub fn text(&self) -> Vec<WalkStep> {
        let steps = self.pass.losses().enumerate();
        steps
            .map(|(t, loss)| WalkStep {
                character: self.vocabulary[self.pass.input(t)],
                next: self.vocabulary[self.pass.target(t)],
                bits: loss / std::f64::consts::LN_2,
            })
            .collect()
    }

    /// Each equation at `spot` with its numbers, forward, then backward: those of [`Trace`](crate::study::trace::Trace).
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a step, layer or unit that does not exist.
    pub fn equations(&self, spot: Spot) -> Result<Vec<Equation>> {
        let Sizes { hidden, layers, .. } = self.sizes();
        require_below(self.steps(), "step", spot.step)?;
        require_below(layers, "layer", spot.layer)?;
        require_below(hidden, "unit", spot.unit)?;
        let (parameters, back) = (&self.parameters, self.back());
        Ok(numbers::equations(parameters, &self.pass, back, &self.vocabulary, spot))
    }

    /// A quantity of some `units` of a layer over some `steps`: a row for each unit. Ranges end where there is no more.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::error::Error::Setting) for a layer that does not exist.
    pub fn values(
        &self,
        layer: usize,
        quantity: Quantity,
        units: Range<usize>,
        steps: Range<usize>,
    ) -> Result<Vec<Vec<f64>>> {
        let Sizes { hidden, layers, .. } = self.sizes();
        require_below(layers, "layer", layer)?;
        let all = self.quantity(layer, quantity);
        let (units, steps) = (within(units, hidden), within(steps, self.steps()));
        let row = |unit: usize| all.slice(s![steps.clone(), unit]).to_vec();
        Ok(units.map(row).collect())
    }

    /// [T, H]
    fn quantity(&self, layer: usize, quantity: Quantity) -> ArrayView2<'_, f64> {
        let hidden = self.sizes().hidden;
        let gates = self.pass.gates(layer);
        let back = || &self.back().layers[layer];
        let columns = |gate: usize| s![.., gate * hidden..(gate + 1) * hidden];
        let dz = |gate: usize| back().dz.slice(columns(gate));
        match quantity {
            Quantity::I => gates.slice_move(columns(0)),
            Quantity::F => gates.slice_move(columns(1)),
            Quantity::G => gates.slice_move(columns(2)),
            Quantity::O => gates.slice_move(columns(3)),
            Quantity::C => self.pass.c(layer).slice_move(s![1.., ..]),
            Quantity::H => self.pass.h(layer).slice_move(s![1.., ..]),
            Quantity::Dh => back().dh.view(),
            Quantity::Dc => back().dc.view(),
            Quantity::DzI => dz(0),
            Quantity::DzF => dz(1),
            Quantity::DzG => dz(2),
            Quantity::DzO => dz(3),
        }
    }

    /// The gradient of each layer's parameters, lowest layer first, the projection's last.
    pub fn norms(&self) -> Vec<LayerNorm> {
        let mut norms: Vec<LayerNorm> = Vec::new();
        for tensor in tensors(self.gradients()) {
            let name = match tensor.name.rsplit_once("_l") {
                Some((_, layer)) => format!("layer {layer}"),
                None => "projection".into(),
            };
            match norms.last_mut().filter(|last| last.name == name) {
                Some(last) => last.norm = libm::hypot(last.norm, tensor.norm),
                None => norms.push(LayerNorm { name, norm: tensor.norm }),
            }
        }
        norms
    }

    fn back(&self) -> &Gradient<f64> {
        self.back.get_or_init(|| self.pass.backward())
    }

    /// As training computes it.
    pub(super) fn gradients(&self) -> &Parameters<f64> {
        self.gradients.get_or_init(|| self.pass.parameter_gradients(&self.parameters))
    }
}

/// `range` as far as it lies in 0 … `count`.
pub(super) fn within(range: Range<usize>, count: usize) -> Range<usize> {
    let end = range.end.min(count);
    range.start.min(end)..end
}
