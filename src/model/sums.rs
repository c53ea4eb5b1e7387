//! Phase two, parameters: every weight's gradient is a sum over all positions, in the shape that
//! [`Pieces`] describes, split over the *elements of the gradient*, never over the sum.

use ndarray::{ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::layers::lstm::LstmParametersMut;
use crate::layers::projection::ProjectionParametersMut;
use crate::math::Real;
use crate::math::matmul::{Kernel, Rows};
use crate::math::simd::{ask_for, vectorised};
use crate::math::sums::{Pieces, add_in_pairs, add_to, meeting_level};
use crate::math::views::contiguous;
use crate::model::parameters::Sizes;
use crate::model::shard::Shard;

/// The gradients of the LSTM of layer `part`, or with `part` = L those of the projection, from what the shards
/// left behind; overwrites `numbers`.
pub(super) fn sum_over_positions<R: Real>(
    part: usize,
    numbers: &mut [R],
    sizes: Sizes,
    shards: &[Shard<R>],
    by_character: &mut ByCharacter<R>,
    pieces: Pieces,
) {
    match part == sizes.layers {
        true => projection_gradients(numbers, sizes, shards, pieces),
        false => lstm_gradients(part, numbers, sizes, shards, by_character, pieces),
    }
}

/// dW and db of the projection.
fn projection_gradients<R: Real>(
    numbers: &mut [R],
    sizes: Sizes,
    shards: &[Shard<R>],
    pieces: Pieces,
) {
    let shape = (pieces, shards[0].range.len());
    let top = sizes.layers - 1;
    // F9: logits = y·W + b
    let dlogits = |shard: usize| contiguous(shards[shard].dlogits.as_slice());
    let y = |shard: usize| contiguous(shards[shard].layers[top].y().to_slice());
    let ProjectionParametersMut { w: dw, b: mut db } = sizes.projection_mut(numbers);
    R::accumulate(
        Kernel::best(),
        [(rows(shape, sizes.hidden, &y), dw)], // Eq. B2: yᵀ·dlogits
        rows(shape, sizes.vocabulary, &dlogits),
        contiguous(db.as_slice_mut()), // Eq. B3: Σ dlogits
        pieces,
    );
}

/// dW_ih, dW_hh and db of layer `l`.
fn lstm_gradients<R: Real>(
    l: usize,
    numbers: &mut [R],
    sizes: Sizes,
    shards: &[Shard<R>],
    by_character: &mut ByCharacter<R>,
    pieces: Pieces,
) {
    let (shape, hidden) = ((pieces, shards[0].range.len()), sizes.hidden);
    // F1: z_t = x_t·W_ih + h_{t−1}·W_hh + b
    let dz = |shard: usize| contiguous(shards[shard].layers[l].lstm.dz.as_slice());
    let dz = rows(shape, 4 * hidden, &dz);
    // The first T rows of h are h_0 … h_{T−1}: each step's h_prev.
    let h_prev = |shard: usize| contiguous(shards[shard].layers[l].lstm.h.as_slice());
    let h_prev = rows(shape, hidden, &h_prev);
    let LstmParametersMut { w_ih: dw_ih, w_hh: dw_hh, b: mut db } = sizes.lstm_mut(l, numbers);
    let db = contiguous(db.as_slice_mut());
    if l == 0 {
        R::accumulate(
            Kernel::best(),
            [(h_prev, dw_hh)], // Eq. B18: h_prevᵀ·dz
            dz,
            db, // Eq. B17: Σ dz
            pieces,
        );
        by_character.sort(shards, pieces);
        by_character.sum_up(dz, dw_ih); // Eq. B19: xᵀ·dz, x one-hot
    } else {
        let x = |shard: usize| contiguous(shards[shard].layers[l - 1].y().to_slice());
        R::accumulate(
            Kernel::best(),
            [
                (h_prev, dw_hh),                  // Eq. B18: h_prevᵀ·dz
                (rows(shape, hidden, &x), dw_ih), // Eq. B19: xᵀ·dz
            ],
            dz,
            db, // Eq. B17: Σ dz
            pieces,
        );
    }
}

/// One array of every shard as a matrix of rows `width` long; `height` is that of the first shard.
fn rows<'a, R>(
    (pieces, height): (Pieces, usize),
    width: usize,
    array: &'a (dyn Fn(usize) -> &'a [R] + Sync),
) -> Rows<'a, R> {
    Rows::new(pieces.batch_and_unroll(), height, width, array)
}

/// The sum of the losses of all positions in `pieces`.
pub(super) fn sum_of_losses<R: Real>(shards: &[Shard<R>], pieces: Pieces) -> f64 {
    let losses = |shard: usize| contiguous(shards[shard].losses.as_slice());
    let losses = rows((pieces, shards[0].range.len()), 1, &losses);
    let of_piece =
        |piece| pieces.positions(piece).fold(0.0, |sum, at| sum + losses.row(at)[0].to_f64());
    add_in_pairs((0..pieces.count()).map(of_piece), |a, b| a + b).expect("at least one piece")
}

/// How many rows of dZ ahead of the one in work [`ByCharacter::sum_up`] asks for.
const DZ_AHEAD: usize = 2;

/// A position and its piece.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    piece: u32,
    t: u32,
    row: u32,
}

/// The positions of each character: where x is one-hot, xᵀ·dz adds dz to the row of x's character.
#[derive(Clone, Debug)]
pub(super) struct ByCharacter<R> {
    /// All positions, those of a character together and in the order in which they are added.
    places: Vec<Place>,
    /// Where the places of each character end.
    ends: Vec<u32>,
    /// Sums that wait, [levels, 4H].
    waiting: Vec<R>,
    /// Sums that wait at once.
    levels: usize,
}

impl<R: Real> ByCharacter<R> {
    /// Room for the positions of `pieces`.
    pub fn new(sizes: Sizes, pieces: Pieces) -> Self {
        let (batch, unroll) = pieces.batch_and_unroll();
        let levels = pieces.levels() + 1;
        Self {
            places: vec![Place::default(); batch * unroll],
            ends: vec![0; sizes.vocabulary],
            waiting: vec![R::zero(); levels * 4 * sizes.hidden],
            levels,
        }
    }

    /// Sorts the positions by their characters, by counting.
    fn sort(&mut self, shards: &[Shard<R>], pieces: Pieces) {
        let inputs = |shard: usize| contiguous(shards[shard].inputs.as_slice());
        let inputs = rows((pieces, shards[0].range.len()), 1, &inputs);
        let character = |at| inputs.row(at)[0] as usize;
        let all = || (0..pieces.count()).flat_map(|p| pieces.positions(p).map(move |at| (p, at)));
        let Self { places, ends, .. } = self;
        ends.fill(0);
        all().for_each(|(_, at)| ends[character(at)] += 1);
        let mut start = 0;
        for end in ends.iter_mut() {
            (*end, start) = (start, start + *end);
        }
        // Each end is where the next place of its character goes, and so becomes the end.
        for (piece, at) in all() {
            let next = &mut ends[character(at)];
            let [piece, t, row] = [piece, at.0, at.1].map(|n| n as u32);
            places[*next as usize] = Place { piece, t, row };
            *next += 1;
        }
    }

    /// dW_ih ← Xᵀ·dZ (Eq. B19), `dw` [V, 4H].
    ///
    /// Split over columns, one part for each thread, so that pieces of rows are long enough to be read ahead.
    fn sum_up(&mut self, dz: Rows<R>, mut dw: ArrayViewMut2<R>) {
        let Self { places, ends, waiting, levels } = self;
        let width = dw.ncols().div_ceil(rayon::current_num_threads());
        let columns = dw.axis_chunks_iter_mut(Axis(1), width).into_par_iter();
        let waiting = waiting.par_chunks_mut(*levels * width);
        columns.zip(waiting).enumerate().for_each(|(chunk, (mut dw, waiting))| {
            let mut start = 0;
            for (&end, mut dw) in ends.iter().zip(dw.rows_mut()) {
                let places = &places[start..end as usize];
                let dw = contiguous(dw.as_slice_mut());
                sum_of_rows(dw, places, dz, chunk * width, waiting);
                start = end as usize;
            }
        });
    }
}

/// dw ← Σ dz of all `places`, of which dw has the columns from `first` on.
///
/// Where a piece has no place of this character, its sum is 0, and to add that changes nothing: so two sums
/// are added as soon as the next belongs to a larger run than both.
fn sum_of_rows<R: Real>(
    dw: &mut [R],
    places: &[Place],
    dz: Rows<R>,
    first: usize,
    waiting: &mut [R],
) {
    let columns = first..first + dw.len();
    let row = |place: &Place| &dz.row((place.t as usize, place.row as usize))[columns.clone()];
    let mut pieces = [0_usize; usize::BITS as usize + 1]; // of each waiting sum, one
    let (mut count, n) = (0, dw.len());
    let merge = |waiting: &mut [R], count: usize| {
        let (earlier, later) = waiting[(count - 2) * n..count * n].split_at_mut(n);
        add_to(earlier, later);
    };
    vectorised(
        #[inline(always)]
        || {
            let mut next = 0;
            for run in places.chunk_by(|a, b| a.piece == b.piece) {
                let piece = run[0].piece as usize;
                while count > 1
                    && meeting_level(pieces[count - 2], pieces[count - 1])
                        < meeting_level(pieces[count - 1], piece)
                {
                    merge(waiting, count);
                    count -= 1;
                }
                let sum = &mut waiting[count * n..][..n];
                sum.fill(R::zero());
                for place in run {
                    ask_for(row(&places[(next + DZ_AHEAD).min(places.len() - 1)]));
                    next += 1;
                    add_to(sum, row(place)); // Eq. B19
                }
                pieces[count] = piece;
                count += 1;
            }
            while count > 1 {
                merge(waiting, count);
                count -= 1;
            }
        },
    );
    match places {
        [] => dw.fill(R::zero()),
        _ => dw.copy_from_slice(&waiting[..n]),
    }
}
