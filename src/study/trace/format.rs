//! Numbers and characters for the eye.

/// `x` in `digits` significant digits, with an exponent where it is very large or small.
///
/// ```
/// use karenina::study::trace::significant;
///
/// assert_eq!(significant(0.000123456, 3), "1.23e-4");
/// assert_eq!(significant(0.0123456, 3), "0.0123");
/// assert_eq!(significant(-12.3456, 3), "-12.3");
/// assert_eq!(significant(0.0, 3), "0");
/// ```
pub fn significant(x: f64, digits: usize) -> String {
    let magnitude = x.abs();
    if x == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&magnitude) {
        format!("{x:.*e}", digits - 1)
    } else {
        let before_point = magnitude.log10().floor() as i32 + 1;
        let decimals = (digits as i32 - before_point).max(0) as usize;
        format!("{x:.decimals$}")
    }
}

/// `text` with the characters that would change what is around them without being seen written out:
/// control characters but line break and tab, and those that turn the direction of writing or have no width.
///
/// ```
/// use karenina::study::trace::printable;
///
/// assert_eq!(printable("Анна\n\u{202e}\u{1b}"), "Анна\n\\u{202e}\\u{1b}");
/// ```
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match is_invisible(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
        shown
    })
}

fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// `text` as HTML: [`printable`], and what means something there replaced.
pub fn to_html_text(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

/// A character that can be seen: a line break as ⏎, a tab as ⇥, a space as ␣.
pub fn visible(character: char) -> String {
    match character {
        ' ' => "␣".into(),
        '\n' => "⏎".into(),
        '\t' => "⇥".into(),
        c => c.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\""),
    }
}
