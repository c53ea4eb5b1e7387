//! F1 to F13: the engine's own values on the right, the engine's value on the left.

use karenina::layers::{cell, loss, projection};
use karenina::math::matmul::Element;
use karenina::math::team::Team;
use ndarray::{Array2, Array3, Array4, Axis, indices, s};

use crate::equations::case::{Engine, EngineLayer, F, G, I, O, Problem};
use crate::equations::compare::{assert_close, assert_equal};
use crate::equations::reference::mask;

/// F1 in scalar loops, on the engine's inputs and outputs of layer `l`: [T, B, 4, H].
fn pre_activations(problem: &Problem, engine: &Engine, l: usize) -> Array4<f64> {
    let (weights, layer) = (problem.parameters.lstm(l), &engine.layers[l]);
    let hidden = problem.sizes().hidden;
    Array4::from_shape_fn(layer.gates.dim(), |(t, row, q, k)| {
        let column = q * hidden + k;
        let from_input: f64 = match l {
            0 => weights.w_ih[[problem.inputs[[t, row]] as usize, column]],
            _ => {
                let below = &engine.layers[l - 1].y;
                (0..hidden).map(|d| below[[t, row, d]] * weights.w_ih[[d, column]]).sum()
            }
        };
        let from_past: f64 =
            (0..hidden).map(|j| layer.h[[t, row, j]] * weights.w_hh[[j, column]]).sum();
        from_input + from_past + weights.b[column]
    })
}

/// The engine turns z into gates where it lies; the gates' inverse functions show z again.
#[test]
fn eq_f1_pre_activations() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    for (l, layer) in engine.layers.iter().enumerate() {
        let mut z = layer.gates.mapv(|gate| (gate / (1.0 - gate)).ln());
        z.slice_mut(s![.., .., G, ..])
            .assign(&layer.gates.slice(s![.., .., G, ..]).mapv(f64::atanh));
        assert_equal("z", &pre_activations(&problem, &engine, l), &z);
    }
}

/// The engine's gate `q` against `activation` of z, in every layer.
#[track_caller]
fn assert_gate(q: usize, activation: fn(f64) -> f64) {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    for (l, layer) in engine.layers.iter().enumerate() {
        let z = pre_activations(&problem, &engine, l);
        let expected = z.index_axis(Axis(2), q).mapv(activation);
        assert_equal("gate", &expected, &layer.gates.index_axis(Axis(2), q));
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[test]
fn eq_f2_input_gate() {
    assert_gate(I, sigmoid);
}

#[test]
fn eq_f3_forget_gate() {
    assert_gate(F, sigmoid);
}

#[test]
fn eq_f4_candidate() {
    // tanh by its definition, in exponentials
    assert_gate(G, |z| 1.0 - 2.0 / ((2.0 * z).exp() + 1.0));
}

#[test]
fn eq_f5_output_gate() {
    assert_gate(O, sigmoid);
}

/// `right(layer, [t, row, k])` for every step, row and unit: [T, B, H].
fn each_unit(layer: &EngineLayer, right: impl Fn(&EngineLayer, [usize; 3]) -> f64) -> Array3<f64> {
    Array3::from_shape_fn(layer.y.dim(), |(t, row, k)| right(layer, [t, row, k]))
}

#[test]
fn eq_f6_cell_state() {
    for layer in &Engine::run(&Problem::shared()).layers {
        let c = each_unit(layer, |layer, [t, row, k]| {
            let [i, f, g] = [I, F, G].map(|q| layer.gates[[t, row, q, k]]);
            f * layer.c[[t, row, k]] + i * g
        });
        assert_equal("c", &c, &layer.c.slice(s![1.., .., ..]));
    }
}

#[test]
fn eq_f7_output() {
    for layer in &Engine::run(&Problem::shared()).layers {
        let h = each_unit(layer, |layer, [t, row, k]| {
            layer.gates[[t, row, O, k]] * layer.c[[t + 1, row, k]].tanh()
        });
        assert_equal("h", &h, &layer.h.slice(s![1.., .., ..]));
    }
}

/// What h shows is the cell state in units of its root mean square: ĉ of each step, row and unit.
#[test]
fn eq_f13_normalised_cell_state() {
    for layer in &Engine::run(&Problem::normalised()).layers {
        let h = each_unit(layer, |layer, [t, row, k]| {
            let c = layer.c.slice(s![t + 1, row, ..]);
            let mean = c.iter().map(|c| c * c).sum::<f64>() / c.len() as f64;
            layer.gates[[t, row, O, k]] * (c[k] / (mean + 1e-5).sqrt()).tanh()
        });
        assert_equal("h", &h, &layer.h.slice(s![1.., .., ..]));
    }
    let mut c = [3.0, -4.0, 0.0, 12.0, 0.0]; // 169 / 5 is the mean of their squares
    cell::normalise(&mut c);
    let root = (33.8 + 1e-5_f64).sqrt();
    assert_close("alone", &[3.0 / root, -4.0 / root, 0.0, 12.0 / root, 0.0], &c);
}

/// F2 to F7 of one row without the layer around them, units beyond the last block of 16 included.
#[test]
fn eq_f7_of_the_cell_alone() {
    let hidden = 35;
    let z: Vec<f64> = (0..4 * hidden).map(|n| (n as f64 * 0.7).sin()).collect();
    let c_prev: Vec<f64> = (0..hidden).map(|k| (k as f64 * 1.3).cos()).collect();
    let (mut gates, mut c, mut h) = (z.clone(), vec![f64::NAN; hidden], vec![f64::NAN; hidden]);
    cell::forward(&mut gates, &c_prev, &mut c, &mut h, false);
    let expected: Vec<f64> = (0..hidden)
        .map(|k| {
            let [i, f, g, o] = [I, F, G, O].map(|q| z[q * hidden + k]);
            sigmoid(o) * (sigmoid(f) * c_prev[k] + sigmoid(i) * g.tanh()).tanh()
        })
        .collect();
    assert_close("h", &expected, &h);
}

#[test]
fn eq_f8_dropout() {
    let problem = Problem::shared();
    let (_, batch) = problem.positions();
    let mut kept = 0;
    for (l, layer) in Engine::run(&problem).layers.iter().enumerate() {
        let y = each_unit(layer, |layer, [t, row, k]| {
            mask(problem.dropout, l, t * batch + row, 19)[k] * layer.h[[t + 1, row, k]]
        });
        assert_equal("y", &y, &layer.y);
        kept += y.iter().filter(|y| **y != 0.0).count();
    }
    // 456 units, each kept with probability 1/2: four standard deviations are 43.
    assert!(kept.abs_diff(228) < 43, "{kept} of 456 units kept");
}

/// Logits of the engine's own projection, and in scalar loops.
fn logits(problem: &Problem, engine: &Engine) -> (Array2<f64>, Array2<f64>) {
    let weights = problem.parameters.projection();
    let (hidden, vocabulary) = weights.w.dim();
    let y = &engine.layers.last().unwrap().y;
    let positions = y.len() / hidden;
    let y = y.view().into_shape_with_order((positions, hidden)).unwrap();
    let mut packed = f64::packed(hidden, vocabulary);
    f64::pack(&mut packed, weights.w);
    let mut engines = Array2::from_elem((positions, vocabulary), f64::NAN);
    projection::forward(y, &packed, weights.b, engines.view_mut(), &mut Team::new(2));
    let scalar = Array2::from_shape_fn((positions, vocabulary), |(n, v)| {
        (0..hidden).map(|k| y[[n, k]] * weights.w[[k, v]]).sum::<f64>() + weights.b[v]
    });
    (engines, scalar)
}

#[test]
fn eq_f9_logits() {
    let problem = Problem::shared();
    let (engines, scalar) = logits(&problem, &Engine::run(&problem));
    assert_equal("logits", &scalar, &engines);
}

#[test]
fn eq_f10_softmax() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (_, logits) = logits(&problem, &engine);
    let p = Array2::from_shape_fn(logits.dim(), |(n, v)| {
        logits[[n, v]].exp() / logits.row(n).iter().map(|l| l.exp()).sum::<f64>()
    });
    assert_close("p", &p, &engine.p);
}

#[test]
fn eq_f11_loss_of_one_position() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let losses = Array2::from_shape_fn(problem.positions(), |(t, row)| {
        -engine.p[[t, row, problem.targets[[t, row]] as usize]].ln()
    });
    assert_equal("losses", &losses, &engine.losses);
}

/// The largest logit is subtracted first: a shift of the whole row changes neither p nor loss.
#[test]
fn eq_f10_is_blind_to_a_shift() {
    let row = [0.3, -1.2, 2.0, 0.7];
    let (mut p, mut shifted) = (row, row.map(|l| l + 5000.0));
    let losses = [loss::forward(&mut p, 2), loss::forward(&mut shifted, 2)];
    assert_close("p", &p, &shifted);
    assert_close("loss", &losses[..1], &losses[1..]);
}

#[test]
fn eq_f12_mean_loss() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (unroll, batch) = problem.positions();
    let mut sum = 0.0;
    for (t, row) in indices((unroll, batch)) {
        sum += engine.losses[[t, row]];
    }
    assert_close("loss", &[sum / (unroll * batch) as f64], &[engine.loss]);
}
