//! All that the crate makes public, against `tests/fixtures/public-items.txt`: no change to it goes unseen.
//!
//! A simple reader of the source, which relies on rustfmt: an item begins at the start of a line, its
//! members four spaces further in, and its end is as far in as its beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const SNAPSHOT: &str = "tests/fixtures/public-items.txt";

/// An item: its attributes, its words up to the body, and the items in the body.
#[derive(Clone)]
struct Item {
    attributes: Vec<String>,
    head: String,
    members: Vec<Item>,
}

impl Item {
    /// `head` if it is public, without its visibility.
    fn public(&self) -> Option<&str> {
        let is_hidden = self.attributes.iter().any(|attribute| attribute == "#[doc(hidden)]");
        self.head.strip_prefix("pub ").filter(|_| !is_hidden)
    }

    /// The name of a module, function, type or trait.
    fn name(&self) -> &str {
        let words = self.head.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let kinds = ["mod", "fn", "struct", "enum", "trait", "type", "macro_rules"];
        let mut words = words.filter(|word| !word.is_empty()).skip_while(|w| !kinds.contains(w));
        words.nth(1).unwrap_or_default()
    }

    /// The type that an `impl` is for.
    fn owner(&self) -> Option<&str> {
        let head = self.head.strip_prefix("impl")?;
        let mut depth = 0;
        let generics = head.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        });
        let subject = head[generics?..].trim_start_matches('>').trim();
        let subject = subject.split_once(" for ").map_or(subject, |(_, subject)| subject);
        subject.split(['<', ' ', '{']).next()?.split("::").last()
    }

    /// What a user sees of it.
    fn write(&self, indent: &str, out: &mut String) {
        let seen = ["#[derive", "#[non_exhaustive", "#[cfg"];
        for attribute in &self.attributes {
            if seen.iter().any(|start| attribute.starts_with(start)) {
                *out += &format!("{indent}{attribute}\n");
            }
        }
        *out += &format!("{indent}{}\n", self.head.trim_end_matches(['{', ',', ';', ' ']));
        let is = |kinds: &[&str]| kinds.iter().any(|kind| self.head.starts_with(kind));
        let is_variant = self.head.starts_with(char::is_uppercase);
        let shows_all = is_variant || is(&["pub enum", "pub trait", "setters!"]);
        let shows_public = is(&["pub struct", "impl"]);
        for member in &self.members {
            let is_public = member.public().is_some() || member.head.starts_with("setters!");
            if shows_all || shows_public && is_public {
                member.write(&format!("{indent}    "), out);
            }
        }
    }
}

/// The items of `source`, up to its tests.
fn items(source: &str) -> Vec<Item> {
    let mut found = Vec::new();
    let mut attributes = Vec::new();
    let mut lines = source.lines().take_while(|line| *line != "#[cfg(test)]");
    while let Some(line) = lines.next() {
        if line.starts_with("#[") {
            attributes.push(line.to_string());
        } else if !line.starts_with(['/', ' ', '}', ')', '#']) && !line.is_empty() {
            let mut head = line.to_string();
            while !is_complete(&head) {
                let Some(next) = lines.next() else { break };
                head += if head.ends_with(['(', '[', '<']) { "" } else { " " };
                head += next.trim();
            }
            let head = head.replace(",)", ")").replace(", )", ")").replace(", >", ">");
            let body = head.ends_with('{');
            let body = lines.by_ref().take_while(|line| body && !line.starts_with('}'));
            let body: Vec<_> = match head.ends_with('{') {
                true => body.map(|line| line.strip_prefix("    ").unwrap_or(line)).collect(),
                false => Vec::new(),
            };
            let attributes = std::mem::take(&mut attributes);
            found.push(Item { attributes, head, members: items(&body.join("\n")) });
        }
    }
    found
}

/// Whether all brackets are closed and the words end where a body, the next item or member begins.
fn is_complete(head: &str) -> bool {
    let count = |c| head.matches(c).count();
    match head.contains("use ") {
        true => head.ends_with(';'),
        false => {
            head.ends_with(['{', ';', ',', '}'])
                && count('(') == count(')')
                && count('[') == count(']')
        }
    }
}

/// The items of every file by its module, as in "train::checkpoint".
fn read(folder: &Path, module: &str, modules: &mut BTreeMap<String, Vec<Item>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let inner = if module.is_empty() { stem.into() } else { format!("{module}::{stem}") };
        match path.extension().and_then(|extension| extension.to_str()) {
            None => read(&path, &inner, modules),
            Some("rs") => {
                let is_root = ["mod", "lib"].contains(&stem);
                let module = if is_root { module.into() } else { inner };
                modules.insert(module, items(&fs::read_to_string(path).unwrap()));
            }
            Some(_) => {}
        }
    }
}

/// Adds the public items of `module`, all or those `named`, to `seen`, and those of its public modules.
fn follow(
    modules: &BTreeMap<String, Vec<Item>>,
    module: &str,
    named: Option<&str>,
    seen: &mut BTreeMap<String, Vec<Item>>,
) {
    let inner = |name: &str| match module {
        "" => name.to_string(),
        _ => format!("{module}::{name}"),
    };
    for item in &modules[module] {
        let Some(head) = item.public() else { continue };
        if let Some(name) = head.strip_prefix("mod ").filter(|_| named.is_none()) {
            follow(modules, &inner(name.trim_end_matches(';')), None, seen);
        } else if let Some((name, names)) =
            head.strip_prefix("use ").and_then(|u| u.split_once("::"))
        {
            let of_named = named.is_none_or(|named| names.contains(named));
            if of_named && modules.contains_key(&inner(name)) {
                let names = names.split(|c: char| !(c.is_alphanumeric() || c == '_'));
                names
                    .filter(|n| !n.is_empty())
                    .for_each(|n| follow(modules, &inner(name), Some(n), seen));
            }
        } else if named.is_none_or(|named| named == item.name()) {
            seen.entry(module.into()).or_default().push(item.clone());
        }
    }
}

/// The snapshot's text.
fn public_items() -> String {
    let mut modules = BTreeMap::new();
    read(Path::new("src"), "", &mut modules);
    let mut seen = BTreeMap::new();
    follow(&modules, "", None, &mut seen);
    let types: BTreeSet<_> = seen.values().flatten().map(|item| item.name().to_string()).collect();
    for (module, items) in &modules {
        let of_seen = items.iter().filter(|item| item.owner().is_some_and(|o| types.contains(o)));
        seen.entry(module.clone()).or_default().extend(of_seen.cloned());
    }
    let mut out = String::new();
    for (module, items) in seen.iter().filter(|(_, items)| !items.is_empty()) {
        out += &format!("karenina::{module}\n");
        items.iter().for_each(|item| item.write("    ", &mut out));
    }
    out
}

#[test]
fn what_is_public_changes_only_on_purpose() {
    let found = public_items();
    if std::env::var_os("KARENINA_UPDATE").is_some() {
        fs::write(SNAPSHOT, &found).unwrap();
    }
    let expected = fs::read_to_string(SNAPSHOT).unwrap();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "the public items have changed, first {differs:?}; if that is meant, write the list anew with \
         `KARENINA_UPDATE=1 cargo test public_items` and read its difference"
    );
}
