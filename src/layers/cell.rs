//! One LSTM cell step: from the gates' pre-activations to c and h, and back.
//!
//! The functions work on one row of the batch. A row of pre-activations is `[4H]`, the gates one
//! after the other in the order i, f, g, o. The loops take `LANES` units at a time, held in local
//! arrays, which is the form a compiler turns into vector instructions; the last units of an odd H
//! go through the same code one by one.

use crate::math::Real;

/// Units per block: one vector of 512 bits, two of 256. Longer blocks only spill registers.
const LANES: usize = 16;

/// What is added to the mean of the squares, so that cells that are all empty do not divide by zero: the default
/// `eps` of PyTorch's `LayerNorm`.
const EPSILON: f64 = 1e-5;

/// `$function` for all units, `LANES` at a time and then one by one.
macro_rules! for_units {
    ($hidden:ident, $function:ident($($argument:expr),+)) => {{
        let blocks = $hidden - $hidden % LANES;
        for at in (0..blocks).step_by(LANES) {
            $function::<R, LANES>(at, $($argument),+);
        }
        for at in blocks..$hidden {
            $function::<R, 1>(at, $($argument),+);
        }
    }};
}

/// ĉ = c · this (Eq. F13): the inverse of the cell states' root mean square where they are normalised (Zhang and
/// Sennrich, 2019), else 1.
#[inline(always)]
pub(crate) fn scale<R: Real>(c: &[R], cell_norm: bool) -> R {
    match cell_norm {
        true => R::one() / (mean_product(c, c, R::one()) + R::from_f64(EPSILON)).sqrt(), // Eq. F13
        false => R::one(),
    }
}

/// The mean of a · b · factor over the units, added up in an order that does not depend on the processor.
#[inline(always)]
fn mean_product<R: Real>(a: &[R], b: &[R], factor: R) -> R {
    let mut sums = [R::zero(); LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = blocks_a.remainder().iter().zip(blocks_b.remainder());
    for (sum, (&a, &b)) in sums.iter_mut().zip(rest) {
        *sum += a * (b * factor);
    }
    for (a, b) in blocks_a.zip(blocks_b) {
        for n in 0..LANES {
            sums[n] += a[n] * (b[n] * factor);
        }
    }
    sums.into_iter().sum::<R>() / R::from_f64(a.len() as f64)
}

/// Normalises one row of cell states `[H]`: c → ĉ.
pub fn normalise<R: Real>(c: &mut [R]) {
    let scale = scale(c, true);
    c.iter_mut().for_each(|c| *c *= scale); // Eq. F13
}

/// Forward: z (turned into the gates' activations), c_prev → c, h.
///
/// Two passes: F13 needs the whole row of c. Without it they are faster too: a tanh c right after F6 would wait for
/// F6's whole chain, while separate loops let the processor work on several blocks at once.
///
/// * `z` `[4H]`: pre-activations on entry, the activations i, f, g, o on return
/// * `c_prev` `[H]`: the cell state of the step before
/// * `c`, `h` `[H]`: the new cell state and output, overwritten
/// * `cell_norm`: whether h shows the normalised cell state, or c as it is
///
/// # Panics
/// If a length is another.
#[inline(always)]
pub fn forward<R: Real>(z: &mut [R], c_prev: &[R], c: &mut [R], h: &mut [R], cell_norm: bool) {
    let hidden = c.len();
    assert!(
        z.len() == 4 * hidden && c_prev.len() == hidden && h.len() == hidden,
        "a cell's row of z [{}], c_prev [{}], c [{hidden}], h [{}]",
        z.len(),
        c_prev.len(),
        h.len()
    );
    for_units!(hidden, forward_cells(z, c_prev, c));
    let (o, scale) = (&z[3 * hidden..], scale(c, cell_norm));
    for_units!(hidden, forward_outputs(o, c, scale, h));
}

/// [`forward`] for the units at..at+N: gates and c.
#[inline(always)]
fn forward_cells<R: Real, const N: usize>(at: usize, z: &mut [R], c_prev: &[R], c: &mut [R]) {
    let hidden = c.len();
    let [mut i, mut f, mut g, mut o] = load_gates::<R, N>(z, hidden, at);
    let c_prev: [R; N] = load(c_prev, at);
    let mut c_new = [R::zero(); N];
    for n in 0..N {
        i[n] = i[n].sigmoid(); // Eq. F2
        f[n] = f[n].sigmoid(); // Eq. F3
        g[n] = g[n].tanh(); // Eq. F4
        o[n] = o[n].sigmoid(); // Eq. F5
        c_new[n] = f[n] * c_prev[n] + i[n] * g[n]; // Eq. F6
    }
    store_gates(z, hidden, at, [i, f, g, o]);
    store(c, at, c_new);
}

/// [`forward`] for the units at..at+N: h.
#[inline(always)]
fn forward_outputs<R: Real, const N: usize>(at: usize, o: &[R], c: &[R], scale: R, h: &mut [R]) {
    let (o, c): ([R; N], [R; N]) = (load(o, at), load(c, at));
    let mut h_new = [R::zero(); N];
    for n in 0..N {
        let c_hat = c[n] * scale; // Eq. F13
        h_new[n] = o[n] * c_hat.tanh(); // Eq. F7
    }
    store(h, at, h_new);
}

/// Backward: dh, dc → dz, dc_prev.
///
/// tanh ĉ is computed again instead of stored: that costs less than reading it from memory would. Two passes, since
/// normalisation needs the whole row of dĉ before it can send any of it on to c.
///
/// * `gates_to_dz` `[4H]`: the activations on entry, the pre-activations' gradient dz on return
/// * `c_prev`, `c` `[H]`: the cell states before and after this step
/// * `dh_to_dc` `[H]`: the whole gradient at h, from the layer above and from the step after; on return what c gets
///   through h
/// * `dc_to_dc_prev` `[H]`: the gradient at c that the step after sent back; on return that at c_prev
/// * `cell_norm`: as on the way forward
///
/// # Panics
/// If a length is another.
#[inline(always)]
pub fn backward<R: Real>(
    gates_to_dz: &mut [R],
    c_prev: &[R],
    c: &[R],
    dh_to_dc: &mut [R],
    dc_to_dc_prev: &mut [R],
    cell_norm: bool,
) {
    let hidden = c.len();
    let (dh, dc) = (dh_to_dc.len(), dc_to_dc_prev.len());
    assert!(
        gates_to_dz.len() == 4 * hidden && [c_prev.len(), dh, dc] == [hidden; 3],
        "a cell's row of gates [{}], c_prev [{}], c [{hidden}], dh [{dh}], dc [{dc}]",
        gates_to_dz.len(),
        c_prev.len(),
    );
    let (o_to_dz, scale) = (&mut gates_to_dz[3 * hidden..], scale(c, cell_norm));
    for_units!(hidden, backward_outputs(o_to_dz, c, scale, dh_to_dc));
    if cell_norm {
        backward_norm(c, scale, dh_to_dc);
    }
    for_units!(hidden, backward_cells(gates_to_dz, c_prev, dh_to_dc, dc_to_dc_prev));
}

/// [`backward`] for the units at..at+N: dh → dĉ, o → dz_o.
#[inline(always)]
fn backward_outputs<R: Real, const N: usize>(
    at: usize,
    o_to_dz: &mut [R],
    c: &[R],
    scale: R,
    dh_to_dc_hat: &mut [R],
) {
    let one = R::one();
    let [o, c, dh]: [[R; N]; 3] = [load(o_to_dz, at), load(c, at), load(dh_to_dc_hat, at)];
    let [mut dz_o, mut dc_hat] = [[R::zero(); N]; 2];
    for n in 0..N {
        // F7: h = o · tanh ĉ
        let tanh_c = (c[n] * scale).tanh();
        let d_o = dh[n] * tanh_c; // Eq. B7
        dc_hat[n] = dh[n] * o[n] * (one - tanh_c * tanh_c); // Eq. B8: what F7 sends
        // F5: σ' = σ (1 − σ)
        dz_o[n] = d_o * o[n] * (one - o[n]); // Eq. B16
    }
    store(o_to_dz, at, dz_o);
    store(dh_to_dc_hat, at, dc_hat);
}

/// [`backward`] through the normalisation: dĉ → what c gets of it.
#[inline(always)]
fn backward_norm<R: Real>(c: &[R], scale: R, dc_hat_to_dc: &mut [R]) {
    // F13: ĉ = c / r, and every c of the row is in r
    let along = mean_product(dc_hat_to_dc, c, scale);
    for (d, &c) in dc_hat_to_dc.iter_mut().zip(c) {
        *d = (*d - c * scale * along) * scale; // Eq. B22
    }
}

/// [`backward`] for the units at..at+N: what c gets through h and from the step after → dz_i, dz_f, dz_g, dc_prev.
#[inline(always)]
fn backward_cells<R: Real, const N: usize>(
    at: usize,
    gates_to_dz: &mut [R],
    c_prev: &[R],
    through_h: &[R],
    dc_to_dc_prev: &mut [R],
) {
    let (hidden, one) = (c_prev.len(), R::one());
    let [i, f, g, dz_o] = load_gates::<R, N>(gates_to_dz, hidden, at);
    let [c_prev, through_h]: [[R; N]; 2] = [load(c_prev, at), load(through_h, at)];
    let mut carried: [R; N] = load(dc_to_dc_prev, at);
    let [mut dz_i, mut dz_f, mut dz_g] = [[R::zero(); N]; 3];
    for n in 0..N {
        let dc = carried[n] + through_h[n]; // Eq. B8
        // F6: c = f · c_prev + i · g
        let d_i = dc * g[n]; // Eq. B9
        let d_f = dc * c_prev[n]; // Eq. B10
        let d_g = dc * i[n]; // Eq. B11
        carried[n] = dc * f[n]; // Eq. B12
        // F2, F3: σ' = σ (1 − σ); F4: tanh' = 1 − tanh²
        dz_i[n] = d_i * i[n] * (one - i[n]); // Eq. B13
        dz_f[n] = d_f * f[n] * (one - f[n]); // Eq. B14
        dz_g[n] = d_g * (one - g[n] * g[n]); // Eq. B15
    }
    store_gates(gates_to_dz, hidden, at, [dz_i, dz_f, dz_g, dz_o]);
    store(dc_to_dc_prev, at, carried);
}

#[inline(always)]
fn load<R: Real, const N: usize>(from: &[R], at: usize) -> [R; N] {
    from[at..at + N].try_into().expect("a slice of N")
}

#[inline(always)]
fn store<R: Real, const N: usize>(to: &mut [R], at: usize, block: [R; N]) {
    to[at..at + N].copy_from_slice(&block);
}

/// The units at..at+N of each of the four gates in a row `[4H]`.
#[inline(always)]
fn load_gates<R: Real, const N: usize>(row: &[R], hidden: usize, at: usize) -> [[R; N]; 4] {
    let [i, f, g, o] = [at, hidden + at, 2 * hidden + at, 3 * hidden + at];
    [load(row, i), load(row, f), load(row, g), load(row, o)]
}

#[inline(always)]
fn store_gates<R: Real, const N: usize>(
    row: &mut [R],
    hidden: usize,
    at: usize,
    [i, f, g, o]: [[R; N]; 4],
) {
    store(row, at, i);
    store(row, hidden + at, f);
    store(row, 2 * hidden + at, g);
    store(row, 3 * hidden + at, o);
}
