//! The real command, run as a user runs it.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `karenina` in `folder`, without standard input.
pub fn karenina<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_karenina"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// What `karenina` with these words, parted by spaces, says in `folder`.
pub fn run(folder: &Path, arguments: &str) -> Output {
    karenina(folder, arguments.split_whitespace()).output().unwrap()
}

/// As [`run`], which must succeed.
pub fn succeed(folder: &Path, arguments: &str) -> Output {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", errors(&output));
    output
}

/// Standard error of a command, as [`slashed`] has it.
pub fn errors(output: &Output) -> String {
    slashed(str::from_utf8(&output.stderr).expect("messages are UTF-8"))
}

/// `text` with the same slashes in its paths on every system.
pub fn slashed(text: &str) -> String {
    if cfg!(windows) { text.replace('\\', "/") } else { text.into() }
}

/// Writes 600 characters of seven kinds to `text` in `folder`, and returns the folder.
pub fn with_text() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..600_usize).map(|i| b"abcdefg"[i * i % 11 % 7] as char).collect();
    fs::write(folder.path().join("text"), text).unwrap();
    folder
}

/// A file's name of these bytes; on macOS without 0xff, since its file systems want UTF-8.
#[cfg(unix)]
pub fn name_of(bytes: &[u8]) -> std::ffi::OsString {
    let is_allowed = |byte: &u8| !cfg!(target_os = "macos") || *byte != 0xff;
    std::os::unix::ffi::OsStringExt::from_vec(bytes.iter().copied().filter(is_allowed).collect())
}

/// Says that a test cannot do its work here; where everything is there (`KARENINA_COMPLETE`), fails.
pub fn left_out(why: &str) {
    let is_complete = std::env::var_os("KARENINA_COMPLETE").is_some_and(|value| !value.is_empty());
    assert!(!is_complete, "left out: {why}");
    eprintln!("left out: {why}");
}
