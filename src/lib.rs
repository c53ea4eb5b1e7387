//! Character-level LSTM language models on the CPU, every forward and backward pass written by hand.
//!
//! ```
//! use karenina::rand::SeedableRng;
//! use karenina::sample::{Generator, Picker};
//! use karenina::text::corpus::Corpus;
//! use karenina::train::{TrainConfig, Trainer};
//!
//! // Train a small network on a text ...
//! let corpus = Corpus::from_text(&"Happy families are all alike. ".repeat(20));
//! let config = TrainConfig::builder().hidden(32).layers(1).batch(4).unroll(30).epochs(30);
//! let config = config.learning_rate(0.02).keep(1.0).build()?;
//! let mut trainer = Trainer::new(&corpus, config, 1)?;
//! for report in trainer.by_ref() {
//!     assert!(report?.row.loss.is_finite());
//! }
//!
//! // ... and let it write, one character at a time.
//! let vocabulary = trainer.vocabulary();
//! let mut generator = Generator::new(trainer.parameters(), 1);
//! let mut rng = karenina::rand_pcg::Pcg64::seed_from_u64(1);
//! generator.read(&vocabulary.encode("Happy ")?);
//! let written = generator.write(24, Picker::default(), &mut rng);
//! assert_eq!(vocabulary.decode(&written), "families are all alike. ");
//! # Ok::<(), karenina::error::Error>(())
//! ```
//!
//! # A tour in reading order
//!
//! Read [`mod@reference`] first: the whole training step on one page, in plain loops. The rest of the crate computes
//! the same numbers fast.
//!
//! Text becomes a trained network in these stages, each of them a module:
//!
//! 1. [`text::corpus`] → [`text::vocabulary`] → [`text::batches`]: characters become numbers, numbers
//!    become batches of inputs and next characters.
//! 2. [`layers::lstm`] and, inside it, [`layers::cell`]: the recurrence, forward and back through time.
//!    [`layers::dropout`], [`layers::projection`] and [`layers::loss`] lead from its outputs to one number.
//! 3. [`model`]: the stack of layers. [`model::Network::gradients`] is a whole training step's loss and
//!    gradients.
//! 4. [`optim::clip`] and [`optim::adam`]: from gradients to a change of the parameters.
//! 5. [`train`]: the loop, checkpoints and the run folder. [`sample`] and [`evaluate`]: what a trained
//!    network is for.
//! 6. [`study`]: planning a run, measuring it, and looking inside a network.
//!
//! [`math`] holds what all of them are built on: the number type, the matrix products, activation functions,
//! random numbers. `docs/derivation.md` derives every equation; the line that computes one cites its label,
//! as in `// Eq. B8`.
//!
//! # Symbols
//!
//! Used everywhere in this crate; every array states its shape in these letters.
//!
//! | symbol | meaning |
//! |---|---|
//! | B, b | rows (sequences) of a batch; of one shard |
//! | T | time steps of a batch |
//! | D | input size of a layer |
//! | H | hidden size: LSTM cells in a layer |
//! | V | vocabulary size |
//! | L | layers |
//!
//! The four gates stand in the order **i, f, g, o** (PyTorch's). A gradient of the loss is named with a `d`
//! prefix: `dh`, `dc`, `dw_hh`. Arrays of a batch are time-major, [T, B, …].
//!
//! # Levels of the code
//!
//! Imports only go down: the command over [`study`] over [`train`], [`sample`] and [`evaluate`] over
//! [`model`] and [`optim`] over [`ranks`], [`layers`], [`text`] and [`mod@reference`] over [`math`], [`memory`] and
//! [`error`]. A test enforces this.
//!
//! # Features
//!
//! * `interchange`, off by default: the module `train::interchange`, models to and from PyTorch.
//!
//! # What is stable
//!
//! What this documentation shows. Items that it hides, such as the kernels of the matrix products, are public
//! for this crate's own tests and benchmarks and may change in any release. [`ndarray`], [`rand`], [`rand_pcg`] and
//! [`rayon`] are exported, since arrays, generators of random numbers and pools of threads are passed in and out.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub use {ndarray, rand, rand_pcg, rayon};

pub mod error;
pub mod evaluate;
pub mod layers;
pub mod math;
pub mod memory;
pub mod model;
pub mod optim;
pub mod ranks;
#[allow(clippy::disallowed_methods)] // it is compared with the engine, not to the last bit
pub mod reference;
pub mod sample;
pub mod study;
pub mod text;
pub mod train;
