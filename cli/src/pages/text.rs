//! The text itself, coloured: by surprise, and by the activation of one cell.

use karenina::study::report::{Found, Guess, Reading, Report};
use karenina::text::vocabulary::Vocabulary;
use serde::Serialize;

use super::html::{section, shown};

/// Bits from which a character has the strongest colour.
const STRONGEST: f32 = 8.0;

/// The text coloured by surprise, with the alternatives as data for the script.
pub fn surprise(report: &Report) -> String {
    let Report { reading, vocabulary, .. } = report;
    let mut text = String::new();
    for (n, &id) in reading.ids.iter().enumerate() {
        // The first character was not predicted.
        let bits = if n == 0 { 0.0 } else { reading.surprise[n - 1] };
        let strength = bits.clamp(0.0, STRONGEST).round();
        let c = shown(vocabulary.character(id));
        text += &format!("<i class=\"s{strength}\">{c}</i>");
    }
    let legend: String =
        (0..=8).map(|bits| format!("<i class=\"s{bits}\">&nbsp;{bits}&nbsp;</i>")).collect();
    let body = format!(
        "<p class=\"legend\">bits <span class=\"passage\">{legend}</span> or more</p>\n\
         <div id=\"readout\" role=\"status\" aria-live=\"polite\">Point at a character, or move here \
         with the Tab key and use the arrow keys.</div>\n\
         <div id=\"text\" class=\"passage\" tabindex=\"0\" role=\"group\" aria-label=\"The text, \
         character by character: the arrow keys move\" aria-describedby=\"readout\">{text}</div>\n\
         <script type=\"application/json\" id=\"data\">{}</script>\n",
        data(reading, vocabulary)
    );
    let note = format!(
        "The stronger a character’s background, the more it surprised the network: −log₂ of the probability \
         it was given. The mean over these {} characters is {:.3} bits.",
        reading.steps(),
        reading.mean_surprise(),
    );
    section("surprise", "Surprise", &note, &body)
}

/// Everything that the script needs, in numbers alone: nothing of the text can be taken for markup.
#[derive(Serialize)]
struct Data<'a> {
    vocabulary: Vec<u32>,
    ids: &'a [u32],
    centibits: Vec<u32>,
    guesses: Vec<Vec<u32>>,
}

fn data(reading: &Reading, vocabulary: &Vocabulary) -> String {
    let pairs = |&(id, p): &Guess| [id, (p * 1000.0).round() as u32];
    let guesses = reading.guesses.rows().into_iter();
    let data = Data {
        vocabulary: vocabulary.characters().iter().map(|&c| c.into()).collect(),
        ids: &reading.ids,
        centibits: reading.surprise.iter().map(|bits| (bits * 100.0).round() as u32).collect(),
        guesses: guesses.map(|guesses| guesses.iter().flat_map(pairs).collect()).collect(),
    };
    serde_json::to_string(&data).expect("numbers are JSON")
}

/// The cells that follow a property of the text, each over a passage.
pub fn cells(report: &Report) -> String {
    let (real, chance): (Vec<&Found>, Vec<&Found>) =
        report.cells.iter().partition(|found| found.is_real());
    let mut body = String::from(
        "<p class=\"legend\">tanh c <span class=\"passage\"><i class=\"n6\">&nbsp;−1&nbsp;</i><i \
         class=\"n3\">&nbsp;−½&nbsp;</i><i>&nbsp;0&nbsp;</i><i class=\"p3\">&nbsp;½&nbsp;</i><i \
         class=\"p6\">&nbsp;1&nbsp;</i></span></p>\n<div class=\"cells\">\n",
    );
    for found in &real {
        body += &cell(report, found);
    }
    body += "</div>\n";
    if !chance.is_empty() {
        let names: Vec<&str> = chance.iter().map(|found| found.feature).collect();
        body += &format!(
            "<p class=\"note\">No cell follows these better than chance: {}.</p>\n",
            names.join(", ")
        );
    }
    let note = "Single cells that keep track of something, after Karpathy, Johnson and Fei-Fei (2015), the \
                clearest first. For each property of the text: the cell whose tanh c correlates most with \
                it (r), and the correlation that the best of all cells reaches by chance, when the property \
                is shifted along the text. Where r is negative, the cell falls as the property rises. Layers and \
                cells are counted from 0, as in <code>karenina trace --unit</code>.";
    section("cells", "Cells", note, &body)
}

fn cell(report: &Report, found: &Found) -> String {
    let Found { feature, layer, unit, correlation, chance, .. } = found;
    let mut text = String::new();
    let mut run = None;
    for (n, t) in found.excerpt.clone().enumerate() {
        let class = strength(found.activations[n]);
        if run.as_ref() != Some(&class) {
            let end = if run.is_some() { "</i>" } else { "" };
            text += &format!("{end}<i class=\"{class}\">");
            run = Some(class);
        }
        text += &shown(report.vocabulary.character(report.reading.ids[t]));
    }
    format!(
        "<figure>\n<figcaption><b>{feature}</b> <span>layer {layer}, cell {unit}</span> \
         <span>r = {correlation:.2}</span> <span>by chance {chance:.2}</span></figcaption>\n\
         <p class=\"passage small\">{text}</i></p>\n</figure>\n"
    )
}

/// The class of an activation: `n6` for −1, `p6` for 1.
fn strength(activation: f32) -> String {
    match (activation * 6.0).round() as i32 {
        0 => "z".into(),
        n if n < 0 => format!("n{}", -n),
        n => format!("p{n}"),
    }
}
