//! The lab of `train --lab`: a process of its own, which reads the run's files and nothing else. Whatever becomes of it,
//! the training goes on.

use std::env;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::progress::LabNews;
use crate::shell::path_word;

/// What a lab that does not start may say about it, in bytes.
const REASON: u64 = 1000;

/// A lab beside a training. It ends soon after this is dropped, or this process has ended in whatever way: its
/// standard input is then closed.
pub struct Beside {
    /// Its address, or why it has none.
    news: Receiver<LabNews>,
    _alive: Option<ChildStdin>,
}

impl Beside {
    /// Starts a lab for the run in the folder `run`, which ends with `last_step`. Waits for nothing.
    pub fn start(run: &Path, last_step: u64) -> Self {
        let (tell, news) = mpsc::channel();
        let failed = tell.clone();
        let started = spawn(run, last_step).and_then(|mut child| {
            let alive = child.stdin.take();
            thread::Builder::new().spawn(move || tell.send(first_line(child)))?;
            Ok(alive)
        });
        let alive = started.unwrap_or_else(|error| {
            let _ = failed.send(Err(error.to_string()));
            None
        });
        Self { news, _alive: alive }
    }

    /// Its address, or why it has none: once, when it is known.
    pub fn news(&self) -> Option<LabNews> {
        self.news.try_recv().ok()
    }
}

fn spawn(run: &Path, last_step: u64) -> io::Result<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["lab", "--beside", "--threads", "1", "--last-step", &last_step.to_string()]);
    command.arg("--run").arg(path_word(run));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    in_a_group_of_its_own(&mut command).spawn() // Ctrl-C is the training's
}

#[cfg(unix)]
fn in_a_group_of_its_own(command: &mut Command) -> &mut Command {
    std::os::unix::process::CommandExt::process_group(command, 0)
}

/// Here a process cannot lower its own priority without `unsafe`, so it starts with the lowest.
#[cfg(windows)]
fn in_a_group_of_its_own(command: &mut Command) -> &mut Command {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    const IDLE_PRIORITY_CLASS: u32 = 0x40;
    let flags = CREATE_NEW_PROCESS_GROUP | IDLE_PRIORITY_CLASS;
    std::os::windows::process::CommandExt::creation_flags(command, flags)
}

/// The address that a lab prints; without one, what it says instead.
fn first_line(mut child: Child) -> LabNews {
    let mut address = String::new();
    let output = child.stdout.take().expect("it is piped");
    let _ = BufReader::new(output).read_line(&mut address);
    if !address.is_empty() {
        return Ok(address.trim().into());
    }
    let mut reason = String::new();
    let errors = child.stderr.take().expect("it is piped");
    let _ = errors.take(REASON).read_to_string(&mut reason);
    let _ = child.wait();
    Err(reason.trim().trim_start_matches("karenina: ").into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// The program that is started here is the one that runs the tests, and no lab.
    #[test]
    fn a_lab_that_does_not_start_says_why_once() {
        let beside = Beside::start(Path::new("nowhere"), 1);
        let start = Instant::now();
        let news = loop {
            if let Some(news) = beside.news() {
                break news;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no word of it");
            thread::sleep(Duration::from_millis(10));
        };
        assert!(news.unwrap_err().contains("beside"));
        assert_eq!(beside.news(), None);
    }
}
