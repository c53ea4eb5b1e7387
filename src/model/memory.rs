//! How much memory a training step takes, told before any of it is allocated.
//!
//! Computed in f64: exact up to 2⁵³ bytes, and no size that a user can type overflows it, since a conversion to an integer
//! stops at its largest value.

use crate::math::Real;
use crate::math::matmul::scratch;
use crate::math::sums::Pieces;
use crate::model::network::Network;
use crate::model::parameters::Sizes;

impl<R: Real> Network<R> {
    /// Bytes of the shards' tapes for B = `batch` and T = `unroll`; `u64::MAX` for as much and more.
    ///
    /// * per layer: gates 4H·T·B, h and c 2H·(T+1)·B, with dropout H·T·B, carried gradients 2H·B
    /// * once: logits V·T·B, dy H·T·B, losses T·B, the characters in and out and their places
    pub fn tape_bytes(sizes: Sizes, batch: usize, unroll: usize, drops_out: bool) -> u64 {
        let [v, h, l] = [sizes.vocabulary, sizes.hidden, sizes.layers].map(|n| n as f64);
        let [b, t] = [batch, unroll].map(|n| n as f64);
        let dropped = if drops_out { h * t * b } else { 0.0 };
        let layer = 4.0 * h * t * b + 2.0 * h * (t + 1.0) * b + dropped + 2.0 * h * b;
        let numbers = l * layer + (v + h + 1.0) * t * b;
        let characters = 5.0 * t * b * size_of::<u32>() as f64;
        (numbers * size_of::<R>() as f64 + characters) as u64
    }

    /// Bytes that `threads` threads keep for the largest dW, summed up over these `pieces`.
    pub(crate) fn scratch_bytes(sizes: Sizes, pieces: Pieces, threads: usize) -> u64 {
        let [v, h] = [sizes.vocabulary, sizes.hidden].map(|n| n as f64);
        let x = if sizes.layers > 1 { 2.0 * h } else { h }; // with the layer below
        let numbers = scratch(x, 4.0 * h, pieces, threads).max(scratch(h, v, pieces, threads));
        (numbers * size_of::<R>() as f64) as u64
    }

    /// Bytes of the weights' copies in the kernels' layout: all but the first layer's input weight; with
    /// gradients as much again for their transposes. A last panel that is filled up with zeros is not counted.
    pub fn packed_bytes(sizes: Sizes) -> u64 {
        let [v, h, l] = [sizes.vocabulary, sizes.hidden, sizes.layers].map(|n| n as f64);
        ((4.0 * h * h * (2.0 * l - 1.0) + h * v) * size_of::<R>() as f64) as u64
    }
}
