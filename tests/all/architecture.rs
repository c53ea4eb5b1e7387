//! The layers of the house: imports go down only, and in no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the engine.
pub const ENGINE: &str = "src";

/// The layer of each top-level module; imports must lead to a lower one.
const LAYERS: [(&str, u32); 14] = [
    ("error", 0),
    ("math", 0),
    ("memory", 0),
    ("layers", 1),
    ("text", 1),
    ("ranks", 1),
    ("model", 2),
    ("optim", 2),
    ("reference", 1),
    ("train", 3),
    ("sample", 3),
    ("evaluate", 3),
    ("study", 4),
    ("lib", 5),
];

fn layer(module: &str) -> u32 {
    LAYERS.iter().find(|(name, _)| *name == module).unwrap_or_else(|| panic!("{module}")).1
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(rust_files(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => files.push(path),
            false => {}
        }
    }
    files
}

/// The path of a file's module, as in ["model", "shard"]; a `mod.rs` is its folder, `lib.rs` or `main.rs` the root.
fn module(file: &Path, root: &str) -> Vec<String> {
    let relative = file.strip_prefix(root).unwrap().with_extension("");
    let mut path: Vec<String> =
        relative.iter().map(|part| part.to_str().unwrap().to_string()).collect();
    path.pop_if(|last| ["mod", "lib", "main"].contains(&last.as_str()));
    path
}

/// The file's code: no comments, no tests, no imports that only the documentation needs, on one line.
fn code(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = source.lines().map(|line| line.split("//").next().unwrap().trim());
    let code = lines.collect::<Vec<_>>().join(" ");
    let mut parts = code.split("#[cfg(doc)]");
    let first = parts.next().unwrap().to_string();
    parts.fold(first, |code, part| code + part.split_once(';').unwrap().1)
}

/// The paths that a tree of imports stands for: `a::{b, c::d}` for `a::b` and `a::c::d`. Of a path inside
/// other code it is the path alone.
pub fn expand(tree: &str) -> Vec<Vec<String>> {
    let end = tree.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let (path, rest) = tree.split_at(end.unwrap_or(tree.len()));
    let path: Vec<String> =
        path.split("::").filter(|part| !part.is_empty()).map(String::from).collect();
    if !rest.starts_with('{') {
        return vec![path];
    }
    let (mut depth, mut start, mut found) = (0, 1, Vec::new());
    for (at, c) in rest.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 || depth == 1 && c == ',' {
            let parts = expand(rest[start..at].trim());
            found.extend(parts.into_iter().map(|part| [path.clone(), part].concat()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// One file of the engine: what it names of the crate, from the root on, and what of that it gives on
/// (`pub use`).
pub struct Source {
    pub named: Vec<Vec<String>>,
    given_on: Vec<Vec<String>>,
}

fn read(file: &Path, root: &str, all: &BTreeMap<Vec<String>, PathBuf>) -> Source {
    let (own, code) = (module(file, root), code(file));
    let absolute = |path: Vec<String>| -> Option<Vec<String>> {
        let up = path.iter().take_while(|part| *part == "super").count();
        match path[0].as_str() {
            "crate" => Some(path[1..].to_vec()),
            // In the engine, itself; in the command, another crate.
            "karenina" => (root == ENGINE).then(|| path[1..].to_vec()),
            "self" => Some([own.clone(), path[1..].to_vec()].concat()),
            "super" => Some([&own[..own.len() - up], &path[up..]].concat()),
            first => {
                let child = [own.clone(), vec![first.to_string()]].concat();
                all.contains_key(&child).then(|| [own.clone(), path].concat())
            }
        }
    };
    let (mut named, mut given_on) = (Vec::new(), Vec::new());
    for (at, _) in code.match_indices("use ") {
        let before = code[..at].trim_end();
        if before.is_empty()
            || before.ends_with([';', '}', ']', ')', '{'])
            || before.ends_with("pub")
        {
            let tree = code[at + 4..].split(';').next().unwrap();
            let paths = expand(tree).into_iter().filter_map(absolute);
            match before.ends_with("pub") || before.ends_with(')') {
                true => given_on.extend(paths),
                false => named.extend(paths),
            }
        }
    }
    // The body names the modules that its file declares without a root.
    let children = all.keys().filter(|path| path.len() == own.len() + 1 && path.starts_with(&own));
    let children = children.map(|path| path[own.len()].as_str());
    for root in ["crate", "karenina", "super", "self"].into_iter().chain(children) {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = &code[..at];
            if !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
                named.extend(expand(&code[at..]).into_iter().filter_map(absolute));
            }
        }
    }
    named.extend(given_on.iter().cloned());
    Source { named, given_on }
}

/// All files below `root`, by the path of the module.
pub fn sources(root: &str) -> BTreeMap<Vec<String>, Source> {
    let files = rust_files(Path::new(root)).into_iter();
    let all = files.map(|file| (module(&file, root), file)).collect();
    let read = |(path, file): (&Vec<String>, &PathBuf)| (path.clone(), read(file, root, &all));
    BTreeMap::iter(&all).map(read).collect()
}

/// The module whose file defines what `path` names: what a file only gives on is followed further.
pub fn defined_in(path: &[String], all: &BTreeMap<Vec<String>, Source>) -> Vec<String> {
    let of_file = (0..=path.len()).rev().find(|&end| all.contains_key(&path[..end])).unwrap();
    let (file, rest) = path.split_at(of_file);
    let given_on = || all[file].given_on.iter().find(|given| given.last() == rest.first());
    match rest.first().and_then(|_| given_on()) {
        Some(given) => defined_in(given, all),
        None => file.to_vec(),
    }
}

#[test]
fn imports_go_down_only() {
    for (from, source) in sources(ENGINE) {
        for import in source.named {
            let top = |path: &[String]| path.first().map_or("lib", String::as_str).to_string();
            let pair = [top(&from), top(&import)];
            if pair[0] == pair[1] || pair[1] == "lib" {
                continue; // inside one folder: see the next test
            }
            let (up, down) = (layer(&pair[0]), layer(&pair[1]));
            // On the lowest layer `math` and `memory` may look at `error`;
            // `optim` works on the model's parameters.
            let beside = [["optim", "model"], ["math", "error"], ["memory", "error"]];
            let allowed = up > down || beside.iter().any(|beside| *beside == pair);
            assert!(allowed, "{from:?} imports {import:?}: that is not down");
        }
    }
}

/// File by file, a `mod.rs` like any other: what it defines, the files beside it must not import if it
/// imports them. Only a root may be named by the files below it.
fn circles(root: &str) -> Vec<String> {
    let all = sources(root);
    let mut edges: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (from, source) in &all {
        let to = source.named.iter().map(|path| defined_in(path, &all));
        edges.insert(from.clone(), to.filter(|to| to != from && !to.is_empty()).collect());
    }
    let mut circles = Vec::new();
    for start in edges.keys() {
        let (mut seen, mut open) = (BTreeSet::new(), vec![vec![start]]);
        while let Some(way) = open.pop() {
            for next in &edges[*way.last().unwrap()] {
                if next == start {
                    let names = way.iter().map(|path| path.join("::"));
                    circles.push(names.collect::<Vec<_>>().join(" -> "));
                }
                if seen.insert(next) {
                    open.push([way.clone(), vec![next]].concat());
                }
            }
        }
    }
    circles
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for root in [ENGINE, "cli/src"] {
        let circles = circles(root);
        assert!(circles.is_empty(), "these files import themselves:\n{}", circles.join("\n"));
    }
}

#[test]
fn imports_of_every_form_are_read() {
    let found = expand("crate::{math::{Real, simd::vectorised}, error::Error as E}; fn x() {}");
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        ["crate::math::Real", "crate::math::simd::vectorised", "crate::error::Error"]
    );
    let all = sources(ENGINE);
    let path = |text: &str| text.split("::").map(String::from).collect::<Vec<_>>();
    assert!(all[&path("math::matmul::tile")].named.contains(&path("math::matmul::vector::Vector")));
    assert!(all[&path("math")].given_on.contains(&path("math::real::Real")));
    let body = "train::interchange::read::decode"; // from no import but a line of code
    assert!(all[&path("train::interchange")].named.contains(&path(body)));
    assert_eq!(defined_in(&path("math::Real"), &all), path("math::real"));
    assert_eq!(defined_in(&path("math::matmul::Packed"), &all), path("math::matmul::packed"));
}

#[test]
fn unsafe_code_lives_in_the_matmul_in_simd_and_in_team_alone() {
    for file in rust_files(Path::new(ENGINE)) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses =
            code.filter(|line| line.contains("unsafe ") || line.contains("unsafe_code")).count();
        let files = ["src/math/simd.rs", "src/math/team.rs"].map(Path::new);
        let allowed = file.starts_with("src/math/matmul") || files.contains(&&*file);
        assert!(allowed || uses == 0, "{} uses unsafe", file.display());
    }
}
