//! The document's arithmetic: every `formula` FLOP (value) and `formula` numbers (value) in it.

use karenina::model::Sizes;

use crate::equations::document;

const ARTICLE: Sizes = Sizes::new(155, 512, 2);
const UNROLL: f64 = 100.0;
const POSITIONS: f64 = 100.0 * UNROLL;

/// The value of a sum of products like `8·N·H·H + 4·T·H`, for the article's sizes.
fn value(formula: &str) -> f64 {
    let product = |term: &str| term.split('·').map(factor).product::<f64>();
    formula.split('+').map(product).sum()
}

fn factor(factor: &str) -> f64 {
    match factor.trim() {
        "N" => POSITIONS,
        "T" => UNROLL,
        "D" | "H" => ARTICLE.hidden as f64,
        "V" => ARTICLE.vocabulary as f64,
        "P" => ARTICLE.parameters() as f64,
        number => number.parse().unwrap_or_else(|_| panic!("no factor: {number:?}")),
    }
}

/// `21.0 G` as 21e9.
fn printed(text: &str) -> f64 {
    let (number, unit) = text.split_once(' ').unwrap_or_else(|| panic!("no unit: {text:?}"));
    let scale = match unit {
        "GFLOP" => 1e9,
        "MFLOP" => 1e6,
        "MB" => 1e6,
        "kB" => 1e3,
        _ => panic!("no unit: {unit:?}"),
    };
    number.parse::<f64>().unwrap_or_else(|_| panic!("no number: {number:?}")) * scale
}

/// Each formula that is followed by `label` and a value in brackets, with that value.
fn costs(text: &str, label: &str) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    let separator = format!("` {label} (");
    let pieces: Vec<&str> = text.split(&separator).collect();
    for pair in pieces.windows(2) {
        let formula = pair[0].rsplit('`').next().expect("a backtick");
        let text = pair[1].split(')').next().expect("a bracket");
        found.push((formula.to_string(), printed(text)));
    }
    found
}

#[track_caller]
fn assert_costs(label: &str, bytes_of_one: f64, at_least: usize) {
    let costs = costs(&document::text(), label);
    assert!(costs.len() >= at_least, "{} formulas before {label:?}", costs.len());
    for (formula, printed) in costs {
        let exact = value(&formula) * bytes_of_one;
        assert!((printed / exact - 1.0).abs() < 5e-3, "{formula} is {exact:e}, not {printed:e}");
    }
}

#[test]
fn every_flop_count_in_the_document_is_right() {
    assert_costs("FLOP", 1.0, 20);
}

#[test]
fn every_byte_count_in_the_document_is_right() {
    assert_costs("numbers", 4.0, 20);
}

/// The matrix products alone make up [`Sizes::flop`].
#[test]
fn the_products_add_up_to_the_engines_own_count() {
    let [recurrence, above, projection] = ["8·N·H·H", "8·N·D·H", "2·N·H·V"].map(value);
    let layers = ARTICLE.layers as f64;
    let once = layers * recurrence + (layers - 1.0) * above + projection;
    assert_eq!(3.0 * once, ARTICLE.flop(POSITIONS as usize));
}
