//! A lab that serves, and questions to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use karenina::study::lab::Walk;
use karenina::train::run::load_best;
use serde_json::Value;

use crate::command::karenina;

/// `karenina lab`; it ends when this is dropped.
pub struct Server {
    child: Child,
    /// As it was printed: `http://127.0.0.1:PORT/TOKEN/`.
    pub address: String,
}

impl Server {
    /// With these arguments, parted by spaces, in `folder`.
    pub fn start(folder: &Path, arguments: &str) -> Self {
        let mut command = karenina(folder, ["lab"]);
        Self::start_as(command.args(arguments.split_whitespace()))
    }

    /// As `command` says.
    pub fn start_as(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim().to_string();
        assert!(address.starts_with("http://127.0.0.1:"), "{address:?}");
        Self { child, address }
    }

    pub fn port(&self) -> u16 {
        port(&self.address)
    }

    /// `/TOKEN/`
    pub fn path(&self) -> &str {
        &self.address[self.address[8..].find('/').unwrap() + 8..]
    }

    /// The answer to a question, which must be a good one.
    pub fn ask(&self, name: &str, question: &Value) -> Value {
        let (status, answer) = ask(&self.address, name, &question.to_string()).unwrap();
        assert_eq!(status, 200, "{name} {question}: {answer}");
        serde_json::from_str(&answer).unwrap()
    }

    /// Status and sentence of a question that is refused.
    pub fn refusal(&self, name: &str, question: &str) -> (u16, String) {
        let (status, answer) = ask(&self.address, name, question).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        (status, answer["error"].as_str().unwrap_or_else(|| panic!("{answer}")).into())
    }

    /// The memory in KiB that the process has in use.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Ends it and returns what it has printed on standard error.
    pub fn end(mut self) -> String {
        assert!(self.child.try_wait().unwrap().is_none(), "it has ended by itself");
        self.child.kill().unwrap();
        let mut errors = String::new();
        let stderr: &mut ChildStderr = self.child.stderr.as_mut().unwrap();
        stderr.read_to_string(&mut errors).unwrap();
        errors
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port in an address.
pub fn port(address: &str) -> u16 {
    address.split([':', '/']).nth(4).unwrap().parse().unwrap()
}

/// Status and body of a question to the lab at `address`.
pub fn ask(address: &str, name: &str, question: &str) -> io::Result<(u16, String)> {
    let (port, path) = (port(address), &address[address[8..].find('/').unwrap() + 8..]);
    let request = format!(
        "POST {path}api/{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{question}",
        question.len()
    );
    exchange(port, request.as_bytes())
}

/// Status and body of the answer to these bytes, which ask for the connection to be closed; 0 if there is none.
pub fn exchange(port: u16, request: &[u8]) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    // It may refuse, and close, before all is sent.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    if answer.is_empty() {
        read?;
    }
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Ok((status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).into()))
}

/// `text` in the best network of the run in `folder`, as the engine has it.
pub fn walk(folder: &Path, text: &str) -> Walk {
    let checkpoint = load_best(folder).unwrap().checkpoint;
    let vocabulary = checkpoint.vocabulary;
    let ids = vocabulary.encode(text).unwrap();
    Walk::new(Arc::new(checkpoint.parameters.cast()), vocabulary.characters(), ids).unwrap()
}

/// Whether `found` is `expected` to 12 digits.
pub fn agree(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs()
}
