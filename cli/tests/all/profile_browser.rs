//! The page of `karenina profile --html` in a real browser. Where there is none the test is left out.
//!
//! `KARENINA_SCREENSHOTS` names a folder to leave screenshots in.

use std::env;
use std::fs;
use std::path::Path;

use crate::command::left_out;
use crate::profile::FILES;
use crate::webdriver::{Browser, Lent};
use serde_json::json;

#[test]
fn the_page_of_a_profile_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    let page = folder.path().join("page.html");
    fs::write(&page, &FILES.page).unwrap();
    browser.open(&page);
    let sections = "return [...document.querySelectorAll('section')].map(s => s.id).join(' ')";
    assert_eq!(browser.run(sections), "roofline time phases machine");
    assert_eq!(browser.run("return document.querySelectorAll('.roofline circle').length"), 7);
    assert_eq!(browser.run("return document.querySelectorAll('.roofline .roof').length"), 3);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        for width in [1280, 400] {
            browser.show(width, scheme);
            no_label_is_on_another(&browser);
            nothing_is_cut_off(&browser, width);
            if let Some(folder) = env::var_os("KARENINA_SCREENSHOTS") {
                let file = Path::new(&folder).join(format!("profile-{width}-{scheme}.png"));
                fs::write(file, browser.screenshot(width)).unwrap();
            }
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1], "light and dark");
    assert_eq!(browser.errors(), Vec::<String>::new());
}

/// The names on the slopes lie across, so that the boxes around them say nothing.
fn no_label_is_on_another(browser: &Browser) {
    let pairs = browser.run(
        "const found = [];
         for (const svg of document.querySelectorAll('svg')) {
             const labels = [...svg.querySelectorAll('text:not([transform])')]
                 .map(text => [text.textContent, text.getBoundingClientRect()]);
             labels.forEach(([a, p], n) => labels.slice(n + 1).forEach(([b, q]) => {
                 const apart = p.right <= q.left || q.right <= p.left || p.bottom <= q.top || q.bottom <= p.top;
                 if (!apart) found.push(a + ' on ' + b);
             }));
         }
         return found",
    );
    assert_eq!(pairs, json!([]));
}

/// The page itself fits, what is wider scrolls in its own frame, and no picture's text leaves the picture.
fn nothing_is_cut_off(browser: &Browser, width: u32) {
    let over = browser.run(
        "const width = document.documentElement.clientWidth;
         const wide = [...document.querySelectorAll('body *')]
             .filter(e => !e.closest('.scroll > *') && e.getBoundingClientRect().right > width + 0.5);
         const outside = [...document.querySelectorAll('svg text')].filter(text => {
             const [t, s] = [text, text.closest('svg')].map(e => e.getBoundingClientRect());
             return t.right > s.right + 0.5 || t.left < s.left - 0.5 || t.top < s.top - 0.5 || t.bottom > s.bottom + 0.5;
         });
         return wide.concat(outside).map(e => e.tagName + ' ' + e.textContent).slice(0, 5)",
    );
    assert_eq!(over, json!([]), "at {width} px");
}
