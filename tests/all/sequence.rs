//! What the state carries from piece to piece.

use karenina::evaluate::{evaluate, evaluate_dynamically};
use karenina::model::{Initialisation, Network, Parameters, Sizes, State};
use karenina::reference::{self, Adam, Batch, training_step};
use karenina::sample::Generator;
use karenina::text::corpus::Corpus;
use ndarray::{Array2, s};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::equations::reference::weights;

const SIZES: Sizes = Sizes::new(9, 13, 2);

fn random_net(seed: u64) -> (Parameters<f32>, Pcg64) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut parameters = Parameters::initial(SIZES, Initialisation::Glorot, &mut rng);
    for tensor in parameters.tensors_mut() {
        tensor.fill_with(|| rng.random_range(-0.7..0.7));
    }
    (parameters, rng)
}

fn characters(rng: &mut Pcg64, unroll: usize, batch: usize) -> Array2<u32> {
    Array2::from_shape_fn((unroll, batch), |_| rng.random_range(0..SIZES.vocabulary as u32))
}

/// Loss of each position, [T, B], for the network's last pass.
fn losses(network: &Network<f32>) -> Vec<f32> {
    network.shards().iter().flat_map(|shard| shard.losses.iter().copied()).collect()
}

#[test]
fn chunked_sequence_equals_whole_sequence() {
    let (parameters, mut rng) = random_net(3);
    let (x, y) = (characters(&mut rng, 12, 4), characters(&mut rng, 12, 4));

    let mut whole = Network::new(SIZES, 4, 12, 1);
    let mut state = State::zeros(SIZES, 4);
    whole.loss(&parameters, x.view(), y.view(), &mut state, None);

    let mut chunk = Network::new(SIZES, 4, 3, 1);
    let mut carried = State::zeros(SIZES, 4);
    let mut chunked = Vec::new();
    for start in (0..12).step_by(3) {
        let steps = s![start..start + 3, ..];
        chunk.loss(&parameters, x.slice(steps), y.slice(steps), &mut carried, None);
        chunked.extend(losses(&chunk));
    }
    assert_eq!(chunked, losses(&whole), "the same bits");
    assert_eq!(carried, state);
}

#[test]
fn the_generator_computes_the_training_forward_pass() {
    let (parameters, mut rng) = random_net(4);
    let x = characters(&mut rng, 20, 3);
    let mut network = Network::new(SIZES, 3, 20, 2);
    network.loss(&parameters, x.view(), x.view(), &mut State::zeros(SIZES, 3), None);

    let mut generator = Generator::new(&parameters, 3);
    for (t, row) in x.rows().into_iter().enumerate() {
        let logits = generator.step(row.as_slice().unwrap()).to_owned();
        for shard in network.shards() {
            for (local, row) in shard.range.clone().enumerate() {
                let mut p = logits.row(row).to_vec();
                karenina::layers::loss::forward(&mut p, 0);
                assert_eq!(p, shard.p.slice(s![t, local, ..]).to_vec(), "step {t} row {row}");
            }
        }
    }
}

#[test]
fn evaluation_in_one_piece_is_the_mean_of_all_losses() {
    let (parameters, mut rng) = random_net(5);
    let ids: Vec<u32> = characters(&mut rng, 251, 1).into_iter().collect();
    let mut generator = Generator::new(&parameters, 1);
    let nats: f64 = ids
        .windows(2)
        .map(|pair| {
            let mut p = generator.step(&pair[..1]).row(0).to_vec();
            f64::from(karenina::layers::loss::forward(&mut p, pair[1] as usize))
        })
        .sum();
    let evaluation = evaluate(&parameters, &ids.iter().copied().collect(), 1, 1);
    assert_eq!(evaluation.characters, 250);
    assert!((evaluation.nats - nats / 250.0).abs() < 1e-6, "{evaluation:?}");
    assert!((evaluation.perplexity() - evaluation.nats.exp()).abs() < 1e-12);
}

#[test]
fn evaluation_in_pieces_counts_every_character_once() {
    let (parameters, mut rng) = random_net(6);
    let ids: Vec<u32> = characters(&mut rng, 1003, 1).into_iter().collect();
    for rows in [2, 7, 10] {
        let pieces = evaluate(&parameters, &ids.iter().copied().collect(), rows, 2);
        assert_eq!(pieces.characters, 1002);
        // Each row begins with an empty memory; the last one goes on to the end.
        let length = 1002 / rows;
        let mut nats = 0.0;
        let mut generator = Generator::new(&parameters, 1);
        for (position, pair) in ids.windows(2).enumerate() {
            if position % length == 0 && position < rows * length {
                generator = Generator::new(&parameters, 1);
            }
            let mut p = generator.step(&pair[..1]).row(0).to_vec();
            nats += f64::from(karenina::layers::loss::forward(&mut p, pair[1] as usize));
        }
        assert!((pieces.nats - nats / 1002.0).abs() < 1e-6, "{rows}: {pieces:?}");
    }
}

/// The reference's training steps over the same batches: each is scored, and only then learned from.
#[test]
fn dynamic_evaluation_is_training_on_what_was_just_predicted() {
    let (parameters, mut rng) = random_net(7);
    let parameters: Parameters<f64> = parameters.cast();
    let ids: Vec<u32> = characters(&mut rng, 251, 1).into_iter().collect();

    let mut weights = weights(&parameters);
    let mut adam = Adam { learning_rate: 1e-2, beta1: 0.0, ..Adam::new(&weights) };
    let mut state = reference::State::zeros(&weights, 1);
    let mut nats = 0.0;
    for (from, to) in [(0, 100), (100, 200), (200, 250)] {
        let column = |ids: &[u32]| ids.iter().map(|&id| vec![id as usize]).collect();
        let batch = Batch { inputs: column(&ids[from..to]), targets: column(&ids[from + 1..=to]) };
        let step = training_step(&mut weights, &mut adam, &mut state, &batch, None, 1.0);
        nats += step.forward.loss * (to - from) as f64;
    }

    let ids = ids.into_iter().collect();
    let found = evaluate_dynamically(&parameters, &ids, 1, 1e-2, 1);
    assert_eq!(found.characters, 250);
    assert!((found.nats - nats / 250.0).abs() < 1e-12, "{found:?} and {nats}");
    let resting = evaluate(&parameters, &ids, 1, 1).nats;
    assert!((evaluate_dynamically(&parameters, &ids, 1, 0.0, 1).nats - resting).abs() < 1e-12);
    assert!((found.nats - resting).abs() > 1e-3, "it has learned something");
}

#[test]
fn dynamic_evaluation_gives_the_same_bits_however_many_threads_compute() {
    let (parameters, mut rng) = random_net(8);
    let ids = characters(&mut rng, 1003, 1).into_iter().collect();
    let with = |shards| evaluate_dynamically(&parameters, &ids, 3, 1e-3, shards);
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(3));
}

/// 272 cells are so many that several threads share a row.
#[test]
fn an_evaluation_has_the_same_bits_on_any_number_of_threads() {
    let mut rng = Pcg64::seed_from_u64(5);
    let sizes = Sizes::new(7, 272, 2);
    let parameters: Parameters<f32> = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    let text: String = (0..700).map(|_| char::from(b'a' + rng.random_range(0..7u8))).collect();
    let corpus = Corpus::from_text(&format!("{text}abcdefg"));
    for rows in [1, 5] {
        let bits = |threads| {
            let resting = evaluate(&parameters, corpus.ids(), rows, threads);
            let learning = evaluate_dynamically(&parameters, corpus.ids(), rows, 1e-3, threads);
            [resting, learning].map(|found| found.nats.to_bits())
        };
        let one = bits(1);
        assert_ne!(one[0], one[1]);
        assert_eq!([2, 5].map(bits), [one; 2], "{rows} rows");
    }
}
