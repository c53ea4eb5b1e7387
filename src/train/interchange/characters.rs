//! Which character each id means, in the file and here.

use std::collections::BTreeSet;

use ndarray::Axis;

use super::layout::{Check, ensure};
use crate::layers::projection::ProjectionParameters;
use crate::model::Parameters;
use crate::text::corpus::Corpus;
use crate::text::vocabulary::Vocabulary;

/// The `count` distinct characters that `list` consists of, in its order.
pub fn listed(list: &str, count: usize) -> Option<Vec<char>> {
    let characters: Vec<_> = list.chars().take(count.saturating_add(1)).collect();
    let distinct = characters.iter().collect::<BTreeSet<_>>().len();
    (characters.len() == count && distinct == count).then_some(characters)
}

/// The byte-order mark.
const MARK: &str = "\u{feff}";

/// The `count` characters that a user's file lists, with or without a line end after them, or else
/// those of the text that it is. Windows writes a line break as two characters, in a list as well, and a
/// byte-order mark may be one of the characters.
pub fn characters(text: &str, count: usize) -> Check<Vec<char>> {
    let unix = text.replace("\r\n", "\n");
    let plain = [text, &unix];
    let plain = [plain, plain.map(|text| text.trim_start_matches(MARK))].concat();
    let stripped = plain.iter().filter_map(|text| text.strip_suffix('\n'));
    let mut lists = plain.iter().copied().chain(stripped);
    if let Some(list) = lists.find_map(|list| listed(list, count)) {
        return Ok(list);
    }
    let mut vocabulary = Corpus::from_text(text).vocabulary().clone();
    if vocabulary.len() + 1 == count && text.starts_with(MARK) {
        vocabulary = vocabulary.union(&Vocabulary::from_text(MARK));
    }
    ensure(vocabulary.len() == count, || {
        let found = vocabulary.len();
        format!("it predicts {count} characters, but the vocabulary that is given has {found}")
    })?;
    Ok(vocabulary.characters().to_vec())
}

/// Vocabulary and weights with the characters in ascending order, as this crate keeps them.
pub fn sort(characters: &[char], mut parameters: Parameters<f32>) -> (Vocabulary, Parameters<f32>) {
    // Which id in the file the character of each new id has.
    let mut old: Vec<usize> = (0..characters.len()).collect();
    old.sort_by_key(|&id| characters[id]);
    if !old.is_sorted() {
        let w_ih = parameters.lstm(0).w_ih.select(Axis(0), &old);
        let ProjectionParameters { w, b } = parameters.projection();
        let (w, b) = (w.select(Axis(1), &old), b.select(Axis(0), &old));
        parameters.lstm_mut(0).w_ih.assign(&w_ih);
        parameters.projection_mut().w.assign(&w);
        parameters.projection_mut().b.assign(&b);
    }
    (Vocabulary::from_text(&characters.iter().collect::<String>()), parameters)
}
