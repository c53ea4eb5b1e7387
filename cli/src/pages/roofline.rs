//! The roofline: how fast work can be at most that needs so many bytes, and how fast it was. Both axes are logarithmic.

use super::chart::{decades, label};
use super::html::escape;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Space for the numbers on the left and below.
const LEFT: f64 = 52.0;
const BELOW: f64 = 44.0;
const TOP: f64 = 14.0;
/// Space for the points' names.
const RIGHT: f64 = 182.0;
/// From name to name.
const LINE: f64 = 19.0;
/// Width of one letter, about.
const LETTER: f64 = 6.0;

/// Work under the roof.
pub struct Point {
    /// What it is.
    pub name: String,
    /// `line-1` to `line-3`.
    pub class: &'static str,
    /// Operations for each byte.
    pub operations_per_byte: f64,
    /// 10⁹ operations a second.
    pub gflops: f64,
    /// What stands beside its name.
    pub note: String,
}

/// A roof and what is under it.
pub struct Roofline {
    /// The flat part: 10⁹ operations a second.
    pub peak: f64,
    /// The slopes: where bytes come from, and 10⁹ of them a second.
    pub slopes: Vec<(&'static str, f64)>,
    /// What was measured.
    pub points: Vec<Point>,
    /// All of it in words.
    pub description: String,
}

impl Roofline {
    /// The picture.
    pub fn to_svg(&self) -> String {
        let (x, y) = (self.x_axis(), self.y_axis());
        let description = escape(&self.description);
        let mut svg = format!(
            "<svg class=\"chart roofline\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
             aria-labelledby=\"roofline-name roofline-words\">\n<title id=\"roofline-name\">The roofline</title>\n\
             <desc id=\"roofline-words\">{description}</desc>\n"
        );
        svg += &grid(&x, &y);
        svg += &self.roofs(&x, &y);
        svg + &self.points(&x, &y) + "</svg>"
    }

    /// From which operations a byte on each slope reaches the peak.
    fn ridges(&self) -> impl Iterator<Item = f64> {
        self.slopes.iter().map(|(_, bandwidth)| self.peak / bandwidth)
    }

    /// Wide enough for every point, and for each slope with its name.
    fn x_axis(&self) -> Axis {
        let places = || self.points.iter().map(|point| point.operations_per_byte);
        let low = places().map(|x| x / 2.0).chain(self.ridges().map(|x| x / 6.0));
        let high = places().map(|x| x * 2.0).chain(self.ridges().map(|x| x * 4.0));
        Axis::new(low, high, LEFT, WIDTH - RIGHT)
    }

    /// High enough for the peak with its name.
    fn y_axis(&self) -> Axis {
        let low = self.points.iter().map(|point| point.gflops / 2.0).chain([self.peak / 20.0]);
        Axis::new(low, [1.5 * self.peak].into_iter(), HEIGHT - BELOW, TOP)
    }

    /// The slopes up to the peak, and the peak from the first of them on.
    fn roofs(&self, x: &Axis, y: &Axis) -> String {
        let mut slopes: Vec<_> = self.slopes.iter().collect();
        slopes.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (top, first) = (y.at(self.peak), self.ridges().reduce(f64::min));
        let (start, end) = (first.map_or(x.start, |first| x.at(first)), x.end);
        let mut svg = format!(
            "<path class=\"roof\" d=\"M{start:.1} {top:.1}H{end}\"/>\n\
             <text class=\"end strong\" x=\"{end}\" y=\"{:.1}\">peak {:.1} GFLOP/s</text>\n",
            top - 7.0,
            self.peak
        );
        for (n, (name, bandwidth)) in slopes.into_iter().enumerate() {
            let from = x.lowest().max(y.lowest() / bandwidth);
            let slope = Slope {
                from: (x.at(from), y.at(from * bandwidth)),
                to: (x.at(self.peak / bandwidth), top),
            };
            // The upper slope's name stands above it, the other's below.
            let (class, side) = if n == 0 { ("roof", -7.0) } else { ("roof far", 15.0) };
            let text = format!("{name} {bandwidth:.1} GB/s");
            let taken: Vec<_> =
                self.points.iter().map(|p| (x.at(p.operations_per_byte), y.at(p.gflops))).collect();
            svg += &slope.to_svg(class, &text, side, &taken);
        }
        svg
    }

    /// The points, each with a line to its name on the right.
    fn points(&self, x: &Axis, y: &Axis) -> String {
        let mut points: Vec<_> = self.points.iter().collect();
        points.sort_by(|a, b| b.gflops.total_cmp(&a.gflops));
        let wanted: Vec<f64> = points.iter().map(|point| y.at(point.gflops)).collect();
        let names = apart(&wanted, TOP + LINE, HEIGHT - BELOW);
        let (mut lines, mut dots) = (String::new(), String::new());
        for (point, at_name) in points.into_iter().zip(names) {
            let Point { name, class, operations_per_byte, gflops, note } = point;
            let (at_x, at_y) = (x.at(*operations_per_byte), y.at(*gflops));
            let (end, text) = (x.end + 10.0, x.end + 15.0);
            lines += &format!(
                "<path class=\"leader\" d=\"M{at_x:.1} {at_y:.1}L{end} {at_name:.1}\"/>\n\
                 <text x=\"{text}\" y=\"{:.1}\"><tspan class=\"{class}\">{}</tspan> {}</text>\n",
                at_name + 4.0,
                escape(name),
                escape(note),
            );
            dots += &format!(
                "<circle class=\"{class}\" cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"5.5\">\
                 <title>{}: {operations_per_byte:.1} operations a byte, {gflops:.1} GFLOP/s, {}</title></circle>\n",
                escape(name),
                escape(note),
            );
        }
        lines + &dots
    }
}

/// Both axes with their numbers.
fn grid(x: &Axis, y: &Axis) -> String {
    let mut svg = String::new();
    for tick in y.ticks() {
        let at = y.at(tick);
        let (name, below) = (label(tick), at + 4.0);
        svg += &format!(
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text class=\"end\" x=\"{}\" y=\"{below:.1}\">{name}</text>\n",
            x.end,
            LEFT - 7.0
        );
    }
    for tick in x.ticks() {
        let (at, name, below) = (x.at(tick), label(tick), HEIGHT - BELOW + 17.0);
        svg += &format!(
            "<path class=\"grid\" d=\"M{at:.1} {TOP}V{}\"/><text class=\"mid\" x=\"{at:.1}\" y=\"{below}\">{name}</text>\n",
            HEIGHT - BELOW
        );
    }
    let (middle, bottom) = ((x.start + x.end) / 2.0, HEIGHT - 6.0);
    svg += &format!(
        "<text class=\"mid\" x=\"{middle}\" y=\"{bottom}\">operations for each byte that is read</text>\n"
    );
    let middle = (y.start + y.end) / 2.0;
    svg + &format!(
        "<text class=\"mid\" transform=\"translate(12 {middle}) rotate(-90)\">GFLOP/s</text>\n"
    )
}

/// A logarithmic axis from `start` to `end` of the picture.
struct Axis {
    /// Logarithms of the lowest and the highest number, to base 10.
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn new(
        low: impl Iterator<Item = f64>,
        high: impl Iterator<Item = f64>,
        start: f64,
        end: f64,
    ) -> Self {
        let [low, high] = [low.fold(f64::INFINITY, f64::min), high.fold(0.0, f64::max)];
        Self { low: libm::log10(low), high: libm::log10(high), start, end }
    }

    fn lowest(&self) -> f64 {
        libm::pow(10.0, self.low)
    }

    fn at(&self, value: f64) -> f64 {
        let share = (libm::log10(value) - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    fn ticks(&self) -> Vec<f64> {
        decades(self.low, self.high, 3.5)
    }
}

/// A slope of the roof in the picture.
struct Slope {
    from: (f64, f64),
    to: (f64, f64),
}

impl Slope {
    /// The line, and its name along it, `side` below, where it is farthest from the points at `taken`.
    fn to_svg(&self, class: &str, name: &str, side: f64, taken: &[(f64, f64)]) -> String {
        let (dx, dy) = (self.to.0 - self.from.0, self.to.1 - self.from.1);
        let length = (dx * dx + dy * dy).sqrt();
        let (along, half) = ((dx / length, dy / length), name.len() as f64 * LETTER / 2.0);
        let middle = |share: f64| {
            let (x, y) = (self.from.0 + share * dx, self.from.1 + share * dy);
            (x - side * along.1, y + side * along.0)
        };
        let distance = |share: f64| {
            let (x, y) = middle(share);
            let to = |&(px, py): &(f64, f64)| {
                let on = ((px - x) * along.0 + (py - y) * along.1).clamp(-half, half);
                let (rx, ry) = (px - x - on * along.0, py - y - on * along.1);
                rx * rx + ry * ry
            };
            taken.iter().map(to).fold(f64::INFINITY, f64::min)
        };
        // Where the name has room on the line, from the side of the peak on.
        let first = (half / length).min(0.5);
        let shares = (0..=8).map(|n| 1.0 - first - f64::from(n) / 8.0 * (1.0 - 2.0 * first));
        let best = shares.max_by(|a, b| distance(*a).total_cmp(&distance(*b)));
        let (x, y) = middle(best.expect("nine places"));
        let angle = libm::atan2(dy, dx).to_degrees();
        let Self { from, to } = self;
        format!(
            "<path class=\"{class}\" d=\"M{:.1} {:.1}L{:.1} {:.1}\"/>\n\
             <text class=\"mid strong\" transform=\"translate({x:.1} {y:.1}) rotate({angle:.1})\">{name}</text>\n",
            from.0, from.1, to.0, to.1
        )
    }
}

/// Places that are at least a line apart and between `top` and `bottom`, as near as can be to the `wanted` ones, which
/// ascend.
fn apart(wanted: &[f64], top: f64, bottom: f64) -> Vec<f64> {
    let mut places = wanted.to_vec();
    let mut free = top;
    for place in &mut places {
        *place = place.max(free);
        free = *place + LINE;
    }
    let mut free = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(free);
        free = *place - LINE;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_distance_and_their_order() {
        assert_eq!(apart(&[50.0, 51.0, 120.0], 10.0, 200.0), [50.0, 69.0, 120.0]);
        assert_eq!(apart(&[190.0, 195.0, 200.0], 10.0, 200.0), [162.0, 181.0, 200.0]);
    }

    #[test]
    fn a_decade_is_as_wide_everywhere() {
        let axis = Axis::new([0.1].into_iter(), [1000.0].into_iter(), 0.0, 400.0);
        assert_eq!(
            [0.1, 1.0, 10.0, 1000.0].map(|x| axis.at(x).round()),
            [0.0, 100.0, 200.0, 400.0]
        );
        assert_eq!(axis.ticks(), [0.1, 1.0, 10.0, 100.0, 1000.0]);
    }

    #[test]
    fn points_are_below_a_roof_that_bends_where_the_memory_is_fast_enough() {
        let point = |name: &str, x, y| Point {
            name: name.into(),
            class: "line-1",
            operations_per_byte: x,
            gflops: y,
            note: "50 % of the peak".into(),
        };
        let roofline = Roofline {
            peak: 100.0,
            slopes: vec![("memory", 10.0), ("last cache", 50.0)],
            points: vec![point("<slow>", 1.0, 9.0), point("fast", 80.0, 90.0)],
            description: "x".into(),
        };
        let (x, y) = (roofline.x_axis(), roofline.y_axis());
        assert_eq!(roofline.ridges().collect::<Vec<_>>(), [10.0, 2.0]);
        let svg = roofline.to_svg();
        let bend = format!("M{:.1} {:.1}H", x.at(2.0), y.at(100.0));
        assert!(svg.contains(&bend) && svg.contains("&lt;slow&gt;"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
