//! Pages for the browser, each one file that loads nothing else: the [`report`](report()) on a run, a [`trace`](trace()) and
//! a [`profile`](profile()).

mod chart;
mod heat;
mod html;
mod image;
mod profile;
mod report;
mod roofline;
mod text;
mod trace;

use std::io::{self, Write};
use std::path::Path;

use karenina::error::Result;

use crate::output::{Kind, is_standard_output, note, output_error, printable, write_file};
pub use profile::{figures, profile};
pub use report::{BYTES_PER_CHARACTER, report};
pub use trace::trace;

/// Writes `page` to the file that the user named, and says where it is and what was `found`.
///
/// * `is_taken`: whether standard output is for something else
pub fn write(path: &Path, page: &str, found: &str, is_taken: bool) -> Result<()> {
    write_file(path, Kind::Page, page.as_bytes())?;
    let line = format!("{}: {} kB, {found}", path.display(), page.len().div_ceil(1000));
    match is_taken || is_standard_output(path) {
        true => note(&line),
        false => writeln!(io::stdout(), "{}", printable(&line)).map_err(output_error)?,
    }
    Ok(())
}
