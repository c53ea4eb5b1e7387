//! What texts and a user's numbers cost in memory, seen from outside the command.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::command::{errors, karenina, run, succeed, with_text};

const SMALL: &str = "--hidden 2 --layers 1 --batch 100 --unroll 20 --threads 1 --no-samples";
const MIB: u64 = 1 << 20;

/// A folder with a run on `text` in `checkpoints`.
fn with_run() -> tempfile::TempDir {
    let folder = with_text();
    let sizes = "--preset article --hidden 4 --layers 1 --batch 2 --unroll 8 --steps 2 --no-samples --threads 1";
    succeed(folder.path(), &format!("train text {sizes}"));
    folder
}

/// The most memory in bytes that process `id` has had so far.
fn peak(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// The most memory in bytes that a command takes, which must succeed.
fn peak_of(folder: &Path, arguments: &str) -> u64 {
    let mut command = karenina(folder, arguments.split(' '));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0;
    loop {
        most = peak(child.id()).unwrap_or(0).max(most);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{arguments}");
            return most;
        }
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_text_of_one_byte_characters_takes_its_length_and_little_more() {
    const LENGTH: u64 = 2 * MIB;
    let folder = tempfile::tempdir().unwrap();
    let short: String = (0..100_000_usize).map(|i| b"abcdefg\n"[i * i % 13 % 8] as char).collect();
    let long = short.repeat(LENGTH as usize / short.len());
    fs::write(folder.path().join("short"), short).unwrap();
    fs::write(folder.path().join("long"), long).unwrap();
    succeed(folder.path(), &format!("train short {SMALL} --steps 1"));
    let commands = [
        format!("train TEXT {SMALL} --steps 1 --overwrite --run other"),
        "eval TEXT --rows 500 --threads 1".into(),
        "report TEXT --threads 1 --length 100 --out page.html".into(),
    ];
    for command in commands {
        let of = |text| peak_of(folder.path(), &command.replace("TEXT", text));
        let (short, long) = (of("short"), of("long"));
        let extra = long.saturating_sub(short) as f64 / LENGTH as f64;
        assert!(extra < 1.3, "{command}: {extra:.2} bytes for each byte of the text");
    }
}

#[test]
fn a_number_that_no_machine_has_memory_for_is_refused_with_the_figure() {
    let folder = with_run();
    fs::write(folder.path().join("long"), "abcdef".repeat(350_000)).unwrap();
    let cases = [
        "trace ababab --hidden 100000000",
        "trace ababab --layers 100000000000",
        "gradcheck --hidden 100000000",
        "gradcheck --layers 100000000000",
        "gradcheck long --hidden 10000 --batch 2000000 --unroll 1",
        "plan --hidden 100000000",
        "profile --hidden 100000000",
        "profile text --hidden 2 --batch 2 --unroll 8 --threads 1 --steps 100000000000",
        "profile text --hidden 2 --batch 2 --unroll 8 --threads 1 --steps 18446744073709551615",
        "trace ababab --hidden 18446744073709551615",
        "gradcheck --hidden 18446744073709551615",
        "train text --batch 2 --unroll 8 --hidden 100000000 --run new",
        "train text --unroll 40000000 --run new",
    ];
    for words in cases {
        let output = run(folder.path(), words);
        let message = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.contains(" GiB of memory, but only "), "{words}: {message}");
        assert_eq!(message.lines().count(), 1, "{words}: {message}");
    }
    assert!(!folder.path().join("new").exists());
}

#[test]
fn numbers_beyond_any_text_are_refused() {
    let folder = with_run();
    for words in [
        "gradcheck --batch 18446744073709551615 --unroll 2",
        "eval text --rows 99999999999",
        "plan --unroll 18446744073709551615",
    ] {
        let output = run(folder.path(), words);
        assert!(matches!(output.status.code(), Some(1 | 2)), "{words}: {output:?}");
        assert!(errors(&output).starts_with("karenina: "), "{words}");
    }
}

#[test]
fn memory_is_asked_for_within_a_limit_of_the_process() {
    let folder = with_run();
    fs::write(folder.path().join("long"), "abcdef".repeat(350_000)).unwrap();
    let binary = env!("CARGO_BIN_EXE_karenina");
    for (words, what) in [
        ("eval long --rows 2000000 --threads 1", "--rows 2000000 needs"),
        (
            "train text --hidden 3000 --batch 2 --unroll 8 --threads 1 --run new",
            "training 2 x 3000 cells",
        ),
        ("report long --length 2000000 --threads 1", "--length 2000000 needs"),
        ("profile text --hidden 3000 --batch 2 --unroll 8 --threads 1", "training 2 x 3000 cells"),
    ] {
        let script = format!("ulimit -v 700000; exec {binary} {words}");
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let message = errors(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.starts_with(&format!("karenina: {what}")), "{words}: {message}");
    }
}

/// Of a text and of a prime only the ids are in memory, and of a text of three bytes a character two each.
#[test]
fn texts_that_fit_are_read_and_endless_ones_are_refused() {
    let folder = with_run();
    let wide: String = (0x4e00..0x4e00 + 400_u32).filter_map(char::from_u32).collect();
    fs::write(folder.path().join("wide"), wide.repeat(7_500)).unwrap();
    fs::write(folder.path().join("prime"), "z".repeat(9_000_000)).unwrap();
    succeed(folder.path(), "export --out model");
    for (kilobytes, code, words, said) in [
        (36_000, 0, format!("train wide {SMALL} --steps 1 --run new"), "finished"),
        (30_000, 1, "sample --prime-file prime".into(), "prime: the model does not know"),
        (60_000, 2, "import model --vocabulary /dev/zero".into(), "/dev/zero needs"),
    ] {
        let binary = env!("CARGO_BIN_EXE_karenina");
        let script = format!("ulimit -v {kilobytes}; MALLOC_ARENA_MAX=1 exec {binary} {words}");
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        let message = errors(&output);
        assert_eq!(output.status.code(), Some(code), "{words}: {message}");
        assert!(message.contains(said), "{words}: {message}");
        assert!(code == 0 || message.lines().count() == 1, "{words}: {message}");
    }
}

/// What a checkpoint holds has been loaded when the run asks for memory, and is not asked for again.
#[test]
fn a_run_goes_on_within_the_limit_in_which_it_began() {
    let folder = with_text();
    let binary = env!("CARGO_BIN_EXE_karenina");
    let train =
        "train text --preset article --hidden 700 --batch 2 --unroll 8 --threads 1 --no-samples";
    for words in ["--steps 1", "--steps 2 --resume"] {
        // The arenas of glibc's allocator, one for each thread, take address space of which there is too little here.
        let script = format!("ulimit -v 225000; MALLOC_ARENA_MAX=1 exec {binary} {train} {words}");
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{words}: {}", errors(&output));
    }
}

#[test]
fn any_number_of_samples_takes_the_memory_of_a_round() {
    let folder = with_run();
    for words in ["sample --samples 100000000000 --length 30", "sample --length 100000000000"] {
        let mut command = karenina(folder.path(), words.split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 100_000]).unwrap();
        let peak = peak(child.id()).expect("it is still writing");
        assert!(peak < 100 * MIB, "{words}: {peak} bytes");
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), errors(&output).as_str()), (Some(0), ""), "{words}");
    }
}

/// docs/performance.md has the figures of ten million characters. What nobody reads is not written, so the process
/// stays where it is while its memory is looked at.
#[test]
fn a_long_text_takes_no_more_memory_than_a_short_one() {
    let folder = with_run();
    for options in ["", " --weights i8 --stop never --prime-file text"] {
        let words = format!("sample --length 100000000{options}");
        let mut command = karenina(folder.path(), words.split(' '));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let mut peak_after = |bytes| {
            out.read_exact(&mut vec![0; bytes]).unwrap();
            peak(child.id()).expect("it is still writing")
        };
        let (short, long) = (peak_after(10_000), peak_after(150_000));
        drop(out);
        assert!(child.wait().unwrap().success(), "{words}");
        assert!(long - short < MIB / 8, "{options}: {short} bytes, {long} for the long text");
    }
}

#[test]
fn a_text_of_a_later_round_is_the_one_that_its_seed_alone_writes() {
    let folder = with_run();
    let written = |words: &str| {
        let output = succeed(folder.path(), &format!("sample --prime=abc {words}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let all = written("--length 12 --samples 300 --seed 40");
    for number in [1, 2, 256, 257, 300] {
        let alone = written(&format!("--length 12 --seed {}", 39 + number));
        assert!(all.contains(&format!("--- {number} of 300\n{alone}")), "text {number}");
    }
    assert_eq!(all.matches("---").count(), 300);
    // A text so long is written alone; the end of it is all that is looked at.
    let stopped = written("--samples 2 --length 100000000 --stop a --top-n 0 --seed 3");
    assert!(stopped.lines().filter(|line| line.ends_with('a')).count() == 2, "{stopped}");
}

/// Side by side, a text that has its phrase waits for the others; alone, it ends. Characters of several bytes go before.
#[test]
fn a_phrase_ends_each_text_where_it_would_end_alone() {
    let folder = with_run();
    fs::write(folder.path().join("mixed"), "жaжbжcжaбжabжжacb".repeat(20)).unwrap();
    let run = "--hidden 4 --layers 1 --batch 2 --unroll 5 --steps 1 --no-samples --run run";
    succeed(folder.path(), &format!("train mixed --preset article {run}"));
    let written = |words: &str| {
        let sample = "sample --run run --length 200 --top-n 0 --stop жa";
        let output = succeed(folder.path(), &format!("{sample} {words}"));
        String::from_utf8(output.stdout).unwrap()
    };
    let alone: String = (0..3)
        .map(|n| format!("--- {} of 3\n{}", n + 1, written(&format!("--seed {}", 7 + n))))
        .collect();
    assert_eq!(written("--samples 3 --seed 7"), alone);
    assert!(alone.matches("жa\n").count() >= 2 && alone.chars().count() < 500, "{alone}");
}
