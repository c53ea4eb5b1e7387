//! Which of the known characters a writer may have meant by an unknown one.

use std::cmp::Reverse;

/// Choices offered at most.
const CHOICES: usize = 4;

/// Letters with diacritics after the letter without, in lower case: what is to be expected in the
/// Latin and Cyrillic of Europe's novels.
const DIACRITICS: [&str; 27] = [
    "aàáâãäåāăą",
    "cçćĉċč",
    "dďđ",
    "eèéêëēĕėęě",
    "gĝğġģ",
    "hĥħ",
    "iìíîïĩīĭįı",
    "jĵ",
    "kķ",
    "lĺļľŀł",
    "nñńņň",
    "oòóôõöøōŏő",
    "rŕŗř",
    "sśŝşšș",
    "tţťŧț",
    "uùúûüũūŭůűų",
    "wŵ",
    "yýÿŷ",
    "zźżž",
    "аӑӓ",
    "еѐёӗ",
    "гѓґ",
    "иѝйӣӥ",
    "кќ",
    "оӧ",
    "уўӯӱӳ",
    "іїѣ",
];

/// Signs and letters that are written for each other, or look alike.
const TWINS: [&str; 18] = [
    "\"“”„‟«»″",
    "'‘’‚‛‹›′`´",
    "-‐‑‒–—―−",
    ".…·",
    "\u{20}\u{a0}\u{2002}\u{2003}\u{2009}\u{202f}\t",
    "\n\r\u{b}\u{c}\u{85}\u{2028}\u{2029}",
    "*×•",
    "/⁄÷",
    "№#",
    "aа",
    "bв",
    "cс",
    "eе",
    "kк",
    "oо",
    "pр",
    "xх",
    "yу",
];

/// Up to four of the characters `known`, the likeliest first.
///
/// In this order: the same letter in the other case; without its diacritics; with others; a
/// typographic twin, as `"` for `“`, `-` for `–`; then what stands nearest by code point.
pub fn nearest(unknown: char, known: &[char]) -> Vec<char> {
    let mut choices = known.to_vec();
    choices.sort_by_cached_key(|&choice| {
        let distance = u32::from(choice).abs_diff(u32::from(unknown));
        let same_case = choice.is_uppercase() == unknown.is_uppercase();
        (kinship(unknown, choice), Reverse(same_case), distance, choice)
    });
    choices.truncate(CHOICES);
    choices
}

/// How `choice` is related to `unknown`, the closest kin first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kinship {
    OtherCase,
    WithoutDiacritics,
    OtherDiacritics,
    Twin,
    None,
}

fn kinship(unknown: char, choice: char) -> Kinship {
    let (unknown, choice) = (lower(unknown), lower(choice));
    let base = base(unknown);
    if unknown == choice {
        Kinship::OtherCase
    } else if choice == base {
        Kinship::WithoutDiacritics
    } else if group(&DIACRITICS, base).is_some_and(|letters| letters.contains(choice)) {
        Kinship::OtherDiacritics
    } else if group(&TWINS, unknown).is_some_and(|twins| twins.contains(choice)) {
        Kinship::Twin
    } else {
        Kinship::None
    }
}

/// `letter` in lower case, if that is one character.
fn lower(letter: char) -> char {
    letter.to_lowercase().next().unwrap_or(letter)
}

/// `letter`, which is in lower case, without its diacritics.
fn base(letter: char) -> char {
    group(&DIACRITICS, letter).and_then(|letters| letters.chars().next()).unwrap_or(letter)
}

fn group(groups: &[&'static str], member: char) -> Option<&'static str> {
    groups.iter().find(|group| group.contains(member)).copied()
}

#[cfg(test)]
mod tests {
    use super::{DIACRITICS, TWINS, nearest};

    /// The likeliest choice among `known`, which ascends.
    fn likeliest(unknown: char, known: &str) -> char {
        nearest(unknown, &known.chars().collect::<Vec<_>>())[0]
    }

    #[test]
    fn the_other_case_comes_first() {
        assert_eq!(likeliest('É', "DEFeé"), 'é');
        assert_eq!(likeliest('ж', "ЕЖЗезѕ"), 'Ж');
    }

    #[test]
    fn then_the_letter_without_diacritics_in_the_same_case() {
        assert_eq!(nearest('É', &['D', 'E', 'e', 'è']), ['E', 'e', 'è', 'D']);
        assert_eq!(likeliest('ё', "деж"), 'е');
        assert_eq!(likeliest('ё', "Дад"), 'д');
    }

    #[test]
    fn then_typographic_twins() {
        assert_eq!(likeliest('“', "!\"#а—"), '"');
        assert_eq!(likeliest('«', "!\"#а©®"), '"');
        assert_eq!(likeliest('–', "'-а‘’"), '-');
        assert_eq!(likeliest('…', "-.а—‘’"), '.');
        assert_eq!(likeliest('\u{a0}', " ~§«"), ' ');
        assert_eq!(likeliest('o', "mnpо"), 'о'); // Latin for Cyrillic
    }

    #[test]
    fn then_what_stands_nearest() {
        assert_eq!(nearest('m', &['a', 'j', 'l', 'n', 'o', 'z']), ['l', 'n', 'o', 'j']);
        assert_eq!(nearest('🙂', &['a', 'b']), ['b', 'a']);
        assert!(nearest('a', &[]).is_empty());
    }

    #[test]
    fn no_character_is_in_two_groups() {
        for groups in [&DIACRITICS[..], &TWINS] {
            let mut all: Vec<char> = groups.iter().flat_map(|group| group.chars()).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count);
        }
    }
}
