//! A network that learns: it overfits a short text and then writes it from memory.

use karenina::sample::{Generator, Picker};
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::{TrainConfig, Trainer};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// 200 characters in which no beginning of a few characters occurs twice.
const TEXT: &str = "All the morning the old steward counted sheep by the river, and at noon he wrote \
                    forty-one in his book; but young Tom, who lay under a willow with a dog, swore he had \
                    seen forty-two pass over the bridge.";

#[test]
fn a_small_net_overfits_a_short_text_and_reproduces_it() {
    let text: String = TEXT.chars().take(200).collect();
    let corpus = Corpus::from_text(&text);
    assert_eq!(corpus.len(), 200);
    let config = TrainConfig::builder().hidden(32).layers(2).batch(1).unroll(200);
    let config = config.epochs(1500).keep(1.0).learning_rate(1e-2).build().unwrap();
    let mut trainer = Trainer::new(&corpus, config, 1).unwrap();
    let learnt = trainer.by_ref().map(|report| report.unwrap().row.loss).find(|&loss| loss < 0.02);
    assert!(learnt.is_some(), "no loss below 0.02 within 1,500 steps");

    let vocabulary = Vocabulary::from_text(&text);
    let mut generator = Generator::new(trainer.parameters(), 1);
    let picker = Picker::default().with_top_n(1);
    let mut rng = Pcg64::seed_from_u64(0);
    generator.read(&vocabulary.encode(&text[..1]).unwrap());
    let written = generator.write(199, picker, &mut rng);
    assert_eq!(vocabulary.decode(&written), text[1..]);
}
