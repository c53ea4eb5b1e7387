//! A text and a number of minutes: what is chosen is said, kept, and gone on with.

use std::fs;
use std::time::{Duration, Instant};

use karenina::optim::schedule::Schedule;
use karenina::text::batches::Validation;
use karenina::train::run::load_any;
use serde_json::Value;

use crate::command::{errors, run, succeed, with_text};

/// A folder with a `text` that a small network learns something of in seconds.
fn with_novel() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "It was a fine day, and the carriages rolled by. ".repeat(400);
    fs::write(folder.path().join("text"), text).unwrap();
    folder
}

#[test]
fn a_users_text_gets_what_its_length_and_the_time_call_for() {
    let folder = with_novel();
    let train = "train text --minutes 0.05 --threads 1 --no-samples";
    let told = errors(&succeed(folder.path(), train));
    let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
    assert!(end.choice.starts_with("for 0.05 minutes and 19200 characters: "), "{}", end.choice);
    assert!(told.contains(&end.choice.replace("; ", ";\n  ")), "{told}");
    assert_eq!(
        end.config.schedule.descent.unwrap().1,
        end.step,
        "the rate is down at the last step"
    );
    assert!(end.history.last().unwrap().validation.is_some(), "a part of the text is held back");
    let Validation::Batches(tail) = end.config.validation else { panic!("{:?}", end.config) };
    let tail = tail * end.config.batch * end.config.unroll;
    assert!(told.contains(&format!("; the last {tail} are held back for validation\n")), "{told}");

    let told = errors(&succeed(folder.path(), &format!("{train} --resume")));
    let (_, told) =
        told.split_once("nothing to do: ").expect("a resumed run has its steps already");
    let rises = "pass --resume with a larger --steps. The learning rate then rises again, and falls towards 0 until the new end\n";
    assert!(told.contains(", as planned (") && told.contains(rises), "{told}");
}

#[test]
fn the_reason_says_what_the_rate_really_does() {
    let folder = with_novel();
    let train = "train text --minutes 0.05 --threads 1 --no-samples --steps 4 --overwrite";
    let rate = |settings: &str| {
        let told = errors(&succeed(folder.path(), &format!("{train} {settings}")));
        let (_, rate) = told.split_once("the learning rate ").expect(&told);
        rate.split_once(';').unwrap().0.to_string()
    };
    let height = "--learning-rate 0.00123";
    assert_eq!(rate(height), "starts at 0.00123 and falls towards 0 until the last step");
    assert_eq!(
        rate(&format!("{height} --warm-up 2 --descent none")),
        "rises to 0.00123 and stays there"
    );
    assert_eq!(
        rate(&format!("{height} --descent 2..6")),
        "starts at 0.00123 and falls towards 0 until step 6"
    );
}

#[test]
fn who_moves_the_end_of_a_run_moves_the_descent_of_its_rate() {
    let folder = with_novel();
    let end = || {
        let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        (end.step, end.config.schedule.descent, end.adam.config.learning_rate)
    };
    let train = "train text --preset quick --hidden 4 --no-samples";
    succeed(folder.path(), &format!("{train} --steps 10"));
    assert_eq!(end(), (10, Some((6, 10)), 0.016 / 4.0));
    succeed(folder.path(), &format!("{train} --resume --steps 20"));
    assert_eq!(end(), (20, Some((12, 20)), 0.016 / 8.0));
    succeed(folder.path(), &format!("{train} --resume --epochs 1 --steps all"));
    assert_eq!(end(), (25, Some((15, 25)), 0.016 / 10.0), "of 19,200 / (16 x 48) batches");
    succeed(folder.path(), &format!("{train} --resume --steps 30 --epochs 2 --descent none"));
    assert_eq!(end(), (30, None, 0.016));
}

#[test]
fn a_warm_up_that_is_named_stays_and_any_other_keeps_to_the_length_of_the_run() {
    let folder = with_novel();
    let schedule = || {
        let Schedule { warm_up, descent, .. } =
            load_any(&folder.path().join("checkpoints")).unwrap().checkpoint.config.schedule;
        (warm_up, descent)
    };
    let train = "train text --preset quick --hidden 4 --no-samples";
    succeed(folder.path(), &format!("{train} --warm-up 5 --steps 3"));
    assert_eq!(schedule(), (5, Some((1, 3))));
    succeed(folder.path(), &format!("{train} --resume --steps 10"));
    assert_eq!(schedule(), (5, Some((6, 10))), "not named again");
    succeed(folder.path(), &format!("{train} --overwrite --steps 1"));
    assert_eq!(schedule(), (1, Some((0, 1))));
    succeed(folder.path(), &format!("{train} --resume --steps 150"));
    assert_eq!(schedule(), (3, Some((90, 150))), "as if the first run had been no shorter");
}

#[test]
fn a_descent_that_is_named_ends_what_is_planned() {
    let folder = with_novel();
    let train = "train text --minutes 20 --hidden 4 --batch 4 --descent 60..100 --no-samples";
    let told = errors(&succeed(folder.path(), train));
    assert!(told.contains(" in 100 steps of 4 x "), "{told}");
    let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
    assert_eq!((end.step, end.config.save_every, end.config.schedule.warm_up), (100, 9, 2));
}

#[test]
fn a_plan_says_how_much_is_held_back() {
    let folder = with_novel();
    let plan =
        "plan text --preset article --hidden 4 --batch 2 --unroll 50 --validation 0.101 --json";
    let found: Value = serde_json::from_slice(&succeed(folder.path(), plan).stdout).unwrap();
    assert_eq!((&found["held_back"], &found["choice"]), (&1939.into(), &Value::Null));
}

#[test]
fn the_reason_counts_the_parameters_of_all_layers() {
    let folder = with_novel();
    let train = "train text --minutes 1 --layers 3 --hidden 4 --steps 2 --no-samples";
    let told = errors(&succeed(folder.path(), train));
    let (_, parameters) = told.split_once("3 layers of 4 normalised cells (").expect(&told);
    let (parameters, _) = parameters.split_once(' ').unwrap();
    assert!(told.contains(&format!("LSTM cells, {parameters} parameters")), "{told}");
}

#[test]
fn a_preset_trains_a_network_of_other_sizes_too() {
    let folder = with_novel();
    succeed(folder.path(), "train text --preset quick --hidden 6 --steps 2 --run first");
    let train = "train text --preset quick --from first --run second --no-samples --steps";
    succeed(folder.path(), &format!("{train} 2"));
    succeed(folder.path(), &format!("{train} 4 --resume"));
    let end = load_any(&folder.path().join("second")).unwrap().checkpoint;
    assert_eq!((end.step, end.config.hidden, end.config.batch), (4, 6, 16));
}

#[test]
fn a_run_knows_what_it_has_started_with_from_any_folder() {
    let folder = with_novel();
    let train = "train text --preset quick --hidden 4 --steps 2 --no-samples";
    succeed(folder.path(), &format!("{train} --run first"));
    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::copy(folder.path().join("text"), below.join("text")).unwrap();
    succeed(&below, &format!("{train} --run first"));
    let second = "--preset quick --no-samples --run";
    succeed(folder.path(), &format!("train text {second} second --steps 2 --from first"));
    let go_on = format!("train text {second} ../second --steps 4 --resume");
    succeed(&below, &format!("{go_on} --from ../first"));
    let told = errors(&run(&below, &format!("{go_on} --from first")));
    assert!(told.contains("--from first was asked for, but the run started with "), "{told}");
}

#[test]
fn a_planned_run_goes_on_for_more_passes() {
    let folder = with_novel();
    let path = folder.path();
    let train = "train text --hidden 4 --layers 1 --threads 1 --no-samples";
    succeed(path, &format!("{train} --epochs 1"));
    let last = || load_any(&path.join("checkpoints")).unwrap().checkpoint;
    let pass = last().step;
    succeed(path, &format!("{train} --resume --epochs 2"));
    assert_eq!((last().step, last().config.schedule.descent.unwrap().1), (2 * pass, 2 * pass));
}

#[test]
fn who_repeats_the_end_of_a_run_moves_nothing() {
    let folder = with_novel();
    let end = || {
        let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        (end.step, end.config.schedule.descent)
    };
    let train = "train text --preset quick --hidden 4 --epochs 2 --steps 30 --no-samples";
    succeed(folder.path(), &format!("{train} --descent 6..10"));
    assert_eq!(end(), (10, Some((6, 10))), "the rate is down");
    succeed(folder.path(), &format!("{train} --resume"));
    assert_eq!(end(), (10, Some((6, 10))), "the descent was named once and is kept");
}

#[test]
fn a_planned_run_is_ended_at_any_other_step_that_is_named() {
    let folder = with_novel();
    let end = || {
        let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
        (end.step, end.epoch, end.config.schedule.descent)
    };
    let train = "train text --minutes 20 --hidden 4 --batch 16 --unroll 32 --no-samples";
    succeed(folder.path(), &format!("{train} --steps 50")); // a pass has 36 batches
    assert_eq!(end(), (50, 1, Some((30, 50))));
    let told = errors(&succeed(folder.path(), &format!("{train} --resume --steps 200")));
    assert_eq!(end(), (200, 5, Some((120, 200))), "{told}");
    assert!(told.contains("the run began like this: for 20 minutes and"), "{told}");
}

#[test]
fn a_run_that_its_descent_has_ended_goes_on_as_it_is_told_to() {
    let folder = with_novel();
    let train = "train text --preset quick --hidden 4 --epochs 2 --no-samples";
    let step = || load_any(&folder.path().join("checkpoints")).unwrap().checkpoint.step;
    succeed(folder.path(), &format!("{train} --descent 6..10"));
    assert_eq!(step(), 10);
    let told = errors(&succeed(folder.path(), &format!("{train} --resume")));
    assert!(told.contains("--steps all for all 50 steps"), "{told}");
    succeed(folder.path(), &format!("{train} --resume --steps all"));
    assert_eq!(step(), 50);
}

#[test]
fn a_long_run_is_saved_by_the_clock_too() {
    let folder = with_novel();
    succeed(folder.path(), "train text --minutes 20 --hidden 4 --steps 2 --no-samples");
    let end = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint;
    assert_eq!(end.config.save_minutes, Some(10.0));
}

#[test]
fn a_plan_shows_the_choice_and_what_the_user_sets_stands() {
    let folder = with_novel();
    let output = succeed(folder.path(), "plan text --minutes 1 --threads 1 --hidden 32 --batch 4");
    let plan = String::from_utf8(output.stdout).unwrap();
    assert!(
        plan.starts_with("for 1 minute and 19200 characters: 2 layers of 32 normalised cells"),
        "{plan}"
    );
    assert!(plan.contains("the run "), "{plan}");
    assert!(plan.contains(" characters, for validation\n"), "{plan}");
}

#[test]
fn programs_and_the_report_are_told_the_choice_too() {
    let folder = with_novel();
    let sizes = "text --minutes 20 --hidden 4 --batch 4 --threads 1";
    let told = |arguments: &str| {
        String::from_utf8(succeed(folder.path(), arguments).stdout).expect("UTF-8")
    };
    let choice = |json: &str| {
        let object: Value = serde_json::from_str(json).expect(json);
        object["choice"].as_str().map(String::from)
    };
    let plan = choice(&told(&format!("plan {sizes} --steps 2 --json"))).expect("a plan");
    assert!(plan.starts_with("for 20 minutes and 19200 characters: "), "{plan}");
    let train = format!("train {sizes} --steps 2 --json");
    let begun = choice(told(&train).lines().next().unwrap());
    let kept = load_any(&folder.path().join("checkpoints")).unwrap().checkpoint.choice;
    assert_eq!(begun.as_deref(), Some(kept.as_str()));
    let page = told("report text --threads 1 --out -");
    assert!(page.contains(&format!("The run began like this: {kept}")), "{kept}");
    let by_hand = "train text --preset quick --hidden 4 --steps 2 --overwrite --json";
    assert_eq!(choice(told(by_hand).lines().next().unwrap()), None);
    let given = "text --from checkpoints --threads 1 --steps 2 --json";
    let begun = |words: &str| choice(told(words).lines().next().unwrap());
    assert_eq!(begun(&format!("train {given} --preset quick --run second")), None);
    assert_eq!(choice(&told(&format!("plan {given} --preset quick"))), None);
    let plan = begun(&format!("train {given} --minutes 1 --run third")).expect("a plan");
    assert!(plan.starts_with("for 1 minute and 19200 characters: "), "{plan}");
}

#[test]
fn sizes_that_are_said_to_fit_do_fit() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "to and fro, ".repeat(400)).unwrap();
    for sizes in ["--unroll 5000", "--batch 300"] {
        let train = "train text --hidden 4 --minutes 0.01 --threads 1 --no-samples --overwrite";
        let told = errors(&run(folder.path(), &format!("{train} {sizes}")));
        let (_, hint) = told.trim_end().rsplit_once("; ").unwrap_or_else(|| panic!("{told}"));
        let fitting = hint.strip_suffix(" would fit").unwrap_or_else(|| panic!("{told}"));
        succeed(folder.path(), &format!("{train} {fitting}"));
    }
}

#[test]
fn groups_that_are_asked_for_get_rows() {
    let folder = with_text();
    succeed(folder.path(), "plan text --groups 9 --hidden 4 --unroll 4 --minutes 0.01 --threads 1");
    fs::write(folder.path().join("long"), "to and fro, ".repeat(400)).unwrap();
    succeed(
        folder.path(),
        "train long --groups 120 --hidden 4 --unroll 4 --minutes 0.01 --threads 1 --no-samples",
    );
    let told = errors(&run(folder.path(), "plan text --groups 9 --batch 8 --minutes 0.01"));
    assert!(told.contains("--groups is 9, but must be at most 8, the batch's rows"), "{told}");
}

/// A plan is made of what the machine does in two seconds.
#[test]
fn a_folder_with_a_run_is_refused_before_a_plan_is_made() {
    let folder = with_text();
    succeed(folder.path(), "train text --preset article --hidden 4 --batch 2 --unroll 8 --steps 1");
    let start = Instant::now();
    let told = errors(&run(folder.path(), "train text --hidden 4 --minutes 1000"));
    assert!(told.contains("already holds a run"), "{told}");
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());
}
