//! Commands that are printed to be pasted into a shell.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use os_display::Quotable;

use super::output::printable;

/// The command of these words, after the name by which the user called this one. Words with characters
/// that mean something to a shell, or that cannot be seen or printed, are quoted.
pub fn command<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> String {
    let words = words.into_iter().map(|word| quoted(word.as_ref()));
    let name = quoted(&program(env::args_os().next()));
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

/// `word` as a shell of this system reads it, also once it has been made [`printable`].
pub fn quoted(word: &OsStr) -> String {
    let quoted = word.maybe_quote().to_string();
    match cfg!(windows) {
        true => for_both_shells(quoted),
        false if printable(&quoted) != quoted => byte_by_byte(word),
        false => quoted,
    }
}

/// `word` in the quotes of shells that read bytes by their numbers: characters that cannot be seen are in it.
fn byte_by_byte(word: &OsStr) -> String {
    let bytes = word.as_encoded_bytes().iter().map(|&byte| match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).into(),
        _ => format!("\\x{byte:02X}"),
    });
    format!("$'{}'", bytes.collect::<String>())
}

/// In double quotes where that means the same to PowerShell and to `cmd`, which knows no other quotes.
fn for_both_shells(quoted: String) -> String {
    let inner = quoted.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    let is_plain = |inner: &str| {
        !inner.is_empty() && !inner.contains(['"', '`', '$', '%', '\'']) && !inner.ends_with('\\')
    };
    match inner {
        Some(inner) if is_plain(inner) => format!("\"{inner}\""),
        _ => quoted,
    }
}

/// `karenina` if the shell found it by that name, else the way to it as the user typed it.
fn program(called: Option<OsString>) -> OsString {
    let has_folder = |name: &OsString| Path::new(name).components().count() > 1;
    called.filter(has_folder).unwrap_or_else(|| "karenina".into())
}

/// `path` as a word that cannot be taken for an option.
pub fn path_word(path: &Path) -> OsString {
    match path.as_os_str().as_encoded_bytes().first() {
        Some(b'-') => Path::new(".").join(path).into_os_string(),
        _ => path.into(),
    }
}

/// These arguments of `karenina train` as those that go on with the run that they began.
pub fn resuming(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    // Right after `train`: behind `--` it would be the name of a text.
    let start = arguments.next().into_iter().chain([OsString::from("--resume")]);
    start.chain(arguments.filter(|word| word != "--resume" && word != "--overwrite")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_one_that_was_typed() {
        assert_eq!(program(None), "karenina");
        assert_eq!(program(Some("karenina".into())), "karenina");
        assert_eq!(program(Some("./karenina".into())), "./karenina");
        assert_eq!(program(Some("target/release/karenina".into())), "target/release/karenina");
    }

    #[test]
    fn cmd_and_powershell_read_the_same_word_wherever_they_can() {
        let read = |word: &str| for_both_shells(word.into());
        assert_eq!(read(r"runs\i5_l8.ckpt"), r"runs\i5_l8.ckpt");
        assert_eq!(read(r"'Мои книги\первая'"), r#""Мои книги\первая""#);
        assert_eq!(read(r"'a b\'"), r"'a b\'", "the last backslash would take the quote with it");
        for word in ["'100 %'", "'$HOME'", "'a `b`'", "'a ''b'", "\"it's\"", "''"] {
            assert_eq!(read(word), word, "cmd or PowerShell would read something else");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_cannot_be_seen_is_read_as_it_is() {
        let name = "my\u{200c}run 'a' \\ \u{2067}б";
        let word = quoted(name.as_ref());
        assert_eq!(printable(&word), word);
        let script = format!("printf %s {word}");
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), name, "{word}");
    }

    #[test]
    fn a_path_is_never_an_option() {
        assert_eq!(path_word(Path::new("-x")), Path::new(".").join("-x"));
        assert_eq!(path_word(Path::new("runs/x")), "runs/x");
    }

    #[test]
    fn resuming_neither_overwrites_nor_becomes_a_text() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(resuming(words("train --overwrite -- a")), words("train --resume -- a"));
        assert_eq!(resuming(words("train a --resume")), words("train --resume a"));
    }
}
