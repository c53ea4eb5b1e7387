//! The ledger of equations: each has its entry in `docs/derivation.md`, its citation at the line of
//! the reference and of the engine that computes it, and its test; each backward and update equation has its mutations in
//! `docs/testing.md`. And nothing cites an equation that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

type Labels = BTreeSet<String>;

/// F1 … F13, B1 … B22, U1 … U8.
fn equations() -> Labels {
    let range = |letter, count| (1..=count).map(move |n| format!("{letter}{n}"));
    range('F', 13).chain(range('B', 22)).chain(range('U', 8)).collect()
}

/// The label at the start of `text`, if one stands there.
fn label(text: &str) -> Option<&str> {
    let digits = text.strip_prefix(['F', 'B', 'U'])?;
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| &text[..count + 1])
}

/// The labels of a list like "B2, B3" at the start of `text`.
fn list(mut text: &str) -> Vec<String> {
    let mut labels = Vec::new();
    while let Some(label) = label(text) {
        labels.push(label.to_string());
        text = text[label.len()..].trim_start_matches([',', ' ']);
    }
    labels
}

/// What follows each `mark` in `text`, as lists of labels.
fn after(mark: &str, text: &str) -> Labels {
    text.split(mark).skip(1).flat_map(list).collect()
}

/// All Rust files below `folder`, with their text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).expect("UTF-8");
                files.push((path, text));
            }
        }
    }
    files
}

/// The document's entries: each equation's heading holds its anchor, and the text up to the next
/// heading names the files that compute it.
fn entries(document: &str) -> BTreeMap<String, Vec<String>> {
    let mut entries = BTreeMap::new();
    for part in document.split("\n#").skip(1) {
        let (heading, body) = part.split_once('\n').unwrap_or((part, ""));
        for anchor in heading.split("<a id=\"").skip(1) {
            let (id, rest) = anchor.split_once("\"></a>").expect("a whole anchor");
            let name = label(rest).expect("an anchor stands before its label");
            assert_eq!(id, name.to_lowercase(), "{heading}");
            let files =
                body.split("](../").skip(1).map(|link| link.split([')', '#']).next().unwrap());
            let files = files.filter(|file| file.starts_with("src/")).map(String::from);
            let before = entries.insert(name.to_string(), files.collect());
            assert!(before.is_none(), "{name} has two entries");
        }
    }
    entries
}

fn document() -> String {
    fs::read_to_string("docs/derivation.md").expect("docs/derivation.md")
}

/// Names of test functions that begin with `prefix`, as the labels they carry.
fn tests(prefix: &str) -> Labels {
    let mut labels = Labels::new();
    for (path, text) in sources("tests/all/equations") {
        for name in text.split(prefix).skip(1) {
            let name = name.split(|c: char| !c.is_alphanumeric()).next().expect("a word");
            let name = name.to_uppercase();
            assert_eq!(label(&name), Some(name.as_str()), "{}: {prefix}{name}", path.display());
            labels.insert(name);
        }
    }
    labels
}

/// What the left lacks and what it has too much.
fn assert_same(what: &str, found: &Labels) {
    let all = equations();
    let (missing, unknown): (Vec<_>, Vec<_>) =
        (all.difference(found).collect(), found.difference(&all).collect());
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{what}: no {missing:?}; unknown {unknown:?}"
    );
}

#[test]
fn every_equation_has_its_entry() {
    let entries = entries(&document());
    eprintln!("{} equations", entries.len());
    assert_same("entries in docs/derivation.md", &entries.into_keys().collect());
}

const REFERENCE: &str = "src/reference.rs";

/// What the lines of code cite; what is said in comments of their own does not count.
fn cited_by_code(text: &str) -> Labels {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| after("// Eq. ", line)).collect()
}

#[test]
fn every_equation_is_cited_by_the_line_of_the_engine_that_computes_it() {
    // What looks at the engine from outside has citations of its own.
    let other = |path: &Path| path == Path::new(REFERENCE) || path.starts_with("src/study");
    let engine = sources("src").into_iter().filter(|(path, _)| !other(path));
    let found = engine.flat_map(|(_, text)| cited_by_code(&text)).collect();
    assert_same("citations in src/", &found);
}

#[test]
fn every_equation_is_cited_by_the_line_of_the_reference_that_computes_it() {
    let text = fs::read_to_string(REFERENCE).expect(REFERENCE);
    assert_same(REFERENCE, &cited_by_code(&text));
}

/// The one line of the reference whose code cites `name`, counted from 1.
fn line_of_reference(name: &str) -> usize {
    let text = fs::read_to_string(REFERENCE).expect(REFERENCE);
    let lines = text.lines().enumerate().filter(|(_, line)| cited_by_code(line).contains(name));
    let lines: Vec<usize> = lines.map(|(n, _)| n + 1).collect();
    assert_eq!(lines.len(), 1, "{REFERENCE} cites {name} on the lines {lines:?}");
    lines[0]
}

/// An entry's first link is `../src/reference.rs#L12`, or `#L12-L15` where several lines belong to it.
#[test]
fn every_entry_points_to_the_line_of_the_reference_first() {
    for part in document().split("\n#").skip(1) {
        let (heading, body) = part.split_once('\n').unwrap_or((part, ""));
        let anchors = heading.split("<a id=\"").skip(1);
        let names: Vec<_> =
            anchors.filter_map(|a| label(a.split_once('>')?.1.strip_prefix("</a>")?)).collect();
        if names.is_empty() {
            continue;
        }
        let lines = || names.iter().map(|name| line_of_reference(name));
        let (first, last) = (lines().min().expect("a name"), lines().max().expect("a name"));
        let anchor = match first == last {
            true => format!("L{first}"),
            false => format!("L{first}-L{last}"),
        };
        let link = body.split("](../src/").nth(1).and_then(|link| link.split(')').next());
        let expected = format!("reference.rs#{anchor}");
        assert_eq!(
            link,
            Some(expected.as_str()),
            "the first link to the code in the entry {heading}"
        );
    }
}

#[test]
fn every_entry_names_the_file_that_computes_it() {
    for (name, files) in entries(&document()) {
        let engine = files.iter().any(|file| file != REFERENCE);
        assert!(engine, "the entry of {name} names no file of the engine");
        for file in files {
            let text = fs::read_to_string(Path::new(&file)).unwrap_or_else(|_| panic!("{file}"));
            let cited = after("// Eq. ", &text);
            assert!(cited.contains(&name), "{file} does not cite {name}");
        }
    }
}

#[test]
fn every_function_that_an_entry_names_is_in_the_file() {
    let document = document();
    let links = document.split("](../src/").collect::<Vec<_>>();
    for link in links.windows(2) {
        let file = format!("src/{}", link[1].split([')', '#']).next().unwrap());
        let text = fs::read_to_string(&file).unwrap_or_else(|_| panic!("{file}"));
        let names = link[0].rsplit('[').next().expect("the link's text").split('`');
        for name in names.skip(1).step_by(2).filter_map(|path| path.rsplit("::").next()) {
            let is_there = ["(", "<"].iter().any(|end| text.contains(&format!("fn {name}{end}")));
            assert!(is_there, "{file} has no function {name}");
        }
    }
}

#[test]
fn every_equation_has_its_test() {
    assert_same("tests", &tests("fn eq_"));
}

/// Comments cite as `Eq. B4`, and quote a forward line above its derivative as `// F7: h = …`.
#[test]
fn no_citation_names_an_unknown_equation() {
    let all = equations();
    for (path, text) in sources("src").into_iter().chain(sources("tests/all/equations")) {
        for mark in ["Eq. ", "// "] {
            for cited in after(mark, &text) {
                assert!(all.contains(&cited), "{} cites {cited}", path.display());
            }
        }
    }
    for link in document().split("](#").skip(1) {
        let id = link.split(')').next().expect("a bracket").to_uppercase();
        if label(&id) == Some(&id) {
            assert!(all.contains(&id), "docs/derivation.md links to {id}");
        }
    }
}

#[test]
fn every_backward_and_update_equation_has_its_mutation() {
    let expected: Labels = equations().into_iter().filter(|name| !name.starts_with('F')).collect();
    assert_eq!(tests("mutation_of_"), expected);
    let list = fs::read_to_string("docs/testing.md").expect("docs/testing.md");
    for name in &expected {
        let test = format!("`mutation_of_{}_is_caught`", name.to_lowercase());
        assert!(list.contains(&test), "docs/testing.md lacks {test}");
    }
}

/// The list in `docs/testing.md` and the table of mistakes in `tests/mutants/build.rs` are the same.
#[test]
fn every_mutation_is_listed_and_every_listed_one_exists() {
    /// Names like `B7ForgetsTanh` between quotes of the kind `quote`.
    fn names(text: &str, quote: char) -> BTreeSet<&str> {
        let words = text.split(quote).skip(1).step_by(2);
        words.filter(|w| label(w).is_some_and(|name| name.len() < w.len())).collect()
    }
    let table = fs::read_to_string("tests/mutants/build.rs").expect("tests/mutants/build.rs");
    let list = fs::read_to_string("docs/testing.md").expect("docs/testing.md");
    assert_eq!(names(&list, '`'), names(&table, '"'));
}

#[test]
fn the_ledger_reads_lists_of_labels() {
    let labels = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Labels>();
    assert_eq!(after("// Eq. ", "x // Eq. B2, B13; y // Eq. F1: z"), labels(&["B2", "B13", "F1"]));
    assert_eq!(after("// Eq. ", "x /// Eq. B99"), labels(&["B99"]), "an unknown one is found too");
    assert_eq!(after("// Eq. ", "plain text B7"), labels(&[]));
    let entries =
        entries("\n## <a id=\"b7\"></a>B7 · do\n[x](../src/a.rs)\n## Next\n[y](../src/b.rs)");
    assert_eq!(entries["B7"], ["src/a.rs"]);
}
