//! A corpus as it is read, piece by piece: the text itself is never in memory.

use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::corpus::Corpus;
use super::ids::{Ids, Numbers};
use super::vocabulary::Vocabulary;
use crate::error::{Error, Result};

/// Bytes of a file that are read at once.
const CHUNK: usize = 1 << 17;

/// A [`Corpus`] in the making. However a text is cut into pieces, the corpus is the same.
///
/// Each character gets a number at its first appearance; when all are known the numbers become ids, which
/// ascend with the characters. Beside the ids nothing is kept but a hash.
///
/// ```
/// use karenina::text::corpus::Corpus;
///
/// let mut pieces = Corpus::builder();
/// for piece in ["one\r", "\ntwo"] {
///     pieces.push_str(piece)?;
/// }
/// assert_eq!(pieces.finish()?, Corpus::from_text("one\ntwo"));
/// # Ok::<(), karenina::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    hash: Sha256,
    numbers: Numbers,
    seen: Seen,
    /// CRs at the end of what was read: a line end if an LF comes next, else characters.
    returns: usize,
    /// Whether a byte-order mark may come next.
    is_at_start: bool,
}

impl Corpus {
    /// The text that is built into the crate: "The House at Linden Ford", a story in English of
    /// some 140,000 characters.
    pub fn embedded() -> Self {
        Self::from_text(include_str!("../../data/linden-ford.txt"))
    }

    /// A builder for a text that comes in pieces.
    pub fn builder() -> Builder {
        Builder {
            hash: Sha256::new(),
            numbers: Numbers::default(),
            seen: Seen::new(),
            returns: 0,
            is_at_start: true,
        }
    }

    /// The corpus of `text`.
    ///
    /// # Panics
    /// If there is no memory for its ids.
    pub fn from_text(text: &str) -> Self {
        let mut builder = Self::builder();
        builder.push_str(text).and_then(|()| builder.finish()).expect("memory for the text's ids")
    }
}

impl Default for Corpus {
    /// The empty text.
    fn default() -> Self {
        Self::from_text("")
    }
}

impl Builder {
    /// Says that another text begins, which may have a byte-order mark of its own. Nothing is put between
    /// the two, and a line end that one begins and the next completes is a line end.
    pub fn begin_text(&mut self) {
        self.is_at_start = true;
    }

    /// Whether nothing but byte-order marks has come since the text began.
    pub fn is_at_start(&self) -> bool {
        self.is_at_start
    }

    /// Makes room for a text of so many bytes at once, if there is so much. What is not needed goes back
    /// in the end.
    pub fn reserve(&mut self, bytes: u64) {
        // If there is less, it may still do: many a character takes several bytes.
        let _ = self.numbers.reserve(usize::try_from(bytes).unwrap_or(usize::MAX));
    }

    /// Reads all of `source`, which is called `name` in messages, as UTF-8.
    ///
    /// # Errors
    /// * [`Error::Malformed`] with the offset of the first byte that is no UTF-8
    /// * [`Error::Io`] if it cannot be read
    /// * [`Error::NoMemory`] if there is no memory for the ids
    pub fn read(&mut self, name: &Path, mut source: impl Read) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        // Bytes of a character that the end of a chunk has cut off, and those read before them.
        let (mut held, mut offset) = (0, 0);
        loop {
            let count = match source.read(&mut buffer[held..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.map_err(Error::io("read", name))?,
            };
            let bytes = &buffer[..held + count];
            let valid = match str::from_utf8(bytes) {
                Ok(_) => bytes.len(),
                Err(error) if error.error_len().is_none() && count > 0 => error.valid_up_to(),
                Err(error) => {
                    let offset = offset + error.valid_up_to();
                    let path = name.to_path_buf();
                    return Err(Error::Malformed { path, encoding: "UTF-8", offset });
                }
            };
            self.push_str(str::from_utf8(&bytes[..valid]).expect("as much is valid"))?;
            if count == 0 {
                return Ok(());
            }
            (held, offset) = (bytes.len() - valid, offset + valid);
            buffer.copy_within(valid..valid + held, 0);
        }
    }

    /// Goes on with `text`, of any length.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if there is no memory for its ids.
    pub fn push_str(&mut self, mut text: &str) -> Result<()> {
        if self.is_at_start {
            text = text.trim_start_matches('\u{feff}');
            self.is_at_start = text.is_empty();
        }
        while !text.is_empty() {
            // CRs, then characters up to the next CR.
            let rest = text.trim_start_matches('\r');
            self.returns += text.len() - rest.len();
            let (plain, next) = rest.split_at(rest.find('\r').unwrap_or(rest.len()));
            match plain.starts_with('\n') {
                true => self.returns = 0,
                false if !plain.is_empty() => self.take_returns()?,
                false => {}
            }
            self.take(plain)?;
            text = next;
        }
        Ok(())
    }

    /// The corpus of all that was read.
    ///
    /// # Errors
    /// [`Error::NoMemory`] if there is no memory for it.
    pub fn finish(mut self) -> Result<Corpus> {
        self.take_returns()?;
        let (vocabulary, table) = self.seen.sort();
        let ids = Ids::from(self.numbers).translate(&table, vocabulary.len().saturating_sub(1))?;
        Ok(Corpus { ids, vocabulary, sha256: self.hash.finalize().into() })
    }

    /// The CRs that ended no line.
    fn take_returns(&mut self) -> Result<()> {
        const SOME: &str = "\r\r\r\r\r\r\r\r";
        while self.returns > 0 {
            let count = self.returns.min(SOME.len());
            self.returns -= count;
            self.take(&SOME[..count])?;
        }
        Ok(())
    }

    /// Numbers and hashes `text`, which is in its normal form.
    fn take(&mut self, text: &str) -> Result<()> {
        self.hash.update(text);
        self.numbers.reserve(text.len())?;
        for character in text.chars() {
            self.numbers.push(self.seen.number(character))?;
        }
        Ok(())
    }
}

/// Characters numbered by their first appearance.
#[derive(Debug)]
struct Seen {
    /// The numbers of the first 2¹⁶ code points, where nearly all characters are.
    low: Vec<u32>,
    /// Those of all others.
    high: HashMap<char, u32>,
    /// The characters by number.
    characters: Vec<char>,
}

/// Stands for the number of a character that has not appeared.
const UNSEEN: u32 = u32::MAX;

impl Seen {
    fn new() -> Self {
        Self { low: vec![UNSEEN; 1 << 16], high: HashMap::new(), characters: Vec::new() }
    }

    #[inline]
    fn number(&mut self, character: char) -> u32 {
        let number = match self.low.get_mut(character as usize) {
            Some(number) => number,
            None => self.high.entry(character).or_insert(UNSEEN),
        };
        if *number == UNSEEN {
            *number = self.characters.len() as u32;
            self.characters.push(character);
        }
        *number
    }

    /// The characters in ascending order, and the new id of each number.
    fn sort(self) -> (Vocabulary, Vec<Option<u32>>) {
        let vocabulary = Vocabulary::of(self.characters.iter().copied());
        let table = self.characters.iter().map(|&character| vocabulary.id(character)).collect();
        (vocabulary, table)
    }
}
