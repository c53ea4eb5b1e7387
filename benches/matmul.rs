//! The matrix products of a training step and of generation: by our kernel, by `matrixmultiply` and by `gemm`, which
//! candle and faer use, on one thread and on all. A product MxKxN is 2·M·K·N operations.
//!
//! Lines read `matmul/who/product MxKxN, threads`. At the end stands a table of turns, in each of which all three multiply
//! one after the other: the fastest of each, its share of the highest peak of the run, and how many times as fast ours is
//! as the better of the others, in the median turn.
//!
//! Each gets its operands as it likes them best. Ours reads B packed beforehand, as the engine packs weights once
//! for all time steps. The others have no such interface: they get B row after row, also where the engine
//! multiplies with a transpose. X of dW lies as the step leaves it, T·B rows of H numbers, for all three.

mod mode;
mod peers;
mod rate;
mod table;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use karenina::math::matmul::{Element, Kernel, Packed, Rows, Start, Storage, multiply_together};
use karenina::math::sums::{Pieces, default_groups};
use karenina::math::team::{MOST_MEMBERS, Team};
use karenina::model::Division;
use karenina::train::thread_count;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rate::{Rate, per_second};
use rayon::{ThreadPool, ThreadPoolBuilder};
use table::Table;

/// Rows and H of a time step's products: H = 512 from many rows to one, then smaller H. With 100 rows these are also
/// the input products of a few steps together; 16x192 are those of the preset `quick`, 32x448 of an hour's run.
const STEPS: [(usize, usize); 12] = [
    (100, 512),
    (32, 512),
    (16, 512),
    (8, 512),
    (4, 512),
    (2, 512),
    (1, 512),
    (32, 448),
    (50, 256),
    (16, 192),
    (50, 128),
    (32, 64),
];

/// T·B, H and V: the sums and products over all time steps.
fn whole() -> (usize, usize, usize) {
    (if mode::is_test() { 1_000 } else { 10_000 }, 512, 155)
}

/// How long each has its turn, at least one product.
const TURN: Duration = Duration::from_millis(15);

/// Something to measure, by name.
type Contestant<'a> = (&'a str, &'a mut (dyn FnMut() + Send));

struct Bench<'c> {
    group: BenchmarkGroup<'c, Rate>,
    table: Table,
}

impl Bench<'_> {
    /// Measures a product by all `contestants`, in `pool`.
    fn product<const N: usize>(
        &mut self,
        name: &str,
        [m, k, n]: [usize; 3],
        pool: &ThreadPool,
        contestants: [Contestant; N],
    ) {
        let threads = pool.current_num_threads();
        let product = format!("{name} {m}x{k}x{n}");
        let plural = if threads == 1 { "" } else { "s" };
        let shape = format!("{product}, {threads} thread{plural}");
        let flop = 2 * (m * k * n) as u64;
        self.group.throughput(Throughput::Elements(flop));
        // What one run of each takes, of those that the user has asked for.
        let mut asked_for = vec![];
        for (who, run) in contestants {
            let mut estimate = None;
            self.group.bench_function(BenchmarkId::new(who, &shape), |bencher| {
                bencher.iter_custom(|rounds| {
                    let time = pool.install(|| timed(rounds, run));
                    estimate = Some(time.as_secs_f64() / rounds as f64);
                    time
                });
            });
            asked_for.extend(estimate.map(|seconds| (who, run, seconds)));
        }
        for _ in 0..self.table.turns() {
            for (who, run, seconds) in &mut asked_for {
                let rounds = (TURN.as_secs_f64() / *seconds).ceil() as u64;
                let time = pool.install(|| timed(rounds, run));
                let gflops = (flop * rounds) as f64 / time.as_secs_f64() / 1e9;
                self.table.add(&product, threads, who, gflops);
            }
            self.table.look_at_the_peak(pool);
        }
    }
}

fn timed(rounds: u64, run: &mut (dyn FnMut() + Send)) -> Duration {
    let start = Instant::now();
    for _ in 0..rounds {
        run();
    }
    start.elapsed()
}

/// A pool of one thread, and one of a thread for each core, as the engine has it, but at most as many as a team.
fn pools() -> Vec<ThreadPool> {
    let all = thread_count(None).expect("a core").min(MOST_MEMBERS);
    let counts = if all > 1 { vec![1, all] } else { vec![1] };
    let pool = |threads| ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
    counts.into_iter().map(pool).collect()
}

fn numbers(rows: usize, columns: usize) -> Array2<f32> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((i * 31 + j * 17) % 101) as f32 / 101.0 - 0.5)
}

fn packed(b: &Array2<f32>, storage: Storage) -> Packed {
    let mut packed = Packed::zeros(b.nrows(), b.ncols(), storage);
    packed.pack(b.view());
    packed
}

/// How many rows of a product with [H, 4H] or [4H, H] each member of a team takes where the engine gives each thread
/// rows of its own. Elsewhere members share the columns. Where the engine would have several teams, here is one.
fn rows_each(team: &Team, m: usize, weights: usize) -> Option<usize> {
    let division = Division::new((weights / 4).isqrt(), m, team.members());
    (division.members == 1).then(|| team.share(m))
}

/// C ← start + A·B by the members of a team.
fn ours(
    team: &mut Team,
    start: Start<f32>,
    a: ArrayView2<f32>,
    b: &Packed,
    mut c: ArrayViewMut2<f32>,
) {
    let Some(rows) = rows_each(team, a.nrows(), b.rows() * b.columns()) else {
        return multiply_together(team, start, a, b, c);
    };
    let parts = a.axis_chunks_iter(Axis(0), rows).zip(c.axis_chunks_iter_mut(Axis(0), rows));
    team.each(parts, |(a, c)| f32::multiply(0, start, a, b, c));
}

fn naive(a: ArrayView2<f32>, b: ArrayView2<f32>, mut c: ArrayViewMut2<f32>) {
    for ((m, n), c) in c.indexed_iter_mut() {
        for k in 0..a.ncols() {
            *c += a[[m, k]] * b[[k, n]];
        }
    }
}

/// C ← start + A·B with weights B, where `start` is C or zero.
fn weights(bench: &mut Bench, name: &str, start: Start<f32>, shape: [usize; 3], pool: &ThreadPool) {
    let [m, k, n] = shape;
    let keep = if matches!(start, Start::C) { 1.0 } else { 0.0 };
    let threads = pool.current_num_threads();
    let (a, b, packed) = (numbers(m, k), numbers(k, n), packed(&numbers(k, n), Storage::F32));
    let (a, b) = (a.view(), b.view());
    let mut c = [(); 3].map(|()| Array2::zeros((m, n)));
    let [c0, c1, c2] = &mut c;
    let [mut team, mut others] = [(); 2].map(|()| Team::new(threads));
    let contestants: [Contestant; 3] = [
        ("ours", &mut || ours(&mut team, start, black_box(a), &packed, c0.view_mut())),
        ("matrixmultiply", &mut || {
            peers::matrixmultiply(&mut others, black_box(a), b, keep, c1.view_mut());
        }),
        ("gemm", &mut || peers::gemm(threads, black_box(a), b, keep, c2.view_mut())),
    ];
    bench.product(name, shape, pool, contestants);
}

/// Generation: a row times weights in every type that they can be stored in; and what a row costs in plain loops.
fn one_row(bench: &mut Bench, pool: &ThreadPool) {
    let (a, mut c) = (numbers(1, 512), Array2::zeros((1, 2048)));
    for storage in Storage::ALL.into_iter().filter(|&storage| storage != Storage::F32) {
        let packed = packed(&numbers(512, 2048), storage);
        let who = format!("ours in {storage}");
        let run = &mut || f32::multiply(0, Start::C, black_box(a.view()), &packed, c.view_mut());
        bench.product("forward", [1, 512, 2048], pool, [(&who, run)]);
    }
    let (a, b, mut c) = (numbers(32, 64), numbers(64, 256), Array2::zeros((32, 256)));
    let run = &mut || naive(black_box(a.view()), b.view(), c.view_mut());
    bench.product("forward", [32, 64, 256], pool, [("naive", run)]);
}

/// dW [H, N] = Xᵀ·dZ over all positions, which are the rows of X [T·B, H] and dZ [T·B, N].
fn sum(bench: &mut Bench, n: usize, pool: &ThreadPool) {
    let ((k, m, _), threads) = (whole(), pool.current_num_threads());
    let (x, dz) = (numbers(k, m), numbers(k, n));
    let mut dw = [(); 3].map(|()| Array2::zeros((m, n)));
    let mut db = vec![0.0; n];
    let [dw0, dw1, dw2] = &mut dw;
    let (unroll, batch) = (100, k / 100);
    let pieces = Pieces::new(batch, unroll, default_groups(batch, unroll));
    let [of_x, of_dz] = [&x, &dz].map(|array| {
        let numbers = array.as_slice().expect("standard layout");
        move |_: usize| numbers
    });
    let rows_of_x = Rows::new((batch, unroll), batch, m, &of_x);
    let rows_of_dz = Rows::new((batch, unroll), batch, n, &of_dz);
    let (xt, dz) = (x.t(), dz.view());
    let mut team = Team::new(threads);
    let contestants: [Contestant; 3] = [
        ("ours", &mut || {
            let product = (black_box(rows_of_x), dw0.view_mut());
            f32::accumulate(Kernel::best(), [product], rows_of_dz, &mut db, pieces);
        }),
        ("matrixmultiply", &mut || {
            peers::matrixmultiply(&mut team, black_box(xt), dz, 0.0, dw1.view_mut());
        }),
        ("gemm", &mut || peers::gemm(threads, black_box(xt), dz, 0.0, dw2.view_mut())),
    ];
    bench.product("dW", [m, k, n], pool, contestants);
}

/// All compute the same, on any number of threads.
fn check(pool: &ThreadPool) {
    let threads = pool.current_num_threads();
    let (mut team, a, b) = (Team::new(threads), numbers(37, 65), numbers(65, 70));
    let start = numbers(37, 70);
    let mut expected = start.clone();
    naive(a.view(), b.view(), expected.view_mut());
    let mut c = [(); 3].map(|()| start.clone());
    ours(&mut team, Start::C, a.view(), &packed(&b, Storage::F32), c[0].view_mut());
    peers::matrixmultiply(&mut team, a.view(), b.view(), 1.0, c[1].view_mut());
    pool.install(|| peers::gemm(threads, a.view(), b.view(), 1.0, c[2].view_mut()));
    for c in c {
        assert!(
            (c - &expected).iter().all(|difference| difference.abs() < 1e-4),
            "another product"
        );
    }
}

fn products(criterion: &mut Criterion<Rate>) {
    let mut group = criterion.benchmark_group("matmul");
    group.sample_size(10).nresamples(10_000).warm_up_time(Duration::from_millis(100));
    group.measurement_time(Duration::from_millis(300));
    let (mut bench, pools) = (Bench { group, table: Table::new(Kernel::best()) }, pools());
    pools.iter().for_each(check);
    for (rows, hidden) in STEPS {
        for pool in &pools {
            weights(&mut bench, "forward", Start::C, [rows, hidden, 4 * hidden], pool);
            weights(&mut bench, "backward", Start::C, [rows, 4 * hidden, hidden], pool);
        }
    }
    one_row(&mut bench, &pools[0]);
    let (positions, hidden, vocabulary) = whole();
    for pool in &pools {
        let [forward, backward] =
            [[positions, hidden, vocabulary], [positions, vocabulary, hidden]];
        weights(&mut bench, "projection", Start::Zero, forward, pool);
        weights(&mut bench, "projection backward", Start::Zero, backward, pool);
        sum(&mut bench, 4 * hidden, pool);
        sum(&mut bench, vocabulary, pool);
    }
    bench.group.finish();
    bench.table.print();
}

fn packing(criterion: &mut Criterion<Rate>) {
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

criterion_group! {
    name = benches;
    config = per_second("GFLOP/s", 1e9);
    targets = packing, products
}
criterion_main!(benches);
