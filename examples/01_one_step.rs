//! One LSTM step and its gradient by hand: H = 2 cells, every number printed.
//!
//! `cargo run --example 01_one_step`
//!
//! The labels are those of `docs/derivation.md`. In the end the engine's own functions are asked, and
//! must say the same.

use karenina::layers::cell;

const H: usize = 2;

/// Pre-activations z = x·W_ih + h₋·W_hh + b of the gates i, f, g, o (Eq. F1), as if just computed.
const Z: [[f64; H]; 4] = [[0.5, -0.3], [1.0, 0.8], [-0.7, 0.4], [0.2, 0.9]];
/// The cell state before this step.
const C_PREV: [f64; H] = [0.6, -0.2];
/// What the loss says about h, from the layer above and the step after (Eq. B6).
const DH: [f64; H] = [0.10, -0.25];
/// What the step after says about c (its Eq. B12).
const DC_NEXT: [f64; H] = [0.05, 0.15];

fn main() {
    let mut dz = [[0.0; H]; 4];
    let mut dc_prev = [0.0; H];
    for k in 0..H {
        println!("unit {k}, forward");
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let i = show("F2   i  = σ(z_i)", sigmoid(Z[0][k]));
        let f = show("F3   f  = σ(z_f)", sigmoid(Z[1][k]));
        let g = show("F4   g  = tanh z_g", Z[2][k].tanh());
        let o = show("F5   o  = σ(z_o)", sigmoid(Z[3][k]));
        let c = show("F6   c  = f·c₋ + i·g", f * C_PREV[k] + i * g);
        show("F7   h  = o·tanh c", o * c.tanh());

        println!("unit {k}, backward: from dh = {} and dc₊·f₊ = {}", DH[k], DC_NEXT[k]);
        let d_o = show("B7   do = dh·tanh c", DH[k] * c.tanh());
        let slope = 1.0 - c.tanh() * c.tanh();
        let dc = show("B8   dc = dc₊·f₊ + dh·o·(1 − tanh² c)", DC_NEXT[k] + DH[k] * o * slope);
        let d_i = show("B9   di = dc·g", dc * g);
        let d_f = show("B10  df = dc·c₋", dc * C_PREV[k]);
        let d_g = show("B11  dg = dc·i", dc * i);
        dc_prev[k] = show("B12  dc₋ share = dc·f", dc * f);
        dz[0][k] = show("B13  dz_i = di·i·(1 − i)", d_i * i * (1.0 - i));
        dz[1][k] = show("B14  dz_f = df·f·(1 − f)", d_f * f * (1.0 - f));
        dz[2][k] = show("B15  dz_g = dg·(1 − g²)", d_g * (1.0 - g * g));
        dz[3][k] = show("B16  dz_o = do·o·(1 − o)", d_o * o * (1.0 - o));
        println!();
    }
    let largest = difference_from_engine(&dz, &dc_prev);
    println!("largest difference from the engine's cell::backward: {largest:.1e}");
    assert!(largest < 1e-15, "the engine computes something else");
}

fn show(equation: &str, value: f64) -> f64 {
    println!("  {equation:<40} {value:>12.8}");
    value
}

/// The same step by the functions that train.
fn difference_from_engine(dz: &[[f64; H]; 4], dc_prev: &[f64; H]) -> f64 {
    let mut gates = Z.concat();
    let (mut c, mut h) = ([0.0; H], [0.0; H]);
    cell::forward(&mut gates, &C_PREV, &mut c, &mut h, false);
    let mut dc = DC_NEXT;
    cell::backward(&mut gates, &C_PREV, &c, &mut DH.clone(), &mut dc, false);
    let ours = dz.iter().flatten().chain(dc_prev);
    let theirs = gates.iter().chain(&dc);
    ours.zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
