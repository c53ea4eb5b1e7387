//! What the lab shows is what the trace, the gradient check and the generator say.

use std::sync::Arc;

use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::sample::{Generator, Picker};
use karenina::study::lab::{Draw, Quantity, Reader, Walk, Weight};
use karenina::study::profile::Profile;
use karenina::study::report::{curves, flow};
use karenina::study::trace::{Spot, View, significant, trace};
use karenina::text::corpus::Corpus;
use karenina::train::{LogRow, TrainConfig};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const SIZES: Sizes = Sizes::new(4, 5, 2);
const VOCABULARY: [char; 4] = [' ', 'a', 'n', 'я'];
const IDS: [u32; 10] = [3, 2, 0, 1, 1, 2, 3, 0, 2, 1];

fn parameters() -> Arc<Parameters<f64>> {
    let mut rng = Pcg64::seed_from_u64(5);
    let mut parameters = Parameters::initial(SIZES, Initialisation::TruncatedNormal(0.7), &mut rng);
    parameters.set_input_weights(1.0, &mut rng);
    Arc::new(parameters)
}

fn walk() -> Walk {
    Walk::new(parameters(), &VOCABULARY, IDS.to_vec()).unwrap()
}

#[test]
fn a_walk_shows_what_a_trace_shows() {
    let (walk, spot) = (walk(), Spot { step: 4, layer: 1, unit: 3 });
    let view = View { unit: Some(3), spot: Some(spot), ..View::default() };
    let trace = trace(&parameters(), &VOCABULARY, &IDS, view).unwrap();
    assert_eq!(walk.equations(spot).unwrap(), trace.equations);
    assert_eq!(walk.loss(), trace.nats);
    for (t, (found, step)) in walk.text().iter().zip(&trace.steps).enumerate() {
        assert_eq!((found.character, found.next), (step.character, step.next));
        assert_eq!(found.bits, step.bits);
        for (l, layer) in step.layers.iter().enumerate() {
            let unit = layer.unit.unwrap();
            let [i, f, g, o] = unit.dz;
            let all =
                [unit.i, unit.f, unit.g, unit.o, unit.c, unit.h, unit.dh, unit.dc, i, f, g, o];
            for (quantity, expected) in Quantity::ALL.into_iter().zip(all) {
                let values = walk.values(l, quantity, 3..4, t..t + 1).unwrap();
                assert_eq!(values, [[expected]], "{quantity:?} of layer {l} at step {t}");
            }
        }
    }
    let squares: f64 = trace.tensors.iter().map(|tensor| tensor.norm * tensor.norm).sum();
    let norms = walk.norms();
    let names: Vec<&str> = norms.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["layer 0", "layer 1", "projection"]);
    let found: f64 = norms.iter().map(|layer| layer.norm * layer.norm).sum();
    assert!((found - squares).abs() < 1e-12 * squares);
}

#[test]
fn the_last_character_reaches_as_far_as_in_a_trace_and_no_loss_reaches_ahead() {
    let walk = walk();
    let last = walk.steps() - 1;
    let found = walk.reach(last, 4).unwrap();
    assert_eq!(found.first, 8);
    for (lag, reach) in
        trace(&parameters(), &VOCABULARY, &IDS, View::default()).unwrap().reach.iter().enumerate()
    {
        for (l, layer) in found.layers.iter().enumerate() {
            assert_eq!((layer.dh[last - lag], layer.dc[last - lag]), (reach.dh[l], reach.dc[l]));
        }
    }
    let layer = &found.layers[0];
    let share = layer.dh[..8].iter().sum::<f64>() / layer.dh.iter().sum::<f64>();
    assert_eq!(layer.dh_cut, share);
    // A step in the middle: what follows it changes nothing.
    let shorter = Walk::new(parameters(), &VOCABULARY, IDS[..6].to_vec()).unwrap();
    assert_eq!(walk.reach(4, 100).unwrap(), shorter.reach(4, 100).unwrap());
    assert_eq!(walk.reach(4, 100).unwrap().layers[1].dc_cut, 0.0);
    assert!(walk.reach(last + 1, 4).is_err() && walk.reach(0, 0).is_err());
}

#[test]
fn a_weight_that_is_moved_changes_the_loss_as_its_gradient_says() {
    let walk = walk();
    for tensor in ["w_ih_l0", "w_hh_l1", "b_l0", "projection.w"] {
        let row = if tensor == "b_l0" { 0 } else { 2 };
        let weight = Weight { tensor: tensor.into(), row, column: 1 };
        let slope = walk.slope(&weight).unwrap();
        let part = walk.weights(tensor, row..row + 1, 1..2).unwrap();
        assert_eq!((part.values[0][0], part.gradients[0][0]), (slope.weight, slope.gradient));
        let nudges = walk.nudges(&weight, &[0.0, 1e-3, -1e-3]).unwrap();
        assert_eq!(nudges[0].epsilon, 0.0);
        assert!((nudges[0].loss - walk.loss()).abs() < 1e-14);
        for nudge in &nudges[1..] {
            assert_eq!(nudge.line, slope.loss + nudge.epsilon * slope.gradient);
            assert!(nudge.difference.abs() < 1e-6, "{tensor}: {nudge:?}");
        }
        let differences = walk.differences(&weight, &[1e-1, 1e-4, 1e-12]).unwrap();
        let errors: Vec<f64> = differences.iter().map(|d| d.error).collect();
        assert!(errors[1] < 1e-9, "{tensor}: {errors:?}");
        assert!(
            errors[0] > errors[1] && errors[2] > errors[1],
            "curvature and rounding: {errors:?}"
        );
    }
    let nowhere = |tensor: &str, row, column| Weight { tensor: tensor.into(), row, column };
    for weight in [nowhere("w", 0, 0), nowhere("b_l0", 1, 0), nowhere("w_hh_l0", 0, 20)] {
        assert!(walk.slope(&weight).is_err(), "{weight:?}");
    }
}

#[test]
fn a_text_in_pieces_is_that_of_one_go_and_of_the_generator() {
    let parameters = parameters();
    let picker = Picker::default().with_top_n(3).with_temperature(0.8);
    let draw = |drawn| Draw { picker, seed: 9, drawn };
    let mut whole = Reader::empty(&parameters);
    let all = whole.go_on(&parameters, &IDS[..3], 20, draw(0));
    let mut pieces = Reader::empty(&parameters);
    let mut written = pieces.go_on(&parameters, &IDS[..2], 0, draw(0));
    written.extend(pieces.go_on(&parameters, &IDS[2..3], 7, draw(0)));
    let mut branch = pieces.clone();
    written.extend(branch.go_on(&parameters, &[], 13, draw(7)));
    assert_eq!(written, all);
    assert_eq!(branch, whole);

    let mut generator = Generator::new(&parameters, 1);
    generator.read(&IDS[..3]);
    let mut rng = Pcg64::seed_from_u64(9);
    for found in &all {
        let id = picker.pick(generator.logits().row(0), &mut rng);
        assert_eq!(found.id, id);
        generator.step(&[id]);
    }
    let next = whole.next(picker);
    assert!((next.iter().map(|c| c.probability).sum::<f64>() - 1.0).abs() < 1e-14);
    assert!((next.iter().map(|c| c.drawn).sum::<f64>() - 1.0).abs() < 1e-14);
    assert_eq!(next.iter().filter(|c| c.drawn > 0.0).count(), 3);
    let certain = whole.next(picker.with_temperature(0.0));
    assert_eq!((certain[0].drawn, certain[1].drawn), (1.0, 0.0));
}

#[test]
fn cells_of_a_span_are_its_means_inside_and_outside() {
    let walk = walk();
    let contrast = walk.contrast(2..4, 3).unwrap();
    assert_eq!(contrast.cells.len(), 3);
    for cell in &contrast.cells {
        let values = walk.cell(cell.layer, cell.unit).unwrap();
        let inside = (values[2] + values[3]) / 2.0;
        let outside = (values[..2].iter().sum::<f64>() + values[4..].iter().sum::<f64>()) / 7.0;
        assert!((cell.inside - inside).abs() < 1e-15 && (cell.outside - outside).abs() < 1e-15);
        assert_eq!(cell.difference, cell.inside - cell.outside);
    }
    assert!(contrast.cells.is_sorted_by(|a, b| a.difference >= b.difference));
    assert!(contrast.similar.iter().all(|place| place.to <= 2 || place.from >= 4));
    for span in [3..3, 0..9, 5..10] {
        assert!(walk.contrast(span.clone(), 3).is_err(), "{span:?}");
    }
}

#[test]
fn zero_of_anything_gives_a_result_or_a_sentence() {
    let parameters = parameters();
    assert_eq!(Reader::empty(&parameters).next(Picker::default()), []);
    assert_eq!(curves(&[LogRow::default(); 3], 5.0, 0).stretches.len(), 1);
    assert_eq!(flow(&parameters.cast(), &IDS, 0, 0).medians(0), [1.0]);
    assert_eq!(significant(1.2e-9, 0), "1e-9");
    let measured = Profile::measure(&Corpus::embedded(), TrainConfig::quick(), 1, Some(0));
    assert_eq!(measured.unwrap_err().to_string(), "steps is 0, but must be at least 1");
}
