//! The index and its mirrors: which one is asked, and when the next one is.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use url::Url;

use crate::fetcher::{Agent, Body, Location, Pace, Source, transport};
use crate::health::Health;
use crate::repository::Repository;
use crate::{Error, Event, Settings, TransportProblem};

/// Every place that has the files, the index first. One is in use until it fails or what it sends
/// is refused; then the next one is, until that fails.
#[derive(Debug)]
pub(crate) struct Sources {
    all: Vec<Arc<Source>>,
    current: AtomicUsize,
    agents: Arc<Agents>,
    health: Health,
    /// The place among the sources of the one that failed or was refused last.
    blamed: AtomicUsize,
}

/// Connections to this machine and to all others, each made when it is needed.
#[derive(Debug, Default)]
struct Agents {
    near: OnceLock<Arc<Agent>>,
    far: OnceLock<Arc<Agent>>,
}

impl Agents {
    fn to(&self, repository: &Repository, settings: &Settings) -> Result<Arc<Agent>, Error> {
        let loopback = repository.is_loopback();
        let agent = if loopback { &self.near } else { &self.far };
        if let Some(agent) = agent.get() {
            return Ok(Arc::clone(agent));
        }
        let failed = |reason| {
            let problem = TransportProblem::Unreachable { reason };
            transport(repository.metadata_url(), problem)
        };
        let made = Arc::new(Agent::new(loopback, settings).map_err(failed)?);
        Ok(Arc::clone(agent.get_or_init(|| made)))
    }
}

impl Sources {
    pub(crate) fn new(index: &Repository, settings: &Arc<Settings>) -> Result<Self, Error> {
        let mirrors = settings.mirrors.iter().map(Repository::from);
        let mut repositories = vec![index.clone()];
        repositories.extend(mirrors.filter(|mirror| mirror != index));
        let agents = Arc::<Agents>::default();
        let mut all = Vec::new();
        for (at, repository) in repositories.into_iter().enumerate() {
            let agent = agents.to(&repository, settings)?;
            let credentials = settings.credentials.clone().filter(|_| at == 0);
            let settings = Arc::clone(settings);
            let failed = AtomicBool::new(false);
            all.push(Arc::new(Source { at, repository, agent, credentials, settings, failed }));
        }
        let health = Health::new(settings.health.as_deref());
        let first = health.first(all.iter().map(|source| source.url()));
        let (current, blamed) = (AtomicUsize::new(first), AtomicUsize::new(first));
        Ok(Self { all, current, agents, health, blamed })
    }

    /// The one source of a file on another host, which gets no credentials. The mirrors of the index
    /// do not have it, and its failures are not theirs.
    pub(crate) fn elsewhere(&self, url: &Url) -> Result<Self, Error> {
        let settings = Arc::clone(&self.all[0].settings);
        let repository = Repository::elsewhere(url);
        let agents = Arc::clone(&self.agents);
        let agent = agents.to(&repository, &settings)?;
        let failed = AtomicBool::new(false);
        let source = Source { at: 0, repository, agent, credentials: None, settings, failed };
        let (current, blamed, health) = Default::default();
        Ok(Self { all: vec![Arc::new(source)], current, agents, health, blamed })
    }

    /// The base URL of the index itself, if the repository is one.
    pub(crate) fn index(&self) -> Option<&Url> {
        self.all[0].repository.index()
    }

    /// The index, if the repository is one, whichever source is in use.
    pub(crate) fn index_itself(&self) -> Option<&Source> {
        self.all.first().map(Arc::as_ref).filter(|source| source.repository.index().is_some())
    }

    /// The base URL of the source that failed or was refused last.
    pub(crate) fn blamed(&self) -> &str {
        self.all[self.blamed.load(Ordering::Relaxed)].base_url()
    }

    fn blame(&self, source: &Source) {
        self.blamed.store(source.at, Ordering::Relaxed);
    }

    /// For doing something with the source in use and, while sources are to blame for a failure,
    /// with each of the others in turn.
    pub(crate) fn attempts(&self) -> Attempts<'_> {
        Attempts { sources: self, source: self.current(), left: self.all.len() - 1 }
    }

    fn current(&self) -> &Arc<Source> {
        &self.all[self.current.load(Ordering::Relaxed)]
    }

    /// The body of a target file from byte `from` on, of the first source that has it; `None` where
    /// those that answer have none.
    pub(crate) async fn target(
        &self,
        location: &Location,
        from: u64,
        pace: &Pace,
    ) -> Result<Option<(Arc<Source>, Body)>, Error> {
        let (count, first) = (self.all.len(), self.current.load(Ordering::Relaxed));
        let (mut missing, mut failed) = (false, None);
        for turn in 0..count {
            let source = &self.all[(first + turn) % count];
            match source.target(location, from, pace.clone()).await {
                Ok(Some(body)) => return Ok(Some((Arc::clone(source), body))),
                Ok(None) => missing = true,
                Err(error) => {
                    self.blame(source);
                    if turn + 1 < count {
                        self.leave(source, &error);
                    }
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if !missing => Err(error),
            _ => Ok(None),
        }
    }

    /// The URL of a file at the source in use.
    pub(crate) fn url_of(&self, location: &Location) -> Url {
        self.current().url_of(location)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// Uses the next source instead of this one, unless somebody else did so already, or there is no
    /// other.
    pub(crate) fn leave(&self, source: &Source, error: &Error) {
        self.blame(source);
        let (used, next) = (source.at, (source.at + 1) % self.all.len());
        let moved = self.current.compare_exchange(used, next, Ordering::Relaxed, Ordering::Relaxed);
        if used == next || moved.is_err() {
            return;
        }
        let (from, to) = (source.url(), self.all[next].url());
        source.settings.observer.tell(Event::Failover { from, to });
        self.health.failed(from);
        match source.failed.swap(true, Ordering::Relaxed) {
            false => tracing::warn!("asking {to} from now on, since {from} failed: {error}"),
            true => tracing::debug!("asking {to} again, since {from} failed: {error}"),
        }
    }
}

/// Attempts to do one thing.
#[derive(Debug)]
pub(crate) struct Attempts<'a> {
    sources: &'a Sources,
    source: &'a Arc<Source>,
    left: usize,
}

impl<'a> Attempts<'a> {
    /// The source to try it with.
    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// Whether there is a source to try it with after this failure.
    pub(crate) fn go_on_after(&mut self, error: &Error) -> bool {
        if !error.blames_source() {
            return false;
        }
        self.sources.blame(self.source);
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.sources.leave(self.source, error);
        self.source = self.sources.current();
        true
    }
}
