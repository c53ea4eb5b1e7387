//! The matrix products of a training step and of generation, one core each (pin it for figures:
//! `taskset -c 0 cargo bench --bench matmul`). Throughput is FLOP/s: a product MxKxN is 2·M·K·N FLOP.
//!
//! Names read `matmul/who/MxKxN`, where who is one of our kernels, `ndarray` (that is the crate
//! `matrixmultiply`) or `naive`; `register peak` is the roof to hold the others against.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use karenina::math::matmul::{Element, Kernel, Packed, Rows, Storage, accumulate_transposed_with};
use karenina::math::sums::{Pieces, default_groups};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};
use rayon::ThreadPoolBuilder;

/// C [M, N] += A [M, K] · B [K, N]; H = 512 unless told, b rows in a shard, T = 100 time steps.
const PRODUCTS: [(usize, usize, usize); 12] = [
    (50, 512, 2048),  // h·W_hh of a time step, b = 50
    (50, 2048, 512),  // dz·W_hhᵀ
    (100, 512, 2048), // X·W_ih of two time steps; h·W_hh with one shard, b = 100
    (100, 2048, 512), // dZ·W_ihᵀ, dz·W_hhᵀ
    (5000, 512, 155), // projection, all time steps of a shard
    (5000, 155, 512),
    (25, 128, 512), // H = 128, b = 25
    (25, 512, 128),
    (25, 256, 1024), // H = 256, b = 25
    (25, 1024, 256),
    (1, 512, 2048), // generation: bound by reading B
    (1, 512, 155),
];

/// dW [M, N] = Xᵀ·dZ, with K = T·B rows of X and dZ: 100 steps of two shards.
const SUMS: [(usize, usize, usize); 2] = [(512, 10_000, 2048), (512, 10_000, 155)];

fn numbers(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17) % 101) as f32 / 101.0 - 0.5)
}

fn naive(a: ArrayView2<f32>, b: ArrayView2<f32>, c: &mut Array2<f32>) {
    for ((m, n), c) in c.indexed_iter_mut() {
        for k in 0..a.ncols() {
            *c += a[[m, k]] * b[[k, n]];
        }
    }
}

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matmul");
    group.sample_size(20).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(1));
    for (m, k, n) in PRODUCTS {
        let shape = format!("{m}x{k}x{n}");
        let (a, b, mut c) = (numbers(m, k), numbers(k, n), Array2::zeros((m, n)));
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        // B in fewer bits pays where reading it is all that counts.
        let storages = if m == 1 { &Storage::ALL[..] } else { &[Storage::F32] };
        for (kernel, &storage) in
            Kernel::available().flat_map(|k| storages.iter().map(move |s| (k, s)))
        {
            let mut packed = Packed::zeros_for(kernel, k, n, storage);
            packed.pack(b.view());
            let name = match storage {
                Storage::F32 => kernel.name().into(),
                _ => format!("{}, {storage}", kernel.name()),
            };
            group.bench_function(BenchmarkId::new(name, &shape), |bencher| {
                bencher.iter(|| f32::multiply(black_box(a.view()), &packed, c.view_mut()));
            });
        }
        group.bench_function(BenchmarkId::new("ndarray", &shape), |bencher| {
            bencher.iter(|| general_mat_mul(1.0, black_box(&a), &b, 1.0, &mut c));
        });
        if m * k * n < 4_000_000 {
            group.bench_function(BenchmarkId::new("naive", &shape), |bencher| {
                bencher.iter(|| naive(black_box(a.view()), b.view(), &mut c));
            });
        }
    }
    group.finish();
}

fn sums(criterion: &mut Criterion) {
    let pool = ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let mut group = criterion.benchmark_group("matmul");
    group.sample_size(10).warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_secs(2));
    for (m, k, n) in SUMS {
        let shape = format!("dw {m}x{k}x{n}");
        let (unroll, batch) = (100, k / 100);
        let shards = |width| [0, 1].map(|_| numbers(k / 2, width));
        let (x, dz, mut dw) = (shards(m), shards(n), Array2::zeros((m, n)));
        let mut db = vec![0.0; n];
        let pieces = Pieces::new(batch, unroll, default_groups(batch, unroll));
        let of_x = |shard: usize| x[shard].as_slice().expect("standard layout");
        let of_dz = |shard: usize| dz[shard].as_slice().expect("standard layout");
        let x = Rows::new((batch, unroll), batch / 2, m, &of_x);
        let dz = Rows::new((batch, unroll), batch / 2, n, &of_dz);
        group.throughput(Throughput::Elements(2 * (m * k * n) as u64));
        for kernel in Kernel::available() {
            group.bench_function(BenchmarkId::new(kernel.name(), &shape), |bencher| {
                bencher.iter(|| {
                    pool.install(|| {
                        accumulate_transposed_with(
                            kernel,
                            [(x, dw.view_mut())],
                            dz,
                            &mut db,
                            pieces,
                        )
                    });
                });
            });
        }
        let (x, dz) = (numbers(k, m), numbers(k, n));
        group.bench_function(BenchmarkId::new("ndarray", &shape), |bencher| {
            bencher.iter(|| general_mat_mul(1.0, black_box(&x.t()), &dz, 1.0, &mut dw));
        });
    }
    group.finish();
}

fn packing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pack");
    let b = numbers(512, 2048);
    group.throughput(Throughput::Bytes(4 * b.len() as u64));
    let mut packed = f32::packed(512, 2048);
    group.bench_function("512x2048", |bencher| bencher.iter(|| packed.pack(black_box(b.view()))));
    let mut packed = f32::packed(2048, 512);
    group.bench_function("512x2048 transposed", |bencher| {
        bencher.iter(|| packed.pack(black_box(b.t())));
    });
    group.finish();
}

/// The time of a fixed number of multiply-adds between registers: no product can be faster.
fn peak(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matmul");
    group.throughput(Throughput::Elements(1_000_000_000));
    for kernel in Kernel::available() {
        group.bench_function(BenchmarkId::new(kernel.name(), "register peak"), |bencher| {
            bencher.iter_custom(|rounds| {
                Duration::from_secs_f64(rounds as f64 / kernel.peak_gflops(1))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, peak, products, sums, packing);
criterion_main!(benches);
