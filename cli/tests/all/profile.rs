//! `karenina profile` and `karenina plan`: what they say adds up, and sizes beyond the machine are refused.

use std::path::Path;
use std::process::Output;
use std::sync::LazyLock;
use std::{fs, iter};

use karenina::error::Error;
use karenina::math::matmul::Kernel;
use karenina::math::stopwatch::Phase;
use karenina::model::Sizes;
use karenina::study::plan::Plan;
use karenina::study::profile::{Profile, bytes, flop};
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::memory::Memory;
use karenina::train::run::{Mode, Run, RunEvent, RunFolder, checkpoints_in};
use karenina::train::{TrainConfig, Trainer};
use serde_json::Value;

use crate::command;

fn small() -> TrainConfig {
    TrainConfig::builder().hidden(128).batch(20).unroll(25).build().unwrap()
}

fn karenina(arguments: &[&str]) -> Output {
    command::karenina(Path::new("."), arguments).output().unwrap()
}

/// Measured once for all tests that only look at it.
static MEASURED: LazyLock<Profile> = LazyLock::new(measure);

fn measure() -> Profile {
    Profile::measure(&Corpus::embedded(), small(), 2, Some(20)).unwrap()
}

#[test]
fn phases_lie_within_the_step() {
    let profile = &*MEASURED;
    let (_other, phases) = profile.phases.split_last().unwrap();
    assert!(phases.iter().all(|phase| phase.seconds > 0.0));
    // Work that two threads do side by side counts once; no clock runs on two phases at a time.
    let seconds: f64 = phases.iter().map(|phase| phase.seconds).sum();
    assert!(seconds <= profile.step_seconds, "{seconds} of {}", profile.step_seconds);
    let gflop: f64 = phases.iter().map(|phase| phase.gflop).sum();
    assert!((gflop / profile.step_gflop - 1.0).abs() < 1e-9);
    assert!(profile.fraction_of_peak > 0.0 && profile.fraction_of_peak < 1.0);
}

#[test]
fn at_most_three_percent_of_a_step_are_unexplained() {
    // On a busy machine a thread may be put aside between two phases, so one good measurement of some
    // will do: what no phase covers would be in each of them.
    let unexplained = |profile: Profile| {
        let other = profile.phases.last().unwrap();
        assert_eq!(other.name, "other");
        other.share.abs()
    };
    let profiles = iter::once_with(|| MEASURED.clone()).chain(iter::repeat_with(measure));
    let least = profiles.take(8).map(unexplained).find(|&share| share <= 0.03);
    assert!(least.is_some(), "more than 3 % unexplained, eight times");
}

#[test]
fn every_phase_of_a_step_is_seen() {
    let phases = &MEASURED.phases;
    let names: Vec<_> = phases.iter().map(|phase| phase.name.as_str()).collect();
    // One process waits for no other.
    let seen = Phase::ALL.into_iter().filter(|&phase| phase != Phase::Ranks);
    let all: Vec<_> = seen.map(Phase::name).chain(["other"]).collect();
    assert_eq!(names, all);
    let calls = |name| phases.iter().find(|phase| phase.name == name).unwrap().calls;
    assert_eq!(calls("recurrent matmul"), 2 * 2 * 25); // shards, layers, time steps
    assert_eq!(calls("Adam"), 1);
}

#[test]
fn the_phases_compute_what_a_step_computes() {
    let sizes = Sizes::new(155, 512, 2);
    let sum: f64 = Phase::ALL.into_iter().map(|phase| flop(phase, sizes, 10_000)).sum();
    assert_eq!(sum, sizes.flop(10_000));
    assert_eq!((sum / 1e8).round(), 1935.0);
}

#[test]
fn a_product_reads_each_number_once_in_a_call() {
    let sizes = Sizes::new(155, 512, 2);
    let (positions, unroll, shards) = (10_000, 100, 2);
    // dZ and h of two layers, y of the lower one; y and dlogits.
    let sums = 4 * positions * (2 * (2048 + 512) + 512 + 512 + 155);
    let weights = 4 * 512 * 2048;
    let recurrent = 2 * unroll * (shards * weights + 4 * 100 * (512 + 2048));
    // These start from a bias or from zero: C is not read.
    let input = |row| unroll * shards * weights + 4 * positions * row;
    let projection = |row| shards * 4 * 512 * 155 + 4 * positions * row;
    let calls = |phase| match phase {
        Phase::RecurrentMatmul | Phase::RecurrentBackward => 2 * unroll * shards,
        Phase::InputMatmul | Phase::InputBackward => unroll * shards,
        Phase::Projection | Phase::ProjectionBackward => shards,
        _ => 1,
    };
    for phase in Phase::ALL {
        let expected = match phase {
            Phase::RecurrentMatmul | Phase::RecurrentBackward => recurrent,
            Phase::InputMatmul => input(512),
            Phase::InputBackward => input(2048),
            Phase::Projection => projection(512),
            Phase::ProjectionBackward => projection(155),
            Phase::ParameterGradients => sums,
            _ => 0,
        };
        let found = bytes(phase, sizes, positions, calls(phase) as u64);
        assert_eq!(found, expected as f64, "{phase:?}");
        assert_eq!(found > 0.0, flop(phase, sizes, positions) > 0.0, "{phase:?}");
    }
}

#[test]
fn a_plan_knows_steps_and_sizes_before_they_exist() {
    let corpus = Corpus::from_text(&"So many happy families! ".repeat(500));
    let config = small().into_builder().hidden(16).epochs(3).save_every(4).build().unwrap();
    let plan = Plan::new(&corpus, &config, 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(&corpus, config, 2).unwrap();
    let mut run =
        Run::new(trainer, RunFolder::open(folder.path(), Mode::New).unwrap().folder).unwrap();
    let steps = run.by_ref().filter(|event| matches!(event, Ok(RunEvent::Step(_)))).count();
    assert_eq!((plan.steps, 3 * plan.batches_per_epoch), (steps as u64, steps as u64));
    let saved = checkpoints_in(folder.path()).unwrap();
    assert_eq!(plan.checkpoints, saved.len() as u64);
    let last = fs::metadata(&saved.last().unwrap().path).unwrap();
    assert_eq!(plan.checkpoint_bytes, last.len());
}

#[test]
fn the_length_of_a_file_is_known_without_writing_it() {
    let vocabulary = Vocabulary::from_text("aжя👍");
    let config = small().into_builder().hidden(3).layers(1).batch(5).build().unwrap();
    let sizes = config.sizes(vocabulary.len());
    let parameters = karenina::model::Parameters::zeros(sizes);
    let checkpoint = Checkpoint::without_history(config, vocabulary.clone(), parameters);
    let length = checkpoint.encode().len() as u64;
    assert_eq!(Checkpoint::file_bytes(&vocabulary, sizes, 5, 0), length);
}

#[test]
fn sizes_beyond_the_machine_are_refused_with_the_figure() {
    let corpus = Corpus::embedded();
    let sizes = [
        (1 << 20, 2, 100, 100),
        (1 << 16, 1024, 100, 100),
        (usize::MAX, 1024, (1 << 16) - 1, 1 << 16),
        (512, 2, 1 << 15, 1 << 16),
    ];
    for (hidden, layers, batch, unroll) in sizes {
        let config = TrainConfig::builder().hidden(hidden).layers(layers);
        let config = config.batch(batch).unroll(unroll).build().unwrap();
        let error = Trainer::new(&corpus, config.clone(), 2).expect_err("too large");
        assert!(matches!(error, Error::NoMemory { .. }), "{error}");
        assert!(error.is_usage() && error.to_string().contains(" GiB of memory"), "{error}");
        assert!(matches!(Plan::new(&corpus, &config, 2), Err(Error::NoMemory { .. })));
        let profile = Profile::measure(&corpus, config, 2, Some(1));
        assert!(matches!(profile, Err(Error::NoMemory { .. })));
    }
}

#[test]
fn what_the_machine_holds_is_not_refused() {
    let corpus = Corpus::embedded();
    let config = TrainConfig::article();
    let memory = Memory::of(&config, &corpus, 155, &1.into()).unwrap();
    memory.require(&config).expect("half a GiB, which every machine has that builds this");
    // What a run was seen to take; see docs/performance.md.
    assert!((380 << 20..440 << 20).contains(&memory.total()), "{memory:?}");
}

#[test]
fn train_refuses_before_it_touches_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let name = run.to_str().unwrap();
    let output = karenina(&["train", "--hidden", "1000000000", "--run", name]);
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains(" x 1000000000 cells") && message.contains("GiB"), "{message}");
    assert!(!run.exists());
}

/// The kernel that is best last, so that it is used only where it is asked for.
fn other_kernel() -> &'static str {
    Kernel::available().last().unwrap().name()
}

fn with_kernel(kernel: &str, arguments: &str) -> Output {
    let mut command = command::karenina(Path::new("."), arguments.split(' '));
    command.env("KARENINA_KERNEL", kernel).output().unwrap()
}

/// What is printed for people, of [`other_kernel`].
static SCREEN: LazyLock<String> = LazyLock::new(|| {
    let words = "profile --hidden 32 --batch 4 --unroll 8 --threads 1 --steps 2";
    let output = with_kernel(other_kernel(), words);
    String::from_utf8(output.stdout).unwrap()
});

#[test]
fn tables_are_for_people() {
    let text = &*SCREEN;
    for words in ["recurrent matmul", "% of peak", "the step", "other", "GB/s", "At the peak"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    let output = karenina(&["plan", "--threads", "1"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["parameters", "MiB", "GFLOP", "an epoch", "the run", "checkpoints"] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
}

#[test]
fn another_kernel_is_used_where_it_is_asked_for_and_an_unknown_one_is_refused() {
    let (name, screen) = (other_kernel(), &*SCREEN);
    assert!(screen.contains(&format!("{name} kernel")), "{screen}");

    let output = with_kernel("abacus", "profile --steps 1");
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("KARENINA_KERNEL is abacus") && message.contains(name), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn two_profiles_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let Files { json, .. } = &*FILES;
    fs::write(folder.path().join("a.json"), json).unwrap();
    let mut slower: Value = serde_json::from_str(json).unwrap();
    let mut shallow = slower.clone();
    for phase in slower["phases"].as_array_mut().unwrap() {
        phase["seconds"] = (phase["seconds"].as_f64().unwrap() * 4.0).into();
    }
    fs::write(folder.path().join("b.json"), serde_json::to_vec(&slower).unwrap()).unwrap();

    let compare =
        |a: &str, b: &str| command::run(folder.path(), &format!("profile --compare {a} {b}"));
    let screen = String::from_utf8(compare("a.json", "b.json").stdout).unwrap();
    let row = screen.lines().find(|line| line.starts_with("recurrent matmul")).unwrap();
    assert!(row.contains(" 0.25 "), "{screen}");
    assert!(
        screen.starts_with(&format!("A: a.json: karenina {} on ", env!("CARGO_PKG_VERSION"))),
        "{screen}"
    );
    let last = screen.lines().find(|line| line.starts_with("the step")).unwrap();
    assert!(last.contains(" 1.00 ") && !screen.contains("sizes differ"), "{screen}");

    // As the `>` of PowerShell writes it.
    shallow["sizes"]["layers"] = 1.into();
    let marked = format!("\u{feff}{shallow}");
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("c.json"), utf16).unwrap();
    let screen = String::from_utf8(compare("a.json", "c.json").stdout).unwrap();
    assert!(screen.contains("sizes differ"), "{screen}");

    // A file of a version that counted no bytes and knew no weights in 8 bits.
    for key in ["sample_characters_per_second_i8", "version", "processor"] {
        slower.as_object_mut().unwrap().remove(key).unwrap();
    }
    for phase in slower["phases"].as_array_mut().unwrap() {
        phase.as_object_mut().unwrap().remove("gigabytes").unwrap();
    }
    fs::write(folder.path().join("b.json"), serde_json::to_vec(&slower).unwrap()).unwrap();
    let screen = String::from_utf8(compare("a.json", "b.json").stdout).unwrap();
    let row = screen.lines().find(|line| line.starts_with("sampling in i8")).unwrap();
    assert_eq!(row.split_whitespace().count(), 5, "no figure of B, no ratio: {screen}");

    slower["kernel"] = "\u{1b}[2J".into();
    fs::write(folder.path().join("b.json"), serde_json::to_vec(&slower).unwrap()).unwrap();
    let screen = String::from_utf8(compare("a.json", "b.json").stdout).unwrap();
    assert!(screen.contains("\\u{1b}") && !screen.contains('\u{1b}'), "{screen}");

    fs::write(folder.path().join("d.json"), "{}").unwrap();
    for bad in ["d.json", "e.json"] {
        let output = compare("a.json", bad);
        let message = command::errors(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains(bad) && message.lines().count() == 1, "{message}");
    }
    assert_eq!(command::run(folder.path(), "profile --compare a.json").status.code(), Some(2));
}

const TINY: &str = "profile --hidden 8 --batch 4 --unroll 4 --threads 1 --steps 3";

/// What a measurement leaves to be read.
pub struct Files {
    /// What it prints.
    json: String,
    pub page: String,
}

/// Measured once for all tests that only read it.
pub static FILES: LazyLock<Files> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    // Of sizes that part the phases on the page.
    let words =
        "profile --hidden 32 --batch 8 --unroll 8 --threads 1 --steps 3 --json --html page.html";
    let output = command::succeed(folder.path(), words);
    assert!(command::errors(&output).contains("page.html: "), "where it is");
    let page = fs::read_to_string(folder.path().join("page.html")).unwrap();
    Files { json: String::from_utf8(output.stdout).unwrap(), page }
});

#[test]
fn json_has_the_promised_keys() {
    let json: Value = serde_json::from_str(&FILES.json).unwrap();
    let keys = "step_seconds step_gflop gflops peak_gflops fraction_of_peak characters_per_second \
                sample_characters_per_second sample_characters_per_second_f16 \
                sample_characters_per_second_bf16 sample_characters_per_second_i8 threads";
    for key in keys.split(' ') {
        assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key} in {json}");
    }
    assert!(json.get("peak_rss_bytes").is_some());
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(json["processor"], "");
    assert!(json["phases"].as_array().is_some_and(|phases| phases.len() > 10));
}

#[test]
fn the_page_has_the_numbers_of_the_json() {
    let Files { json, page } = &*FILES;
    let json: Value = serde_json::from_str(json).unwrap();
    let (_, table) = page.split_once("<section id=\"phases\"").unwrap();
    for phase in json["phases"].as_array().unwrap() {
        let number = |key: &str| phase[key].as_f64().unwrap();
        let ms = format!("{:.2}", 1e3 * number("seconds"));
        let mut cells = vec![ms.clone(), format!("{:.1} %", 100.0 * number("share"))];
        let name = phase["name"].as_str().unwrap();
        if number("gflop") > 0.0 {
            let intensity = number("gflop") / number("gigabytes");
            cells.push(format!("{:.2}", number("gflop")));
            cells.push(format!("{:.1}", number("gflops")));
            cells.push(format!("{:.1} %", 100.0 * number("fraction_of_peak")));
            cells.push(format!("{:.1}", 1e3 * number("gigabytes")));
            cells.push(format!("{intensity:.1}"));
            let circle = format!(
                "<title>{name}: {intensity:.1} operations a byte, {:.1} GFLOP/s, ",
                number("gflops")
            );
            assert!(page.contains(&circle), "{circle}");
        }
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let (_, row) = table.split_once(&format!("<th scope=\"row\">{name}</th>")).unwrap();
        let row = row.split_once("</tr>").unwrap().0;
        assert!(row.contains(&cells), "{name}: {cells} in {row}");
        assert!(page.contains(&format!("{name} {ms} ms, ")), "{name} in the words for the bars");
    }
    let peak = format!("peak {:.1} GFLOP/s", json["peak_gflops"].as_f64().unwrap());
    assert!(page.contains(&peak), "{peak}");
    for key in ["cache_gigabytes_per_second", "memory_gigabytes_per_second"] {
        let speed = json["bandwidth"][key].as_f64().unwrap();
        let slope = format!("{speed:.1} GB/s");
        assert_eq!(page.contains(&slope), speed > 0.0, "{slope}"); // 0 where memory is short
    }
    for foreign in ["<script", "http:", "https:", "url(", "@import", "src=", "NaN", "inf "] {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn a_page_that_cannot_be_written_is_a_sentence_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("there")).unwrap();
    let output = command::run(folder.path(), &format!("{TINY} --json --html there"));
    let message = command::errors(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write there: it is a folder"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    assert_eq!(output.stdout, b"", "nothing is measured in vain");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing temporary is left");

    let wrong = ["--json --html -", "--html page.html --compare a b"];
    for arguments in wrong {
        let output = command::run(folder.path(), &format!("profile {arguments}"));
        assert_eq!(output.status.code(), Some(2), "{arguments}: {}", command::errors(&output));
        assert_eq!(output.stdout, b"", "{arguments}");
    }
}
