//! C ← C + A·B at the hot shapes of a training step, B packed: 2·M·K·N operations. One thread.
//!
//! `ours` against `ndarray`, which calls the crate `matrixmultiply`, and for small shapes against three
//! plain loops.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use karenina::math::matmul::{Packed, matmul_packed};
use ndarray::Array2;
use ndarray::linalg::general_mat_mul;

/// Per time step and shard; all time steps at once; the projection; generation.
const SHAPES: [[usize; 3]; 9] = [
    [50, 512, 2048],
    [50, 2048, 512],
    [5000, 512, 2048],
    [5000, 2048, 512],
    [5000, 512, 155],
    [25, 128, 512],
    [25, 256, 1024],
    [1, 512, 2048],
    [1, 512, 155],
];
/// Operations up to which the plain loops are worth the wait.
const SMALL: u64 = 4_000_000;

fn matmul(c: &mut Criterion) {
    let mut group = c.benchmark_group("matmul");
    group.sample_size(20);
    for [m, k, n] in SHAPES {
        let flop = 2 * (m * k * n) as u64;
        let name = format!("{m}x{k}x{n}");
        let filled = |rows, columns| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 7 + j) % 13) as f32)
        };
        let (a, b, mut product) = (filled(m, k), filled(k, n), Array2::<f32>::zeros((m, n)));
        let mut packed = Packed::zeros(k, n);
        packed.pack(b.view());
        group.throughput(Throughput::Elements(flop));
        group.bench_function(format!("ours/{name}"), |bencher| {
            bencher.iter(|| matmul_packed(black_box(a.view()), &packed, product.view_mut()));
        });
        group.bench_function(format!("ndarray/{name}"), |bencher| {
            bencher.iter(|| general_mat_mul(1.0, black_box(&a), &b, 1.0, &mut product));
        });
        if flop <= SMALL {
            group.bench_function(format!("naive/{name}"), |bencher| {
                bencher.iter(|| naive(black_box(&a), &b, &mut product));
            });
        }
    }
    group.finish();
}

/// for i, for j, for k: C[i, j] += A[i, k] · B[k, j]
fn naive(a: &Array2<f32>, b: &Array2<f32>, c: &mut Array2<f32>) {
    for i in 0..a.nrows() {
        for j in 0..b.ncols() {
            for k in 0..a.ncols() {
                c[[i, j]] += a[[i, k]] * b[[k, j]];
            }
        }
    }
}

criterion_group!(benches, matmul);
criterion_main!(benches);
