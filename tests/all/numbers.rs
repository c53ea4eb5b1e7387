//! How far the sums and updates in f32 are from the same in f64.

use karenina::layers::dropout::Dropout;
use karenina::math::matmul::{Element, Kernel, Rows};
use karenina::math::sums::{Pieces, default_groups};
use karenina::model::{Division, Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use ndarray::{Array1, Array2};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// ‖found − exact‖ / ‖exact‖.
fn relative_error<'a>(
    found: impl IntoIterator<Item = &'a f32>,
    exact: impl IntoIterator<Item = &'a f64>,
) -> f64 {
    let (mut error, mut size) = (0.0, 0.0);
    for (&found, exact) in found.into_iter().zip(exact) {
        error += (f64::from(found) - exact).powi(2);
        size += exact * exact;
    }
    (error / size).sqrt()
}

/// 1 − β is formed before it is rounded: in f32, 1 − 0.999 would be off by 1.3e-5.
#[test]
fn the_first_moments_of_adam_are_those_of_f64() {
    let sizes = Sizes::new(3, 2, 1);
    let mut rng = Pcg64::seed_from_u64(1);
    let gradients: Parameters<f32> =
        Parameters::initial(sizes, Initialisation::TruncatedNormal(0.5), &mut rng);
    let mut adam = Adam::new(AdamConfig::default(), sizes);
    adam.update(&mut Parameters::zeros(sizes), &gradients);
    let moments = adam.m.numbers().iter().zip(adam.v.numbers().iter());
    for ((&m, &v), &g) in moments.zip(gradients.numbers().iter()) {
        let g = f64::from(g);
        let (exact_m, exact_v) = ((1.0 - 0.9) * g, (1.0 - 0.999) * g * g);
        // Two and three roundings of at most 6e-8 each.
        assert!((f64::from(m) - exact_m).abs() <= 1.2e-7 * exact_m.abs(), "m of {g}: {m}");
        assert!((f64::from(v) - exact_v).abs() <= 1.8e-7 * exact_v, "v of {g}: {v}");
    }
}

/// dW at B = T = 100: a sum of 10,000 terms for each element. The error is that of docs/design.md.
#[test]
fn sums_in_pieces_round_less_than_one_chain() {
    let (batch, unroll, m, n) = (100, 100, 8, 32);
    let mut rng = Pcg64::seed_from_u64(2);
    // Terms like those of training: outputs in (−1, 1), gradients of all sizes.
    let mut random = |width: usize| -> Vec<f32> {
        let term = |_| rng.random_range(-1.0_f32..1.0).powi(3);
        (0..batch * unroll * width).map(term).collect()
    };
    let (x, dz) = (random(m), random(n));
    let sum = |groups| {
        let (of_x, of_dz) = (|_| x.as_slice(), |_| dz.as_slice());
        let rows = |width, array| Rows::new((batch, unroll), batch, width, array);
        let (mut dw, mut db) = (Array2::zeros((m, n)), Array1::zeros(n));
        let pieces = Pieces::new(batch, unroll, groups);
        let sums = db.as_slice_mut().unwrap();
        f32::accumulate(
            Kernel::best(),
            [(rows(m, &of_x), dw.view_mut())],
            rows(n, &of_dz),
            sums,
            pieces,
        );
        dw
    };
    let mut exact = Array2::<f64>::zeros((m, n));
    let mut chain = Array2::<f32>::zeros((m, n));
    for k in 0..batch * unroll {
        for ((i, j), sum) in exact.indexed_iter_mut() {
            let (x, dz) = (x[k * m + i], dz[k * n + j]);
            *sum += f64::from(x) * f64::from(dz);
            chain[[i, j]] = x.mul_add(dz, chain[[i, j]]);
        }
    }
    let one_chain = relative_error(&chain, &exact);
    let in_pieces = relative_error(&sum(default_groups(batch, unroll)), &exact);
    println!("one chain {one_chain:.2e}, in pieces {in_pieces:.2e}");
    assert!(in_pieces < 7e-7, "{in_pieces:.2e}");
    assert!(3.0 * in_pieces < one_chain, "{in_pieces:.2e} against {one_chain:.2e}");
}

/// Wide and long enough for every block of the kernels to be cut: H = 520, 1,300 positions.
#[test]
fn a_large_step_in_f32_is_that_in_f64() {
    let sizes = Sizes::new(41, 520, 2);
    let (batch, unroll) = (26, 50);
    let mut rng = Pcg64::seed_from_u64(3);
    let parameters: Parameters<f32> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    let mut characters = || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..41));
    let (x, y) = (characters(), characters());
    let dropout = Some(Dropout { keep: 0.7, seed: 4, step: 5 });
    let mut found = Parameters::zeros(sizes);
    let state = &mut State::zeros(sizes, batch);
    let mut network = Network::divided(
        sizes,
        (batch, unroll),
        default_groups(batch, unroll),
        Division { shards: 3, members: 1 },
    );
    let loss = network.gradients(&mut found, &parameters, x.view(), y.view(), state, dropout);

    let mut exact = Parameters::zeros(sizes);
    let state = &mut State::zeros(sizes, batch);
    let mut network = Network::divided(
        sizes,
        (batch, unroll),
        default_groups(batch, unroll),
        Division { shards: 2, members: 1 },
    );
    let (x, y) = (x.view(), y.view());
    let exact_loss = network.gradients(&mut exact, &parameters.cast(), x, y, state, dropout);
    assert!((loss - exact_loss).abs() < 1e-6 * exact_loss, "{loss} {exact_loss}");
    let tensors = found.tensors().zip(exact.tensors()).zip(sizes.tensors().map(|t| t.name));
    for ((found, exact), name) in tensors {
        let error = relative_error(found, exact);
        println!("{name}: {error:.2e}");
        assert!(error < 3e-6, "{name}: {error:.2e}");
    }
}
