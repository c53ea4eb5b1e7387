//! What a caller gets wrong is told at once: no stale numbers, no half of a gradient, no short loop.

use karenina::layers::lstm::{self, Input, LstmTape, PackedLstm};
use karenina::layers::{cell, dropout::Dropout};
use karenina::math::matmul::Element;
use karenina::math::stopwatch::Stopwatch;
use karenina::math::team::Team;
use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::sample::Generator;
use ndarray::{Array2, Array3};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const SIZES: Sizes = Sizes::new(5, 4, 2);

fn parameters(seed: u64) -> Parameters<f32> {
    Parameters::initial(SIZES, Initialisation::Glorot, &mut Pcg64::seed_from_u64(seed))
}

/// Gradients of a batch [T, B] by a network for 3 steps of 2 rows.
fn gradients_of(unroll: usize, batch: usize) -> f64 {
    let (x, mut gradients) = (Array2::zeros((unroll, batch)), Parameters::zeros(SIZES));
    let state = &mut State::zeros(SIZES, batch.max(2));
    let mut network = Network::new(SIZES, 2, 3, 1);
    network.gradients(&mut gradients, &parameters(1), x.view(), x.view(), state, None)
}

#[test]
#[should_panic(expected = "1 characters for 2 rows")]
fn a_generator_step_wants_a_character_for_each_row() {
    Generator::new(&parameters(1), 2).step(&[0]);
}

#[test]
#[should_panic(expected = "inputs [3, 4] for [T, B] = [3, 2]")]
fn inputs_wider_than_the_batch_are_refused() {
    gradients_of(3, 4);
}

#[test]
#[should_panic(expected = "inputs [2, 2] for [T, B] = [3, 2]")]
fn inputs_of_fewer_steps_are_refused() {
    gradients_of(2, 2);
}

#[test]
#[should_panic(expected = "hold character 5 of 5")]
fn a_character_beyond_the_vocabulary_is_refused() {
    let x = Array2::from_elem((3, 2), 5);
    let state = &mut State::zeros(SIZES, 2);
    Network::new(SIZES, 2, 3, 1).loss(&parameters(1), x.view(), x.view(), state, None);
}

#[test]
#[should_panic(expected = "a state of 2 layers, [B, H] = [2, 4]")]
fn a_state_of_more_rows_is_refused() {
    let x = Array2::zeros((3, 2));
    let state = &mut State::zeros(SIZES, 3);
    Network::new(SIZES, 2, 3, 1).loss(&parameters(1), x.view(), x.view(), state, None);
}

#[test]
#[should_panic(expected = "a batch of 0 rows over 3 steps")]
fn a_network_for_no_rows_is_refused() {
    Network::<f32>::new(SIZES, 0, 3, 1);
}

/// A network lays out the weights it is given by itself: nothing is left of those before.
#[test]
fn no_layout_outlives_its_parameters() {
    let x = Array2::from_shape_fn((3, 2), |(t, row)| (2 * t + row) as u32 % 5);
    let dropout = Some(Dropout { keep: 0.5, seed: 1, step: 0 });
    let step = |network: &mut Network<f32>, seed| {
        let (mut gradients, mut state) = (Parameters::zeros(SIZES), State::zeros(SIZES, 2));
        let parameters = parameters(seed);
        let (x, y) = (x.view(), x.view());
        network.gradients(&mut gradients, &parameters, x, y, &mut state, dropout);
        let loss = network.loss(&parameters, x, y, &mut state, None);
        (gradients, state, loss)
    };
    let mut used = Network::new(SIZES, 2, 3, 1);
    step(&mut used, 1);
    assert!(step(&mut used, 2) == step(&mut Network::new(SIZES, 2, 3, 1), 2));
}

#[test]
#[should_panic(expected = "a sequence needs W_ih packed")]
fn a_sequence_into_the_packing_of_a_first_layer_is_refused() {
    let parameters = parameters(1);
    let parameters = parameters.lstm(1);
    let mut packed = PackedLstm::zeros(4, true, f32::packed);
    packed.pack(parameters);
    let (mut tape, x) = (LstmTape::zeros(3, 2, 4), Array3::zeros((3, 2, 4)));
    let watch = &mut Stopwatch::default();
    let team = &mut Team::new(1);
    lstm::forward(&mut tape, Input::Sequence(x.view()), parameters, &packed, team, watch);
}

#[test]
#[should_panic(expected = "a cell's row of z [12], c_prev [4], c [4], h [4]")]
fn a_cell_wants_four_gates() {
    cell::forward(&mut [0.0_f32; 12], &[0.0; 4], &mut [0.0; 4], &mut [0.0; 4], false);
}

#[test]
#[should_panic(expected = "sizes of the gradients")]
fn an_update_with_gradients_of_other_sizes_is_refused() {
    let other = Parameters::zeros(Sizes::new(5, 3, 2));
    Adam::new(AdamConfig::default(), SIZES).update(&mut parameters(1), &other);
}
