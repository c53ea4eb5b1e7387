//! A run: at every moment the newest checkpoint that was reported as saved loads, and going on from it
//! ends in the same bits as never having stopped.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use karenina::error::Error;
use karenina::ranks::{Collective, Message, Ranks};
use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{
    Mode, OnSaveError, Opened, Run, RunEvent, RunFolder, checkpoints_in, load_any,
};
use karenina::train::{LogRow, TrainConfig, Trainer, Workers};

fn open(path: &Path, mode: Mode) -> Opened {
    RunFolder::open(path, mode).unwrap()
}

fn steps_in(folder: &Path) -> Vec<u64> {
    checkpoints_in(folder).unwrap().iter().map(|entry| entry.step).collect()
}

/// 96 characters of five kinds.
fn corpus() -> Corpus {
    let text = (0..96).map(|i| ['a', 'b', 'c', 'd', 'e'][i * i % 7 % 5]);
    Corpus::from_text(&text.collect::<String>())
}

fn config() -> TrainConfig {
    let config = TrainConfig::builder().hidden(4).layers(1).batch(2).unroll(4).epochs(2);
    let config = config.save_every(5).validation(Validation::Batches(2));
    config.warm_up(3).descent(Some((2, 100))).build().unwrap()
}

/// A run in `path`, fresh or going on, and where it stands.
fn start(path: &Path, mode: Mode) -> Run {
    let Opened { folder, checkpoint, .. } = open(path, mode);
    let trainer = match checkpoint {
        Some(checkpoint) => Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap(),
        None => Trainer::new(&corpus(), config(), 1).unwrap(),
    };
    Run::new(trainer, folder).unwrap()
}

/// All events to the run's end.
fn finish(run: &mut Run) -> Vec<RunEvent> {
    run.map(Result::unwrap).collect()
}

/// `log.csv` without its last columns, the seconds and the run.
fn timeless_log(folder: &Path) -> Vec<String> {
    let log = fs::read_to_string(folder.join("log.csv")).unwrap();
    log.lines().map(|line| line.rsplitn(3, ',').last().unwrap().to_string()).collect()
}

/// `checkpoint` with its seconds and its run left out.
fn timeless(mut checkpoint: Checkpoint) -> Checkpoint {
    checkpoint.history.iter_mut().for_each(|row| row.seconds = 0.0);
    checkpoint.run = None;
    checkpoint
}

/// What `log.csv` is to hold.
fn whole_log(run: &Run) -> String {
    LogRow::lines(run.trainer().history(), run.folder().run()).collect()
}

/// The newest checkpoint, timeless.
fn timeless_end(folder: &Path) -> Checkpoint {
    timeless(load_any(folder).unwrap().checkpoint)
}

#[test]
fn a_run_validates_and_saves_every_so_often_and_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    let events = finish(&mut run);
    let last = run.trainer().last_step();
    let saved = events.iter().filter(|event| matches!(event, RunEvent::Saved(_))).count() as u64;
    assert_eq!(saved, last.div_ceil(5));
    assert_eq!(
        validated(&run),
        steps_in(folder.path())[1..],
        "one for each checkpoint but that of step 0"
    );
    let log = fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(log, whole_log(&run), "and the log holds it");
    assert!(run.next().is_none());
}

#[test]
fn a_run_that_is_stopped_or_killed_anywhere_and_resumed_ends_in_the_same_bits() {
    let whole = tempfile::tempdir().unwrap();
    let last = finish(&mut start(whole.path(), Mode::New))
        .iter()
        .filter(|event| matches!(event, RunEvent::Step(_)))
        .count();
    for stop_after in 1..last {
        for is_killed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut run = start(folder.path(), Mode::New);
            let steps = run.by_ref().filter(|event| matches!(event, Ok(RunEvent::Step(_))));
            assert_eq!(steps.take(stop_after).count(), stop_after);
            if !is_killed {
                run.stop().unwrap();
            }
            drop(run);
            finish(&mut start(folder.path(), Mode::Resume));
            assert_eq!(timeless_log(folder.path()), timeless_log(whole.path()));
            assert_eq!(timeless_end(folder.path()), timeless_end(whole.path()));
        }
    }
}

#[test]
fn a_stop_saves_this_very_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    run.by_ref().take(2).for_each(drop);
    let path = run.stop().unwrap();
    assert_eq!(path, folder.path().join("i2_l4.ckpt"));
    fs::write(&path, "not written a second time").unwrap();
    assert_eq!(run.stop().unwrap(), path);
    assert_eq!(fs::read(&path).unwrap(), b"not written a second time");
    assert!(run.next().is_none());
}

/// Puts a folder where the checkpoint of `step` is to be, so that its save fails.
fn obstruct(folder: &Path, step: u64) {
    fs::create_dir(folder.join(format!("i{step}_l4.ckpt"))).unwrap();
}

/// The same with a pipe, which whoever opens it waits for; where there is none, with a folder.
fn obstruct_with_pipe(folder: &Path, step: u64) {
    let path = folder.join(format!("i{step}_l4.ckpt"));
    match cfg!(unix) {
        true => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        false => obstruct(folder, step),
    }
}

/// The first error of `run`, and the warnings before it.
fn fail(run: &mut Run) -> (String, Vec<String>) {
    let mut warnings = Vec::new();
    let error = run.find_map(|event| match event {
        Ok(RunEvent::Warning(warning)) => {
            warnings.push(warning);
            None
        }
        event => event.err(),
    });
    (error.unwrap().to_string(), warnings)
}

#[test]
fn a_failed_save_ends_the_run_at_once_if_asked_to() {
    for obstruct in [obstruct, obstruct_with_pipe] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = start(folder.path(), Mode::New);
        run.on_save_error = OnSaveError::Stop;
        obstruct(folder.path(), 5);
        let (error, warnings) = fail(&mut run);
        assert!(error.starts_with("step 5 is not saved: "), "{error}");
        assert!(error.contains("i5_l4.ckpt: not a file"), "{error}");
        assert!(error.ends_with("i0_l4.ckpt is safe") && warnings.is_empty(), "{error}");
        assert_eq!(run.trainer().step(), 5);
        assert!(run.next().is_none());
    }
}

#[test]
fn a_failed_save_is_told_once_and_tried_again_while_training_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    obstruct(folder.path(), 5);
    let mut warnings = Vec::new();
    let saved = run.find_map(|event| match event.unwrap() {
        RunEvent::Warning(warning) => {
            warnings.push(warning);
            None
        }
        RunEvent::Step(_) => {
            thread::sleep(Duration::from_millis(300));
            None
        }
        RunEvent::Saved(path) => Some(path),
        _ => None,
    });
    // A second after step 5, and so at another step than the next that is due.
    assert!(run.trainer().step() > 5 && run.trainer().step() < 10, "{saved:?}");
    assert_eq!(warnings.len(), 1);
    let expected = "training continues and will try to save again, but until then only ";
    assert!(warnings[0].contains(expected) && warnings[0].ends_with("i0_l4.ckpt is safe"));
    finish(&mut run);
    let log = fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(log, whole_log(&run));
}

/// As when a share comes back: its files are others than those that are open.
#[test]
#[cfg_attr(windows, ignore = "a folder whose lock is held cannot be taken away there")]
fn a_log_that_cannot_be_written_is_told_once_and_whole_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let [path, copy] = ["run", "copy"].map(|name| folder.path().join(name));
    let mut run = start(&path, Mode::New);
    run.by_ref().take(3).for_each(|event| drop(event.unwrap()));
    fs::create_dir(&copy).unwrap();
    for name in ["i0_l4.ckpt", RunFolder::LOCK] {
        fs::copy(path.join(name), copy.join(name)).unwrap();
    }
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&copy, &path).unwrap();
    let log = path.join(RunFolder::LOG);
    fs::create_dir_all(log.join("in the way")).unwrap();
    let mut warnings = Vec::new();
    let mut events = run.by_ref().map(Result::unwrap);
    for event in events.by_ref() {
        match event {
            RunEvent::Warning(warning) => warnings.push(warning),
            RunEvent::Step(report) if report.row.step == 8 => break,
            _ => {}
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("will try to write the log again"), "{warnings:?}");
    fs::remove_dir_all(&log).unwrap();
    drop(events);
    finish(&mut run);
    let written = fs::read_to_string(&log).unwrap();
    assert_eq!(written, whole_log(&run));
}

#[cfg(unix)] // elsewhere the name of a file that is deleted is free only when it is closed
#[test]
fn a_log_that_was_deleted_is_made_again_at_the_next_save() {
    for is_stopped in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = start(folder.path(), Mode::New);
        run.by_ref().take(3).for_each(|event| drop(event.unwrap()));
        let log = folder.path().join(RunFolder::LOG);
        fs::remove_file(&log).unwrap();
        match is_stopped {
            true => drop(run.stop().unwrap()),
            false => drop(finish(&mut run)),
        }
        let written = fs::read_to_string(&log).unwrap();
        assert_eq!(written, whole_log(&run));
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_took_the_logs_name_is_not_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let [path, mine] = ["run", "mine.csv"].map(|name| folder.path().join(name));
    let mut run = start(&path, Mode::New);
    run.by_ref().take(3).for_each(|event| drop(event.unwrap()));
    let log = path.join(RunFolder::LOG);
    fs::write(&mine, "date,weight\n").unwrap();
    fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&mine, &log).unwrap();
    let is_said = |event: &RunEvent| matches!(event, RunEvent::Warning(said) if said.contains("move it elsewhere"));
    assert!(finish(&mut run).iter().any(is_said));
    assert_eq!(fs::read_to_string(&mine).unwrap(), "date,weight\n");
}

#[test]
fn a_last_save_that_fails_is_told_and_tried_again_until_it_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    let last = run.trainer().last_step();
    obstruct(folder.path(), last);
    let mut warnings = Vec::new();
    for event in run.by_ref() {
        if let RunEvent::Warning(warning) = event.unwrap() {
            warnings.push(warning);
            fs::remove_dir(folder.path().join(format!("i{last}_l4.ckpt"))).unwrap();
        }
    }
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("this was the last step, and its save is tried again until"));
    assert!(warnings[0].ends_with(".ckpt is safe"), "{warnings:?}");
    assert_eq!(run.folder().newest().unwrap().0, last);
}

#[test]
fn a_run_that_waits_for_its_last_save_can_be_stopped_and_tries_for_some_seconds_more() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    let last = run.trainer().last_step();
    obstruct(folder.path(), last);
    let ranks = run.trainer().workers().ranks.clone();
    let mut warnings = 0;
    for event in run.by_ref() {
        if matches!(event.unwrap(), RunEvent::Warning(_)) {
            warnings += 1;
            let ranks = ranks.clone();
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(1500));
                ranks.ask_to_stop(15);
            });
        }
    }
    assert_eq!(warnings, 1);
    let start = Instant::now();
    let error = run.stop().unwrap_err().to_string();
    assert!(start.elapsed().as_secs() >= 7, "{:?}", start.elapsed());
    assert!(error.starts_with(&format!("step {last} is not saved: ")), "{error}");
    assert!(error.contains(".ckpt is safe"), "{error}");
}

#[test]
fn a_last_save_that_fails_ends_the_run_if_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    run.on_save_error = OnSaveError::Stop;
    let last = run.trainer().last_step();
    obstruct(folder.path(), last);
    let (error, warnings) = fail(&mut run);
    assert!(error.starts_with(&format!("step {last} is not saved: ")), "{error}");
    assert!(warnings.is_empty(), "{warnings:?}");
}

/// What is only saved by the clock is deleted after a while.
#[test]
fn a_save_that_was_due_stays_though_it_succeeds_only_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(by_the_clock(), open(folder.path(), Mode::New).folder).unwrap();
    obstruct(folder.path(), 5);
    for event in run.by_ref() {
        if matches!(event.unwrap(), RunEvent::Step(report) if report.row.step == 6) {
            fs::remove_dir(folder.path().join("i5_l4.ckpt")).unwrap();
            thread::sleep(Duration::from_millis(1100));
        }
    }
    let last = run.trainer().last_step();
    assert_eq!(steps_in(folder.path()), [0, 6, 10, 15, last - 2, last - 1, last]);
}

#[test]
#[cfg_attr(windows, ignore = "a folder whose lock is held cannot be taken away there")]
fn a_checkpoint_that_was_deleted_is_not_said_to_be_safe_and_is_saved_again_at_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    run.by_ref().take(2).for_each(drop);
    let path = run.stop().unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(run.stop().unwrap(), path);
    assert!(path.exists());
    fs::remove_file(&path).unwrap();
    run.on_save_error = OnSaveError::Stop;
    fs::remove_dir_all(folder.path()).unwrap();
    let error = run.stop().unwrap_err().to_string();
    assert!(error.ends_with("nothing of this run is saved"), "{error}");
}

#[test]
fn a_first_save_that_fails_is_an_error_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = Trainer::new(&corpus(), config(), 1).unwrap();
    let opened = open(folder.path(), Mode::New).folder;
    obstruct(folder.path(), 0);
    assert!(Run::new(trainer, opened).err().unwrap().to_string().contains("i0_l4.ckpt"));
}

/// A trainer whose run saves each step by the clock.
fn by_the_clock() -> Trainer {
    let config = config().into_builder().save_minutes(Some(1e-9)).build().unwrap();
    Trainer::new(&corpus(), config, 1).unwrap()
}

#[test]
fn minutes_save_in_between_without_a_validation() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(by_the_clock(), open(folder.path(), Mode::New).folder).unwrap();
    finish(&mut run);
    let last = run.trainer().last_step();
    let due = [0, 5, 10, 15];
    assert_eq!(steps_in(folder.path()), [&due[..], &[last - 2, last - 1, last]].concat());
    assert_eq!(validated(&run), [5, 10, 15, last]);
    let kept = load_any(folder.path()).unwrap().checkpoint.config.save_minutes;
    assert_eq!(kept, Some(1e-9), "the run remembers it");
}

/// Each session leaves two of them, or one at which it was stopped.
#[test]
fn what_earlier_sessions_have_saved_by_the_clock_does_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::new(by_the_clock(), open(folder.path(), Mode::New).folder).unwrap();
    let to_step = |run: &mut Run, step| {
        while run.trainer().step() < step {
            run.next().unwrap().unwrap();
        }
    };
    to_step(&mut run, 4);
    assert_eq!(steps_in(folder.path()), [0, 2, 3]);
    run.stop().unwrap();
    drop(run);
    let mut run = start(folder.path(), Mode::Resume);
    assert_eq!(steps_in(folder.path()), [0, 3, 4], "as long as nothing newer is safe");
    to_step(&mut run, 7);
    run.stop().unwrap();
    assert_eq!(steps_in(folder.path()), [0, 5, 6, 7]);
    let last = run.trainer().last_step();
    drop(run);
    finish(&mut start(folder.path(), Mode::Resume));
    assert_eq!(steps_in(folder.path()), [0, 5, 10, 15, last - 2, last - 1, last]);
}

#[test]
fn where_a_run_was_told_to_end_is_kept_when_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let end = |checkpoint: Option<Checkpoint>, steps| {
        let mut checkpoint = checkpoint.unwrap_or_else(|| by_the_clock().checkpoint().clone());
        checkpoint.config.steps = Some(steps);
        Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap()
    };
    for (mode, steps) in [(Mode::New, 3), (Mode::Resume, 9)] {
        let Opened { folder, checkpoint, .. } = open(folder.path(), mode);
        finish(&mut Run::new(end(checkpoint, steps), folder).unwrap());
    }
    assert_eq!(steps_in(folder.path()), [0, 3, 5, 7, 8, 9]);
}

#[test]
fn a_log_that_cannot_be_written_does_not_keep_a_run_from_going_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = start(folder.path(), Mode::New);
    run.by_ref().take(2).for_each(drop);
    run.stop().unwrap();
    drop(run);
    let log = folder.path().join(RunFolder::LOG);
    let set_readonly = |readonly| {
        let mut permissions = fs::metadata(&log).unwrap().permissions();
        permissions.set_readonly(readonly);
        fs::set_permissions(&log, permissions).unwrap();
    };
    set_readonly(true);
    let mut run = start(folder.path(), Mode::Resume);
    let warnings = |event: RunEvent| match event {
        RunEvent::Warning(warning) => Some(warning),
        _ => None,
    };
    let told: Vec<_> = run.by_ref().take(4).map(Result::unwrap).filter_map(warnings).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("log.csv: the file is read-only; training continues"), "{told:?}");
    set_readonly(false);
    finish(&mut run);
    assert_eq!(fs::read_to_string(&log).unwrap(), whole_log(&run));
}

#[test]
fn a_trainer_refuses_another_text_and_a_place_that_the_text_has_not() {
    let checkpoint = Trainer::new(&corpus(), config(), 1).unwrap().checkpoint().clone();
    let other = Corpus::from_text(&"abcde".repeat(20));
    let error = |checkpoint, corpus| match Trainer::from_checkpoint(checkpoint, corpus, 1) {
        Err(error) => error,
        Ok(_) => panic!("it went on"),
    };
    assert!(matches!(error(checkpoint.clone(), &other), Error::OtherText { .. }));
    let mut elsewhere = checkpoint;
    (elsewhere.step, elsewhere.epoch, elsewhere.batch) = (3, 0, 2);
    let place = "cannot resume from the checkpoint: step 3 is not batch 2 of ";
    assert!(error(elsewhere, &corpus()).to_string().starts_with(place));
}

/// A run whose next loss overflows.
fn diverged(folder: &Path) -> Run {
    let mut checkpoint = Trainer::new(&corpus(), config(), 1).unwrap().checkpoint().clone();
    checkpoint.parameters.projection_mut().w.fill(f32::MAX);
    checkpoint.parameters.projection_mut().b.fill(f32::MAX);
    let trainer = Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap();
    Run::new(trainer, open(folder, Mode::New).folder).unwrap()
}

#[test]
fn a_number_that_is_not_finite_ends_the_run_before_the_parameters_are_touched() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    let before = run.trainer().checkpoint().clone();
    let message = run.next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with("step 1: the loss is not finite"), "{message}");
    assert!(message.contains(" 0-4 "), "it names where in the text: {message}");
    assert_eq!(run.trainer().checkpoint(), &before);
    assert!(run.next().is_none());
}

#[test]
fn so_many_batches_as_allowed_are_skipped_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    run.on_nan = Some(6);
    let before = run.trainer().checkpoint().clone();
    let events: Vec<_> = run.by_ref().collect();
    let kinds: Vec<_> = events
        .iter()
        .map(|event| match event {
            Ok(RunEvent::Skipped(_)) => 's',
            Ok(RunEvent::Saved(_)) => 'S',
            Ok(_) => '?',
            Err(_) => 'e',
        })
        .collect();
    assert_eq!(
        kinds,
        ['s', 's', 's', 's', 's', 'S', 's', 'S', 'e'],
        "what precedes the end is safe"
    );
    let after = run.trainer().checkpoint();
    assert_eq!((after.step, after.batch), (6, 6));
    assert_eq!(
        (&after.parameters, &after.adam, &after.state),
        (&before.parameters, &before.adam, &before.state)
    );
    assert_eq!(load_any(folder.path()).unwrap().checkpoint.step, 6);
}

#[test]
fn batches_that_were_skipped_before_a_run_was_resumed_count() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = diverged(folder.path());
    run.on_nan = Some(6);
    run.by_ref().take(3).for_each(|event| drop(event.unwrap()));
    run.stop().unwrap();
    drop(run);
    let mut run = start(folder.path(), Mode::Resume);
    run.on_nan = Some(6);
    fail(&mut run);
    assert_eq!(run.trainer().step(), 6);
}

/// As a process leaves it that is killed while it validates: the step is saved already.
#[test]
fn a_validation_that_was_interrupted_is_made_when_the_run_goes_on() {
    let [whole, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    finish(&mut start(whole.path(), Mode::New));
    let mut run = start(killed.path(), Mode::New);
    run.by_ref().take(7).for_each(|event| drop(event.unwrap())); // five steps, a save and a step
    drop(run);
    let path = killed.path().join("i5_l4.ckpt");
    let mut saved = Checkpoint::load(&path).unwrap();
    assert!(saved.history[4].validation.take().is_some());
    saved.save(&path).unwrap();
    let mut run = start(killed.path(), Mode::Resume);
    assert!(run.trainer().history()[4].validation.is_some());
    assert!(matches!(run.next(), Some(Ok(RunEvent::Saved(_)))));
    let undisturbed = Checkpoint::load(&whole.path().join("i5_l4.ckpt")).unwrap();
    assert_eq!(timeless(Checkpoint::load(&path).unwrap()), timeless(undisturbed));
    finish(&mut run);
    assert_eq!(timeless_end(killed.path()), timeless_end(whole.path()));
    assert_eq!(timeless_log(killed.path()), timeless_log(whole.path()));
}

/// A process alone, asked to stop when it has asked so often whether it is, as it does before each batch of a validation.
#[derive(Debug)]
struct StoppedAt {
    question: usize,
    asked: AtomicUsize,
    ranks: Arc<OnceLock<Ranks>>,
}

impl Collective for StoppedAt {
    fn rank(&self) -> usize {
        0
    }

    fn count(&self) -> usize {
        1
    }

    fn machine(&self) -> String {
        String::new()
    }

    fn exchange(&self, _: &[Message<&[u8]>], _: &mut [Message<&mut [u8]>]) {
        if let Some(ranks) = self.ranks.get()
            && self.asked.fetch_add(1, Ordering::Relaxed) == self.question
        {
            ranks.ask_to_stop(15);
        }
    }
}

fn stopped_at(question: usize) -> Workers {
    let own = Arc::new(OnceLock::new());
    let ranks = Arc::clone(&own);
    let ranks = Ranks::over(StoppedAt { question, asked: AtomicUsize::new(0), ranks });
    own.set(ranks.clone()).unwrap();
    Workers { threads: 1, ranks }
}

#[test]
fn a_validation_stops_when_the_run_is_to_stop_and_is_made_when_it_goes_on() {
    let [whole, stopped] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    finish(&mut start(whole.path(), Mode::New));
    let trainer = Trainer::new(&corpus(), config(), stopped_at(2)).unwrap(); // before the first batch of the second one
    let mut run = Run::new(trainer, open(stopped.path(), Mode::New).folder).unwrap();
    finish(&mut run);
    assert_eq!((run.trainer().step(), validated(&run)), (10, vec![5]));
    let path = stopped.path().join("i10_l4.ckpt");
    assert_eq!(run.stop().unwrap(), path);
    drop(run);

    // Stopped again while it is made.
    let Opened { folder, checkpoint, .. } = open(stopped.path(), Mode::Resume);
    let trainer = Trainer::from_checkpoint(checkpoint.unwrap(), &corpus(), stopped_at(0)).unwrap();
    assert!(trainer.lacks_validation());
    let mut run = Run::new(trainer, folder).unwrap();
    assert!(run.next().is_none(), "no step is made before");
    assert_eq!(run.stop().unwrap(), path);
    drop(run);

    let mut run = start(stopped.path(), Mode::Resume);
    assert!(matches!(run.next(), Some(Ok(RunEvent::Saved(_)))));
    finish(&mut run);
    let steps = steps_in(whole.path());
    assert_eq!(steps_in(stopped.path()), steps);
    for step in steps {
        let end = |folder: &Path| {
            timeless(Checkpoint::load(&folder.join(format!("i{step}_l4.ckpt"))).unwrap())
        };
        assert_eq!(end(stopped.path()), end(whole.path()));
    }
    assert_eq!(timeless_log(stopped.path()), timeless_log(whole.path()));
}

/// A run whose loss is infinite where the character number `at` of its text is predicted, and only there: all other
/// characters have the largest logit that there is.
fn overflowing_at(at: usize, folder: &Path) -> Run {
    let corpus = corpus();
    let other = |(i, c)| if i == at { 'z' } else { c };
    let corpus = Corpus::from_text(&corpus.characters().enumerate().map(other).collect::<String>());
    let mut checkpoint = Trainer::new(&corpus, config(), 1).unwrap().checkpoint().clone();
    let z = corpus.vocabulary().id('z').unwrap() as usize;
    checkpoint.parameters.projection_mut().b.fill(f32::MAX);
    checkpoint.parameters.projection_mut().b[z] = f32::MIN;
    let trainer = Trainer::from_checkpoint(checkpoint, &corpus, 1).unwrap();
    Run::new(trainer, open(folder, Mode::New).folder).unwrap()
}

/// Steps whose rows hold a validation.
fn validated(run: &Run) -> Vec<u64> {
    let rows = run.trainer().history().iter().filter(|row| row.validation.is_some());
    rows.map(|row| row.step).collect()
}

#[test]
fn a_step_is_validated_though_its_batch_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = overflowing_at(18, folder.path()); // in the batch of steps 5 and 15
    run.on_nan = Some(9);
    finish(&mut run);
    assert_eq!(
        validated(&run),
        [4, 10, 14, run.trainer().last_step()],
        "steps 5 and 15 have no rows"
    );
    let saved = Checkpoint::load(&folder.path().join("i5_l4.ckpt")).unwrap();
    assert_eq!(saved.history[3].validation, run.trainer().history()[3].validation);
    let log = fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(log, whole_log(&run));
}

#[test]
fn a_validation_loss_that_is_not_finite_is_told_and_does_not_prevent_a_save() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = overflowing_at(90, folder.path()); // which is held back
    let events = finish(&mut run);
    let told =
        |event: &&RunEvent| matches!(event, RunEvent::Warning(told) if told.contains("validation"));
    assert_eq!(events.iter().filter(told).count(), 4);
    assert!(validated(&run).is_empty());
    assert_eq!(steps_in(folder.path()), [0, 5, 10, 15, run.trainer().last_step()]);
}

#[test]
fn training_goes_on_after_a_skipped_batch() {
    let mut skipping = Trainer::new(&corpus(), config(), 1).unwrap();
    skipping.next().unwrap().unwrap();
    let updates = skipping.checkpoint().adam.updates;
    skipping.skip_batch();
    let report = skipping.next().unwrap().unwrap();
    assert_eq!((report.row.step, skipping.step()), (3, 3));
    assert_eq!(skipping.checkpoint().adam.updates, updates + 1);
    let bytes = skipping.checkpoint().encode();
    assert!(Checkpoint::decode(Path::new("skipped"), &bytes).is_ok());
}

/// Everything in `folder`, with its name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    let mut all: Vec<_> = entries.map(read).collect();
    all.sort();
    all
}

#[test]
fn a_trainer_that_is_not_the_folders_run_changes_nothing_there() {
    let folder = tempfile::tempdir().unwrap();
    finish(&mut start(folder.path(), Mode::New));
    let before = contents(folder.path());
    let fresh = Trainer::new(&corpus(), config(), 1).unwrap();
    let error = Run::new(fresh, open(folder.path(), Mode::Resume).folder).map(drop).unwrap_err();
    assert!(error.to_string().contains("cannot go on from step 0"), "{error}");
    assert!(contents(folder.path()) == before);

    let fresh = Trainer::new(&corpus(), config(), 1).unwrap();
    let error = open(folder.path(), Mode::Overwrite).folder.begin(fresh.checkpoint()).unwrap_err();
    assert!(error.to_string().contains("a checkpoint of no run cannot begin run "), "{error}");
    assert!(contents(folder.path()) == before);
}

#[test]
fn what_the_configuration_says_of_the_optimiser_counts_before_and_after_a_save() {
    let mut trainer = Trainer::new(&corpus(), config(), 1).unwrap();
    trainer.next().unwrap().unwrap();
    let mut changed = trainer.checkpoint().clone();
    changed.config.adam.weight_decay = 0.5;
    changed.config.adam.beta2 = 0.9;
    let end = |checkpoint: Checkpoint, steps: usize| {
        let mut trainer = Trainer::from_checkpoint(checkpoint, &corpus(), 1).unwrap();
        trainer.by_ref().take(steps).for_each(|report| assert!(report.is_ok()));
        trainer.checkpoint().clone()
    };
    let whole = end(changed.clone(), 4).parameters;
    assert!(whole != end(trainer.checkpoint().clone(), 4).parameters, "the change counts");
    let halfway = end(changed, 2);
    let loaded = Checkpoint::decode(Path::new("halfway"), &halfway.encode()).unwrap();
    assert!(whole == end(loaded, 2).parameters);
}

#[test]
fn a_checkpoint_that_contradicts_itself_is_refused_before_the_first_step() {
    let changes: [fn(&mut Checkpoint); 8] = [
        |c| c.config.batch = 3,
        |c| c.config.hidden = 5,
        |c| c.config.layers = 2,
        |c| c.config.cell_norm = true,
        |c| c.config.groups = 9,
        |c| c.config.keep = 0.0,
        |c| c.config.adam.learning_rate = f64::NAN,
        |c| c.state.h.clear(),
    ];
    let trainer = Trainer::new(&corpus(), config(), 1).unwrap();
    for (n, change) in changes.into_iter().enumerate() {
        let mut checkpoint = trainer.checkpoint().clone();
        change(&mut checkpoint);
        let error = Trainer::from_checkpoint(checkpoint, &corpus(), 1).map(drop).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. } | Error::Setting { .. }), "{n}: {error}");
    }
}
