//! Activation functions over 2048 numbers, the gates of a row at H = 512: ours in vectors against the
//! standard library's, one number at a time.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use karenina::math::Real;
use karenina::math::simd::vectorised;

const NUMBERS: usize = 2048;

fn activation(c: &mut Criterion) {
    let mut group = c.benchmark_group("activation");
    group.throughput(Throughput::Elements(NUMBERS as u64));
    let x: Vec<f32> = (0..NUMBERS).map(|k| k as f32 / 128.0 - 8.0).collect();
    let mut y = vec![0.0; NUMBERS];
    let mut bench = |name: &str, map: &dyn Fn(&[f32], &mut [f32])| {
        group
            .bench_function(format!("{name}/{NUMBERS}"), |b| b.iter(|| map(black_box(&x), &mut y)));
    };
    bench("exp ours", &|x, y| in_vectors(x, y, Real::exp));
    bench("exp std", &|x, y| one_by_one(x, y, f32::exp));
    bench("tanh ours", &|x, y| in_vectors(x, y, Real::tanh));
    bench("tanh std", &|x, y| one_by_one(x, y, f32::tanh));
    bench("sigmoid ours", &|x, y| in_vectors(x, y, Real::sigmoid));
    bench("sigmoid std", &|x, y| one_by_one(x, y, |x| 1.0 / (1.0 + (-x).exp())));
    group.finish();
}

fn in_vectors(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorised(
        #[inline(always)]
        || one_by_one(x, y, f),
    );
}

#[inline(always)]
fn one_by_one(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

criterion_group!(benches, activation);
criterion_main!(benches);
