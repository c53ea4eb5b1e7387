//! Inverted dropout: while training, each output survives with probability `keep` and is then
//! scaled by 1 / keep, so that its mean stays and nothing changes when the network is used.
//!
//! (Srivastava et al., JMLR 2014; on an LSTM's non-recurrent connections only: Zaremba, Sutskever and
//! Vinyals, arXiv 1409.2329.)

use crate::math::Real;
use crate::math::random::philox;

/// The masks of a training run. A mask is a pure function of seed, step, layer, position and unit:
/// no state, no order of drawing, hence the same on any number of threads and after any resume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability that an output survives, in (0, 1].
    pub keep: f64,
    /// Seed of the mask stream.
    pub seed: u64,
    /// Training step whose masks these are.
    pub step: u64,
}

/// Units whose mask is made at once: 16 counters with four words each.
const BLOCK: usize = 64;

impl Dropout {
    /// Whether anything is dropped at all.
    pub fn is_active(&self) -> bool {
        self.keep < 1.0
    }

    /// Forward: y = m ⊙ h / keep (Eq. F8), and backward: dh = m ⊙ dy / keep (Eq. B5).
    ///
    /// One function serves both, since the derivative of a product with a constant mask is the
    /// product with the same mask.
    ///
    /// * `layer`, `position`: which mask; `position` is t·B + row
    /// * `y` `[H]`: h on entry, y on return; or dy and dh
    #[inline(always)]
    pub fn apply<R: Real>(&self, layer: usize, position: usize, y: &mut [R]) {
        let scale = R::from_f64(1.0 / self.keep);
        for (block, y) in y.chunks_mut(BLOCK).enumerate() {
            let mask = self.mask(layer, position, block, scale);
            for (y, m) in y.iter_mut().zip(mask) {
                *y *= m; // Eq. F8, B5
            }
        }
    }

    /// `scale` for each surviving unit of the block, 0 for the others.
    #[inline(always)]
    fn mask<R: Real>(&self, layer: usize, position: usize, block: usize, scale: R) -> [R; BLOCK] {
        const LANES: usize = BLOCK / 4;
        let threshold = (self.keep * 4_294_967_296.0) as u64;
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let mut words = [0u32; BLOCK];
        for lane in 0..LANES {
            let counter =
                [(block * LANES + lane) as u32, position as u32, layer as u32, self.step as u32];
            let four = philox(counter, key);
            for (word, value) in four.into_iter().enumerate() {
                words[word * LANES + lane] = value;
            }
        }
        words.map(|word| if u64::from(word) < threshold { scale } else { R::zero() })
    }
}
