//! Every gradient against central finite differences in f64.

use karenina::layers::cell;
use karenina::layers::dropout::Dropout;
use karenina::model::{Initialisation, Parameters, Sizes, State};
use karenina::study::gradcheck::{Problem, Verdict, check};
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// ε of the differences: near the cube root of the machine epsilon, where truncation (ε²) and
/// rounding (2⁻⁵²/ε) are about equal.
const EPSILON: f64 = 1e-5;
const TOLERANCE: f64 = 1e-7;

/// A random problem: no parameter, bias or state is zero, and all weights are larger than at an
/// ordinary start so that the gates leave their linear range.
fn problem(sizes: Sizes, batch: usize, unroll: usize, keep: f64, seed: u64) -> Problem<f64> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    for tensor in parameters.tensors_mut() {
        tensor.fill_with(|| rng.random_range(-0.8..0.8));
    }
    let mut state = State::zeros(sizes, batch);
    for a in state.h.iter_mut().chain(&mut state.c) {
        a.mapv_inplace(|_| rng.random_range(-0.9..0.9));
    }
    let mut characters =
        || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..sizes.vocabulary as u32));
    let (inputs, targets) = (characters(), characters());
    let dropout = (keep < 1.0).then_some(Dropout { keep, seed, step: 3 });
    Problem { parameters, state, inputs, targets, dropout }
}

#[track_caller]
fn assert_gradients(
    [vocabulary, hidden, layers]: [usize; 3],
    batch: usize,
    unroll: usize,
    keep: f64,
) {
    assert_gradients_of(Sizes::new(vocabulary, hidden, layers), batch, unroll, keep);
}

#[track_caller]
fn assert_gradients_of(sizes: Sizes, batch: usize, unroll: usize, keep: f64) {
    let checks = check(&problem(sizes, batch, unroll, keep, 7), EPSILON, None);
    assert_eq!(checks.len(), 5 * sizes.layers + 2, "every tensor and every state is checked");
    for tensor in checks {
        assert_eq!(tensor.elements.len(), tensor.shape.iter().product::<usize>());
        let error = tensor.relative_error();
        assert!(
            error <= TOLERANCE,
            "{} {:?}: relative error {error:.2e}, worst {:?}",
            tensor.name,
            tensor.shape,
            tensor.worst().unwrap()
        );
    }
}

#[test]
fn one_layer() {
    assert_gradients([3, 5, 1], 2, 4, 1.0);
}

#[test]
fn two_layers() {
    assert_gradients([6, 4, 2], 3, 5, 1.0);
}

#[test]
fn three_layers() {
    assert_gradients([7, 3, 3], 2, 6, 1.0);
}

#[test]
fn wide_enough_for_vector_blocks_and_their_rest() {
    assert_gradients([4, 19, 1], 2, 3, 1.0);
}

#[test]
fn one_layer_with_dropout() {
    assert_gradients([3, 6, 1], 2, 4, 0.5);
}

#[test]
fn two_layers_with_dropout() {
    assert_gradients([6, 5, 2], 3, 4, 0.7);
}

#[test]
fn three_layers_with_dropout() {
    assert_gradients([5, 4, 3], 3, 6, 0.6);
}

#[test]
fn normalised_cells() {
    for (sizes, keep) in [((3, 5, 1), 1.0), ((6, 4, 2), 1.0), ((4, 19, 2), 0.7), ((5, 4, 3), 0.6)] {
        let (vocabulary, hidden, layers) = sizes;
        let sizes = Sizes::new(vocabulary, hidden, layers).with_cell_norm(true);
        assert_gradients_of(sizes, 3, 4, keep);
    }
}

/// θ + ε is θ, or a difference of losses is divided by next to nothing: neither says anything of the gradient.
#[test]
fn a_step_that_is_too_small_tells_nothing() {
    let problem = problem(Sizes::new(5, 4, 1), 2, 3, 1.0, 0);
    for epsilon in [1e-17, 1e-20, 1e-300] {
        for tensor in check(&problem, epsilon, Some(6)) {
            assert_ne!(tensor.verdict(), Verdict::Differs, "{} at {epsilon:e}", tensor.name);
        }
    }
}

/// If every position has its own character, the gradient of that character's row of W_ih *is* the
/// gradient of the position's pre-activations: this checks dz at every gate, unit, step and row.
#[test]
fn every_pre_activation_of_the_first_layer() {
    let (batch, unroll) = (3, 4);
    let sizes = Sizes::new(batch * unroll, 3, 2);
    let mut problem = problem(sizes, batch, unroll, 1.0, 11);
    problem.inputs = Array2::from_shape_fn((unroll, batch), |(t, row)| (t * batch + row) as u32);
    let checks = check(&problem, EPSILON, None);
    for element in &checks[0].elements {
        let (position, column) = (element.index / 12, element.index % 12);
        assert!(
            element.absolute_error() < 1e-9,
            "dz of gate {} unit {} at step {} row {}: {element:?}",
            ["i", "f", "g", "o"][column / 3],
            column % 3,
            position / batch,
            position % batch
        );
    }
}

/// One cell alone: the loss is a fixed combination of h and c, and each input is moved by itself,
/// so a failure names the equation.
#[test]
fn each_equation_of_the_cell() {
    [false, true].into_iter().for_each(assert_equations_of_the_cell);
}

#[track_caller]
fn assert_equations_of_the_cell(cell_norm: bool) {
    const H: usize = 5;
    let mut rng = Pcg64::seed_from_u64(5);
    let mut random =
        |n: usize| -> Vec<f64> { (0..n).map(|_| rng.random_range(-1.5..1.5)).collect() };
    let (z, c_prev, dh, dc) = (random(4 * H), random(H), random(H), random(H));
    let loss = |z: &[f64], c_prev: &[f64]| {
        let (mut z, mut c, mut h) = (z.to_vec(), vec![0.0; H], vec![0.0; H]);
        cell::forward(&mut z, c_prev, &mut c, &mut h, cell_norm);
        (0..H).map(|k| dh[k] * h[k] + dc[k] * c[k]).sum::<f64>()
    };

    let (mut gates, mut c, mut h) = (z.clone(), vec![0.0; H], vec![0.0; H]);
    cell::forward(&mut gates, &c_prev, &mut c, &mut h, cell_norm);
    let (mut dz, mut dc_prev) = (gates, dc.clone());
    cell::backward(&mut dz, &c_prev, &c, &mut dh.clone(), &mut dc_prev, cell_norm);

    let difference = |which: usize, k: usize| {
        let moved = |step: f64| {
            let (mut z, mut c_prev) = (z.clone(), c_prev.clone());
            [&mut z, &mut c_prev][which][k] += step;
            loss(&z, &c_prev)
        };
        (moved(EPSILON) - moved(-EPSILON)) / (2.0 * EPSILON)
    };
    for k in 0..4 * H {
        let equation = ["dz_i (B13)", "dz_f (B14)", "dz_g (B15)", "dz_o (B16)"][k / H];
        let numeric = difference(0, k);
        assert!((dz[k] - numeric).abs() < 1e-9, "{equation} unit {}: {} {numeric}", k % H, dz[k]);
    }
    for (k, analytic) in dc_prev.into_iter().enumerate() {
        let numeric = difference(1, k);
        assert!((analytic - numeric).abs() < 1e-9, "dc_prev (B12) unit {k}: {analytic} {numeric}");
    }
}
