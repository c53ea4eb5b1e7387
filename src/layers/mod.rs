//! Level 1 of the code (docs/design.md): each stage of the network, its backward beside its forward.
//!
//! Gradients carry a `d` prefix, and above each derivative stands the forward line that it
//! differentiates. Equation labels (F1 …,
//! B1 …) are those of `docs/derivation.md`.

pub mod cell;
pub mod dropout;
pub mod loss;
pub mod lstm;
pub mod projection;
