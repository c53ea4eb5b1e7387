//! The text that a network learns from.

use super::ids::Ids;
use super::vocabulary::Vocabulary;
use crate::error::Result;

/// A text in its normal form: Unicode, no byte-order mark at its start, lines that end in a bare LF.
///
/// Every CR before an LF is left out; a CR anywhere else, a NUL or any other control character is
/// a character like all others. The normal form of a normal form is itself, so equal texts have
/// equal hashes wherever they were saved.
///
/// The text is kept as the ids of its characters, mostly a byte each. A clone shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    pub(super) ids: Ids,
    pub(super) vocabulary: Vocabulary,
    pub(super) sha256: [u8; 32],
}

impl Corpus {
    /// Title of the text that is built in, for messages.
    pub fn embedded_name() -> &'static str {
        "The House at Linden Ford"
    }

    /// The ids of its characters.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// What the ids mean: the characters that occur in it, or those of [`Corpus::in_terms_of`].
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Its characters from first to last.
    pub fn characters(&self) -> impl DoubleEndedIterator<Item = char> {
        self.ids.iter().map(|id| self.vocabulary.character(id))
    }

    /// Number of its characters.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// SHA-256 of the text's normal form in UTF-8: in a checkpoint it stands for the training text.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }

    /// The same text with the ids of a network's `vocabulary`. The numbers stay shared if the two
    /// vocabularies are equal; else they are changed in place if nobody shares them, and copied if so.
    ///
    /// # Errors
    /// * [`Error::UnknownCharacter`](crate::error::Error::UnknownCharacter) with the first character that
    ///   the vocabulary lacks
    /// * [`Error::NoMemory`](crate::error::Error::NoMemory) if there is no memory for a copy
    pub fn in_terms_of(self, vocabulary: &Vocabulary) -> Result<Self> {
        if let Some(unknown) = self.first_unknown(vocabulary) {
            return Err(vocabulary.unknown(unknown));
        }
        self.restricted_to(vocabulary)
    }

    /// [`Corpus::in_terms_of`] without the characters that `vocabulary` lacks. The hash stays that of the
    /// whole text.
    ///
    /// # Errors
    /// [`Error::NoMemory`](crate::error::Error::NoMemory) if there is no memory for a copy.
    pub fn restricted_to(self, vocabulary: &Vocabulary) -> Result<Self> {
        if self.vocabulary == *vocabulary {
            return Ok(self);
        }
        let table: Vec<_> =
            self.vocabulary.characters().iter().map(|&c| vocabulary.id(c)).collect();
        let ids = self.ids.translate(&table, vocabulary.len().saturating_sub(1))?;
        Ok(Self { ids, vocabulary: vocabulary.clone(), ..self })
    }

    /// The first of its characters that `vocabulary` lacks.
    pub fn first_unknown(&self, vocabulary: &Vocabulary) -> Option<char> {
        let is_unknown = |character: &char| vocabulary.id(*character).is_none();
        // Few of them are different: only a text that has an unknown one is looked through.
        self.vocabulary.characters().iter().any(is_unknown).then_some(())?;
        self.characters().find(is_unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::Corpus;

    fn normal(text: &str) -> String {
        Corpus::from_text(text).characters().collect()
    }

    #[test]
    fn only_a_carriage_return_before_a_line_feed_is_dropped() {
        let text = normal("a\r\nb\rc\n\rd\r\r\ne\r");
        assert_eq!(text, "a\nb\rc\n\rd\ne\r");
        assert_eq!(normal(&text), text);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_only() {
        assert_eq!(normal("\u{feff}\u{feff}a\u{feff}"), "a\u{feff}");
        assert!(Corpus::from_text("\u{feff}").is_empty());
    }

    #[test]
    fn nothing_makes_an_empty_text() {
        assert!(Corpus::builder().finish().unwrap().is_empty());
    }

    /// The example of FIPS 180-2, appendix B.1.
    #[test]
    fn sha256_gives_the_published_answer() {
        let hash = Corpus::from_text("abc").sha256().map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
