//! Any bytes as a checkpoint: an error, or a checkpoint that is written again to the bit (one of an older
//! version as one of the newest, which then is).
//!
//! The first byte decides how much of the file's frame is made right before it is read, for no fuzzer
//! guesses a checksum: with 0 nothing is, with 1 to 3 magic, length, checksum and that version, with others
//! version 4, so that the payload's own checks stand alone.
#![no_main]

use std::path::Path;

use karenina::train::checkpoint::Checkpoint;
use libfuzzer_sys::{Corpus, fuzz_target};

/// Bytes before the payload: magic, version, length, checksum.
const HEADER: usize = 28;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((how, bytes)) = data.split_first() else { return Corpus::Reject };
    let mut bytes = bytes.to_vec();
    if *how != 0 && bytes.len() >= HEADER {
        seal(&mut bytes, u32::from(*how).min(4));
    }
    if let Ok(checkpoint) = Checkpoint::decode(Path::new("fuzzed"), &bytes) {
        let again = checkpoint.encode();
        if bytes[12] == again[12] {
            assert_eq!(again, bytes, "a checkpoint with two spellings");
        } else {
            let newest = Checkpoint::decode(Path::new("again"), &again).expect("was just written");
            assert_eq!(newest.encode(), again, "a checkpoint that changes when it is written");
        }
    }
    Corpus::Keep
});

fn seal(bytes: &mut [u8], version: u32) {
    let length = (bytes.len() - HEADER) as u64;
    let crc = crc32fast::hash(&bytes[HEADER..]);
    bytes[..12].copy_from_slice(b"\x89karenina\r\n\x1a");
    bytes[12..16].copy_from_slice(&version.to_le_bytes());
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}
