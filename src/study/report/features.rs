//! What a cell might keep track of: properties of each place in a text, as numbers.

/// A property of a text and its value after each character.
#[derive(Clone, Debug, PartialEq)]
pub struct Feature {
    /// What it is, as in "inside quotation marks".
    pub name: &'static str,
    /// Its value after reading each of the N characters, `[N]`.
    pub values: Vec<f32>,
}

/// A property's value, from the character and the place after it.
type Value = fn(char, &Place) -> f32;

/// How many properties are looked for.
pub(super) const COUNT: usize = 12;

/// The properties that are looked for.
const FEATURES: [(&str, Value); COUNT] = [
    ("position in the line", |_, place| count(place.in_line)),
    ("position in the sentence", |_, place| count(place.in_sentence)),
    ("position in the word", |_, place| count(place.in_word)),
    ("start of a word", |_, place| number(place.in_word == 1)),
    ("inside quotation marks", |_, place| number(place.quote.is_some())),
    ("inside brackets", |_, place| number(!place.brackets.is_empty())),
    ("capital letter", |c, _| number(c.is_uppercase())),
    ("vowel", |c, _| number(is_vowel(c))),
    ("digit", |c, _| number(c.is_numeric())),
    ("space", |c, _| number(c == ' ')),
    ("end of a line", |c, _| number(c == '\n')),
    ("punctuation", |c, _| number(!c.is_alphanumeric() && !c.is_whitespace())),
];

/// Every property at every character of `text`.
///
/// ```
/// use karenina::study::report::features;
///
/// let text: Vec<char> = "I said \"no\".".chars().collect();
/// let features = features(&text);
/// let quotes = features.iter().find(|f| f.name == "inside quotation marks").unwrap();
/// assert_eq!(quotes.values, [0., 0., 0., 0., 0., 0., 0., 1., 1., 1., 0., 0.]);
/// ```
pub fn features(text: &[char]) -> Vec<Feature> {
    let mut place = Place::default();
    let values = || Vec::with_capacity(text.len());
    let mut features = FEATURES.map(|(name, _)| Feature { name, values: values() });
    for &c in text {
        place.read(c);
        for (feature, (_, value)) in features.iter_mut().zip(FEATURES) {
            feature.values.push(value(c, &place));
        }
    }
    features.into()
}

/// ln (1 + n): a cell that counts can tell 3 from 4, hardly 300 from 301.
fn count(n: usize) -> f32 {
    libm::log1pf(n as f32)
}

fn number(holds: bool) -> f32 {
    f32::from(u8::from(holds))
}

/// Vowels of the Latin, Cyrillic and Greek alphabets.
fn is_vowel(c: char) -> bool {
    c.to_lowercase().all(|c| "aeiouyáàâäæéèêëíîïóôöœúùûüаеёиоуыэюяіїєαεηιουωάέήίόύώ".contains(c))
}

/// Where in the text the reader stands.
#[derive(Debug, Default)]
struct Place {
    /// Characters since the last line break.
    in_line: usize,
    /// Characters since the last sentence ended.
    in_sentence: usize,
    /// Letters of the word so far; 0 outside words.
    in_word: usize,
    /// The mark that closes the quotation, inside one.
    quote: Option<char>,
    /// The brackets that close those which are open, the innermost last.
    brackets: Vec<char>,
    /// The character before.
    before: char,
}

impl Place {
    fn read(&mut self, c: char) {
        self.in_line = if c == '\n' { 0 } else { self.in_line + 1 };
        self.in_sentence = if matches!(self.before, '.' | '!' | '?' | '…') && !c.is_alphanumeric()
        {
            0
        } else {
            self.in_sentence + 1
        };
        let apostrophe = matches!(c, '\'' | '’') && self.in_word > 0;
        self.in_word = if c.is_alphanumeric() || apostrophe { self.in_word + 1 } else { 0 };
        if c == '\n' && self.before == '\n' {
            // A mark that was never closed ends with its paragraph at the latest.
            self.quote = None;
            self.brackets.clear();
        }
        self.read_quote(c);
        self.read_bracket(c);
        self.before = c;
    }

    fn read_quote(&mut self, c: char) {
        match (self.quote, c) {
            (Some(close), _) if c == close => self.quote = None,
            (Some(_), _) => {}
            (None, '"') => self.quote = Some('"'),
            (None, '“') => self.quote = Some('”'),
            (None, '«') => self.quote = Some('»'),
            (None, '„') => self.quote = Some('“'),
            (None, _) => {}
        }
    }

    fn read_bracket(&mut self, c: char) {
        match c {
            '(' => self.brackets.push(')'),
            '[' => self.brackets.push(']'),
            '{' => self.brackets.push('}'),
            _ if self.brackets.last() == Some(&c) => drop(self.brackets.pop()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, text: &str) -> Vec<f32> {
        let text: Vec<char> = text.chars().collect();
        features(&text).into_iter().find(|feature| feature.name == name).unwrap().values
    }

    fn counts<const N: usize>(numbers: [usize; N]) -> Vec<f32> {
        numbers.map(count).into()
    }

    #[test]
    fn a_line_starts_after_its_break() {
        assert_eq!(feature("position in the line", "ab\nc"), counts([1, 2, 0, 1]));
    }

    #[test]
    fn words_are_letters_and_inner_apostrophes() {
        assert_eq!(feature("start of a word", "'it's a"), [0., 1., 0., 0., 0., 0., 1.]);
        assert_eq!(feature("position in the word", "да, я"), counts([1, 2, 0, 0, 1]));
    }

    #[test]
    fn a_sentence_starts_after_the_space_that_follows_its_end() {
        assert_eq!(
            feature("position in the sentence", "A. B 3.5"),
            counts([1, 2, 0, 1, 2, 3, 4, 5])
        );
    }

    #[test]
    fn a_quotation_ends_with_its_own_mark_or_its_paragraph() {
        assert_eq!(feature("inside quotation marks", "«a”»b"), [1., 1., 1., 0., 0.]);
        assert_eq!(feature("inside quotation marks", "\"a\n\nb"), [1., 1., 1., 0., 0.]);
    }

    #[test]
    fn brackets_close_from_the_innermost() {
        assert_eq!(feature("inside brackets", "([a)])b"), [1., 1., 1., 1., 1., 0., 0.]);
    }
}
