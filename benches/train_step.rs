//! A whole training step, in characters a second: pack, forward, backward, dW, clip, Adam.
//!
//! Operations of a step: 6·B·T·(4H² + (L−1)·8H² + H·V).

mod mode;
mod rate;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use karenina::text::corpus::Corpus;
use karenina::train::{TrainConfig, Trainer};
use rate::{Rate, per_second};

/// H, B, T.
const SIZES: [[usize; 3]; 4] = [[128, 50, 50], [256, 50, 50], [512, 100, 100], [1024, 50, 50]];

fn train_step(c: &mut Criterion<Rate>) {
    let corpus = Corpus::embedded();
    let mut group = c.benchmark_group("train_step");
    group.sample_size(10);
    // The two large ones take as long as all other benches together.
    let count = if mode::is_test() { 2 } else { SIZES.len() };
    for &[hidden, batch, unroll] in &SIZES[..count] {
        let config = TrainConfig::builder().hidden(hidden).batch(batch).unroll(unroll);
        let config = config.epochs(u64::MAX).build().expect("in range");
        group.throughput(Throughput::Elements((batch * unroll) as u64));
        for threads in [1, 2] {
            let mut trainer = Trainer::new(&corpus, config.clone(), threads).expect("it fits");
            let name = format!("H{hidden} L2 B{batch} T{unroll}, {threads} threads");
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                b.iter(|| trainer.next().expect("an endless run").expect("a finite loss"));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = per_second("characters/s", 1.0);
    targets = train_step
}
criterion_main!(benches);
