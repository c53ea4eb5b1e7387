//! A training step allocates nothing after the first, and what was allocated is what the plan said.

use std::sync::atomic::Ordering::Relaxed;

use karenina::layers::dropout::Dropout;
use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::optim::clip::clip_by_global_norm;
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::memory::Memory;
use karenina::train::{TrainConfig, Trainer};
use ndarray::Array2;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

use crate::{COUNT, LIVE, PEAK, TURN};

const STEPS: usize = 70;

#[test]
fn memory_of_training() {
    let _turn = TURN.lock();
    // Sizes first: a pool's threads give their memory back some time after the pool is gone.
    let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        arrays_are_as_large_as_planned(1.0);
        arrays_are_as_large_as_planned(0.5);
    });
    a_trainer_takes_what_was_planned();
    steps_after_the_first_allocate_nothing();
    a_trainer_allocates_nothing_but_its_pool_a_queue_block();
}

/// All but the text, which is there, and a sample, which nobody writes. Many rows of few steps, so that no part is too
/// small to be missed.
fn a_trainer_takes_what_was_planned() {
    let corpus = Corpus::embedded();
    let config = TrainConfig::builder().hidden(160).batch(400).unroll(6).steps(Some(10));
    let config = config.validation(Validation::Batches(1)).build().unwrap();
    let memory = Memory::of(&config, &corpus, corpus.vocabulary().len(), &1.into()).unwrap();
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let mut trainer = Trainer::new(&corpus, config, 1).unwrap();
    trainer.by_ref().take(2).for_each(|step| assert!(step.is_ok()));
    trainer.validate();
    let found = (PEAK.load(Relaxed) - before) as f64;
    let ratio = found / (memory.total() - memory.text - memory.sampling) as f64;
    assert!((0.98..1.03).contains(&ratio), "{found} bytes, {ratio:.3} of {memory:?}");
}

/// Loss, gradients, clipping and Adam, as [`Trainer`] calls them, inside a pool of two threads.
fn steps_after_the_first_allocate_nothing() {
    let (sizes, batch, unroll) = (Sizes::new(50, 96, 2), 9, 20);
    let mut parameters = initial(sizes);
    let mut gradients = Parameters::zeros(sizes);
    let mut adam = Adam::new(AdamConfig::default(), sizes);
    let mut network = Network::new(sizes, batch, unroll, 2);
    let (mut state, mut before) = (State::zeros(sizes, batch), State::zeros(sizes, batch));
    let x = Array2::from_shape_fn((unroll, batch), |(t, row)| ((7 * t + 13 * row) % 50) as u32);
    let mut step = |step| {
        before.clone_from(&state);
        let dropout = Some(Dropout { keep: 0.5, seed: 0, step });
        network.gradients(&mut gradients, &parameters, x.view(), x.view(), &mut state, dropout);
        clip_by_global_norm(&mut gradients, 0.1);
        adam.update(&mut parameters, &gradients);
    };
    let pool = ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(|| {
        let mut next = 0..;
        let count = fewest_in_a_round(|| next.by_ref().take(STEPS).for_each(&mut step));
        assert_eq!(count, 0, "allocations in {STEPS} steps");
    });
}

/// The fewest allocations among some rounds of steps. Not those of the first round alone, since a thread
/// makes its room for operands when it first multiplies, and on a busy machine a thread may sleep for
/// many steps; what a step allocates each time is in every round.
fn fewest_in_a_round(mut round: impl FnMut()) -> usize {
    let mut counted = || {
        let before = COUNT.load(Relaxed);
        round();
        COUNT.load(Relaxed) - before
    };
    counted();
    (0..5).map(|_| counted()).min().expect("some rounds")
}

/// Work that comes into a pool from outside goes through rayon's queue, which takes a block of memory
/// for every 63 tasks and gives an old one back.
fn a_trainer_allocates_nothing_but_its_pool_a_queue_block() {
    let config = TrainConfig::builder().hidden(40).batch(8).unroll(10).build().unwrap();
    let mut trainer = Trainer::new(&Corpus::embedded(), config, 2).unwrap();
    let count = fewest_in_a_round(|| {
        trainer.by_ref().take(STEPS).for_each(|step| assert!(step.is_ok()));
    });
    assert!(count <= STEPS / 63 + 1, "{count} allocations in {STEPS} steps");
}

/// What `karenina plan` tells and what large sizes are refused by.
fn arrays_are_as_large_as_planned(keep: f64) {
    let (sizes, batch, unroll) = (Sizes::new(96, 160, 3), 11, 31);
    let live = || LIVE.load(Relaxed);

    let before = live();
    let parameters = initial(sizes);
    assert_near(live() - before, Parameters::<f32>::bytes(sizes), "parameters");
    assert_eq!(Parameters::<f32>::bytes(sizes), 4 * sizes.parameters() as u64);

    let mut state = State::zeros(sizes, batch);
    let mut gradients = Parameters::zeros(sizes);
    let x = Array2::from_elem((unroll, batch), 1);
    let mut step = |network: &mut Network<f32>| {
        let dropout = Some(Dropout { keep, seed: 0, step: 0 });
        network.gradients(&mut gradients, &parameters, x.view(), x.view(), &mut state, dropout);
    };
    // The thread's own room for blocks of operands is no part of a network.
    step(&mut Network::new(sizes, batch, unroll, 2));
    let before = live();
    let mut network = Network::new(sizes, batch, unroll, 2);
    step(&mut network);
    let tapes = Network::<f32>::tape_bytes(sizes, batch, unroll, keep < 1.0);
    let planned = tapes + 2 * Network::<f32>::packed_bytes(sizes);
    assert_near(live() - before, planned, "the network");
}

fn assert_near(found: usize, planned: u64, what: &str) {
    // The tests' own threads may give back some bytes meanwhile.
    let ratio = found as f64 / planned as f64;
    assert!((0.999..1.01).contains(&ratio), "{what}: {found} bytes, planned {planned}");
}

fn initial(sizes: Sizes) -> Parameters<f32> {
    Parameters::initial(sizes, Initialisation::Glorot, &mut Pcg64::seed_from_u64(1))
}
