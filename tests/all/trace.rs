//! A trace shows what the engine computes, and what the engine forgets is right as well.

use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::study::trace::{Equation, Spot, Trace, View, trace, visible};
use ndarray::{Array1, Array2, s};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const SIZES: Sizes = Sizes::new(6, 5, 2);
const VOCABULARY: [char; 6] = ['\n', ' ', '<', 'a', 'n', 'я'];
const IDS: [u32; 9] = [3, 4, 4, 3, 1, 5, 0, 2, 3];
const T: usize = IDS.len() - 1;

/// Weights so large that the gates leave their linear range.
fn parameters() -> Parameters<f64> {
    parameters_of(SIZES)
}

fn parameters_of(sizes: Sizes) -> Parameters<f64> {
    let mut rng = Pcg64::seed_from_u64(3);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    for tensor in parameters.tensors_mut() {
        tensor.fill_with(|| rng.random_range(-0.9..0.9));
    }
    parameters
}

fn traced(view: View) -> Trace {
    trace(&parameters(), &VOCABULARY, &IDS, view).unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let scale = expected.abs().max(1e-3);
    assert!((found - expected).abs() <= tolerance * scale, "{what}: {found} is not {expected}");
}

/// The plain scalar network, moved at one place: the loss of each step in nats.
///
/// * `nudge`: `(step, layer, is_c, unit, by)`
fn losses(nudge: Option<(usize, usize, bool, usize, f64)>) -> Vec<f64> {
    let (p, h) = (parameters(), SIZES.hidden);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut state = vec![(Array1::<f64>::zeros(h), Array1::<f64>::zeros(h)); SIZES.layers];
    let step = |t: usize| {
        let mut x = Array1::zeros(SIZES.vocabulary);
        x[IDS[t] as usize] = 1.0;
        for (l, (h_l, c_l)) in state.iter_mut().enumerate() {
            let at = |is_c: bool| nudge.filter(|n| (n.0, n.1, n.2) == (t, l, is_c));
            let z = x.dot(&p.lstm(l).w_ih) + h_l.dot(&p.lstm(l).w_hh) + p.lstm(l).b;
            for k in 0..h {
                let (i, f, o) = (sigmoid(z[k]), sigmoid(z[h + k]), sigmoid(z[3 * h + k]));
                c_l[k] = f * c_l[k] + i * z[2 * h + k].tanh();
                c_l[k] += at(true).filter(|n| n.3 == k).map_or(0.0, |n| n.4);
                h_l[k] = o * c_l[k].tanh();
                h_l[k] += at(false).filter(|n| n.3 == k).map_or(0.0, |n| n.4);
            }
            x = h_l.clone();
        }
        let logits = x.dot(&p.projection().w) + p.projection().b;
        logits.mapv(f64::exp).sum().ln() - logits[IDS[t + 1] as usize]
    };
    (0..T).map(step).collect()
}

/// The gradient of `loss` at h (or c) of a layer at a step, by central differences.
fn numeric(loss: fn(&[f64]) -> f64, step: usize, layer: usize, is_c: bool) -> Vec<f64> {
    let moved = |unit, by| loss(&losses(Some((step, layer, is_c, unit, by))));
    (0..SIZES.hidden).map(|k| (moved(k, 1e-5) - moved(k, -1e-5)) / 2e-5).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

fn last(losses: &[f64]) -> f64 {
    losses[losses.len() - 1]
}

#[test]
fn losses_are_those_of_the_plain_network() {
    let trace = traced(View::default());
    for (step, nats) in trace.steps.iter().zip(losses(None)) {
        assert_close(step.bits, nats / std::f64::consts::LN_2, 1e-12, "bits");
        assert_close(step.probability, (-nats).exp(), 1e-12, "probability");
    }
    assert_close(trace.nats, mean(&losses(None)), 1e-12, "mean loss");
}

#[test]
fn loss_and_gradients_are_those_of_the_training_step() {
    let (trace, parameters) = (traced(View::default()), parameters());
    let mut network = Network::new(SIZES, 1, T, 1);
    let mut gradients = Parameters::zeros(SIZES);
    let column = |shift| Array2::from_shape_fn((T, 1), |(t, _)| IDS[t + shift]);
    let (x, y) = (column(0), column(1));
    let state = &mut State::zeros(SIZES, 1);
    let loss = network.gradients(&mut gradients, &parameters, x.view(), y.view(), state, None);
    assert_close(trace.nats, loss, 1e-15, "loss");
    assert_eq!(trace.tensors.len(), 3 * SIZES.layers + 2);
    for (tensor, gradient) in trace.tensors.iter().zip(gradients.tensors()) {
        assert_close(tensor.norm, norm(gradient), 1e-12, &tensor.name);
        let largest = gradient.iter().fold(0.0, |max: f64, d| max.max(d.abs()));
        assert_close(tensor.largest, largest, 1e-12, &tensor.name);
    }
    let dz = &network.shards()[0].layers;
    for (t, step) in trace.steps.iter().enumerate() {
        for (l, layer) in step.layers.iter().enumerate() {
            for (gate, &found) in layer.dz.iter().enumerate() {
                let h = SIZES.hidden;
                let dz = dz[l].lstm.dz.slice(s![t, 0, gate * h..(gate + 1) * h]).to_vec();
                assert_close(found, norm(&dz), 1e-12, &format!("dz of gate {gate} at {t}"));
            }
        }
    }
}

#[test]
fn dh_and_dc_of_every_step_are_the_slopes_of_the_mean_loss() {
    for (t, step) in traced(View::default()).steps.iter().enumerate() {
        for (l, layer) in step.layers.iter().enumerate() {
            let place = format!("step {t} layer {l}");
            assert_close(layer.dh, norm(&numeric(mean, t, l, false)), 1e-7, &place);
            assert_close(layer.dc, norm(&numeric(mean, t, l, true)), 1e-7, &place);
        }
    }
}

#[test]
fn reach_is_the_slope_of_the_last_loss_alone() {
    let trace = traced(View::default());
    assert_eq!(trace.reach.len(), T);
    for reach in &trace.reach {
        let t = T - 1 - reach.lag;
        assert_eq!(reach.character, VOCABULARY[IDS[t] as usize]);
        for l in 0..SIZES.layers {
            let place = format!("lag {} layer {l}", reach.lag);
            assert_close(reach.dh[l], norm(&numeric(last, t, l, false)), 1e-7, &place);
            assert_close(reach.dc[l], norm(&numeric(last, t, l, true)), 1e-7, &place);
        }
    }
}

#[test]
fn units_make_up_the_means_and_norms() {
    let whole = traced(View::default());
    let units: Vec<Trace> = (0..SIZES.hidden)
        .map(|unit| traced(View { unit: Some(unit), ..View::default() }))
        .collect();
    for t in 0..T {
        for l in 0..SIZES.layers {
            let layer = &whole.steps[t].layers[l];
            let unit = |k: usize| units[k].steps[t].layers[l].unit.unwrap();
            let all = || (0..SIZES.hidden).map(unit);
            let mean = |f: fn(f64) -> f64, x: Vec<f64>| x.into_iter().map(f).sum::<f64>() / 5.0;
            assert_close(layer.f.mean, mean(|x| x, all().map(|u| u.f).collect()), 1e-12, "f");
            assert_close(layer.c, mean(|x| x, all().map(|u| u.c).collect()), 1e-12, "c");
            let open = all().filter(|u| u.o > 0.9).count() as f64 / 5.0;
            assert_eq!(layer.o.high, open);
            let shut = all().filter(|u| u.g < -0.9).count() as f64 / 5.0;
            assert_eq!(layer.g.low, shut);
            assert_close(layer.dh, norm(&all().map(|u| u.dh).collect::<Vec<_>>()), 1e-12, "dh");
            assert_close(layer.dc, norm(&all().map(|u| u.dc).collect::<Vec<_>>()), 1e-12, "dc");
        }
    }
}

#[test]
fn the_likeliest_characters_come_first() {
    for step in traced(View { top: 6, ..View::default() }).steps {
        assert_eq!(step.top.len(), 6);
        assert!(step.top.windows(2).all(|pair| pair[0].probability >= pair[1].probability));
        assert_close(step.top.iter().map(|g| g.probability).sum(), 1.0, 1e-12, "sum");
        let next = step.top.iter().find(|guess| guess.character == step.next).unwrap();
        assert_eq!(next.probability, step.probability);
    }
}

/// The value of an expression as it is printed: sums, products, quotients, σ, tanh, exp and ln.
struct Calculator<'a>(&'a str);

impl Calculator<'_> {
    fn eat(&mut self, symbol: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(symbol);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn sum(&mut self) -> f64 {
        let mut sum = self.product();
        loop {
            if self.eat("+") {
                sum += self.product();
            } else if self.eat("- ") {
                sum -= self.product();
            } else {
                return sum;
            }
        }
    }

    fn product(&mut self) -> f64 {
        let mut product = self.factor();
        loop {
            if self.eat("·") {
                product *= self.factor();
            } else if self.eat("/") {
                product /= self.factor();
            } else {
                return product;
            }
        }
    }

    fn factor(&mut self) -> f64 {
        for (name, function) in [
            ("σ(", (|x| 1.0 / (1.0 + (-x).exp())) as fn(f64) -> f64),
            ("tanh(", f64::tanh),
            ("-ln(", |x| -x.ln()),
            ("(", |x| x),
        ] {
            if self.eat(name) {
                let inside = self.sum();
                assert!(self.eat(")"), "a bracket is open before {:?}", self.0);
                return function(inside);
            }
        }
        let text = self.0.trim_start();
        let is_part = |(at, c): (usize, char)| {
            c.is_ascii_digit()
                || c == '.'
                || c == 'e'
                || (c == '-' && (at == 0 || text.as_bytes()[at - 1] == b'e'))
        };
        let end = text.char_indices().find(|&part| !is_part(part)).map_or(text.len(), |(at, _)| at);
        self.0 = &text[end..];
        text[..end].parse().unwrap_or_else(|_| panic!("a number in {text:?}"))
    }
}

fn equations(step: usize, layer: usize, unit: usize) -> Vec<Equation> {
    traced(View { spot: Some(Spot { step, layer, unit }), ..View::default() }).equations
}

/// The same in a network whose cells are normalised.
fn normalised(step: usize, layer: usize, unit: usize) -> Vec<Equation> {
    let parameters = parameters_of(SIZES.with_cell_norm(true));
    let view = View { spot: Some(Spot { step, layer, unit }), ..View::default() };
    trace(&parameters, &VOCABULARY, &IDS, view).unwrap().equations
}

#[test]
fn the_numbers_of_every_equation_give_its_value() {
    for (step, layer, unit) in [(0, 0, 1), (0, 1, 4), (3, 0, 2), (T - 1, 1, 0)] {
        let both = [equations(step, layer, unit), normalised(step, layer, unit)];
        for Equation { label, symbols, numbers, value, .. } in both.concat() {
            let mut calculator = Calculator(&numbers);
            let result = calculator.sum();
            assert_eq!(calculator.0, "", "{label} {numbers} has a rest");
            assert_close(result, value, 1e-4, &format!("{label} {symbols}: {numbers}"));
        }
    }
}

/// What is left of dc without the share that came through h is what the step after has sent: so both are right.
#[test]
fn normalised_cells_have_equations_of_their_own() {
    let at = |step: usize, wanted: &str| {
        let found = normalised(step, 0, 2).into_iter().find(|line| line.label == wanted);
        found.unwrap_or_else(|| panic!("{wanted} at step {step}")).value
    };
    for step in 0..T - 1 {
        assert_close(at(step, "B8") - at(step, "B22"), at(step + 1, "B12"), 1e-9, "dc");
        assert!((at(step, "F13") * at(step, "F6")) > 0.0, "c and ĉ have one sign");
    }
    assert_close(at(T - 1, "B8"), at(T - 1, "B22"), 1e-9, "dc of the last step");
    assert!(equations(1, 0, 2).iter().all(|line| !["F13", "B22"].contains(&line.label)));
}

#[test]
fn every_equation_is_there_that_happens_at_the_spot() {
    let labels = |step, layer| -> Vec<&str> {
        let mut labels: Vec<_> = equations(step, layer, 1).iter().map(|line| line.label).collect();
        labels.dedup();
        labels
    };
    let forward = ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11"];
    let back = [
        "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "B13", "B14", "B15", "B16", "B17",
        "B18", "B19",
    ];
    let joined = |parts: &[&[&'static str]]| parts.concat();
    let output = ["B1", "B2", "B3", "B4"];
    assert_eq!(labels(2, 1), joined(&[&forward, &output, &back, &["B20"]]));
    assert_eq!(labels(2, 0), joined(&[&forward, &output, &["B20"], &back]), "dy comes by B20");
    assert_eq!(labels(0, 1), joined(&[&forward, &output, &back, &["B20", "B21"]]));
}

#[test]
fn what_does_not_exist_is_named() {
    let message =
        |view, ids: &[u32]| trace(&parameters(), &VOCABULARY, ids, view).unwrap_err().to_string();
    let view = View { unit: Some(5), ..View::default() };
    assert!(message(view, &IDS).starts_with("unit is 5, but must be at most 4"));
    let spot = Some(Spot { step: 8, layer: 0, unit: 0 });
    assert!(message(View { spot, ..View::default() }, &IDS).starts_with("step is 8, but must be"));
    let spot = Some(Spot { step: 0, layer: 2, unit: 0 });
    assert!(message(View { spot, ..View::default() }, &IDS).starts_with("layer is 2, but must be"));
    let start = "text is 1 character, but must be at least 2";
    assert!(message(View::default(), &IDS[..1]).starts_with(start));
}

#[test]
fn invisible_characters_are_shown() {
    assert_eq!(
        ['\n', ' ', '\t', 'я', '\'', '\u{7}'].map(visible),
        ["⏎", "␣", "⇥", "я", "'", "\\u{7}"]
    );
}
