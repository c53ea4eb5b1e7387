//! [`Trainer`] against a loop that puts the same pieces together, step by step and bit by bit.

use karenina::layers::dropout::Dropout;
use karenina::model::{Initialisation, Network, Parameters, State};
use karenina::optim::adam::Adam;
use karenina::optim::clip::clip_by_global_norm;
use karenina::text::batches::{Batches, Validation};
use karenina::text::corpus::Corpus;
use karenina::train::{LogRow, TrainConfig, Trainer};
use ndarray::Array2;
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// Batches in a pass; the step at whose place a batch is left out; all steps.
const BATCHES: u64 = 6;
const SKIPPED: u64 = 9;
const STEPS: u64 = 15;

/// Everything that a step can depend on is switched on.
fn config() -> TrainConfig {
    let config = TrainConfig::builder().hidden(6).layers(2).batch(4).unroll(8).epochs(3).seed(5);
    let config = config.keep(0.8).clip(0.05).weight_decay(0.1).learning_rate(0.02).warm_up(4);
    let config = config.descent(Some((10, 20))).input_sd(Some(0.5)).forget_bias(0.75);
    config.steps(Some(STEPS)).validation(Validation::Batches(2)).build().unwrap()
}

/// The network that a run begins with.
fn initial(config: &TrainConfig, vocabulary: usize) -> Parameters<f32> {
    let mut rng = Pcg64::seed_from_u64(5);
    let sizes = config.sizes(vocabulary);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    parameters.set_input_weights(0.5, &mut rng);
    parameters.set_forget_bias(0.75);
    parameters
}

/// The rate of the step after `step` others: up over 4 steps, down from the tenth to the twentieth.
fn rate(step: u64) -> f64 {
    0.02 * ((step + 1) as f64 / 4.0).min(1.0) * ((20 - step) as f64 / 10.0).min(1.0)
}

#[test]
fn a_trainer_is_its_pieces_put_together() {
    let text = "to and fro\n".repeat(24); // 264 characters, of which 8 batches of 32 are used
    let corpus = Corpus::from_text(&text);
    let config = config();
    let mut trainer = Trainer::new(&corpus, config.clone(), 1).unwrap();
    assert_eq!(trainer.batches_per_epoch() as u64, BATCHES);

    let batches = Batches::new(corpus.ids().clone(), 4, 8, Validation::Batches(2)).unwrap();
    let mut parameters = initial(&config, corpus.vocabulary().len());
    assert_eq!(trainer.parameters(), &parameters, "before the first step");
    let sizes = parameters.sizes();
    let (mut network, mut state) = (Network::new(sizes, 4, 8, 1), State::zeros(sizes, 4));
    let (mut gradients, mut adam) = (Parameters::zeros(sizes), Adam::new(config.adam, sizes));
    let [mut x, mut y] = [0; 2].map(|_| Array2::zeros((8, 4)));

    for step in 0..STEPS {
        if step == SKIPPED {
            trainer.skip_batch();
            continue;
        }
        if step % BATCHES == 0 {
            state.set_zero();
        }
        batches.fill((step % BATCHES) as usize, &mut x, &mut y);
        let dropout = Some(Dropout { keep: 0.8, seed: 5, step });
        let (x, y) = (x.view(), y.view());
        let loss = network.gradients(&mut gradients, &parameters, x, y, &mut state, dropout);
        let norm = clip_by_global_norm(&mut gradients, 0.05);
        assert!(norm > 0.05, "every step is clipped: {norm}");
        adam.config.learning_rate = rate(step);
        adam.update(&mut parameters, &gradients);

        let row = trainer.next().unwrap().unwrap().row;
        let mut expected = LogRow::default();
        (expected.step, expected.epoch) = (step + 1, step / BATCHES + 1);
        (expected.loss, expected.norm) = (loss, norm);
        (expected.learning_rate, expected.seconds) = (rate(step), row.seconds);
        assert_eq!(row, expected);
        assert_eq!(trainer.parameters(), &parameters, "after step {}", step + 1);
    }
    assert!(trainer.next().is_none(), "the last step was made");

    let mut state = State::zeros(sizes, 4);
    let losses = [0, 1].map(|k| {
        batches.fill_validation(k, &mut x, &mut y);
        network.loss(&parameters, x.view(), y.view(), &mut state, None)
    });
    let validation = (losses[0] + losses[1]) / 2.0;
    assert_eq!(trainer.validate(), Some(validation));
    assert_eq!(trainer.history().last().unwrap().validation, Some(validation));
}
