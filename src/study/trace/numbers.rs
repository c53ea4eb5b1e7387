//! The equations of one unit at one time step with the numbers put in.

use ndarray::{Array2, ArrayView1, s};
use serde::Serialize;

use crate::layers::cell;
use crate::math::Real;
use crate::model::Parameters;
use crate::study::trace::format::{significant, visible};
use crate::study::trace::pass::{Gradient, LayerGradient, Pass};

/// A unit of a layer at a time step, each counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// t, of 0 … T − 1.
    pub step: usize,
    /// l, of 0 … L − 1.
    pub layer: usize,
    /// k, of 0 … H − 1.
    pub unit: usize,
}

/// One equation of `docs/derivation.md` as it was computed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Equation {
    /// F1 … F13, B1 … B22.
    pub label: &'static str,
    /// In symbols; ₋ marks the time step before, ₊ the one after.
    pub symbols: String,
    /// The right side in numbers.
    pub numbers: String,
    /// The left side.
    pub value: f64,
}

const GATES: [char; 4] = ['i', 'f', 'g', 'o'];

/// All equations at `spot`, forward, then backward. Shares of sums over time (B2, B3, B17 to B19) are
/// this step's alone.
///
/// * `parameters`: those of `pass`
pub(in crate::study) fn equations<R: Real>(
    parameters: &Parameters<R>,
    pass: &Pass<R>,
    gradient: &Gradient<R>,
    vocabulary: &[char],
    spot: Spot,
) -> Vec<Equation> {
    let layer = &gradient.layers[spot.layer];
    let c_hat = pass.c_hat(spot.layer).row(spot.step).iter().map(|c| c.to_f64()).collect();
    let at = At { parameters, pass, gradient, layer, c_hat, vocabulary, spot };
    [
        at.cell(),
        at.output(),
        at.output_back(),
        at.arriving(),
        at.cell_back(),
        at.weights(),
        at.leaving(),
    ]
    .concat()
}

fn equation(
    label: &'static str,
    symbols: impl Into<String>,
    numbers: String,
    value: f64,
) -> Equation {
    Equation { label, symbols: symbols.into(), numbers, value }
}

/// A number inside an expression: negative ones stand in brackets.
fn n(x: f64) -> String {
    let number = significant(x, 6);
    if x < 0.0 { format!("({number})") } else { number }
}

/// The product of two numbers inside an expression.
fn product(a: f64, b: f64) -> String {
    format!("{}·{}", n(a), n(b))
}

fn dot<R: Real>(a: ArrayView1<R>, b: ArrayView1<R>) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Everything that the equations of one spot are made of.
struct At<'a, R: Real> {
    parameters: &'a Parameters<R>,
    pass: &'a Pass<R>,
    gradient: &'a Gradient<R>,
    layer: &'a LayerGradient<R>,
    /// What h shows of the layer's cells at this step, `[H]`.
    c_hat: Vec<f64>,
    vocabulary: &'a [char],
    spot: Spot,
}

impl<R: Real> At<'_, R> {
    /// The column of gate `n` of the unit.
    fn column(&self, n: usize) -> usize {
        n * self.pass.sizes.hidden + self.spot.unit
    }

    /// Of `of`, [T, H], the number of this step and unit.
    fn here(&self, of: &Array2<R>) -> f64 {
        of[[self.spot.step, self.spot.unit]].to_f64()
    }

    /// i, f, g, o of the unit.
    fn gates(&self) -> [f64; 4] {
        let gates = self.pass.gates(self.spot.layer);
        [0, 1, 2, 3].map(|n| gates[[self.spot.step, self.column(n)]].to_f64())
    }

    fn dz(&self, n: usize) -> f64 {
        self.layer.dz[[self.spot.step, self.column(n)]].to_f64()
    }

    /// c, or with `back` = 1 that of the step before.
    fn c(&self, back: usize) -> f64 {
        self.pass.c(self.spot.layer)[[self.spot.step + 1 - back, self.spot.unit]].to_f64()
    }

    /// ĉ, what h shows of the unit.
    fn c_hat(&self) -> f64 {
        self.c_hat[self.spot.unit]
    }

    /// The root mean square of the layer's cell states, c / ĉ.
    fn root(&self) -> f64 {
        let c = self.pass.c(self.spot.layer).row(self.spot.step + 1).to_vec();
        1.0 / cell::scale(&c, true).to_f64()
    }

    /// h of the unit in layer `l`, or with `back` = 1 that of the step before.
    fn h(&self, l: usize, back: usize) -> f64 {
        self.pass.h(l)[[self.spot.step + 1 - back, self.spot.unit]].to_f64()
    }

    fn top(&self) -> usize {
        self.pass.sizes.layers - 1
    }

    /// x_t·W_ih, h_{t−1}·W_hh and b in gate `n`.
    fn pre_activation(&self, n: usize) -> [f64; 3] {
        let Spot { step, layer: l, .. } = self.spot;
        let (weights, column) = (self.parameters.lstm(l), self.column(n));
        let x = match l {
            0 => weights.w_ih[[self.pass.input(step), column]].to_f64(),
            _ => dot(self.pass.h(l - 1).row(step + 1), weights.w_ih.column(column)),
        };
        let h = dot(self.pass.h(l).row(step), weights.w_hh.column(column));
        [x, h, weights.b[column].to_f64()]
    }

    /// F1 to F8.
    fn cell(&self) -> Vec<Equation> {
        let terms = [0, 1, 2, 3].map(|n| self.pre_activation(n));
        let z = terms.map(|terms| terms.iter().sum::<f64>());
        let mut lines = Vec::new();
        for k in 0..4 {
            let symbols = format!("z_{} = x·W_ih + h₋·W_hh + b", GATES[k]);
            lines.push(equation("F1", symbols, terms[k].map(n).join(" + "), z[k]));
        }
        let gates = self.gates();
        for (k, label) in ["F2", "F3", "F4", "F5"].into_iter().enumerate() {
            let (gate, function) = (GATES[k], if k == 2 { "tanh" } else { "σ" });
            let numbers = format!("{function}({})", significant(z[k], 6));
            lines.push(equation(
                label,
                format!("{gate} = {function}(z_{gate})"),
                numbers,
                gates[k],
            ));
        }
        let [i, f, g, o] = gates;
        let (c_prev, c, h) = (self.c(1), self.c(0), self.h(self.spot.layer, 0));
        let numbers = format!("{} + {}", product(f, c_prev), product(i, g));
        lines.push(equation("F6", "c = f·c₋ + i·g", numbers, c));
        let c_hat = self.c_hat();
        let mut shown = "h = o·tanh c";
        if self.pass.sizes.cell_norm {
            let numbers = format!("{} / {}", n(c), n(self.root()));
            lines.push(equation("F13", "ĉ = c / √(mean c² + ε)", numbers, c_hat));
            shown = "h = o·tanh ĉ";
        }
        let numbers = format!("{}·tanh({})", n(o), significant(c_hat, 6));
        lines.push(equation("F7", shown, numbers, h));
        lines.push(equation("F8", "y = h (dropout only while training)", n(h), h));
        lines
    }

    /// The next character, its id and the number of time steps.
    fn target(&self) -> (String, usize, f64) {
        let id = self.pass.target(self.spot.step);
        (visible(self.vocabulary[id]), id, self.pass.unroll() as f64)
    }

    /// F9 to F11.
    fn output(&self) -> Vec<Equation> {
        let (next, id, _) = self.target();
        let step = self.spot.step;
        let logits = self.pass.logits.row(step);
        let projection = self.parameters.projection();
        let sum = dot(self.pass.h(self.top()).row(step + 1), projection.w.column(id));
        let logit = logits[id].to_f64();
        let max = logits.iter().map(|l| l.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logits.iter().map(|l| libm::exp(l.to_f64() - max)).sum();
        let p = self.pass.p()[[step, id]].to_f64();
        let loss = self.pass.losses().nth(step).expect("a loss for each step");
        let numbers = format!("{} + {}", n(sum), n(projection.b[id].to_f64()));
        let softmax = format!("p({next}) = exp(logit − max) / Σ exp(logits − max)");
        let share = format!("{} / {}", n(libm::exp(logit - max)), n(total));
        vec![
            equation("F9", format!("logit({next}) = y·W + b"), numbers, logit),
            equation("F10", softmax, share, p),
            equation("F11", format!("loss = −ln p({next})"), format!("-ln({})", n(p)), loss),
        ]
    }

    /// B1 to B4, at the top layer's unit of this number.
    fn output_back(&self) -> Vec<Equation> {
        let (next, id, unroll) = self.target();
        let Spot { step, unit, .. } = self.spot;
        let d = self.gradient.dlogits.row(step);
        let (p, d_next) = (self.pass.p()[[step, id]].to_f64(), d[id].to_f64());
        let y = self.h(self.top(), 0);
        let projection = self.parameters.projection();
        let w = projection.w.row(unit);
        let w_next = w[id].to_f64();
        let dy = self.here(&self.gradient.layers[self.top()].dy);
        let mean = format!("({} - 1) / {unroll}", n(p));
        let (dw, shared) = (format!("dW({next}) share = y·dlogit"), product(y, d_next));
        let back = format!("dy = dlogit({next})·W({next}) + Σ over the others");
        let others = n(dot(d, w) - d_next * w_next);
        vec![
            equation("B1", format!("dlogit({next}) = (p − 1) / T"), mean, d_next),
            equation("B2", dw, shared, y * d_next),
            equation("B3", format!("db({next}) share = dlogit"), n(d_next), d_next),
            equation("B4", back, format!("{} + {others}", product(d_next, w_next)), dy),
        ]
    }

    /// B20 of the layer above, B5 and B6: what makes up dh.
    fn arriving(&self) -> Vec<Equation> {
        let Spot { step, layer: l, unit } = self.spot;
        let mut lines = Vec::new();
        if l < self.top() {
            lines.push(self.dx(l + 1, format!("dy = dz·W_ihᵀ of layer {}", l + 1)));
        }
        let dy = self.here(&self.layer.dy);
        lines.push(equation("B5", "dh from above = dy (dropout only while training)", n(dy), dy));
        let from_after = match step + 1 < self.pass.unroll() {
            true => dot(self.layer.dz.row(step + 1), self.parameters.lstm(l).w_hh.row(unit)),
            false => 0.0,
        };
        let sum = format!("{} + {}", n(dy), n(from_after));
        lines.push(equation("B6", "dh = dy + dz₊·W_hhᵀ", sum, self.here(&self.layer.dh)));
        lines
    }

    /// The mean over the layer's units of dĉ·ĉ, which B22 needs of all of them.
    fn along(&self) -> f64 {
        let (step, hidden) = (self.spot.step, self.pass.sizes.hidden);
        let gates = self.pass.gates(self.spot.layer);
        let of_unit = |k: usize| {
            let c_hat = self.c_hat[k];
            let [dh, o] = [self.layer.dh[[step, k]], gates[[step, 3 * hidden + k]]];
            let (dh, o) = (dh.to_f64(), o.to_f64());
            dh * o * (1.0 - libm::tanh(c_hat).powi(2)) * c_hat
        };
        (0..hidden).map(of_unit).sum::<f64>() / hidden as f64
    }

    /// B8, and before it B22 where there is one.
    fn dc(&self) -> Vec<Equation> {
        let (c_hat, [.., o]) = (self.c_hat(), self.gates());
        let tanh_c = libm::tanh(c_hat);
        let (dh, dc) = (self.here(&self.layer.dh), self.here(&self.layer.dc));
        let through_h = dh * o * (1.0 - tanh_c * tanh_c);
        let through = format!("{}·(1 - {})", product(dh, o), product(tanh_c, tanh_c));
        if !self.pass.sizes.cell_norm {
            let numbers = format!("{} + {through}", n(dc - through_h));
            return vec![equation("B8", "dc = dc₊·f₊ + dh·o·(1 − tanh² c)", numbers, dc)];
        }
        let (along, root) = (self.along(), self.root());
        let through_norm = (through_h - c_hat * along) / root;
        let numbers = format!("({through} - {}) / {}", product(c_hat, along), n(root));
        let symbols = "through h = (dĉ − ĉ·mean(dĉ·ĉ)) / √(mean c² + ε), dĉ = dh·o·(1 − tanh² ĉ)";
        let sum = format!("{} + {}", n(dc - through_norm), n(through_norm));
        vec![
            equation("B22", symbols, numbers, through_norm),
            equation("B8", "dc = dc₊·f₊ + what comes through h", sum, dc),
        ]
    }

    /// B7 to B16.
    fn cell_back(&self) -> Vec<Equation> {
        let [i, f, g, o] = self.gates();
        let (c_prev, tanh_c) = (self.c(1), libm::tanh(self.c_hat()));
        let (dh, dc) = (self.here(&self.layer.dh), self.here(&self.layer.dc));
        let sigmoid = |d: f64, gate: f64| format!("{}·(1 - {})", product(d, gate), n(gate));
        let dz_g = format!("{}·(1 - {})", n(dc * i), product(g, g));
        let d_o = if self.pass.sizes.cell_norm { "do = dh·tanh ĉ" } else { "do = dh·tanh c" };
        let mut lines = vec![equation("B7", d_o, product(dh, tanh_c), dh * tanh_c)];
        lines.extend(self.dc());
        lines.extend([
            equation("B9", "di = dc·g", product(dc, g), dc * g),
            equation("B10", "df = dc·c₋", product(dc, c_prev), dc * c_prev),
            equation("B11", "dg = dc·i", product(dc, i), dc * i),
            equation("B12", "dc₋ share = dc·f", product(dc, f), dc * f),
            equation("B13", "dz_i = di·i·(1 − i)", sigmoid(dc * g, i), self.dz(0)),
            equation("B14", "dz_f = df·f·(1 − f)", sigmoid(dc * c_prev, f), self.dz(1)),
            equation("B15", "dz_g = dg·(1 − g²)", dz_g, self.dz(2)),
            equation("B16", "dz_o = do·o·(1 − o)", sigmoid(dh * tanh_c, o), self.dz(3)),
        ]);
        lines
    }

    /// B17 to B19: this step's shares of the weights' gradients.
    fn weights(&self) -> Vec<Equation> {
        let Spot { step, layer: l, unit } = self.spot;
        let h_prev = self.h(l, 1);
        let (from, x) = match l {
            0 => (visible(self.vocabulary[self.pass.input(step)]), 1.0),
            _ => (unit.to_string(), self.h(l - 1, 0)),
        };
        let lines = (0..4).map(|k| {
            let (gate, dz) = (GATES[k], self.dz(k));
            let dw_hh = format!("dW_hh({unit}, {gate}) share = h₋·dz_{gate}");
            let dw_ih = format!("dW_ih({from}, {gate}) share = x·dz_{gate}");
            [
                equation("B17", format!("db_{gate} share = dz_{gate}"), n(dz), dz),
                equation("B18", dw_hh, product(h_prev, dz), h_prev * dz),
                equation("B19", dw_ih, product(x, dz), x * dz),
            ]
        });
        let mut lines: Vec<_> = lines.flatten().collect();
        lines.sort_by_key(|line| line.label); // stable: the gates stay in order
        lines
    }

    /// B20, if a layer lies below, and B21 at the first step: what goes on from here.
    fn leaving(&self) -> Vec<Equation> {
        let Spot { step, layer: l, unit } = self.spot;
        let mut lines = Vec::new();
        if l > 0 {
            lines.push(self.dx(l, "dx = dz·W_ihᵀ".into()));
        }
        if step == 0 {
            let [dh_0, dc_0] = &self.layer.d_state;
            let terms = self.terms(self.layer.dz.row(0), self.parameters.lstm(l).w_hh.row(unit));
            lines.push(equation("B21", "dh₋ = dz·W_hhᵀ", terms, self.here(dh_0)));
            let [_, f, ..] = self.gates();
            let numbers = product(self.here(&self.layer.dc), f);
            lines.push(equation("B21", "dc₋ = dc·f", numbers, self.here(dc_0)));
        }
        lines
    }

    /// B20 from layer `l` to the unit below.
    fn dx(&self, l: usize, symbols: String) -> Equation {
        let Spot { step, unit, .. } = self.spot;
        let (above, below) = (&self.gradient.layers[l], &self.gradient.layers[l - 1]);
        let terms = self.terms(above.dz.row(step), self.parameters.lstm(l).w_ih.row(unit));
        equation("B20", symbols, terms, self.here(&below.dy))
    }

    /// dz·w, gate by gate.
    fn terms(&self, dz: ArrayView1<R>, w: ArrayView1<R>) -> String {
        let hidden = self.pass.sizes.hidden;
        let gate = |k: usize| s![k * hidden..(k + 1) * hidden];
        let terms = [0, 1, 2, 3].map(|k| n(dot(dz.slice(gate(k)), w.slice(gate(k)))));
        terms.join(" + ")
    }
}
