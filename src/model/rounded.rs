//! Parameters as a network with 16-bit weights has them.

use crate::error::{Error, Result};
use crate::math::matmul::Storage;
use crate::model::parameters::{Parameters, Sizes, Tensor};

impl Sizes {
    /// The matrices that are multiplied, and so may be stored in 16 bits: all but the W_ih of the first
    /// layer, whose rows are gathered.
    fn multiplied(&self) -> impl Iterator<Item = Tensor> {
        self.tensors().skip(1).filter(|tensor| tensor.shape.len() == 2)
    }
}

impl Parameters<f32> {
    /// These parameters, the matrices that are multiplied rounded to `storage`: every W_hh, W_ih above
    /// the first layer and the projection's W.
    ///
    /// # Errors
    /// Those of [`Parameters::require_range`].
    pub fn rounded(mut self, storage: Storage) -> Result<Self> {
        self.require_range(storage)?;
        for w in self.sizes().multiplied() {
            self.numbers_mut()[w.range].iter_mut().for_each(|x| *x = storage.round(*x));
        }
        Ok(self)
    }

    /// Checks that no weight that [`Parameters::rounded`] rounds becomes infinite.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first weight that does.
    pub fn require_range(&self, storage: Storage) -> Result<()> {
        for Tensor { name, range, .. } in self.sizes().multiplied() {
            let beyond = |x: &&f32| x.is_finite() && !storage.round(**x).is_finite();
            if let Some(weight) = self.numbers()[range].iter().find(beyond) {
                let wider = if storage == Storage::F16 { "f32 or bf16" } else { "f32" };
                let largest = storage.largest();
                let expected = format!(
                    "{wider}, since {name} has a weight of {weight:?} and {storage} ends at {largest:?}"
                );
                return Err(Error::setting("weights", storage, expected));
            }
        }
        Ok(())
    }
}
