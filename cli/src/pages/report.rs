//! The report on a run.

use indicatif::HumanCount;
use karenina::study::report::{Curves, Flow, GATES, LayerGates, Report, Saturation, Stretch};

use crate::output::{count, layers};

use super::chart::{Chart, Series};
use super::heat::{Heat, scale};
use super::html::{escape, figure, page, section};
use super::text::{cells, surprise};

const SCRIPT: &str = include_str!("script.js");

/// Lines that can be told apart.
const LINES: [&str; 6] =
    ["line-1", "line-2", "line-3", "line-1 dashed", "line-2 dashed", "line-3 dashed"];
/// Decades of a gradient's norm that its heat map spans.
const DECADES: f64 = 6.0;

/// Most bytes of memory per character of the text while the page is put together: about 20 as markup and 60 as
/// data, in copies that double when they grow.
pub const BYTES_PER_CHARACTER: u64 = 400;

/// The page about the run called `name` and what its network makes of the end of `text`.
pub fn report(report: &Report, name: &str, text: &str) -> String {
    let name = escape(name);
    let sections = [
        ("curves", "Learning", curves(report)),
        ("samples", "Samples", samples(report)),
        ("surprise", "Surprise", surprise(report)),
        ("cells", "Cells", cells(report)),
        ("gates", "Gates", gates(report)),
        ("flow", "Gradient flow", flow(report)),
    ];
    let links: String =
        sections.iter().map(|(id, title, _)| format!("<a href=\"#{id}\">{title}</a> ")).collect();
    let plan = match report.choice.as_str() {
        "" => String::new(),
        choice => format!("<p>The run began like this: {}</p>\n", escape(choice)),
    };
    let header = format!(
        "<h1>{name}</h1>\n<p>{} This page reads the end of {}.</p>\n{plan}<nav aria-label=\"Sections\">{links}</nav>\n",
        summary(report),
        escape(text)
    );
    let body: String = sections.into_iter().map(|(_, _, section)| section).collect();
    let script = format!("<script>\n{SCRIPT}</script>\n");
    page(&format!("{name} — karenina report"), &header, &(body + &script))
}

fn summary(report: &Report) -> String {
    let sizes = report.sizes;
    format!(
        "{}, {} characters, {} parameters, {} steps of {} × {} characters.",
        layers(sizes),
        sizes.vocabulary,
        HumanCount(sizes.parameters() as u64),
        HumanCount(report.step),
        report.config.batch,
        report.config.unroll,
    )
}

fn curves(report: &Report) -> String {
    let Curves { stretches, validation, .. } = &report.curves;
    let clip = report.config.clip;
    let note = "From the run’s log. Losses are in nats per character (1 nat = 1.4427 bits); the norm is that \
                of all gradients together, before clipping.";
    if stretches.is_empty() {
        return section("curves", "Learning", note, "<p>This model has no history.</p>\n");
    }
    let line = |name: &str, class, value: &dyn Fn(&Stretch) -> f64| Series {
        name: name.into(),
        class,
        points: stretches.iter().map(|s| (s.step as f64, value(s))).collect(),
    };
    let validation = Series {
        name: "validation".into(),
        class: "line-2",
        points: validation.iter().map(|&(step, loss)| (step as f64, loss)).collect(),
    };
    let ends = [&stretches[0], &stretches[stretches.len() - 1]].map(|s| (s.step as f64, clip));
    let limit = Series {
        name: format!("clipped above {clip}"),
        class: "limit",
        points: if clip.is_finite() { ends.to_vec() } else { vec![] },
    };
    let loss = vec![line("training", "line-1", &|s| s.loss), validation];
    let norm = vec![
        limit,
        line("largest", "faint", &|s| s.largest_norm),
        line("mean", "line-1", &|s| s.norm),
    ];
    let clipped = vec![line("clipped steps, %", "line-3", &|s| 100.0 * s.clipped)];
    let x = "step";
    let mut charts = vec![
        Chart { title: "Loss", x, is_log: false, y: None, series: loss },
        Chart { title: "Gradient norm", x, is_log: true, y: None, series: norm },
    ];
    if stretches.iter().any(|s| s.clipped > 0.0) {
        let y = Some(0.0..=100.0);
        charts.push(Chart { title: "Clipped share", x, is_log: false, y, series: clipped });
    }
    let charts: String = charts.iter().map(Chart::to_html).collect();
    section("curves", "Learning", note, &format!("<div class=\"charts\">\n{charts}</div>\n"))
}

fn samples(report: &Report) -> String {
    let mut body = String::from("<div class=\"samples\">\n");
    for sample in &report.samples {
        let loss = sample.loss.map(|loss| format!(" <span>loss {loss:.3}</span>"));
        let step = HumanCount(sample.step);
        let caption = format!("<b>step {step}</b>{}", loss.unwrap_or_default());
        let text = escape(sample.text.trim());
        body += &figure(&caption, &format!("<p class=\"sample\">{text}</p>"));
    }
    body += "</div>\n";
    if !report.broken.is_empty() {
        let errors: Vec<String> =
            report.broken.iter().map(|error| escape(&error.to_string())).collect();
        let errors = errors.join("; ");
        body += &format!("<p class=\"note\">Left out: {errors}.</p>\n");
    }
    let note = "What the network writes at each checkpoint, always from the same seed, choosing among the five \
                most probable characters.";
    section("samples", "Samples", note, &body)
}

fn gates(report: &Report) -> String {
    let mut body = scale("0 (for g: −1)", "1");
    for (l, layer) in report.gates.iter().enumerate() {
        body += &format!("<h3>Layer {l}</h3>\n<div class=\"pairs\">\n");
        for (n, name) in GATES.iter().enumerate() {
            let map = gate_map(report, layer, n, format!("Layer {l}, {name}"));
            body += &figure(&format!("<b>{name}</b>"), &map.to_svg());
        }
        body += "</div>\n<div class=\"triples\">\n";
        let names = [GATES[0], GATES[1], GATES[3]];
        for (name, saturation) in names.into_iter().zip(&layer.saturation) {
            let caption = format!("<b>{name}</b> <span>a dot per cell</span>");
            body += &figure(&caption, &scatter(name, saturation));
        }
        body += "</div>\n";
    }
    let note = "The gates of every cell over a passage of the text. Each row is a cell; all four maps are sorted \
                by the mean forget gate, the most forgetful cell on top. Below: how often each cell’s gate \
                is nearly shut (under 0.1) and nearly open (over 0.9) over the whole text. Cells in the \
                lower right corner of the forget gate’s picture never forget.";
    section("gates", "Gates", note, &body)
}

fn gate_map(report: &Report, layer: &LayerGates, n: usize, label: String) -> Heat {
    let map = &layer.maps[n];
    // g runs from −1 to 1, the others from 0 to 1.
    let values = if n == 2 { map.mapv(|g| (g + 1.0) / 2.0) } else { map.clone() };
    let read = &report.reading.ids[layer.passage.clone()];
    Heat {
        label,
        cell: (11.0, 168.0 / values.nrows() as f64),
        values,
        below: read.iter().map(|&id| report.vocabulary.character(id)).collect(),
        left: vec![],
        count_by: None,
    }
}

/// Shut against open, both 0 to 100 %.
fn scatter(name: &str, saturation: &[Saturation]) -> String {
    let (left, size) = (36.0, 200.0);
    let mut svg = format!(
        "<svg class=\"scatter\" viewBox=\"0 0 250 240\" role=\"img\" aria-label=\"{name}: how often it is \
         shut and open\">\n<path class=\"grid\" d=\"M{left} 4v{size}h{size}M{left} 4l{size} {size}\"/>\n\
         <text class=\"mid\" x=\"136\" y=\"234\">open, % of the time</text>\n\
         <text class=\"mid\" transform=\"translate(12 104) rotate(-90)\">shut, % of the time</text>\n"
    );
    for percent in [0.0, 50.0, 100.0] {
        let (x, y) = (left + percent / 100.0 * size, 8.0 + size - percent / 100.0 * size);
        svg += &format!(
            "<text class=\"mid\" x=\"{x}\" y=\"218\">{percent}</text>\
                 <text class=\"end\" x=\"{}\" y=\"{y}\">{percent}</text>\n",
            left - 5.0
        );
    }
    let mut dots = String::new();
    for Saturation { shut, open, .. } in saturation {
        let (x, y) = (left + f64::from(*open) * size, 4.0 + (1.0 - f64::from(*shut)) * size);
        dots += &format!("M{x:.1} {y:.1}h.1");
    }
    svg += &format!("<path class=\"dots\" d=\"{dots}\"/>\n");
    svg + "</svg>"
}

fn flow(report: &Report) -> String {
    let flow = &report.flow;
    let layers = 0..flow.norms.len();
    let series = layers
        .clone()
        .map(|l| Series {
            name: format!("layer {l}"),
            class: LINES[l % LINES.len()],
            points: (0..).map(f64::from).zip(flow.medians(l)).collect(),
        })
        .collect();
    let median =
        Chart { title: "Median, relative to lag 0", x: "lag k", is_log: true, y: None, series };
    let faded: Vec<String> = layers
        .clone()
        .map(|l| match flow.faded(l) {
            Some(lag) => format!("in layer {l} it takes {lag} steps"),
            None => format!("in layer {l} more than {}", count(flow.norms[l].ncols() - 1, "step")),
        })
        .collect();
    let mut body = format!(
        "<div class=\"charts\">\n{}</div>\n<p>Until the median is below a hundredth: {}.</p>\n{}",
        median.to_html(),
        faded.join(", "),
        scale(&format!("10<sup>−{DECADES}</sup> of the largest, or less"), "the largest"),
    );
    body += "<div class=\"pairs\">\n";
    for l in layers {
        let map = flow_map(report, flow, l, format!("Layer {l}, gradient by lag"));
        let caption = format!("<b>layer {l}</b> <span>lag k, in steps back</span>");
        body += &figure(&caption, &map.to_svg());
    }
    body += "</div>\n";
    let note = "How far one character’s loss reaches back: ‖∂loss<sub>t</sub> / ∂h<sub>t−k</sub>‖ against \
                the lag k, for single characters spread over the text. A row’s label ends with the character \
                to be predicted.";
    section("flow", "Gradient flow", note, &body)
}

fn flow_map(report: &Report, flow: &Flow, layer: usize, label: String) -> Heat {
    let norms = &flow.norms[layer];
    let largest = norms.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let values = norms.mapv(|norm| (1.0 + libm::log10(norm / largest) / DECADES).max(0.0) as f32);
    let ending = |&target: &usize| {
        let ids = &report.reading.ids[target.saturating_sub(11)..=target];
        ids.iter().map(|&id| one_line(report.vocabulary.character(id))).collect()
    };
    Heat {
        label,
        cell: (6.5, 13.0),
        values,
        below: vec![],
        left: flow.targets.iter().map(ending).collect(),
        count_by: Some(8),
    }
}

/// A character in a row's label: SVG would draw a line break as nothing and join spaces.
fn one_line(c: char) -> char {
    match c {
        '\n' => '⏎',
        '\t' => '⇥',
        ' ' => '\u{a0}',
        c => c,
    }
}
