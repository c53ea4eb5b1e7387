//! Any bytes as a training text, cut into batches of any size: an error, or batches whose targets are
//! the characters that follow.
#![no_main]

use std::path::Path;

use karenina::text::batches::{Batches, Validation};
use karenina::text::corpus::Corpus;
use karenina::text::vocabulary::Vocabulary;
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|data: &[u8]| {
    let Some((&[b, t, kind, cut, ref share @ ..], bytes)) = data.split_first_chunk::<12>() else {
        return;
    };
    let mut builder = Corpus::builder();
    if builder.read(Path::new("fuzzed"), bytes).is_err() {
        return;
    }
    let corpus = builder.finish().expect("memory");
    let text: String = corpus.characters().collect();
    let text = text.as_str();
    assert_eq!(Corpus::from_text(text), corpus, "the normal form of a normal form is itself");
    assert!(!text.contains("\r\n") && !text.starts_with('\u{feff}'));
    let (head, tail) = halves(str::from_utf8(bytes).expect("it was read"), cut.into());
    let mut pieces = Corpus::builder();
    pieces.push_str(head).and_then(|()| pieces.push_str(tail)).expect("memory");
    assert_eq!(pieces.finish().expect("memory"), corpus, "cut at character {cut}");

    let vocabulary = Vocabulary::from_text(text);
    let ids = vocabulary.encode(text).expect("every character is its own text's");
    let spelt: String = ids.iter().map(|&id| vocabulary.character(id)).collect();
    assert_eq!(spelt, text);
    assert!(corpus.ids().iter().eq(ids.iter().copied()));
    if let Err(error) = vocabulary.encode("\u{10ffff}жQ~") {
        assert!(!error.to_string().contains('\n'));
    }
    let validation = match kind % 3 {
        0 => Validation::None,
        1 => Validation::Batches(share[0].into()),
        _ => Validation::Share(f64::from_le_bytes(*share)),
    };
    check_batches(ids, b.into(), t.into(), validation);
});

/// `text` in two parts, the second of which begins at character `at`, or nowhere.
fn halves(text: &str, at: usize) -> (&str, &str) {
    let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
    text.split_at(at)
}

fn check_batches(ids: Vec<u32>, b: usize, t: usize, validation: Validation) {
    let batches = match Batches::new(ids.iter().copied().collect(), b, t, validation) {
        Ok(batches) => batches,
        Err(error) => return assert!(!error.to_string().contains('\n')),
    };
    let (mut inputs, mut targets) = (Array2::zeros((t, b)), Array2::zeros((t, b)));
    for k in 0..batches.len() {
        batches.fill(k, &mut inputs, &mut targets);
        for row in 0..b {
            let range = batches.position(k, row);
            assert!(inputs.column(row).iter().eq(&ids[range.clone()]));
            let next = range.map(|i| ids[(i + 1) % ids.len()]);
            assert!(targets.column(row).iter().copied().eq(next));
        }
    }
    for k in 0..batches.validation_len() {
        batches.fill_validation(k, &mut inputs, &mut targets);
        let range = batches.validation_position(k, b - 1);
        assert!(inputs.column(b - 1).iter().eq(&ids[range]));
    }
}
