//! Every equation of `docs/derivation.md`, computed once more in plain scalar loops in f64.
//!
//! * `forward`, `backward`, `update`: one test for each equation, `eq_b4_…`, which takes the engine's
//!   own values on the right of the equation and compares the engine's value on the left
//! * `reference`: a whole training step in scalar loops, which can be told to make one mistake
//! * `mutations`: every such mistake is seen by the comparison with the engine
//! * `worked_example`, `costs`: the numbers printed in the document
//!
//! `tests/all/ledger.rs` counts that none is missing.

mod backward;
mod case;
mod compare;
mod costs;
mod document;
mod forward;
mod mutations;
mod reference;
mod update;
mod worked_example;
