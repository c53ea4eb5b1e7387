//! Layer 1: from bytes to batches.
//!
//! One straight way: a [`Corpus`](corpus::Corpus) is text as people wrote it, a
//! [`Vocabulary`](vocabulary::Vocabulary) turns its characters into ids, and
//! [`Batches`](batches::Batches) cuts the ids into what a network reads at once.

pub mod batches;
pub mod corpus;
mod nearest;
pub mod vocabulary;
