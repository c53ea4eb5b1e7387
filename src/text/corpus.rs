//! The text that a network learns from.

use std::path::Path;
use std::str::Chars;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A text in its normal form: UTF-8, no byte-order mark at its start, lines that end in a bare LF.
///
/// Every CR before an LF is left out; a CR anywhere else, a NUL or any other control character is
/// a character like all others. The normal form of a normal form is itself, so equal texts have
/// equal hashes wherever they were saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corpus {
    text: String,
}

impl Corpus {
    /// Reads `bytes`, which came from `name`, as UTF-8.
    ///
    /// # Errors
    /// [`Error::NotUtf8`] with `name` and the offset of the first byte that is no UTF-8.
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self> {
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { text: normal_form(text) }),
            Err(error) => Err(Error::NotUtf8 {
                path: name.to_path_buf(),
                offset: error.utf8_error().valid_up_to(),
            }),
        }
    }

    /// The normal form of `text`.
    #[expect(clippy::should_implement_trait, reason = "it cannot fail, and FromStr says it may")]
    pub fn from_str(text: &str) -> Self {
        Self { text: normal_form(text.to_owned()) }
    }

    /// Several texts, one straight after the other, as one: nothing is put between them, and a
    /// line end that one text begins and the next completes is a line end.
    pub fn join(parts: Vec<Self>) -> Self {
        let mut parts = parts.into_iter();
        let mut text = parts.next().map_or_else(String::new, |first| first.text);
        for part in parts {
            if part.text.starts_with('\n') {
                text.truncate(text.trim_end_matches('\r').len());
            }
            text.push_str(&part.text);
        }
        Self { text }
    }

    /// The text that is built into the crate: "The House at Linden Ford", a story in English of
    /// some 140,000 characters.
    pub fn embedded() -> Self {
        Self::from_str(include_str!("../../data/linden-ford.txt"))
    }

    /// Title of the text that is built in, for messages.
    pub fn embedded_name() -> &'static str {
        "The House at Linden Ford"
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its characters from first to last.
    pub fn characters(&self) -> Chars<'_> {
        self.text.chars()
    }

    /// Number of its characters. They are counted at every call.
    pub fn len(&self) -> usize {
        self.text.chars().count()
    }

    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// SHA-256 of the text's UTF-8 bytes: in a checkpoint it stands for the training text.
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(self.text.as_bytes()).into()
    }
}

/// `text` without its byte-order mark, each line end a bare LF.
fn normal_form(mut text: String) -> String {
    let marks = text.len() - text.trim_start_matches('\u{feff}').len();
    text.drain(..marks);
    if !text.contains("\r\n") {
        return text; // most texts: nothing to copy
    }
    let mut normal = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match line.strip_suffix('\n') {
            Some(line) => normal.extend([line.trim_end_matches('\r'), "\n"]),
            None => normal.push_str(line),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::Corpus;

    #[test]
    fn only_a_carriage_return_before_a_line_feed_is_dropped() {
        let corpus = Corpus::from_str("a\r\nb\rc\n\rd\r\r\ne\r");
        assert_eq!(corpus.text(), "a\nb\rc\n\rd\ne\r");
        assert_eq!(Corpus::from_str(corpus.text()), corpus);
    }

    #[test]
    fn a_byte_order_mark_is_dropped_at_the_start_only() {
        assert_eq!(Corpus::from_str("\u{feff}\u{feff}a\u{feff}").text(), "a\u{feff}");
        assert!(Corpus::from_str("\u{feff}").is_empty());
    }

    #[test]
    fn no_parts_make_an_empty_text() {
        assert!(Corpus::join(vec![]).is_empty());
    }

    /// The example of FIPS 180-2, appendix B.1.
    #[test]
    fn sha256_gives_the_published_answer() {
        let hash = Corpus::from_str("abc").sha256().map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
