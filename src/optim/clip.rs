//! Clipping by the global norm.

use rayon::prelude::*;

use super::CHUNK;
use crate::math::Real;
use crate::math::simd::vectorised;
use crate::model::Parameters;

/// Partial sums inside a chunk; their number is fixed, so that the sum is the same everywhere.
const LANES: usize = 8;

/// √Σ g², over all numbers of all tensors (Eq. U1).
///
/// Squares are added in f64 along a fixed tree, so that no number of threads changes the sum.
pub fn global_norm<R: Real>(gradients: &Parameters<R>) -> f64 {
    gradients.tensors().map(sum_of_squares).sum::<f64>().sqrt() // Eq. U1
}

/// Scales `gradients` so that their global norm is at most `limit`; returns the norm before.
///
/// g ← g · limit / max(norm, limit), as TensorFlow's `clip_by_global_norm`: no epsilon. A limit of
/// infinity clips nothing. (Pascanu, Mikolov and Bengio, ICML 2013.)
pub fn clip_by_global_norm<R: Real>(gradients: &mut Parameters<R>, limit: f64) -> f64 {
    let norm = global_norm(gradients);
    if norm > limit {
        let scale = R::from_f64(limit / norm);
        gradients.numbers_mut().par_chunks_mut(CHUNK).for_each(|chunk| {
            for g in chunk {
                *g *= scale; // Eq. U2
            }
        });
    }
    norm
}

/// Σ x² of one tensor, halved until a piece is small. Where it is cut depends on its length alone.
fn sum_of_squares<R: Real>(tensor: &[R]) -> f64 {
    if tensor.len() <= CHUNK {
        return chunk_sum(tensor);
    }
    let (left, right) = tensor.split_at(tensor.len() / 2);
    let (left, right) = rayon::join(|| sum_of_squares(left), || sum_of_squares(right));
    left + right
}

/// Σ x² of one chunk.
fn chunk_sum<R: Real>(chunk: &[R]) -> f64 {
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0; LANES];
            for block in chunk.chunks(LANES) {
                for (lane, x) in lanes.iter_mut().zip(block) {
                    *lane += x.to_f64() * x.to_f64();
                }
            }
            lanes.iter().sum()
        },
    )
}
