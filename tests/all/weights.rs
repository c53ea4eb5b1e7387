//! Weights in 16 and 8 bits: what a generator with them writes is what the rounded network writes, to the bit.

use half::{bf16, f16};
use karenina::error::Error;
use karenina::evaluate::evaluate;
use karenina::math::matmul::Storage;
use karenina::model::{Initialisation, Parameters, Sizes, Tensor};
use karenina::sample::Generator;
use ndarray::{Array2, ArrayViewMut2};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const SMALL: [Storage; 3] = [Storage::F16, Storage::Bf16, Storage::I8];

/// Parameters none of which is zero.
fn random(sizes: Sizes) -> Parameters<f32> {
    let mut rng = Pcg64::seed_from_u64(sizes.hidden as u64);
    let mut parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    for tensor in parameters.tensors_mut() {
        tensor.fill_with(|| rng.random_range(-0.7..0.7));
    }
    parameters
}

/// The bits of all logits while `generator` reads `rows` texts of ten characters.
fn logits(mut generator: Generator<f32>, rows: usize, vocabulary: usize) -> Vec<u32> {
    let step = |t: usize| {
        let ids: Vec<_> = (0..rows).map(|row| ((7 * t + 3 * row) % vocabulary) as u32).collect();
        generator.step(&ids).iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    (0..10).flat_map(step).collect()
}

#[test]
fn a_generator_with_weights_in_fewer_bits_is_the_generator_of_the_rounded_network() {
    for (hidden, layers, vocabulary) in [(1, 1, 2), (13, 2, 9), (64, 3, 33), (131, 2, 155)] {
        let parameters = random(Sizes::new(vocabulary, hidden, layers));
        for weights in Storage::ALL {
            let rounded = parameters.clone().rounded(weights).unwrap();
            for rows in [1, 2, 3, 5, 14] {
                let stored = Generator::stored_in(&parameters, rows, weights).unwrap();
                let expected = logits(Generator::new(&rounded, rows), rows, vocabulary);
                let found = logits(stored, rows, vocabulary);
                assert!(found == expected, "{weights}, {rows} rows, H = {hidden}");
            }
        }
    }
}

#[test]
fn a_text_that_several_threads_write_together_has_the_bits_of_one() {
    let parameters = random(Sizes::new(33, 272, 2).with_cell_norm(true));
    for weights in Storage::ALL {
        let on = |threads| {
            let generator = Generator::stored_in(&parameters, 2, weights).unwrap();
            logits(generator.on_threads(threads), 2, 33)
        };
        let one = on(1);
        for threads in [2, 3, 64] {
            assert!(on(threads) == one, "{weights}, {threads} threads");
        }
    }
}

/// Rounds a matrix of so many `columns`, by the definition of each type.
fn naively_rounded(weights: Storage, numbers: &[f32], columns: usize) -> Vec<f32> {
    let mut rounded = numbers.to_vec();
    for (i, x) in rounded.iter_mut().enumerate() {
        let column = numbers.iter().skip(i % columns).step_by(columns);
        let scale = column.fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0;
        *x = match weights {
            Storage::F16 => f16::from_f32(*x).to_f32(),
            Storage::Bf16 => bf16::from_f32(*x).to_f32(),
            Storage::I8 => (*x / scale).round_ties_even() * scale,
            _ => *x,
        };
    }
    rounded
}

#[test]
fn what_is_multiplied_is_rounded_and_nothing_else() {
    let sizes = Sizes::new(9, 13, 2);
    let parameters = random(sizes);
    assert_eq!(parameters.clone().rounded(Storage::F32).unwrap(), parameters);
    for weights in SMALL {
        let rounded = parameters.clone().rounded(weights).unwrap();
        let tensors = parameters.tensors().zip(rounded.tensors()).zip(sizes.tensors());
        for ((before, after), Tensor { name, shape, .. }) in tensors {
            let is_multiplied = ["w_hh_l0", "w_ih_l1", "w_hh_l1", "projection.w"].contains(&&*name);
            let kind = if is_multiplied { weights } else { Storage::F32 };
            let expected = naively_rounded(kind, before, shape[shape.len() - 1]);
            assert_eq!(after, expected, "{weights}: {name}");
            assert_eq!(after != before, is_multiplied, "{weights}: {name}");
        }
    }
}

/// `x` rounded by itself.
fn round(weights: Storage, mut x: f32) -> f32 {
    weights.round(ArrayViewMut2::from_shape((1, 1), std::slice::from_mut(&mut x)).unwrap());
    x
}

/// Between any two neighbours a and b of a type the nearer wins; in the middle the one whose last bit is 0.
fn check_rounding(weights: Storage, finite: u16, number: fn(u16) -> f32) {
    for bits in 0..finite {
        let (a, b) = (number(bits), number(bits + 1));
        let middle = ((f64::from(a) + f64::from(b)) / 2.0) as f32;
        let even = if bits % 2 == 0 { a } else { b };
        let cases = [(a, a), (middle.next_down(), a), (middle, even), (middle.next_up(), b)];
        for (x, expected) in cases {
            assert_eq!(round(weights, x).to_bits(), expected.to_bits(), "{weights}: {x:e}");
            assert_eq!(round(weights, -x).to_bits(), (-expected).to_bits(), "{weights}: -{x:e}");
        }
    }
}

#[test]
fn rounding_is_to_nearest_even() {
    check_rounding(Storage::F16, f16::MAX.to_bits(), |bits| f16::from_bits(bits).to_f32());
    check_rounding(Storage::Bf16, bf16::MAX.to_bits(), |bits| bf16::from_bits(bits).to_f32());
}

#[test]
fn whole_numbers_are_rounded_to_nearest_even_in_units_of_a_127th_of_the_columns_largest() {
    let columns = [
        ([127.0, 0.5, -0.5, 1.5, -2.5, 126.5], [127.0, 0.0, 0.0, 2.0, -2.0, 126.0]),
        ([-2.0, 2.0, 1.0 / 127.0, 0.99 / 127.0, 0.0, -0.0], [-2.0, 2.0, 0.0, 0.0, 0.0, 0.0]),
        ([0.0; 6], [0.0; 6]),
        // Units below the smallest normal number would not be precise.
        ([1e-45, -1e-39, 2e-38, 0.0, 0.0, 0.0], [0.0, 0.0, 2.0 * f32::MIN_POSITIVE, 0.0, 0.0, 0.0]),
    ];
    for (numbers, expected) in columns {
        let mut column = Array2::from_shape_vec((6, 1), numbers.to_vec()).unwrap();
        Storage::I8.round(column.view_mut());
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(column.as_slice().unwrap()), bits(&expected), "{numbers:?}");
    }
    assert!(round(Storage::I8, f32::MAX).is_finite() && round(Storage::I8, f32::MIN) < -3.4e38);
}

#[test]
fn a_weight_that_is_not_finite_is_refused_by_8_bits() {
    let mut parameters = random(Sizes::new(9, 13, 2));
    parameters.lstm_mut(1).b[0] = f32::INFINITY; // stays in f32
    assert!(parameters.require_range(Storage::I8).is_ok());
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        parameters.projection_mut().w[[2, 1]] = wrong;
        let refused = Generator::stored_in(&parameters, 1, Storage::I8).err().unwrap();
        assert_eq!(
            refused.to_string(),
            format!(
                "storage is i8, but must be f32, f16 or bf16, since projection.w has a weight of {wrong:?} \
                 and i8 holds only finite numbers"
            )
        );
        assert!(parameters.clone().rounded(Storage::I8).is_err());
    }
}

#[test]
fn a_weight_beyond_the_range_is_refused_and_never_infinite() {
    let sizes = Sizes::new(9, 13, 2);
    let mut parameters = random(sizes);
    parameters.lstm_mut(0).w_ih[[3, 4]] = 1e30; // gathered, so it stays in f32
    parameters.lstm_mut(1).w_hh[[5, 6]] = -65519.0; // the last that rounds to 65504
    assert!(Generator::stored_in(&parameters, 1, Storage::F16).is_ok());

    parameters.lstm_mut(1).w_hh[[5, 6]] = -65520.0;
    let refused = Generator::stored_in(&parameters, 1, Storage::F16).err().unwrap();
    assert!(refused.is_usage());
    assert_eq!(
        refused.to_string(),
        "storage is f16, but must be f32, bf16 or i8, since w_hh_l1 has a weight of -65520.0 \
         and f16 ends at 65504.0"
    );
    assert!(matches!(parameters.clone().rounded(Storage::F16), Err(Error::Setting { .. })));
    assert!(Generator::stored_in(&parameters, 1, Storage::Bf16).is_ok());

    parameters.projection_mut().w[[0, 0]] = f32::MAX;
    let refused = parameters.require_range(Storage::Bf16).unwrap_err().to_string();
    assert!(
        refused.contains("must be f32 or i8, since projection.w has a weight of 3.4"),
        "{refused}"
    );
    assert!(parameters.require_range(Storage::F32).is_ok());
}

#[test]
fn the_loss_in_quality_is_small_and_with_16_bits_grows_with_the_rounding() {
    let sizes = Sizes::new(9, 64, 2);
    let mut rng = Pcg64::seed_from_u64(1);
    let parameters = Parameters::initial(sizes, Initialisation::Glorot, &mut rng);
    let ids: Vec<u32> = (0..500_u32).map(|i| i * i % 11 % 9).collect();
    let nats = |weights| {
        evaluate(
            &parameters.clone().rounded(weights).unwrap(),
            &ids.iter().copied().collect(),
            1,
            1,
        )
        .nats
    };
    let whole = nats(Storage::F32);
    let [half, brain, eighth] = SMALL.map(|weights| (nats(weights) - whole).abs());
    assert!(half > 0.0 && half < brain && brain < 0.01, "{whole}: {half}, {brain}");
    assert!(eighth > 0.0 && eighth < 0.01, "{whole}: {eighth}");
}

#[test]
fn names_are_read_back() {
    for weights in Storage::ALL {
        assert_eq!(weights.to_string().parse::<Storage>().unwrap(), weights);
    }
    assert_eq!(
        "f8".parse::<Storage>().unwrap_err().to_string(),
        "storage is f8, but must be f32, f16, bf16 or i8"
    );
}
