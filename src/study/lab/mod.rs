//! What `karenina lab` shows, as plain numbers: a text on its way through a network and back, in `f64`, kept so that
//! each question about it is answered without computing all of it again.
//!
//! A [`Walk`] is such a text. It gives each equation and activation at a step, the loss around a weight ([`nudge`]),
//! how far one character's loss reaches back ([`reach`]), and the cells that set a span of it apart ([`cells`]). A
//! [`Reader`] has read a text and writes on from there; [`Progress`] is how far a run has come.

pub mod cells;
pub mod nudge;
pub mod progress;
pub mod reach;
mod walk;
mod writer;

pub use cells::Contrast;
pub use nudge::Weight;
pub use progress::Progress;
pub use reach::Dependence;
pub use walk::{LayerNorm, Quantity, Walk, WalkStep};
pub use writer::{Candidate, Draw, Reader, Written};
