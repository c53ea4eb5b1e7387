//! Pieces of a page. Whatever comes from a text or a file's name goes through [`escape`] or [`shown`].

use std::fmt::Write;

pub use karenina::study::trace::to_html_text as escape;

/// One character of a text in its place: a line break is seen and still breaks the line.
pub fn shown(c: char) -> String {
    match c {
        '\n' => "⏎\n".into(),
        c => escape(c.encode_utf8(&mut [0; 4])),
    }
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
        assert_eq!(escape("\0\u{202e}\u{85}\n\t"), "\\u{0}\\u{202e}\\u{85}\n\t");
        assert_eq!(shown('\n'), "⏎\n");
    }
}
