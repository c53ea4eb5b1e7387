//! The text stage: corpus, vocabulary and batches, from bytes to arrays.

use std::io::{self, Read};
use std::path::Path;

use karenina::error::Error;
use karenina::text::batches::{Batches, Validation};
use karenina::text::corpus::Corpus;
use karenina::text::ids::Ids;
use karenina::text::vocabulary::Vocabulary;
use ndarray::{Array2, array};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn read(bytes: &[u8]) -> Corpus {
    read_file("text", bytes).unwrap()
}

fn read_file(name: &str, bytes: &[u8]) -> Result<Corpus, Error> {
    let mut builder = Corpus::builder();
    builder.read(Path::new(name), bytes)?;
    builder.finish()
}

fn spelt(corpus: &Corpus) -> String {
    corpus.characters().collect()
}

/// Several texts, one straight after the other, as one.
fn joined(texts: &[&str]) -> Corpus {
    let mut corpus = Corpus::builder();
    for text in texts {
        corpus.begin_text();
        corpus.push_str(text).unwrap();
    }
    corpus.finish().unwrap()
}

/// Text of the characters that have been trouble somewhere.
fn troublesome_text() -> impl Strategy<Value = String> {
    let character = prop::sample::select(vec!['\r', '\n', '\u{feff}', '\0', 'a', 'й', '🙂']);
    prop::collection::vec(character, 0..40).prop_map(String::from_iter)
}

// Corpus

#[test]
fn the_byte_order_mark_is_dropped() {
    assert_eq!(spelt(&read(b"\xef\xbb\xbfAnna")), "Anna");
}

#[test]
fn crlf_becomes_lf_wherever_it_lies() {
    // Whoever reads in chunks of a power of two meets a CR at the end of one.
    for size in (0..17).map(|power| 1 << power) {
        let before = "a".repeat(size - 1);
        let corpus = Corpus::from_text(&format!("{before}\r\nb"));
        assert_eq!(spelt(&corpus), format!("{before}\nb"));
    }
}

#[test]
fn crlf_across_the_end_of_a_file_becomes_lf() {
    let corpus = joined(&["one\r", "", "\ntwo\r\n", "three\r"]);
    assert_eq!(spelt(&corpus), "one\ntwo\nthree\r");
    assert_eq!(
        spelt(&joined(&["\u{feff}a\r", "\u{feff}", "\u{feff}\r\nb\u{feff}"])),
        "a\nb\u{feff}"
    );
}

#[test]
fn invalid_utf8_is_named_by_file_and_offset() {
    let error = read_file("a.txt", b"\xef\xbb\xbfAn\xffna").unwrap_err();
    assert!(
        matches!(&error, Error::Malformed { path, offset: 5, .. } if path == Path::new("a.txt"))
    );
    let message = error.to_string();
    assert!(message.contains("a.txt") && message.contains("byte 5"), "{message}");
    // A character cut off by the end of the file begins where it begins.
    let error = read_file("a.txt", &"aй🙂".as_bytes()[..6]).unwrap_err();
    assert!(matches!(error, Error::Malformed { offset: 3, .. }));
}

#[test]
fn length_counts_characters_not_bytes() {
    let corpus = Corpus::from_text("aй‘🙂\0");
    assert_eq!(corpus.len(), 5);
    assert_eq!(corpus.characters().collect::<Vec<_>>(), ['a', 'й', '‘', '🙂', '\0']);
}

#[test]
fn the_same_text_has_the_same_hash_however_it_was_saved() {
    assert_eq!(read(b"\xef\xbb\xbfa\r\nb").sha256(), read(b"a\nb").sha256());
    assert_ne!(read(b"a\nb").sha256(), read(b"a\nc").sha256());
}

#[test]
fn the_embedded_text_is_long_plain_and_bears_its_name() {
    let corpus = Corpus::embedded();
    assert!(corpus.len() >= 100_000, "{} characters", corpus.len());
    assert!(spelt(&corpus).starts_with(Corpus::embedded_name()));
    let strange = |c: char| c.is_control() && c != '\n';
    assert_eq!(corpus.vocabulary().characters().iter().find(|&&c| strange(c)), None);
}

proptest! {
    #[test]
    fn the_normal_form_is_its_own_normal_form(text in troublesome_text()) {
        let corpus = Corpus::from_text(&text);
        let normal = spelt(&corpus);
        let is_normal = !normal.contains("\r\n") && !normal.starts_with('\u{feff}');
        prop_assert!(is_normal);
        prop_assert_eq!(corpus.vocabulary(), &Vocabulary::from_text(&normal));
        prop_assert_eq!(corpus.sha256(), <[u8; 32]>::from(Sha256::digest(&normal)));
        prop_assert_eq!(Corpus::from_text(&normal), corpus);
    }

    #[test]
    fn files_joined_equal_one_file(text in troublesome_text(), cut in 0usize..40) {
        let cut = text.char_indices().nth(cut).map_or(text.len(), |(at, _)| at);
        let (first, rest) = text.split_at(cut);
        // Every file may have a mark of its own: there the two differ.
        prop_assume!(!rest.starts_with('\u{feff}') && !first.is_empty());
        prop_assert_eq!(joined(&[first, rest]), Corpus::from_text(&text));
    }

    #[test]
    fn a_text_cut_into_pieces_anywhere_is_the_same_corpus(
        text in troublesome_text(), sizes in prop::collection::vec(1usize..9, 40),
    ) {
        let whole = Corpus::from_text(&text);
        let bytes = text.as_bytes();
        let mut corpus = Corpus::builder();
        corpus.read(Path::new("pieces"), Pieces { bytes, sizes: sizes.iter().cycle() }).unwrap();
        prop_assert_eq!(corpus.finish().unwrap(), whole.clone());

        let mut corpus = Corpus::builder();
        let characters: Vec<char> = text.chars().collect();
        let mut rest = &characters[..];
        for &size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(size.min(rest.len()));
            corpus.push_str(&piece.iter().collect::<String>()).unwrap();
            rest = after;
        }
        prop_assert_eq!(corpus.finish().unwrap(), whole);
    }

    #[test]
    fn invalid_bytes_have_the_same_offset_however_they_are_cut(
        bytes in prop::collection::vec(prop::sample::select(b"a\xc3\xa9\xe2\x82\xf0\x9f".to_vec()), 0..30),
        sizes in prop::collection::vec(1usize..5, 8),
    ) {
        let read = Corpus::builder()
            .read(Path::new("pieces"), Pieces { bytes: &bytes, sizes: sizes.iter().cycle() });
        match (read, str::from_utf8(&bytes)) {
            (Err(Error::Malformed { offset, .. }), Err(error)) => {
                prop_assert_eq!(offset, error.valid_up_to());
            }
            (read, expected) => prop_assert!(read.is_ok() && expected.is_ok(), "{:?}", bytes),
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = read_file("noise", &bytes);
    }
}

/// Bytes that come in pieces of these sizes, as from a slow pipe.
struct Pieces<'a, S> {
    bytes: &'a [u8],
    sizes: S,
}

impl<'a, S: Iterator<Item = &'a usize>> Read for Pieces<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = *self.sizes.next().expect("no end");
        let size = size.min(buffer.len());
        self.bytes.read(&mut buffer[..size])
    }
}

#[test]
fn a_character_takes_as_many_bytes_as_the_vocabulary_needs() {
    let text = |count: u32| (0x4e00..0x4e00 + count).rev().filter_map(char::from_u32);
    for (count, bytes) in [(256, 1), (257, 2)] {
        let corpus = Corpus::from_text(&text(count).collect::<String>());
        assert_eq!(corpus.ids().bytes(), u64::from(bytes * count));
        assert!(corpus.ids().iter().eq((0..count).rev()));
        assert!(corpus.characters().eq(text(count)));
    }
}

#[test]
fn a_text_in_terms_of_a_larger_vocabulary_is_the_same_text() {
    let corpus = Corpus::from_text("an");
    let larger: String = (0x61..0x61 + 300).filter_map(char::from_u32).collect();
    let larger = Vocabulary::from_text(&larger);
    let same = corpus.clone().in_terms_of(&larger).unwrap();
    assert_eq!((spelt(&same), same.sha256()), ("an".into(), corpus.sha256()));
    assert_eq!(same.ids().bytes(), 4, "two bytes each, as any id of the vocabulary may be stored");
    assert!(same.ids().iter().eq([0, 13]));

    let error = Corpus::from_text("nyet, anna").in_terms_of(corpus.vocabulary()).unwrap_err();
    assert!(matches!(error, Error::UnknownCharacter { character: 'y', .. }), "{error}");
    let known = Corpus::from_text("nyet, anna").restricted_to(corpus.vocabulary()).unwrap();
    assert_eq!(spelt(&known), "nanna");
}

// Vocabulary

#[test]
fn the_vocabulary_is_sorted_and_distinct() {
    let vocabulary = Vocabulary::from_text("счастливые семьи\0🙂");
    assert!(vocabulary.characters().is_sorted_by(|a, b| a < b));
    assert_eq!(vocabulary.id('\0'), Some(0));
    assert_eq!(vocabulary.id('🙂'), Some(vocabulary.len() as u32 - 1));
}

#[test]
fn one_distinct_character_is_a_vocabulary() {
    let vocabulary = Vocabulary::from_text("aaaa");
    assert_eq!(vocabulary.len(), 1);
    assert_eq!(vocabulary.encode("aa").unwrap(), [0, 0]);
    assert!(Batches::new(zeros(4), 2, 2, Validation::None).is_ok());
}

#[test]
fn an_unknown_character_is_named_with_those_that_a_writer_may_have_meant() {
    let message = |known, text| Vocabulary::from_text(known).encode(text).unwrap_err().to_string();
    assert_eq!(
        message("She said \"no\" - twice.", "no “no"),
        "the model does not know the character '“'; similar ones it knows: '\"'"
    );
    for (known, unknown, meant) in [
        ("abcéE", "É", "'E', 'é'"),
        ("Жж", "жЖя", ""),
        ("еЕf", "ё", "'Е', 'е'"),
        ("- a", "–", "'-'"),
    ] {
        let message = message(known, unknown);
        let hint = message.split_once("similar ones it knows: ").map_or("", |(_, rest)| rest);
        assert_eq!(hint.split("; ").next().unwrap(), meant, "{message}");
    }
}

proptest! {
    #[test]
    fn encoding_and_decoding_gives_the_text_back(text in any::<String>()) {
        let vocabulary = Vocabulary::from_text(&text);
        let ids = vocabulary.encode(&text).unwrap();
        prop_assert_eq!(vocabulary.decode(&ids), text);
    }
}

// Batches

/// Inputs and targets of training batch `k`, rows first as the article prints them: [B, T].
fn training(batches: &Batches, k: usize, (b, t): (usize, usize)) -> (Array2<u32>, Array2<u32>) {
    let mut arrays = poisoned(b, t);
    batches.fill(k, &mut arrays.0, &mut arrays.1);
    (arrays.0.reversed_axes(), arrays.1.reversed_axes())
}

/// The same of validation batch `k`.
fn held_back(batches: &Batches, k: usize, (b, t): (usize, usize)) -> (Array2<u32>, Array2<u32>) {
    let mut arrays = poisoned(b, t);
    batches.fill_validation(k, &mut arrays.0, &mut arrays.1);
    (arrays.0.reversed_axes(), arrays.1.reversed_axes())
}

fn poisoned(b: usize, t: usize) -> (Array2<u32>, Array2<u32>) {
    (Array2::from_elem((t, b), u32::MAX), Array2::from_elem((t, b), u32::MAX))
}

fn zeros(count: usize) -> Ids {
    std::iter::repeat_n(0, count).collect()
}

fn numbers(count: u32, b: usize, t: usize, validation: Validation) -> Batches {
    Batches::new((0..count).collect(), b, t, validation).unwrap()
}

fn refusal(count: usize, b: usize, t: usize, validation: Validation) -> String {
    Batches::new(zeros(count), b, t, validation).unwrap_err().to_string()
}

/// Batch and unroll that would fit instead of these.
fn fits(count: usize, b: usize, t: usize, validation: Validation) -> Option<(usize, usize)> {
    match Batches::new(zeros(count), b, t, validation) {
        Err(Error::TextTooShort { fits, .. }) => fits,
        other => panic!("{other:?}"),
    }
}

/// Forty numbers instead of the novel; the cut is the article's `get_batches`.
#[test]
fn batches_match_the_articles_printed_example() {
    let batches = numbers(40, 2, 5, Validation::None);
    assert_eq!(batches.len(), 4);
    let (x, y) = training(&batches, 0, (2, 5));
    assert_eq!(x, array![[0, 1, 2, 3, 4], [20, 21, 22, 23, 24]]);
    assert_eq!(y, array![[1, 2, 3, 4, 5], [21, 22, 23, 24, 25]]);
    let (x, _) = training(&batches, 1, (2, 5));
    assert_eq!(x, array![[5, 6, 7, 8, 9], [25, 26, 27, 28, 29]]);
}

#[test]
fn last_target_of_a_row_is_the_next_character() {
    // 40 characters fill 4 batches, 43 leave 3 over: the rows are the same, the last target is not.
    for (end, last) in [(140, 100), (143, 140)] {
        let batches = Batches::new((100..end).collect(), 2, 5, Validation::None).unwrap();
        let (x, y) = training(&batches, 3, (2, 5));
        assert_eq!(x, array![[115, 116, 117, 118, 119], [135, 136, 137, 138, 139]]);
        assert_eq!(y, array![[116, 117, 118, 119, 120], [136, 137, 138, 139, last]]);
    }
}

#[test]
fn exactly_one_batch_fits_and_one_character_less_does_not() {
    assert_eq!(numbers(10, 2, 5, Validation::None).len(), 1);
    assert_eq!(
        refusal(9, 2, 5, Validation::None),
        "the text has 9 characters, but one batch needs 10"
    );
    assert_eq!(
        refusal(1, 1, 1, Validation::None),
        "the text has 1 character, but one batch needs 2"
    );
}

#[test]
fn too_short_a_text_shrinks_the_batch_first() {
    let fits = |count| fits(count, 100, 100, Validation::None);
    assert_eq!(fits(9_999), Some((99, 100)));
    assert_eq!(fits(250), Some((2, 100)));
    assert_eq!(fits(99), Some((11, 9)));
    assert_eq!(fits(2), Some((2, 1)));
    assert_eq!(fits(0), None);
}

#[test]
fn the_validation_tail_is_cut_the_same_way() {
    // 57 characters: 0..37 to train on, of which 30 fill batches, and 37..57 to validate with.
    for validation in [Validation::Batches(2), Validation::Share(0.35)] {
        let batches = numbers(57, 2, 5, validation);
        assert_eq!((batches.len(), batches.validation_len()), (3, 2));
        let (x, y) = held_back(&batches, 1, (2, 5));
        assert_eq!(x, array![[42, 43, 44, 45, 46], [52, 53, 54, 55, 56]]);
        assert_eq!(y, array![[43, 44, 45, 46, 47], [53, 54, 55, 56, 0]]);
        assert_eq!(batches.validation_position(1, 1), 52..57);
    }
}

#[test]
fn the_validation_tail_is_never_read_in_training() {
    let batches = numbers(50, 2, 5, Validation::Batches(2));
    for k in 0..batches.len() {
        let (x, y) = training(&batches, k, (2, 5));
        assert!(x.iter().all(|&id| id < 30));
        // Only the very last target is the character where the tail begins.
        assert!(y.iter().all(|&id| id <= 30));
    }
}

#[test]
fn a_validation_that_will_not_do_is_told_what_would() {
    let share = |count, share| refusal(count, 10, 10, Validation::Share(share));
    let start = "validation is 0.01, but must be";
    assert_eq!(
        share(3_000, 0.01),
        format!("{start} at least 0.0334, to hold one batch of 100 characters")
    );
    assert_eq!(numbers(3_000, 10, 10, Validation::Share(0.0334)).validation_len(), 1);
    assert!(share(3_000, 0.97).contains("at most 0.9666, to leave one batch"));
    assert_eq!(numbers(3_000, 10, 10, Validation::Share(0.9666)).len(), 1);
    for wrong in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(share(3_000, wrong).contains("above 0 and below 1"), "{wrong}");
    }
    assert_eq!(
        refusal(3_000, 10, 10, Validation::Batches(30)),
        "validation is 30, but must be at most 29, since the text holds 30 batches of \
         100 characters and one must be left to train on"
    );
}

#[test]
fn a_text_too_short_for_validation_is_told_the_sizes_that_would_do() {
    let expected = "the text has 150 characters, but 2 batches (validation included) need 200";
    assert_eq!(refusal(150, 10, 10, Validation::Share(0.4)), expected);
    assert_eq!(fits(150, 10, 10, Validation::Share(0.4)), Some((6, 10)));
    assert_eq!(fits(150, 10, 10, Validation::Share(0.04)), Some((3, 2)));
    assert_eq!(fits(150, 10, 10, Validation::Batches(1)), Some((7, 10)));
    assert!(Batches::new(zeros(150), 6, 10, Validation::Share(0.4)).is_ok());
    assert!(Batches::new(zeros(150), 3, 2, Validation::Share(0.04)).is_ok());
    assert!(Batches::new(zeros(150), 7, 10, Validation::Batches(1)).is_ok());
    assert_eq!(fits(150, 10, 10, Validation::Batches(usize::MAX)), None);
}

#[test]
fn a_size_of_zero_is_a_usage_error() {
    for (b, t) in [(0, 5), (2, 0)] {
        assert!(Batches::new(zeros(9), b, t, Validation::None).unwrap_err().is_usage());
    }
}

proptest! {
    #[test]
    fn rows_concatenated_give_the_text_back(
        b in 1usize..6, t in 1usize..8, n in 1usize..6, rest in 0usize..30, held in 0usize..3,
    ) {
        let count = b * t * (n + held) + rest % (b * t) + 1;
        let ids: Vec<u32> = (7..7 + count as u32).collect();
        let batches = Batches::new(ids.iter().copied().collect(), b, t, Validation::Batches(held)).unwrap();
        prop_assert_eq!(batches.validation_len(), held);
        let tail = ids.len() - b * t * held;
        let mut read: Vec<Vec<u32>> = vec![vec![]; b];
        for k in 0..batches.len() {
            let (x, y) = training(&batches, k, (b, t));
            for (row, read) in read.iter_mut().enumerate() {
                let position = batches.position(k, row);
                prop_assert_eq!(x.row(row).to_vec(), &ids[position.clone()]);
                let next = position.map(|at| ids[(at + 1) % ids.len()]);
                prop_assert_eq!(y.row(row).to_vec(), next.collect::<Vec<_>>());
                read.extend(x.row(row));
            }
        }
        let read = read.concat();
        prop_assert_eq!(&read, &ids[..read.len()]);
        prop_assert!(read.len() <= tail && tail - read.len() < b * t);
    }

    #[test]
    fn the_sizes_suggested_fit(
        found in 0usize..3_000, b in 1usize..80, t in 1usize..80, share in 0.001f64..0.999,
        count in 0usize..5,
    ) {
        for validation in [Validation::None, Validation::Share(share), Validation::Batches(count)] {
            match Batches::new(zeros(found), b, t, validation) {
                Err(Error::TextTooShort { fits: Some((b2, t2)), .. }) => {
                    prop_assert!(b2 <= b && t2 <= t && (b2, t2) != (b, t));
                    prop_assert!(Batches::new(zeros(found), b2, t2, validation).is_ok());
                }
                Err(Error::TextTooShort { fits: None, .. }) => {
                    prop_assert!(Batches::new(zeros(found), 1, 1, validation).is_err());
                }
                _ => {}
            }
        }
    }
}
