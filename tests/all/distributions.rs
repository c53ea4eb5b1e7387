//! Statistics of what is random: initial weights, dropout masks, sampled characters.

use karenina::layers::dropout::Dropout;
use karenina::math::init::{glorot_limit, truncated_normal};
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::sample::Picker;
use ndarray::ArrayView1;
use rand::SeedableRng;
use rand_pcg::Pcg64;

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

/// The standard deviation of a standard normal cut at ±2: √(1 − 2·2·φ(2)/(2Φ(2) − 1)).
const CUT_SD: f64 = 0.879_625_661_034_239_8;

#[test]
fn truncated_normal_has_the_mean_and_spread_of_the_formula() {
    let mut rng = Pcg64::seed_from_u64(1);
    let values: Vec<f64> = (0..200_000).map(|_| truncated_normal(0.1, &mut rng)).collect();
    let (mean, sd) = moments(&values);
    assert!(mean.abs() < 1e-3, "mean {mean}");
    assert!((sd / (0.1 * CUT_SD) - 1.0).abs() < 0.005, "sd {sd}");
    let largest = values.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    assert!(largest <= 0.2 && largest > 0.199, "the cut lies at two sd: {largest}");
    // Between one and two sd lie 28.5 % of the cut distribution, not a heap at the ends.
    let outer = values.iter().filter(|x| x.abs() > 0.1).count() as f64 / 200_000.0;
    assert!((outer - 0.2847).abs() < 0.005, "{outer}");
}

#[test]
fn glorot_uniform_fills_its_interval() {
    let mut rng = Pcg64::seed_from_u64(2);
    let limit = glorot_limit(300, 400);
    assert!((limit - (6.0f64 / 700.0).sqrt()).abs() < 1e-15);
    let p = Parameters::<f64>::initial(Sizes::new(200, 100, 1), Initialisation::Glorot, &mut rng);
    for values in [p.lstm(0).w_ih, p.lstm(0).w_hh] {
        let (mean, sd) = moments(values.as_slice().unwrap());
        assert!(mean.abs() < 1e-3, "mean {mean}");
        assert!((sd / (limit / 3f64.sqrt()) - 1.0).abs() < 0.01, "sd {sd}");
        assert!(values.iter().all(|x| x.abs() <= limit));
    }
}

#[test]
fn a_fresh_network_starts_as_the_article_says() {
    let sizes = Sizes::new(30, 64, 2);
    let mut rng = Pcg64::seed_from_u64(3);
    let p = Parameters::<f32>::initial(sizes, Initialisation::Glorot, &mut rng);
    for l in 0..2 {
        let lstm = p.lstm(l);
        let limit = glorot_limit(sizes.input(l) + 64, 256) as f32;
        assert!(lstm.w_ih.iter().chain(&lstm.w_hh).all(|w| w.abs() <= limit));
        let expected = |k: usize| if k / 64 == 1 { 1.0 } else { 0.0 };
        assert!(lstm.b.iter().enumerate().all(|(k, &b)| b == expected(k)), "forget bias 1");
    }
    let (_, sd) = moments(&p.projection().w.iter().map(|&w| f64::from(w)).collect::<Vec<_>>());
    assert!((sd / (0.1 * CUT_SD) - 1.0).abs() < 0.05, "{sd}");
    assert!(p.projection().b.iter().all(|&b| b == 0.0));
}

#[test]
fn input_weights_that_are_drawn_anew_have_their_spread_and_nothing_else_changes() {
    let mut rng = Pcg64::seed_from_u64(4);
    let before =
        Parameters::<f64>::initial(Sizes::new(60, 64, 2), Initialisation::Glorot, &mut rng);
    let mut after = before.clone();
    after.set_input_weights(0.5, &mut rng);
    let (mean, sd) = moments(after.lstm(0).w_ih.as_slice().unwrap());
    assert!(mean.abs() < 0.02, "mean {mean}");
    assert!((sd / (0.5 * CUT_SD) - 1.0).abs() < 0.02, "sd {sd}");
    after.lstm_mut(0).w_ih.assign(&before.lstm(0).w_ih);
    assert_eq!(after, before);
}

#[test]
fn dropout_keeps_the_asked_share_and_the_mean() {
    for keep in [0.5, 0.8] {
        let dropout = Dropout { keep, seed: 9, step: 17 };
        let mut kept = 0;
        let mut sum = 0.0;
        for position in 0..1000 {
            let mut row = [1.0f64; 200];
            dropout.apply(1, position, &mut row);
            kept += row.iter().filter(|&&x| x != 0.0).count();
            sum += row.iter().sum::<f64>();
        }
        let n = 200_000.0;
        let deviation = (keep * (1.0 - keep) / n).sqrt();
        assert!((kept as f64 / n - keep).abs() < 5.0 * deviation, "{kept}");
        assert!((sum / n - 1.0).abs() < 5.0 * deviation / keep, "{sum}");
    }
}

#[test]
fn dropout_masks_differ_by_step_layer_position_and_seed_and_never_otherwise() {
    let mask = |seed, step, layer, position| {
        let mut row = [1.0f32; 128];
        Dropout { keep: 0.5, seed, step }.apply(layer, position, &mut row);
        row
    };
    let base = mask(1, 2, 0, 3);
    assert_eq!(base, mask(1, 2, 0, 3));
    for other in [mask(2, 2, 0, 3), mask(1, 3, 0, 3), mask(1, 2, 1, 3), mask(1, 2, 0, 4)] {
        assert_ne!(base, other);
    }
}

/// How often each character is drawn in 100,000 tries.
fn counts(picker: Picker, logits: &[f64]) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(4);
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..100_000 {
        counts[picker.pick(ArrayView1::from(logits), &mut rng) as usize] += 1.0;
    }
    counts
}

/// Pearson's statistic of `counts` against `p`, and its 99.9 % limit for as many classes.
#[track_caller]
fn assert_distribution(counts: &[f64], p: &[f64]) {
    let classes = p.iter().filter(|&&p| p > 0.0).count();
    let total: f64 = counts.iter().sum();
    let chi_squared: f64 = counts
        .iter()
        .zip(p)
        .map(|(&n, &p)| match p > 0.0 {
            true => (n - total * p).powi(2) / (total * p),
            false => {
                assert_eq!(n, 0.0, "a character that must not be drawn");
                0.0
            }
        })
        .sum();
    let limit = [0.0, 10.8, 13.8, 16.3, 18.5, 20.5, 22.5][classes - 1];
    assert!(chi_squared < limit, "χ² {chi_squared} of {counts:?} against {p:?}");
}

fn softmax(logits: &[f64], temperature: f64, allowed: &[usize]) -> Vec<f64> {
    let mut p = vec![0.0; logits.len()];
    for &k in allowed {
        p[k] = (logits[k] / temperature).exp();
    }
    let sum: f64 = p.iter().sum();
    p.iter().map(|p| p / sum).collect()
}

const LOGITS: [f64; 7] = [0.3, 2.0, -1.0, 1.1, 0.4, -0.2, 1.9];

#[test]
fn the_top_n_are_drawn_in_proportion() {
    let picker = Picker::default().with_top_n(3);
    assert_distribution(&counts(picker, &LOGITS), &softmax(&LOGITS, 1.0, &[1, 6, 3]));
}

#[test]
fn top_0_draws_from_all() {
    let picker = Picker::default().with_top_n(0);
    let all: Vec<usize> = (0..7).collect();
    assert_distribution(&counts(picker, &LOGITS), &softmax(&LOGITS, 1.0, &all));
}

#[test]
fn temperature_divides_the_logits() {
    let picker = Picker::default().with_top_n(4).with_temperature(0.5);
    assert_distribution(&counts(picker, &LOGITS), &softmax(&LOGITS, 0.5, &[1, 6, 3, 4]));
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_it() {
    // p = 0.33, 0.30, 0.13, …: two characters reach 0.6, three 0.7.
    let picker = |top_p| Picker::default().with_top_n(0).with_top_p(top_p);
    assert_distribution(&counts(picker(0.6), &LOGITS), &softmax(&LOGITS, 1.0, &[1, 6]));
    assert_distribution(&counts(picker(0.7), &LOGITS), &softmax(&LOGITS, 1.0, &[1, 6, 3]));
}

#[test]
fn top_1_is_the_most_probable_character() {
    let picker = Picker::default().with_top_n(1);
    assert_eq!(counts(picker, &LOGITS)[1], 100_000.0);
}

#[test]
fn a_temperature_is_0_or_divides_a_logit_by_no_less_than_a_millionth() {
    for (temperature, holds) in [(0.0, true), (1e-6, true), (1e-7, false), (1e-320, false)] {
        let picker = Picker::default().with_temperature(temperature);
        assert_eq!(picker.validate().is_ok(), holds, "{temperature}");
    }
}

#[test]
fn temperature_0_takes_the_most_probable_character_of_equals_the_first_without_drawing() {
    let picker = Picker::default().with_top_n(0).with_temperature(0.0);
    picker.validate().unwrap();
    let mut rng = Pcg64::seed_from_u64(4);
    let untouched = rng.clone();
    assert_eq!(picker.pick(ArrayView1::from(&LOGITS), &mut rng), 1);
    assert_eq!(picker.pick(ArrayView1::from(&[0.5, 2.0, -1.0, 2.0]), &mut rng), 1);
    assert_eq!(rng, untouched);
}
