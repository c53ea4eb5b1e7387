//! What `cargo test --benches -- --test` asks for.

use std::env;

/// Whether every line runs only once, to see that it works: then there is nothing to measure.
pub fn is_test() -> bool {
    env::args().any(|argument| argument == "--test")
}
