//! Parameters as a network with 16-bit weights has them.

use ndarray::Array2;

use crate::error::{Error, Result};
use crate::math::weights::Weights;
use crate::model::parameters::Parameters;

impl Parameters<f32> {
    /// These parameters, the matrices that are multiplied rounded to `weights`: every W_hh, W_ih above
    /// the first layer (whose W_ih is gathered by rows, not multiplied) and the projection's W.
    ///
    /// # Errors
    /// Those of [`Parameters::require_range`].
    pub fn rounded(mut self, weights: Weights) -> Result<Self> {
        self.require_range(weights)?;
        let lstm = self.lstm.iter_mut().enumerate();
        let lstm = lstm.flat_map(|(l, p)| [(l > 0).then_some(&mut p.w_ih), Some(&mut p.w_hh)]);
        for w in lstm.flatten().chain([&mut self.projection.w]) {
            w.mapv_inplace(|x| weights.round(x));
        }
        Ok(self)
    }

    /// Checks that no weight that [`Parameters::rounded`] rounds becomes infinite.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first weight that does.
    pub fn require_range(&self, weights: Weights) -> Result<()> {
        let beyond = |w: &Array2<f32>| {
            w.iter().copied().find(|&x| x.is_finite() && !weights.round(x).is_finite())
        };
        let lstm = self.lstm.iter().enumerate().flat_map(|(l, p)| {
            let w_ih = (l > 0).then(|| (format!("w_ih_l{l}"), &p.w_ih));
            [w_ih, Some((format!("w_hh_l{l}"), &p.w_hh))]
        });
        for (name, w) in lstm.flatten().chain([("projection.w".into(), &self.projection.w)]) {
            if let Some(weight) = beyond(w) {
                let wider = if weights == Weights::F16 { "f32 or bf16" } else { "f32" };
                let largest = weights.largest();
                return Err(Error::Setting {
                    name: "--weights",
                    found: weights.to_string(),
                    expected: format!(
                        "{wider}, since {name} has a weight of {weight:?} and {weights} ends at {largest:?}"
                    ),
                });
            }
        }
        Ok(())
    }
}
