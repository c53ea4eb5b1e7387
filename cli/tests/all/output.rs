//! Where the command writes: files that the user names, standard output, a reader that leaves early, and
//! what a hostile name or text does to a page or a terminal.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::command::{errors, karenina, name_of, run, succeed, with_text};

const SMALL: &str = "--preset article --hidden 4 --layers 1 --batch 2 --unroll 8 --steps 2 --no-samples --threads 1";

/// A folder with a `text` and a run of it.
fn with_run() -> tempfile::TempDir {
    let folder = with_text();
    succeed(folder.path(), &format!("train text {SMALL}"));
    folder
}

/// What `script`, which finds the command as `$K`, does in `folder`.
fn shell(folder: &Path, script: &str) -> Output {
    let mut command = Command::new("bash");
    command.env("K", env!("CARGO_BIN_EXE_karenina")).current_dir(folder).stdin(Stdio::null());
    command.args(["-c", script]).output().unwrap()
}

/// Three commands that write a file that the user names.
const WRITERS: [&str; 3] = ["export --out", "report text --threads 1 --out", "trace ab --html"];

#[test]
fn a_dash_and_the_name_of_standard_output_are_standard_output_and_nothing_else_is_in_it() {
    let folder = with_run();
    for writer in WRITERS {
        succeed(folder.path(), &format!("{writer} file"));
        let expected = fs::read(folder.path().join("file")).unwrap();
        fs::remove_file(folder.path().join("file")).unwrap();
        for name in ["-", "/dev/stdout", "/dev/fd/1"] {
            let output = succeed(folder.path(), &format!("{writer} {name}"));
            assert!(output.stdout == expected, "{writer} {name}");
            assert!(!folder.path().join("-").exists());
        }
        let script = format!("(echo before; $K {writer} /dev/stdout; echo after) > all");
        assert!(shell(folder.path(), &script).status.success());
        let all = fs::read(folder.path().join("all")).unwrap();
        assert!(all == [b"before\n", &expected[..], b"after\n"].concat(), "{writer}");
    }
}

#[test]
fn devices_and_pipes_are_written_to_and_stay() {
    let folder = with_run();
    // Through a link: a fault must not cost the machine that tests its device.
    symlink("/dev/null", folder.path().join("null")).unwrap();
    for writer in WRITERS {
        succeed(folder.path(), &format!("{writer} null"));
        assert!(!fs::metadata(folder.path().join("null")).unwrap().is_file());
        let script = format!("rm -f pipe; mkfifo pipe; cat pipe > got & $K {writer} pipe && wait");
        assert!(shell(folder.path(), &script).status.success(), "{writer}");
        assert!(fs::metadata(folder.path().join("got")).unwrap().len() > 0);
        assert!(!fs::metadata(folder.path().join("pipe")).unwrap().is_file());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_in_shared_memory_is_a_file() {
    let folder = with_run();
    let shared = tempfile::tempdir_in("/dev/shm").unwrap();
    let novel = shared.path().join("novel.txt");
    fs::write(&novel, "All happy families").unwrap();
    for writer in WRITERS {
        let output = run(folder.path(), &format!("{writer} {}", novel.display()));
        assert_eq!(output.status.code(), Some(1), "{writer}: {}", errors(&output));
        assert_eq!(fs::read_to_string(&novel).unwrap(), "All happy families", "{writer}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_that_is_full_is_a_failure_with_a_sentence() {
    let folder = with_run();
    symlink("/dev/full", folder.path().join("full")).unwrap();
    for writer in WRITERS {
        let output = run(folder.path(), &format!("{writer} full"));
        assert_eq!(output.status.code(), Some(1), "{writer}");
        let message = errors(&output);
        assert!(message.contains("cannot write full: No space left"), "{message}");
        let output = shell(folder.path(), &format!("$K {writer} - > /dev/full"));
        assert_eq!(output.status.code(), Some(1), "{writer}");
        assert!(errors(&output).contains("cannot write to standard output: No space left"));
    }
}

#[test]
fn links_stay_and_the_files_they_lead_to_are_replaced() {
    let folder = with_run();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("far")).unwrap();
    fs::write(path("far/there"), "").unwrap();
    symlink("far/link", path("link")).unwrap();
    symlink("there", path("far/link")).unwrap();
    symlink("far/new", path("dangling")).unwrap();
    symlink("round", path("round")).unwrap();
    for writer in WRITERS {
        for (name, file) in [("link", "far/there"), ("dangling", "far/new")] {
            succeed(folder.path(), &format!("{writer} {name}"));
            assert!(fs::symlink_metadata(path(name)).unwrap().is_symlink(), "{writer}");
            assert!(fs::metadata(path(file)).unwrap().len() > 100);
        }
        fs::write(path("far/there"), "").unwrap();
        fs::remove_file(path("far/new")).unwrap();
        let output = run(folder.path(), &format!("{writer} round"));
        assert_eq!(output.status.code(), Some(1));
        assert!(errors(&output).contains("symbolic links"), "{}", errors(&output));
    }
    assert_eq!(fs::read_dir(path("far")).unwrap().count(), 2, "nothing temporary is left");
}

#[test]
fn a_folder_a_missing_folder_and_a_read_only_file_are_refused() {
    let folder = with_run();
    fs::create_dir(folder.path().join("there")).unwrap();
    fs::write(folder.path().join("kept"), "old").unwrap();
    let read_only = fs::Permissions::from_mode(0o444);
    fs::set_permissions(folder.path().join("kept"), read_only).unwrap();
    for writer in WRITERS {
        for (name, reason) in [
            ("there", "cannot write there: it is a folder; name a file in it"),
            ("missing/x", "cannot write missing/x: there is no folder missing"),
            ("kept", "cannot write kept: the file is read-only"),
        ] {
            let output = run(folder.path(), &format!("{writer} {name}"));
            assert_eq!(output.status.code(), Some(1), "{writer} {name}");
            assert!(errors(&output).contains(reason), "{writer} {name}: {}", errors(&output));
        }
    }
    assert_eq!(fs::read(folder.path().join("kept")).unwrap(), b"old");
}

/// `karenina profile --html novel.txt` is a slip that must not cost the novel.
#[test]
fn a_text_a_checkpoint_or_a_log_is_not_replaced_by_a_page_or_a_model() {
    let folder = with_run();
    let profile = "profile text --hidden 4 --batch 2 --unroll 8 --steps 1 --threads 1 --html";
    let writers = WRITERS.iter().chain([&profile]);
    for (writer, kind) in writers.zip(["model", "page", "page", "page"]) {
        for name in ["text", "checkpoints/i2_l4.ckpt", "checkpoints/log.csv"] {
            let before = fs::read(folder.path().join(name)).unwrap();
            let output = run(folder.path(), &format!("{writer} {name}"));
            let message = errors(&output);
            assert_eq!(output.status.code(), Some(1), "{writer} {name}: {message}");
            let reason = format!(
                "cannot write {name}: the file exists and is not known to be a {kind} written by karenina; name"
            );
            assert!(message.contains(&reason), "{message}");
            assert_eq!((message.lines().count(), output.stdout.len()), (1, 0), "{message}");
            assert!(fs::read(folder.path().join(name)).unwrap() == before, "{writer} {name}");
        }
    }
    let thesis = b"<!DOCTYPE html>\n<html><body>a page of somebody else</body></html>";
    let model = b"\x20\0\0\0\0\0\0\0{\"__metadata__\":{\"format\":\"pt\"}}";
    let documented = br#"{"__metadata__":{"karenina":"{\"version\": 1, \"vocabulary\": \"ab\"}"}}"#;
    let documented = [&[documented.len() as u8, 0, 0, 0, 0, 0, 0, 0], &documented[..]].concat();
    for (writer, name, bytes) in [
        ("trace ab --html", "thesis.html", &thesis[..]),
        ("export --out", "model.safetensors", model),
        ("export --out", "mine.safetensors", &documented),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let output = run(folder.path(), &format!("{writer} {name}"));
        assert!(
            errors(&output).contains("written by karenina; name another"),
            "{}",
            errors(&output)
        );
        assert!(fs::read(folder.path().join(name)).unwrap() == bytes, "{name}");
    }
    let output = run(folder.path(), &format!("{profile} nowhere/page.html"));
    assert!(errors(&output).contains("there is no folder nowhere"), "{}", errors(&output));
    fs::write(folder.path().join("empty.html"), "").unwrap();
    for page in ["empty.html", "empty.html"] {
        succeed(folder.path(), &format!("trace ab --html {page}"));
    }
    let kinds = ["export --out model", "export --gradients abc --out gradients"];
    for export in [kinds, kinds].concat() {
        succeed(folder.path(), export);
    }
    for (export, kind) in [
        ("export --gradients abc --out model", "not known to be a file of gradients written by"),
        ("export --out gradients", "not known to be a model written by"),
    ] {
        let output = run(folder.path(), export);
        assert_eq!(output.status.code(), Some(1), "{export}");
        assert!(errors(&output).contains(kind), "{export}: {}", errors(&output));
    }
    assert_eq!(run(folder.path(), "export --out empty.html").status.code(), Some(1));
    assert_eq!(run(folder.path(), "trace ab --html model").status.code(), Some(1));
}

#[test]
fn a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own() {
    let folder = with_run();
    let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    fs::write(folder.path().join("private"), "").unwrap();
    fs::set_permissions(folder.path().join("private"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(
        shell(folder.path(), "umask 027; $K export --out new && $K export --out private")
            .status
            .success()
    );
    assert_eq!((mode("new") & 0o777, mode("private") & 0o777), (0o640, 0o600));
    assert!(
        shell(folder.path(), &format!("umask 022; $K train text {SMALL} --run open"))
            .status
            .success()
    );
    assert_eq!((mode("open/i2_l4.ckpt") & 0o777, mode("open/log.csv") & 0o777), (0o644, 0o644));
}

#[test]
fn a_reader_that_leaves_changes_no_verdict() {
    let folder = with_text();
    let code = |arguments: &str, pipe: &str| {
        let script = format!("$K {arguments} {pipe}; echo ${{PIPESTATUS[0]}} >&2");
        errors(&shell(folder.path(), &script)).lines().last().unwrap().to_string()
    };
    for pipe in ["> /dev/null", "| head -1", "| true"] {
        assert_eq!(code("gradcheck text --precision f32", pipe), "1", "{pipe}");
        assert_eq!(code("gradcheck text", pipe), "0", "{pipe}");
    }
    fs::create_dir(folder.path().join("broken")).unwrap();
    fs::write(folder.path().join("broken/i1_l4.ckpt"), "no checkpoint").unwrap();
    for pipe in ["> /dev/null", "| true"] {
        assert_eq!(code("checkpoints --run broken", pipe), "1", "{pipe}");
    }
}

/// A name that every shell and every terminal would take amiss.
const NAME: &[u8] = b"-it's \"$HOME\" `id`; *?[x] !\n\\n\xff\xe2\x80\xae#~&|<>(){}";

#[test]
fn printed_commands_can_be_pasted_whatever_the_folder_is_called() {
    let folder = with_text();
    let name = name_of(NAME);
    let mut option = OsStr::new("--run=").to_owned();
    option.push(name);
    let words = ["train", "text"].into_iter().chain(SMALL.split(' ')).map(OsStr::new);
    let output = karenina(folder.path(), words.chain([&*option])).output().unwrap();
    let messages = errors(&output);
    assert_eq!(output.status.code(), Some(0), "{messages}");
    let (_, command) = messages.split_once("for more text: ").unwrap();
    assert!(!command.contains('\u{202e}') && command.trim_end().lines().count() == 1, "{command}");
    let output = shell(folder.path(), &format!("{} --length 5 --seed 1", command.trim_end()));
    assert_eq!(output.status.code(), Some(0), "{command}: {}", errors(&output));
}

#[test]
fn a_model_whose_name_has_no_ending_is_imported_beside_it() {
    let folder = with_run();
    succeed(folder.path(), "export --out model");
    let output = succeed(folder.path(), "import model");
    assert!(errors(&output).contains("wrote model-checkpoints/i0_l4.ckpt"), "{}", errors(&output));
    let messages = errors(&output);
    let (_, command) = messages.split_once("to train it further: ").unwrap();
    let command = command.trim_end().replace("TEXT", "text");
    let again = shell(folder.path(), &format!("{command} --steps 1 --run further"));
    assert!(again.status.success(), "{command}: {}", errors(&again));

    succeed(folder.path(), "export --out model.safetensors");
    let output = succeed(folder.path(), "import model.safetensors --run elsewhere");
    assert!(errors(&output).contains("wrote elsewhere/i0_l4.ckpt"));
    // `other` is a file.
    fs::write(folder.path().join("other"), "").unwrap();
    fs::rename(folder.path().join("model.safetensors"), folder.path().join("other.tensors"))
        .unwrap();
    let output = run(folder.path(), "import other.tensors");
    assert!(errors(&output).contains("wrote other-checkpoints/i0_l4.ckpt"), "{}", errors(&output));
}

/// Turns the writing round, steers a terminal, and would end a title.
const HOSTILE: &str = "a\u{202e}\u{2066}\u{200b}\u{feff}\u{1b}[31m</title>b";

fn is_hostile(c: char) -> bool {
    c == '\u{1b}' || HOSTILE.contains(c) && !c.is_ascii()
}

#[test]
fn no_character_of_a_text_or_a_name_steers_a_page_or_a_terminal() {
    let folder = with_run();
    let bare = |arguments: &[&str]| {
        let output = karenina(folder.path(), arguments).output().unwrap();
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all).into_owned()
    };
    let page = bare(&["trace", HOSTILE, "--html", "-"]);
    assert!(page.contains("<title>Trace of “a\\u{202e}"), "{}", &page[..600]);
    let clean = |what: &str, text: &str| assert!(!text.contains(is_hostile), "{what}: {text}");
    clean("page", &page);
    clean("trace", &bare(&["trace", HOSTILE]));
    clean("numbers", &bare(&["trace", HOSTILE, "--numbers"]));
    clean("missing", &bare(&["sample", "--run", HOSTILE]));
    clean("unknown", &bare(&["sample", "--prime", HOSTILE]));
    clean("setting", &bare(&["train", "--preset", HOSTILE]));
    clean("encoding", &bare(&["eval", "text", "--encoding", HOSTILE]));
    fs::write(folder.path().join("hostile"), HOSTILE.repeat(20)).unwrap();
    clean("gradcheck", &bare(&["gradcheck", "hostile"]));
    let name = HOSTILE.replace('/', "");
    fs::rename(folder.path().join("checkpoints"), folder.path().join(&name)).unwrap();
    fs::write(folder.path().join(&name).join("i9_l4.ckpt"), "broken").unwrap();
    let page = bare(&["report", "--run", &name, "text", "--out", "-"]);
    clean("report", &page);
    assert!(page.contains("a\\u{202e}"));
    clean("checkpoints", &bare(&["checkpoints", "--run", &name]));
}

#[test]
fn without_a_prime_that_is_known_a_line_break_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), "- a\tb\n".repeat(60)).unwrap();
    succeed(folder.path(), &format!("train text {SMALL}"));
    let sample = |words: &[&str]| {
        let words = ["sample", "--seed", "1", "--length", "20"].iter().chain(words);
        let output = karenina(folder.path(), words).output().unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), errors(&output))
    };
    let (text, _) = sample(&[]);
    assert_eq!(sample(&["--prime", ""]), (text.clone(), String::new()));
    let note = "3 of 3 characters of the prime are unknown, and are left out\n";
    assert_eq!(sample(&["--prime", "zzz", "--skip-unknown"]), (text.clone(), note.into()));
    assert_eq!(sample(&["--prime", "\n"]).0, format!("\n{text}"));
    assert_eq!(sample(&["--prime", "za", "--skip-unknown"]).0, sample(&["--prime", "a"]).0);
    // As a dialogue does, both begin with a dash.
    assert!(sample(&["--prime", "- a", "--stop", "- b"]).0.starts_with("- a"));
}

#[test]
fn a_prime_may_be_a_file_in_any_encoding() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("text", "да и нет, ".repeat(60).as_bytes());
    write("prime", b"\xe4\xe0"); // windows-1251
    succeed(folder.path(), &format!("train text {SMALL}"));
    let sample = "sample --length 0 --prime-file prime";
    let output = succeed(folder.path(), &format!("{sample} --encoding windows-1251"));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), "да");
    let output = run(folder.path(), sample);
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("prime"), "{}", errors(&output));
    assert_eq!(run(folder.path(), "sample --encoding windows-1251").status.code(), Some(2));
}
