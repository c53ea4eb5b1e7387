//! The same bits on any number of threads and shards.

use karenina::layers::dropout::Dropout;
use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::optim::clip::clip_by_global_norm;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

/// Losses, last gradients and parameters of 20 steps on random characters.
fn train(threads: usize, shards: usize) -> (Vec<f64>, Parameters<f32>, Parameters<f32>) {
    let (batch, unroll) = (11, 7);
    let sizes = Sizes { vocabulary: 37, hidden: 45, layers: 2 };
    let mut rng = Pcg64::seed_from_u64(1);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    let mut gradients = Parameters::zeros(sizes);
    let mut adam = Adam::new(AdamConfig::default(), sizes);
    let mut network = Network::new(sizes, batch, unroll, shards);
    let mut state = State::zeros(sizes, batch);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let losses = (0..20).map(|step| {
        let mut characters =
            || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..37u32));
        let (x, y) = (characters(), characters());
        let dropout = Some(Dropout { keep: 0.6, seed: 5, step });
        pool.install(|| {
            let (x, y) = (x.view(), y.view());
            let loss = network.gradients(&mut gradients, &parameters, x, y, &mut state, dropout);
            clip_by_global_norm(&mut gradients, 0.2);
            adam.update(&mut parameters, &gradients);
            loss
        })
    });
    (losses.collect(), gradients, parameters)
}

#[test]
fn one_thread_equals_many() {
    let one = train(1, 1);
    assert!(one.0.iter().all(|loss| loss.is_finite()));
    for threads in [2, 5] {
        assert!(train(threads, threads) == one, "{threads} threads differ from one");
    }
}

#[test]
fn one_shard_equals_one_for_each_row() {
    assert!(train(1, 11) == train(1, 1));
}

/// Sums in f64 of numbers in f32 are exact while these are of one size, and hide the order of addition.
#[test]
fn losses_of_very_different_sizes_are_added_in_one_order() {
    let (batch, unroll) = (11, 7);
    let sizes = Sizes { vocabulary: 3, hidden: 20, layers: 1 };
    let mut rng = Pcg64::seed_from_u64(2);
    let mut parameters: Parameters<f32> =
        Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    // Logits of some ±20: losses from the last bit of 1 up to 40.
    parameters.projection_mut().w.mapv_inplace(|w| 1000.0 * w);
    let mut characters = || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..3u32));
    for batch_number in 0..60 {
        let (x, y) = (characters(), characters());
        let loss = |shards| {
            let mut network = Network::new(sizes, batch, unroll, shards);
            network.loss(&parameters, x.view(), y.view(), &mut State::zeros(sizes, batch), None)
        };
        let one = loss(1);
        for shards in 2..=batch {
            assert_eq!(loss(shards), one, "batch {batch_number}, {shards} shards");
        }
    }
}

#[test]
fn errors_and_trainers_may_cross_threads() {
    fn crosses<T: Send + Sync>() {}
    crosses::<karenina::error::Error>();
    crosses::<karenina::train::Trainer>();
    crosses::<karenina::train::run::Run>();
    crosses::<karenina::sample::Generator<f32>>();
}
