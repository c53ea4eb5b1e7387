//! Softmax cross-entropy: from a row of logits to the probabilities, the loss in nats and the
//! gradient.

use crate::math::Real;

/// Partial sums of a row: their number is fixed, so the sum is the same on every machine, and they
/// let a row be added as vectors.
const LANES: usize = 16;

/// Forward: logits → p = softmax(logits), and the loss −ln `p[target]` in nats.
///
/// The largest logit is subtracted first, which changes nothing but keeps eˣ finite.
///
/// * `logits_to_p` `[V]`: logits on entry, probabilities on return
///
/// # Panics
/// If `target` is not below V.
#[inline(always)]
pub fn forward<R: Real>(logits_to_p: &mut [R], target: usize) -> R {
    let max = maximum(logits_to_p);
    let shifted_target = logits_to_p[target] - max;
    for l in logits_to_p.iter_mut() {
        *l = (*l - max).exp();
    }
    let sum = sum(logits_to_p);
    let scale = R::one() / sum;
    for p in logits_to_p.iter_mut() {
        *p *= scale; // Eq. F10
    }
    sum.ln() - shifted_target // Eq. F11
}

/// Backward: dlogits = (p − onehot(target)) · scale (Eq. B1), with scale = 1 / (B·T) for a mean.
///
/// * `p_to_dlogits` `[V]`: probabilities on entry, the logits' gradient on return
///
/// # Panics
/// If `target` is not below V.
#[inline(always)]
pub fn backward<R: Real>(p_to_dlogits: &mut [R], target: usize, scale: R) {
    // F10: p = softmax(logits)
    // F11: loss = −ln p[target]
    // F12: the mean of all positions' losses: scale = 1 / (B·T)
    p_to_dlogits[target] -= R::one();
    for d in p_to_dlogits.iter_mut() {
        *d *= scale; // Eq. B1
    }
}

#[inline(always)]
fn maximum<R: Real>(row: &[R]) -> R {
    let mut lanes = [row[0]; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(row[0], |max, &x| if x > max { x } else { max })
}

#[inline(always)]
fn sum<R: Real>(row: &[R]) -> R {
    let mut lanes = [R::zero(); LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += x;
        }
    }
    lanes.iter().chain(rest).fold(R::zero(), |sum, &x| sum + x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_logit_overflows_nothing() {
        let mut row = [1e4f32, 0.0, -1e4];
        assert_eq!(forward(&mut row, 0), 0.0);
        assert_eq!(row, [1.0, 0.0, 0.0]);
        let mut row = [1e4f32, 0.0, -1e4];
        assert_eq!(forward(&mut row, 2), 2e4);
    }

    #[test]
    fn the_gradient_of_a_row_sums_to_zero() {
        let mut row: Vec<f64> = (0..37).map(|k| (k as f64 * 0.7).sin()).collect();
        forward(&mut row, 5);
        backward(&mut row, 5, 1.0);
        assert!(row.iter().sum::<f64>().abs() < 1e-15);
    }
}
