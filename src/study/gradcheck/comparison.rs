//! Two gradients side by side, and what their difference says.

/// Largest tolerance, relative to the gradient, with which a check still tells right from wrong.
pub const BLIND: f64 = 0.05;

/// One number of a tensor where both gradients were computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Element {
    /// Its place in the row-major tensor.
    pub index: usize,
    /// By back-propagation.
    pub analytic: f64,
    /// The plain central difference D(ε).
    pub central: f64,
    /// The extrapolated one, N = (4·D(ε) − D(2ε)) / 3.
    pub numeric: f64,
    /// How far off the numeric value itself may be: rounding and truncation.
    pub resolution: f64,
}

impl Element {
    /// |analytic − numeric|.
    pub fn absolute_error(&self) -> f64 {
        (self.analytic - self.numeric).abs()
    }

    /// |analytic − numeric| / (|analytic| + |numeric|), 0 where both are 0.
    pub fn relative_error(&self) -> f64 {
        ratio(self.absolute_error(), self.analytic.abs() + self.numeric.abs())
    }
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The gradients differ by no more than the difference quotient's own error.
    Agrees,
    /// They differ by more: the analytic gradient is wrong.
    Differs,
    /// The difference quotient is too coarse beside so small a gradient to tell.
    Blind,
}

/// The comparison for one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorCheck {
    /// The tensor's name, as in `w_hh_l1`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Whether its columns are the four gates, [.., 4H].
    pub has_gates: bool,
    /// The elements compared, in the order of their index.
    pub elements: Vec<Element>,
}

impl TensorCheck {
    /// ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖) over the compared elements.
    pub fn relative_error(&self) -> f64 {
        relative(self.elements.iter(), |e| e.numeric)
    }

    /// ‖resolution‖ / (‖analytic‖ + ‖numeric‖): how large [`TensorCheck::relative_error`] may be.
    pub fn tolerance(&self) -> f64 {
        ratio(norm(&self.elements, |e| e.resolution), self.scale())
    }

    /// The verdict on all elements together.
    pub fn verdict(&self) -> Verdict {
        let (error, tolerance) = (self.relative_error(), self.tolerance());
        let is_nan = self.elements.iter().any(|e| e.analytic.is_nan() || e.numeric.is_nan());
        match tolerance <= BLIND {
            _ if is_nan => Verdict::Differs,
            _ if self.scale() == 0.0 => Verdict::Agrees,
            true if error <= tolerance => Verdict::Agrees,
            true => Verdict::Differs,
            false => Verdict::Blind, // so where numbers are too large to be squared
        }
    }

    /// The element with the largest absolute error.
    pub fn worst(&self) -> Option<&Element> {
        self.elements.iter().max_by(|a, b| a.absolute_error().total_cmp(&b.absolute_error()))
    }

    /// The largest relative error of a single element. Near a zero of the gradient it is large in
    /// any check; the verdict rests on the whole tensor.
    pub fn largest_relative_error(&self) -> f64 {
        self.elements.iter().map(Element::relative_error).fold(0.0, f64::max)
    }

    /// Where the element `index` stands.
    pub fn place(&self, index: usize) -> Place {
        let width = self.shape[self.shape.len() - 1];
        let row = (self.shape.len() > 1).then_some(index / width);
        let column = index % width;
        match (self.has_gates, width / 4) {
            (false, _) => Place { row, gate: None, column },
            (true, h) => {
                Place { row, gate: Some(['i', 'f', 'g', 'o'][column / h]), column: column % h }
            }
        }
    }

    fn scale(&self) -> f64 {
        norm(&self.elements, |e| e.analytic) + norm(&self.elements, |e| e.numeric)
    }
}

/// The place of an element in its tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its row; none in a bias.
    pub row: Option<usize>,
    /// The gate i, f, g or o to which its column belongs, if to any.
    pub gate: Option<char>,
    /// Its column, counted within the gate if there is one.
    pub column: usize,
}

/// a / b, and 0 where both are 0.
fn ratio(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

/// ‖f‖ over `elements`.
fn norm<'a>(elements: impl IntoIterator<Item = &'a Element>, f: impl Fn(&Element) -> f64) -> f64 {
    elements.into_iter().map(|e| f(e) * f(e)).sum::<f64>().sqrt()
}

/// ‖analytic − numeric‖ / (‖analytic‖ + ‖numeric‖).
pub(super) fn relative<'a>(
    elements: impl Iterator<Item = &'a Element> + Clone,
    numeric: impl Fn(&Element) -> f64,
) -> f64 {
    let difference = norm(elements.clone(), |e| e.analytic - numeric(e));
    ratio(difference, norm(elements.clone(), |e| e.analytic) + norm(elements, numeric))
}
