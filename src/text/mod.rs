//! Level 1 of the code: from bytes to batches.
//!
//! In order: a [`Builder`](builder::Builder) reads text as people wrote it, a
//! [`Corpus`](corpus::Corpus) holds it as the [`Ids`](ids::Ids) of its characters, which its
//! [`Vocabulary`](vocabulary::Vocabulary) explains, and [`Batches`](batches::Batches) cuts the ids into
//! what a network reads at once.

pub mod batches;
pub mod builder;
pub mod corpus;
pub mod ids;
pub mod vocabulary;
