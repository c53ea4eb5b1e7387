//! Every equation of `docs/derivation.md`, computed once more in plain scalar loops in f64.
//!
//! * `forward`, `backward`, `update`: one test for each equation, `eq_b4_…`, which puts given
//!   values on the right of the equation and compares the engine's value on the left
//! * `reference`: `karenina::reference` on the tests' problems
//! * `mutations`: a copy of it with one mistake in its text is told from the engine, for every mistake in
//!   the table of `tests/mutants/build.rs`
//! * `block_edges`: engine and reference agree on sizes that cross every block of the engine, in f64 and f32
//! * `worked_example`, `costs`: the numbers printed in the document
//!
//! `tests/all/ledger.rs` counts that none is missing.

mod backward;
mod block_edges;
mod case;
mod compare;
mod costs;
mod document;
mod forward;
mod mutant;
mod mutations;
pub mod reference;
mod update;
mod worked_example;
