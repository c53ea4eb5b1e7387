//! Any bytes as a checkpoint: an error, or a checkpoint that is written again to the bit.
//!
//! The first byte decides how much of the file's frame is made right before it is read, for no fuzzer
//! guesses a checksum: usually magic, version, length and checksum are, so that the payload's own
//! checks stand alone.
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
        seal(&mut bytes);
    }
    if let Ok(checkpoint) = Checkpoint::decode(Path::new("fuzzed"), &bytes) {
        assert_eq!(checkpoint.encode(), bytes, "a checkpoint with two spellings");
    }
    Corpus::Keep
});

fn seal(bytes: &mut [u8]) {
    let length = (bytes.len() - HEADER) as u64;
    let crc = crc32fast::hash(&bytes[HEADER..]);
    bytes[..12].copy_from_slice(b"\x89karenina\r\n\x1a");
    bytes[12..16].copy_from_slice(&1_u32.to_le_bytes());
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
}
