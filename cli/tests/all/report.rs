//! `karenina report`: the numbers agree with those of other instruments. Its page and that of `karenina trace`
//! hold everything, escaped, without a link to anywhere.

use std::fs;
use std::path::Path;

use crate::command::karenina;
use crate::report_support::{new_run_folder, report, run, run_folder, text};
use karenina::evaluate::evaluate;
use karenina::model::{Initialisation, Parameters, Sizes};
use karenina::study::report::{Flow, Reading, flow, gates};
use karenina::study::trace::{View, trace};
use rand::SeedableRng;
use rand_pcg::Pcg64;

fn ids(count: usize) -> Vec<u32> {
    (0..count as u32).map(|n| n * n % 7).collect()
}

fn network() -> Parameters<f32> {
    let sizes = Sizes::new(7, 20, 2);
    Parameters::initial(sizes, Initialisation::Glorot, &mut Pcg64::seed_from_u64(3))
}

#[test]
fn a_reading_is_surprised_as_the_evaluation_says() {
    let parameters = network();
    // Two whole stretches of the network's memory and a shorter one.
    let reading = Reading::new(&parameters, ids(235));
    let expected =
        evaluate(&parameters, &reading.ids.iter().copied().collect(), 1, 1).bits_per_character();
    assert_eq!(reading.steps(), 234);
    assert!((reading.mean_surprise() - expected).abs() < 1e-6);
}

#[test]
fn a_reading_knows_what_a_trace_shows() {
    let parameters = network();
    let vocabulary: Vec<char> = ('a'..='g').collect();
    let reading = Reading::new(&parameters, ids(130));
    let view = View { unit: Some(3), ..View::default() };
    let trace = trace(&parameters, &vocabulary, &reading.ids, view).unwrap();
    for (t, step) in trace.steps.iter().enumerate() {
        assert!((f64::from(reading.surprise[t]) - step.bits).abs() < 1e-5);
        assert_eq!(vocabulary[reading.guesses[[t, 0]].0 as usize], step.top[0].character);
        let unit = step.layers[1].unit.as_ref().unwrap();
        assert!((f64::from(reading.cells[1][[t, 3]]) - unit.c.tanh()).abs() < 1e-6);
        assert!((f64::from(reading.gates[1][[t, 20 + 3]]) - unit.f).abs() < 1e-6);
    }
}

#[test]
fn the_flow_is_the_reach_of_each_place() {
    let parameters = network();
    let vocabulary: Vec<char> = ('a'..='g').collect();
    let ids = ids(90);
    let flow = flow(&parameters, &ids, 5, 12);
    assert_eq!(flow.targets.last(), Some(&89));
    for (place, &target) in flow.targets.iter().enumerate() {
        let read = &ids[target.saturating_sub(12 + 32)..=target];
        let trace = trace(&parameters, &vocabulary, read, View::default()).unwrap();
        for (layer, norms) in flow.norms.iter().enumerate() {
            let expected: Vec<f64> =
                trace.reach[..12].iter().map(|reach| reach.dh[layer]).collect();
            assert_eq!(norms.row(place).to_vec(), expected);
        }
    }
}

#[test]
fn a_gradient_has_faded_at_the_first_lag_below_a_hundredth() {
    let norms = ndarray::array![[2.0, 0.5, 0.01], [4.0, 1.0, 0.02], [8.0, 1.0, 0.03]];
    let flow = Flow { targets: vec![3, 4, 5], norms: vec![norms] };
    assert_eq!(flow.medians(0), [1.0, 0.25, 0.005]);
    assert_eq!(flow.faded(0), Some(2));
}

#[test]
fn maps_of_gates_are_ordered_by_the_forget_gate() {
    let reading = Reading::new(&network(), ids(60));
    let layer = &gates(&reading, 60)[1];
    let means: Vec<f32> = layer.maps[1].rows().into_iter().map(|row| row.sum()).collect();
    assert!(means.is_sorted());
    let original: f32 = reading.gates[1].columns().into_iter().take(20).map(|i| i.sum()).sum();
    assert!((layer.maps[0].sum() - original).abs() < 1e-2, "the same units in another order");
}

#[test]
fn a_text_too_short_to_predict_is_refused() {
    let folder = run_folder();
    for length in ["0", "1"] {
        let output = report(folder.path()).args(["--length", length]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(&format!("--length is {length}, but must be")), "{message}");
    }
}

#[test]
fn the_page_holds_everything_and_nothing_of_the_text_becomes_markup() {
    let folder = run_folder();
    run(&mut report(folder.path()));
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    for section in ["curves", "samples", "surprise", "cells", "gates", "flow"] {
        assert!(page.contains(&format!("<section id=\"{section}\"")), "{section}");
        assert!(page.contains(&format!("href=\"#{section}\"")), "{section}");
    }
    assert!(text().contains("<script>"), "the text tries");
    assert_eq!(page.matches("<script").count(), 2, "the data and the page's own script");
    assert_eq!(page.matches("<i class=\"s").count(), 9 + 3000, "the legend and the text");
    assert!(!page.contains("://"), "no address of another place");
    assert!(!page.contains(['\0', '\u{202e}']), "nothing that cannot be seen");
    // In the samples and the code of a picture letters fall as they may.
    let (before, after) = page.split_once("<section id=\"samples\"").unwrap();
    let rest = before.to_owned() + after.split_once("</section>").unwrap().1;
    let outside_of_pictures = |(n, piece): (usize, &str)| match n {
        0 => piece.to_owned(),
        _ => piece.split_once('"').unwrap().1.to_owned(),
    };
    let numbers: String = rest.split(";base64,").enumerate().map(outside_of_pictures).collect();
    assert!(!numbers.contains("NaN") && !numbers.contains("inf "), "no number that is none");
    assert!(page.contains("<b>step 1</b>") && page.contains("<b>step 4</b>"));
}

#[test]
fn a_single_checkpoint_makes_a_page_too() {
    let folder = run_folder();
    let arguments = ["--run", "checkpoints/i4_l12.ckpt", "--out", "one.html"];
    run(report(folder.path()).args(arguments));
    let page = fs::read_to_string(folder.path().join("one.html")).unwrap();
    assert_eq!(page.matches("<p class=\"sample\">").count(), 1);
    assert!(page.contains("<h1>i4_l12.ckpt</h1>"));
}

#[test]
fn a_broken_checkpoint_is_left_out_and_named() {
    let folder = run_folder();
    fs::write(folder.path().join("checkpoints/i2_l12.ckpt"), "no checkpoint").unwrap();
    run(&mut report(folder.path()));
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("Left out: ") && page.contains("i2_l12.ckpt"));
    assert_eq!(page.matches("<p class=\"sample\">").count(), 4, "of steps 0, 1, 3 and 4");
}

#[test]
fn another_runs_checkpoint_writes_no_sample() {
    let (folder, other) = (run_folder(), new_run_folder());
    let step_2 = |folder: &Path| folder.join("checkpoints/i2_l12.ckpt");
    fs::copy(step_2(other.path()), step_2(folder.path())).unwrap();
    run(&mut report(folder.path()));
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("<b>step 2</b>"));
    assert_eq!(page.matches("<p class=\"sample\">").count(), 4, "of steps 0, 1, 3 and 4");
}

#[test]
fn what_a_report_leaves_out_is_said() {
    let folder = run_folder();
    let text = format!("{}ЖЖ", text());
    fs::write(folder.path().join("text.txt"), text).unwrap();
    let output = report(folder.path()).args(["--skip-unknown", "--length", "50"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 of the last 52 characters are unknown, and are left out"), "{said}");
}

#[test]
fn the_page_of_a_trace_holds_everything_and_escapes_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let asked = ["trace", "anna я\n<a\u{202e}", "--numbers", "--html", "trace.html"];
    run(&mut karenina(folder.path(), asked));
    let page = fs::read_to_string(folder.path().join("trace.html")).unwrap();
    for foreign in ["<script", "http:", "https:", "url(", "@import", "src=", "><</th>", "\u{202e}"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("<title>Trace of “anna я\n&lt;a\\u{202e}”</title>"), "the whole text");
    let titles =
        ["Predictions", "Layer 1: gates", "Layer 1: gradients", "How far a gradient reaches"];
    for title in titles.into_iter().chain(["Parameter gradients", "Equations"]) {
        assert!(page.contains(&format!(">{title}</h2>")), "{title}");
    }
    for tag in ["table", "tr", "td", "th", "section", "main", "header", "thead", "tbody"] {
        let opened = [" ", ">"].map(|end| page.matches(&format!("<{tag}{end}")).count());
        assert_eq!(
            opened.iter().sum::<usize>(),
            page.matches(&format!("</{tag}>")).count(),
            "{tag}"
        );
    }
}
