//! The same network in PyTorch, in f64: logits, loss, gradients, states and three clipped Adam steps.
//!
//! The files in `tests/fixtures` were written by PyTorch. The environment variable `KARENINA_FIXTURE` names a further
//! file of the same form, of any size.

use std::path::Path;

use karenina::math::sums::default_groups;
use karenina::model::{Division, Network, Parameters, Sizes, State};
use karenina::optim::adam::Adam;
use karenina::optim::clip::clip_by_global_norm;
use karenina::train::TrainConfig;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde_json::Value;

/// Differences are relative to the tensor's largest magnitude.
const TOLERANCE: f64 = 1e-10;

#[test]
fn agrees_with_pytorch() {
    compare(Path::new("tests/fixtures/pytorch-lstm-2x4.json"));
}

/// `tests/fixtures/pytorch.py` wrote the file.
#[test]
fn agrees_with_pytorch_where_cells_are_normalised() {
    compare(Path::new("tests/fixtures/pytorch-normalised-2x4.json"));
}

#[test]
fn agrees_with_a_further_file_if_one_is_named() {
    match std::env::var_os("KARENINA_FIXTURE") {
        Some(path) => compare(Path::new(&path)),
        None => eprintln!("KARENINA_FIXTURE names no file: nothing further compared"),
    }
}

/// What PyTorch 2.15 makes of 14 numbers in five steps:
///
/// ```python
/// p = torch.nn.Parameter(torch.tensor([(i - 6) / 8 for i in range(14)], dtype=torch.float64))
/// adam = torch.optim.AdamW([p], lr=0.01, weight_decay=0.5)
/// rate = lambda n: min(1, (n + 1) / 2) * min(1, max(0, (5 - n) / (5 - 3)))
/// schedule = torch.optim.lr_scheduler.LambdaLR(adam, rate)
/// for n in range(5):
///     p.grad = torch.tensor([((7 * i + 5 * n) % 11 - 5) / 16 for i in range(14)], dtype=torch.float64)
///     adam.step(); schedule.step()
/// ```
const ADAM_W: [f64; 14] = [
    -0.7256117693146108,
    -0.6053775478209293,
    -0.4837424070458576,
    -0.39088624835656643,
    -0.24100933772394448,
    -0.10448208818920042,
    -0.014931873963544047,
    0.10263205541069416,
    0.2680013388767235,
    0.36364797906473817,
    0.48429339995093607,
    0.6221022595319713,
    0.7423364810256529,
    0.8639716218007246,
];

#[test]
fn weight_decay_and_schedule_are_those_of_pytorch() {
    let sizes = Sizes::new(1, 1, 1); // 14 numbers
    let numbers = |number: &dyn Fn(usize) -> f64| {
        let mut parameters = Parameters::<f64>::zeros(sizes);
        for (i, x) in parameters.numbers_mut().iter_mut().enumerate() {
            *x = number(i);
        }
        parameters
    };
    let mut parameters = numbers(&|i| (i as f64 - 6.0) / 8.0);
    let config = TrainConfig::builder().weight_decay(0.5).warm_up(2).descent(Some((3, 5)));
    let config = config.build().unwrap();
    let mut adam = Adam::new(config.adam, sizes);
    for n in 0..5 {
        adam.config.learning_rate = 0.01 * config.schedule.factor(n as u64);
        let gradients = numbers(&|i| (((7 * i + 5 * n) % 11) as f64 - 5.0) / 16.0);
        adam.update(&mut parameters, &gradients);
    }
    for (found, expected) in parameters.numbers().iter().zip(ADAM_W) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

fn compare(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let fixture: Value = serde_json::from_str(&text).unwrap();
    let config = &fixture["config"];
    let number = |name: &str| config[name].as_u64().unwrap() as usize;
    let sizes = Sizes::new(number("vocab"), number("hidden"), number("layers"))
        .with_cell_norm(config["cell_norm"].as_bool().unwrap_or(false));
    let (batch, unroll) = (number("batch"), number("steps"));

    let mut parameters = pytorch_parameters(&fixture["parameters"], sizes);
    let mut state = State {
        h: layers(&fixture["initial_h"], sizes.layers, batch),
        c: layers(&fixture["initial_c"], sizes.layers, batch),
    };
    let learning_rate = config["lr"].as_f64().unwrap();
    let training = TrainConfig::builder().learning_rate(learning_rate).build().unwrap();
    let mut adam = Adam::new(training.adam, sizes);
    let mut network = Network::divided(
        sizes,
        (batch, unroll),
        default_groups(batch, unroll),
        Division { shards: 2, members: 1 },
    );
    let mut gradients = Parameters::zeros(sizes);

    for (step, expected) in fixture["train"].as_array().unwrap().iter().enumerate() {
        let what = |name: &str| format!("step {step}: {name}");
        let inputs = characters(&fixture["inputs"][step]);
        let targets = characters(&fixture["targets"][step]);
        // PyTorch's logits against ours, which the softmax overwrote: equal up to each row's own
        // constant, so compare the probabilities.
        let (x, y) = (inputs.view(), targets.view());
        network.loss(&parameters, x, y, &mut state.clone(), None);
        assert_close(
            &what("probabilities"),
            &probabilities(&network),
            &softmax(&expected["logits"]),
        );

        let loss = network.gradients(&mut gradients, &parameters, x, y, &mut state, None);
        assert_close(&what("loss"), &[loss], &[expected["loss"].as_f64().unwrap()]);
        assert_tensors(&what("gradient"), &gradients, &expected["gradients"], sizes);
        for (name, ours) in [("final_h", &state.h), ("final_c", &state.c)] {
            for (l, expected) in layers(&expected[name], sizes.layers, batch).iter().enumerate() {
                assert_close(
                    &what(&format!("{name} of layer {l}")),
                    ours[l].as_slice().unwrap(),
                    expected.as_slice().unwrap(),
                );
            }
        }
        let norm = clip_by_global_norm(&mut gradients, config["clip"].as_f64().unwrap());
        assert_close(&what("norm"), &[norm], &[expected["global_norm"].as_f64().unwrap()]);
        adam.update(&mut parameters, &gradients);
        assert_tensors(&what("after Adam,"), &parameters, &expected["parameters_after"], sizes);
    }
}

#[track_caller]
fn assert_close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    for (k, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let error = (a - b).abs() / largest;
        assert!(error <= TOLERANCE, "{what}[{k}]: ours {a}, PyTorch's {b}, error {error:.1e}");
    }
}

#[track_caller]
fn assert_tensors(what: &str, ours: &Parameters<f64>, theirs: &Value, sizes: Sizes) {
    let theirs = pytorch_parameters(theirs, sizes);
    for ((name, ours), theirs) in
        sizes.tensors().map(|t| t.name).zip(ours.tensors()).zip(theirs.tensors())
    {
        assert_close(&format!("{what} {name}"), ours, theirs);
    }
}

fn numbers(tensor: &Value) -> Vec<f64> {
    tensor["data"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A PyTorch weight [rows, columns], transposed: PyTorch computes x·Wᵀ, we x·W.
fn transposed(tensor: &Value) -> Array2<f64> {
    let rows = tensor["shape"][0].as_u64().unwrap() as usize;
    let data = numbers(tensor);
    let columns = data.len() / rows;
    let weight = Array2::from_shape_vec((rows, columns), data).unwrap();
    weight.t().as_standard_layout().to_owned()
}

fn pytorch_parameters(tensors: &Value, sizes: Sizes) -> Parameters<f64> {
    let mut parameters = Parameters::zeros(sizes);
    for l in 0..sizes.layers {
        let mut lstm = parameters.lstm_mut(l);
        lstm.w_ih.assign(&transposed(&tensors[format!("weight_ih_l{l}")]));
        lstm.w_hh.assign(&transposed(&tensors[format!("weight_hh_l{l}")]));
        lstm.b.assign(&Array1::from(numbers(&tensors[format!("bias_ih_l{l}")])));
    }
    let mut projection = parameters.projection_mut();
    projection.w.assign(&transposed(&tensors["fc.weight"]));
    projection.b.assign(&Array1::from(numbers(&tensors["fc.bias"])));
    parameters
}

/// [L, B, H] as one [B, H] for each layer.
fn layers(tensor: &Value, layers: usize, batch: usize) -> Vec<Array2<f64>> {
    let data = numbers(tensor);
    let hidden = data.len() / layers / batch;
    let split = data.chunks(batch * hidden);
    split.map(|l| Array2::from_shape_vec((batch, hidden), l.to_vec()).unwrap()).collect()
}

/// A batch [B, T] as ours, [T, B].
fn characters(batch: &Value) -> Array2<u32> {
    let rows = batch.as_array().unwrap();
    let id = |row: usize, t: usize| batch[row][t].as_u64().unwrap() as u32;
    let unroll = rows[0].as_array().unwrap().len();
    Array2::from_shape_fn((unroll, rows.len()), |(t, row)| id(row, t))
}

/// Our probabilities in PyTorch's order [B, T, V].
fn probabilities(network: &Network<f64>) -> Vec<f64> {
    let mut all = Vec::new();
    for shard in network.shards() {
        for row in shard.p.axis_iter(Axis(1)) {
            all.extend(row.iter());
        }
    }
    all
}

fn softmax(logits: &Value) -> Vec<f64> {
    let width = logits["shape"][2].as_u64().unwrap() as usize;
    let data = numbers(logits);
    let logits = ArrayView2::from_shape((data.len() / width, width), &data).unwrap();
    let mut all = Vec::new();
    for row in logits.rows() {
        let sum: f64 = row.iter().map(|l| l.exp()).sum();
        all.extend(row.iter().map(|l| l.exp() / sum));
    }
    all
}
