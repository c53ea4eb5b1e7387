//! The layers of the house: imports go down only, and in no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each top-level module; imports must lead to a lower one.
const LAYERS: [(&str, u32); 13] = [
    ("error", 0),
    ("math", 0),
    ("memory", 0),
    ("layers", 1),
    ("text", 1),
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

/// The path of a file's module, as in ["model", "shard"]; a `mod.rs` is its folder.
fn module(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix("src").unwrap().with_extension("");
    let mut path: Vec<String> =
        relative.iter().map(|part| part.to_str().unwrap().to_string()).collect();
    path.pop_if(|last| last == "mod");
    path
}

/// All `crate::…` and `karenina::…` paths that a file uses, as module paths.
fn imports(file: &Path) -> Vec<Vec<String>> {
    let source = fs::read_to_string(file).unwrap();
    let mut found = Vec::new();
    for line in source.lines().filter(|line| line.trim_start().starts_with("use ")) {
        let path = line.trim_start().trim_start_matches("use ");
        for root in ["crate::", "karenina::"] {
            if let Some(path) = path.strip_prefix(root) {
                let parts = path.split([':', '{', ';', ' ']).filter(|part| !part.is_empty());
                found.push(parts.map(String::from).collect());
            }
        }
    }
    found
}

#[test]
fn imports_go_down_only() {
    for file in rust_files(Path::new("src")) {
        let from = module(&file);
        for import in imports(&file) {
            if import[0] == from[0] {
                continue; // inside one folder: see the next test
            }
            let (up, down) = (layer(&from[0]), layer(&import[0]));
            let pair = [from[0].as_str(), import[0].as_str()];
            // On the lowest layer `math` and `memory` may look at `error`;
            // `optim` works on the model's parameters.
            let beside = [["optim", "model"], ["math", "error"], ["memory", "error"]];
            let allowed = up > down || beside.contains(&pair);
            assert!(allowed, "{} imports {import:?}: that is not down", file.display());
        }
    }
}

#[test]
fn no_folder_imports_in_a_circle() {
    // A folder's `mod.rs` stands for what it re-exports, so only leaf modules are compared.
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in rust_files(Path::new("src")) {
        let from = module(&file);
        if from.len() < 2 {
            continue;
        }
        for import in imports(&file) {
            if import[0] == from[0] && import.len() > 1 && import[1] != from[1] {
                let key = |path: &[String]| format!("{}::{}", path[0], path[1]);
                edges.entry(key(&from)).or_default().insert(key(&import));
            }
        }
    }
    for start in edges.keys() {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(node) = open.pop() {
            for next in edges.get(node).into_iter().flatten() {
                assert_ne!(next, start, "{start} imports itself by way of {node}");
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
    }
}

#[test]
fn unsafe_code_lives_in_the_matmul_alone() {
    for file in rust_files(Path::new("src")) {
        let source = fs::read_to_string(&file).unwrap();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses =
            code.filter(|line| line.contains("unsafe ") || line.contains("unsafe_code")).count();
        let allowed = file.starts_with("src/math/matmul");
        assert!(allowed || uses == 0, "{} uses unsafe", file.display());
    }
}
