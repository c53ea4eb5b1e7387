//! The page where answers come late or not at all, where addresses lead back, and where numbers lie close together.

use std::fs;

use serde_json::json;

use super::browser::{Page, page};
use super::support::Server;
use crate::command::{left_out, succeed, with_text};
use crate::webdriver::Lent;

const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";
const ENTER: &str = "\u{e007}";

/// Keeps the requests whose body contains `window.late` until `release` is called; `asked` is what was asked.
const WAY: &str = "
    const send = window.fetch;
    [window.asked, window.held] = [[], []];
    window.fetch = async (path, init) => {
        window.asked.push({ path, body: init?.body, signal: init?.signal });
        if (window.late && init?.body?.includes(window.late)) await new Promise((go) => window.held.push(go));
        return send(path, init);
    };
    window.release = () => { window.late = null; window.held.forEach((go) => go()); };";

impl Page {
    /// Keeps back all that is asked about texts with these words.
    fn keep_back(&self, words: &str) {
        self.browser.run(&format!("{WAY} window.late = {words:?}"));
    }

    /// Lets the page look at its runs twenty times a second, once it looks at all.
    fn look_often(&self) {
        self.browser.run(
            "const later = window.setTimeout;
             window.setTimeout = (work, pause, ...more) => later(work, pause === 2000 ? 50 : pause, ...more)",
        );
    }

    fn is_message_hidden(&self) -> bool {
        self.browser.run("return document.getElementById('message').hidden") == true
    }

    fn value(&self, id: &str) -> String {
        let value = self.browser.run(&format!("return document.getElementById({id:?}).value"));
        value.as_str().unwrap().into()
    }

    /// The numbers at the y axis of a chart of these points.
    fn labels(&self, points: &str, options: &str) -> Vec<String> {
        let labels = self.browser.run_async(&format!(
            "const done = arguments[0];
             import(new URL('chart.js', document.baseURI)).then(({{ chart }}) => {{
                 const drawn = chart([{{ name: 'a', class: 'line-1', points: {points} }}], {{ title: 't', x: 'x', {options} }});
                 done([...drawn.querySelectorAll('text.end')].map((text) => text.textContent));
             }}).catch((error) => done([String(error)]));"
        ));
        serde_json::from_value(labels).unwrap()
    }
}

#[test]
fn the_way_back_leads_to_the_text_of_the_start() {
    let Some((_folder, page)) = page() else { return };
    page.open("");
    let text = page.value("input");
    assert!(text.len() > 10, "{text:?}");
    page.click("#tab-reach");
    page.browser.run("history.back()");
    page.until(
        "return document.getElementById('tab-step').getAttribute('aria-selected') === 'true'",
    );
    page.settle();
    assert_eq!(page.value("input"), text);
    // An address that says nothing of a text.
    page.browser.run("location.hash = 'tab=cells'");
    page.until(
        "return document.getElementById('tab-cells').getAttribute('aria-selected') === 'true'",
    );
    page.settle();
    assert_eq!(page.value("input"), text);
}

#[test]
fn an_answer_that_comes_late_hides_no_newer_mistake() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    page.keep_back("dog");
    page.browser.fill("#input", "The dog");
    page.until("return window.held.length > 0");
    page.browser.fill("#input", "Ж");
    page.until("return !document.getElementById('message').hidden");
    let called_off =
        "return window.asked.find(({ body }) => body?.includes('dog')).signal?.aborted ?? false";
    assert_eq!(page.browser.run(called_off), true, "nobody waits for the first text any more");
    page.browser.run("release()");
    page.settle();
    assert!(!page.is_message_hidden(), "the text has a character that the network does not know");
    assert!(page.text("#message").contains('Ж'), "{}", page.text("#message"));
}

#[test]
fn a_text_that_has_not_come_is_not_drawn_with_the_numbers_of_another() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    page.keep_back("dog\"}"); // as the question about the whole text ends
    page.browser.fill("#input", "The dog");
    page.until("return window.held.length > 0");
    let before = page.browser.run("return window.asked.length").as_u64();
    page.browser.show(500, "light");
    page.until(&format!("return window.asked.length > {}", before.unwrap()));
    let asked =
        "return window.asked.filter(({ body }) => body?.includes('dog')).map(({ path }) => path)";
    assert_eq!(page.browser.run(asked), json!(["api/walk"]));
    page.browser.run("release()");
    page.settle();
    assert!(page.is_message_hidden());
}

#[test]
fn a_browser_that_refuses_an_address_shows_the_spot_all_the_same() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    page.browser.run(
        "history.replaceState = () => { throw new DOMException('too often', 'SecurityError'); };
         document.getElementById('network-picture').focus()",
    );
    let before = page.text("#where");
    page.press(RIGHT);
    assert_ne!(page.text("#where"), before);
    page.browser.run("delete history.replaceState");
    page.until("return location.hash.includes('eq=1')");
}

#[test]
fn every_axis_has_numbers_that_differ() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    for (points, options) in [
        ("[[0, 2.1], [1, 4.9]]", "logY: true"), // no 1, 2 or 5 between
        ("[[0, 2.51], [1, 2.54]]", "logY: true"),
        ("[[0, -1e-9], [1, 3e-9]]", ""),
        ("[[0, 1.02e-9], [1, 1.06e-9]]", ""),
        ("[[0, 0], [1, 1e9]]", ""),
    ] {
        let labels = page.labels(points, options);
        let mut distinct = labels.clone();
        distinct.dedup();
        assert!(labels.len() > 1 && labels == distinct, "{points}: {labels:?}");
        assert!(labels.iter().all(|label| label.chars().count() < 9), "{labels:?}");
    }
    page.open("tab=nudge&text=The+said&range=0.001&tensor=b_l0");
    let cut = "return [...document.querySelectorAll('#panel-nudge svg.chart text.end')].filter((text) => text.getBBox().x < 0).length";
    assert_eq!(page.browser.run(cut), 0);
    let labels = "return [...document.querySelector('#panel-nudge svg.chart').querySelectorAll('text.end')].map((text) => text.textContent)";
    let labels: Vec<String> = serde_json::from_value(page.browser.run(labels)).unwrap();
    let mut distinct = labels.clone();
    distinct.dedup();
    assert!(labels.len() > 1 && labels == distinct, "{labels:?}");
}

#[test]
fn the_page_forgets_a_run_that_was_overwritten() {
    let folder = with_text();
    let train = |seed: &str| {
        let words = "train text --preset quick --hidden 4 --batch 2 --unroll 8 --steps 2 --no-samples --seed";
        succeed(folder.path(), &format!("{words} {seed}"));
    };
    train("1");
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    let lab = Server::start(folder.path(), "text --run checkpoints");
    let page = Page { browser, lab, run: folder.path().join("checkpoints") };
    page.open("net=0:2&text=abc");
    let before = page.number("#now .number");
    train("2 --overwrite");
    page.browser.run("const now = Date.now; Date.now = () => now() + 60000");
    page.click("#ahead");
    page.click("#back");
    assert_ne!(page.number("#now .number"), before);
}

#[test]
fn runs_and_layers_can_be_told_apart() {
    let folder = with_text();
    let train = "train text --preset quick --hidden 4 --layers 3 --batch 2 --unroll 8 --steps 2 --no-samples --run";
    for run in ["a/checkpoints", "b/checkpoints", "c"] {
        succeed(folder.path(), &format!("{train} {run}"));
    }
    let lab = Server::start(folder.path(), "text --run a/checkpoints --run b/checkpoints --run c");
    let runs = lab.ask("watch", &json!({"runs": [0, 1, 2]}));
    let names: Vec<_> = runs.as_array().unwrap().iter().map(|run| run["name"].as_str()).collect();
    assert_eq!(names, [Some("a/checkpoints"), Some("b/checkpoints"), Some("c")]);
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    let page = Page { browser, lab, run: folder.path().join("c") };
    page.open("tab=watch&runs=0");
    page.until("return document.querySelector('#panel-watch section figure') !== null");
    let classes = "return new Set([...document.querySelectorAll('#panel-watch section figure path:not(.grid)')].map((path) => path.getAttribute('class'))).size";
    assert_eq!(page.browser.run(classes), 4, "three layers and the projection");
}

#[test]
fn a_sample_that_cannot_be_had_is_asked_for_once() {
    let Some((_folder, page)) = page() else { return };
    page.open("text=The+said");
    page.browser.run(&format!(
        "{WAY} const rest = window.fetch;
         window.fetch = (path, init) => rest(path, init).then((answer) =>
             path === 'api/glance' ? Response.json({{ error: 'no' }}, {{ status: 503 }}) : answer)"
    ));
    page.look_often();
    page.click("#tab-watch");
    let asked = |name: &str| format!("asked.filter(({{ path }}) => path === 'api/{name}').length");
    page.until(&format!("return {} === 5", asked("glance")));
    page.browser.run(&format!("window.before = {}", asked("watch")));
    page.until(&format!("return {} > before + 2", asked("watch")));
    assert_eq!(page.browser.run(&format!("return {}", asked("glance"))), 5);
    assert_eq!(page.text("#panel-watch .samples"), "no", "it is said why");
}

#[test]
fn samples_go_with_their_checkpoints() {
    let Some((folder, page)) = page() else { return };
    page.open("text=The+said");
    page.look_often();
    page.click("#tab-watch");
    let samples = "return document.querySelectorAll('#panel-watch .sample').length";
    page.until(&format!("{samples} === 5"));
    for file in fs::read_dir(folder.path().join("checkpoints")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ckpt") {
            fs::remove_file(path).unwrap();
        }
    }
    page.until(&format!("{samples} === 0"));
}

#[test]
fn what_goes_wrong_as_a_tab_is_opened_is_said() {
    let Some((_folder, page)) = page() else { return };
    page.open("tab=reach&text=The+said");
    page.browser.run(
        "const rest = window.fetch;
         window.fetch = (path, init) => path === 'api/map' ? Promise.resolve(Response.json({ error: 'no' }, { status: 503 })) : rest(path, init)",
    );
    page.click("#tab-step");
    page.until("return document.getElementById('message').textContent === 'no'");
    page.settle();
    assert!(!page.is_message_hidden());
}

#[test]
fn the_lists_of_networks_follow_a_run() {
    let Some((folder, page)) = page() else { return };
    page.open("text=The+said");
    let run = folder.path().join("checkpoints");
    let saved = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name());
    let saved = saved.map(|name| name.into_string().unwrap()).find(|name| name.starts_with("i4_"));
    let saved = saved.unwrap();
    let gone = saved.replace("i4_", "i5_");
    fs::copy(run.join(&saved), run.join(&gone)).unwrap();
    for list in ["network", "net2"] {
        page.click("#tab-reach");
        page.browser.run(&format!("document.getElementById({list:?}).focus()"));
        page.until(&format!(
            "return document.querySelector(\"#{list} option[value='0:5']\") !== null"
        ));
    }
    page.open("tab=reach&text=The+said&net=0:5&net2=0:5");
    fs::remove_file(run.join(gone)).unwrap();
    for list in ["network", "net2"] {
        page.browser.run(&format!("document.getElementById({list:?}).focus()"));
        page.until(&format!(
            "return document.querySelector(\"#{list} option[value='0:5']\") === null"
        ));
        assert_eq!(page.value(list), "", "no other network is shown as the chosen one");
        let index = format!("return document.getElementById({list:?}).selectedIndex");
        assert_eq!(page.browser.run(&index), -1);
    }
}

#[test]
fn keys_scroll_what_they_are_pressed_in() {
    let Some((_folder, page)) = page() else { return };
    page.open(&format!("text={}", "The+said+".repeat(15)));
    page.click("#now .label");
    page.until("return !document.getElementById('derivation').hidden");
    page.press(DOWN);
    page.press(RIGHT);
    assert_eq!((page.count("place"), page.count("eq")), (0, 0), "the derivation has the focus");
    page.browser.show(400, "light");
    page.browser.run("document.getElementById('map').focus()");
    page.click("#turn");
    page.click("[aria-label='Last equation']");
    page.browser.fill("#step-number", &format!("130{ENTER}"));
    page.settle();
    let is_seen =
        "const { scrollLeft, clientWidth } = document.getElementById('map').parentElement;
                   return scrollLeft <= 130 * 9 && 131 * 9 <= scrollLeft + clientWidth";
    assert_eq!(page.browser.run(is_seen), true, "the map shows the step");
    let scrolled = "return document.getElementById('map').parentElement.scrollLeft";
    page.browser.run("document.getElementById('map').parentElement.scrollLeft = 0");
    page.browser.fill("#unit-number", &format!("3{ENTER}"));
    page.settle();
    assert_eq!((page.count("unit"), page.browser.run(scrolled)), (3, 0.into()), "it stays there");
}

#[test]
fn a_weight_that_is_not_there_is_not_taken_for_another() {
    let Some((_folder, page)) = page() else { return };
    page.open("tab=nudge&text=The+said");
    let is_valid =
        || page.browser.run("return document.getElementById('weight-name').validity.valid");
    for wrong in ["w_hh_l0[999,999]", "w_hh_l0[5]"] {
        page.browser.fill("#weight-name", &format!("{wrong}{ENTER}"));
        page.settle();
        assert_eq!((is_valid(), page.state("column")), (false.into(), None), "{wrong}");
    }
    page.browser.fill("#column", &format!("7{ENTER}"));
    page.settle();
    assert_eq!((is_valid(), page.count("column")), (true.into(), 7));
    for (right, column) in [("w_hh_l0[1,47]", 47), ("b_l0[5]", 5)] {
        page.browser.fill("#weight-name", &format!("{right}{ENTER}"));
        page.settle();
        assert_eq!((is_valid(), page.count("column")), (true.into(), column), "{right}");
    }
}

#[test]
fn a_curve_has_the_dot_of_its_own_weight() {
    let Some((_folder, page)) = page() else { return };
    page.open("tab=nudge&text=The+said&epsilon=0.5");
    let dots = "return document.querySelectorAll('#panel-nudge .ahead').length";
    assert_eq!(page.browser.run(dots), 1);
    page.keep_back("\"epsilons\":[0]");
    page.browser.run("document.querySelector('#panel-nudge svg.chart').classList.add('before')");
    page.browser.fill("#column", &format!("7{ENTER}"));
    page.until("return document.querySelector('#panel-nudge svg.before') === null");
    assert_eq!(page.browser.run(dots), 0);
    page.browser.run("release()");
    page.settle();
    assert_eq!(page.browser.run(dots), 1);
}

#[test]
fn a_passage_is_named_by_whole_characters() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text"), format!("a{}", "🜁🜂🜃\u{202e}".repeat(200))).unwrap();
    let Some(browser) = Lent::new() else {
        left_out("no chromium and chromedriver here");
        return;
    };
    let page =
        Page { browser, lab: Server::start(folder.path(), "text"), run: folder.path().into() };
    page.open("");
    let titles = "return [...document.querySelectorAll('#excerpt option')].every(
                      ({ textContent }) => textContent.isWellFormed() && !textContent.includes('\\u202e'))";
    assert_eq!(page.browser.run(titles), true);
}
