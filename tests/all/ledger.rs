//! The ledger of equations: each has its entry in `docs/derivation.md`, its citation at the line of
//! the reference and of the engine that computes it, and its test; each backward and update equation has its mutations in
//! `docs/testing.md`. And nothing cites an equation that does not exist.

use std::collections::BTreeSet;
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

/// The document in parts, each from one heading to the next, with the equations whose entry it is: their anchors stand
/// in its heading.
fn entries(document: &str) -> impl Iterator<Item = (Labels, &str)> {
    document.split("\n#").map(|part| {
        let heading = part.lines().next().unwrap_or_default();
        let anchors = heading.split("<a id=\"").skip(1);
        let names = anchors.filter_map(|anchor| {
            let (id, rest) = anchor.split_once("\"></a>").expect("a whole anchor");
            let name = label(rest)?;
            assert_eq!(id, name.to_lowercase(), "{heading}");
            Some(name.to_string())
        });
        (names.collect(), part)
    })
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
    let names: Vec<_> = entries(&document()).flat_map(|(names, _)| names).collect();
    eprintln!("{} equations", names.len());
    assert_eq!(names.len(), equations().len(), "one entry each");
    assert_same("entries in docs/derivation.md", &names.into_iter().collect());
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

/// The lines of `text`, counted from 1, on which one of its functions called `function` cites one of `names`.
fn citing_lines(text: &str, function: &str, names: &Labels) -> Vec<usize> {
    let mut lines = Vec::new();
    let mut end = None; // the line that closes the function
    for (n, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        let starts = ["(", "<"].iter().any(|next| body.contains(&format!("fn {function}{next}")));
        if starts && !body.starts_with("//") {
            end = Some(format!("{indent}}}"));
        }
        if end.is_some() && !cited_by_code(line).is_disjoint(names) {
            lines.push(n + 1);
        }
        if end.as_deref() == Some(line) {
            end = None;
        }
    }
    lines
}

/// The anchor of the lines in `file` on which the functions of `link`, like "`forward` and `gather`", cite `names`.
fn anchor(file: &str, link: &str, names: &Labels) -> String {
    let text = fs::read_to_string(file).unwrap_or_else(|_| panic!("{file}"));
    let mut lines = Vec::new();
    for path in link.split('`').skip(1).step_by(2) {
        let function = path.rsplit("::").next().expect("a name");
        let found = citing_lines(&text, function, names);
        assert!(!found.is_empty(), "{path} in {file} does not cite {names:?}");
        lines.extend(found);
    }
    let first = lines.iter().min().unwrap_or_else(|| panic!("{names:?}: no function in [{link}]"));
    match lines.iter().max() {
        Some(last) if last > first => format!("L{first}-L{last}"),
        _ => format!("L{first}"),
    }
}

/// `entry` with today's lines in its links to the code.
fn with_lines(entry: &str, names: &Labels) -> String {
    let mut pieces = entry.split("](../src/");
    let mut new = pieces.next().expect("a first piece").to_string();
    for piece in pieces {
        let (target, rest) = piece.split_once(')').expect("a whole link");
        let file = format!("src/{}", target.split('#').next().expect("a file"));
        let link = new.rsplit('[').next().expect("the link's text");
        let anchor = anchor(&file, link, names);
        new += &format!("](../{file}#{anchor}){rest}");
    }
    new
}

/// An entry names the functions that compute its equations, the reference's first, then the engine's, with links to
/// the lines that cite them.
#[test]
fn every_entry_links_to_the_lines_of_the_reference_and_of_the_engine() {
    let old = document();
    let new = entries(&old).map(|(names, part)| {
        if names.is_empty() {
            return part.to_string();
        }
        let links = part.split("](../").skip(1).filter_map(|link| link.split(['#', ')']).next());
        let files: Vec<_> = links.filter(|file| file.starts_with("src/")).collect();
        let in_order = files.len() > 1 && files[0] == REFERENCE && !files[1..].contains(&REFERENCE);
        assert!(in_order, "{names:?}: the reference first, then the engine: {files:?}");
        with_lines(part, &names)
    });
    let new = new.collect::<Vec<_>>().join("\n#");
    if std::env::var_os("KARENINA_UPDATE").is_some() {
        return fs::write("docs/derivation.md", new).expect("docs/derivation.md");
    }
    let stale = old.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert_eq!(stale, None, "run `KARENINA_UPDATE=1 cargo test ledger`");
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
    let parts: Vec<_> = entries("text\n## <a id=\"b7\"></a>B7 · do\n...\n## Next").collect();
    let of_none = Labels::new();
    assert_eq!(parts[0], (of_none.clone(), "text"));
    assert_eq!(parts[1].0, labels(&["B7"]));
    assert_eq!(parts[2], (of_none, "# Next"));
    let code = "fn f() {\n    x // Eq. B7\n}\nfn g() {\n    x // Eq. B7\n}\n";
    assert_eq!(citing_lines(code, "g", &labels(&["B7", "B8"])), [5]);
}
