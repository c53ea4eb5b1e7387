//! Checkpoints keep what they are given, byte for byte, in the file that their specification says.

use std::fs;
use std::path::Path;

use crate::support::{row, tiny, tiny_with};
use karenina::error::{Error, Result};
use karenina::model::{Parameters, Sizes};
use karenina::optim::schedule::Schedule;
use karenina::text::batches::Validation;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::TrainConfig;
use karenina::train::checkpoint::{Checkpoint, Summary};
use ndarray::Array2;

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.ckpt");
const VERSION_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-2.ckpt");
const VERSION_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-3.ckpt");
const VERSION_4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-4.ckpt");

/// [`tiny`] as far as version 3 can say it: with cell states that are not normalised.
fn tiny_of_version_3() -> Checkpoint {
    tiny_with(false)
}

/// [`tiny`] as far as version 2 can say it: with the start that every run had then, and a learning rate that
/// stays.
fn tiny_of_version_2() -> Checkpoint {
    let mut tiny = tiny_of_version_3();
    (tiny.config.forget_bias, tiny.config.schedule) = (1.0, Schedule::default());
    (tiny.config.adam.weight_decay, tiny.adam.config.weight_decay) = (0.0, 0.0);
    tiny.config.input_sd = None;
    tiny.choice.clear();
    tiny
}

/// [`tiny`] as far as version 1 can say it: no run, no minutes, the groups that B = 3 and T = 5 give.
fn tiny_of_version_1() -> Checkpoint {
    let mut tiny = tiny_of_version_2();
    tiny.run = None;
    (tiny.config.groups, tiny.config.save_minutes) = (1, None);
    tiny
}

#[test]
fn what_is_decoded_is_what_was_encoded() {
    let checkpoint = tiny();
    let decoded = Checkpoint::decode(Path::new("memory"), &checkpoint.encode()).unwrap();
    assert_eq!(decoded, checkpoint);
}

#[test]
fn what_is_loaded_is_what_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i5_l2.ckpt");
    let checkpoint = tiny();
    checkpoint.save(&path).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
    let mut written = Vec::new();
    checkpoint.write_to(&mut written).unwrap();
    assert_eq!(fs::read(&path).unwrap(), written);
}

/// Never make these files anew: old files must load for ever. A change of the format is a new version, which
/// gets a golden file of its own.
#[test]
fn the_golden_file_of_version_4_loads_to_exact_values_and_is_written_again_to_the_bit() {
    let checkpoint = Checkpoint::load(Path::new(VERSION_4)).unwrap();
    assert_eq!(checkpoint, tiny());
    assert_eq!(checkpoint.encode(), fs::read(VERSION_4).unwrap());
}

#[test]
fn the_golden_files_of_older_versions_load_to_exact_values_and_are_written_again_as_version_4() {
    let older = [
        (VERSION_1, tiny_of_version_1()),
        (VERSION_2, tiny_of_version_2()),
        (VERSION_3, tiny_of_version_3()),
    ];
    for (file, expected) in older {
        let checkpoint = Checkpoint::load(Path::new(file)).unwrap();
        assert_eq!(checkpoint, expected, "{file}");
        let summary = Summary::read(Path::new(file)).unwrap();
        assert_eq!((summary.run, &summary.config), (expected.run, &expected.config));
        let again = Checkpoint::decode(Path::new("again"), &checkpoint.encode()).unwrap();
        assert_eq!(again, checkpoint);
    }
}

#[test]
fn a_rate_that_falls_from_the_first_step_on_is_not_one_that_never_falls() {
    let mut checkpoint = tiny();
    checkpoint.config.schedule.descent = Some((0, 9));
    let again = Checkpoint::decode(Path::new("again"), &checkpoint.encode()).unwrap();
    assert_eq!(again.config.schedule.descent, Some((0, 9)));
}

/// The golden files are of the same run, so the difference between the versions can be read off.
#[test]
fn each_version_has_more_bytes_at_the_start_of_its_payload() {
    let files = [VERSION_1, VERSION_2, VERSION_3, VERSION_4];
    let [one, two, three, four] = files.map(|file| fs::read(file).unwrap());
    assert!(one[28..] == two[52..]);
    assert_eq!(two[28..52], three[28..52]);
    assert!(two[52..] == three[114..]);
    assert_eq!(three[28..100], four[28..100]);
    assert!(three[100..] == four[108..]);
}

#[test]
fn the_golden_files_have_their_fields_where_the_specification_says() {
    let file = fs::read(VERSION_4).unwrap();
    let whole = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    let float = |at: usize| f64::from_bits(whole(at));
    assert_eq!(&file[..12], b"\x89karenina\r\n\x1a");
    assert_eq!(file[12..16], 4_u32.to_le_bytes());
    assert_eq!(whole(16), file.len() as u64 - 28);
    assert_eq!(file[24..28], crc32fast::hash(&file[28..]).to_le_bytes());
    assert_eq!([28, 36].map(whole), [0x0123_4567_89ab_cdef, 2], "run, groups");
    assert_eq!(float(44), 2.5, "save_minutes");
    assert_eq!([52, 60].map(float), [1.75, 0.75], "forget_bias, input_sd");
    assert_eq!([68, 76, 84].map(whole), [3, 5, 9], "warm_up, descent");
    assert_eq!(float(92), 0.375, "weight_decay");
    assert_eq!(whole(100), 1, "cell_norm");
    assert_eq!((whole(108), &file[116..122]), (6, &b"chosen"[..]));
    assert_eq!([122, 130, 138].map(whole), [3, 2, 2], "V, H, L");
    assert_eq!((whole(146), float(154)), (1, 0.0625), "initialisation");
    assert_eq!([162, 170, 178, 186].map(whole), [3, 5, 7, 11], "B, T, epochs, steps");
    assert_eq!([194, 202, 210, 218].map(float), [0.5, 0.25, 0.75, 0.125], "Adam");
    assert_eq!([226, 234].map(float), [0.875, f64::INFINITY], "keep, clip");
    assert_eq!(whole(242), 13, "save_every");
    assert_eq!((whole(250), float(258), whole(266)), (1, 0.375, 0), "validation");
    assert_eq!(whole(274), 17, "seed");
    assert_eq!(file[282..314], tiny().text_sha256);
    assert_eq!([314, 322, 330, 338].map(whole), [5, 1, 1, 4], "step, epoch, batch, updates");
    assert_eq!([346, 354, 362, 370].map(float), [0.4375, 0.25, 0.75, 0.125], "Adam as it stands");
    assert_eq!(whole(378), 7, "bytes of the vocabulary");
    assert_eq!(&file[386..393], "aж👍".as_bytes());
    assert_eq!(whole(393), 4 * 64, "bytes of the history");
    assert_eq!(whole(401 + 256), 3 * 8 + 4, "number of tensors");
    assert_eq!([665, 673, 681].map(whole), [3, 8, 4 * 24], "the first tensor, w_ih_l0 [V, 4H]");
    assert_eq!(file[689..693], (-0.125_f32).to_le_bytes());
}

#[test]
fn a_summary_says_what_the_whole_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i6_l2.ckpt");
    let mut checkpoint = tiny();
    (checkpoint.step, checkpoint.batch, checkpoint.epoch) = (6, 2, 1);
    checkpoint.history[3] = row(6, 2);
    checkpoint.save(&path).unwrap();
    let summary = Summary::read(&path).unwrap();
    assert_eq!((summary.run, &summary.config), (checkpoint.run, &checkpoint.config));
    assert_eq!(summary.sizes, checkpoint.sizes());
    assert_eq!((summary.step, summary.epoch), (6, 2), "as its row of the log has it");
    assert_eq!(summary.loss, Some(4.0 / 6.0));
    assert_eq!(summary.validation, Some(5.0 / 6.0));
    assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
    assert!(summary.modified.is_some());
}

#[test]
fn a_summary_reads_a_history_longer_than_its_first_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.ckpt");
    let mut checkpoint = tiny();
    checkpoint.history = (1..=20_000).map(|step| row(step, 1)).collect();
    (checkpoint.step, checkpoint.batch, checkpoint.epoch) = (20_000, 20_000, 0);
    checkpoint.adam.updates = 20_000;
    checkpoint.save(&path).unwrap();
    assert_eq!(Summary::read(&path).unwrap().loss, Some(4.0 / 20_000.0));
}

#[test]
fn a_model_from_elsewhere_is_a_checkpoint_at_step_0() {
    let config = TrainConfig::builder().batch(2).build().unwrap();
    let parameters: Parameters<f32> = tiny().parameters;
    let checkpoint =
        Checkpoint::without_history(config, Vocabulary::from_text("abc"), parameters.clone());
    assert_eq!((checkpoint.config.hidden, checkpoint.config.layers), (2, 2));
    let decoded = Checkpoint::decode(Path::new("memory"), &checkpoint.encode()).unwrap();
    assert_eq!(decoded, checkpoint);
    assert_eq!(decoded.parameters, parameters);
}

fn reason<T>(result: Result<T>) -> String {
    match result {
        Err(Error::Checkpoint { reason, .. } | Error::Damaged { reason, .. }) => reason,
        Err(error) => panic!("another kind of error: {error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// Parameters of another network than [`tiny`]'s.
fn zeros(vocabulary: usize, hidden: usize, layers: usize) -> Parameters<f32> {
    Parameters::zeros(Sizes::new(vocabulary, hidden, layers).with_cell_norm(true))
}

/// A save proves the numbers in memory, a reader those in the file: both must come to the same end.
#[test]
fn what_a_reader_would_refuse_is_not_written_for_the_same_reason() {
    type Change = fn(&mut Checkpoint);
    let changes: [Change; 26] = [
        |c| c.config.forget_bias = f64::NAN,
        |c| c.config.groups = 4,
        |c| c.config.save_minutes = Some(f64::NAN),
        |c| c.parameters.projection_mut().b[0] = f32::NAN,
        |c| c.parameters.lstm_mut(1).w_hh[(1, 7)] = f32::INFINITY,
        |c| c.parameters = zeros(3, 3, 2),
        |c| c.adam.m.lstm_mut(0).b[0] = f32::NEG_INFINITY,
        |c| c.adam.m = zeros(3, 2, 1),
        |c| c.adam.v.projection_mut().w[(0, 0)] = -1.0,
        |c| c.adam.v = zeros(4, 2, 2),
        |c| c.adam.config.beta2 = 1.0,
        |c| c.adam.updates = 3,
        |c| c.state.h[1][(2, 1)] = f32::NAN,
        |c| c.state.c[0] = Array2::zeros((2, 2)),
        |c| drop(c.state.c.pop()),
        |c| c.config.batch = 4,
        |c| c.config.batch = usize::MAX,
        |c| c.config.keep = 0.0,
        |c| c.config.validation = Validation::Share(1.0),
        |c| c.vocabulary = Vocabulary::from_text("ab"),
        |c| c.step = 4,
        |c| c.batch = 4,
        |c| c.history.truncate(3),
        |c| c.history.swap(0, 1),
        |c| c.history[1].validation = Some(f64::NAN),
        |c| c.history[3].epoch = 3,
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i5_l2.ckpt");
    tiny().save(&path).unwrap();
    for (n, change) in changes.iter().enumerate() {
        let mut broken = tiny();
        change(&mut broken);
        let read = reason(Checkpoint::decode(&path, &broken.encode()));
        let saved = reason(broken.save(&path));
        assert_eq!(saved, format!("not saved, because the file would be {read}"), "change {n}");
        assert_eq!(Checkpoint::load(&path).unwrap(), tiny(), "the old file is still there");
    }
}
