//! Trains a small network on the text that is built in, and lets it write.
//!
//! `cargo run --release --example 03_train_tiny`

use karenina::error::Result;
use karenina::sample::{Generator, Picker};
use karenina::text::corpus::Corpus;
use karenina::train::{TrainConfig, Trainer};
use rand::SeedableRng;
use rand_pcg::Pcg64;

fn main() -> Result<()> {
    let config = TrainConfig::quick().into_builder().hidden(64).steps(Some(200)).build()?;
    let mut trainer = Trainer::new(&Corpus::embedded(), config, 2)?;
    for report in trainer.by_ref() {
        let row = report?.row;
        if row.step % 50 == 0 {
            println!("step {:>3}: loss {:.3}", row.step, row.loss);
        }
    }

    let vocabulary = trainer.vocabulary();
    let mut generator = Generator::new(trainer.parameters(), 1);
    let mut rng = Pcg64::seed_from_u64(1);
    generator.read(&vocabulary.encode("\n")?);
    println!("{}", vocabulary.decode(&generator.write(300, Picker::default(), &mut rng)));
    Ok(())
}
