//! `karenina export`, `import` and what training makes of an imported model.

use karenina::train::checkpoint::Checkpoint;

use crate::command::{errors, run, succeed};

#[test]
fn an_imported_model_goes_on_to_learn_any_text_of_its_characters() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let path = |name: &str| folder.join(name);
    std::fs::write(path("first.txt"), "abcab".repeat(50)).unwrap();
    std::fs::write(path("second.txt"), "ba".repeat(100)).unwrap();
    std::fs::write(path("third.txt"), "bad".repeat(100)).unwrap();
    let good = |arguments| succeed(folder, arguments);
    let bad = |arguments, expected: &str| {
        let output = run(folder, arguments);
        let message = errors(&output);
        assert!(!output.status.success() && message.contains(expected), "{arguments}: {message}");
    };
    good("train first.txt --hidden 4 --layers 1 --batch 2 --unroll 5 --steps 3");
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
    bad("train third.txt --run model --resume", "does not know the character 'd'");
    bad("train second.txt --run model --resume --hidden 5", "--hidden 5 was asked for");
    good("train second.txt --run model --resume --batch 3 --steps 2");
    bad("train first.txt --run model --resume", "it was trained on another text; name that text");
    good("train second.txt --run model --resume --steps 4");
    let learnt = Checkpoint::load(&path("model/i4_l4.ckpt")).unwrap();
    assert_eq!((learnt.config.batch, learnt.config.unroll), (3, 5));
    assert_eq!(learnt.vocabulary, ['a', 'b', 'c']);
    assert_ne!(learnt.parameters, model.parameters);
}
