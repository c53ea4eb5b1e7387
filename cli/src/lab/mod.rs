//! `karenina lab`.

mod api;
mod beside;
mod files;
mod server;
mod texts;

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use clap::Args;
use karenina::error::{Error, Result};
use karenina::train::checkpoint::Summary;
use karenina::train::run::checkpoints_in;
use karenina::train::use_threads;
use rand::TryRngCore;
use rand::rngs::OsRng;

use super::input::{TextArgs, of_network};
use super::job::ThreadsArg;
use super::output::{note, output_error, warn};
use api::{Door, Lab as Answers, Source};
pub use beside::Beside;

/// Arguments of `karenina lab`.
#[derive(Args)]
#[command(mut_arg("texts", of_network))]
pub struct Lab {
    #[command(flatten)]
    texts: TextArgs,
    /// A run's folder or one checkpoint file; repeat the option to compare runs
    /// [default: checkpoints if it holds any, else a new network]
    #[arg(long, aliases = ["checkpoint", "checkpoints"], value_name = "DIR or FILE")]
    run: Vec<PathBuf>,
    /// The port on 127.0.0.1 [default: any free port]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true, value_parser = port)]
    port: u16,
    /// Open the page in a browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    threads: ThreadsArg,
    /// For `train --lab`: end with standard input, and give way to others
    #[arg(long, hide = true)]
    beside: bool,
    /// For `train --lab`: where the run ends
    #[arg(long, hide = true, value_name = "STEP")]
    last_step: Option<u64>,
}

fn port(text: &str) -> std::result::Result<u16, &'static str> {
    text.parse().map_err(|_| "a whole number from 0 to 65535")
}

impl Lab {
    /// Serves until it is stopped.
    pub fn run(self) -> Result<ExitCode> {
        if self.beside {
            give_way();
            end_with_standard_input();
        }
        if !self.open {
            be_ended_first();
        }
        use_threads(self.threads.count()?)?;
        let (sources, excerpts) = self.sources()?;
        let (listener, port) = self.listen()?;
        let door = Door::new(token()?, port);
        let address = door.address();
        let answers = Answers::new(sources, excerpts, self.last_step);
        let answer = Box::new(move |name: &str, body: Option<&[u8]>| match body {
            Some(body) => answers.ask(name, body),
            None => answers.get(name),
        });
        let said = writeln!(io::stdout(), "{address}").and_then(|()| io::stdout().flush());
        said.map_err(output_error)?;
        if !self.beside {
            note("open this address on this machine; Ctrl-C stops the lab");
        }
        if self.open {
            open(&address);
            be_ended_first(); // only now: the browser would inherit it
        }
        let served = server::serve(listener, server::Service::new(door, answer));
        served.map_err(Error::io("serve", address.as_ref()))?;
        Ok(ExitCode::SUCCESS)
    }

    /// The runs that were named, or else what there is; and texts to look at.
    fn sources(&self) -> Result<(Vec<Source>, Vec<String>)> {
        const USUAL: &str = "checkpoints";
        let usual = [PathBuf::from(USUAL)];
        let paths = match &self.run[..] {
            [] if !checkpoints_in(Path::new(USUAL)).unwrap_or_default().is_empty() => &usual[..],
            [] => {
                let corpus = self.texts.read()?;
                return Ok((vec![texts::new_network(&corpus)?], texts::passages(&corpus)));
            }
            named => named,
        };
        let mut sources: Vec<Source> =
            paths.iter().map(|path| source(path)).collect::<Result<_>>()?;
        tell_apart(&mut sources, paths);
        Ok((sources, texts::excerpts(&self.texts, &paths[0], self.beside)?))
    }

    fn listen(&self) -> Result<(TcpListener, u16)> {
        let bound = TcpListener::bind(("127.0.0.1", self.port))
            .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        let address = format!("127.0.0.1:{}", self.port);
        let (port, listener) = bound.map_err(Error::io("listen on", address.as_ref()))?;
        Ok((listener, port))
    }
}

/// The run or checkpoint at `path`, which must be there.
fn source(path: &Path) -> Result<Source> {
    if !path.is_dir() {
        Summary::read(path)?;
    } else if checkpoints_in(path)?.is_empty() {
        return Err(Error::NoCheckpoint { path: path.into() });
    }
    let path = std::path::absolute(path).map_err(Error::io("read", path))?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(Source::Run { name, path })
}

/// Runs whose folders have one name are called by their paths, as the user gave them.
fn tell_apart(sources: &mut [Source], paths: &[PathBuf]) {
    let names: Vec<String> = sources.iter().map(|source| source.name().to_string()).collect();
    for (source, path) in sources.iter_mut().zip(paths) {
        if let Source::Run { name, .. } = source
            && names.iter().filter(|other| *other == name).count() > 1
        {
            *name = path.to_string_lossy().into_owned();
        }
    }
}

/// 128 random bits in hexadecimal.
fn token() -> Result<String> {
    let mut random = [0; 16];
    OsRng.try_fill_bytes(&mut random).map_err(|error| Error::Io {
        action: "draw a random number from",
        path: "the system".into(),
        source: io::Error::other(error),
    })?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Shows the page in the user's browser; without one the address is printed all the same.
fn open(address: &str) {
    let (program, before): (_, &[&str]) = match () {
        () if cfg!(target_os = "macos") => ("open", &[]),
        () if cfg!(windows) => ("cmd", &["/C", "start", ""]),
        () => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(before).arg(address).stdin(Stdio::null());
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    if let Err(error) = started {
        warn(&format!("{program} does not start ({error}); open the address by hand"));
    }
}

/// Where memory runs out the lab is ended, and no training.
fn be_ended_first() {
    #[cfg(target_os = "linux")]
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// Lets the training go first.
fn give_way() {
    #[cfg(unix)]
    let _ = rustix::process::nice(19);
}

/// How long a page may still see the end of the training.
const GRACE: Duration = Duration::from_secs(5);

/// Ends this process soon after the other end of standard input is closed, as it is when the training ends in whatever
/// way.
fn end_with_standard_input() {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        thread::sleep(GRACE);
        std::process::exit(0);
    });
}
