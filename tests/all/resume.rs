//! A run that was stopped and resumed ends in the same bits as one that never was: parameters, moments,
//! state and log. And everything that a checkpoint holds is needed for that.

use std::fs;
use std::path::Path;

use karenina::text::batches::Validation;
use karenina::text::corpus::Corpus;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Mode, Opened, Run, RunEvent, RunFolder, load_any};
use karenina::train::{TrainConfig, Trainer};

/// The run goes on, or begins, in `folder` and is stopped after step `stop`, or not at all.
fn go_on(folder: &Path, config: &TrainConfig, threads: usize, stop: u64) {
    let Opened { folder, checkpoint, .. } = RunFolder::open(folder, Mode::Resume).unwrap();
    let trainer = match checkpoint {
        Some(checkpoint) => Trainer::from_checkpoint(checkpoint, &text(), threads).unwrap(),
        None => Trainer::new(&text(), config.clone(), threads).unwrap(),
    };
    let mut run = Run::new(trainer, folder).unwrap();
    while let Some(event) = run.next() {
        if matches!(event.unwrap(), RunEvent::Step(report) if report.row.step == stop) {
            run.stop().unwrap();
        }
    }
}

/// SHA-256 of all numbers of the last checkpoint and the log, both without their seconds and run.
fn end(folder: &Path) -> (String, String) {
    let mut end = load_any(folder).unwrap().checkpoint;
    assert_eq!(end.step, LAST);
    end.history.iter_mut().for_each(|row| row.seconds = 0.0);
    end.run = None;
    let log = fs::read_to_string(folder.join("log.csv")).unwrap();
    let timeless = log.lines().map(|line| line.rsplitn(3, ',').last().unwrap().to_string() + "\n");
    (sha256(&end.encode()), timeless.collect())
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn wherever_it_is_stopped_on_any_number_of_layers_and_threads() {
    for layers in 1..=3 {
        let config = config().into_builder().layers(layers).build().unwrap();
        let whole = tempfile::tempdir().unwrap();
        go_on(whole.path(), &config, 1, 0);
        let expected = end(whole.path());
        for threads in [1, 2, 4] {
            // At step 1, in the middle of an epoch, at an epoch's end, twice.
            for stops in [&[1][..], &[5], &[EPOCH], &[5, EPOCH + 3]] {
                let folder = tempfile::tempdir().unwrap();
                for &stop in stops.iter().chain([&0]) {
                    go_on(folder.path(), &config, threads, stop);
                }
                let found = end(folder.path());
                let what = format!("{layers} layers, {threads} threads, stopped at {stops:?}");
                assert_eq!(found.0, expected.0, "numbers: {what}");
                assert_eq!(found.1, expected.1, "log: {what}");
            }
        }
    }
}

/// Batches of an epoch: 600 characters in batches of 64, one of which is held back.
const EPOCH: u64 = 8;
const LAST: u64 = 20;

fn text() -> Corpus {
    Corpus::from_text(
        &(0..600_usize).map(|i| b"abcdefg"[i * i % 11 % 7] as char).collect::<String>(),
    )
}

fn config() -> TrainConfig {
    let config = TrainConfig::builder().hidden(6).batch(4).unroll(16).keep(0.8).save_every(7);
    let config = config.warm_up(9).descent(Some((2, LAST))).weight_decay(2.0);
    config.steps(Some(LAST)).validation(Validation::Batches(1)).build().unwrap()
}

/// The numbers at a run's end if `change` is done to its checkpoint after five steps, or why it cannot
/// go on.
fn end_after(change: impl FnOnce(&mut Checkpoint)) -> Result<Checkpoint, String> {
    let steps = |trainer: &mut Trainer, count| {
        assert!(trainer.by_ref().take(count).all(|report| report.is_ok()));
    };
    let mut trainer = Trainer::new(&text(), config(), 1).unwrap();
    steps(&mut trainer, 5);
    let mut checkpoint = trainer.checkpoint().clone();
    change(&mut checkpoint);
    let path = Path::new("changed");
    let read = Checkpoint::decode(path, &checkpoint.encode()).map_err(|e| e.to_string())?;
    let mut resumed = Trainer::from_checkpoint(read, &text(), 1).map_err(|e| e.to_string())?;
    steps(&mut resumed, 7);
    let mut end = resumed.checkpoint().clone();
    end.history.iter_mut().for_each(|row| row.seconds = 0.0);
    // What was changed must show in what was computed, not in itself.
    (end.config, end.adam.config) = (config(), config().adam);
    Ok(end)
}

/// The matrix above could miss what a checkpoint leaves out only if this passed.
#[test]
fn leaving_out_any_field_of_the_state_is_noticed() {
    type Change = fn(&mut Checkpoint);
    let changes: [(&str, Change); 22] = [
        ("parameters", |c| c.parameters.numbers_mut().fill(0.0)),
        ("Adam's m", |c| c.adam.m.numbers_mut().fill(0.0)),
        ("Adam's v", |c| c.adam.v.numbers_mut().fill(0.0)),
        ("Adam's updates", |c| c.adam.updates = 0),
        ("Adam's constants", |c| c.config.adam.beta1 = 0.5),
        ("h", |c| c.state.h.iter_mut().for_each(|h| h.fill(0.0))),
        ("c", |c| c.state.c.iter_mut().for_each(|c| c.fill(0.0))),
        ("step", |c| c.step = 0),
        ("batch", |c| c.batch = 0),
        ("epoch", |c| c.epoch = 1),
        ("step and batch", |c| (c.step, c.batch) = (4, 4)),
        ("history", |c| c.history.clear()),
        ("one row of the history", |c| c.history.truncate(4)),
        ("seed", |c| c.config.seed = 1),
        ("keep", |c| c.config.keep = 0.5),
        ("clip", |c| c.config.clip = 0.01),
        ("warm-up", |c| c.config.schedule.warm_up = 3),
        ("start of the descent", |c| c.config.schedule.descent = Some((3, LAST))),
        ("end of the descent", |c| c.config.schedule.descent = Some((2, LAST + 1))),
        ("weight decay", |c| c.config.adam.weight_decay = 0.0),
        ("unroll", |c| c.config.unroll = 8),
        ("validation", |c| {
            c.config.validation = Validation::Batches(4);
        }),
    ];
    let expected = end_after(|_| {}).unwrap();
    for (field, change) in changes {
        assert_ne!(end_after(change), Ok(expected.clone()), "without {field}");
    }
}
