//! What a user can get wrong, and what the command says to it. Every case is run for real; its exit code
//! and message stand in `cli/tests/snapshots/bad_input.txt`, to be read by people.
//!
//! After a change that is meant: `KARENINA_UPDATE=1 cargo test -p karenina-cli bad_input`, and read the difference.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::command::{errors, karenina, run, succeed, with_text};
use karenina::text::corpus::Corpus;
use karenina::train::run::load_any;
use karenina::train::{TrainConfig, Trainer};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/bad_input.txt");

/// A network that fits any text of a few hundred characters and makes two steps.
const SMALL: &str = "--preset article --hidden 4 --layers 1 --batch 2 --unroll 8 --steps 2 --no-samples --threads 1";

/// A name, what `train` reads beside [`SMALL`], and what is in the file `input`.
type TextCase = (&'static str, &'static str, Vec<u8>);

fn texts() -> Vec<TextCase> {
    let many: String = (0x1000..0x20000_u32).filter_map(char::from_u32).take(70_000).collect();
    let some = "All happy families are alike; each unhappy one is so in its own way. ";
    let with = |mark: &[u8]| [mark, some.as_bytes(), some.as_bytes()].concat();
    vec![
        ("an empty file", "input", vec![]),
        ("one character", "input", b"a".into()),
        ("one distinct character", "input", vec![b'a'; 100]),
        ("exactly one batch", "input", some.as_bytes()[..16].into()),
        ("one character less than a batch", "input", some.as_bytes()[..15].into()),
        ("invalid UTF-8", "input", with(b"caf\xe9 ")),
        ("a byte-order mark", "input", with(b"\xef\xbb\xbf")),
        ("a byte-order mark and nothing else", "input", b"\xef\xbb\xbf".into()),
        ("line ends of Windows", "input", with(b"Leo Tolstoy\r\n\r\n")),
        ("NUL bytes", "input", with(b"\0\0\0")),
        ("control characters", "input", b"\x01\x02\x06\x03\x05\x01\x04".repeat(9)),
        ("characters of four bytes", "input", "🙂🙃🐎🚂".repeat(20).into_bytes()),
        ("70,000 distinct characters", "input", many.into_bytes()),
        ("a missing file", "nowhere.txt", vec![]),
        ("a folder", ".", vec![]),
        ("two files, the second missing", "input nowhere.txt", with(b"")),
        ("two files", "input input", with(b"")),
        ("nothing on standard input", "-", vec![]),
        ("an unknown encoding", "input --encoding klingon", with(b"")),
    ]
}

/// A name, and all that is typed, in a folder with a good `text`, a run of it in `checkpoints`, another
/// text in `other`, of one character in `one`, of unknown ones in `unknown`, in UTF-16 in `wide`, `russian` and `short`, in
/// formats that are none of text in `page.pdf`, `text.gz` and `program`, and another program's files in `model.pt` and
/// `model.safetensors`.
const WORDS: [(&str, &str); 88] = [
    ("an unknown character in the prime", "sample --prime zebra"),
    ("an empty prime", "sample --prime= --length 0"),
    ("temperature zero", "sample --temperature 0 --length 3"),
    ("temperature below zero", "sample --temperature -1"),
    ("temperature not a number", "sample --temperature nan"),
    ("top-p zero", "sample --top-p 0"),
    ("no samples", "sample --samples 0"),
    ("weights of a type that there is not", "sample --weights f8"),
    ("no checkpoint there", "sample --run nowhere.ckpt"),
    ("no folder there", "sample --run nowhere"),
    ("no folder there to list", "checkpoints --run nowhere"),
    ("an evaluation that names no text", "eval --threads 1"),
    ("a trace of nothing", "trace "),
    ("the checkpoint of another program", "sample --run model.pt"),
    ("a text as checkpoint", "sample --run text"),
    ("a folder without checkpoints", "sample --run empty"),
    ("a model in safetensors as run", "sample --run model.safetensors"),
    ("an evaluation of one character", "eval one --threads 1"),
    ("an evaluation of which nothing is known", "eval unknown --skip-unknown --threads 1"),
    ("a report on one character", "report one --threads 1"),
    ("an evaluation of a text with unknown characters", "eval other --threads 1"),
    ("an evaluation in more pieces than characters", "eval text --rows 100000 --threads 1"),
    ("an evaluation with weights of no type", "eval text --weights 16"),
    ("learning with a rate beyond all reason", "eval text --dynamic=2 --threads 1"),
    ("learning with rounded weights", "eval text --dynamic --weights f16"),
    ("starting with a network that is not there", "train text --from nowhere --run new"),
    ("starting with a text", "train text --from other --run new"),
    (
        "starting with a network of another size",
        "train text --from checkpoints --hidden 8 --run new",
    ),
    ("batch zero", "train text --batch 0"),
    ("unroll zero", "train text --unroll 0"),
    ("hidden zero", "train text --hidden 0"),
    ("layers zero", "train text --layers 0"),
    ("epochs zero", "train text --epochs 0"),
    ("threads zero", "train text --threads 0"),
    ("more threads than a system starts", "train text --threads 100000000"),
    ("an evaluation on too many threads", "eval text --threads 100000000"),
    ("hidden below zero", "train text --hidden -3"),
    ("learning rate zero", "train text --learning-rate 0"),
    ("learning rate below zero", "train text --learning-rate -1"),
    ("learning rate not a number", "train text --learning-rate nan"),
    ("a learning rate beyond all reason", "train text --learning-rate 1e9 --overwrite"),
    ("a descent of no steps", "train text --descent 600..600"),
    ("weight decay below zero", "train text --weight-decay -1"),
    (
        "weight decay beyond all reason",
        "train text --preset article --weight-decay 2000 --overwrite",
    ),
    ("clip below zero", "train text --clip -5"),
    ("keep zero", "train text --keep 0"),
    ("keep above 1", "train text --keep 1.5"),
    ("validation of everything", "train text --validation 1.0 --run new"),
    ("an unknown preset", "train text --preset war-and-peace"),
    ("a second run in a folder", "train text"),
    ("resuming with another text", "train other --resume"),
    ("resuming with other sizes", "train text --resume --hidden 8"),
    ("resuming for other minutes", "train text --resume --minutes 5"),
    ("resuming with another start", "train text --resume --from checkpoints"),
    ("a text in UTF-16 without a mark", "train wide --run new"),
    ("a Russian one", "train russian --run new"),
    ("its short beginning", "train short --run new"),
    ("a document with its layout", "train model.pt --run new"),
    ("a PDF", "train page.pdf --run new"),
    ("a compressed text", "train text.gz --run new"),
    ("a program", "train program --run new"),
    ("an encoding without a text", "train --encoding windows-1251 --run new"),
    ("too short a text for a check", "gradcheck one --batch 100"),
    ("a report in place of a folder", "report text --threads 1 --out empty"),
    ("a preset for a run of other sizes", "train text --resume --preset quick"),
    ("weights that start larger than any number", "train text --run new --init-sd 1e39"),
    ("resuming and overwriting", "train text --resume --overwrite"),
    ("a file as run folder", "train text --run text"),
    ("a run folder below a file", "train text --run text/new"),
    ("a checkpoint as run folder", "checkpoints --run checkpoints/i2_l4.ckpt"),
    ("a network below a file", "sample --run text/run"),
    ("a run's folder as text", "train checkpoints"),
    ("a run's folder as text to plan for", "plan checkpoints"),
    ("a folder to read before writing", "sample --prime-file empty"),
    ("unknown characters to read before writing", "sample --prime-file other"),
    ("a rate in the place of a text", "eval text --dynamic 0.001"),
    ("a folder to import", "import empty"),
    ("a text to import", "import text"),
    ("minutes with a unit", "train text --minutes 20m"),
    ("half a cell", "train text --hidden 12.5"),
    ("more cells than can be counted", "train text --hidden 99999999999999999999"),
    ("seed below zero", "sample --seed -1"),
    ("a rate that is no number", "eval text --dynamic=abc"),
    ("nothing as share", "train text --keep="),
    ("a validation that is no number", "train text --validation some"),
    ("steps in words", "train text --steps few"),
    ("skipping in words", "train text --on-nan skip=few"),
    ("a text where true or false may stand", "gradcheck --cell-norm text"),
];

/// Exit code and messages of a run that must be short, without its figures of speed and without samples.
fn outcome(folder: &Path, arguments: &str) -> String {
    let start = Instant::now();
    let mut command = karenina(folder, arguments.split(' '));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(300), "{arguments} took long");
    let code = output.status.code().unwrap_or_else(|| panic!("{arguments} died: {output:?}"));
    let messages = errors(&output);
    assert!(!messages.contains("panicked"), "{arguments}: {messages}");
    assert_eq!(code == 0, !messages.contains("karenina:") && !messages.contains("error:"));
    let kept = |line: &&str| code != 0 || line.contains(" distinct");
    let kept: Vec<_> = messages.lines().filter(kept).take(3).collect();
    format!("  exit code {code}\n  {}\n", kept.join("\n  ")).replace("\n  \n", "\n")
}

fn text_case((name, arguments, bytes): TextCase) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("input"), bytes).unwrap();
    let words = format!("train {arguments} {SMALL}");
    format!("{name}: karenina train {arguments}\n{}", outcome(folder.path(), &words))
}

/// Each process that a launcher of MPI jobs starts would train on its own.
#[cfg(not(feature = "mpi"))]
#[test]
fn ranks_are_refused_by_a_program_without_mpi() {
    let folder = tempfile::tempdir().unwrap();
    for set in [
        &[("OMPI_COMM_WORLD_SIZE", "4")][..],
        &[("PMI_SIZE", "4")],
        &[("PMIX_RANK", "0"), ("SLURM_NTASKS", "4")],
        &[("PMI_RANK", "1")],
    ] {
        let mut command = karenina(folder.path(), ["train", "--steps", "1"]);
        let output = command.env_remove("SLURM_NTASKS").envs(set.iter().copied()).output().unwrap();
        let said = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{set:?}: {said}");
        assert!(said.contains("built without MPI") && !said.contains("--groups"), "{said}");
    }
    let mut command = karenina(folder.path(), format!("train {SMALL}").split(' '));
    command.envs([("PMIX_RANK", "0"), ("SLURM_NTASKS", "1")]);
    assert!(command.output().unwrap().status.success(), "one process is no job of several");
}

/// A folder as [`WORDS`] needs it.
fn furnished() -> tempfile::TempDir {
    let folder = with_text();
    fs::write(folder.path().join("other"), "Vronsky ".repeat(50)).unwrap();
    fs::write(folder.path().join("model.pt"), b"PK\x03\x04archive/data.pkl").unwrap();
    let model = b"\x20\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}";
    fs::write(folder.path().join("model.safetensors"), model).unwrap();
    fs::write(folder.path().join("one"), "a").unwrap();
    fs::write(folder.path().join("unknown"), "\u{4e16}\u{754c}".repeat(50)).unwrap();
    let wide: Vec<u8> = "Vronsky ".repeat(50).encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("wide"), wide).unwrap();
    let russian = "Все счастливые семьи похожи друг на друга. ".repeat(50);
    let russian: Vec<u8> = russian.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("short"), &russian[..600]).unwrap();
    fs::write(folder.path().join("russian"), russian).unwrap();
    fs::write(folder.path().join("program"), b"\x7fELF\x02\x01\x01\0\0\0\0\0".repeat(9)).unwrap();
    fs::write(folder.path().join("page.pdf"), b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n").unwrap();
    fs::write(folder.path().join("text.gz"), b"\x1f\x8b\x08\0\0\0\0\0").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    succeed(folder.path(), &format!("train text {SMALL}"));
    folder
}

/// `messages` with one kind of slash in paths, and without the system's name for the command and its words for errors.
fn without_the_system(messages: &str) -> String {
    let ours = |line: &str| match line.split_once(" (os error ") {
        Some((line, _)) => line.rsplit_once(": ").map_or(line, |(ours, _)| ours).to_string(),
        None => line.to_string(),
    };
    let messages = messages.replace('\\', "/").replace("karenina.exe", "karenina");
    messages.split('\n').map(ours).collect::<Vec<_>>().join("\n")
}

#[test]
fn messages_are_compared_without_what_a_system_adds() {
    let windows = "karenina: cannot read a\\b: The system cannot find the file specified. (os error 2)\n\nUsage: karenina.exe";
    let ours = "karenina: cannot read a/b\n\nUsage: karenina";
    assert_eq!(without_the_system(windows), ours);
}

#[test]
fn every_mistake_has_its_message() {
    let furnished = furnished();
    let words = WORDS.map(|(name, words)| {
        format!("{name}: karenina {words}\n{}", outcome(furnished.path(), words))
    });
    let found: Vec<_> = texts().into_iter().map(text_case).chain(words).collect();
    let found = found.join("\n");
    if std::env::var_os("KARENINA_UPDATE").is_some() {
        fs::write(SNAPSHOT, &found).unwrap();
    }
    let expected = fs::read_to_string(SNAPSHOT).unwrap();
    let [found, expected] = [found, expected].map(|messages| match cfg!(windows) {
        true => without_the_system(&messages),
        false => messages,
    });
    for (found, expected) in found.split("\n\n").zip(expected.split("\n\n")) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, expected, "the number of cases");
}

/// A folder with a run whose next loss overflows.
fn diverged() -> tempfile::TempDir {
    let folder = with_text();
    let text = Corpus::from_text(&fs::read_to_string(folder.path().join("text")).unwrap());
    let config = TrainConfig::builder().hidden(4).layers(1).batch(2).unroll(8).build().unwrap();
    let mut checkpoint = Trainer::new(&text, config, 1).unwrap().checkpoint().clone();
    checkpoint.parameters.projection_mut().w.fill(f32::MAX);
    checkpoint.parameters.projection_mut().b.fill(f32::MAX);
    let run = folder.path().join("checkpoints");
    fs::create_dir(&run).unwrap();
    checkpoint.save(&run.join(checkpoint.file_name())).unwrap();
    folder
}

#[test]
fn a_loss_that_overflows_ends_the_run_and_says_where_and_what_would_help() {
    let folder = diverged();
    let output = run(folder.path(), "train text --resume --threads 1");
    let messages = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert_eq!(
        messages.lines().last().unwrap(),
        "karenina: step 1: the loss is not finite in the batch of characters 0-8 296-304; a lower \
         --learning-rate or --clip may help, or --on-nan skip=N, which leaves out up to N such batches of the run"
    );
    let left = load_any(&folder.path().join("checkpoints")).unwrap();
    assert_eq!(
        (left.checkpoint.step, left.broken.len()),
        (0, 0),
        "the last good one is still there"
    );
}

#[test]
fn a_network_that_computes_no_numbers_is_a_failure_that_names_it() {
    let folder = diverged();
    for (words, what) in [
        ("eval text --threads 1", "the loss is NaN"),
        ("eval text --threads 1 --json", "the loss is NaN"),
        ("report text --threads 1", "the loss is NaN"),
        ("sample --length 5", "a logit is inf"),
        ("sample --length 5 --samples 2", "a logit is inf"),
        ("export --gradients abc", "the loss is NaN"),
    ] {
        let output = run(folder.path(), words);
        let message = errors(&output);
        assert_eq!(output.status.code(), Some(1), "{words}: {message}");
        let start = format!("karenina: checkpoints: {what}: the network's weights are too large");
        assert!(message.starts_with(&start), "{words}: {message}");
        assert!(!folder.path().join("report.html").exists());
    }
}

#[test]
fn skipping_leaves_out_as_many_batches_as_allowed_and_says_each() {
    let folder = diverged();
    let output = run(folder.path(), "train text --resume --threads 1 --on-nan skip=3");
    let messages = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{messages}");
    assert_eq!(messages.matches("skipped: step ").count(), 3, "{messages}");
    assert!(
        messages.lines().last().unwrap().starts_with("karenina: step 4: the loss"),
        "{messages}"
    );
}

#[test]
fn a_network_that_no_machine_holds_is_refused_with_both_figures_before_any_of_it_is_made() {
    for hidden in ["3000000", "18446744073709551615"] {
        let folder = with_text();
        let start = Instant::now();
        let words = format!("train text --batch 2 --unroll 8 --hidden {hidden}");
        let output = run(folder.path(), &words);
        let message = errors(&output);
        assert!(!output.status.success() && message.starts_with("karenina: "), "{message}");
        assert!(message.contains("GB") || message.contains("GiB"), "{message}");
        assert!(start.elapsed() < Duration::from_secs(60)); // an emulator is slow
    }
}

#[cfg(unix)]
#[test]
fn a_closed_standard_input_is_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("exec {} train - {SMALL} <&-", env!("CARGO_BIN_EXE_karenina"));
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).starts_with("karenina: cannot read standard input: it holds no text"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_behind_standard_output_is_an_error_and_a_reader_that_has_enough_is_none() {
    let folder = furnished();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = karenina(folder.path(), ["sample"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).starts_with("karenina: cannot write to standard output: No space"));

    let mut long = karenina(folder.path(), ["sample", "--length", "1000000"]);
    let mut child = long.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), errors(&output).as_str()), (Some(0), ""));
}
