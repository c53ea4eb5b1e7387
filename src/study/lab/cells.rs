//! The cells that set a span of a text apart, and where else they do the same.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, Axis, s};
use serde::Serialize;

use super::walk::Walk;
use crate::error::{Error, Result};
use crate::study::trace::require_below;

/// Cells that make up the pattern of a span.
const PATTERN: usize = 32;
/// Places that are shown where the pattern comes again.
const PLACES: usize = 5;

/// What is special about a span of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Contrast {
    /// The cells that are higher there than elsewhere, the clearest first.
    pub cells: Vec<CellContrast>,
    /// Where else in the text the cells show the span's pattern, the closest first.
    pub similar: Vec<Similar>,
}

/// A cell inside and outside of a span.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct CellContrast {
    /// Its layer.
    pub layer: usize,
    /// Its number in the layer.
    pub unit: usize,
    /// Mean of tanh c inside.
    pub inside: f64,
    /// Mean of tanh c outside.
    pub outside: f64,
    /// inside − outside.
    pub difference: f64,
}

/// A place like the span.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Similar {
    /// Its first step.
    pub from: usize,
    /// The step after its last.
    pub to: usize,
    /// Cosine of its cells' mean deviation from the whole text's mean and the span's, over the cells of the pattern.
    pub correlation: f64,
}

impl Walk {
    /// tanh c of a cell at each step, or tanh ĉ where the cells are normalised.
    ///
    /// # Errors
    /// [`Error::Setting`] for a layer or unit that does not exist.
    pub fn cell(&self, layer: usize, unit: usize) -> Result<Vec<f64>> {
        require_below(self.sizes().hidden, "unit", unit)?;
        require_below(self.sizes().layers, "layer", layer)?;
        Ok(self.pass.c_hat(layer).column(unit).iter().copied().map(libm::tanh).collect())
    }

    /// The `count` cells whose mean over the steps of `span` is highest above their mean over all others, and the
    /// places where the cells of the clearest contrast, high or low, look as they do there.
    ///
    /// # Errors
    /// [`Error::Setting`] for a span that is empty, goes beyond the text or covers all of it.
    pub fn contrast(&self, span: Range<usize>, count: usize) -> Result<Contrast> {
        let steps = self.steps();
        if span.is_empty() || span.end > steps || span.len() == steps {
            let found = format!("{} to {}", span.start, span.end);
            let expected = format!("a part of the steps 0 to {steps}, not all of them");
            return Err(Error::setting("span", found, expected));
        }
        let all = self.all_cells();
        let means = |rows: &Array2<f64>| rows.mean_axis(Axis(0)).expect("there are steps");
        let inside = means(&all.slice(s![span.clone(), ..]).to_owned());
        let outside: Vec<usize> = (0..steps).filter(|t| !span.contains(t)).collect();
        let outside = means(&all.select(Axis(0), &outside));
        let hidden = self.sizes().hidden;
        let mut cells: Vec<CellContrast> = (0..inside.len())
            .map(|n| CellContrast {
                layer: n / hidden,
                unit: n % hidden,
                inside: inside[n],
                outside: outside[n],
                difference: inside[n] - outside[n],
            })
            .collect();
        cells.sort_by(|a, b| b.difference.abs().total_cmp(&a.difference.abs()));
        let pattern = cells.iter().take(PATTERN).map(|cell| cell.layer * hidden + cell.unit);
        let similar = similar(&all.select(Axis(1), &pattern.collect::<Vec<_>>()), span);
        cells.sort_by(|a, b| b.difference.total_cmp(&a.difference));
        cells.truncate(count);
        Ok(Contrast { cells, similar })
    }

    /// tanh c of all cells of all layers, [T, L·H].
    fn all_cells(&self) -> Array2<f64> {
        let hidden = self.sizes().hidden;
        let mut all = Array2::zeros((self.steps(), hidden * self.sizes().layers));
        for l in 0..self.sizes().layers {
            let mut columns = all.slice_mut(s![.., l * hidden..(l + 1) * hidden]);
            columns.assign(&self.pass.c_hat(l).mapv(libm::tanh));
        }
        all
    }
}

/// The stretches as long as `span`, apart from it and from each other, whose cells look most like it.
fn similar(cells: &Array2<f64>, span: Range<usize>) -> Vec<Similar> {
    let (steps, length) = (cells.nrows(), span.len());
    let mean = cells.mean_axis(Axis(0)).expect("there are steps");
    let deviation = |from: usize| {
        let window = cells.slice(s![from..from + length, ..]);
        window.mean_axis(Axis(0)).expect("a span has steps") - &mean
    };
    let own = deviation(span.start);
    let mut places: Vec<Similar> = (0..=steps - length)
        .filter(|from| from + length <= span.start || *from >= span.end)
        .map(|from| {
            let correlation = cosine(own.view(), deviation(from).view());
            Similar { from, to: from + length, correlation }
        })
        .collect();
    places.sort_by(|a, b| b.correlation.total_cmp(&a.correlation));
    let mut chosen: Vec<Similar> = Vec::new();
    for place in places {
        if chosen.len() < PLACES && chosen.iter().all(|o| place.to <= o.from || place.from >= o.to)
        {
            chosen.push(place);
        }
    }
    chosen
}

fn cosine(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    let length = (a.dot(&a) * b.dot(&b)).sqrt();
    if length > 0.0 { a.dot(&b) / length } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_that_comes_again_is_found_where_it_does() {
        let cells = Array2::from_shape_fn((40, 6), |(t, k)| match t {
            5..8 | 20..23 => (k as f64 * 1.3).sin(),
            _ => 0.1 * ((t * (k + 2)) as f64).cos(),
        });
        let found = similar(&cells, 5..8);
        assert_eq!((found[0].from, found[0].to), (20, 23));
        assert!(found[0].correlation > 0.99 && found[1].correlation < found[0].correlation);
        let overlaps = |a: &Similar, b: &Similar| a.from < b.to && b.from < a.to;
        for (n, a) in found.iter().enumerate() {
            assert!(found[..n].iter().all(|b| !overlaps(a, b)), "{found:?}");
        }
    }
}
