//! Answers about a text on its way through a network: Step, Nudge, Reach and Cells.

use karenina::error::Error;
use karenina::study::lab::{Quantity, Walk, Weight};
use karenina::study::trace::Spot;
use serde::Deserialize;
use serde_json::json;

use super::networks::Networks;
use super::refusal::{Answer, Refusal};

/// Numbers in one answer, at most.
const MOST_NUMBERS: usize = 1 << 15;
/// Points of the loss around a weight, at most.
const MOST_POINTS: usize = 41;

/// What all but Reach ask about.
#[derive(Deserialize)]
pub struct OnText {
    pub network: String,
    pub text: String,
}

/// What else one of them asks.
#[derive(Deserialize)]
pub struct Asked<T> {
    #[serde(flatten)]
    pub on: OnText,
    #[serde(flatten)]
    pub what: T,
}

#[derive(Deserialize)]
pub struct AtSpot {
    step: usize,
    layer: usize,
    unit: usize,
}

#[derive(Deserialize)]
pub struct Strips {
    unit: usize,
    from: usize,
    to: usize,
}

#[derive(Deserialize)]
pub struct Map {
    layer: usize,
    quantity: Quantity,
    units: [usize; 2],
    steps: [usize; 2],
}

#[derive(Deserialize)]
pub struct Matrix {
    tensor: String,
    rows: [usize; 2],
    columns: [usize; 2],
}

#[derive(Deserialize)]
pub struct AtWeight {
    #[serde(flatten)]
    weight: Weight,
    epsilons: Vec<f64>,
}

#[derive(Deserialize)]
pub struct Reach {
    networks: Vec<String>,
    text: String,
    at: usize,
    window: usize,
}

#[derive(Deserialize)]
pub struct Span {
    from: usize,
    to: usize,
    count: usize,
}

#[derive(Deserialize)]
pub struct Cell {
    layer: usize,
    unit: usize,
}

/// The text and what was predicted, and of what size the network is.
pub fn walk(networks: &Networks, asked: &OnText) -> Answer {
    let network = networks.network(&asked.network)?;
    let walk = networks.walk(&asked.network, &asked.text)?;
    Ok(json!({
        "network": network.name,
        "sizes": walk.sizes(),
        "trained": network.step,
        "unroll": network.config.unroll,
        "vocabulary": network.vocabulary.characters(),
        "tensors": walk.tensors(),
        "loss": walk.loss(),
        "steps": walk.text(),
    }))
}

pub fn equations(walk: &Walk, asked: &AtSpot) -> Answer {
    let &AtSpot { step, layer, unit } = asked;
    Ok(json!(walk.equations(Spot { step, layer, unit })?))
}

/// Every quantity of one unit number in every layer, over some steps.
pub fn strips(walk: &Walk, asked: &Strips) -> Answer {
    let &Strips { unit, from, to } = asked;
    let sizes = walk.sizes();
    if unit >= sizes.hidden {
        return Err(beyond("unit", unit, sizes.hidden));
    }
    few([[0, sizes.layers * Quantity::ALL.len()], [from, to]])?;
    let strip = |layer: usize, quantity: Quantity| {
        Ok(walk.values(layer, quantity, unit..unit + 1, from..to)?.remove(0))
    };
    let layer = |layer: usize| Quantity::ALL.iter().map(|&q| strip(layer, q)).collect();
    let layers: Result<Vec<Vec<Vec<f64>>>, Refusal> = (0..sizes.layers).map(layer).collect();
    Ok(json!({ "quantities": Quantity::ALL, "layers": layers? }))
}

/// One quantity of many units of a layer.
pub fn map(walk: &Walk, asked: &Map) -> Answer {
    let [[unit, last], [from, to]] = [asked.units, asked.steps];
    few([asked.units, asked.steps])?;
    Ok(json!(walk.values(asked.layer, asked.quantity, unit..last, from..to)?))
}

pub fn matrix(walk: &Walk, asked: &Matrix) -> Answer {
    let [[row, last], [from, to]] = [asked.rows, asked.columns];
    few([asked.rows, asked.columns])?;
    Ok(json!(walk.weights(&asked.tensor, row..last, from..to)?))
}

/// The loss with a weight moved a little.
pub fn nudge(walk: &Walk, asked: &AtWeight) -> Answer {
    let epsilons = finite(&asked.epsilons)?;
    let (slope, points) = (walk.slope(&asked.weight)?, walk.nudges(&asked.weight, epsilons)?);
    Ok(json!({ "slope": slope, "points": points }))
}

/// The finite difference at a weight.
pub fn differences(walk: &Walk, asked: &AtWeight) -> Answer {
    let epsilons = finite(&asked.epsilons)?;
    if epsilons.iter().any(|&epsilon| epsilon <= 0.0) {
        return Err(Refusal::bad("each ε of a central difference must be above 0"));
    }
    let (slope, points) = (walk.slope(&asked.weight)?, walk.differences(&asked.weight, epsilons)?);
    Ok(json!({ "slope": slope, "points": points }))
}

/// How far back one character's loss reaches, in one network or two.
pub fn reach(networks: &Networks, asked: &Reach) -> Answer {
    if !(1..=2).contains(&asked.networks.len()) {
        return Err(Refusal::bad("one or two networks can be compared"));
    }
    let each = |name: &String| {
        let walk = networks.walk(name, &asked.text)?;
        Ok(walk.reach(asked.at, asked.window)?)
    };
    let all: Result<Vec<_>, Refusal> = asked.networks.iter().map(each).collect();
    Ok(json!(all?))
}

pub fn contrast(walk: &Walk, asked: &Span) -> Answer {
    Ok(json!(walk.contrast(asked.from..asked.to, asked.count.min(100))?))
}

pub fn cell(walk: &Walk, asked: &Cell) -> Answer {
    Ok(json!(walk.cell(asked.layer, asked.unit)?))
}

fn beyond(name: &'static str, found: usize, count: usize) -> Refusal {
    let expected = format!("at most {}, counted from 0", count - 1);
    Error::setting(name, found, expected).into()
}

/// Refuses an answer of so many rows and columns, each from one place to another, if it is too long.
fn few(ranges: [[usize; 2]; 2]) -> Result<(), Refusal> {
    let [rows, columns] = ranges.map(|[from, to]| to.saturating_sub(from));
    match rows.saturating_mul(columns) {
        0..=MOST_NUMBERS => Ok(()),
        numbers => Err(Refusal::bad(format!(
            "{numbers} numbers are too many for one answer; ask for at most {MOST_NUMBERS}"
        ))),
    }
}

fn finite(epsilons: &[f64]) -> Result<&[f64], Refusal> {
    let is_good = |epsilon: &f64| epsilon.abs() <= 1e3;
    match epsilons.len() {
        1..=MOST_POINTS if epsilons.iter().all(is_good) => Ok(epsilons),
        1..=MOST_POINTS => Err(Refusal::bad("each ε must be a number from −1000 to 1000")),
        _ => Err(Refusal::bad(format!("from 1 to {MOST_POINTS} values of ε can be asked for"))),
    }
}
