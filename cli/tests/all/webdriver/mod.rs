//! As much of a WebDriver client (W3C) as the tests need, over plain HTTP/1.1.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{panicking, sleep};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A headless browser with one window; it ends when this is dropped.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Its files.
    profile: TempDir,
}

/// Starting a browser takes longer than most tests with it, so the next test gets the one that a test has done with.
static SHARED: Mutex<Shared> = Mutex::new(Shared { lent: 0, idle: Vec::new() });

struct Shared {
    lent: usize,
    idle: Vec<Browser>,
}

impl Shared {
    fn lock() -> MutexGuard<'static, Self> {
        SHARED.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A browser that a test has, with a new window.
pub struct Lent(Option<Browser>);

impl Lent {
    /// None if chromedriver and Chromium are not installed.
    pub fn new() -> Option<Self> {
        let mut shared = Shared::lock();
        shared.lent += 1;
        let mut lent = Self(shared.idle.pop());
        drop(shared);
        match &lent.0 {
            Some(browser) => browser.renew(),
            None => lent.0 = Browser::start(),
        }
        lent.0.is_some().then_some(lent)
    }
}

impl Deref for Lent {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        self.0.as_ref().expect("a browser")
    }
}

impl Drop for Lent {
    /// Nothing drops a static, so the idle ones end as soon as no test has one.
    fn drop(&mut self) {
        // What a failed test leaves might fail another.
        let kept = self.0.take().filter(|_| !panicking());
        let mut shared = Shared::lock();
        shared.lent -= 1;
        shared.idle.extend(kept);
        let ended = if shared.lent == 0 { std::mem::take(&mut shared.idle) } else { Vec::new() };
        drop(shared); // the others need not wait for the end of these
        drop(ended);
    }
}

impl Browser {
    /// Starts chromedriver and, through it, Chromium with an empty profile; none if they are not installed.
    fn start() -> Option<Self> {
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        let chromium = chromium.into_iter().find(|path| Path::new(path).exists())?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, port, session: String::new(), profile };
        browser.wait_until_ready();
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ];
        let mut flags: Vec<String> = flags.map(String::from).into();
        flags.push(format!("--user-data-dir={}", browser.profile.path().display()));
        let answer = browser.request(
            "POST",
            "/session",
            &json!({ "capabilities": { "alwaysMatch": {
                "goog:chromeOptions": { "binary": chromium, "args": flags },
                "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            } } }),
        );
        browser.session = answer["sessionId"].as_str().expect("a session").to_string();
        Some(browser)
    }

    /// Puts a new window in the place of the old one, and forgets what that has logged.
    fn renew(&self) {
        let window = self.post("/window/new", &json!({ "type": "window" }));
        self.request("DELETE", &format!("/session/{}/window", self.session), &json!({}));
        self.post("/window", &json!({ "handle": window["handle"] }));
        for log in ["browser", "performance"] {
            self.post("/se/log", &json!({ "type": log }));
        }
    }

    fn wait_until_ready(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "chromedriver does not listen");
            sleep(Duration::from_millis(50));
        }
    }

    /// [`Browser::visit`] of a file.
    pub fn open(&self, page: &Path) {
        self.visit(&format!("file://{}", page.canonicalize().unwrap().display()));
    }

    /// Opens an address, in a window that has the focus even where the browser has opened another of its own.
    pub fn visit(&self, address: &str) {
        self.devtools("Emulation.setFocusEmulationEnabled", json!({ "enabled": true }));
        self.post("/url", &json!({ "url": address }));
    }

    /// Runs a script in the page and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Runs a script that calls its only argument with the result.
    pub fn run_async(&self, script: &str) -> Value {
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Presses and releases a key; WebDriver gives keys without a character code points from U+E000.
    pub fn press(&self, key: &str) {
        let actions =
            [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// Moves the mouse to the middle of the element that `selector` finds.
    pub fn point(&self, selector: &str) {
        let found = json!({ "using": "css selector", "value": selector });
        let element = self.post("/element", &found);
        self.post(
            "/execute/sync",
            &json!({ "script": "arguments[0].scrollIntoView({ block: 'center' })", "args": [element] }),
        );
        let to = json!({ "type": "pointerMove", "duration": 0, "origin": element, "x": 0, "y": 0 });
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": [to] });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Makes the window `width` pixels wide, for a reader who prefers `scheme`.
    pub fn show(&self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// The whole page as a PNG.
    pub fn screenshot(&self, width: u32) -> Vec<u8> {
        let height = self.run("return document.documentElement.scrollHeight");
        let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
        let asked = json!({ "captureBeyondViewport": true, "clip": clip });
        let answer = self.devtools("Page.captureScreenshot", asked);
        BASE64_STANDARD.decode(answer["data"].as_str().expect("an image")).unwrap()
    }

    /// What the page complained of.
    pub fn errors(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().expect("a log").iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.exchange(method, path, body).unwrap();
        assert!(answer["value"].get("error").is_none(), "{path}: {answer}");
        answer["value"].clone()
    }

    /// One HTTP request and its answer, on a connection of its own.
    fn exchange(&self, method: &str, path: &str, body: &Value) -> io::Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (body, port) = (body.to_string(), self.port);
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

/// What the lab's tests need besides.
#[cfg(feature = "lab")]
impl Browser {
    /// Clicks the element that `selector` finds.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into the element that `selector` finds, in the place of what is there.
    pub fn fill(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/clear"), &json!({}));
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// WebDriver's name of the element that `selector` finds.
    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let mut names = found.as_object().expect("an element").values();
        names.next().and_then(Value::as_str).expect("its name").into()
    }

    /// Every address that was asked for since this was called last.
    pub fn requests(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "performance" }));
        let message = |entry: &Value| -> Value {
            serde_json::from_str(entry["message"].as_str().expect("a message")).expect("JSON")
        };
        let messages = log.as_array().expect("a log").iter().map(message);
        let asked = messages.filter(|m| m["message"]["method"] == "Network.requestWillBeSent");
        let address =
            |m: Value| m["message"]["params"]["request"]["url"].as_str().map(String::from);
        asked.filter_map(address).collect()
    }

    /// [`Browser::press`] with Shift held down.
    pub fn press_with_shift(&self, key: &str) {
        let action = |kind: &str, key: &str| json!({ "type": kind, "value": key });
        let shift = "\u{e008}";
        let actions = [
            action("keyDown", shift),
            action("keyDown", key),
            action("keyUp", key),
            action("keyUp", shift),
        ];
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // After a failed assertion too; what goes wrong here must not hide it.
        if !self.session.is_empty() {
            let _ = self.exchange("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
