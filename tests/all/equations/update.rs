//! U1 to U8: the engine's own values on the right, the engine's value on the left.

use karenina::model::Parameters;
use karenina::optim::clip::{clip_by_global_norm, global_norm};
use karenina::optim::schedule::Schedule;

use crate::equations::case::{Engine, Problem};
use crate::equations::compare::assert_close;

/// All numbers of all tensors in a row.
fn flat(parameters: &Parameters<f64>) -> Vec<f64> {
    parameters.numbers().to_vec()
}

#[test]
fn eq_u1_global_norm() {
    let engine = Engine::run(&Problem::shared());
    let mut sum = 0.0;
    for g in flat(&engine.gradients) {
        sum += g * g;
    }
    assert_close("norm", &[sum.sqrt()], &[engine.norm]);
}

#[test]
fn eq_u2_clipping() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    assert!(engine.norm > problem.limit, "the shared problem clips");
    let scaled: Vec<f64> =
        flat(&engine.gradients).iter().map(|g| g * problem.limit / engine.norm).collect();
    assert_close("clipped", &scaled, &flat(&engine.clipped));
    assert_close("its norm", &[problem.limit], &[global_norm(&engine.clipped)]);

    let mut below = engine.gradients.clone();
    clip_by_global_norm(&mut below, engine.norm * 1.01);
    assert!(below == engine.gradients, "below the limit nothing changes");
}

#[test]
fn eq_u3_first_moment() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (g, before) = (flat(&engine.clipped), flat(&problem.adam.m));
    let m: Vec<f64> = g.iter().zip(before).map(|(g, m)| 0.9 * m + 0.1 * g).collect();
    assert_close("m", &m, &flat(&engine.adam.m));
}

#[test]
fn eq_u4_second_moment() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (g, before) = (flat(&engine.clipped), flat(&problem.adam.v));
    let v: Vec<f64> = g.iter().zip(before).map(|(g, v)| 0.999 * v + 0.001 * g * g).collect();
    assert_close("v", &v, &flat(&engine.adam.v));
}

/// The update at which the shared problem's step stands.
const T: i32 = 5;

/// With ε = 0 and equal moments everywhere, m = √v, the update is α times the two corrections: it shows
/// them alone.
#[test]
fn eq_u5_bias_corrections() {
    let mut problem = Problem::shared();
    problem.adam.config.epsilon = 0.0;
    let zeros = Parameters::<f64>::zeros(problem.sizes());
    let mut parameters = zeros.clone();
    for (m, v) in problem.adam.m.tensors_mut().zip(problem.adam.v.tensors_mut()) {
        m.fill(1.0 / 0.9);
        v.fill(1.0 / 0.999);
    }
    problem.adam.update(&mut parameters, &zeros);
    assert_eq!(problem.adam.updates, T as u64);
    let corrections = (1.0 - 0.999f64.powi(T)).sqrt() / (1.0 - 0.9f64.powi(T));
    let expected = vec![-1e-3 * corrections; flat(&parameters).len()];
    assert_close("α·√(1 − β₂ᵗ)/(1 − β₁ᵗ)", &expected, &flat(&parameters));
}

#[test]
fn eq_u6_parameters() {
    let problem = Problem::shared();
    let engine = Engine::run(&problem);
    let (m, v) = (flat(&engine.adam.m), flat(&engine.adam.v));
    // The change, not the parameter itself: a thousandth of it would hide an error.
    let before = flat(&problem.parameters);
    let change: Vec<f64> = (0..m.len())
        .map(|n| {
            let m_hat = m[n] / (1.0 - 0.9f64.powi(T));
            let v_hat = v[n] / (1.0 - 0.999f64.powi(T));
            let decay = -1e-3 * problem.adam.config.weight_decay * before[n]; // U8
            decay - 1e-3 * m_hat / (v_hat.sqrt() + 1e-8)
        })
        .collect();
    let after: Vec<f64> =
        before.iter().zip(&change).map(|(theta, change)| theta + change).collect();
    assert_close("θ", &after, &flat(&engine.parameters));
}

#[test]
fn eq_u8_weight_decay() {
    let mut problem = Problem::shared();
    (problem.adam.config.learning_rate, problem.adam.config.weight_decay) = (0.25, 0.5);
    for moments in [&mut problem.adam.m, &mut problem.adam.v] {
        moments.numbers_mut().fill(0.0);
    }
    let mut parameters = problem.parameters.clone();
    problem.adam.update(&mut parameters, &Parameters::zeros(problem.parameters.sizes()));
    // Without gradients, now and before, nothing else moves.
    let expected: Vec<f64> =
        flat(&problem.parameters).iter().map(|theta| theta - 0.125 * theta).collect();
    assert_close("θ", &expected, &flat(&parameters));
}

#[test]
fn eq_u7_learning_rate() {
    let schedule = Schedule::new(4, Some((6, 10)));
    // By hand: quarters up to the height, and quarters down.
    let expected = [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0];
    let found: Vec<f64> = (0..=10).map(|step| schedule.factor(step)).collect();
    assert_close("factor", &expected, &found);
}
