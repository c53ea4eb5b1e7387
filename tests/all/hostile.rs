//! No file, however wrong, does worse than an error: no panic, no hang, no memory.
//!
//! `KARENINA_MUTANTS` sets how many mutants are tried, 10,000 if it is not set.

use std::env;
use std::fs::{self, File};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::tiny;
use karenina::error::{Error, Result};
use karenina::text::vocabulary::Vocabulary;
use karenina::train::checkpoint::{Checkpoint, Summary};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

const HEADER: usize = 28;

fn decode(bytes: &[u8]) -> Result<Checkpoint> {
    Checkpoint::decode(Path::new("hostile.ckpt"), bytes)
}

/// The reason why `bytes` are no checkpoint.
fn reason(bytes: &[u8]) -> String {
    match decode(bytes) {
        Err(Error::Damaged { reason, .. }) => reason,
        Err(error) => panic!("another kind of error: {error}"),
        Ok(_) => panic!("it was accepted"),
    }
}

/// Makes length and checksum right, as somebody would who means harm.
fn seal(bytes: &mut [u8]) {
    let length = (bytes.len() - HEADER) as u64;
    let crc = crc32fast::hash(&bytes[HEADER..]);
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}

/// [`tiny`]'s file with these bytes in this place.
fn with(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = tiny().encode();
    bytes[at..at + value.len()].copy_from_slice(value);
    seal(&mut bytes);
    bytes
}

#[test]
fn a_file_cut_short_at_any_length_is_refused() {
    let bytes = tiny().encode();
    for length in 0..bytes.len() {
        let reason = reason(&bytes[..length]);
        assert!(reason.starts_with("cut short") || reason.starts_with("empty"), "{reason}");
    }
}

#[test]
fn a_file_cut_short_at_any_length_is_refused_even_with_length_and_checksum_made_right() {
    let bytes = tiny().encode();
    for length in HEADER..bytes.len() {
        let mut cut = bytes[..length].to_vec();
        seal(&mut cut);
        assert!(reason(&cut).starts_with("damaged"));
    }
}

#[test]
fn a_file_with_any_bit_flipped_is_refused() {
    let mut bytes = tiny().encode();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(decode(&bytes).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
}

/// Changes that an honest writer never makes: numbers that mean much in places that mean much.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Pcg64) {
    const TELLING: [u64; 10] =
        [0, 1, 2, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX, 0x7ff8 << 48, 0x7ff0 << 48];
    let at = |range: Range<usize>, rng: &mut Pcg64| rng.random_range(range);
    match rng.random_range(0..6) {
        0 => {
            let at = at(HEADER..bytes.len(), rng);
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        1 => {
            let at = at(HEADER..bytes.len(), rng);
            bytes[at] = rng.random();
        }
        2 => {
            // A field of the head.
            let at = HEADER + 8 * rng.random_range(0..39);
            let value = TELLING.choose(rng).expect("there are some");
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        3 => {
            let at = at(HEADER..bytes.len() - 8, rng);
            let value = TELLING.choose(rng).expect("there are some");
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        4 => {
            let at = at(HEADER..bytes.len(), rng);
            bytes.insert(at, rng.random());
        }
        _ => {
            let from = at(HEADER..bytes.len() - 32, rng);
            bytes.drain(from..from + rng.random_range(1..32));
        }
    }
}

#[test]
fn a_mutant_with_the_right_checksum_is_refused_or_is_a_checkpoint_like_any_other() {
    let count = env::var("KARENINA_MUTANTS").map_or(10_000, |count| count.parse().unwrap());
    let original = tiny().encode();
    let mut rng = Pcg64::seed_from_u64(0);
    let mut accepted = 0;
    for mutant in 0..count {
        let mut bytes = original.clone();
        for _ in 0..rng.random_range(1..4) {
            mutate(&mut bytes, &mut rng);
        }
        seal(&mut bytes);
        let start = Instant::now();
        if let Ok(checkpoint) = decode(&bytes) {
            assert_eq!(checkpoint.encode(), bytes, "mutant {mutant} has two spellings");
            accepted += 1;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "mutant {mutant}");
    }
    // Weights, losses and the seed may be anything finite: many mutants are in good health.
    assert!(accepted > 0 && accepted < count * 9 / 10, "{accepted} of {count}");
}

#[test]
fn a_size_that_the_file_has_no_room_for_is_refused() {
    let huge = [0, 1 << 31, 1 << 32, 1 << 62, 1 << 63, u64::MAX];
    // The choice's length; V, H, L, B; lengths of vocabulary, history, list of tensors; a tensor's shape and bytes.
    for at in [108, 122, 130, 138, 162, 378, 393, 657, 665, 673, 681] {
        for value in huge {
            let reason = reason(&with(at, &value.to_le_bytes()));
            assert!(reason.starts_with("damaged"), "{value} at {at}: {reason}");
        }
    }
}

#[test]
fn shapes_whose_product_overflows_are_refused() {
    // 2^63 · 2^63 wraps to 0.
    let mut bytes = with(665, &(1_u64 << 63).to_le_bytes());
    bytes[673..681].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    seal(&mut bytes);
    assert!(reason(&bytes).contains("w_ih_l0 has the shape"));
}

#[test]
fn each_lie_is_named() {
    let nan = f64::NAN.to_le_bytes();
    let cases: [(usize, &[u8], &str); 36] = [
        (36, &0_u64.to_le_bytes(), "a choice that does not exist"),
        (36, &4_u64.to_le_bytes(), "groups is 4"),
        (44, &nan, "save_minutes"),
        (44, &(-1.0_f64).to_le_bytes(), "save_minutes"),
        (52, &nan, "forget_bias"),
        (60, &nan, "input_sd"),
        (76, &9_u64.to_le_bytes(), "descent is 9..9"),
        (92, &nan, "weight_decay"),
        (92, &3.0_f64.to_le_bytes(), "weight_decay is 3"),
        (100, &2_u64.to_le_bytes(), "2 where 1 normalises the cells"),
        (108, &u64::MAX.to_le_bytes(), "ends within its first fields"),
        (116, b"\xff", "ends within its first fields"),
        (138, &0_u64.to_le_bytes(), "a size is zero"),
        (138, &4_u64.to_le_bytes(), "28 tensors where 50 were expected"),
        (138, &2_000_u64.to_le_bytes(), "at most 1024"),
        (146, &9_u64.to_le_bytes(), "a choice that does not exist"),
        (194, &nan, "learning_rate"),
        (202, &nan, "beta1"),
        (218, &0.0_f64.to_le_bytes(), "epsilon is 0"),
        (218, &1e-50_f64.to_le_bytes(), "epsilon is"), // as an f32 it is 0
        (354, &nan, "a constant of Adam"),
        (226, &2.0_f64.to_le_bytes(), "keep is 2"),
        (234, &nan, "clip"),
        (242, &0_u64.to_le_bytes(), "save_every"),
        (258, &nan, "validation is"),
        (322, &3_u64.to_le_bytes(), "contradict"),
        (330, &3_u64.to_le_bytes(), "contradict"), // of the 2 batches that a pass would have
        (338, &9_u64.to_le_bytes(), "contradict"),
        (386, "bжa".as_bytes(), "damaged"),
        (386, b"\xff", "not valid utf8"),
        (401, &2_u64.to_le_bytes(), "the history after step"),
        (417, &nan, "the history after step 0"),
        (441, &nan, "the history after step 0"),
        (449, &nan, "the history after step 0"),
        (457, &nan, "the history after step 0"),
        (689, &f32::NAN.to_le_bytes(), "w_ih_l0 holds 1 values"),
    ];
    for (at, value, expected) in cases {
        let reason = reason(&with(at, value)).to_lowercase();
        assert!(reason.contains(&expected.to_lowercase()), "at {at}: {reason}");
    }
}

#[test]
fn a_vocabulary_that_is_not_sorted_or_not_distinct_is_refused() {
    let mut checkpoint = tiny();
    checkpoint.vocabulary = Vocabulary::from_text("abc");
    let bytes = checkpoint.encode();
    let at = bytes.windows(3).position(|window| window == b"abc").unwrap();
    for vocabulary in [b"bac", b"aab", b"cba"] {
        let mut bytes = bytes.clone();
        bytes[at..at + 3].copy_from_slice(vocabulary);
        seal(&mut bytes);
        assert!(reason(&bytes).contains("not sorted or not distinct"));
    }
}

#[test]
fn a_second_moment_below_zero_is_refused() {
    let mut checkpoint = tiny();
    checkpoint.adam.v.projection_mut().w[(0, 0)] = -1.0;
    assert!(reason(&checkpoint.encode()).contains("Adam's v of projection.w"));
}

#[test]
fn a_newer_version_says_that_it_is_newer() {
    let mut bytes = tiny().encode();
    bytes[12] = 5;
    let error = decode(&bytes).unwrap_err();
    assert!(!error.is_damage(), "a newer file is not to be passed over");
    assert_eq!(
        error.to_string(),
        "hostile.ckpt: made by a newer karenina: format version 5, this program reads up to 4"
    );
}

#[test]
fn the_file_of_another_program_says_so() {
    for (start, expected) in [
        (&b"PK\x03\x04archive/data.pkl"[..], "but a zip archive, as PyTorch writes"),
        (b"\x89HDF\r\n\x1a\n", "but HDF5, as Keras writes"),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{\"w\":", "but what looks like a safetensors file"),
        (b"All happy families are alike", "not a karenina checkpoint"),
        (b"\x89karenina\n\x1a-and-more-of-it", "damaged: its line ends were changed"),
    ] {
        let reason = reason(start);
        assert!(reason.ends_with(expected) || reason.starts_with(expected), "{reason}");
    }
}

/// Both ways of reading a file refuse `path`, at once, in one sentence.
fn refused(path: &Path) -> String {
    let start = Instant::now();
    let error = Checkpoint::load(path).unwrap_err();
    Summary::read(path).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1), "{}", path.display());
    let message = error.to_string();
    assert!(!message.contains('\n') && message.contains(path.to_str().unwrap()), "{message}");
    message
}

#[test]
fn a_file_without_bytes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i1_l1.ckpt");
    File::create(&path).unwrap();
    assert!(refused(&path).contains("empty, 0 bytes"));
}

#[test]
fn a_folder_and_a_missing_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path()).contains("a folder where a checkpoint file was expected"));
    assert!(refused(&folder.path().join("nowhere")).starts_with("cannot read"));
}

#[test]
#[cfg_attr(windows, ignore = "NTFS gives the holes of a file space")]
fn a_huge_file_with_holes_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("i1_l1.ckpt");
    let length: u64 = 1 << 42;
    let mut header = tiny().encode()[..HEADER].to_vec();
    header[16..24].copy_from_slice(&(length - HEADER as u64).to_le_bytes());
    fs::write(&path, header).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(length).unwrap();
    let error = Checkpoint::load(&path).unwrap_err();
    let message = error.to_string();
    assert!(message.contains(" needs 8192.0 GiB of memory, but only "), "{message}");
    let twice = 2 * (length - HEADER as u64);
    assert!(matches!(error, Error::FileTooLarge { needed, .. } if needed == twice));
}

#[cfg(unix)]
#[test]
fn a_pipe_and_a_device_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(refused(&pipe).contains("neither a file nor a folder"));
    assert!(refused(Path::new("/dev/zero")).contains("neither a file nor a folder"));
}
