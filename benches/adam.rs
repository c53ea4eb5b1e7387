//! Adam's update of all parameters, which reads four numbers and writes three for each: 28 bytes.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::optim::adam::{Adam, AdamConfig};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::ThreadPoolBuilder;

fn adam(c: &mut Criterion) {
    let mut group = c.benchmark_group("adam");
    for hidden in [128, 512] {
        let sizes = Sizes::new(155, hidden, 2);
        let mut rng = Pcg64::seed_from_u64(1);
        let mut parameters = Parameters::<f32>::initial(sizes, Initialisation::Glorot, &mut rng);
        let gradients = parameters.clone();
        let mut adam = Adam::new(AdamConfig::default(), sizes);
        group.throughput(Throughput::Bytes(28 * sizes.parameters() as u64));
        for threads in [1, 2] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let name = format!("H{hidden} L2 V155, {threads} threads");
            group.bench_function(BenchmarkId::from_parameter(name), |b| {
                pool.install(|| b.iter(|| adam.update(&mut parameters, &gradients)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, adam);
criterion_main!(benches);
