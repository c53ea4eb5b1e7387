//! Cells that keep track of something a reader can name, as in Karpathy, Johnson and Fei-Fei,
//! "Visualizing and Understanding Recurrent Networks" (arXiv 1506.02078) — but found by a number
//! instead of by eye.

use std::ops::Range;

use ndarray::{Array1, Array2, Axis};

use super::features::Feature;
use super::reading::Reading;

/// Characters of the text that are shown with a cell.
const EXCERPT: usize = 420;

/// A property of the text and the cell that follows it best.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// The property.
    pub feature: &'static str,
    /// Layer of the cell, from 0.
    pub layer: usize,
    /// Number of the cell in its layer, from 0.
    pub unit: usize,
    /// Pearson's correlation between tanh c and the property.
    pub correlation: f64,
    /// The largest |correlation| that any cell reaches with the property shifted along the text, where
    /// it no longer belongs: what the best of so many cells finds by chance.
    pub chance: f64,
    /// The stretch of text where the property varies most.
    pub excerpt: Range<usize>,
    /// tanh c over the excerpt.
    pub activations: Vec<f32>,
}

impl Found {
    /// Whether the cell follows the property better than chance would.
    pub fn is_real(&self) -> bool {
        self.correlation.abs() > self.chance
    }
}

/// The best cell for each property that varies in the text at all, the closest match first.
///
/// * `text`: the characters read, `[N]`
/// * `features`: their properties, `[N]` each
pub fn find_cells(text: &[char], reading: &Reading, features: &[Feature]) -> Vec<Found> {
    let cells: Vec<Array2<f32>> = reading.cells.iter().map(standardised).collect();
    let mut found: Vec<Found> = features
        .iter()
        .filter(|feature| varies(&feature.values))
        .map(|feature| find_cell(text, reading, &cells, feature))
        .collect();
    found.sort_by(|a, b| b.correlation.abs().total_cmp(&a.correlation.abs()));
    found
}

fn find_cell(text: &[char], reading: &Reading, cells: &[Array2<f32>], feature: &Feature) -> Found {
    let (layer, unit, correlation) = best(cells, &feature.values);
    let quarters = [1, 2, 3].map(|quarter| quarter * feature.values.len() / 4);
    let chance = quarters
        .map(|by| {
            let mut shifted = feature.values.clone();
            shifted.rotate_left(by);
            best(cells, &shifted).2.abs()
        })
        .into_iter()
        .fold(0.0, f64::max);
    let excerpt = most_varied(text, &feature.values);
    let activations = excerpt.clone().map(|t| reading.cells[layer][[t, unit]]).collect();
    Found { feature: feature.name, layer, unit, correlation, chance, excerpt, activations }
}

/// Layer, unit and correlation of the cell that follows `values` most closely.
fn best(cells: &[Array2<f32>], values: &[f32]) -> (usize, usize, f64) {
    let column = Array2::from_shape_vec((values.len(), 1), values.to_vec()).expect("one column");
    let values = standardised(&column).remove_axis(Axis(1));
    let mut best = (0, 0, 0.0);
    for (layer, cells) in cells.iter().enumerate() {
        let correlations: Array1<f32> = cells.t().dot(&values);
        for (unit, &r) in correlations.iter().enumerate() {
            if f64::from(r).abs() > f64::abs(best.2) {
                best = (layer, unit, f64::from(r));
            }
        }
    }
    best
}

/// Each column minus its mean, scaled to length 1, so that products of columns are correlations; a
/// constant column becomes zero.
fn standardised(columns: &Array2<f32>) -> Array2<f32> {
    let mut columns = columns.clone();
    for mut column in columns.columns_mut() {
        let count = column.len() as f64;
        let mean = column.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        column.mapv_inplace(|x| (f64::from(x) - mean) as f32);
        let length = column.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let scale = if length > 1e-6 * count.sqrt() { 1.0 / length } else { 0.0 };
        column.mapv_inplace(|x| (f64::from(x) * scale) as f32);
    }
    columns
}

fn varies(values: &[f32]) -> bool {
    values.iter().any(|&value| value != values[0])
}

/// The stretch of [`EXCERPT`] characters in which `values` vary most; it begins with a line if the text
/// has any.
fn most_varied(text: &[char], values: &[f32]) -> Range<usize> {
    let length = EXCERPT.min(values.len());
    let last = values.len() - length;
    let starts = (0..=last).filter(|&t| t == 0 || text[t - 1] == '\n' || t == last);
    let variance = |start: &usize| {
        let part = &values[*start..start + length];
        let mean = part.iter().sum::<f32>() / length as f32;
        part.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>()
    };
    // max_by takes the last of equals; the first is wanted.
    let start = starts.rev().max_by(|a, b| variance(a).total_cmp(&variance(b))).unwrap_or(0);
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reading in which cell 3 of layer 1 is `values` and all others are a slow wave.
    fn planted(values: &[f32]) -> Reading {
        let wave = |(t, k): (usize, usize)| (t as f32 * 0.013 * (k + 1) as f32).sin();
        let mut cells = vec![Array2::from_shape_fn((values.len(), 5), wave); 2];
        cells[1].column_mut(3).assign(&Array1::from(values.to_vec()));
        Reading {
            ids: vec![],
            surprise: vec![],
            guesses: Array2::default((0, 0)),
            cells,
            gates: vec![],
        }
    }

    fn quoted() -> (Vec<char>, Feature) {
        // No period: a text that repeats itself fits its own properties even when they are shifted.
        let line = |n: usize| format!("he{} said \"no\" and\nwent\n", " also".repeat(n * n % 7));
        let text: Vec<char> = (0..40).map(line).collect::<String>().chars().collect();
        let mut features = super::super::features(&text);
        features.retain(|feature| feature.name == "inside quotation marks");
        (text, features.remove(0))
    }

    #[test]
    fn a_planted_cell_is_found_whatever_its_sign_and_scale() {
        let (text, feature) = quoted();
        let activations: Vec<f32> = feature.values.iter().map(|x| 0.5 - 0.25 * x).collect();
        let found = &find_cells(&text, &planted(&activations), &[feature])[0];
        assert_eq!((found.layer, found.unit), (1, 3));
        assert!((found.correlation + 1.0).abs() < 1e-5 && found.is_real());
    }

    #[test]
    fn a_property_that_never_varies_is_left_out() {
        let text = ['a'; 50];
        let feature = Feature { name: "digit", values: vec![0.0; 50] };
        assert_eq!(find_cells(&text, &planted(&[0.5; 50]), &[feature]), []);
    }

    #[test]
    fn the_excerpt_shows_the_property_and_starts_with_a_line() {
        let text: Vec<char> =
            "nothing here\n".repeat(50).chars().chain("\"a\" \"b\"\n".chars()).collect();
        let values: Vec<f32> = (0..text.len()).map(|t| if t > 652 { 1.0 } else { 0.0 }).collect();
        let excerpt = most_varied(&text, &values);
        assert_eq!(excerpt.len(), EXCERPT);
        assert!(excerpt.contains(&653));
        assert!(text[excerpt.start - 1] == '\n' || excerpt.end == text.len());
    }
}
