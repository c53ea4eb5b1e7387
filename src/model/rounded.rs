//! Parameters as a network with weights in 16 or 8 bits has them.

use crate::error::{Error, Result};
use crate::math::matmul::Storage;
use crate::model::parameters::{Parameters, Sizes, Tensor, matrix_mut};

impl Sizes {
    /// The matrices that are multiplied, and so may be stored in fewer bits: all but the W_ih of the first
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
        for Tensor { range, shape, .. } in self.sizes().multiplied() {
            storage.round(matrix_mut(&mut self.numbers_mut()[range], shape[1]));
        }
        Ok(self)
    }

    /// Checks that no weight that [`Parameters::rounded`] rounds becomes infinite, nor in `i8` NaN.
    ///
    /// # Errors
    /// [`Error::Setting`] with the first weight that does.
    pub fn require_range(&self, storage: Storage) -> Result<()> {
        for Tensor { name, range, .. } in self.sizes().multiplied() {
            let mut weights = self.numbers()[range].iter().copied();
            let Some(weight) = weights.find(|&x| !storage.holds(x)) else { continue };
            let (wider, why) = match storage {
                Storage::I8 => ("f32, f16 or bf16", "i8 holds only finite numbers".into()),
                Storage::F16 => ("f32, bf16 or i8", format!("f16 ends at {:?}", storage.largest())),
                _ => ("f32 or i8", format!("{storage} ends at {:?}", storage.largest())),
            };
            let expected = format!("{wider}, since {name} has a weight of {weight:?} and {why}");
            return Err(Error::setting("storage", storage, expected));
        }
        Ok(())
    }
}
