//! The integration tests of the engine, in one binary so that they are linked once.

mod activation;
mod architecture;
mod checkpoint;
mod choice;
mod distributions;
mod equations;
mod gradients;
mod hostile;
#[cfg(feature = "interchange")]
mod interchange;
mod lab;
mod learning;
mod ledger;
mod matmul;
mod numbers;
mod public_items;
mod pytorch_parity;
mod ranks;
mod resume;
mod run;
mod run_folder;
mod sequence;
mod shapes;
mod support;
mod text;
mod threads;
mod trace;
mod trainer;
mod weights;
