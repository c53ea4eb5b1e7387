//! Every kernel against the naive loop, bit for bit: all sizes of tiles, edges and strides.

use std::iter::zip;

use half::{bf16, f16};
use karenina::math::matmul::{Element, Kernel, Packed, Rows, Start, Storage, multiply_together};
use karenina::math::simd::vectorised;
use karenina::math::sums::{Pieces, add_in_pairs};
use karenina::math::team::Team;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Numbers whose sums round at every step, so that a changed order shows.
fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut generator = Pcg64::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || generator.random_range(-1.0..1.0))
}

/// The contract: one chain over k for each element, from the value found in C.
fn naive(kernel: &Kernel, a: ArrayView2<f32>, b: ArrayView2<f32>, c: &mut Array2<f32>) {
    let add_product: fn(f32, f32, f32) -> f32 = match kernel.is_fused() {
        // Not `mul_add`: where it calls the system, as on Windows, its last bit may be wrong.
        true => libm::fmaf,
        false => |a, b, c| c + a * b,
    };
    for (a, mut c) in zip(a.rows(), c.rows_mut()) {
        for (&a, b) in zip(a, b.rows()) {
            zip(&mut c, b).for_each(|(c, &b)| *c = add_product(a, b, *c));
        }
    }
}

fn bits(x: &Array2<f32>) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// [`check_stored`] in every type that B may be stored in.
fn check(kernel: &'static Kernel, m: usize, k: usize, n: usize, transposed: bool) {
    for storage in Storage::ALL {
        check_stored(storage, kernel, m, k, n, transposed);
    }
}

/// Multiplies with operands inside larger arrays whose rest is NaN: reading or writing beyond shows, and so does
/// reading a C that only a bias or zero is added to. Against it stands the naive loop in f32 with B rounded.
fn check_stored(
    storage: Storage,
    kernel: &'static Kernel,
    m: usize,
    k: usize,
    n: usize,
    transposed: bool,
) {
    let seed = (m * 1_000_003 + k * 1_009 + n) as u64;
    let mut around_a = Array2::from_elem((m + 1, k + 3), f32::NAN);
    around_a.slice_mut(s![..m, 1..=k]).assign(&random(m, k, seed));
    let a = around_a.slice(s![..m, 1..=k]);
    let b = random(n, k, seed + 1);
    let b = if transposed { b.t().to_owned() } else { random(k, n, seed + 1) };
    let start = random(m, n, seed + 2);

    let mut packed = Packed::zeros_for(kernel, k, n, storage);
    packed.pack(Array2::from_elem((k, n), f32::NAN).view());
    let turned = b.t().to_owned();
    packed.pack(if transposed { turned.t() } else { b.view() });
    let mut rounded = b;
    storage.round(rounded.view_mut());
    let bias = random(1, n, seed + 3).into_raw_vec_and_offset().0;
    let broadcast = Array2::from_shape_fn((m, n), |(_, column)| bias[column]);
    let mut around_c = Array2::from_elem((m + 2, n + 5), f32::NAN);
    around_c.slice_mut(s![1..=m, 2..n + 2]).assign(&start);
    for (name, from, mut expected) in [
        ("C", Start::C, start),
        ("zero", Start::Zero, Array2::zeros((m, n))),
        ("a bias", Start::Bias(&bias), broadcast),
    ] {
        f32::multiply(0, from, a, &packed, around_c.slice_mut(s![1..=m, 2..n + 2]));
        naive(kernel, a, rounded.view(), &mut expected);
        let found = around_c.slice(s![1..=m, 2..n + 2]).to_owned();
        let what = format!("{}, {}, from {name}: {m}x{k}x{n}", kernel.name(), storage);
        assert_eq!(bits(&found), bits(&expected), "{what}");
        around_c.slice_mut(s![1..=m, 2..n + 2]).fill(f32::NAN);
        assert!(around_c.iter().all(|c| c.is_nan()), "{what} wrote beyond C");
    }
}

#[test]
fn every_tile_and_edge_equals_the_naive_loop() {
    for kernel in Kernel::available() {
        for m in 1..=40 {
            for n in [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65, 155, 257, 290] {
                check(kernel, m, 1 + (m * n) % 11, n, (m + n) % 2 == 0);
            }
        }
    }
}

#[test]
fn every_block_of_k_equals_the_naive_loop() {
    for kernel in Kernel::available() {
        for k in [0, 1, 2, 3, 4, 5, 15, 255, 256, 257, 511, 512, 513, 1030] {
            for m in [1, 2, 3, 5, 13, 14] {
                check(kernel, m, k, 37, k % 2 == 0);
            }
        }
    }
}

#[test]
fn every_block_of_rows_equals_the_naive_loop() {
    for kernel in Kernel::available() {
        for m in [207, 208, 209, 417, 500] {
            check(kernel, m, 9, 35, false);
        }
    }
}

#[test]
fn nothing_to_do_is_fine() {
    for kernel in Kernel::available() {
        for (m, k, n) in [(0, 3, 4), (3, 0, 4), (3, 4, 0)] {
            check(kernel, m, k, n, false);
        }
    }
}

#[test]
fn one_row_times_several_panels_equals_the_naive_loop() {
    for kernel in Kernel::available() {
        for (k, n) in [(513, 2048), (600, 1031)] {
            check(kernel, 1, k, n, false);
        }
    }
}

/// Every number of 16 bits, infinite ones and denormal ones among them, comes out of a product with 1 as
/// it went in.
fn check_every_number(storage: Storage, number: fn(u16) -> f32) {
    let one = Array2::ones((1, 1));
    let b = Array2::from_shape_fn((1, 1 << 16), |(_, n)| number(n as u16));
    for kernel in Kernel::available() {
        let mut packed = Packed::zeros_for(kernel, 1, b.ncols(), storage);
        packed.pack(b.view());
        let mut c = Array2::from_elem(b.dim(), -0.0_f32);
        f32::multiply(0, Start::C, one.view(), &packed, c.view_mut());
        for (found, expected) in c.iter().zip(&b) {
            let same = found.to_bits() == expected.to_bits();
            assert!(same || found.is_nan() && expected.is_nan(), "{}: {expected}", kernel.name());
        }
    }
}

#[test]
fn every_number_of_16_bits_is_widened_exactly() {
    check_every_number(Storage::F16, |bits| f16::from_bits(bits).to_f32());
    check_every_number(Storage::Bf16, |bits| bf16::from_bits(bits).to_f32());
}

/// In columns whose scale is a power of two, every whole number comes out of a product as it went in.
#[test]
fn every_number_of_8_bits_is_widened_and_scaled_exactly() {
    let scales = [f32::MIN_POSITIVE, 2.0_f32.powi(-9), 1.0, 2.0_f32.powi(120)];
    let one_hot = Array2::eye(255);
    for kernel in Kernel::available() {
        let b = Array2::from_shape_fn((255, 70), |(q, n)| (q as f32 - 127.0) * scales[n % 4]);
        let mut packed = Packed::zeros_for(kernel, 255, 70, Storage::I8);
        packed.pack(b.view());
        let mut c = Array2::zeros((255, 70));
        f32::multiply(0, Start::C, one_hot.view(), &packed, c.view_mut());
        assert_eq!(bits(&c), bits(&b), "{}", kernel.name());
    }
}

/// As in [`check_stored`], with columns of very different sizes.
#[test]
fn columns_of_any_size_equal_the_naive_loop() {
    let sizes = [0.0, 1e-45, 3e-41, 1e-37, 1e-3, 1.0, 1e20, 1e37];
    let a = random(3, 40, 6);
    let mut b = random(40, 77, 7);
    b.indexed_iter_mut().for_each(|((_, n), x)| *x *= sizes[n % sizes.len()]);
    let mut rounded = b.clone();
    Storage::I8.round(rounded.view_mut());
    assert!(rounded.iter().all(|x| *x == 0.0 || x.is_normal()));
    for kernel in Kernel::available() {
        let mut packed = Packed::zeros_for(kernel, 40, 77, Storage::I8);
        packed.pack(b.view());
        let (mut found, mut expected) = (random(3, 77, 8), random(3, 77, 8));
        f32::multiply(0, Start::C, a.view(), &packed, found.view_mut());
        naive(kernel, a.view(), rounded.view(), &mut expected);
        assert_eq!(bits(&found), bits(&expected), "{}", kernel.name());
    }
}

#[test]
fn a_column_that_8_bits_cannot_hold_is_nan_and_no_other() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for kernel in Kernel::available() {
            let mut b = random(5, 40, 9);
            b[[3, 37]] = wrong;
            let mut packed = Packed::zeros_for(kernel, 5, 40, Storage::I8);
            packed.pack(b.view());
            let mut c = Array2::zeros((2, 40));
            f32::multiply(0, Start::C, random(2, 5, 10).view(), &packed, c.view_mut());
            for ((_, n), x) in c.indexed_iter() {
                assert_eq!(x.is_nan(), n == 37, "{}: {wrong} makes {x}", kernel.name());
            }
        }
    }
}

#[test]
fn all_fused_kernels_give_the_same_bits() {
    let (a, b) = (random(50, 300, 1), random(300, 155, 2));
    for storage in Storage::ALL {
        let mut results = Kernel::available().filter(|kernel| kernel.is_fused()).map(|kernel| {
            let mut packed = Packed::zeros_for(kernel, 300, 155, storage);
            packed.pack(b.view());
            let mut c = random(50, 155, 3);
            f32::multiply(0, Start::C, a.view(), &packed, c.view_mut());
            bits(&c)
        });
        if let Some(first) = results.next() {
            assert!(results.all(|other| other == first), "{storage}");
        }
    }
}

#[test]
fn rows_alone_equal_rows_together() {
    let (a, b) = (random(50, 300, 4), random(300, 155, 5));
    let mut packed = Packed::zeros(300, 155, Storage::F32);
    packed.pack(b.view());
    let mut together = Array2::zeros((50, 155));
    f32::multiply(0, Start::C, a.view(), &packed, together.view_mut());
    for rows in [1, 2, 3, 4, 7, 25, 49] {
        let mut apart = Array2::zeros((50, 155));
        for (a, c) in
            a.axis_chunks_iter(Axis(0), rows).zip(apart.axis_chunks_iter_mut(Axis(0), rows))
        {
            f32::multiply(0, Start::C, a, &packed, c);
        }
        assert_eq!(bits(&apart), bits(&together), "{rows} rows at a time");
    }
}

#[test]
#[should_panic(expected = "C [2, 4] = A [2, 3] · B [5, 4]")]
fn shapes_that_do_not_agree_are_named() {
    let packed = Packed::zeros(5, 4, Storage::F32);
    f32::multiply(
        0,
        Start::C,
        Array2::zeros((2, 3)).view(),
        &packed,
        Array2::zeros((2, 4)).view_mut(),
    );
}

#[test]
#[should_panic(expected = "a bias [3] for C [2, 4]")]
fn a_bias_that_does_not_fit_is_named() {
    let (packed, mut c) = (Packed::zeros(5, 4, Storage::F32), Array2::zeros((2, 4)));
    let a = Array2::zeros((2, 5));
    f32::multiply(0, Start::Bias(&[0.0; 3]), a.view(), &packed, c.view_mut());
}

#[test]
fn a_team_has_the_bits_of_one_thread_in_every_storage() {
    let (a, b) = (random(5, 40, 6), random(40, 555, 7));
    let bias = random(1, 555, 8).into_raw_vec_and_offset().0;
    for storage in Storage::ALL {
        let mut packed = Packed::zeros(40, 555, storage);
        packed.pack(b.view());
        let mut alone = Array2::zeros((5, 555));
        f32::multiply(0, Start::Bias(&bias), a.view(), &packed, alone.view_mut());
        for members in [2, 3, 16] {
            let mut together = Array2::zeros((5, 555));
            let (team, start) = (&mut Team::new(members), Start::Bias(bias.as_slice()));
            multiply_together(team, start, a.view(), &packed, together.view_mut());
            assert_eq!(bits(&together), bits(&alone), "{storage}, {members} members");
        }
    }
}

/// The rows [T·B, N] of all steps and rows of a batch, in one array for every `height` rows of the batch, with
/// NaN behind the last row.
fn in_shards(whole: &Array2<f32>, batch: usize, height: usize) -> Vec<Vec<f32>> {
    let unroll = whole.nrows() / batch;
    let shard = |first: usize| {
        let rows = first..batch.min(first + height);
        let positions = (0..unroll).flat_map(|t| rows.clone().map(move |row| t * batch + row));
        let numbers = positions.flat_map(|k| whole.row(k).to_vec());
        numbers.chain([f32::NAN; 3]).collect()
    };
    (0..batch).step_by(height).map(shard).collect()
}

/// dW ← Xᵀ·dZ of all `xs`, and db, by `kernel`; X and dZ in shards of different heights, and all that
/// the sums overwrite NaN before.
fn summed(
    kernel: &'static Kernel,
    xs: &[Array2<f32>; 2],
    dz: &Array2<f32>,
    (batch, unroll, groups): (usize, usize, usize),
) -> ([Array2<f32>; 2], Vec<f32>) {
    let (n, shape) = (dz.ncols(), (batch, unroll));
    let around = xs.each_ref().map(|x| Array2::from_elem((x.ncols() + 2, n + 3), f32::NAN));
    let mut around_db = vec![f32::NAN; n + 2];
    let parts =
        [in_shards(&xs[0], batch, 3), in_shards(&xs[1], batch, batch), in_shards(dz, batch, 2)];
    let arrays = parts.each_ref().map(|part| move |shard: usize| part[shard].as_slice());
    let rows = [
        Rows::new(shape, 3, xs[0].ncols(), &arrays[0]),
        Rows::new(shape, batch, xs[1].ncols(), &arrays[1]),
        Rows::new(shape, 2, n, &arrays[2]),
    ];
    let [mut first, mut second] = around;
    let inner = |x: &Array2<f32>| s![1..=x.ncols(), 2..n + 2];
    let products =
        [(rows[0], first.slice_mut(inner(&xs[0]))), (rows[1], second.slice_mut(inner(&xs[1])))];
    let pieces = Pieces::new(batch, unroll, groups);
    f32::accumulate(kernel, products, rows[2], &mut around_db[1..=n], pieces);
    let found = [first.slice(inner(&xs[0])).to_owned(), second.slice(inner(&xs[1])).to_owned()];
    for (around, x) in [(&mut first, &xs[0]), (&mut second, &xs[1])] {
        around.slice_mut(inner(x)).fill(f32::NAN);
        assert!(around.iter().all(|c| c.is_nan()), "{} wrote beyond dW", kernel.name());
    }
    assert!(around_db[0].is_nan() && around_db[n + 1].is_nan(), "wrote beyond db");
    (found, around_db[1..=n].to_vec())
}

/// The contract of the sums: one chain for each piece, added along the tree.
fn naive_sums(
    kernel: &Kernel,
    x: &Array2<f32>,
    dz: &Array2<f32>,
    (batch, unroll, groups): (usize, usize, usize),
) -> (Array2<f32>, Vec<f32>) {
    let pieces = Pieces::new(batch, unroll, groups);
    let chain = |piece| {
        let ks: Vec<usize> = pieces.positions(piece).map(|(t, row)| t * batch + row).collect();
        let (x, dz) = (x.select(Axis(0), &ks), dz.select(Axis(0), &ks));
        let mut dw = Array2::zeros((x.ncols(), dz.ncols()));
        naive(kernel, x.t(), dz.view(), &mut dw);
        (dw, dz.sum_axis(Axis(0)))
    };
    let chains = (0..pieces.count()).map(chain);
    let total = add_in_pairs(chains, |(a, b), (c, d)| (a + c, b + d));
    let (dw, db) = total.unwrap();
    (dw, db.to_vec())
}

#[test]
fn sums_over_rows_equal_the_naive_tree() {
    for kernel in Kernel::available() {
        for (shape, m, n) in [
            ((1, 1, 1), 1, 1),
            ((5, 1, 5), 2, 3),
            ((10, 10, 4), 13, 32),
            ((7, 37, 3), 14, 33),
            ((11, 30, 11), 31, 155),
            ((4, 5, 2), 300, 40),
            ((4, 5, 3), 40, 600),
            ((5, 5, 1), 3, 1100),
            ((3, 700, 1), 27, 70), // 2,100 positions in 4 pieces
            ((7, 1000, 3), 5, 17), // groups of 3, 2, 2 rows, 4 pieces each
            ((6, 180, 6), 120, 33),
        ] {
            let (k, what) = (shape.0 * shape.1, format!("{}: {shape:?} {m}x{n}", kernel.name()));
            let xs = [random(k, m, 6), random(k, m + 1, 9)];
            let dz = random(k, n, 7);
            let (found, db) = summed(kernel, &xs, &dz, shape);
            for (x, found) in xs.iter().zip(&found) {
                let (expected, expected_db) = naive_sums(kernel, x, &dz, shape);
                assert_eq!(bits(found), bits(&expected), "{what}");
                assert_eq!(db, expected_db, "{what}: db");
            }
        }
    }
}

/// dZ as wide as X together or wider, and narrower: the work is split along columns and along rows.
#[test]
fn sums_over_rows_do_not_depend_on_the_number_of_threads() {
    for (n, m) in [(1100, [530, 300]), (155, [530, 300]), (70, [20, 31])] {
        let dz = random(400, n, 10);
        let xs = m.map(|m| random(400, m, 9));
        let results = [1, 2, 3, 5, 64].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (dw, db) =
                pool.install(|| summed(Kernel::available().next().unwrap(), &xs, &dz, (8, 50, 8)));
            (dw.map(|dw| bits(&dw)), db)
        });
        assert!(results.iter().all(|result| *result == results[0]), "{n} columns");
    }
}

/// What several machines do: each sums up aligned runs of groups, and who has two neighbours adds them.
#[test]
fn groups_summed_apart_and_added_in_pairs_give_the_same_bits() {
    let kernel = Kernel::available().next().unwrap();
    for (batch, unroll, groups) in [(16, 30, 8), (12, 1100, 4), (10, 40, 5)] {
        let (k, each) = (batch * unroll, batch / groups);
        let (xs, dz) = ([random(k, 30, 1), random(k, 5, 2)], random(k, 70, 3));
        let (whole, db) = summed(kernel, &xs, &dz, (batch, unroll, groups));
        for run in [1, 2, 4] {
            let parts = (0..groups).step_by(run).map(|first| {
                let run = run.min(groups - first);
                let rows = first * each..(first + run) * each;
                let own = |x: &Array2<f32>| {
                    let ks: Vec<usize> = (0..k).filter(|k| rows.contains(&(k % batch))).collect();
                    x.select(Axis(0), &ks)
                };
                let shape = (rows.len(), unroll, run);
                let ([a, b], db) = summed(kernel, &xs.each_ref().map(own), &own(&dz), shape);
                (a, b, Array1::from(db))
            });
            let sum = add_in_pairs(parts, |(a, b, c), (d, e, f)| (a + d, b + e, c + f)).unwrap();
            assert_eq!(bits(&sum.0), bits(&whole[0]), "{groups} groups, {run} at a time");
            assert_eq!(bits(&sum.1), bits(&whole[1]), "{groups} groups, {run} at a time");
            assert_eq!(sum.2.to_vec(), db, "{groups} groups, {run} at a time");
        }
    }
}

#[test]
#[should_panic(expected = "[10, 2, 3] in an array of 59 numbers")]
fn rows_of_an_array_that_is_too_short_are_refused() {
    let array = vec![0.0; 59];
    Rows::new((2, 10), 2, 3, &|_| array.as_slice());
}

/// The answer about an array changes after it was checked: it is checked again where it is used.
#[test]
#[should_panic(expected = "out of range")]
fn rows_that_shrink_after_the_check_do_not_lead_outside() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    let (long, short, asked) = (vec![0.0_f32; 60], vec![0.0; 2], AtomicUsize::new(0));
    let lying = |_| if asked.fetch_add(1, Relaxed) == 0 { long.as_slice() } else { &short };
    let dz = Rows::new((2, 10), 2, 3, &lying);
    let mut dw = Array2::zeros((3, 3));
    let mut db = [0.0; 3];
    f32::accumulate(Kernel::best(), [(dz, dw.view_mut())], dz, &mut db, Pieces::new(2, 10, 1));
}

#[test]
#[should_panic(expected = "more than memory can hold")]
fn a_packed_matrix_whose_size_wraps_is_refused() {
    // 2^64 numbers and the gaps between panels, however wide these are on this processor.
    Packed::zeros(1 << 32, 1 << 32, Storage::F32);
}

#[test]
fn f64_products_are_exact_on_small_integers() {
    let a = Array2::from_shape_fn((5, 7), |(m, k)| (m * 7 + k) as f64);
    let b = Array2::from_shape_fn((7, 9), |(k, n)| (k * 9 + n) as f64 - 20.0);
    let mut packed = f64::packed(7, 9);
    f64::pack(&mut packed, b.view());
    let mut c = Array2::from_elem((5, 9), 1.0);
    f64::multiply(0, Start::C, a.view(), &packed, c.view_mut());
    assert_eq!(c, a.dot(&b) + 1.0);
}

#[test]
fn vectorised_runs_its_closure_once() {
    let mut calls = 0;
    let sum: f32 = vectorised(|| {
        calls += 1;
        (0..100).map(|i| i as f32).sum()
    });
    assert_eq!((calls, sum), (1, 4950.0));
}

#[test]
fn the_kernel_in_use_is_the_one_asked_for_or_the_first_available() {
    let expected = Kernel::asked_for().unwrap().or_else(|| Kernel::available().next());
    assert_eq!(Kernel::best().name(), expected.unwrap().name());
}

/// Without the vectors that the processor has, everything would be right and several times slower.
#[test]
fn the_kernels_for_this_processor_are_available() {
    let names: Vec<_> = Kernel::available().map(|kernel| kernel.name()).collect();
    #[cfg(target_arch = "x86_64")]
    let expected = [
        ("AVX-512", is_x86_feature_detected!("avx512f")),
        ("AVX2", is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")),
    ];
    #[cfg(target_arch = "aarch64")]
    let expected = [("NEON", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let expected: [(&str, bool); 0] = [];
    for (name, is_there) in expected {
        assert_eq!(names.iter().any(|known| known.contains(name)), is_there, "{name}: {names:?}");
    }
}
