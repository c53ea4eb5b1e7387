//! `karenina export`, `import` and what training makes of an imported model.

use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::load_best;

use crate::command::{errors, run, slashed, succeed};
use crate::json::lines;

#[test]
fn an_imported_model_starts_a_run_on_any_text() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    std::fs::write(path("first.txt"), "abcab".repeat(50)).unwrap();
    std::fs::write(path("second.txt"), "ba".repeat(100)).unwrap();
    std::fs::write(path("third.txt"), "bad".repeat(100)).unwrap();
    let good = |arguments: &str| succeed(folder, arguments);
    let bad = |arguments, expected: &str| {
        let output = run(folder, arguments);
        let message = errors(&output);
        assert!(!output.status.success() && message.contains(expected), "{arguments}: {message}");
    };
    good("train first.txt --preset article --hidden 4 --layers 1 --batch 2 --unroll 5 --steps 3");
    good("export --out model.safetensors");
    good("export --gradients baba --precision f64 --out gradients.safetensors");
    good("import model.safetensors");
    let model = Checkpoint::load(&path("model/i0_l4.ckpt")).unwrap();
    assert_eq!(
        model.parameters,
        Checkpoint::load(&path("checkpoints/i3_l4.ckpt")).unwrap().parameters
    );

    bad("import model.safetensors", "model already holds a run");
    bad("import gradients.safetensors", "gradients of a loss");
    bad("train second.txt --run model --resume", "start one with --from");
    bad("train second.txt --run model", "an imported model, start one with --from model and");
    bad("train second.txt --from model --run x --hidden 5", "cannot be used with");
    bad("train second.txt --from nowhere --run x", "--from is nowhere, but must be");
    bad("train second.txt --from first.txt --run x", "first.txt");
    assert!(!path("x").exists(), "nothing was begun");
    good("train second.txt --from model --run second --minutes 1 --steps 2 --batch 3 --unroll 5");
    bad("train first.txt --run second --resume", "it was trained on another text; name that text");
    good("train second.txt --from model --run second --resume --steps 4");
    let learnt = Checkpoint::load(&path("second/i4_l4.ckpt")).unwrap();
    assert_eq!((learnt.config.batch, learnt.config.unroll), (3, 5));
    assert_eq!(learnt.vocabulary.characters(), ['a', 'b', 'c']);
    assert_ne!(learnt.parameters, model.parameters);
    let start = slashed(&learnt.choice);
    assert!(start.starts_with("starts with the network of "), "{start}");
    assert!(start.contains("/model/i0_l4.ckpt, which knows"), "{start}");
}

#[test]
fn a_run_starts_with_the_best_network_of_another_and_learns_new_characters() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    std::fs::write(path("first.txt"), "abcab".repeat(50)).unwrap();
    std::fs::write(path("second.txt"), "xabc, ".repeat(100)).unwrap();
    let good = |arguments: &str| succeed(folder, arguments);
    good(
        "train first.txt --preset article --hidden 4 --layers 1 --batch 2 --unroll 5 --steps 30 --save-every 10 --validation 0.2",
    );
    let from =
        "train second.txt --from checkpoints --run second --threads 1 --batch 3 --unroll 5 --steps";
    let output = good(&format!("{from} 6"));
    let said = errors(&output);
    let sentence = "which knows 3 characters;\n  3 more are in the text: ' ' ',' 'x', with weights that start as the mean";
    assert!(said.contains(sentence), "{said}");
    let start = Checkpoint::load(&path("second/i0_l4.ckpt")).unwrap();
    assert_eq!(start.vocabulary.characters(), [' ', ',', 'a', 'b', 'c', 'x']);
    let best = load_best(&path("checkpoints")).unwrap().checkpoint.parameters;
    assert_eq!(start.parameters.lstm(0).w_hh, best.lstm(0).w_hh);
    assert_eq!(start.parameters.lstm(0).w_ih.row(3), best.lstm(0).w_ih.row(1));
    assert!(start.adam.m.numbers().iter().all(|m| *m == 0.0));

    good("sample --run second --prime x,c --length 5");
    // With a stop in between, the same bits.
    good(&format!("{from} 6 --descent none --overwrite"));
    let whole = Checkpoint::load(&path("second/i6_l4.ckpt")).unwrap();
    good(&format!("{from} 3 --descent none --overwrite"));
    good(&format!("{from} 6 --resume"));
    assert_eq!(Checkpoint::load(&path("second/i6_l4.ckpt")).unwrap().parameters, whole.parameters);
}

/// A step that changes next to nothing leaves the validation loss that the run is told to start with.
#[test]
fn a_run_that_starts_with_a_network_says_how_good_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("text"), "xabc, ".repeat(100)).unwrap();
    let train =
        "train text --preset article --batch 3 --unroll 5 --validation 0.2 --no-samples --steps";
    succeed(folder, &format!("{train} 6 --hidden 4"));
    let from = "1 --from checkpoints --learning-rate 1e-12 --json --run";
    let told = lines(&succeed(folder, &format!("{train} {from} second")).stdout);
    let of = |event: &str| told.iter().find(|object| object["event"] == event).unwrap();
    let number = |event: &str| of(event)["validation"].as_f64().unwrap();
    assert!((number("start") - number("step")).abs() < 1e-6, "{told:?}");
    let said = errors(&succeed(folder, &format!("{train} 1 --from checkpoints --run third")));
    let sentence = format!("the starting network has a validation loss of {:.4}", number("start"));
    assert!(said.contains(&sentence), "{said}");
    assert!(!said.contains("predicts better"), "{said}");
    let said = errors(&succeed(
        folder,
        &format!("{} 1 --from checkpoints --run none", train.replace("0.2", "0")),
    ));
    assert!(!said.contains("validating"), "{said}");
    let too_far = "1 --from checkpoints --learning-rate 9 --run fourth";
    let said = errors(&succeed(folder, &format!("{train} {too_far}")));
    let sentence = format!(
        "the network that the run started with predicts better: its validation loss is {:.4}, the lowest of the run ",
        number("start")
    );
    assert!(said.contains(&sentence), "{said}");
}
