//! Pieces of a page. Whatever comes from a text or a file's name goes through [`escape`] or [`shown`].

use std::fmt::Display;

use crate::output::printable;

const STYLE: &str = include_str!("style.css");

/// A whole page: `title` for the browser's window, `header` and `body` as HTML, all of it already escaped. The page's own policy
/// forbids it to load anything.
pub fn page(title: &str, header: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"generator\" content=\"karenina\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n{header}</header>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}

/// `text` as HTML: [`printable`], with the characters that mean something there replaced.
pub fn escape(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// One character of a text in its place: a line break can be seen and still breaks the line.
pub fn shown(c: char) -> String {
    match c {
        '\n' => "⏎\n".into(),
        c => escape(c.encode_utf8(&mut [0; 4])),
    }
}

/// A section with its heading and a note on how to read it.
pub fn section(id: &str, title: &str, note: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n\
         <p class=\"note\">{note}</p>\n{body}</section>\n"
    )
}

/// A figure with its caption above it.
pub fn figure(caption: &str, body: &str) -> String {
    format!("<figure>\n<figcaption>{caption}</figcaption>\n{body}\n</figure>\n")
}

/// A part of a page that scrolls by itself where the screen is narrow.
pub fn scrolling(label: &str, body: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\">\n{body}</div>\n"
    )
}

/// A section with one table, which is [`scrolling`]. Its rows are made of [`cell`]s.
pub fn table<H: AsRef<str>>(
    title: &str,
    note: &str,
    heads: &[H],
    rows: impl Iterator<Item = String>,
) -> String {
    let head: String =
        heads.iter().map(|h| format!("<th scope=\"col\">{}</th>", h.as_ref())).collect();
    let rows: String = rows.map(|row| format!("<tr>{row}</tr>\n")).collect();
    let id = title.to_lowercase().replace(' ', "-").replace(':', "");
    let body =
        format!("<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n");
    section(&id, title, note, &scrolling(title, &body))
}

/// A cell of a table.
pub fn cell(text: impl Display) -> String {
    format!("<td>{text}</td>")
}

/// The cell that names its row.
pub fn name(text: &str) -> String {
    format!("<th scope=\"row\">{text}</th>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_invisible_characters_are_written_out() {
        assert_eq!(escape("<b a=\"1\">&amp;"), "&lt;b a=&quot;1&quot;&gt;&amp;amp;");
        assert_eq!(escape("\0\u{202e}\u{85}\n\t"), "\\u{0}\\u{202e}\\u{85}\n\t");
        assert_eq!(shown('\n'), "⏎\n");
    }
}
