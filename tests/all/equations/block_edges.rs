//! Engine and reference on sizes around every block of the engine, in f64 and in f32: two training steps,
//! the second from the state and the weights that the first left.

use karenina::layers::dropout::Dropout;
use karenina::math::Real;
use karenina::model::{Network, Parameters, Sizes, State};
use karenina::optim::adam::Adam;
use karenina::optim::clip::clip_by_global_norm;
use ndarray::Array2;

use crate::equations::case::Problem;
use crate::equations::reference::{self, Run};

/// What two training steps leave, under the names of its parts.
type Quantities = Vec<(String, Vec<f64>)>;

/// The second step's gradients and what it leaves; the losses of both.
fn quantities(
    losses: [f64; 2],
    norm: f64,
    gradients: &Parameters<f64>,
    [m, v, new]: [&Parameters<f64>; 3],
    states: impl IntoIterator<Item = (&'static str, Vec<f64>)>,
) -> Quantities {
    let mut all: Quantities = vec![("losses".into(), losses.into()), ("norm".into(), vec![norm])];
    for (what, values) in [("gradient", gradients), ("m", m), ("v", v), ("new", new)] {
        let names = values.sizes().tensors().map(|t| t.name);
        all.extend(
            names.zip(values.tensors()).map(|(name, x)| (format!("{what} {name}"), x.to_vec())),
        );
    }
    all.extend(states.into_iter().map(|(name, values)| (name.to_string(), values)));
    all
}

/// The problem's second batch, read after the first.
fn second(problem: &Problem) -> [Array2<u32>; 2] {
    let vocabulary = problem.sizes().vocabulary as u32;
    [&problem.targets, &problem.inputs].map(|ids| ids.mapv(|id| (id * 7 + 3) % vocabulary))
}

fn by_reference(problem: &Problem) -> Quantities {
    let mut run = Run::new(problem);
    let Run { weights, adam, state, batch, dropout } = &mut run;
    let limit = problem.limit;
    let first = reference::training_step(weights, adam, state, batch, *dropout, limit).forward.loss;
    let [inputs, targets] = second(problem).map(|ids| reference::ids(&ids));
    *batch = reference::Batch { inputs, targets };
    let step = reference::training_step(weights, adam, state, batch, *dropout, limit);
    let (norm, losses) = (step.norm, [first, step.forward.loss]);
    let flat = |values: Vec<Vec<Vec<f64>>>| values.into_iter().flatten().flatten().collect();
    let d_state = step.backward.d_state.clone();
    let (sizes, state) = (problem.sizes(), state.clone());
    let states = [
        ("h", flat(state.h)),
        ("c", flat(state.c)),
        ("dh_0", flat(d_state.h)),
        ("dc_0", flat(d_state.c)),
    ];
    let gradients = reference::parameters(sizes, step.backward.dw);
    let after = [run.adam.m, run.adam.v, run.weights].map(|w| reference::parameters(sizes, w));
    quantities(losses, norm, &gradients, after.each_ref(), states)
}

fn by_engine<R: Real>(problem: &Problem, shards: usize) -> Quantities {
    let sizes = problem.sizes();
    let (unroll, batch) = problem.positions();
    let cast = |a: &Array2<f64>| a.mapv(R::from_f64);
    let mut parameters: Parameters<R> = problem.parameters.cast();
    let (m, v) = (problem.adam.m.cast(), problem.adam.v.cast());
    let mut adam = Adam { config: problem.adam.config, m, v, updates: problem.adam.updates };
    let mut state: State<R> = State {
        h: problem.state.h.iter().map(cast).collect(),
        c: problem.state.c.iter().map(cast).collect(),
    };
    let mut network = Network::new(sizes, batch, unroll, shards);
    let mut gradients = Parameters::zeros(sizes);
    let mut norm = 0.0;
    let mut unclipped = gradients.clone();
    let batches = [[problem.inputs.clone(), problem.targets.clone()], second(problem)];
    let losses = batches.map(|[x, y]| {
        let (x, y) = (x.view(), y.view());
        let loss =
            network.gradients(&mut gradients, &parameters, x, y, &mut state, problem.dropout);
        unclipped = gradients.clone();
        norm = clip_by_global_norm(&mut gradients, problem.limit);
        adam.update(&mut parameters, &gradients);
        loss
    });
    let flat = |values: &[Array2<R>]| values.iter().flatten().map(|x| x.to_f64()).collect();
    let d_state = network.state_gradient();
    let states = [
        ("h", flat(&state.h)),
        ("c", flat(&state.c)),
        ("dh_0", flat(&d_state.h)),
        ("dc_0", flat(&d_state.c)),
    ];
    let after = [adam.m.cast(), adam.v.cast(), parameters.cast()];
    quantities(losses, norm, &unclipped.cast(), after.each_ref(), states)
}

/// Numbers that one number of the network's output or gradient is a sum of, along the longest way: all of
/// x·W_ih + h·W_hh + b, then y·W + b, the V terms of the softmax, back through Wᵀ and W_hhᵀ; and for a
/// gradient the N positions.
fn length_of_sums(problem: &Problem, name: &str) -> f64 {
    let Sizes { vocabulary, hidden, layers, .. } = problem.sizes();
    let (unroll, batch) = problem.positions();
    let forward = layers * (vocabulary.max(hidden) + hidden + 1) + hidden + vocabulary;
    let back = vocabulary + layers * 8 * hidden;
    let over_positions = if name.contains(' ') || name == "norm" { unroll * batch } else { 0 };
    (forward + back + over_positions) as f64
}

/// Largest difference as a fraction of the largest number, in units of ε·√(length of the sums): rounding
/// errors are as often up as down, and so grow with the root of their number.
fn differences(
    problem: &Problem,
    epsilon: f64,
    ours: &Quantities,
    theirs: &Quantities,
) -> Vec<(String, f64)> {
    assert_eq!(ours.len(), theirs.len());
    let pairs = ours.iter().zip(theirs).map(|((name, ours), (other, theirs))| {
        assert_eq!((name, ours.len()), (other, theirs.len()));
        let largest = ours.iter().chain(theirs).fold(0.0f64, |max, x| max.max(x.abs()));
        assert!(largest > 0.0, "{name}: something to compare");
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
        // A NaN must not pass for equal.
        let worst = worst.fold(0.0, |max, d| if d.is_nan() || d > max { d } else { max });
        (name.clone(), worst / largest / (epsilon * length_of_sums(problem, name).sqrt()))
    });
    pairs.collect()
}

/// How many times ε·√(length of the sums) a difference may be.
///
/// The largest that was measured in the cases below is 0.45, in f64 and in f32 alike.
const ALLOWED: f64 = 1.0;

#[track_caller]
fn assert_agree(
    what: &str,
    problem: &Problem,
    epsilon: f64,
    ours: &Quantities,
    theirs: &Quantities,
) {
    let found = differences(problem, epsilon, ours, theirs);
    let worst = found.iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("something to compare");
    eprintln!("{what}: {worst:?}");
    assert!(worst.1 <= ALLOWED, "{what}: {found:?}");
}

/// V, H, L, T, B, and keep.
type Case = (usize, usize, usize, usize, usize, f64);

fn problem((vocabulary, hidden, layers, unroll, batch, keep): Case, cell_norm: bool) -> Problem {
    let sizes = Sizes::new(vocabulary, hidden, layers).with_cell_norm(cell_norm);
    let dropout = (keep < 1.0).then_some(Dropout { keep, seed: 29, step: 1 });
    // Sums over H of about the same size whatever H is.
    let range = f64::min(0.4, 2.0 / (hidden as f64).sqrt());
    Problem::random(sizes, (unroll, batch), vocabulary as u32, range, dropout)
}

fn check(cases: &[Case]) {
    check_cells(cases, false);
}

fn check_cells(cases: &[Case], cell_norm: bool) {
    for &case in cases {
        let problem = problem(case, cell_norm);
        let reference = by_reference(&problem);
        let shards = 1 + case.4 % 3;
        let (double, single) =
            (by_engine::<f64>(&problem, shards), by_engine::<f32>(&problem, shards));
        assert_agree(&format!("{case:?} in f64"), &problem, f64::EPSILON, &reference, &double);
        let epsilon = f64::from(f32::EPSILON);
        assert_agree(&format!("{case:?} in f32"), &problem, epsilon, &reference, &single);
    }
}

/// The kernels' tiles are 12 to 14 rows high and up to 32 or 64 columns wide, the cells' and the softmax's
/// blocks 16 wide, the masks' 64.
#[test]
fn hidden_sizes_around_the_blocks() {
    let hidden = [1, 12, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65];
    let cases = hidden.map(|hidden| (11, hidden, 2, 3, 5, 0.6));
    check(&cases);
    check(&[(5, 513, 1, 2, 2, 1.0)]); // sums longer than a panel is deep, more columns than dW copies at once
}

/// The root mean square is a sum over the units, whose blocks are 16 wide too. Few units show little more than
/// the signs of their states: most of what goes back through them is rounding.
#[test]
fn normalised_cells_around_the_blocks() {
    let hidden = [9, 12, 15, 16, 17, 31, 32, 33, 65];
    check_cells(&hidden.map(|hidden| (11, hidden, 2, 3, 5, 0.6)), true);
    check_cells(&[(14, 35, 1, 6, 4, 1.0), (14, 35, 3, 6, 1, 0.9), (5, 129, 2, 2, 3, 1.0)], true);
}

#[test]
fn vocabularies_around_the_blocks() {
    let vocabularies = [2, 12, 13, 14, 15, 16, 17, 31, 32, 33, 63, 64, 65, 129];
    check(&vocabularies.map(|vocabulary| (vocabulary, 18, 1, 4, 3, 1.0)));
}

/// Positions are the rows of the projection's product, and what the weights' gradients are summed over.
#[test]
fn positions_around_the_blocks() {
    let positions =
        [(1, 1), (12, 1), (13, 1), (1, 14), (5, 3), (8, 2), (17, 1), (4, 8), (3, 11), (7, 9)];
    let cases = positions.map(|(unroll, batch)| (9, 21, 2, unroll, batch, 1.0));
    check(&cases);
    check(&[
        (9, 21, 2, 16, 4, 0.8),
        (9, 21, 2, 13, 5, 0.8),
        (9, 21, 2, 101, 1, 0.8),
        (9, 21, 2, 3, 101, 0.8),
        (9, 21, 2, 2, 108, 0.8), // in one shard: more rows than are copied, or multiplied by W_ih, at once
    ]);
}

#[test]
fn one_to_three_layers_with_and_without_dropout() {
    for layers in 1..=3 {
        check(&[
            (14, 35, layers, 6, 4, 1.0),
            (14, 35, layers, 6, 4, 0.5),
            (14, 35, layers, 6, 1, 0.9),
        ]);
    }
}

/// Products are cut at a depth of 512 or 1,024: 4H on the way back, N for the weights' gradients.
#[test]
fn depths_around_the_blocks() {
    check(&[(5, 127, 1, 2, 3, 1.0), (5, 128, 2, 2, 3, 0.7), (5, 129, 1, 2, 3, 1.0)]);
    check(&[(5, 257, 2, 2, 2, 1.0)]);
    check(&[(5, 10, 2, 73, 7, 0.7), (5, 10, 1, 64, 8, 1.0), (5, 10, 2, 57, 9, 0.7)]);
    check(&[(5, 10, 1, 93, 11, 1.0), (5, 10, 2, 64, 16, 0.7), (5, 10, 1, 41, 25, 1.0)]);
}
