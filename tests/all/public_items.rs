//! All that the crate makes public, against `tests/fixtures/public-items.txt`: no change to it goes unseen.
//!
//! A simple reader of the source, which relies on rustfmt: an item begins at the start of a line, its
//! members four spaces further in, and its end is as far in as its beginning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::architecture::{ENGINE, defined_in, expand, sources};

const SNAPSHOT: &str = "tests/fixtures/public-items.txt";

/// An item: its attributes, its words up to the body, and the items in the body.
#[derive(Clone, PartialEq)]
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

    /// The name of a module, function, constant, type or trait.
    fn name(&self) -> &str {
        let kinds = ["mod", "fn", "struct", "enum", "union", "trait", "type", "const", "static"];
        let mut names = words(&self.head).skip_while(|word| !kinds.contains(word)).skip(1);
        names.find(|word| *word != "fn").unwrap_or_default() // as in `const fn`
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

    /// `head` without what ends it, and without the fields of a tuple if none is public.
    fn shown(&self) -> String {
        let head = self.head.trim_end_matches(['{', ',', ';', ' ']);
        let is_tuple = head.starts_with("pub struct") && !head.contains("(pub ");
        let fields = head.find('(').filter(|_| is_tuple);
        fields.map_or(head.into(), |fields| format!("{}(_)", &head[..fields]))
    }

    /// What a user sees of it.
    fn write(&self, indent: &str, out: &mut String) {
        let mut members = String::new();
        self.write_members(&format!("{indent}    "), &mut members);
        if members.is_empty() && self.head.starts_with("impl") && !self.head.contains(" for ") {
            return;
        }
        let seen = ["#[derive", "#[non_exhaustive", "#[cfg"];
        for attribute in &self.attributes {
            if seen.iter().any(|start| attribute.starts_with(start)) {
                *out += &format!("{indent}{attribute}\n");
            }
        }
        *out += &format!("{indent}{}\n{members}", self.shown());
    }

    fn write_members(&self, indent: &str, out: &mut String) {
        let is = |kinds: &[&str]| kinds.iter().any(|kind| self.head.starts_with(kind));
        let is_variant = self.head.starts_with(char::is_uppercase);
        let shows_all = is_variant || is(&["pub enum", "pub trait", "setters!"]);
        let shows_public = is(&["pub struct", "impl"]);
        for member in &self.members {
            let is_public = member.public().is_some() || member.head.starts_with("setters!");
            if shows_all || shows_public && is_public {
                member.write(indent, out);
            }
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
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
        } else if let Some(tree) = head.strip_prefix("use ").filter(|tree| tree.contains("::")) {
            for path in expand(tree) {
                let (name, from) = path.split_last().unwrap();
                let from = match from[0] == "crate" {
                    true => from[1..].join("::"),
                    false => inner(&from.join("::")),
                };
                if named.is_none_or(|named| named == name) {
                    follow(modules, &from, Some(name), seen);
                }
            }
        } else if named.is_none_or(|named| named == item.name()) {
            let seen = seen.entry(module.into()).or_default();
            let is_new = !seen.contains(item); // it may be reached on two ways
            seen.extend(is_new.then(|| item.clone()));
        }
    }
}

/// The snapshot's text.
fn public_items() -> String {
    let mut modules = BTreeMap::new();
    read(Path::new("src"), "", &mut modules);
    let mut seen = BTreeMap::new();
    follow(&modules, "", None, &mut seen);
    let sources = sources(ENGINE);
    for (module, items) in &modules {
        let path: Vec<String> = words(module).map(String::from).collect();
        // What the file defines, or imports from where it is defined.
        let is_public = |name: &str| {
            let imports = sources[&path].named.iter().filter(|path| path.last().unwrap() == name);
            let homes = imports.map(|path| defined_in(path, &sources)).chain([path.clone()]);
            let mut items = homes.flat_map(|home| seen.get(&home.join("::"))).flatten();
            items.any(|item| item.name() == name)
        };
        let is_private =
            |word: &str| items.iter().any(|item| item.name() == word && item.public().is_none());
        let impls = items.iter().filter(|item| {
            item.owner().is_some_and(is_public) && !words(&item.head).any(is_private)
        });
        let impls: Vec<_> = impls.cloned().collect();
        seen.entry(module.clone()).or_default().extend(impls);
    }
    let mut out = String::new();
    for (module, items) in seen {
        let mut shown = String::new();
        items.iter().for_each(|item| item.write("    ", &mut shown));
        if !shown.is_empty() {
            out += &format!("karenina::{module}\n{shown}");
        }
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
