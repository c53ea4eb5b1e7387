//! The report in a real browser: headless Chromium, driven over WebDriver by chromedriver. Where they
//! are not installed the test is left out.
//!
//! `KARENINA_SCREENSHOTS` names a folder to leave screenshots in; `KARENINA_REPORT` a page to look at
//! instead of the test's own.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::command::left_out;
use crate::report_support::{report, run, run_folder};
use crate::webdriver::{Browser, Lent};
use serde_json::json;

const WIDTHS: [u32; 2] = [1280, 400];
const SCHEMES: [&str; 2] = ["light", "dark"];

#[test]
fn the_page_works_in_a_browser() {
    let folder = run_folder();
    run(&mut report(folder.path()));
    let page = env::var_os("KARENINA_REPORT")
        .map_or_else(|| folder.path().join("report.html"), PathBuf::from);
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    browser.open(&page);
    assert_eq!(
        browser.run("return [...document.querySelectorAll('section')].map(s => s.id).join(' ')"),
        "curves samples surprise cells gates flow"
    );
    the_pictures_have_arrived(&browser);
    the_arrow_keys_move_through_the_text(&browser);
    pointing_shows_a_character(&browser);
    nothing_is_cut_off_in_either_scheme(&browser);
    assert_eq!(browser.errors(), Vec::<String>::new());
}

fn the_pictures_have_arrived(browser: &Browser) {
    // Every heat map is a PNG that the browser could decode.
    let decoded = browser.run_async(
        "const done = arguments[0];
         const images = [...document.querySelectorAll('image')];
         Promise.all(images.map(image => {
             const probe = new Image();
             probe.src = image.getAttribute('href');
             return probe.decode().then(() => probe.naturalWidth > 1);
         })).then(all => done(all.length > 0 && all.every(Boolean)), error => done(String(error)));",
    );
    assert_eq!(decoded, true);
    let curves =
        browser.run("return document.querySelector('#curves path.line-1').getTotalLength() > 10");
    assert_eq!(curves, true);
}

fn the_arrow_keys_move_through_the_text(browser: &Browser) {
    browser.run("document.getElementById('text').focus()");
    let readout = || browser.run("return document.getElementById('readout').textContent");
    assert!(readout().as_str().unwrap().contains("read, not predicted"));
    browser.press("\u{e014}"); // ArrowRight
    let text = readout();
    let text = text.as_str().unwrap();
    assert!(text.contains("bits"), "{text}");
    assert_eq!(text.matches('%').count(), 5, "five alternatives: {text}");
    assert_eq!(browser.run("return document.querySelectorAll('#text .at').length"), 1);
    browser.press("\u{e015}"); // ArrowDown
    let moved = "const marks = [...document.getElementById('text').children];
                 const at = marks.findIndex(mark => mark.className.includes('at'));
                 return marks[at].offsetTop > marks[1].offsetTop && at > 1";
    assert_eq!(browser.run(moved), true);
    browser.press("\u{e011}"); // Home
    assert!(readout().as_str().unwrap().contains("read, not predicted"));
}

fn pointing_shows_a_character(browser: &Browser) {
    browser.point("#text i:nth-child(40)");
    let agrees = "const marks = document.getElementById('text').children;
                  return marks[39].classList.contains('at')
                      && document.querySelectorAll('#readout .guess').length === 5";
    assert_eq!(browser.run(agrees), true);
    // The text has characters that would turn the direction of the others, or are nothing to see.
    let read = browser.run(
        "const marks = [...document.getElementById('text').children];
         marks.find((mark) => mark.textContent.includes('202e')).dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
         return document.querySelector('#readout .read').textContent",
    );
    assert_eq!(read, "\\u{202e}");
}

fn nothing_is_cut_off_in_either_scheme(browser: &Browser) {
    let mut grounds = Vec::new();
    for scheme in SCHEMES {
        for width in WIDTHS {
            browser.show(width, scheme);
            let over = browser.run(
                "const width = document.documentElement.clientWidth;
                 return [...document.querySelectorAll('body *')]
                     .filter(e => e.getBoundingClientRect().right > width + 0.5)
                     .map(e => e.tagName + '.' + e.className).slice(0, 5)",
            );
            assert_eq!(over, json!([]), "beyond the right edge at {width} px");
            if let Some(folder) = env::var_os("KARENINA_SCREENSHOTS") {
                let file = Path::new(&folder).join(format!("report-{width}-{scheme}.png"));
                fs::write(file, browser.screenshot(width)).unwrap();
            }
        }
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1], "light and dark");
}
