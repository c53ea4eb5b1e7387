//! The networks and runs that the command line names. A request names one by its number and a step, never by a path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use karenina::memory;
use karenina::model::{Parameters, Sizes};
use karenina::study::lab::Walk;
use karenina::text::vocabulary::Vocabulary;
use karenina::train::TrainConfig;
use karenina::train::checkpoint::Checkpoint;
use karenina::train::run::{Entry, checkpoints_in, load_best};

use super::cache::{Cache, Key};
use super::refusal::{NO_ROOM, Refusal};

/// Networks in `f64` that are kept in memory.
const NETWORKS: usize = 3;
/// Texts that are kept with all that the networks thought of them.
const WALKS: usize = 4;
/// Characters of a text, at most.
const LONGEST: usize = 4000;
/// Operations forward through a text, at most: some ten seconds.
const MOST_FLOP: f64 = 1e10;

/// Where networks come from.
#[derive(Debug)]
pub enum Source {
    /// A run's folder or one checkpoint.
    Run { name: String, path: PathBuf },
    /// A network that was never trained.
    New { name: String, network: Arc<Network> },
}

impl Source {
    pub fn name(&self) -> &str {
        let (Self::Run { name, .. } | Self::New { name, .. }) = self;
        name
    }

    /// The folder of a run.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Run { path, .. } if path.is_dir() => Some(path),
            _ => None,
        }
    }

    /// The checkpoints in the folder, lowest step first.
    pub fn checkpoints(&self) -> Result<Vec<Entry>, Refusal> {
        Ok(self.folder().map(checkpoints_in).transpose()?.unwrap_or_default())
    }
}

/// Of the checkpoints of run number `run`, the one of a step.
pub fn of_step(run: usize, entries: Vec<Entry>, step: u64) -> Result<Entry, Refusal> {
    let found = entries.into_iter().rfind(|entry| entry.step == step);
    let none = || Refusal::new(404, format!("run {run} has no checkpoint of step {step}"));
    found.ok_or_else(none)
}

/// A network in `f64`.
#[derive(Debug)]
pub struct Network {
    /// What a request may call it, to have this one also when another is the best.
    pub name: String,
    /// And what a cache calls it: a run that is overwritten has other networks of the same names.
    pub key: String,
    /// Training steps behind it.
    pub step: u64,
    pub vocabulary: Vocabulary,
    pub parameters: Arc<Parameters<f64>>,
    pub config: TrainConfig,
}

impl Network {
    /// That of a checkpoint, whose moments are given up before the weights are there twice.
    pub fn new(name: String, key: String, checkpoint: Checkpoint) -> Result<Self, Refusal> {
        let Checkpoint { step, vocabulary, parameters, adam, config, .. } = checkpoint;
        drop(adam);
        memory::require(Parameters::<f64>::bytes(parameters.sizes()), "a network in f64")?;
        let parameters = Arc::new(parameters.cast());
        Ok(Self { name, key, step, vocabulary, parameters, config })
    }

    pub fn sizes(&self) -> Sizes {
        self.parameters.sizes()
    }

    /// The ids of `text`, which must not be too long for this network.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Refusal> {
        let forward = self.sizes().flop(1) / 3.0;
        let most = LONGEST.min((MOST_FLOP / forward) as usize).max(2);
        match text.chars().count() {
            count if count > most => Err(Refusal::bad(format!(
                "the text has {count} characters; with this network at most {most} can be looked at"
            ))),
            _ => Ok(self.vocabulary.encode(text)?),
        }
    }
}

/// All networks that can be asked for.
#[derive(Debug)]
pub struct Networks {
    pub sources: Vec<Source>,
    best: Cache<u64>,
    networks: Cache<Network>,
    walks: Cache<Walk>,
}

impl Networks {
    pub fn new(sources: Vec<Source>) -> Self {
        let best = Cache::new(sources.len());
        Self { sources, best, networks: Cache::new(NETWORKS), walks: Cache::new(WALKS) }
    }

    /// The source with this number.
    pub fn source(&self, number: usize) -> Result<&Source, Refusal> {
        self.sources.get(number).ok_or_else(|| {
            let count = self.sources.len();
            let sentence = format!("there is no run {number}; there are {count}, counted from 0");
            Refusal::new(404, sentence)
        })
    }

    /// The network called `name`: the number of its run, and after a colon a step; without one the best.
    pub fn network(&self, name: &str) -> Result<Arc<Network>, Refusal> {
        let (run, step) = parse(name)?;
        let source = self.source(run)?;
        match source {
            Source::New { network, .. } => Ok(Arc::clone(network)),
            Source::Run { path, .. } if !path.is_dir() => self.load(format!("{run}"), path),
            Source::Run { path, .. } => {
                let entries = source.checkpoints()?;
                let step = step.map_or_else(|| self.best(path, &entries), Ok)?;
                let entry = of_step(run, entries, step)?;
                self.load(format!("{run}:{step}"), &entry.path)
            }
        }
    }

    /// The network called `name` in a file, which is read again once it has changed.
    fn load(&self, name: String, path: &Path) -> Result<Arc<Network>, Refusal> {
        let key = Key::of(path)?;
        let load = || Network::new(name.clone(), key.to_string(), Checkpoint::load(path)?);
        self.with_room(|| self.networks.get(&key, load))
    }

    /// What `get` gives; where there is too little memory, once more when that of what was asked for before is free.
    pub fn with_room<T>(&self, get: impl Fn() -> Result<T, Refusal>) -> Result<T, Refusal> {
        get().or_else(|refusal| {
            if refusal.status != NO_ROOM {
                return Err(refusal);
            }
            self.walks.clear();
            self.networks.clear();
            get()
        })
    }

    /// The step of a run's best checkpoint; looked for again when there is a newer one, which may be better.
    fn best(&self, path: &Path, entries: &[Entry]) -> Result<u64, Refusal> {
        let newest = Key::of(entries.last().map_or(path, |entry| &entry.path))?;
        let key = Key { name: path.display().to_string(), version: newest.to_string() };
        let best = || self.best.get(&key, || Ok(load_best(path)?.checkpoint.step));
        let step = *best()?;
        if entries.iter().any(|entry| entry.step == step) {
            return Ok(step);
        }
        self.best.forget(&key); // its file is gone
        best().map(|step| *step)
    }

    /// `text` on its way through the network called `name`.
    pub fn walk(&self, name: &str, text: &str) -> Result<Arc<Walk>, Refusal> {
        let network = self.network(name)?;
        let ids = network.encode(text)?;
        let key = Key::from(format!("{} {text}", network.key));
        self.with_room(|| {
            self.walks.get(&key, || {
                let characters = network.vocabulary.characters();
                Ok(Walk::new(Arc::clone(&network.parameters), characters, ids.clone())?)
            })
        })
    }
}

fn parse(name: &str) -> Result<(usize, Option<u64>), Refusal> {
    let wrong = || {
        Refusal::bad(format!(
            "{name:?} names no network; 0 is the first run's best, 0:100 its checkpoint of step 100"
        ))
    };
    let (run, step) = match name.split_once(':') {
        Some((run, step)) => (run, Some(step)),
        None => (name, None),
    };
    let step = step.map(str::parse).transpose().map_err(|_| wrong())?;
    Ok((run.parse().map_err(|_| wrong())?, step))
}
