//! A trace as one page that needs nothing else: no network, no script.

use std::fmt::Write;

use crate::study::trace::data::{LayerStep, Step, Trace};
use crate::study::trace::format::{significant, to_html_text as escape, visible};

const STYLE: &str = include_str!("style.css");

/// The page: what was read and predicted, the gates, the gradients coming back, how far they reach,
/// and the equations if the trace has any. It follows the reader's light or dark colour scheme.
pub fn to_html(trace: &Trace) -> String {
    let read = trace.steps.iter().map(|step| step.character);
    let text: String = read.chain(trace.steps.last().map(|step| step.next)).collect();
    let title = format!("Trace of “{}”", escape(&text));
    let sections = [
        predictions(trace),
        gates(trace),
        gradients(trace),
        reach(trace),
        tensors(trace),
        equations(trace),
    ]
    .concat();
    let sizes = trace.sizes;
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p>{} layers of {} LSTM cells, {} characters, computed in {}. \
         Mean loss {} nats, {} bits per character.</p>\n{sections}</main>\n</body>\n</html>\n",
        sizes.layers,
        sizes.hidden,
        sizes.vocabulary,
        trace.precision,
        significant(trace.nats, 6),
        significant(trace.bits, 6),
    )
}

fn shown(character: char) -> String {
    escape(&visible(character))
}

/// A section with one table, which scrolls by itself where the screen is narrow.
fn section(title: &str, note: &str, head: &[String], rows: impl Iterator<Item = String>) -> String {
    let head: String = head.iter().map(|h| format!("<th scope=\"col\">{h}</th>")).collect();
    let rows: String = rows.map(|row| format!("<tr>{row}</tr>\n")).collect();
    format!(
        "<section>\n<h2>{title}</h2>\n<p>{note}</p>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">\n\
         <table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n"
    )
}

fn heads(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}

fn cell(text: impl AsRef<str>) -> String {
    format!("<td>{}</td>", text.as_ref())
}

/// A number on a ground whose strength is `share`, 0 to 1.
fn shaded(number: f64, share: f64) -> String {
    let percent = (share.clamp(0.0, 1.0) * 100.0).round();
    format!("<td class=\"shade\" style=\"--share:{percent}%\">{}</td>", significant(number, 3))
}

/// How strong a gradient's ground is: none at 10⁻⁶ of the `largest` magnitude, full there.
fn logarithmic(x: f64, largest: f64) -> f64 {
    if x == 0.0 || largest == 0.0 { 0.0 } else { 1.0 + (x.abs() / largest).log10() / 6.0 }
}

fn place(t: usize, step: &Step) -> String {
    format!("<td>{t}</td><th scope=\"row\">{}</th>", shown(step.character))
}

fn predictions(trace: &Trace) -> String {
    let head = heads(&["t", "read", "next", "p(next)", "bits", "most probable"]);
    let rows = trace.steps.iter().enumerate().map(|(t, step)| {
        let mut top = String::new();
        for guess in &step.top {
            let class = if guess.character == step.next { " class=\"hit\"" } else { "" };
            let p = significant(guess.probability, 3);
            // Writing to a string cannot fail.
            let _ = write!(top, "<span{class}><b>{}</b> {p}</span> ", shown(guess.character));
        }
        [
            place(t, step),
            cell(shown(step.next)),
            cell(significant(step.probability, 3)),
            shaded(step.bits, step.bits / 8.0),
            format!("<td class=\"top\">{top}</td>"),
        ]
        .concat()
    });
    let note = "Loss in bits: −log₂ of the probability that the next character was given.";
    section("Predictions", note, &head, rows)
}

/// One section for each layer, made by `rows`.
fn by_layer(trace: &Trace, make: impl Fn(usize) -> String) -> String {
    (0..trace.sizes.layers).map(make).collect()
}

fn gates(trace: &Trace) -> String {
    let head =
        heads(&["t", "read", "i", "f", "g", "o", "i sat.", "f sat.", "g sat.", "o sat.", "c", "h"]);
    by_layer(trace, |l| {
        let rows = trace.steps.iter().enumerate().map(|(t, step)| {
            let layer = &step.layers[l];
            let gates = [layer.i, layer.f, layer.g, layer.o];
            let values = match layer.unit {
                Some(unit) => [unit.i, unit.f, unit.g, unit.o],
                None => gates.map(|gate| gate.mean),
            };
            let values: String = values.iter().map(|&x| shaded(x, x.abs())).collect();
            let saturated: String = gates
                .iter()
                .map(|gate| cell(format!("{:.0}%", 100.0 * (gate.low + gate.high))))
                .collect();
            let (c, h) = layer.unit.map_or((layer.c, layer.h), |unit| (unit.c, unit.h));
            let rest = cell(significant(c, 3)) + &cell(significant(h, 3));
            place(t, step) + &values + &saturated + &rest
        });
        let whose = trace.unit.map_or("Means over all units".into(), |unit| format!("Unit {unit}"));
        let note = format!(
            "{whose}; sat.: share of all units where the gate is below 0.1 (g: −0.9) or above 0.9."
        );
        section(&format!("Layer {l}: gates"), &note, &head, rows)
    })
}

fn gradients(trace: &Trace) -> String {
    let names = ["dh", "dc", "dz_i", "dz_f", "dz_g", "dz_o"];
    let (names, whose) = match trace.unit {
        Some(unit) => (names.map(String::from), format!("Unit {unit}’s")),
        None => (names.map(|name| format!("‖{name}‖")), "Norms over all units".into()),
    };
    let head = [heads(&["t", "read"]), names.to_vec()].concat();
    let values = |layer: &LayerStep| {
        let whole = (layer.dh, layer.dc, layer.dz);
        let (dh, dc, [i, f, g, o]) = layer.unit.map_or(whole, |unit| (unit.dh, unit.dc, unit.dz));
        [dh, dc, i, f, g, o]
    };
    let all = trace.steps.iter().flat_map(|step| step.layers.iter().flat_map(values));
    let largest = all.map(f64::abs).fold(0.0, f64::max);
    by_layer(trace, |l| {
        let rows = trace.steps.iter().enumerate().map(|(t, step)| {
            let cells = values(&step.layers[l]).map(|x| shaded(x, logarithmic(x, largest)));
            place(t, step) + &cells.concat()
        });
        let note = format!("{whose}, of the mean loss, coming back from the end of the text.");
        section(&format!("Layer {l}: gradients"), &note, &head, rows)
    })
}

fn reach(trace: &Trace) -> String {
    let mut head = heads(&["lag", "read"]);
    for l in 0..trace.sizes.layers {
        head.extend([format!("‖dh‖ layer {l}"), format!("‖dc‖ layer {l}")]);
    }
    let all = trace.reach.iter().flat_map(|reach| reach.dh.iter().chain(&reach.dc));
    let largest = all.fold(0.0, |max, &x| f64::max(max, x));
    let rows = trace.reach.iter().map(|reach| {
        let cells: String = reach
            .dh
            .iter()
            .zip(&reach.dc)
            .flat_map(|(&dh, &dc)| [dh, dc].map(|x| shaded(x, logarithmic(x, largest))))
            .collect();
        format!("<td>{}</td><th scope=\"row\">{}</th>{cells}", reach.lag, shown(reach.character))
    });
    let note = "The gradient of the last step’s loss alone, k steps before. \
                The ground’s strength is logarithmic: it is gone at a millionth of the largest.";
    section("How far a gradient reaches", note, &head, rows)
}

fn tensors(trace: &Trace) -> String {
    let rows = trace.tensors.iter().map(|tensor| {
        format!(
            "<th scope=\"row\">{}</th>{}{}{}",
            tensor.name,
            cell(format!("{:?}", tensor.shape)),
            cell(significant(tensor.norm, 4)),
            cell(significant(tensor.largest, 4)),
        )
    });
    let note = "Of the mean loss with respect to every parameter.";
    section("Parameter gradients", note, &heads(&["tensor", "shape", "norm", "largest"]), rows)
}

fn equations(trace: &Trace) -> String {
    if trace.equations.is_empty() {
        return String::new();
    }
    let rows = trace.equations.iter().map(|line| {
        let text = |s: &str| format!("<td class=\"text\">{}</td>", escape(s));
        let value = cell(significant(line.value, 6));
        format!(
            "<th scope=\"row\">{}</th>{}{}{value}",
            line.label,
            text(&line.symbols),
            text(&line.numbers)
        )
    });
    let note =
        "One unit at one time step, with the numbers put in; labels as in docs/derivation.md.";
    section("Equations", note, &heads(&["Eq.", "symbols", "numbers", "value"]), rows)
}
