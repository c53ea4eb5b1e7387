//! The mistakes that the reference can be told to make, one or two for each equation.

/// A mistake; its name begins with the equation it spoils.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    B1KeepsTheTarget,
    B1SumsInsteadOfAveraging,
    B2ReadsHInsteadOfY,
    B3LosesTheLastStep,
    B4LosesTheLastCharacter,
    B5ForgetsTheScale,
    B6LosesTheStepAfter,
    B6LosesTheLayerAbove,
    B7ForgetsTanh,
    B8LosesTheStepAfter,
    B8ForgetsTheSlopeOfTanh,
    B9HasTheWrongSign,
    B10ReadsTheNewCell,
    B11ReadsTheForgetGate,
    B12ForgetsTheForgetGate,
    B13LosesOneMinusI,
    B14HasTheWrongSign,
    B15ForgetsTheSquare,
    B16TakesTheSlopeOfTanh,
    B17LosesTheFirstStep,
    B18ReadsTheNewOutput,
    B19OverwritesRepeatedCharacters,
    B20LosesTheOutputGate,
    B21StopsOneStepEarly,
    U1AddsNormsInsteadOfSquares,
    U2ClipsEachTensorAlone,
    U3ForgetsOneMinusBeta,
    U4ForgetsTheSquare,
    U5CorrectsNothing,
    U6PutsEpsilonUnderTheRoot,
}

/// The mistake in force, if any.
#[derive(Clone, Copy)]
pub struct Mistake(pub Option<Mutation>);

impl Mistake {
    /// `right`, or `wrong` where `mutation` is in force.
    pub fn pick<T>(self, mutation: Mutation, right: T, wrong: T) -> T {
        if self.0 == Some(mutation) { wrong } else { right }
    }
}
