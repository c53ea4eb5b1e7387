//! One LSTM layer above another, through T steps of a shard and back: 16·T·b·H² operations forward, for
//! X·W_ih and h·W_hh, and as many back (the weights' gradients are summed elsewhere). One thread.

mod mode;
mod rate;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use karenina::layers::lstm::{Carry, Input, LstmTape, PackedLstm, backward, forward};
use karenina::math::matmul::Element;
use karenina::math::stopwatch::Stopwatch;
use karenina::math::team::Team;
use karenina::model::{Initialisation, Parameters, Sizes};
use ndarray::Array3;
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rate::{Rate, per_second};

/// T, b, H.
const SHAPES: [[usize; 3]; 3] = [[50, 25, 128], [50, 25, 256], [100, 50, 512]];

/// A layer above another: its weights are those of layer 1.
fn parameters(hidden: usize) -> Parameters<f32> {
    let sizes = Sizes::new(2, hidden, 2);
    Parameters::initial(sizes, Initialisation::Glorot, &mut Pcg64::seed_from_u64(1))
}

fn lstm(c: &mut Criterion<Rate>) {
    let count = if mode::is_test() { 2 } else { SHAPES.len() };
    for &[unroll, rows, hidden] in &SHAPES[..count] {
        let parameters = parameters(hidden);
        let weights = parameters.lstm(1);
        let mut packed = PackedLstm::zeros(hidden, false, f32::packed);
        let mut transposed = PackedLstm::zeros(hidden, false, |k, n| f32::packed(n, k));
        packed.pack(weights);
        transposed.pack(weights.transposed());
        let x = Array3::from_elem((unroll, rows, hidden), 0.1);
        let mut tape = LstmTape::zeros(unroll, rows, hidden, false);
        let (mut team, mut watch) = (Team::new(1), Stopwatch::default());
        let shape = format!("T{unroll} b{rows} H{hidden}");
        let flop = 16 * (unroll * rows * hidden * hidden) as u64;

        let mut group = c.benchmark_group("lstm_forward");
        group.sample_size(10).throughput(Throughput::Elements(flop));
        group.bench_function(BenchmarkId::from_parameter(&shape), |b| {
            let input = Input::Sequence(x.view());
            b.iter(|| forward(&mut tape, input, weights, &packed, &mut team, &mut watch));
        });
        group.finish();

        // A backward pass consumes the tape's gates and dy, so each gets a copy that is not timed.
        let mut group = c.benchmark_group("lstm_backward");
        group.sample_size(10).throughput(Throughput::Elements(flop));
        let input = Input::Sequence(x.view());
        forward(&mut tape, input, weights, &packed, &mut team, &mut watch);
        group.bench_function(BenchmarkId::from_parameter(&shape), |b| {
            b.iter_batched_ref(
                || (tape.clone(), x.clone(), Carry::zeros(rows, hidden)),
                |(tape, dy, carry)| backward(tape, dy, carry, &transposed, &mut team, &mut watch),
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = per_second("GFLOP/s", 1e9);
    targets = lstm
}
criterion_main!(benches);
