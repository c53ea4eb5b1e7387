//! Every number of the document's worked example, from the weights written there.

use karenina::model::{Parameters, Sizes, State};
use karenina::optim::adam::{Adam, AdamConfig};
use ndarray::{Array2, ArrayView2, s};

use crate::equations::case::{Engine, F, G, I, O, Problem};
use crate::equations::document::{self, Table, is_rounded};
use crate::equations::mutations::disagreements;
use crate::equations::reference::{self, Layer, Step};

/// The document's tables, and the names of those that are given rather than computed.
const SECTION: &str = "A worked example";
const GIVEN: [&str; 3] = ["The layer's weights", "The projection's weights", "The state"];
const T: usize = 3;

fn rows(table: &Table, range: std::ops::Range<usize>) -> Array2<f64> {
    let width = table.columns.len();
    let numbers = table.rows[range.clone()].iter().flat_map(|(_, numbers)| numbers.clone());
    Array2::from_shape_vec((range.len(), width), numbers.collect()).expect("full rows")
}

/// The problem that the document states: it reads "aba" and should predict "bac".
fn problem(tables: &[Table]) -> Problem {
    let [layer, projection, state] = GIVEN
        .map(|name| tables.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name}")));
    let sizes = Sizes::new(3, 2, 1);
    let mut parameters = Parameters::zeros(sizes);
    parameters.lstm_mut(0).w_ih.assign(&rows(layer, 0..3));
    parameters.lstm_mut(0).w_hh.assign(&rows(layer, 3..5));
    parameters.lstm_mut(0).b.assign(&rows(layer, 5..6).row(0));
    parameters.projection_mut().w.assign(&rows(projection, 0..2));
    parameters.projection_mut().b.assign(&rows(projection, 2..3).row(0));
    Problem {
        parameters,
        state: State { h: vec![rows(state, 0..1)], c: vec![rows(state, 1..2)] },
        inputs: Array2::from_shape_vec((T, 1), vec![0, 1, 0]).unwrap(),
        targets: Array2::from_shape_vec((T, 1), vec![1, 0, 2]).unwrap(),
        dropout: None,
        limit: 0.25,
        adam: Adam::new(AdamConfig::default(), sizes),
    }
}

fn table<N: Into<String>>(name: &str, columns: &[&str], rows: Vec<(N, Vec<f64>)>) -> Table {
    Table {
        name: name.to_string(),
        columns: columns.iter().map(|c| c.to_string()).collect(),
        rows: rows.into_iter().map(|(name, numbers)| (name.into(), numbers)).collect(),
    }
}

const UNITS: [&str; 2] = ["unit 1", "unit 2"];
const CHARACTERS: [&str; 3] = ["a", "b", "c"];
const GATE_COLUMNS: [&str; 8] =
    ["$i_1$", "$i_2$", "$f_1$", "$f_2$", "$g_1$", "$g_2$", "$o_1$", "$o_2$"];

fn forward(layer: &Layer, t: usize) -> Table {
    let z = |q| layer.z.slice(s![t, 0, q, ..]).to_vec();
    let gate = |q| layer.gates.slice(s![t, 0, q, ..]).to_vec();
    table(
        &format!("Forward, t = {}", t + 1),
        &UNITS,
        vec![
            ("F1 $z_i$", z(I)),
            ("F1 $z_f$", z(F)),
            ("F1 $z_g$", z(G)),
            ("F1 $z_o$", z(O)),
            ("F2 $i$", gate(I)),
            ("F3 $f$", gate(F)),
            ("F4 $g$", gate(G)),
            ("F5 $o$", gate(O)),
            ("F6 $c$", layer.c.slice(s![t + 1, 0, ..]).to_vec()),
            ("F7 $h$", layer.h.slice(s![t + 1, 0, ..]).to_vec()),
        ],
    )
}

fn backward(layer: &Layer, t: usize) -> Table {
    let at = |array: &ndarray::Array3<f64>| array.slice(s![t, 0, ..]).to_vec();
    let d_gate = |q| layer.d_gates.slice(s![t, 0, q, ..]).to_vec();
    let dz = |q| layer.dz.slice(s![t, 0, q, ..]).to_vec();
    let after = (&layer.dh - &layer.dh_above).slice(s![t, 0, ..]).to_vec();
    table(
        &format!("Backward, t = {}", t + 1),
        &UNITS,
        vec![
            ("B4 $dy$", at(&layer.dy)),
            ("B6 share from the step after", after),
            ("B6 $dh$", at(&layer.dh)),
            ("B7 $do$", d_gate(O)),
            ("B8 $dc$", at(&layer.dc)),
            ("B9 $di$", d_gate(I)),
            ("B10 $df$", d_gate(F)),
            ("B11 $dg$", d_gate(G)),
            ("B12 share for the step before", at(&layer.dc_prev)),
            ("B13 $dz_i$", dz(I)),
            ("B14 $dz_f$", dz(F)),
            ("B15 $dz_g$", dz(G)),
            ("B16 $dz_o$", dz(O)),
        ],
    )
}

fn predictions(step: &Step) -> Vec<Table> {
    let mut rows = Vec::new();
    for t in 0..T {
        let at = |array: &ndarray::Array3<f64>| array.slice(s![t, 0, ..]).to_vec();
        rows.push((format!("F9 $\\ell_{}$", t + 1), at(&step.logits)));
        rows.push((format!("F10 $p_{}$", t + 1), at(&step.p)));
    }
    let mut losses = step.losses.column(0).to_vec();
    losses.push(step.loss);
    vec![
        table("Predictions", &CHARACTERS, rows),
        table("Losses", &["t = 1", "t = 2", "t = 3", "mean"], vec![("F11, F12", losses)]),
    ]
}

/// Two tables, one for the layer and one for the projection, with the rows' `labels`.
fn parameters(what: &str, labels: [&str; 5], values: &Parameters<f64>) -> [Table; 2] {
    let rows = |label: &str, names: &[&str], w: ArrayView2<f64>| -> Vec<(String, Vec<f64>)> {
        let names = names.iter().map(|name| format!("{label}, {name}"));
        names.zip(w.rows().into_iter().map(|row| row.to_vec())).collect()
    };
    let (lstm, projection) = (values.lstm(0), values.projection());
    let mut of_layer = rows(labels[0], &["a", "b", "c"], lstm.w_ih.view());
    of_layer.extend(rows(labels[1], &["1", "2"], lstm.w_hh.view()));
    of_layer.push((labels[2].to_string(), lstm.b.to_vec()));
    let mut of_projection = rows(labels[3], &["1", "2"], projection.w.view());
    of_projection.push((labels[4].to_string(), projection.b.to_vec()));
    [
        table(&format!("{what} of the layer"), &GATE_COLUMNS, of_layer),
        table(&format!("{what} of the projection"), &CHARACTERS, of_projection),
    ]
}

/// All tables that the document computes, in its order.
fn computed(step: &Step, problem: &Problem) -> Vec<Table> {
    let layer = &step.layers[0];
    let config = problem.adam.config;
    let mut tables: Vec<Table> = (0..T).map(|t| forward(layer, t)).collect();
    tables.extend(predictions(step));
    let dlogits = (0..T)
        .map(|t| (format!("B1 $d\\ell_{}$", t + 1), step.dlogits.slice(s![t, 0, ..]).to_vec()));
    tables.push(table("The logits' gradient", &CHARACTERS, dlogits.collect()));
    tables.extend((0..T).rev().map(|t| backward(layer, t)));
    let labels = ["B19 $dW_{ih}$", "B18 $dW_{hh}$", "B17 $db$", "B2 $dW$", "B3 $db$"];
    tables.extend(parameters("Gradient", labels, &step.gradients));
    tables.push(table(
        "The state's gradient",
        &UNITS,
        vec![
            ("B21 $dh_0$", layer.dh_0.row(0).to_vec()),
            ("B21 $dc_0$", layer.dc_0.row(0).to_vec()),
        ],
    ));
    tables.push(table(
        "Norm and corrections",
        &["value"],
        vec![
            ("U1 norm", vec![step.norm]),
            ("U2 factor", vec![problem.limit / step.norm]),
            ("U5 $\\alpha/(1-\\beta_1)$", vec![config.learning_rate / (1.0 - config.beta1)]),
            ("U5 $1/\\sqrt{1-\\beta_2}$", vec![1.0 / (1.0 - config.beta2).sqrt()]),
        ],
    ));
    let labels = ["$W_{ih}$", "$W_{hh}$", "$b$", "$W$", "$b$"];
    for (what, values) in [
        ("U2 Clipped gradient", &step.clipped),
        ("U3 First moment", &step.m),
        ("U4 Second moment", &step.v),
        ("U6 New weights", &step.parameters),
    ] {
        tables.extend(parameters(what, labels, values));
    }
    tables
}

#[test]
fn every_number_of_the_worked_example_is_right() {
    let printed = document::tables(&document::section(SECTION));
    let problem = problem(&printed);
    let computed = computed(&reference::run(&problem), &problem);
    let printed: Vec<_> =
        printed.iter().filter(|table| !GIVEN.contains(&table.name.as_str())).collect();
    let wanted = || computed.iter().map(|table| format!("{table}\n")).collect::<String>();
    let names = |table: &Table| (table.name.clone(), table.columns.clone());
    assert_eq!(
        printed.iter().map(|t| names(t)).collect::<Vec<_>>(),
        computed.iter().map(names).collect::<Vec<_>>(),
        "the tables should read:\n\n{}",
        wanted()
    );
    for (printed, computed) in printed.iter().zip(&computed) {
        assert_eq!(printed.rows.len(), computed.rows.len(), "the table should read:\n\n{computed}");
        for ((name, printed), (expected, exact)) in printed.rows.iter().zip(&computed.rows) {
            let right = name == expected
                && printed.len() == exact.len()
                && printed.iter().zip(exact).all(|(&printed, &exact)| is_rounded(printed, exact));
            assert!(right, "{name}: {printed:?}; the table should read:\n\n{computed}");
        }
    }
}

/// What the tables hold comes from the reference; the engine computes the same.
#[test]
fn the_engine_computes_the_worked_example() {
    let problem = problem(&document::tables(&document::section(SECTION)));
    let (step, engine) = (reference::run(&problem), Engine::run(&problem));
    assert!(step.norm > problem.limit, "the example clips");
    let found = disagreements(problem.sizes(), &step, &engine);
    assert!(found.is_empty(), "{found:?}");
}
