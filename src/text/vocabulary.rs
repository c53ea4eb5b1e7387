//! Characters and their ids.

use std::collections::BTreeSet;

use crate::error::{Error, Result};

/// The V distinct characters of a text in the order of their code points; the place of a character,
/// from 0, is its id.
///
/// ```
/// use karenina::text::vocabulary::Vocabulary;
///
/// let vocabulary = Vocabulary::from_text("anna");
/// assert_eq!(vocabulary.characters(), ['a', 'n']);
/// assert_eq!(vocabulary.encode("nan")?, [1, 0, 1]);
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// In ascending order, each once.
    characters: Vec<char>,
}

impl Vocabulary {
    /// The characters that occur in `text`.
    pub fn from_text(text: &str) -> Self {
        Self::of(text.chars())
    }

    /// The distinct characters among `characters`.
    pub(super) fn of(characters: impl Iterator<Item = char>) -> Self {
        Self { characters: characters.collect::<BTreeSet<_>>().into_iter().collect() }
    }

    /// The characters of both.
    pub fn union(&self, other: &Self) -> Self {
        Self::of(self.characters.iter().chain(&other.characters).copied())
    }

    /// V, the number of characters.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Whether it holds no character, as only that of an empty text does.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// All characters in the order of their ids.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// The id of `character`, if the vocabulary holds it.
    pub fn id(&self, character: char) -> Option<u32> {
        self.characters.binary_search(&character).ok().map(|id| id as u32)
    }

    /// The character with this `id`.
    ///
    /// # Panics
    /// If `id` is not below V.
    pub fn character(&self, id: u32) -> char {
        let v = self.len();
        *self.characters.get(id as usize).unwrap_or_else(|| panic!("id {id}, but V is {v}"))
    }

    /// The ids of the characters of `text`, in [0, V).
    ///
    /// # Errors
    /// [`Error::UnknownCharacter`] with the first character that the vocabulary lacks and those of
    /// its own that a writer may have meant.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        text.chars()
            .map(|character| self.id(character).ok_or_else(|| self.unknown(character)))
            .collect()
    }

    /// The text of these `ids`: what [`Vocabulary::encode`] made them of.
    ///
    /// # Panics
    /// If an id is not below V.
    pub fn decode(&self, ids: &[u32]) -> String {
        ids.iter().map(|&id| self.character(id)).collect()
    }

    /// The error about a character that it lacks.
    pub(super) fn unknown(&self, character: char) -> Error {
        let known = self.characters.iter().copied();
        let nearest = known.filter(|&known| are_alike(known, character)).take(4).collect();
        Error::UnknownCharacter { character, nearest }
    }
}

/// Characters that writers use for each other.
const ALIKE: [&str; 12] = [
    "\"“”„«»",
    "'‘’`´",
    "-–—−",
    " \t\n\u{a0}",
    "aàáâãäå",
    "cç",
    "eèéêë",
    "iìíîï",
    "nñ",
    "oòóôõö",
    "uùúûü",
    "её",
];

/// Whether a writer may have meant `a` by `b`: the same letter in the other case, with another accent or
/// without one, or a sign of the same use.
fn are_alike(a: char, b: char) -> bool {
    let [a, b] = [a, b].map(|c| c.to_lowercase().next().unwrap_or(c));
    a == b || ALIKE.iter().any(|group| group.contains(a) && group.contains(b))
}

#[cfg(test)]
mod tests {
    use super::Vocabulary;

    #[test]
    fn ids_and_characters_are_each_others_inverse() {
        let vocabulary = Vocabulary::from_text("Все счастливые семьи\0 🙂");
        for id in 0..vocabulary.len() as u32 {
            assert_eq!(vocabulary.id(vocabulary.character(id)), Some(id));
        }
        assert_eq!(vocabulary.id('q'), None);
    }

    #[test]
    #[should_panic(expected = "id 2, but V is 2")]
    fn an_id_out_of_range_is_named() {
        Vocabulary::from_text("ab").character(2);
    }
}
