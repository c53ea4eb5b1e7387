//! A hostile checkpoint takes at most twice its own length and 32 MiB of memory to refuse, an honest
//! one as much to load; to save one takes next to nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use karenina::model::Parameters;
use karenina::train::checkpoint::{Checkpoint, Summary};
use karenina::train::{TrainConfig, TrainConfigBuilder};

use crate::support::{row, tiny};
use crate::{LIVE, PEAK, TURN};

/// The file of `bytes` loads, or does not, within its memory.
fn assert_bounded(what: &str, bytes: Vec<u8>, loads: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i1_l1.ckpt");
    let length = bytes.len();
    fs::write(&path, bytes).unwrap();
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    assert_eq!(Checkpoint::load(&path).is_ok(), loads, "{what}");
    let _ = Summary::read(&path);
    let peak = PEAK.load(Relaxed) - before;
    assert!(peak <= 2 * length + (32 << 20), "{what}: {peak} bytes for a file of {length}");
}

fn seal(bytes: &mut [u8]) {
    let length = (bytes.len() - 28) as u64;
    let crc = crc32fast::hash(&bytes[28..]);
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}

/// The head of [`tiny`]'s file and `count` in the field at `at`, then so many bytes of `filling`.
fn filled(at: usize, count: u64, filling: u8, length: usize) -> Vec<u8> {
    let mut bytes = tiny().encode();
    bytes.truncate(at);
    bytes.extend(count.to_le_bytes());
    bytes.resize(bytes.len() + length, filling);
    seal(&mut bytes);
    bytes
}

#[test]
fn a_hostile_list_of_any_kind_takes_no_more_than_its_file() {
    let _turn = TURN.lock();
    let bytes = 128 << 20;
    let full = |at, count, filling| filled(at, count, filling, bytes as usize);
    assert_bounded("a long choice", full(108, bytes, b'a'), false);
    assert_bounded("a long vocabulary", full(378, bytes, b'a'), false);
    assert_bounded("a long history", full(393, bytes, 0), false);
    assert_bounded("many empty tensors", full(657, bytes / 24, 0), false);
    // What a count alone asks for, in a small file: the bound is tighter.
    for count in [1 << 31, 1 << 63, u64::MAX] {
        assert_bounded("a length without end", filled(378, count, 0, 1 << 20), false);
        assert_bounded("a list without end", filled(657, count, 0, 1 << 20), false);
    }
}

#[test]
fn a_wrong_checksum_takes_no_more_than_its_file() {
    let _turn = TURN.lock();
    let mut bytes = filled(657, 28, 0, 128 << 20);
    *bytes.last_mut().unwrap() ^= 1;
    assert_bounded("a flipped bit", bytes, false);
}

fn large(config: TrainConfig, rows: u64) -> Vec<u8> {
    let sizes = config.sizes(3);
    let parameters = Parameters::zeros(sizes);
    let mut large = Checkpoint::without_history(config, tiny().vocabulary, parameters);
    large.text_sha256 = tiny().text_sha256;
    large.adam.updates = rows;
    (large.step, large.batch) = (rows, rows as usize);
    large.history = (1..=rows).map(|step| row(step, 1)).collect();
    large.encode()
}

#[test]
fn an_honest_file_of_any_proportions_loads_in_twice_its_length() {
    let _turn = TURN.lock();
    let of = |config: TrainConfigBuilder, rows| large(config.build().unwrap(), rows);
    let base = tiny().config.into_builder();
    assert_bounded("a wide network", of(base.clone().hidden(1_200), 3), true);
    assert_bounded("a deep network", of(base.clone().hidden(1).layers(1_024), 3), true);
    assert_bounded("many rows of state", of(base.clone().hidden(4).batch(1_000_000), 3), true);
    assert_bounded("a long history", of(base, 2_000_000), true);
    assert!(Checkpoint::decode(Path::new("tiny"), &tiny().encode()).is_ok());
}

#[test]
fn a_save_takes_a_buffer_however_large_the_network() {
    let _turn = TURN.lock();
    let config = tiny().config.into_builder().hidden(300).build().unwrap();
    let checkpoint = Checkpoint::decode(Path::new("wide"), &large(config, 3)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i3_l300.ckpt");
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    checkpoint.save(&path).unwrap();
    let peak = PEAK.load(Relaxed) - before;
    assert!(peak <= 128 << 10, "{peak} bytes beside the checkpoint");
    assert!(fs::metadata(&path).unwrap().len() > 13_000_000);
    assert_eq!(Checkpoint::load(&path).unwrap(), checkpoint);
}

/// The same for `interchange::load`: four times the file and 64 MiB.
#[cfg(feature = "interchange")]
#[track_caller]
fn assert_import_bounded(what: &str, bytes: Vec<u8>, loads: bool) {
    use karenina::train::interchange;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let length = bytes.len();
    fs::write(&path, bytes).unwrap();
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = interchange::load(&path, None);
    let peak = PEAK.load(Relaxed) - before;
    assert_eq!(result.is_ok(), loads, "{what}: {:?}", result.err());
    assert!(peak <= 4 * length + (64 << 20), "{what}: {peak} bytes for a file of {length}");
}

/// A safetensors file of this header and no bytes.
#[cfg(feature = "interchange")]
fn header(start: &str, filling: impl Fn(usize) -> String, end: &str) -> Vec<u8> {
    let mut header = start.to_string();
    for n in 0.. {
        let next = filling(n);
        if header.len() + next.len() + end.len() > 2 << 20 {
            break;
        }
        header += &next;
    }
    header += end;
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
}

#[cfg(feature = "interchange")]
#[test]
fn a_hostile_safetensors_header_takes_no_more_than_64_mebibytes() {
    let _turn = TURN.lock();
    let empty = r#""":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#;
    let tensor = |n| format!(r#""{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}},"#);
    assert_import_bounded("many empty tensors", header("{", tensor, empty), false);
    let start = r#"{"a":{"dtype":"F32","shape":[0"#;
    let end = r#"],"data_offsets":[0,0]}}"#;
    assert_import_bounded("many dimensions", header(start, |_| ",1".into(), end), false);
    let entry = |n| format!(r#""{n}":"","#);
    let start = r#"{"__metadata__":{"#;
    assert_import_bounded("much metadata", header(start, entry, r#""":""}}"#), false);
    let card = r#"{"__metadata__":{"karenina":"{\"version\":1,\"x\":["#;
    assert_import_bounded("a long card", header(card, |_| "0,".into(), r#"0]}"}}"#), false);
}

#[cfg(feature = "interchange")]
#[test]
fn an_honest_model_of_any_proportions_is_imported_in_four_times_its_length() {
    use karenina::train::interchange::{Precision, export};

    let _turn = TURN.lock();
    let base = tiny().config.into_builder().batch(1).groups(1);
    for (what, hidden, layers) in [("a wide network", 1_200, 2), ("a deep network", 1, 1_024)] {
        let config = base.clone().hidden(hidden).layers(layers).build().unwrap();
        let parameters = Parameters::zeros(config.sizes(3));
        let model = Checkpoint::without_history(config, tiny().vocabulary, parameters);
        let bytes = export(&model, Precision::F32);
        drop(model);
        assert_import_bounded(what, bytes, true);
    }
}
