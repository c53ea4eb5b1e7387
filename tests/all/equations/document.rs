//! `docs/derivation.md` as the tests read it: tables of numbers.

use std::fmt::{Display, Formatter, Result};

/// A table; its name stands in the first cell of its header.
#[derive(Debug, PartialEq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<String>,
    pub rows: Vec<(String, Vec<f64>)>,
}

/// The document's text.
pub fn text() -> String {
    std::fs::read_to_string("docs/derivation.md").expect("docs/derivation.md")
}

/// What stands between a heading of the second level and the next.
pub fn section(heading: &str) -> String {
    let text = text();
    let start = text.find(&format!("\n## {heading}\n")).expect("the heading") + 1;
    let length = text[start + 1..].find("\n## ").map_or(text.len() - start, |next| next + 1);
    text[start..start + length].to_string()
}

/// All tables in `text` whose cells, but for the first of each row, are numbers.
pub fn tables(text: &str) -> Vec<Table> {
    let lines: Vec<&str> = text.lines().collect();
    let mut tables: Vec<Table> = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_string());
        let Some(first) = cells.next().filter(|_| line.starts_with('|')) else { continue };
        if lines.get(n + 1).is_some_and(|next| next.starts_with("|-")) {
            tables.push(Table { name: first, columns: cells.collect(), rows: Vec::new() });
        } else if !line.starts_with("|-") {
            let numbers = cells.map(|cell| number(&cell)).collect();
            tables.last_mut().expect("a header").rows.push((first, numbers));
        }
    }
    tables
}

/// A cell's number, with the minus sign of typography or of a keyboard.
fn number(cell: &str) -> f64 {
    cell.replace('−', "-").parse().unwrap_or_else(|_| panic!("no number: {cell:?}"))
}

/// Six digits.
fn digits(x: f64) -> String {
    if x == 0.0 {
        return "0".to_string();
    }
    let scientific = format!("{x:.5e}");
    let exponent: i32 =
        scientific.split_once('e').expect("an exponent").1.parse().expect("an integer");
    let text = if exponent < -3 { scientific } else { format!("{x:.*}", (5 - exponent) as usize) };
    text.replace('-', "−").replace("e−", "e-")
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter) -> Result {
        writeln!(f, "| {} | {} |", self.name, self.columns.join(" | "))?;
        writeln!(f, "|---|{}", "--:|".repeat(self.columns.len()))?;
        for (name, numbers) in &self.rows {
            let numbers: Vec<String> = numbers.iter().map(|&x| digits(x)).collect();
            writeln!(f, "| {name} | {} |", numbers.join(" | "))?;
        }
        Ok(())
    }
}

/// Whether `printed` is `exact` rounded to six digits.
pub fn is_rounded(printed: f64, exact: f64) -> bool {
    number(&digits(exact)) == printed
        || (printed - exact).abs() <= 0.500_001 * 10f64.powf(exact.abs().log10().floor() - 5.0)
}

#[test]
fn numbers_are_written_with_six_digits_and_read_again() {
    for (x, text) in
        [(0.5, "0.500000"), (-1.25, "−1.25000"), (0.0123456789, "0.0123457"), (2e-5, "2.00000e-5")]
    {
        assert_eq!(digits(x), text);
        assert!(is_rounded(number(text), x));
        assert!(!is_rounded(number(text), x * 1.00002), "the last digit counts");
    }
    assert_eq!(digits(0.0), "0");
}

#[test]
fn a_table_is_read_as_it_is_written() {
    let table = Table {
        name: "Forward".into(),
        columns: vec!["unit 1".into(), "unit 2".into()],
        rows: vec![("F6 $c$".into(), vec![0.25, -3.5e-7])],
    };
    assert_eq!(tables(&format!("text\n\n{table}\ntext\n")), [table]);
}
