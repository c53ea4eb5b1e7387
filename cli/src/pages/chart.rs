//! Line charts as SVG. Colours come from the page's style sheet, so they follow its colour scheme.

use std::ops::RangeInclusive;

use super::html::figure;

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
/// Space for the numbers on the left and below.
const LEFT: f64 = 44.0;
const BELOW: f64 = 34.0;
const TOP: f64 = 10.0;
const RIGHT: f64 = 12.0;

/// One line, or a row of dots.
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// `line-1` to `line-3`, also `dashed`, `faint`, or `limit`.
    pub class: &'static str,
    /// Its points, x ascending.
    pub points: Vec<(f64, f64)>,
}

/// Curves over one x.
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// What the x axis counts.
    pub x: &'static str,
    /// Whether the y axis is logarithmic.
    pub is_log: bool,
    /// The y axis; without it the data decide.
    pub y: Option<RangeInclusive<f64>>,
    /// The lines, the last on top.
    pub series: Vec<Series>,
}

impl Chart {
    /// The figure, with a legend for the series in its caption.
    pub fn to_html(&self) -> String {
        let mut caption = format!("<b>{}</b>", self.title);
        for series in self.series.iter().filter(|series| !series.points.is_empty()) {
            let (class, name) = (series.class, &series.name);
            caption += &format!(" <span class=\"key {class}\">{name}</span>");
        }
        figure(&caption, &self.svg())
    }

    fn svg(&self) -> String {
        let (x, y) = (widened(extent(self.values().map(|(x, _)| x))), self.y_range());
        let at_x = |value: f64| LEFT + share(value, x) * (WIDTH - LEFT - RIGHT);
        let at_y =
            |value: f64| HEIGHT - BELOW - share(self.scaled(value), y) * (HEIGHT - BELOW - TOP);
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            self.title
        );
        for tick in self.y_ticks(y) {
            let (y, right) = (at_y(tick), WIDTH - RIGHT);
            svg += &format!("<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let (x, y, text) = (LEFT - 6.0, y + 3.5, label(tick));
            svg += &format!("<text class=\"end\" x=\"{x}\" y=\"{y:.1}\">{text}</text>\n");
        }
        for tick in ticks(x.0, x.1, 4) {
            let (x, y, text) = (at_x(tick), HEIGHT - BELOW + 15.0, label(tick));
            svg += &format!("<text class=\"mid\" x=\"{x:.1}\" y=\"{y}\">{text}</text>\n");
        }
        let (middle, bottom) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 4.0);
        let x_name = self.x;
        svg += &format!("<text class=\"mid\" x=\"{middle}\" y=\"{bottom}\">{x_name}</text>\n");
        for series in &self.series {
            let class = series.class;
            svg += &format!("<path class=\"{class}\" d=\"{}\"/>\n", path(series, at_x, at_y));
        }
        svg + "</svg>"
    }

    fn scaled(&self, value: f64) -> f64 {
        if self.is_log { libm::log10(value.max(1e-30)) } else { value }
    }

    fn values(&self) -> impl Iterator<Item = (f64, f64)> {
        let points = self.series.iter().flat_map(|series| series.points.iter().copied());
        points.filter(|(_, y)| y.is_finite() && (!self.is_log || *y > 0.0))
    }

    /// Of the scaled values.
    fn y_range(&self) -> (f64, f64) {
        match &self.y {
            Some(range) => (self.scaled(*range.start()), self.scaled(*range.end())),
            None => widened(extent(self.values().map(|(_, y)| self.scaled(y)))),
        }
    }

    fn y_ticks(&self, (low, high): (f64, f64)) -> Vec<f64> {
        if !self.is_log {
            return ticks(low, high, 5);
        }
        let inside = decades(low, high, 2.5);
        if inside.len() < 2 {
            let ticks = ticks(libm::pow(10.0, low), libm::pow(10.0, high), 5);
            return ticks.into_iter().filter(|tick| *tick > 0.0).collect();
        }
        let by = inside.len().div_ceil(9);
        inside.into_iter().step_by(by).collect()
    }
}

/// The line through the points; numbers that are not finite leave a gap.
fn path(series: &Series, at_x: impl Fn(f64) -> f64, at_y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for &(x, y) in &series.points {
        if y.is_finite() {
            path += &format!("{pen}{:.1} {:.1}", at_x(x), at_y(y));
            pen = 'L';
        } else {
            pen = 'M';
        }
    }
    if series.points.len() == 1 {
        path.push_str("h.1"); // a lone point is drawn by the line's round cap
    }
    path
}

fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    ((value - low) / (high - low)).clamp(0.0, 1.0)
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)))
}

/// A range that is not empty, whatever the data.
fn widened((low, high): (f64, f64)) -> (f64, f64) {
    if low < high {
        (low, high)
    } else if low.is_finite() {
        (low - 0.5, high + 0.5)
    } else {
        (0.0, 1.0)
    }
}

/// Some `count` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten.
fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let rough = (high - low) / count as f64;
    let power = libm::pow(10.0, libm::log10(rough).floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(10.0 * power);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// From 10^`low` to 10^`high`: 1, 2 and 5 times each power of ten, or the powers alone where these are `many` or more.
pub fn decades(low: f64, high: f64, many: f64) -> Vec<f64> {
    let digits: &[f64] = if high - low < many { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = low.floor() as i32..=high.floor() as i32;
    let all = powers.flat_map(|n| digits.iter().map(move |digit| digit * 10f64.powi(n)));
    all.filter(|tick| (low..=high).contains(&libm::log10(*tick))).collect()
}

/// A tick's number, as short as it can be.
pub fn label(tick: f64) -> String {
    match tick.abs() {
        0.0 => "0".into(),
        x if !(1e-3..1e6).contains(&x) => {
            let text = format!("{tick:.2e}");
            let (digits, power) = text.split_once('e').expect("a power of ten");
            format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => ((tick * 1e6).round() / 1e6).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_range() {
        assert_eq!(
            ticks(0.0, 1.0, 5).iter().map(|&t| label(t)).collect::<Vec<_>>().join(" "),
            "0 0.2 0.4 0.6 0.8 1"
        );
        assert_eq!(ticks(1.0, 500.0, 4), [200.0, 400.0]);
        let labels = [1e-5, 3.0 * 1e-4, 1.5e6, -12_500_000.0, 2e6].map(label);
        assert_eq!(labels, ["1e-5", "3e-4", "1.5e6", "-1.25e7", "2e6"]);
    }

    #[test]
    fn ticks_of_a_logarithmic_axis_are_1_2_and_5_until_they_are_too_many() {
        let chart = Chart { title: "t", x: "step", is_log: true, y: None, series: vec![] };
        let ticks = |low: f64, high: f64| {
            let ticks = chart.y_ticks((libm::log10(low), libm::log10(high)));
            ticks.into_iter().map(label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(ticks(0.15, 6.0), "0.2 0.5 1 2 5");
        assert_eq!(ticks(0.0005, 3.0), "0.001 0.01 0.1 1");
        assert_eq!(ticks(2.1, 4.9), "3 4", "no 1, 2 or 5 between");
    }

    #[test]
    fn a_number_that_is_not_finite_leaves_a_gap() {
        let points = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        let series = Series { name: "a".into(), class: "line-1", points };
        assert_eq!(path(&series, |x| x, |y| y), "M0.0 1.0M2.0 3.0");
    }

    #[test]
    fn no_data_still_make_a_chart() {
        let chart = Chart { title: "t", x: "step", is_log: true, y: None, series: vec![] };
        assert!(!chart.to_html().contains("NaN"));
    }
}
