//! Pieces of a page. Whatever comes from a text or a file's name goes through [`escape`] or [`shown`].

use std::fmt::Write;

/// `text` with the characters that mean something in HTML replaced.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if is_invisible(c) => push(&mut escaped, format_args!("\\u{:x}", u32::from(c))),
            c => escaped.push(c),
        }
        escaped
    })
}

/// One character of a text in its place: a line break is seen and still breaks the line.
pub fn shown(c: char) -> String {
    match c {
        '\n' => "⏎\n".into(),
        c => escape(c.encode_utf8(&mut [0; 4])),
    }
}

/// Whether `c` would change the page without being seen in it: control characters but line break and
/// tab, and those that turn the direction of writing.
fn is_invisible(c: char) -> bool {
    let turns =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}');
    turns || c == '\u{feff}' || (c.is_control() && c != '\n' && c != '\t')
}

/// Appends to a string, which cannot fail.
pub fn push(to: &mut String, arguments: std::fmt::Arguments) {
    to.write_fmt(arguments).expect("a string takes everything");
}

/// A section with its heading and a note on how to read it.
pub fn section(id: &str, title: &str, note: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n\
         <p class=\"note\">{note}</p>\n{body}</section>\n"
    )
}

/// A figure; the caption stands above it.
pub fn figure(caption: &str, body: &str) -> String {
    format!("<figure>\n<figcaption>{caption}</figcaption>\n{body}\n</figure>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_invisible_characters_are_written_out() {
        assert_eq!(escape("<b a=\"1\">&amp;"), "&lt;b a=&quot;1&quot;&gt;&amp;amp;");
        assert_eq!(escape("\0\u{202e}\u{85}\n\t"), "\\u0\\u202e\\u85\n\t");
        assert_eq!(shown('\n'), "⏎\n");
    }
}
