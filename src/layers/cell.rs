//! One LSTM cell step: from the gates' pre-activations to c and h, and back.
//!
//! The functions work on one row of the batch. A row of pre-activations is `[4H]`, the gates one
//! after the other in the order i, f, g, o. The loops take `LANES` units at a time, held in local
//! arrays, which is the form a compiler turns into vector instructions; the last units of an odd H
//! go through the same code one by one.

use crate::math::Real;

/// Units per block: one vector of 512 bits, two of 256. Longer blocks only spill registers.
const LANES: usize = 16;

/// Forward: z (turned into the gates' activations), c_prev → c, h.
///
/// Two passes, since the tanh of the second has to wait for the whole chain of the first: apart, the
/// processor works on several blocks at once.
///
/// * `z` `[4H]`: pre-activations on entry, the activations i, f, g, o on return
/// * `c_prev` `[H]`: the cell state of the step before
/// * `c`, `h` `[H]`: the new cell state and output, overwritten
///
/// # Panics
/// If a length is another.
#[inline(always)]
pub fn forward<R: Real>(z: &mut [R], c_prev: &[R], c: &mut [R], h: &mut [R]) {
    let hidden = c.len();
    assert!(
        z.len() == 4 * hidden && c_prev.len() == hidden && h.len() == hidden,
        "a cell's row of z [{}], c_prev [{}], c [{hidden}], h [{}]",
        z.len(),
        c_prev.len(),
        h.len()
    );
    let blocks = hidden - hidden % LANES;
    for at in (0..blocks).step_by(LANES) {
        forward_cells::<R, LANES>(at, z, c_prev, c);
    }
    for at in blocks..hidden {
        forward_cells::<R, 1>(at, z, c_prev, c);
    }
    let o = &z[3 * hidden..];
    for at in (0..blocks).step_by(LANES) {
        forward_outputs::<R, LANES>(at, o, c, h);
    }
    for at in blocks..hidden {
        forward_outputs::<R, 1>(at, o, c, h);
    }
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
fn forward_outputs<R: Real, const N: usize>(at: usize, o: &[R], c: &[R], h: &mut [R]) {
    let (o, c): ([R; N], [R; N]) = (load(o, at), load(c, at));
    let mut h_new = [R::zero(); N];
    for n in 0..N {
        h_new[n] = o[n] * c[n].tanh(); // Eq. F7
    }
    store(h, at, h_new);
}

/// Backward: dh, dc → dz, dc_prev.
///
/// tanh c is computed again instead of stored: that costs less than reading it from memory would.
///
/// * `gates_to_dz` `[4H]`: the activations on entry, the pre-activations' gradient dz on return
/// * `c_prev`, `c` `[H]`: the cell states before and after this step
/// * `dh` `[H]`: the whole gradient at h, from the layer above and from the step after
/// * `dc` `[H]`: the gradient at c that the step after sent back; on return the gradient at c_prev
///
/// # Panics
/// If a length is another.
#[inline(always)]
pub fn backward<R: Real>(gates_to_dz: &mut [R], c_prev: &[R], c: &[R], dh: &[R], dc: &mut [R]) {
    let hidden = c.len();
    assert!(
        gates_to_dz.len() == 4 * hidden && [c_prev.len(), dh.len(), dc.len()] == [hidden; 3],
        "a cell's row of gates [{}], c_prev [{}], c [{hidden}], dh [{}], dc [{}]",
        gates_to_dz.len(),
        c_prev.len(),
        dh.len(),
        dc.len()
    );
    let blocks = hidden - hidden % LANES;
    for at in (0..blocks).step_by(LANES) {
        backward_units::<R, LANES>(at, gates_to_dz, c_prev, c, dh, dc);
    }
    for at in blocks..hidden {
        backward_units::<R, 1>(at, gates_to_dz, c_prev, c, dh, dc);
    }
}

/// [`backward`] for the units at..at+N.
#[inline(always)]
fn backward_units<R: Real, const N: usize>(
    at: usize,
    gates_to_dz: &mut [R],
    c_prev: &[R],
    c: &[R],
    dh: &[R],
    dc: &mut [R],
) {
    let hidden = c.len();
    let one = R::one();
    let [i, f, g, o] = load_gates::<R, N>(gates_to_dz, hidden, at);
    let (c_prev, c): ([R; N], [R; N]) = (load(c_prev, at), load(c, at));
    let (dh, mut carried): ([R; N], [R; N]) = (load(dh, at), load(dc, at));
    let [mut dz_i, mut dz_f, mut dz_g, mut dz_o] = [[R::zero(); N]; 4];
    for n in 0..N {
        let tanh_c = c[n].tanh();
        // F7: h = o · tanh c
        let d_o = dh[n] * tanh_c; // Eq. B7
        let dc = carried[n] + dh[n] * o[n] * (one - tanh_c * tanh_c); // Eq. B8
        // F6: c = f · c_prev + i · g
        let d_i = dc * g[n]; // Eq. B9
        let d_f = dc * c_prev[n]; // Eq. B10
        let d_g = dc * i[n]; // Eq. B11
        carried[n] = dc * f[n]; // Eq. B12
        // F2, F3, F5: σ' = σ (1 − σ); F4: tanh' = 1 − tanh²
        dz_i[n] = d_i * i[n] * (one - i[n]); // Eq. B13
        dz_f[n] = d_f * f[n] * (one - f[n]); // Eq. B14
        dz_g[n] = d_g * (one - g[n] * g[n]); // Eq. B15
        dz_o[n] = d_o * o[n] * (one - o[n]); // Eq. B16
    }
    store_gates(gates_to_dz, hidden, at, [dz_i, dz_f, dz_g, dz_o]);
    store(dc, at, carried);
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
