//! Writes one copy of the reference for each mistake.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

const REFERENCE: &str = "../../src/reference.rs";

/// Each mistake: its name, which begins with its equation, the words in `src/reference.rs`, and what
/// stands there instead.
const MISTAKES: [(&str, &str, &str); 36] = [
    ("B1KeepsTheTarget", "dlogits[target] -= 1.0;", ""),
    ("B1SumsInsteadOfAveraging", "*d /= positions", "*d /= 1.0"),
    ("B2ReadsHInsteadOfY", "(&mut dw.w, &top.y, &dlogits)", "(&mut dw.w, &top.h, &dlogits)"),
    ("B3AssignsInsteadOfAdding", "bias_backward(&mut dw.b, &dlogits)", "dw.b = dlogits.clone()"),
    (
        "B4LosesTheLastCharacter",
        "product_backward(&dlogits, &weights.w)",
        "product_backward(&dlogits[..dlogits.len() - 1], &weights.w)",
    ),
    ("B5ForgetsTheScale", "dy[k] * mask[k]", "dy[k] * mask[k].min(1.0)"),
    ("B6LosesTheStepAfter", "dh_above[k] + dh_next[k]", "dh_above[k]"),
    ("B6LosesTheLayerAbove", "dh_above[k] + dh_next[k]", "dh_next[k]"),
    ("B7ForgetsTanh", "dh[k] * tanh_c;", "dh[k] * c_hat[k];"),
    ("B8LosesTheStepAfter", "dc[k] += dc_next[k];", ""),
    ("B8ForgetsTheSlopeOfTanh", "o[k] * (1.0 - tanh_c * tanh_c)", "o[k]"),
    ("B9HasTheWrongSign", "dc[k] * g[k]", "-dc[k] * g[k]"),
    ("B10ReadsTheNewCell", "dc[k] * c_prev[k]", "dc[k] * c[k]"),
    ("B11ReadsTheForgetGate", "dc[k] * i[k]", "dc[k] * f[k]"),
    ("B12ForgetsTheForgetGate", "dc[k] * f[k]", "dc[k]"),
    ("B13LosesOneMinusI", "d_i[k] * i[k] * (1.0 - i[k])", "d_i[k] * i[k]"),
    ("B14HasTheWrongSign", "(1.0 - f[k])", "(1.0 + f[k])"),
    ("B15ForgetsTheSquare", "(1.0 - g[k] * g[k])", "(1.0 - g[k])"),
    ("B16TakesTheSlopeOfTanh", "o[k] * (1.0 - o[k])", "(1.0 - o[k] * o[k])"),
    ("B17AssignsInsteadOfAdding", "bias_backward(&mut dw.b, &dz)", "dw.b = dz.clone()"),
    ("B18ReadsTheNewOutput", "(&mut dw.w_hh, h_prev, &dz)", "(&mut dw.w_hh, &cells.h, &dz)"),
    (
        "B19OverwritesRepeatedCharacters",
        "product_backward_weight(&mut dw.w_ih, x, &dz)",
        "x.iter().position(|&x| x == 1.0).into_iter().for_each(|v| dw.w_ih[v].fill(0.0));
         product_backward_weight(&mut dw.w_ih, x, &dz)",
    ),
    (
        "B20LosesTheOutputGate",
        "product_backward(&dz, &w.w_ih)",
        "product_backward(&dz[..3 * hidden], &w.w_ih)",
    ),
    (
        "B21StopsOneStepEarly",
        "= d.dc_prev.clone()",
        "= if t == 0 { d.dc.clone() } else { d.dc_prev.clone() }",
    ),
    ("B22ForgetsThatEachCellIsInTheRoot", "(d - c_hat * along) / r", "d / r"),
    ("B22ForgetsTheRoot", "(d - c_hat * along) / r", "d - c_hat * along"),
    ("U1AddsMagnitudesInsteadOfSquares", "map(|g| g * g)", "map(|g| g.abs())"),
    ("U2ClipsEachNumberAlone", "*g *= limit / norm", "*g *= limit / g.abs().max(limit)"),
    ("U3ForgetsOneMinusBeta", "(1.0 - beta1) * g", "g"),
    ("U4ForgetsTheSquare", "(1.0 - beta2) * g * g", "(1.0 - beta2) * g.abs()"),
    ("U5CorrectsNothing", "(1.0 - beta1.powf(t), 1.0 - beta2.powf(t))", "(1.0, 1.0)"),
    (
        "U6PutsEpsilonUnderTheRoot",
        "((*v / second).sqrt() + epsilon)",
        "(*v / second + epsilon).sqrt()",
    ),
    ("U7FallsFromTheFirstStep", "(end - step) / (end - start)", "(end - step) / end"),
    ("U7StartsAtNothing", "(step + 1.0) / warm_up", "step / warm_up"),
    ("U8TakesTheSameOffAll", "weight_decay * *theta;", "weight_decay;"),
    ("U8ForgetsTheLearningRate", "learning_rate * weight_decay", "weight_decay"),
];

/// Whether a copy has an item of its own, and not the reference's: Adam it has, whose update mistakes are made in.
fn is_copied(item: &&str) -> bool {
    let shared = ["\npub struct ", "\nimpl Weights ", "\nimpl State ", "\npub fn mask("];
    item.contains("\npub struct Adam ") || !shared.iter().any(|start| item.contains(start))
}

fn main() {
    println!("cargo::rerun-if-changed={REFERENCE}");
    let reference = fs::read_to_string(REFERENCE).expect(REFERENCE);
    let reference: String = reference.split_inclusive("\n}\n").filter(is_copied).collect();
    let mut mutants = String::new();
    for (name, right, wrong) in MISTAKES {
        let times = reference.matches(right).count();
        assert_eq!(times, 1, "{name}: {right:?} should stand once in {REFERENCE}");
        let mutant = reference.replace(right, wrong);
        let uses = "use std::iter::zip; use karenina::reference::*;";
        writeln!(mutants, "pub mod {name} {{ {uses}\n{mutant}\n}}").expect("a string grows");
    }
    let folder = env::var("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&folder).join("mutants.rs"), mutants).expect("OUT_DIR can be written");
}
