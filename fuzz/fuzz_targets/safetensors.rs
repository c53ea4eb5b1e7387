//! Any bytes as a safetensors file: an error, or a model that comes back the same when it is exported
//! and imported again, and when it is saved and loaded.
#![no_main]

use std::path::Path;

use karenina::train::checkpoint::Checkpoint;
use karenina::train::interchange::{Precision, export, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let path = Path::new("fuzzed");
    // The first byte says whether a vocabulary is given beside the file.
    let Some((given, bytes)) = data.split_first() else { return };
    let vocabulary = (given % 2 == 1).then_some("abc");
    let checkpoint = match import(path, bytes, vocabulary) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return assert!(!error.to_string().contains('\n'), "{error}"),
    };
    for precision in [Precision::F32, Precision::F64] {
        let again = import(path, &export(&checkpoint, precision), None).expect("it was exported");
        assert_eq!(again, checkpoint);
    }
    let loaded = Checkpoint::decode(path, &checkpoint.encode()).expect("it was saved");
    assert_eq!(loaded, checkpoint);
});
