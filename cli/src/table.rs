//! Aligned columns, and colour where there is a terminal to show it.

use std::env;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use unicode_width::UnicodeWidthStr;

/// The precision in which a study computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Precision {
    /// As in training
    F32,
    /// Double precision
    F64,
}

/// How a cell stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Like all others.
    Plain,
    /// Headings.
    Bold,
    /// Less important.
    Dim,
    /// Good.
    Green,
    /// Worth a look.
    Yellow,
    /// Bad.
    Red,
}

impl Colour {
    /// The number that stands for it in a terminal's escape sequence.
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Red => "31",
        }
    }

    /// `text` in this colour, or as it is where colour is not wanted.
    pub fn paint(self, text: &str, is_coloured: bool) -> String {
        match is_coloured && self != Self::Plain {
            true => format!("\x1b[{}m{text}\x1b[0m", self.code()),
            false => text.into(),
        }
    }
}

/// Whether standard output is a terminal that knows colours, and its user has not asked for plain text (no-color.org).
pub fn is_coloured() -> bool {
    let is_wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    is_wanted && io::stdout().is_terminal() && takes_escapes()
}

/// Whether the terminal obeys escape sequences: one of Windows prints them until it is told to.
#[cfg(windows)]
fn takes_escapes() -> bool {
    console::Term::stdout().features().colors_supported()
}

#[cfg(not(windows))]
fn takes_escapes() -> bool {
    env::var_os("TERM").is_some_and(|name| name != "dumb")
}

/// A text, and how it stands out.
pub type Cell = (String, Colour);

/// Rows of cells, each column as wide as its widest cell.
pub struct Table {
    rows: Vec<Vec<Cell>>,
    /// Columns that are aligned to the left; the others, numbers, to the right.
    left: Vec<usize>,
}

impl Table {
    /// A table with one row, the heads of its columns.
    pub fn new<S: ToString>(heads: impl IntoIterator<Item = S>, left: &[usize]) -> Self {
        let heads = heads.into_iter().map(|head| (head.to_string(), Colour::Bold)).collect();
        Self { rows: vec![heads], left: left.to_vec() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Prints it with two spaces between the columns and none at the lines' ends.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        self.print_coloured(is_coloured(), out)
    }

    fn print_coloured(&self, is_coloured: bool, out: &mut impl Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (text, colour)) in row.iter().enumerate() {
                let space = " ".repeat(widths[column] - text.width());
                let painted = colour.paint(text, is_coloured);
                let is_last = column + 1 == row.len();
                line += if column > 0 { "  " } else { "" };
                line += &match (self.left.contains(&column), is_last) {
                    (false, _) => space + &painted,
                    (true, false) => painted + &space,
                    (true, true) => painted,
                };
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A cell like all others.
pub fn plain(text: impl ToString) -> Cell {
    (text.to_string(), Colour::Plain)
}

/// A cell of less importance.
pub fn dim(text: impl ToString) -> Cell {
    (text.to_string(), Colour::Dim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(is_coloured: bool) -> String {
        let mut table = Table::new(["name", "n"], &[0]);
        table.row([plain("字"), ("7".into(), Colour::Red)]);
        table.row([plain("i"), plain("123")]);
        let mut out = Vec::new();
        table.print_coloured(is_coloured, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_aligned_by_the_width_on_screen() {
        assert_eq!(printed(false), "name    n\n字      7\ni     123\n");
    }

    #[test]
    fn colour_changes_no_column() {
        let stripped = ["1", "31", "0"]
            .iter()
            .fold(printed(true), |text, code| text.replace(&format!("\x1b[{code}m"), ""));
        assert_ne!(printed(true), stripped);
        assert_eq!(stripped, printed(false));
    }
}
