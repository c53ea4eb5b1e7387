//! Pieces of a page. Whatever comes from a text or a file's name goes through [`escape`] or [`shown`].

use crate::output::printable;

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
