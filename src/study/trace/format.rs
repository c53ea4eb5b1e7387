//! Numbers and characters for the eye.

/// `x` in `digits` significant digits (0 counts as 1), with an exponent where it is very large or small.
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
    let (digits, magnitude) = (digits.max(1), x.abs());
    if x == 0.0 {
        "0".into()
    } else if !(1e-3..1e6).contains(&magnitude) {
        format!("{x:.*e}", digits - 1)
    } else {
        let before_point = libm::log10(magnitude).floor() as i32 + 1;
        let decimals = (digits as i32 - before_point).max(0) as usize;
        format!("{x:.decimals$}")
    }
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
