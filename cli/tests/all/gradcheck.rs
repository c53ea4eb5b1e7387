//! `karenina gradcheck` and `karenina trace` as a user meets them, and the verdicts behind them.

use std::fs;
use std::path::Path;
use std::process::Output;

use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::study::gradcheck::{
    Element, Place, Problem, TensorCheck, Verdict, check, curve, default_epsilon,
};
use karenina::text::vocabulary::Vocabulary;
use karenina::train::TrainConfig;
use karenina::train::checkpoint::Checkpoint;
use rand::SeedableRng;
use rand_pcg::Pcg64;

use crate::command;

const TEXT: &str = "Счастливые семьи похожи\n<друг> на друга; \"все\".\n";

/// The command in `folder`, where TEXT is in the file `text`.
fn karenina(folder: &Path, arguments: &[&str]) -> Output {
    fs::write(folder.join("text"), TEXT).unwrap();
    command::karenina(folder, arguments).output().unwrap()
}

/// Standard output and exit code.
#[track_caller]
fn run(arguments: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let output = karenina(folder.path(), arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, "", "nothing on standard error");
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

fn parameters(sizes: Sizes) -> Parameters<f32> {
    Parameters::initial(sizes, Initialisation::Glorot, &mut Pcg64::seed_from_u64(1))
}

fn save_checkpoint(path: &Path, hidden: usize) {
    let vocabulary = Vocabulary::from_text(TEXT);
    let sizes = Sizes::new(vocabulary.len(), hidden, 2);
    let config = TrainConfig::quick().into_builder().batch(2).build().unwrap();
    let checkpoint = Checkpoint::without_history(config, vocabulary, parameters(sizes));
    fs::write(path, checkpoint.encode()).unwrap();
}

#[test]
fn the_default_check_agrees_within_1e_8() {
    let (out, code) = run(&["gradcheck"]);
    assert_eq!(code, 0, "{out}");
    let last = out.lines().last().unwrap();
    let error = last.strip_prefix("all 12 gradients agree; worst relative error ").expect(last);
    assert!(error.parse::<f64>().unwrap() <= 1e-8, "{error}");
}

#[test]
fn it_checks_the_users_text_sizes_and_dropout() {
    let sizes =
        ["--hidden", "4", "--layers", "3", "--batch", "2", "--unroll", "5", "--keep", "0.6"];
    let (out, code) = run(&[&["gradcheck", "text"][..], &sizes].concat());
    let v = Vocabulary::from_text(TEXT).len();
    assert_eq!(code, 0, "{out}");
    assert!(out.contains(&format!("V = {v}, H = 4, L = 3; B = 2, T = 5; f64 with step 7.4e-4")));
    assert!(out.contains("all 17 gradients agree"), "{out}");
    assert!(out.contains(&format!("[{v}, 16]")), "the first layer's input weight");
    assert!(out.contains("relative error against step"), "the curve");
}

#[test]
fn single_precision_is_blind_and_says_so_with_exit_code_1() {
    let (out, code) = run(&["gradcheck", "--precision", "f32"]);
    assert_eq!(code, 1);
    assert!(out.contains("cannot tell"), "{out}");
    assert!(!out.contains("DIFFERS"), "{out}");
}

#[test]
fn a_checkpoint_is_checked_by_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    save_checkpoint(&folder.path().join("model"), 9);
    let asked = ["gradcheck", "--run", "model", "text", "--sample", "6"];
    let output = karenina(folder.path(), &asked);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{out}");
    assert!(out.contains("H = 9, L = 2"));
    let rows: Vec<_> = out.lines().filter(|line| line.contains("agrees")).collect();
    assert!(rows.len() > 5, "{out}");
    for row in rows {
        let checked = row.split(']').nth(1).unwrap().split_whitespace().next().unwrap();
        assert_eq!(checked, "6", "{row}");
    }
}

#[test]
fn mistakes_in_the_arguments_have_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, message) in [
        (&["gradcheck", "--hidden", "0"][..], "--hidden is 0, but must be at least 1"),
        (&["gradcheck", "--keep", "0"], "--keep is 0, but must be"),
        (&["gradcheck", "--epsilon", "-1"], "--epsilon is -1, but must be"),
        (&["gradcheck", "--sample", "0"], "--sample is 0, but must be"),
        (&["trace", "a"], "the phrase's length is 1, but must be at least 2"),
        (&["trace", "abc", "--unit", "8"], "--unit is 8, but must be at most 7"),
        (&["trace", "abc", "--numbers", "--step", "2"], "--step is 2, but must be"),
        (&["trace", "abc", "--layers", "0"], "--layers is 0, but must be"),
    ] {
        let output = karenina(folder.path(), arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn too_short_a_text_is_named_with_what_would_fit() {
    let folder = tempfile::tempdir().unwrap();
    let output = karenina(folder.path(), &["gradcheck", "text", "--batch", "100"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let both = error.contains("one batch needs 401") && error.contains(" would fit");
    assert!(both, "{error}");
}

#[test]
fn a_trace_is_printed_without_colour_into_a_pipe() {
    let (out, code) = run(&["trace", "anna\nna"]);
    assert_eq!(code, 0);
    for part in
        ["Predictions", "Layer 1: means", "‖dz_f‖", "How far the last step's loss", "w_hh_l1"]
    {
        assert!(out.contains(part), "{part}");
    }
    assert!(!out.contains('\x1b') && out.contains('⏎'));
    assert!(out.lines().all(|line| line.trim_end() == line), "no space at a line's end");
}

#[test]
fn json_holds_the_whole_trace() {
    let (out, code) =
        run(&["trace", "anna karenina", "--json", "--unit", "3", "--precision", "f32"]);
    assert_eq!(code, 0);
    let trace: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(trace["precision"], "f32");
    assert_eq!(trace["steps"].as_array().unwrap().len(), 12);
    assert_eq!(trace["steps"][0]["character"], "a");
    assert_eq!(trace["steps"][11]["layers"].as_array().unwrap().len(), 2);
    assert!(trace["steps"][2]["layers"][1]["unit"]["dc"].is_f64());
    assert_eq!(trace["reach"][11]["lag"], 11);
    assert_eq!(trace["tensors"][1]["name"], "w_hh_l0");
}

#[test]
fn numbers_show_the_equations_of_the_step_asked_for() {
    let (out, code) =
        run(&["trace", "anna", "--numbers", "--step", "0", "--layer", "1", "--unit", "2"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("a new, untrained network (seed 0) of 2 x 8 cells;"), "{out}");
    let title =
        "\"anna\", step 0 (the first is 0), layer 1, unit 2: it reads a and should predict n";
    assert!(out.contains(title), "{out}");
    for label in ["F1 ", "F11 ", "B1 ", "B20 ", "B21 "] {
        assert!(out.lines().any(|line| line.starts_with(label)), "{label}");
    }
}

#[test]
fn cells_are_normalised_by_a_word_alone_or_with_its_value() {
    let traced = |words: &[&str]| {
        let (out, code) = run(&[&["trace"], words, &["--hidden", "4"]].concat());
        assert_eq!(code, 0, "{words:?}");
        out
    };
    let [with, without] =
        ["--cell-norm=true", "--cell-norm=false"].map(|word| traced(&["anna", word]));
    assert_ne!(with, without);
    assert_eq!(traced(&["anna"]), without);
    assert_eq!(traced(&["--cell-norm", "false", "anna"]), without);
    assert_eq!(traced(&["--cell-norm", "true", "anna"]), with);
    assert_eq!(traced(&["anna", "--cell-norm"]), with);
}

#[test]
fn a_page_is_written_for_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    save_checkpoint(&folder.path().join("model"), 6);
    let asked = ["trace", "--run", "model", "семьи <друг>", "--html", "page.html"];
    let output = karenina(folder.path(), &asked);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("семьи &lt;друг"));
}

fn tensor(analytic: &[f64], numeric: &[f64], resolution: f64) -> TensorCheck {
    let elements = analytic.iter().zip(numeric).enumerate();
    TensorCheck {
        name: "w_hh_l0".into(),
        shape: vec![analytic.len() / 4, 4],
        has_gates: true,
        elements: elements
            .map(|(index, (&analytic, &numeric))| Element {
                index,
                analytic,
                central: numeric,
                numeric,
                resolution,
            })
            .collect(),
    }
}

#[test]
fn the_verdict_weighs_the_difference_against_the_resolution() {
    let (right, wrong) = ([1.0, 2.0, -1.0, 0.5], [1.0, 2.0, 1.0, 0.5]);
    assert_eq!(tensor(&right, &right, 1e-9).verdict(), Verdict::Agrees);
    assert_eq!(tensor(&wrong, &right, 1e-9).verdict(), Verdict::Differs, "a sign is wrong");
    assert_eq!(tensor(&wrong, &right, 10.0).verdict(), Verdict::Blind);
    assert_eq!(tensor(&[0.0; 4], &[0.0; 4], 1e-9).verdict(), Verdict::Agrees, "a dead tensor");
    assert_eq!(tensor(&[0.0; 4], &right, 1e-9).verdict(), Verdict::Differs, "a forgotten one");
    assert_eq!(tensor(&[f64::NAN; 4], &right, 1e-9).verdict(), Verdict::Differs);
    assert_eq!(tensor(&wrong, &right, 1e-9).worst().unwrap().index, 2);
}

#[test]
fn a_place_names_row_gate_and_unit() {
    let check = TensorCheck { shape: vec![3, 8], ..tensor(&[1.0; 24], &[1.0; 24], 1.0) };
    assert_eq!(check.place(13), Place { row: Some(1), gate: Some('g'), column: 1 });
    let bias = TensorCheck { shape: vec![8], ..check.clone() };
    assert_eq!(bias.place(3), Place { row: None, gate: Some('f'), column: 1 });
    let projection = TensorCheck { has_gates: false, ..check };
    assert_eq!(projection.place(13), Place { row: Some(1), gate: None, column: 5 });
}

fn problem(hidden: usize) -> Problem<f64> {
    let sizes = Sizes::new(40, hidden, 2);
    let ids: Vec<u32> = (0..13).map(|k| k * k % 11).collect();
    Problem::on_text(parameters(sizes).cast(), &ids, (3, 4), 1.0, 2).unwrap()
}

#[test]
fn a_sample_is_spread_over_rows_gates_and_what_the_text_does_not_touch() {
    for tensor in check(&problem(16), default_epsilon::<f64>(), Some(24)) {
        assert_eq!(tensor.elements.len(), 24.min(tensor.shape.iter().product()), "{}", tensor.name);
        assert!(tensor.elements.windows(2).all(|pair| pair[0].index < pair[1].index));
        if tensor.name.starts_with("w_") {
            let places: Vec<Place> =
                tensor.elements.iter().map(|e| tensor.place(e.index)).collect();
            let rows = places.iter().map(|p| p.row).collect::<std::collections::BTreeSet<_>>();
            let gates = places.iter().map(|p| p.gate).collect::<std::collections::BTreeSet<_>>();
            assert!(rows.len() >= 8 && gates.len() == 4, "{}: {places:?}", tensor.name);
        }
        if tensor.name == "w_ih_l0" {
            let zeros = tensor.elements.iter().filter(|e| e.analytic == 0.0).count();
            assert_eq!(
                zeros, 12,
                "half of the sample lies in rows of characters that do not occur"
            );
        }
    }
}

#[test]
fn the_curve_falls_with_the_square_and_the_fourth_power_and_rises_again() {
    let points = curve(&problem(5), &[1e-1, 1e-2, 1e-5, 1e-9], 10);
    let [coarse, fine, rounded, noise] = points[..] else { panic!("four points") };
    let slope = |a: f64, b: f64| (a / b).log10();
    assert!((slope(coarse.central, fine.central) - 2.0).abs() < 0.1, "{points:?}");
    assert!((slope(coarse.extrapolated, fine.extrapolated) - 4.0).abs() < 0.2, "{points:?}");
    assert!(noise.central > 100.0 * rounded.central, "{points:?}");
}
