//! The page's files, inside the binary.

/// The report's style, and what only the lab has.
const STYLE: &str = concat!(include_str!("../pages/style.css"), include_str!("page/style.css"));

/// The file called `name` and its type.
pub fn file(name: &str) -> Option<(&'static str, &'static str)> {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    Some(match name {
        "" => (include_str!("page/index.html"), "text/html; charset=utf-8"),
        "style.css" => (STYLE, "text/css; charset=utf-8"),
        "lab.js" => (include_str!("page/lab.js"), SCRIPT),
        "state.js" => (include_str!("page/state.js"), SCRIPT),
        "dom.js" => (include_str!("page/dom.js"), SCRIPT),
        "chart.js" => (include_str!("page/chart.js"), SCRIPT),
        "derivation.js" => (include_str!("page/derivation.js"), SCRIPT),
        "network.js" => (include_str!("page/network.js"), SCRIPT),
        "passage.js" => (include_str!("page/passage.js"), SCRIPT),
        "step.js" => (include_str!("page/step.js"), SCRIPT),
        "networks.js" => (include_str!("page/networks.js"), SCRIPT),
        "nudge.js" => (include_str!("page/nudge.js"), SCRIPT),
        "reach.js" => (include_str!("page/reach.js"), SCRIPT),
        "write.js" => (include_str!("page/write.js"), SCRIPT),
        "cells.js" => (include_str!("page/cells.js"), SCRIPT),
        "watch.js" => (include_str!("page/watch.js"), SCRIPT),
        _ => return None,
    })
}
