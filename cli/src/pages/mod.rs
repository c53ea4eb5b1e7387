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

pub use profile::profile;
pub use report::{BYTES_PER_CHARACTER, report};
pub use trace::trace;
