//! Every kernel against the naive loop, bit for bit: all sizes of tiles, edges and strides.

use std::any::type_name;

use half::{bf16, f16};
use karenina::math::matmul::{
    Kernel, Packed, Rows, Stored, accumulate_transposed, accumulate_transposed_with, kernel_name,
    matmul_packed, vectorised,
};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// Numbers whose sums round at every step, so that a changed order shows.
fn random(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut generator = Pcg64::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || generator.random_range(-1.0..1.0))
}

/// The contract: one chain over k for each element, from the value found in C.
fn naive(kernel: &Kernel, a: ArrayView2<f32>, b: ArrayView2<f32>, c: &mut Array2<f32>) {
    for ((m, n), c) in c.indexed_iter_mut() {
        for k in 0..a.ncols() {
            *c = match kernel.is_fused() {
                true => a[[m, k]].mul_add(b[[k, n]], *c),
                false => *c + a[[m, k]] * b[[k, n]],
            };
        }
    }
}

fn bits(x: &Array2<f32>) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// [`check_stored`] in every type that B may be stored in.
fn check(kernel: &'static Kernel, m: usize, k: usize, n: usize, transposed: bool) {
    check_stored::<f32>(kernel, m, k, n, transposed);
    check_stored::<f16>(kernel, m, k, n, transposed);
    check_stored::<bf16>(kernel, m, k, n, transposed);
}

/// Multiplies with operands inside larger arrays whose rest is NaN: reading or writing beyond shows.
/// Against it stands the naive loop in f32 with B rounded.
fn check_stored<W: Stored<f32> + Into<f32>>(
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

    let mut packed = Packed::<f32, W>::zeros_stored_for(kernel, k, n);
    packed.pack(Array2::from_elem((k, n), f32::NAN).view());
    let turned = b.t().to_owned();
    packed.pack(if transposed { turned.t() } else { b.view() });
    let mut around_c = Array2::from_elem((m + 2, n + 5), f32::NAN);
    around_c.slice_mut(s![1..=m, 2..n + 2]).assign(&start);
    matmul_packed(a, &packed, around_c.slice_mut(s![1..=m, 2..n + 2]));

    let mut expected = start;
    naive(kernel, a, b.mapv(|x| W::round(x).into()).view(), &mut expected);
    let found = around_c.slice(s![1..=m, 2..n + 2]).to_owned();
    let what = format!("{}, {}: {m}x{k}x{n}", kernel.name(), type_name::<W>());
    assert_eq!(bits(&found), bits(&expected), "{what}");
    around_c.slice_mut(s![1..=m, 2..n + 2]).fill(f32::NAN);
    assert!(around_c.iter().all(|c| c.is_nan()), "{what} wrote beyond C");
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
fn check_every_number<W: Stored<f32> + Into<f32>>(number: fn(u16) -> W) {
    let one = Array2::ones((1, 1));
    let b = Array2::from_shape_fn((1, 1 << 16), |(_, n)| number(n as u16).into());
    for kernel in Kernel::available() {
        let mut packed = Packed::<f32, W>::zeros_stored_for(kernel, 1, b.ncols());
        packed.pack(b.view());
        let mut c = Array2::from_elem(b.dim(), -0.0_f32);
        matmul_packed(one.view(), &packed, c.view_mut());
        for (found, expected) in c.iter().zip(&b) {
            let same = found.to_bits() == expected.to_bits();
            assert!(same || found.is_nan() && expected.is_nan(), "{}: {expected}", kernel.name());
        }
    }
}

#[test]
fn every_number_of_16_bits_is_widened_exactly() {
    check_every_number(f16::from_bits);
    check_every_number(bf16::from_bits);
}

#[test]
fn all_fused_kernels_give_the_same_bits() {
    let (a, b) = (random(50, 300, 1), random(300, 155, 2));
    let mut results = Kernel::available().filter(|kernel| kernel.is_fused()).map(|kernel| {
        let mut packed = Packed::zeros_for(kernel, 300, 155);
        packed.pack(b.view());
        let mut c = random(50, 155, 3);
        matmul_packed(a.view(), &packed, c.view_mut());
        bits(&c)
    });
    if let Some(first) = results.next() {
        assert!(results.all(|other| other == first));
    }
}

#[test]
fn rows_alone_equal_rows_together() {
    let (a, b) = (random(50, 300, 4), random(300, 155, 5));
    let mut packed = Packed::zeros(300, 155);
    packed.pack(b.view());
    let mut together = Array2::zeros((50, 155));
    matmul_packed(a.view(), &packed, together.view_mut());
    for rows in [1, 2, 3, 4, 7, 25, 49] {
        let mut apart = Array2::zeros((50, 155));
        for (a, c) in
            a.axis_chunks_iter(Axis(0), rows).zip(apart.axis_chunks_iter_mut(Axis(0), rows))
        {
            matmul_packed(a, &packed, c);
        }
        assert_eq!(bits(&apart), bits(&together), "{rows} rows at a time");
    }
}

#[test]
#[should_panic(expected = "C [2, 4] = A [2, 3] · B [5, 4]")]
fn shapes_that_do_not_agree_are_named() {
    let packed = Packed::<f32>::zeros(5, 4);
    matmul_packed(Array2::zeros((2, 3)).view(), &packed, Array2::zeros((2, 4)).view_mut());
}

/// Rows in segments, as the shards hold them; each segment's rows are columns 1.. of its array.
struct Segments {
    arrays: Vec<Array2<f32>>,
    rows: usize,
}

impl Segments {
    fn cut(whole: &Array2<f32>, rows: usize) -> Self {
        let arrays = whole.axis_chunks_iter(Axis(0), rows).map(|part| {
            let mut array = Array2::from_elem((part.nrows(), part.ncols() + 2), f32::NAN);
            array.slice_mut(s![.., 1..part.ncols() + 1]).assign(&part);
            array
        });
        Self { arrays: arrays.collect(), rows }
    }
}

impl Rows<f32> for Segments {
    fn count(&self) -> usize {
        self.arrays.iter().map(|array| array.nrows()).sum()
    }
    fn width(&self) -> usize {
        self.arrays[0].ncols() - 2
    }
    fn row(&self, k: usize) -> &[f32] {
        let row = self.arrays[k / self.rows].row(k % self.rows).to_slice().unwrap();
        &row[1..row.len() - 1]
    }
}

#[test]
fn sums_over_rows_equal_the_naive_loop() {
    for kernel in Kernel::available() {
        for (k, m, n) in [
            (1, 1, 1),
            (5, 2, 3),
            (100, 13, 32),
            (257, 14, 33),
            (300, 31, 155),
            (20, 300, 40),
            (20, 40, 600),
            (1030, 27, 70),
        ] {
            let (x, dz, start) = (random(k, m, 6), random(k, n, 7), random(m, n, 8));
            let mut around = Array2::from_elem((m + 2, n + 3), f32::NAN);
            around.slice_mut(s![1..=m, 2..n + 2]).assign(&start);
            let mut around_db = vec![0.5_f32; n + 2];
            (around_db[0], around_db[n + 1]) = (f32::NAN, f32::NAN);
            accumulate_transposed_with(
                kernel,
                [(&Segments::cut(&x, 7), around.slice_mut(s![1..=m, 2..n + 2]))],
                &Segments::cut(&dz, 9),
                &mut around_db[1..=n],
            );
            let mut sums = vec![0.5; n];
            dz.rows()
                .into_iter()
                .for_each(|row| sums.iter_mut().zip(row).for_each(|(s, d)| *s += d));
            assert_eq!(around_db[1..=n], sums, "{}: db of {m}x{k}x{n}", kernel.name());
            assert!(around_db[0].is_nan() && around_db[n + 1].is_nan(), "wrote beyond db");
            let mut expected = start;
            naive(kernel, x.t(), dz.view(), &mut expected);
            let found = around.slice(s![1..=m, 2..n + 2]).to_owned();
            assert_eq!(bits(&found), bits(&expected), "{}: {m}x{k}x{n}", kernel.name());
            around.slice_mut(s![1..=m, 2..n + 2]).fill(f32::NAN);
            assert!(around.iter().all(|c| c.is_nan()), "{}: {m}x{k}x{n}", kernel.name());
        }
    }
}

#[test]
fn sums_that_share_dz_equal_sums_apart() {
    let dz = Segments::cut(&random(300, 155, 1), 20);
    let [x, y] = [(40, 2), (150, 3)].map(|(m, seed)| Segments::cut(&random(300, m, seed), 50));
    let (mut of_x, mut of_y) = (random(40, 155, 4), random(150, 155, 5));
    let (mut of_x_alone, mut of_y_alone) = (of_x.clone(), of_y.clone());
    let mut db = vec![0.0; 155];
    accumulate_transposed([(&x, of_x.view_mut()), (&y, of_y.view_mut())], &dz, &mut db);
    accumulate_transposed([(&x, of_x_alone.view_mut())], &dz, &mut db);
    accumulate_transposed([(&y, of_y_alone.view_mut())], &dz, &mut db);
    assert_eq!(bits(&of_x), bits(&of_x_alone));
    assert_eq!(bits(&of_y), bits(&of_y_alone));
}

/// dZ as wide as X together or wider, and narrower: the work is split along columns and along rows.
#[test]
fn sums_over_rows_do_not_depend_on_the_number_of_threads() {
    for (n, m) in [(1100, [530, 300]), (155, [530, 300]), (70, [20, 31])] {
        let dz = Segments::cut(&random(400, n, 10), 50);
        let xs = m.map(|m| Segments::cut(&random(400, m, 9), 50));
        let results = [1, 2, 3, 5, 64].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut dw = m.map(|m| Array2::zeros((m, n)));
            let [first, second] = dw.each_mut().map(|dw| dw.view_mut());
            let products: [(&dyn Rows<f32>, _); 2] = [(&xs[0], first), (&xs[1], second)];
            let mut db = vec![1.0; n];
            pool.install(|| accumulate_transposed(products, &dz, &mut db));
            (dw.map(|dw| bits(&dw)), db)
        });
        assert!(results.iter().all(|result| *result == results[0]), "{n} columns");
    }
}

#[test]
fn f64_products_are_exact_on_small_integers() {
    let a = Array2::from_shape_fn((5, 7), |(m, k)| (m * 7 + k) as f64);
    let b = Array2::from_shape_fn((7, 9), |(k, n)| (k * 9 + n) as f64 - 20.0);
    let mut packed = Packed::zeros(7, 9);
    packed.pack(b.view());
    let mut c = Array2::from_elem((5, 9), 1.0);
    let view: ArrayViewMut2<f64> = c.view_mut();
    matmul_packed(a.view(), &packed, view);
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
fn the_kernel_in_use_is_the_first_available() {
    assert_eq!(kernel_name(), Kernel::available().next().unwrap().name());
}
