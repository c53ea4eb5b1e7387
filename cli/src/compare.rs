//! `karenina profile --compare`: two profiles side by side.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use encoding_rs::UTF_8;
use karenina::error::{Error, Result};
use karenina::study::profile::{PhaseProfile, Profile};

use super::output::{output_error, printable};
use super::table::{Cell, Table, plain};

/// Prints what `karenina profile --json` has written to two files, of two machines or two versions.
pub fn compare([first, second]: [&Path; 2]) -> Result<()> {
    let profiles = [load(first)?, load(second)?];
    print(&profiles, [first, second], &mut io::stdout().lock()).map_err(output_error)
}

fn load(path: &Path) -> Result<Profile> {
    let json = fs::read(path).map_err(Error::io("read", path))?;
    let (json, ..) = UTF_8.decode(&json); // or UTF-16 with its mark, which PowerShell's `>` writes
    serde_json::from_str(&json).map_err(|error| {
        Error::checkpoint(path, format!("not what karenina profile --json writes ({error})"))
    })
}

fn print(profiles: &[Profile; 2], paths: [&Path; 2], out: &mut impl Write) -> io::Result<()> {
    for (letter, (p, path)) in ["A", "B"].into_iter().zip(profiles.iter().zip(paths)) {
        let Profile { kernel, threads, sizes, .. } = p;
        let program = match p.version.as_str() {
            "" => String::new(), // a file of an older version
            version => format!("karenina {version} on {}, ", p.processor),
        };
        let heading = format!(
            "{letter}: {}: {program}{kernel} kernel, threads {threads}, ranks {}, peak {:.1} GFLOP/s; L = {}, H = {}, B = {}, \
             T = {}, V = {}",
            path.display(),
            p.ranks,
            p.peak_gflops,
            sizes.layers,
            sizes.hidden,
            p.batch,
            p.unroll,
            sizes.vocabulary,
        );
        writeln!(out, "{}", printable(&heading))?; // a file may come from anybody
    }
    let work = |p: &Profile| (p.sizes, p.batch, p.unroll);
    if work(&profiles[0]) != work(&profiles[1]) {
        writeln!(out, "\nThe sizes differ: compare the shares of the peak, not the times.")?;
    }
    writeln!(out)?;
    phases(profiles).print(out)?;
    writeln!(out)?;
    speeds(profiles).print(out)?;
    out.flush()
}

/// Each phase that either has, in the order of the first that has it, and the step.
fn phases([a, b]: &[Profile; 2]) -> Table {
    let heads = ["phase", "A ms", "B ms", "A / B", "A % of peak", "B % of peak"];
    let mut table = Table::new(heads, &[0]);
    let whole = [a.whole_step(), b.whole_step()];
    let only_b = b.phases.iter().filter(|phase| find(a, &phase.name).is_none());
    for name in a.phases.iter().chain(only_b).map(|phase| &phase.name) {
        table.row(row(name, [find(a, name), find(b, name)]));
    }
    table.row(row(&whole[0].name, [Some(&whole[0]), Some(&whole[1])]));
    table
}

fn find<'a>(profile: &'a Profile, name: &str) -> Option<&'a PhaseProfile> {
    profile.phases.iter().find(|phase| phase.name == name)
}

fn row(name: &str, [a, b]: [Option<&PhaseProfile>; 2]) -> [Cell; 6] {
    let ms = |phase: &PhaseProfile| format!("{:.2}", 1e3 * phase.seconds);
    let share = |phase: &PhaseProfile| match phase.gflop > 0.0 {
        true => format!("{:.1} %", 100.0 * phase.fraction_of_peak),
        false => String::new(),
    };
    let ratio = a.zip(b).filter(|(_, b)| b.seconds > 0.0);
    let text = |cell: Option<String>| plain(cell.unwrap_or_default());
    [
        plain(printable(name)),
        text(a.map(ms)),
        text(b.map(ms)),
        text(ratio.map(|(a, b)| format!("{:.2}", a.seconds / b.seconds))),
        text(a.map(share)),
        text(b.map(share)),
    ]
}

/// What does not depend on a phase: more is better, so B / A.
fn speeds([a, b]: &[Profile; 2]) -> Table {
    let mut table = Table::new(["", "A", "B", "B / A"], &[0]);
    let speeds = |p: &Profile| {
        [
            ("training, characters/s", p.characters_per_second),
            ("sampling, characters/s", p.sample_characters_per_second),
            ("sampling in bf16, characters/s", p.sample_characters_per_second_bf16),
            ("sampling in f16, characters/s", p.sample_characters_per_second_f16),
            ("sampling in i8, characters/s", p.sample_characters_per_second_i8),
            ("peak, GFLOP/s", p.peak_gflops),
            ("last-level cache, GB/s", p.bandwidth.cache_gigabytes_per_second),
            ("memory, GB/s", p.bandwidth.memory_gigabytes_per_second),
        ]
    };
    for ((name, a), (_, b)) in speeds(a).into_iter().zip(speeds(b)) {
        let decimals = if a.max(b) < 1000.0 { 1 } else { 0 };
        // An older version did not measure everything.
        let number =
            |speed: f64| if speed > 0.0 { format!("{speed:.decimals$}") } else { "".into() };
        let ratio = if a > 0.0 && b > 0.0 { format!("{:.2}", b / a) } else { "".into() };
        table.row([plain(name), plain(number(a)), plain(number(b)), plain(ratio)]);
    }
    table
}
