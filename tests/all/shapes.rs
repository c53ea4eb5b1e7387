//! What a caller gets wrong is told at once: no stale numbers, no half of a gradient, no short loop.

use karenina::evaluate::evaluate_dynamically;
use karenina::layers::lstm::{self, Input, LstmTape, PackedLstm};
use karenina::layers::{cell, dropout::Dropout};
use karenina::math::matmul::Element;
use karenina::math::stopwatch::Stopwatch;
use karenina::math::team::Team;
use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use karenina::reference::{Layer, Weights, clip};
use karenina::sample::{Generator, Picker};
use karenina::study::gradcheck::{Problem, check};
use karenina::text::corpus::Corpus;
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
    let (mut tape, x) = (LstmTape::zeros(3, 2, 4, false), Array3::zeros((3, 2, 4)));
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

#[test]
#[should_panic(expected = "a generator of no texts")]
fn a_generator_wants_a_text() {
    Generator::new(&parameters(1), 0);
}

#[test]
#[should_panic(expected = "nothing was read yet")]
fn nothing_is_left_of_the_text_before() {
    let parameters = parameters(1);
    let mut generator = Generator::new(&parameters, 1);
    generator.read(&[0, 1]);
    generator.reset();
    generator.write(1, Picker::default(), &mut Pcg64::seed_from_u64(0));
}

#[test]
#[should_panic(expected = "nothing was read yet")]
fn a_state_has_no_logits() {
    let parameters = parameters(1);
    let mut generator = Generator::new(&parameters, 1);
    generator.read(&[0, 1]);
    let state = generator.state().clone();
    generator.set_state(&state);
    generator.logits();
}

#[test]
#[should_panic(expected = "a state of 1 rows")]
fn a_generator_refuses_a_state_of_more_rows() {
    Generator::new(&parameters(1), 1).set_state(&State::zeros(SIZES, 2));
}

#[test]
#[should_panic(expected = "layer 1 of 1, counted from 0")]
fn the_projection_is_no_layer() {
    Parameters::<f64>::zeros(Sizes::new(30, 4, 1)).lstm_mut(1);
}

#[test]
#[should_panic(expected = "layer 1 of 1, counted from 0")]
fn the_projection_is_not_read_as_a_layer() {
    Parameters::<f64>::zeros(Sizes::new(30, 4, 1)).lstm(1);
}

#[test]
#[should_panic(expected = "is no network")]
fn no_characters_make_no_network() {
    Parameters::<f64>::zeros(Sizes::new(0, 4, 1));
}

#[test]
#[should_panic(expected = "a learning rate of NaN")]
fn a_network_does_not_learn_while_it_reads_at_no_rate() {
    let ids = Corpus::from_text("abcde abcde");
    evaluate_dynamically(&parameters(1), ids.ids(), 1, f64::NAN, 1);
}

#[test]
fn a_problem_without_rows_steps_or_outputs_is_refused() {
    for (shape, keep, name) in [
        ((0, 3), 1.0, "batch"),
        ((2, 0), 1.0, "unroll"),
        ((2, 3), 0.0, "keep"),
        ((2, 3), f64::NAN, "keep"),
    ] {
        let error =
            Problem::on_text(parameters(1), &[0; 20], shape, keep, 0).map(drop).unwrap_err();
        assert!(error.is_usage() && error.to_string().starts_with(name), "{error}");
    }
}

#[test]
#[should_panic(expected = "character 5 of 5")]
fn a_problem_of_a_character_beyond_the_vocabulary_is_refused() {
    let _ = Problem::on_text(parameters(1), &[5; 20], (2, 3), 1.0, 0);
}

#[test]
#[should_panic(expected = "a sample of no elements")]
fn a_check_of_nothing_is_refused() {
    check(&Problem::on_text(parameters(1), &[1; 20], (2, 3), 1.0, 0).unwrap(), 1e-2, Some(0));
}

#[test]
fn without_a_limit_the_reference_clips_nothing() {
    let matrix = |rows, columns| vec![vec![2.0; columns]; rows];
    let layer = Layer { w_ih: matrix(3, 8), w_hh: matrix(2, 8), b: vec![2.0; 8] };
    let mut dw =
        Weights { layers: vec![layer], w: matrix(2, 3), b: vec![2.0; 3], cell_norm: false };
    let before = dw.clone();
    assert!(clip(&mut dw, f64::INFINITY).is_finite() && dw == before);
}
