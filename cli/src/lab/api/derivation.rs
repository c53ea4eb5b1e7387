//! The derivation of one equation, out of docs/derivation.md.

use karenina::study::trace::DERIVATION;
use serde_json::json;

use super::refusal::{Answer, Refusal};

/// The heading and text under which the equation called `label` is derived.
pub fn derivation(label: &str) -> Answer {
    let anchor = format!("<a id=\"{}\"></a>", label.to_ascii_lowercase());
    let is_label = label.len() <= 3 && label.chars().all(|c| c.is_ascii_alphanumeric());
    let start = DERIVATION.find(&anchor).filter(|_| is_label).ok_or_else(|| {
        Refusal::new(
            404,
            format!("no equation is called {label:?}; there are F1 to F13, B1 to B22 and U1 to U8"),
        )
    })?;
    let heading = DERIVATION[..start].rfind("\n### ").map_or(start, |at| at + 1);
    let rest = &DERIVATION[heading..];
    let end = ["\n### ", "\n## "].into_iter().filter_map(|next| rest.find(next)).min();
    let (title, text) = rest[..end.unwrap_or(rest.len())].split_once('\n').unwrap_or((rest, ""));
    Ok(json!({ "title": without_anchors(title), "text": text.trim() }))
}

/// A heading without its mark and its anchors.
fn without_anchors(title: &str) -> String {
    let mut parts = title.trim_start_matches("### ").split("<a id=\"");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| text + part.split_once("</a>").map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that `derivation.js` writes as symbols or treats by themselves.
    fn is_known(command: &str) -> bool {
        let page = include_str!("../page/derivation.js");
        [format!(" {command}: \""), format!("name === \"{command}\"")]
            .iter()
            .any(|known| page.contains(known))
    }

    #[test]
    fn the_page_knows_every_command_of_tex_in_the_derivations() {
        let entries = DERIVATION.split("\n### ").filter(|entry| entry.contains("<a id=\""));
        let commands = entries.flat_map(|entry| entry.split('\\').skip(1)).map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            &rest[..end]
        });
        let unknown: Vec<_> = commands.filter(|word| !word.is_empty() && !is_known(word)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn every_equation_has_its_derivation() {
        let forward = (1..=13).map(|n| format!("F{n}"));
        let update = (1..=8).map(|n| format!("U{n}"));
        for label in forward.chain((1..=22).map(|n| format!("B{n}"))).chain(update) {
            let found = derivation(&label).unwrap();
            let (title, text) = (found["title"].as_str().unwrap(), found["text"].as_str().unwrap());
            assert!(title.contains(&label) || title.contains("the gates"), "{label}: {title}");
            assert!(!title.contains('<') && text.contains("```math"), "{label}: {text}");
            assert!(!text.contains("\n### ") && !text.contains("\n## "), "{label}: {text}");
        }
        for label in ["F14", "", "../../etc", "\"", "f"] {
            assert_eq!(derivation(label).unwrap_err().status, 404, "{label}");
        }
    }
}
