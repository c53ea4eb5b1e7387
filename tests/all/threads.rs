//! The same bits on any number of threads, shards and members of a team.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use karenina::layers::dropout::Dropout;
use karenina::math::team::Team;
use karenina::model::{Division, Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::optim::clip::clip_by_global_norm;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

/// Losses, last gradients and parameters of 20 steps on random characters.
fn train(threads: usize, division: Division) -> (Vec<f64>, Parameters<f32>, Parameters<f32>) {
    let (batch, unroll) = (11, 7);
    let sizes = Sizes::new(37, 45, 2);
    let mut rng = Pcg64::seed_from_u64(1);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    let mut gradients = Parameters::zeros(sizes);
    let mut adam = Adam::new(AdamConfig::default(), sizes);
    let mut network = Network::divided(sizes, (batch, unroll), 2, division);
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

const ALONE: Division = Division { shards: 1, members: 1 };

#[test]
fn one_thread_equals_many() {
    let one = train(1, ALONE);
    assert!(one.0.iter().all(|loss| loss.is_finite()));
    for threads in [2, 5] {
        let division = Division { shards: threads, members: 1 };
        assert!(train(threads, division) == one, "{threads} threads differ from one");
    }
}

#[test]
fn one_shard_equals_one_for_each_row() {
    assert!(train(1, Division { shards: 11, members: 1 }) == train(1, ALONE));
}

#[test]
fn teams_of_any_size_equal_one_thread() {
    let one = train(1, ALONE);
    for (threads, shards, members) in [(1, 1, 2), (2, 1, 3), (2, 2, 2), (1, 1, 16), (4, 4, 16)] {
        let division = Division { shards, members };
        assert!(train(threads, division) == one, "{threads} threads, {division:?}");
    }
}

/// As the engine divides a network that is wide enough for teams.
#[test]
fn a_wide_network_has_the_same_bits_on_1_to_64_threads() {
    let (batch, unroll, sizes) = (52, 3, Sizes::new(9, 272, 2).with_cell_norm(true));
    let step = |threads| {
        let mut rng = Pcg64::seed_from_u64(4);
        let mut parameters: Parameters<f32> =
            Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
        let mut characters =
            || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..9u32));
        let (x, y) = (characters(), characters());
        let (mut gradients, mut state) = (Parameters::zeros(sizes), State::zeros(sizes, batch));
        let mut network = Network::new(sizes, batch, unroll, threads);
        let mut adam = Adam::new(AdamConfig::default(), sizes);
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let losses = [0, 1].map(|step| {
            let dropout = Some(Dropout { keep: 0.6, seed: 5, step });
            let (x, y) = (x.view(), y.view());
            let loss = pool.install(|| {
                network.gradients(&mut gradients, &parameters, x, y, &mut state, dropout)
            });
            adam.update(&mut parameters, &gradients);
            loss
        });
        (losses, parameters)
    };
    let one = step(1);
    for threads in [2, 3, 16, 64] {
        assert!(step(threads) == one, "{threads} threads");
    }
}

#[test]
fn threads_share_rows_while_there_are_enough_and_then_columns() {
    let of = |Division { shards, members }| (shards, members);
    let divided = |batch, threads| of(Division::new(512, batch, threads));
    assert_eq!(divided(100, 1), (1, 1));
    assert_eq!(divided(100, 2), (2, 1));
    assert_eq!(divided(100, 4), (4, 1));
    assert_eq!(divided(100, 16), (4, 4));
    assert_eq!(divided(32, 2), (1, 2));
    assert_eq!(divided(1, 64), (1, 16));
    assert_eq!(divided(32, 64), (4, 16), "more threads than full teams of 24 rows can use");
    assert_eq!(divided(100, 128), (8, 16));
    assert_eq!(divided(100, 6), (2, 3), "17 rows for each thread either way");
    assert_eq!(of(Division::new(128, 3, 64)), (3, 1), "a small network");
    for (batch, threads) in
        (1..200).flat_map(|batch| [1..70, 250..260].into_iter().flatten().map(move |t| (batch, t)))
    {
        let (shards, members) = divided(batch, threads);
        assert!(shards <= batch && shards * members <= threads, "{batch} rows, {threads} threads");
    }
}

/// Sums in f64 of numbers in f32 are exact while these are of one size, and hide the order of addition.
#[test]
fn losses_of_very_different_sizes_are_added_in_one_order() {
    let (batch, unroll) = (11, 7);
    let sizes = Sizes::new(3, 20, 1);
    let mut rng = Pcg64::seed_from_u64(2);
    let mut parameters: Parameters<f32> =
        Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    // Logits of some ±20: losses from the last bit of 1 up to 40.
    parameters.projection_mut().w.mapv_inplace(|w| 1000.0 * w);
    let mut characters = || Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..3u32));
    for batch_number in 0..60 {
        let (x, y) = (characters(), characters());
        let loss = |shards| {
            let division = Division { shards, members: 1 };
            let mut network = Network::divided(sizes, (batch, unroll), 1, division);
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

#[test]
fn a_team_does_every_part_once_and_again_and_again() {
    for members in [1, 2, 3, 16] {
        let mut team = Team::new(members);
        assert_eq!(team.members(), members);
        let mut found = vec![0_u64; 1000];
        for round in 0..2000 {
            let share = team.share(if round % 3 == 0 { 5 } else { found.len() });
            let parts = found.chunks_mut(share.max(1000 / members + 1)).enumerate();
            team.each(parts, |(part, numbers)| {
                numbers.iter_mut().for_each(|number| *number += 1 + part as u64);
            });
        }
        let share = 1000 / members + 1;
        for (at, &number) in found.iter().enumerate() {
            assert_eq!(number, 2000 * (1 + (at / share) as u64), "{members} members, {at}");
        }
    }
}

/// More threads than processors, awake, asleep and just falling asleep.
#[test]
fn teams_on_a_crowded_machine_are_not_stuck() {
    std::thread::scope(|scope| {
        for crowd in 0..8 {
            scope.spawn(move || {
                let mut team = Team::new(8);
                let sum = AtomicU64::new(0);
                for round in 0..300 {
                    team.each(0..8, |part| {
                        sum.fetch_add(part as u64, Ordering::Relaxed);
                    });
                    if round % 50 == crowd {
                        std::thread::sleep(Duration::from_micros(190 + 3 * crowd));
                    }
                }
                assert_eq!(sum.into_inner(), 300 * 28);
            });
        }
    });
}

#[test]
fn a_part_that_panics_is_heard_of_and_the_team_goes_on() {
    let mut team = Team::new(4);
    for bad in 0..4 {
        let work = |part| assert!(part != bad, "part {bad}");
        let outcome = catch_unwind(AssertUnwindSafe(|| team.each(0..4, work)));
        assert!(outcome.is_err(), "part {bad}");
        let sum = AtomicU64::new(0);
        team.each(0..4, |part| {
            sum.fetch_add(1 << part, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 0b1111, "after part {bad}");
    }
    for _ in 0..20 {
        let all_bad = || team.each(0..4, |part| panic!("part {part}"));
        assert!(catch_unwind(AssertUnwindSafe(all_bad)).is_err());
        team.each(0..4, |_| ());
    }
}

#[test]
#[should_panic(expected = "3 parts of 2")]
fn more_parts_than_members_are_refused() {
    Team::new(2).each(0..3, |_| ());
}
