//! Heat maps: an image of one pixel for each number, enlarged by the browser, with labels around it.

use karenina::study::trace::visible;
use ndarray::Array2;
use unicode_width::UnicodeWidthStr;

use super::html::escape;
use super::image;
use crate::output::printable;

/// A heat map with a label for each row or column.
pub struct Heat {
    /// What it shows, for those who cannot see it.
    pub label: String,
    /// From 0 (dark) to 1 (bright), [rows, columns].
    pub values: Array2<f32>,
    /// Width of a column and height of a row.
    pub cell: (f64, f64),
    /// The characters below the columns.
    pub below: Vec<char>,
    /// The texts left of the rows.
    pub left: Vec<String>,
    /// Numbers below the columns, every so many.
    pub count_by: Option<usize>,
}

impl Heat {
    /// Width of one letter of a row's label; wide ones take two.
    const LETTER: f64 = 6.7;

    /// The SVG.
    pub fn to_svg(&self) -> String {
        let (rows, columns) = self.values.dim();
        let (width, height) = (columns as f64 * self.cell.0, rows as f64 * self.cell.1);
        let letters = self.left.iter().map(|text| printable(text).width()).max().unwrap_or(0);
        let left = letters as f64 * Self::LETTER + if letters > 0 { 8.0 } else { 0.0 };
        let (all, below) = (left + width + 8.0, height + 18.0);
        let mut svg = format!(
            "<svg class=\"heat\" style=\"max-width:{all:.0}px\" viewBox=\"0 0 {all:.0} {below:.0}\" \
             role=\"img\" aria-label=\"{}\">\n<image x=\"{left:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\" preserveAspectRatio=\"none\" href=\"{}\"/>\n",
            escape(&self.label),
            image::data_uri(&self.values),
        );
        for (row, text) in self.left.iter().enumerate() {
            let (x, y) = (left - 6.0, (row as f64 + 0.5) * self.cell.1 + 4.0);
            let text = escape(text);
            svg += &format!("<text class=\"end mono\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>\n");
        }
        let y = height + 13.0;
        let middle = |column: usize| left + (column as f64 + 0.5) * self.cell.0;
        for (column, &c) in self.below.iter().enumerate() {
            let (x, text) = (middle(column), escape(&visible(c)));
            svg += &format!("<text class=\"mid mono\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
        }
        for column in self.count_by.into_iter().flat_map(|by| (0..columns).step_by(by)) {
            let x = middle(column);
            svg += &format!("<text class=\"mid\" x=\"{x:.1}\" y=\"{y:.1}\">{column}</text>");
        }
        svg + "\n</svg>"
    }
}

/// The colours of all heat maps, dark to bright, with what they mean.
pub fn scale(dark: &str, bright: &str) -> String {
    let stops: Vec<String> =
        image::STOPS.iter().map(|[r, g, b]| format!("rgb({r} {g} {b})")).collect();
    format!(
        "<p class=\"scale\"><span>{dark}</span><span class=\"ramp\" style=\"background:\
         linear-gradient(to right,{})\"></span><span>{bright}</span></p>\n",
        stops.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_have_room_on_the_left() {
        let image_at = |text: &str| {
            let heat = Heat {
                label: String::new(),
                values: Array2::zeros((1, 1)),
                cell: (10.0, 10.0),
                below: vec![],
                left: vec![text.into()],
                count_by: None,
            };
            let svg = heat.to_svg();
            let at = svg.split("<image x=\"").nth(1).and_then(|rest| rest.split('"').next());
            at.and_then(|at| at.parse::<f64>().ok()).unwrap()
        };
        assert_eq!(image_at("カレーニナ"), image_at("karenina's"));
        assert_eq!(image_at("\u{202e}"), image_at("\\u{202e}"), "it is written out");
    }
}
