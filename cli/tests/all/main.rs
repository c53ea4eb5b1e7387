//! The command, tested as a user runs it; one binary, so that it is linked once.

mod bad_input;
mod command;
mod describe;
mod gradcheck;
mod interchange;
mod json;
#[cfg(feature = "lab")]
mod lab;
#[cfg(target_os = "linux")]
mod memory;
mod minutes;
#[cfg(unix)]
mod output;
mod profile;
mod profile_browser;
mod report;
mod report_browser;
mod report_support;
mod run_folder;
#[cfg(unix)]
mod signals;
mod webdriver;
