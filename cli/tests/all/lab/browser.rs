//! The six parts in a real browser, used as a reader would use them. Where Chromium and chromedriver are not installed
//! the tests are left out.
//!
//! `KARENINA_SCREENSHOTS` names a folder to leave pictures of every part in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use karenina::sample::Picker;
use karenina::study::lab::{Draw, Quantity, Reader, Walk, Weight};
use karenina::study::trace::{Equation, Spot};
use karenina::train::LogRow;
use karenina::train::run::load_best;
use serde_json::json;

use super::support::{Server, agree, walk};
use crate::command::{karenina, left_out};
use crate::report_support::run_folder;
use crate::webdriver::Lent;

const TEXT: &str = "The lay (the 3rd time) & said it's over";
const PARTS: [&str; 6] = ["step", "nudge", "reach", "write", "cells", "watch"];
const LEFT: &str = "\u{e012}";
const UP: &str = "\u{e013}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const HOME: &str = "\u{e011}";

/// A page of a lab in a browser.
pub struct Page {
    pub browser: Lent,
    pub lab: Server,
    pub run: PathBuf,
}

impl Page {
    /// Waits until every answer has come that the page waits for.
    pub fn settle(&self) {
        self.until("return !document.body.classList.contains('busy') && document.querySelector('[role=tabpanel]') !== null");
    }

    pub fn until(&self, script: &str) {
        let start = Instant::now();
        while self.browser.run(script) != true {
            assert!(start.elapsed() < Duration::from_secs(120), "never: {script}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn open(&self, spot: &str) {
        self.browser.visit("about:blank");
        self.browser.visit(&format!("{}#{spot}", self.lab.address));
        self.settle();
    }

    /// Types a text to be looked at.
    fn type_text(&self, text: &str) {
        self.browser.fill("#input", text);
        let state = "new URLSearchParams(location.hash.slice(1)).get('text')";
        self.until(&format!("return {state} === {text:?}"));
        self.settle();
    }

    pub fn press(&self, key: &str) {
        self.browser.press(key);
        self.settle();
    }

    pub fn click(&self, selector: &str) {
        self.browser.click(selector);
        self.settle();
    }

    pub fn text(&self, selector: &str) -> String {
        let script =
            format!("return document.querySelector({selector:?})?.textContent ?? 'nothing'");
        self.browser.run(&script).as_str().unwrap().to_string()
    }

    /// A number as it stands on the page, in the element that `selector` finds.
    pub fn number(&self, selector: &str) -> f64 {
        let text = self.text(selector);
        text.replace('−', "-").parse().unwrap_or_else(|_| panic!("{selector}: {text:?}"))
    }

    /// What stands in the address.
    pub fn state(&self, key: &str) -> Option<String> {
        let script = format!("return new URLSearchParams(location.hash.slice(1)).get({key:?})");
        self.browser.run(&script).as_str().map(String::from)
    }

    pub fn count(&self, key: &str) -> usize {
        self.state(key).map_or(0, |value| value.parse().unwrap())
    }

    fn walk(&self, text: &str) -> Walk {
        walk(&self.run, text)
    }
}

pub fn page() -> Option<(tempfile::TempDir, Page)> {
    let folder = run_folder();
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return None;
    };
    let lab = Server::start(folder.path(), "text.txt --run checkpoints");
    let run = folder.path().join("checkpoints");
    Some((folder, Page { browser, lab, run }))
}

#[test]
fn every_part_works_in_a_browser_and_shows_the_engine_s_numbers() {
    let Some((_folder, page)) = page() else { return };
    page.open("");
    page.type_text(TEXT);
    step(&page);
    nudge(&page);
    reach(&page);
    write(&page);
    cells(&page);
    watch(&page);
    nothing_is_cut_off(&page);
    assert_eq!(page.browser.errors(), Vec::<String>::new());
    let requests = page.browser.requests();
    // The browser's own start page is no part of this.
    let is_own = |address: &&String| {
        let starts = [page.lab.address.as_str(), "about:", "data:", "chrome://"];
        starts.iter().any(|start| address.starts_with(start))
    };
    let foreign: Vec<_> = requests.iter().filter(|address| !is_own(address)).collect();
    assert!(requests.len() > 30 && foreign.is_empty(), "{foreign:?}");
    a_mistake_gets_a_sentence(&page);
    let said = page.lab.end();
    assert!(!said.contains("panicked"), "{said}");
}

/// Types a text, walks forward, turns round at the end, and goes back twenty times.
fn step(page: &Page) {
    page.browser.run("document.getElementById('network-picture').focus()");
    let engine = page.walk(TEXT);
    assert!(agree(page.number("#loss .number"), engine.loss()));
    for _ in 0..3 {
        page.press(RIGHT);
        the_equation_is_the_engine_s(page, &engine);
    }
    assert_eq!(
        page.browser.run("return document.querySelectorAll('.edge.lit').length"),
        2,
        "F1 reads two edges"
    );
    page.browser.press_with_shift(RIGHT);
    page.settle();
    page.press(UP);
    the_equation_is_the_engine_s(page, &engine);
    page.click("[aria-label='Last equation']");
    page.browser.run("document.getElementById('network-picture').focus()");
    let mut seen = Vec::new();
    for _ in 0..20 {
        page.press(LEFT);
        seen.push(the_equation_is_the_engine_s(page, &engine));
    }
    seen.dedup();
    assert!(seen.len() > 10 && seen.contains(&"B12".into()), "{seen:?}");
    page.browser.fill("#unit-number", &format!("5{ENTER}"));
    page.settle();
    the_equation_is_the_engine_s(page, &engine);
    let (step, layer) = (page.count("step"), page.count("place"));
    for (name, quantity) in [("c", Quantity::C), ("dh", Quantity::Dh), ("dz_g", Quantity::DzG)] {
        let expected = engine.values(layer, quantity, 5..6, step..step + 1).unwrap()[0][0];
        let found = page.number(&format!("#unit-values [data-name={name}]"));
        assert!(agree(found, expected), "{name}: {found} is not {expected}");
    }
    let before = page.text("#where");
    page.click("#now .label");
    page.until("return !document.getElementById('derivation').hidden");
    assert!(page.text("#derivation").contains("Differentiates"), "{}", page.text("#derivation"));
    page.press("\u{e00c}"); // Escape
    assert_eq!(page.browser.run("return document.getElementById('derivation').hidden"), true);
    assert_eq!(page.browser.run("return document.activeElement === document.body"), false);

    // The address leads another reader to the same spot.
    let spot = page.browser.run("return location.hash.slice(1)").as_str().unwrap().to_string();
    page.open(&spot);
    assert_eq!(page.text("#where"), before);
    page.click("#strips rect:nth-of-type(2)");
    assert_ne!(page.text("#where"), before);
    // What was clicked is drawn anew; the keys go on from there.
    page.click("#equations li:nth-child(2) .plain");
    assert_eq!(page.count("eq"), 1);
    page.press(RIGHT);
    assert_eq!(page.count("eq"), 2);
}

/// Compares the equation that is lit with the engine's, and returns its label.
fn the_equation_is_the_engine_s(page: &Page, engine: &Walk) -> String {
    let [step, place, unit, nth] = ["step", "place", "unit", "eq"]
        .map(|key| page.state(key).map_or(0, |value| value.parse::<i64>().unwrap()));
    let is_backward = page.state("phase").is_some_and(|phase| phase == "backward");
    let layers = engine.sizes().layers;
    let (place, is_output) = (place as usize, place as usize == layers);
    let spot = Spot { step: step as usize, layer: place.min(layers - 1), unit: unit as usize };
    let is_here = |equation: &Equation| {
        let number: u32 = equation.label[1..].parse().unwrap();
        let of_output = if is_backward { number <= 4 } else { (9..=11).contains(&number) };
        equation.label.starts_with(if is_backward { 'B' } else { 'F' }) && of_output == is_output
    };
    let mut here = engine.equations(spot).unwrap();
    here.retain(is_here);
    let equation = if nth < 0 { &here[here.len() - 1] } else { &here[nth as usize] };
    assert_eq!(page.text("#now .label"), equation.label);
    assert_eq!(page.text("#now .numbers"), format!("= {}", equation.numbers));
    assert!(agree(page.number("#now .number"), equation.value), "{equation:?}");
    equation.label.into()
}

/// Names a weight, moves it with the slider, and finds loss, line and difference.
fn nudge(page: &Page) {
    page.click("#tab-nudge");
    page.browser.fill("#weight-name", &format!("w_hh_l1[3,7]{ENTER}"));
    page.settle();
    page.browser.run("document.getElementById('epsilon').focus()");
    (0..5).for_each(|_| page.press(RIGHT));
    let engine = page.walk(TEXT);
    let weight = Weight { tensor: "w_hh_l1".into(), row: 3, column: 7 };
    let slope = engine.slope(&weight).unwrap();
    let epsilon: f64 = page.state("epsilon").unwrap().parse().unwrap();
    assert!(agree(epsilon, 0.05), "{epsilon}");
    let nudge = engine.nudges(&weight, &[epsilon]).unwrap()[0];
    for (name, expected) in [
        ("weight", slope.weight),
        ("gradient", slope.gradient),
        ("loss", slope.loss),
        ("moved", nudge.loss),
        ("line", nudge.line),
        ("difference", nudge.difference),
    ] {
        let found = page.number(&format!("#nudge-values [data-name={name}]"));
        assert!(agree(found, expected), "{name}: {found} is not {expected}");
    }
    assert_eq!(
        page.browser.run("return document.querySelectorAll('#panel-nudge svg.chart').length"),
        2
    );
    let central = page.number("#panel-nudge [data-name=central]");
    assert!((central - slope.gradient).abs() < 1e-6 * slope.gradient.abs(), "{central}");
    page.browser.run("document.getElementById('matrix').focus()");
    page.press(DOWN);
    assert_eq!(page.count("row"), 4);
    page.click("#matrix");
    assert_ne!(page.count("row"), 4, "a click chooses another weight");
}

/// Clicks a character and compares two checkpoints.
fn reach(page: &Page) {
    page.click("#tab-reach");
    page.click("#panel-reach .passage i:nth-child(16)");
    page.browser.fill("#window", &format!("6{ENTER}"));
    page.settle();
    let expected = page.walk(TEXT).reach(15, 6).unwrap();
    assert_eq!(page.number("#reach-what [data-name=first]"), 12.0);
    assert!(agree(page.number("#reach-what [data-name=bits]"), expected.bits));
    for (l, layer) in expected.layers.iter().enumerate() {
        for (name, cut) in [("dh", layer.dh_cut), ("dc", layer.dc_cut)] {
            let found = page.number(&format!("#cut [data-name={name}-cut-0-{l}]"));
            assert!(cut > 0.0 && agree(found, cut), "{found} is not {cut}");
        }
    }
    page.press(TAB);
    page.click("#net2 option[value='0:1']");
    assert_eq!(
        page.browser.run("return document.querySelectorAll('#panel-reach svg.chart').length"),
        2
    );
    page.browser.run("document.querySelector('#panel-reach .passage').focus()");
    page.press(LEFT);
    assert_eq!(page.count("at"), 14);
}

/// Writes some characters, stops, goes back to one and takes another.
fn write(page: &Page) {
    page.click("#tab-write");
    let (text, next) = written(page, 6);
    let thrice = "for (let n = 0; n < 3; n++) document.getElementById('one-more').click()";
    page.browser.run(thrice); // sooner than the answers come
    (0..3).for_each(|_| page.click("#one-more"));
    page.until("return document.querySelectorAll('#panel-write .written').length === 6");
    page.settle(); // the bars come after the last character
    assert_eq!(page.text("#panel-write .passage").replace("⏎\n", "\n"), text);
    assert!(agree(page.number("#bars li:first-child .number"), next), "{}", page.text("#bars"));
    page.browser.click("#go"); // it does not settle while it writes
    page.until("return document.querySelectorAll('#panel-write .written').length > 12");
    page.browser.click("#go");
    page.until("return document.getElementById('go').textContent === 'Write'");
    page.settle();
    let place = TEXT.chars().count() + 3;
    page.click(&format!("#panel-write .passage i:nth-child({place})"));
    page.until(
        "return document.getElementById('write-what').textContent.includes('the candidates were')",
    );
    page.click("#bars li:nth-child(3) button");
    let length = page.browser.run("return [...document.getElementById('input').value].length");
    assert_eq!(length, place, "up to the one that was taken");
    page.type_text(TEXT);
}

/// What the engine writes after [`TEXT`], all of the text, and the probability of the likeliest character after it.
fn written(page: &Page, count: usize) -> (String, f64) {
    let checkpoint = load_best(&page.run).unwrap().checkpoint;
    let vocabulary = checkpoint.vocabulary;
    let parameters = checkpoint.parameters.cast();
    let mut reader = Reader::empty(&parameters);
    let draw = Draw { picker: Picker::default(), seed: 1, drawn: 0 };
    let written = reader.go_on(&parameters, &vocabulary.encode(TEXT).unwrap(), count, draw);
    let text: String = written.iter().map(|w| vocabulary.character(w.id)).collect();
    (format!("{TEXT}{text}"), reader.next(Picker::default())[0].probability)
}

/// Selects a span with the keyboard and colours the text by the first cell.
fn cells(page: &Page) {
    page.click("#tab-cells");
    page.browser.run("document.querySelector('#panel-cells .passage').focus()");
    page.press(HOME);
    (0..8).for_each(|_| page.press(RIGHT));
    for _ in 0..3 {
        page.browser.press_with_shift(LEFT);
        page.settle();
    }
    assert_eq!((page.count("from"), page.count("to")), (5, 9));
    page.press(HOME);
    (0..3).for_each(|_| page.press(RIGHT));
    for _ in 0..4 {
        page.browser.press_with_shift(RIGHT);
        page.settle();
    }
    assert_eq!((page.count("from"), page.count("to")), (3, 8));
    let expected = page.walk(TEXT).contrast(3..8, 20).unwrap();
    for (n, cell) in expected.cells.iter().enumerate().take(3) {
        let row = format!("#contrast tbody tr:nth-child({})", n + 1);
        assert_eq!(page.number(&format!("{row} button")), cell.unit as f64);
        for (name, value) in [("inside", cell.inside), ("difference", cell.difference)] {
            assert!(agree(page.number(&format!("{row} [data-name={name}]")), value), "{cell:?}");
        }
    }
    let found = page.number("#similar li:first-child .number");
    assert!(agree(found, expected.similar[0].correlation), "{found}");
    page.click("#contrast tbody tr:nth-child(2) button");
    assert_eq!(page.count("cellUnit"), expected.cells[1].unit);
    page.click("#similar li:first-child button");
    assert_eq!(page.count("from"), expected.similar[0].from);
}

fn watch(page: &Page) {
    page.click("#tab-watch");
    let log = LogRow::read_table(&page.run.join("log.csv")).unwrap();
    assert_eq!(page.number("#progress [data-name=step]"), 4.0);
    let loss = log.iter().map(|row| row.loss).sum::<f64>() / 4.0;
    assert!(agree(page.number("#progress [data-name=loss]"), loss));
    assert_eq!(page.text("#progress .state"), "finished");
    page.until("return document.querySelectorAll('#panel-watch .sample').length === 5");
    assert!(page.text("#events").contains("the best so far"));
}

/// In no part, at no width, in neither scheme.
fn nothing_is_cut_off(page: &Page) {
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        for (part, width) in PARTS.iter().flat_map(|part| [(part, 1600), (part, 400)]) {
            page.click(&format!("#tab-{part}"));
            page.browser.show(width, scheme);
            page.settle();
            let over = page.browser.run(
                "const width = document.documentElement.clientWidth;
                 return [...document.querySelectorAll('main *')]
                     .filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > width + 0.5)
                     .map(e => e.tagName + '.' + e.id).slice(0, 5)",
            );
            assert_eq!(over, json!([]), "{part} at {width} px");
            if let Some(folder) = env::var_os("KARENINA_SCREENSHOTS") {
                let file = Path::new(&folder).join(format!("lab-{part}-{width}-{scheme}.png"));
                fs::write(file, page.browser.screenshot(width)).unwrap();
            }
        }
        grounds.push(page.browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1], "light and dark");
}

fn a_mistake_gets_a_sentence(page: &Page) {
    page.click("#tab-step");
    page.browser.fill("#input", "Ж");
    page.until("return !document.getElementById('message').hidden");
    assert!(page.text("#message").contains('Ж'), "{}", page.text("#message"));
    page.browser.fill("#input", "The");
    page.until("return document.getElementById('message').hidden");
}

/// With the keyboard alone: into every part, and into what it holds, with the focus always to be seen.
#[test]
fn the_keyboard_alone_reaches_everything() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    page.press(TAB);
    let focused =
        || page.browser.run("return document.activeElement.id").as_str().unwrap().to_string();
    assert_eq!(focused(), "tab-step");
    for part in PARTS.iter().cycle().skip(1).take(PARTS.len()) {
        page.press(RIGHT);
        assert_eq!(focused(), format!("tab-{part}"));
        assert_eq!(
            page.browser.run(&format!("return document.getElementById('panel-{part}').hidden")),
            false
        );
    }
    let mut reached = Vec::new();
    for _ in 0..40 {
        page.press(TAB);
        let outline = "const style = getComputedStyle(document.activeElement);
                       return document.activeElement === document.body || style.outlineStyle !== 'none'";
        assert_eq!(page.browser.run(outline), true, "{} shows no focus", focused());
        reached.push(focused());
    }
    for id in [
        "network",
        "excerpt",
        "input",
        "ahead",
        "turn",
        "step-number",
        "place",
        "unit-number",
        "network-picture",
    ] {
        assert!(reached.contains(&id.into()), "{id} is not among {reached:?}");
    }
    let unnamed = "return [...document.querySelectorAll('button, input, select, textarea, [tabindex=\"0\"], canvas, svg.chart')]
        .filter(e => e.checkVisibility() && !e.getAttribute('aria-label') && !e.labels?.length && !e.textContent.trim())
        .map(e => e.outerHTML.slice(0, 80))";
    for part in PARTS {
        page.click(&format!("#tab-{part}"));
        assert_eq!(page.browser.run(unnamed), json!([]), "{part}: without a name");
    }
}

/// A run that goes on while it is watched, to its end.
#[test]
fn a_live_run_is_watched_to_its_end() {
    let folder = run_folder();
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    let arguments = "train text.txt --run live --hidden 24 --layers 1 --batch 4 --unroll 20 --steps 400 --epochs 100 \
                     --save-every 100 --no-samples --threads 1 --quiet";
    let mut training = karenina(folder.path(), arguments.split_whitespace()).spawn().unwrap();
    let start = Instant::now();
    while !folder.path().join("live/log.csv").exists() {
        assert!(start.elapsed() < Duration::from_secs(30), "no run");
        std::thread::sleep(Duration::from_millis(10));
    }
    let lab = Server::start(folder.path(), "text.txt --run live --run checkpoints");
    let page = Page { browser, lab, run: folder.path().join("live") };
    page.open("tab=watch&runs=0");
    page.until("return document.querySelector('#progress .state')?.textContent === 'finished'");
    assert!(training.wait().unwrap().success());
    let log = LogRow::read_table(&page.run.join("log.csv")).unwrap();
    assert_eq!(page.number("#progress [data-name=step]"), log.len() as f64);
    let recent = &log[log.len() - 20..];
    let loss = recent.iter().map(|row| row.loss).sum::<f64>() / 20.0;
    assert!(agree(page.number("#progress [data-name=loss]"), loss));
    page.click("#run-1");
    page.until("return document.querySelectorAll('#progress tbody tr').length === 2");
    assert_eq!(page.browser.errors(), Vec::<String>::new());
}
