//! `karenina lab`: over plain HTTP, in a real browser, and beside a training.

#[cfg(unix)]
mod beside;
mod browser;
mod door;
mod malformed;
mod overwritten;
mod page;
mod support;
