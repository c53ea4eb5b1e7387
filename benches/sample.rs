//! Generation, in characters a second: N texts at once, a character of each per step.

mod rate;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use karenina::math::matmul::Storage;
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::sample::{Generator, Picker};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rate::{Rate, per_second};

fn sample(c: &mut Criterion<Rate>) {
    let mut group = c.benchmark_group("sample");
    let sizes = [(128, 1), (512, 1), (512, 16)];
    let cases = sizes.into_iter().flat_map(|sizes| Storage::ALL.map(|weights| (sizes, weights)));
    for ((hidden, rows), weights) in cases {
        let sizes = Sizes::new(155, hidden, 2);
        let mut rng = Pcg64::seed_from_u64(1);
        let parameters = Parameters::<f32>::initial(sizes, Initialisation::Glorot, &mut rng);
        let mut generator =
            Generator::stored_in(&parameters, rows, weights).expect("small weights");
        let mut characters = vec![0; rows];
        group.throughput(Throughput::Elements(rows as u64));
        let name = match weights {
            Storage::F32 => format!("H{hidden} L2 V155, {rows} texts"),
            _ => format!("H{hidden} L2 V155, {rows} texts, {weights}"),
        };
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let logits = generator.step(&characters);
                for (character, logits) in characters.iter_mut().zip(logits.rows()) {
                    *character = Picker::default().pick(logits, &mut rng);
                }
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = per_second("characters/s", 1.0);
    targets = sample
}
criterion_main!(benches);
