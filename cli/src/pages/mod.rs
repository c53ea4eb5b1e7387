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

const STYLE: &str = include_str!("style.css");

/// A whole page: `title` for the browser's window, `header` and `body` as HTML, all of it already escaped. The page's own policy
/// forbids it to load anything.
fn page(title: &str, header: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"generator\" content=\"karenina\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<header>\n{header}</header>\n{body}</main>\n\
         </body>\n</html>\n"
    )
}
