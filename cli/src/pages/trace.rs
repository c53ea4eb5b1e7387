//! A trace: what was read and predicted, the gates, the gradients coming back, how far they reach, and the
//! equations if the trace has any.

use karenina::study::trace::{LayerStep, Step, Trace, significant, visible};

use crate::output::layers;

use super::html::{cell, escape, name, page, table};

/// The page about a trace.
pub fn trace(trace: &Trace) -> String {
    let read = trace.steps.iter().map(|step| step.character);
    let text: String = read.chain(trace.steps.last().map(|step| step.next)).collect();
    let title = format!("Trace of “{}”", escape(&text));
    let sizes = trace.sizes;
    let header = format!(
        "<h1>{title}</h1>\n<p>{}, {} characters, computed in {}. \
         Mean loss {} nats, {} bits per character.</p>\n",
        layers(sizes),
        sizes.vocabulary,
        trace.precision,
        significant(trace.nats, 6),
        significant(trace.bits, 6),
    );
    let mut body = predictions(trace);
    body.extend((0..sizes.layers).map(|l| gates(trace, l)));
    body.extend((0..sizes.layers).map(|l| gradients(trace, l)));
    body += &reach(trace);
    body += &tensors(trace);
    if !trace.equations.is_empty() {
        body += &equations(trace);
    }
    page(&title, &header, &body)
}

/// A number on a background whose strength is `share`, 0 to 1. At most 60 % of the colour, so that it can be read.
fn shaded(number: f64, share: f64) -> String {
    let percent = (share.clamp(0.0, 1.0) * 60.0).round();
    format!("<td class=\"shade\" style=\"--share:{percent}%\">{}</td>", significant(number, 3))
}

/// How strong a gradient's background is: none at 10⁻⁶ of the `largest` magnitude, full there.
fn logarithmic(x: f64, largest: f64) -> f64 {
    if x == 0.0 || largest == 0.0 { 0.0 } else { 1.0 + libm::log10(x.abs() / largest) / 6.0 }
}

fn shown(character: char) -> String {
    escape(&visible(character))
}

/// The first two cells of a row: a count and a character.
fn place(t: usize, character: char) -> String {
    cell(t) + &name(&shown(character))
}

/// A row for each time step.
fn by_step(trace: &Trace, row: impl Fn(&Step) -> String) -> impl Iterator<Item = String> {
    trace.steps.iter().enumerate().map(move |(t, step)| place(t, step.character) + &row(step))
}

fn predictions(trace: &Trace) -> String {
    let rows = by_step(trace, |step| {
        let guesses = step.top.iter().map(|guess| {
            let class = if guess.character == step.next { " class=\"hit\"" } else { "" };
            let p = significant(guess.probability, 3);
            format!("<span{class}><b>{}</b> {p}</span> ", shown(guess.character))
        });
        let top: String = guesses.collect();
        let next = cell(shown(step.next)) + &cell(significant(step.probability, 3));
        next + &shaded(step.bits, step.bits / 8.0) + &format!("<td class=\"top\">{top}</td>")
    });
    let note = "Loss in bits: −log₂ of the probability that the next character was given.";
    table("Predictions", note, &["t", "read", "next", "p(next)", "bits", "most probable"], rows)
}

fn gates(trace: &Trace, l: usize) -> String {
    let rows = by_step(trace, |step| {
        let layer = &step.layers[l];
        let gates = [layer.i, layer.f, layer.g, layer.o];
        let (values, c, h) = match layer.unit {
            Some(unit) => ([unit.i, unit.f, unit.g, unit.o], unit.c, unit.h),
            None => (gates.map(|gate| gate.mean), layer.c, layer.h),
        };
        let values = values.map(|x| shaded(x, x.abs())).concat();
        let saturated = gates.map(|gate| cell(format!("{:.0}%", 100.0 * (gate.low + gate.high))));
        values + &saturated.concat() + &cell(significant(c, 3)) + &cell(significant(h, 3))
    });
    let whose = trace.unit.map_or("Means over all units".into(), |unit| format!("Unit {unit}"));
    let note = format!(
        "{whose}; sat.: share of all units where the gate is below 0.1 (g: −0.9) or above 0.9."
    );
    let heads = ["t", "read", "i", "f", "g", "o", "i sat.", "f sat.", "g sat.", "o sat.", "c", "h"];
    table(&format!("Layer {l}: gates"), &note, &heads, rows)
}

fn gradients(trace: &Trace, l: usize) -> String {
    let values = |layer: &LayerStep| {
        let norms = (layer.dh, layer.dc, layer.dz);
        let (dh, dc, [i, f, g, o]) = layer.unit.map_or(norms, |unit| (unit.dh, unit.dc, unit.dz));
        [dh, dc, i, f, g, o]
    };
    let all = trace.steps.iter().flat_map(|step| step.layers.iter().flat_map(values));
    let largest = all.map(f64::abs).fold(0.0, f64::max);
    let rows = by_step(trace, |step| {
        values(&step.layers[l]).map(|x| shaded(x, logarithmic(x, largest))).concat()
    });
    let names = ["dh", "dc", "dz_i", "dz_f", "dz_g", "dz_o"];
    let (names, whose) = match trace.unit {
        Some(unit) => (names.map(String::from), format!("Unit {unit}")),
        None => (names.map(|name| format!("‖{name}‖")), "Norms over all units".into()),
    };
    let heads = [&["t".into(), "read".into()], &names[..]].concat();
    let note =
        format!("{whose}; gradients of the mean loss, propagated back from the end of the text.");
    table(&format!("Layer {l}: gradients"), &note, &heads, rows)
}

fn reach(trace: &Trace) -> String {
    let mut heads = vec!["lag".into(), "read".into()];
    for l in 0..trace.sizes.layers {
        heads.extend([format!("‖dh‖ layer {l}"), format!("‖dc‖ layer {l}")]);
    }
    let all = trace.reach.iter().flat_map(|reach| reach.dh.iter().chain(&reach.dc));
    let largest = all.copied().fold(0.0, f64::max);
    let rows = trace.reach.iter().map(|reach| {
        let norms = reach.dh.iter().zip(&reach.dc).flat_map(|(&dh, &dc)| [dh, dc]);
        let cells: String = norms.map(|x| shaded(x, logarithmic(x, largest))).collect();
        place(reach.lag, reach.character) + &cells
    });
    let note = "The gradient of the last step’s loss alone, k steps earlier. The background’s strength is \
                logarithmic: it disappears at a millionth of the largest.";
    table("How far a gradient reaches", note, &heads, rows)
}

fn tensors(trace: &Trace) -> String {
    let rows = trace.tensors.iter().map(|tensor| {
        let numbers = [tensor.norm, tensor.largest].map(|x| cell(significant(x, 4)));
        name(&tensor.name) + &cell(format!("{:?}", tensor.shape)) + &numbers.concat()
    });
    let note = "Of the mean loss with respect to every parameter.";
    table("Parameter gradients", note, &["tensor", "shape", "norm", "largest"], rows)
}

fn equations(trace: &Trace) -> String {
    let rows = trace.equations.iter().map(|line| {
        let texts = [&line.symbols, &line.numbers];
        let texts = texts.map(|text| format!("<td class=\"text\">{}</td>", escape(text)));
        name(line.label) + &texts.concat() + &cell(significant(line.value, 6))
    });
    let note =
        "One unit at one time step, with the numbers filled in; labels as in docs/derivation.md.";
    table("Equations", note, &["Eq.", "symbols", "numbers", "value"], rows)
}
