//! How far back the loss of one character reaches.

use ndarray::Array2;
use serde::Serialize;

use super::walk::Walk;
use crate::error::{Error, Result};
use crate::study::trace::{norm, require_below};

/// One character's loss seen from every step up to its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Dependence {
    /// The step whose loss it is.
    pub at: usize,
    /// That loss in bits.
    pub bits: f64,
    /// The first step of the window in which training would take this loss back: a multiple of the window's length.
    pub first: usize,
    /// The layers, lowest first.
    pub layers: Vec<LayerReach>,
}

/// Through one layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerReach {
    /// ‖∂loss / ∂h_s‖ for s = 0 … at.
    pub dh: Vec<f64>,
    /// ‖∂loss / ∂c_s‖ for s = 0 … at.
    pub dc: Vec<f64>,
    /// The share of Σ_s ‖∂loss / ∂h_s‖ that lies before the window.
    pub dh_cut: f64,
    /// The share of Σ_s ‖∂loss / ∂c_s‖ that lies before the window.
    pub dc_cut: f64,
}

impl Walk {
    /// How strongly the loss of step `at` depends on the state at every step before, without truncation, and how much of
    /// that a truncation to windows of `window` steps cuts off.
    ///
    /// # Errors
    /// [`Error::Setting`] for a step that does not exist and a window of no steps.
    pub fn reach(&self, at: usize, window: usize) -> Result<Dependence> {
        require_below(self.steps(), "step", at)?;
        Error::require(window > 0, "window", window, "at least 1 step")?;
        let first = at - at % window;
        let layers = self.pass.backward_from_step(at).layers;
        let layers = layers.iter().map(|layer| {
            let norms = |rows: &Array2<f64>| rows.rows().into_iter().map(norm).collect::<Vec<_>>();
            let [dh, dc] = [&layer.dh, &layer.dc].map(norms);
            let (dh_cut, dc_cut) = (share_before(&dh, first), share_before(&dc, first));
            LayerReach { dh, dc, dh_cut, dc_cut }
        });
        let nats = self.pass.losses().nth(at).expect("a loss for each step");
        let bits = nats / std::f64::consts::LN_2;
        Ok(Dependence { at, bits, first, layers: layers.collect() })
    }
}

/// The share of the sum of `norms` that lies before place `first`.
fn share_before(norms: &[f64], first: usize) -> f64 {
    let all: f64 = norms.iter().sum();
    if all > 0.0 { norms[..first].iter().sum::<f64>() / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::share_before;

    #[test]
    fn the_share_before_the_window_is_of_the_whole_sum() {
        assert_eq!(share_before(&[1.0, 2.0, 5.0], 2), 3.0 / 8.0);
        assert_eq!(share_before(&[1.0, 2.0], 0), 0.0);
        assert_eq!(share_before(&[0.0, 0.0], 1), 0.0);
    }
}
