//! The `karenina` command.
fn main() {}
