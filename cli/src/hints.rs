//! What to type against an error: the library says what is wrong, the command adds its arguments.

use std::error::Error as _;
use std::io::ErrorKind::IsADirectory;
use std::num::{IntErrorKind, ParseFloatError, ParseIntError};
use std::path::Path;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use karenina::error::Error;
use karenina::train::checkpoint::Summary;
use karenina::train::run::checkpoints_in;

use super::input::holds_run;
use super::shell::{path_word, quoted};

/// The sentence about a value that cannot be read, if that is the `error`. Our own parsers say what would work.
pub fn of_value(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (name, found) = (text(ContextKind::InvalidArg)?, text(ContextKind::InvalidValue)?);
    let source = error.source().filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    let must = match source.downcast_ref().map(ParseIntError::kind) {
        Some(IntErrorKind::PosOverflow) => "be smaller".into(),
        Some(_) if found.starts_with('-') => "not be negative".into(),
        Some(_) => "be a whole number, such as 20".into(),
        None if source.is::<ParseFloatError>() => "be a number, such as 0.5".into(),
        None => format!("be {source}"),
    };
    let name = name.split([' ', '=', '[']).next()?;
    let found = if found.is_empty() { "empty" } else { found };
    Some(format!("{name} is {found}, but must {must}"))
}

/// The sentence that tells a user of `command`, which reads the `texts` of these names, of `error`.
pub fn sentence(error: &Error, command: &Command, texts: &[String]) -> String {
    let takes = |flag: &str| command.get_arguments().any(|arg| arg.get_long() == Some(flag));
    let mut sentence = match error {
        Error::NoCheckpoint { path } if !path.exists() => {
            format!("there is no run in {}: the folder does not exist", path.display())
        }
        error => match no_folder(error) {
            Some(file) => format!("{} is a file, not a folder", file.display()),
            None => error.to_string(),
        },
    };
    if let Error::Setting { name, .. } = error {
        let flag = match *name {
            "initialisation" => "init-sd".into(),
            "storage" => "weights".into(),
            name => name.replace('_', "-"),
        };
        if takes(&flag) {
            sentence.replace_range(..name.len(), &format!("--{flag}"));
        }
    }
    if let Some(hint) = hint(error, takes) {
        sentence += &format!("; {hint}");
    }
    // The library does not know where a text comes from. Only `eval` and `sample` look for unknown characters in one:
    // elsewhere they stand in an argument.
    let is_about_text = match error {
        Error::TextTooShort { .. } => true,
        Error::UnknownCharacter { .. } => takes("skip-unknown"),
        _ => false,
    };
    match is_about_text && !texts.is_empty() {
        true => format!("{}: {sentence}", texts.join(", ")),
        false => sentence,
    }
}

/// The file where a folder was to be made or read.
fn no_folder(error: &Error) -> Option<&Path> {
    let Error::Io { action: "create the folder" | "read the folder", path, .. } = error else {
        return None;
    };
    path.ancestors().find(|path| path.is_file())
}

/// What would work, in a command that takes some flags.
fn hint(error: &Error, takes: impl Fn(&str) -> bool) -> Option<String> {
    Some(match error {
        Error::Malformed { encoding: "UTF-8", .. } if takes("encoding") => {
            "name its encoding, such as --encoding windows-1251".into()
        }
        Error::TextTooShort { found: ..1000, .. } if takes("epochs") => {
            "that is too little to learn from; name a text of 100,000 characters or more".into()
        }
        Error::TextTooShort { fits: Some((batch, unroll)), .. } if takes("batch") => {
            format!("--batch {batch} --unroll {unroll} would fit")
        }
        Error::Setting { name: "ranks", expected, .. }
            if takes("groups") && expected.contains("group") =>
        {
            "--groups gives a new run more groups".into()
        }
        Error::Threads { .. } if takes("threads") => "a smaller --threads may work".into(),
        Error::UnknownCharacter { .. } if takes("skip-unknown") => {
            "--skip-unknown leaves unknown characters out".into()
        }
        Error::Checkpoint { reason, .. } | Error::Damaged { reason, .. }
            if reason.contains("what looks like a safetensors file") =>
        {
            "`karenina import` turns a safetensors model into a checkpoint".into()
        }
        Error::Damaged { reason, .. } if reason.starts_with("not a karenina checkpoint") => {
            "name a run's folder, or a checkpoint in it".into()
        }
        Error::Checkpoint { reason, .. } if reason.starts_with("not a safetensors file") => {
            "name a file that `karenina export` or PyTorch's safetensors has written".into()
        }
        Error::Checkpoint { reason, .. }
            if takes("vocabulary") && reason.starts_with("it does not say which") =>
        {
            "name the file of that text or list with --vocabulary".into()
        }
        Error::Io { .. } if takes("run") && no_folder(error).is_some() => {
            "name the run's folder with --run".into()
        }
        // A text: commands that read other files take no encoding.
        Error::Io { action: "read", path, .. }
            if takes("encoding") && error.io_kind() == Some(IsADirectory) && holds_run(path) =>
        {
            match takes("run") {
                true => format!("name it with --run {}", quoted(&path_word(path))),
                false => "name a text file".into(),
            }
        }
        Error::Io { path, .. } if takes("dynamic") && error.is_missing() => {
            let rate = path.to_str().filter(|word| word.parse::<f64>().is_ok())?;
            format!("to set the rate, write --dynamic={rate}")
        }
        _ => return hint_about_run(error, takes),
    })
}

/// [`hint`] against an error of a run or its folder.
fn hint_about_run(error: &Error, takes: impl Fn(&str) -> bool) -> Option<String> {
    Some(match error {
        Error::NoCheckpoint { .. } if takes("overwrite") => {
            "pass --overwrite to begin a new run here, or name another folder with --run".into()
        }
        Error::NoCheckpoint { .. } if takes("run") => {
            "`karenina train` starts a run; if yours is elsewhere, name its folder with --run".into()
        }
        Error::RunExists { path } if takes("from") && is_imported(path) => {
            format!("since it is an imported model, {}", start_with(path))
        }
        Error::RunExists { .. } if takes("overwrite") => {
            "pass --resume to continue it or --overwrite to replace it, or name another folder with --run"
                .into()
        }
        Error::HalfReplaced { .. } if takes("overwrite") => "pass --overwrite to replace it again".into(),
        Error::RunExists { .. } => "name another folder with --run".into(),
        Error::NoRun { path } if takes("from") => start_with(path),
        Error::Busy { .. } => "wait for it, or name another folder with --run".into(),
        Error::OtherText { .. } => "name that text, or another folder with --run".into(),
        Error::NotFinite { .. } if takes("on-nan") => {
            "a lower --learning-rate or --clip may help, or --on-nan skip=N, which leaves out up to N such batches of the run".into()
        }
        _ => return None,
    })
}

/// How a run starts with the imported model at `path`.
fn start_with(path: &Path) -> String {
    let path = quoted(&path_word(path));
    format!("start one with --from {path} and another folder for --run")
}

/// Whether the folder at `path` holds an imported model, which belongs to no run.
fn is_imported(path: &Path) -> bool {
    let newest = checkpoints_in(path).ok().and_then(|mut entries| entries.pop());
    let summary = newest.and_then(|newest| Summary::read(&newest.path).ok());
    summary.is_some_and(|summary| summary.run.is_none() && summary.step == 0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Cli;

    /// What `karenina {name}` says of `error`.
    fn said(error: &Error, name: &str) -> String {
        sentence(error, Cli::command().find_subcommand(name).unwrap(), &[])
    }

    fn setting(name: &'static str) -> Error {
        Error::Setting { name, found: "0".into(), expected: "at least 1".into() }
    }

    /// Errors that have a hint whatever files there are.
    fn errors() -> [Error; 14] {
        let path = || "f".into();
        [
            Error::Malformed { path: path(), encoding: "UTF-8", offset: 3 },
            Error::TextTooShort { found: 2000, batches: 1, needed: 10_000, fits: Some((20, 100)) },
            karenina::ranks::Shares::new(3, 4).unwrap_err(),
            Error::UnknownCharacter { character: 'z', nearest: vec!['y'] },
            Error::NoCheckpoint { path: ".".into() },
            Error::RunExists { path: path() },
            Error::Busy { path: path() },
            Error::NoRun { path: path() },
            Error::HalfReplaced { path: path(), back: "delete run.lock".into() },
            Error::OtherText { path: path() },
            Error::NotFinite { step: 1, what: "the loss".into(), text: vec![] },
            Error::Threads { threads: 9, reason: "no more".into() },
            Error::Damaged { path: path(), reason: "not a karenina checkpoint".into() },
            Error::Checkpoint { path: path(), reason: "not a safetensors file".into() },
        ]
    }

    #[test]
    fn a_setting_has_the_name_of_its_flag_where_the_command_has_one() {
        let said = |name, command| said(&setting(name), command);
        assert_eq!(said("save_every", "train"), "--save-every is 0, but must be at least 1");
        assert_eq!(said("save_every", "sample"), "save_every is 0, but must be at least 1");
        assert_eq!(said("beta1", "train"), "beta1 is 0, but must be at least 1");
    }

    #[test]
    fn what_is_wrong_with_a_text_names_its_file() {
        let of_text = [1, 3]; // too short, unknown characters
        for (n, error) in errors().iter().enumerate() {
            let command = Cli::command().find_subcommand("eval").unwrap().clone();
            let said = |texts: &[String]| sentence(error, &command, texts);
            let named = said(&["a.txt".into(), "-".into()]);
            assert_eq!(named.starts_with("a.txt, -: "), of_text.contains(&n), "{named}");
            assert!(named.ends_with(&said(&[])), "{named}");
        }
    }

    #[test]
    fn the_library_names_no_flag_and_the_command_says_what_to_type() {
        for error in errors() {
            let message = error.to_string();
            assert!(!message.contains("--"), "{message}");
            let said = said(&error, "train");
            assert!(said.starts_with(&message) && said.contains("; "), "{said}");
        }
    }

    #[test]
    fn a_model_without_a_vocabulary_is_told_how_to_get_one() {
        let reason = "it does not say which 3 characters it predicts".into();
        let said = said(&Error::Checkpoint { path: "f".into(), reason }, "import");
        assert!(
            said.ends_with(
                "3 characters it predicts; name the file of that text or list with --vocabulary"
            ),
            "{said}"
        );
    }

    #[test]
    fn no_hint_names_a_flag_that_the_command_lacks() {
        for (command, error) in
            Cli::command().get_subcommands().flat_map(|command| errors().map(|e| (command, e)))
        {
            let trains = ["train", "import"].contains(&command.get_name());
            let of_a_folder = matches!(
                error,
                Error::RunExists { .. }
                    | Error::Busy { .. }
                    | Error::HalfReplaced { .. }
                    | Error::NoRun { .. }
                    | Error::OtherText { .. }
            );
            if of_a_folder && !trains {
                continue; // it does not come about here
            }
            let said = sentence(&error, command, &[]);
            for flag in said.split_whitespace().filter_map(|word| word.strip_prefix("--")) {
                let flag = flag.trim_end_matches([',', ';']);
                let takes = command.get_arguments().any(|arg| arg.get_long() == Some(flag));
                assert!(takes, "karenina {}: {said}", command.get_name());
            }
        }
    }
}
