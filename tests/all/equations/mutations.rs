//! The comparison with the reference sees every mistake: a copy of `src/reference.rs` with one mistake in
//! its text (`tests/mutants`) disagrees with the engine.
//!
//! Had the engine made the mistake instead, the same comparison would have failed. The list, in words,
//! is in `docs/testing.md`.

use karenina::model::{Parameters, Sizes};
use karenina::optim::schedule::Schedule;

use crate::equations::case::{Engine, Problem};
use crate::equations::compare::agree;
use crate::equations::mutant::run_mutant;
use crate::equations::reference::{self, Step};

/// The names of all quantities in which the reference and the engine differ.
pub fn disagreements(sizes: Sizes, reference: &Step, engine: &Engine) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, reference: &[f64], engine: &[f64]| {
        if !agree(reference, engine) {
            found.push(name.to_string());
        }
    };
    for (name, ours, theirs) in
        [("p", &reference.p, &engine.p), ("dlogits", &reference.dlogits, &engine.dlogits)]
    {
        compare(name, ours.as_slice().unwrap(), theirs.as_slice().unwrap());
    }
    compare("losses", reference.losses.as_slice().unwrap(), engine.losses.as_slice().unwrap());
    compare("loss", &[reference.loss], &[engine.loss]);
    for (l, (ours, theirs)) in reference.layers.iter().zip(&engine.layers).enumerate() {
        for (name, ours, theirs) in [
            ("gates", ours.gates.as_slice(), theirs.gates.as_slice()),
            ("c", ours.c.as_slice(), theirs.c.as_slice()),
            ("h", ours.h.as_slice(), theirs.h.as_slice()),
            ("y", ours.y.as_slice(), theirs.y.as_slice()),
            ("dz", ours.dz.as_slice(), theirs.dz.as_slice()),
            ("dh_0", ours.dh_0.as_slice(), engine.state_gradient.h[l].as_slice()),
            ("dc_0", ours.dc_0.as_slice(), engine.state_gradient.c[l].as_slice()),
        ] {
            compare(&format!("{name} of layer {l}"), ours.unwrap(), theirs.unwrap());
        }
    }
    compare("norm", &[reference.norm], &[engine.norm]);
    let mut compare_all = |what: &str, ours: &Parameters<f64>, theirs: &Parameters<f64>| {
        let tensors = ours.tensors().zip(theirs.tensors());
        for (name, (ours, theirs)) in sizes.tensors().map(|t| t.name).zip(tensors) {
            compare(&format!("{what} of {name}"), ours, theirs);
        }
    };
    compare_all("gradient", &reference.gradients, &engine.gradients);
    compare_all("clipped gradient", &reference.clipped, &engine.clipped);
    compare_all("m", &reference.m, &engine.adam.m);
    compare_all("v", &reference.v, &engine.adam.v);
    compare_all("update", &reference.parameters, &engine.parameters);
    found
}

#[test]
fn without_a_mutation_reference_and_engine_agree() {
    for problem in [Problem::shared(), Problem::normalised()] {
        let (reference, engine) = (reference::run(&problem), Engine::run(&problem));
        let found = disagreements(problem.sizes(), &reference, &engine);
        assert!(found.is_empty(), "{found:?}");
    }
}

/// Fails unless the comparison sees the mistake in `step`, and sees it first in a quantity whose name begins
/// with `first`.
#[track_caller]
fn assert_caught(problem: &Problem, mistake: &str, step: &Step, first: &str) {
    let found = disagreements(problem.sizes(), step, &Engine::run(problem));
    match found.first() {
        None => panic!("{mistake} goes unnoticed"),
        Some(name) => assert!(name.starts_with(first), "{mistake} seen in {found:?}"),
    }
}

/// A test for each equation: its mutations, on which problem, and where the comparison sees them first.
macro_rules! caught {
    ($problem:ident: $($test:ident: $first:literal, $($mutation:ident),+;)+) => {$(
        #[test]
        fn $test() {
            let problem = Problem::$problem();
            $(
                let step = run_mutant!($mutation, &problem);
                assert_caught(&problem, stringify!($mutation), &step, $first);
            )+
        }
    )+};
}

caught! {
    shared:
    mutation_of_b1_is_caught: "dlogits", B1KeepsTheTarget, B1SumsInsteadOfAveraging;
    mutation_of_b2_is_caught: "norm", B2ReadsHInsteadOfY;
    mutation_of_b3_is_caught: "norm", B3AssignsInsteadOfAdding;
    mutation_of_b4_is_caught: "dz", B4LosesTheLastCharacter;
    mutation_of_b5_is_caught: "dz", B5ForgetsTheScale;
    mutation_of_b6_is_caught: "dz", B6LosesTheStepAfter, B6LosesTheLayerAbove;
    mutation_of_b7_is_caught: "dz", B7ForgetsTanh;
    mutation_of_b8_is_caught: "dz", B8LosesTheStepAfter, B8ForgetsTheSlopeOfTanh;
    mutation_of_b9_is_caught: "dz", B9HasTheWrongSign;
    mutation_of_b10_is_caught: "dz", B10ReadsTheNewCell;
    mutation_of_b11_is_caught: "dz", B11ReadsTheForgetGate;
    mutation_of_b12_is_caught: "dz", B12ForgetsTheForgetGate;
    mutation_of_b13_is_caught: "dz", B13LosesOneMinusI;
    mutation_of_b14_is_caught: "dz", B14HasTheWrongSign;
    mutation_of_b15_is_caught: "dz", B15ForgetsTheSquare;
    mutation_of_b16_is_caught: "dz", B16TakesTheSlopeOfTanh;
    mutation_of_b17_is_caught: "norm", B17AssignsInsteadOfAdding;
    mutation_of_b18_is_caught: "norm", B18ReadsTheNewOutput;
    mutation_of_b19_is_caught: "norm", B19OverwritesRepeatedCharacters;
    mutation_of_b20_is_caught: "dz", B20LosesTheOutputGate;
    mutation_of_b21_is_caught: "dc_0", B21StopsOneStepEarly;
    mutation_of_u1_is_caught: "norm", U1AddsMagnitudesInsteadOfSquares;
    mutation_of_u2_is_caught: "clipped gradient", U2ClipsEachNumberAlone;
    mutation_of_u3_is_caught: "m", U3ForgetsOneMinusBeta;
    mutation_of_u4_is_caught: "v", U4ForgetsTheSquare;
    mutation_of_u5_is_caught: "update", U5CorrectsNothing;
    mutation_of_u6_is_caught: "update", U6PutsEpsilonUnderTheRoot;
    mutation_of_u8_is_caught: "update", U8TakesTheSameOffAll, U8ForgetsTheLearningRate;
}

caught! {
    normalised:
    mutation_of_b22_is_caught: "dz", B22ForgetsThatEachCellIsInTheRoot, B22ForgetsTheRoot;
}

/// Whether the engine's rate is that of `reference`, a function like [`karenina::reference::learning_rate`].
fn rates_agree(reference: fn(f64, f64, (f64, f64), f64) -> f64) -> bool {
    let engine = Schedule::new(3, Some((8, 20)));
    let steps: Vec<u64> = (0..25).collect();
    let expected = steps.iter().map(|&step| reference(0.01, 3.0, (8.0, 20.0), step as f64));
    let found = steps.iter().map(|&step| 0.01 * engine.factor(step));
    agree(&expected.collect::<Vec<_>>(), &found.collect::<Vec<_>>())
}

#[test]
fn mutation_of_u7_is_caught() {
    assert!(rates_agree(karenina::reference::learning_rate));
    assert!(!rates_agree(karenina_mutants::U7FallsFromTheFirstStep::learning_rate));
    assert!(!rates_agree(karenina_mutants::U7StartsAtNothing::learning_rate));
}
