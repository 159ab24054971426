//! Drives the update workflow over network and disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use url::Url;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{
    Answer, Chain, MetadataFile, RoleName, Search, Step, TargetFile, TargetPath, TrustedMetadata,
    Updater,
};

use crate::blocking::blocking;
use crate::download::Download;
use crate::fetcher::{Location, Source};
use crate::listed::Listings;
use crate::records::{LastRefresh, Records};
use crate::sources::Sources;
use crate::{
    Credentials, Error, Event, Fingerprint, IndexUrl, Located, MetadataStore, Repository,
    RootChange, Settings, StoreLock, TrustStore,
};

/// How often one update begins again because another process was quicker. Each time that one got on.
const MAX_OVERTAKEN: u32 = 100;

/// A wait for another process that is not worth a word.
const WAIT_UNTOLD: Duration = Duration::from_secs(1);

/// How often a lock that another process holds is tried again, at first and at most.
const LOCK_POLL: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Verified access to one repository. Cheap to share by reference; every method may run many times
/// at once.
#[derive(Debug)]
pub struct Client {
    store: MetadataStore,
    pub(crate) sources: Arc<Sources>,
    pub(crate) settings: Arc<Settings>,
    /// The repository, for people.
    url: String,
    current: Mutex<Option<Arc<Generation>>>,
    pub(crate) listings: Listings,
    /// Beside the trust store of an index; none for another repository.
    records: Option<Records>,
    /// Held by the one refresh that runs in this process.
    refreshing: tokio::sync::Mutex<()>,
}

/// The metadata of one refresh. A search stays with the generation it began with, so that it never
/// mixes two snapshots.
#[derive(Debug)]
struct Generation {
    trusted: Mutex<TrustedMetadata>,
    refreshed: Refreshed,
}

impl Generation {
    fn trusted(&self) -> MutexGuard<'_, TrustedMetadata> {
        locked(&self.trusted)
    }
}

/// The outcome of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refreshed {
    /// Version of the trusted root.
    pub root: u64,
    /// Version of the trusted timestamp.
    pub timestamp: u64,
    /// Version of the trusted snapshot: as long as it stays, so does everything in the index.
    pub snapshot: u64,
    /// The time that this refresh went by (TUF 5.1).
    pub reference_time: Timestamp,
    /// When the first of timestamp and snapshot expires.
    pub fresh_until: Timestamp,
}

impl Refreshed {
    fn of(trusted: &TrustedMetadata) -> Self {
        Self {
            root: trusted.root().version,
            timestamp: trusted.timestamp().version,
            snapshot: trusted.snapshot().version,
            reference_time: trusted.reference_time(),
            fresh_until: trusted.fresh_until(),
        }
    }
}

/// The first root of an index, which is trusted with nothing yet: for showing its fingerprint, or
/// comparing it, before [`TrustStores::add`](crate::TrustStores::add).
pub async fn fetch_root(index: &IndexUrl, settings: &Settings) -> Result<Vec<u8>, Error> {
    let root = fetch_root_version(index, 1, settings).await?;
    root.ok_or_else(|| missing("1.root.json", RoleName::ROOT))
}

/// A version of root as the index hands it out, which is trusted with nothing; `None` where it has none.
pub(crate) async fn fetch_root_version(
    index: &IndexUrl,
    version: u64,
    settings: &Settings,
) -> Result<Option<Vec<u8>>, Error> {
    let sources = Sources::new(&index.into(), &Arc::new(settings.clone()))?;
    let file = MetadataFile {
        role: RoleName::from_static(RoleName::ROOT),
        path: format!("{version}.root.json"),
        max_length: settings.limits.root,
        length: None,
    };
    let mut attempts = sources.attempts();
    let is_there =
        |fetched: Option<Vec<u8>>| fetched.ok_or_else(|| missing(&file.path, RoleName::ROOT));
    loop {
        match attempts.source().metadata(&file).await.and_then(is_there) {
            Err(error) if attempts.go_on_after(&error) => {}
            Err(error) if is_missing(&error) => return Ok(None),
            result => return result.map(Some),
        }
    }
}

/// The first root of an index, if it has the fingerprint that the user was told over another way.
pub async fn fetch_root_with_fingerprint(
    index: &IndexUrl,
    expected: Fingerprint,
    settings: &Settings,
) -> Result<Vec<u8>, Error> {
    let root = fetch_root(index, settings).await?;
    let got = Fingerprint::of(&root);
    if got != expected {
        return Err(Error::Fingerprint { url: index.to_string(), expected, got });
    }
    Ok(root)
}

impl Client {
    /// Access to the index of this trust store. Nothing is fetched yet.
    pub fn open(store: &TrustStore, settings: Settings) -> Result<Self, Error> {
        let index = &store.index().url;
        let client = Self::with_url(&index.into(), store.metadata(), settings, index.to_string())?;
        Ok(Self { records: Some(store.records()), ..client })
    }

    /// Access to any repository whose first root is in this store. Nothing is fetched yet.
    pub fn of(
        repository: &Repository,
        store: MetadataStore,
        settings: Settings,
    ) -> Result<Self, Error> {
        Self::with_url(repository, store, settings, repository.metadata_url().to_string())
    }

    fn with_url(
        repository: &Repository,
        store: MetadataStore,
        settings: Settings,
        url: String,
    ) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let sources = Arc::new(Sources::new(repository, &settings)?);
        let (current, refreshing) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        let (listings, records) = (Listings::default(), None);
        Ok(Self { store, sources, settings, url, current, listings, records, refreshing })
    }

    /// Where the index is, or the repository's metadata: for people.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of the index or mirror that failed or was refused last, for people.
    pub fn blamed(&self) -> &str {
        self.sources.blamed()
    }

    /// The base URL of the index, if the repository is one.
    pub fn index(&self) -> Option<&Url> {
        self.sources.index()
    }

    /// Who asks the index.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.settings.credentials.as_ref()
    }

    /// Brings root, timestamp, snapshot and targets up to date, all by the time `now` (TUF 5.1). After
    /// an error the trust store holds what it held, and what was verified before
    /// the error: TUF makes each role count by itself.
    pub async fn refresh(&self, now: Timestamp) -> Result<Refreshed, Error> {
        let _one = self.refreshing.lock().await;
        self.refresh_alone(now).await
    }

    /// [`Client::refresh`], unless the last one is younger than `max_age`.
    pub async fn refresh_if_older(
        &self,
        now: Timestamp,
        max_age: Duration,
    ) -> Result<Refreshed, Error> {
        let _one = self.refreshing.lock().await;
        if let Some(last) = self.refreshed() {
            let age = Duration::try_from(now.duration_since(last.reference_time));
            if age.is_ok_and(|age| age < max_age) && now < last.fresh_until {
                return Ok(last);
            }
        }
        self.refresh_alone(now).await
    }

    /// The last successful refresh.
    pub fn refreshed(&self) -> Option<Refreshed> {
        locked(&self.current).as_ref().map(|current| current.refreshed)
    }

    /// When the trusted metadata expires.
    pub fn fresh_until(&self) -> Option<Timestamp> {
        self.refreshed().map(|refreshed| refreshed.fresh_until)
    }

    /// What metadata says about a target; `None` where no role lists it.
    pub async fn find(&self, path: &TargetPath) -> Result<Option<TargetFile>, Error> {
        Ok(self.search_current(path).await?.1.finish())
    }

    /// Why metadata says so: the roles from root to the one that lists the target, or that would list it.
    /// For showing to people.
    pub async fn chain_of(&self, path: &TargetPath) -> Result<Chain, Error> {
        let (generation, search) = self.search_current(path).await?;
        Ok(search.chain(&generation.trusted())?)
    }

    async fn search_current(&self, path: &TargetPath) -> Result<(Arc<Generation>, Search), Error> {
        let generation = self.generation()?;
        match self.search(&generation, path).await {
            Err(error) if is_missing(&error) => {
                let generation = self.refresh_since(&generation).await?;
                let search = self.search(&generation, path).await?;
                Ok((generation, search))
            }
            result => Ok((generation, result?)),
        }
    }

    /// Finds a target and reads it, whichever version of it is current.
    pub async fn get(&self, path: &TargetPath) -> Result<Option<(TargetFile, Bytes)>, Error> {
        let Some(file) = self.find(path).await? else { return Ok(None) };
        match self.read(path, &file).await {
            Ok(bytes) => return Ok(Some((file, bytes))),
            Err(Error::Superseded { .. }) => {}
            Err(error) => return Err(error),
        }
        let Some(file) = self.find(path).await? else { return Ok(None) };
        let bytes = self.read(path, &file).await?;
        Ok(Some((file, bytes)))
    }

    /// Starts to fetch a target file. If no source has it, the metadata is refreshed once.
    pub async fn download(&self, path: &TargetPath, file: &TargetFile) -> Result<Download, Error> {
        self.check_online(path)?;
        let generation = self.generation()?;
        let location = generation.trusted().target_location(path, file)?;
        let located = Located::target(path, file);
        let open = || {
            let location = Location::Target(location.clone());
            Download::open(&self.sources, &self.settings, location, &located)
        };
        if let Some(download) = open().await? {
            return Ok(download);
        }
        let generation = self.refresh_since(&generation).await?;
        if self.search(&generation, path).await?.finish().as_ref() != Some(file) {
            return Err(Error::Superseded { path: path.to_string() });
        }
        open().await?.ok_or_else(|| missing(&location, RoleName::TARGETS))
    }

    /// The same for a file wherever it is.
    pub async fn download_located(&self, file: &Located) -> Result<Download, Error> {
        let Some(link) = file.link() else {
            return self.download(file.path(), file.target_file()).await;
        };
        self.check_online(file.path())?;
        let generation = self.generation()?;
        let sources = match link {
            Location::Elsewhere(url) => Arc::new(self.sources.elsewhere(url)?),
            Location::Target(_) | Location::Below(_) => Arc::clone(&self.sources),
        };
        let open = || Download::open(&sources, &self.settings, link.clone(), file);
        if let Some(download) = open().await? {
            return Ok(download);
        }
        self.refresh_since(&generation).await?;
        if self.locate(file.path()).await?.as_ref() != Some(file) {
            return Err(Error::Superseded { path: file.path().to_string() });
        }
        open().await?.ok_or_else(|| file.missing(&sources.url_of(link)))
    }

    /// Whether the index hands out something at this path below its URL, signed or not: for saying that it
    /// is not signed yet. Nothing of it is read.
    pub async fn serves(&self, below: &str) -> bool {
        let Some(source) = self.sources.index_itself().filter(|_| !self.settings.offline) else {
            return false;
        };
        source.answers(&Location::Below(below.to_owned())).await
    }

    fn check_online(&self, path: &TargetPath) -> Result<(), Error> {
        match self.settings.offline {
            true => Err(Error::Offline { problem: format!("{path} is not in the cache") }),
            false => Ok(()),
        }
    }

    fn generation(&self) -> Result<Arc<Generation>, Error> {
        locked(&self.current).clone().ok_or(Error::NotRefreshed)
    }

    /// The one restart after a file that valid metadata names was not there; shared by all who
    /// missed something in the same generation. It goes by the same time as the run.
    async fn refresh_since(&self, seen: &Arc<Generation>) -> Result<Arc<Generation>, Error> {
        let _one = self.refreshing.lock().await;
        let current = self.generation()?;
        if !Arc::ptr_eq(&current, seen) {
            return Ok(current);
        }
        self.refresh_alone(current.refreshed.reference_time).await?;
        self.generation()
    }

    async fn refresh_alone(&self, now: Timestamp) -> Result<Refreshed, Error> {
        let mut attempts = self.sources.attempts();
        let trusted = loop {
            match self.update_from(attempts.source(), now).await {
                Err(error) if attempts.go_on_after(&error) => {}
                Err(Error::Verification(waxseal_tuf::Error::Expired { .. }))
                    if self.settings.offline =>
                {
                    let problem = "what is known of the index has expired".to_owned();
                    return Err(Error::Offline { problem });
                }
                result => break result?,
            }
        };
        let refreshed = Refreshed::of(&trusted);
        self.remember(&refreshed, &trusted).await;
        let generation = Generation { trusted: Mutex::new(trusted), refreshed };
        *locked(&self.current) = Some(Arc::new(generation));
        let Refreshed { root, timestamp, snapshot, .. } = refreshed;
        tracing::debug!(root, timestamp, snapshot, "metadata is up to date");
        Ok(refreshed)
    }

    async fn update_from(&self, source: &Source, now: Timestamp) -> Result<TrustedMetadata, Error> {
        let (mut restarts, mut overtaken) = (self.settings.restarts, 0);
        loop {
            match self.update(source, now).await {
                // The index may have moved on between two files; once more from the start.
                Err(error) if restarts > 0 && is_missing(&error) => restarts -= 1,
                Ok(None) if overtaken < MAX_OVERTAKEN => overtaken += 1,
                Ok(None) => return Err(Error::Busy { folder: self.store.work().to_owned() }),
                Ok(Some(trusted)) => return Ok(trusted),
                Err(error) => return Err(error),
            }
        }
    }

    /// One update; `None` where another process has overtaken it. What that one stored is no longer
    /// what this one began with, and older metadata that was on its way here is no attack.
    async fn update(
        &self,
        source: &Source,
        now: Timestamp,
    ) -> Result<Option<TrustedMetadata>, Error> {
        let role = RoleName::from_static(RoleName::ROOT);
        let mut work = Work::new(self, source);
        let root = work.load(&role).await?;
        let root = root.ok_or_else(|| Error::NotTrusted { url: self.url.clone() })?;
        let damaged = |error| {
            let path = self.store.path_of(&role);
            Error::Disk { path, problem: format!("the trusted root is damaged: {error}") }
        };
        let mut updater = Updater::new(&root, now, self.settings.limits).map_err(damaged)?;
        while let Some(answer) = work.perform(updater.step()).await? {
            if work.overtaken {
                return Ok(None);
            }
            updater = updater.answer(answer)?;
        }
        Ok(Some(updater.finish()?))
    }

    async fn search(&self, generation: &Generation, path: &TargetPath) -> Result<Search, Error> {
        let mut attempts = self.sources.attempts();
        loop {
            match self.search_from(attempts.source(), generation, path).await {
                Err(error) if attempts.go_on_after(&error) => {}
                result => return result,
            }
        }
    }

    async fn search_from(
        &self,
        source: &Source,
        generation: &Generation,
        path: &TargetPath,
    ) -> Result<Search, Error> {
        let mut work = Work::new(self, source);
        let limits = self.settings.limits;
        let mut search = Search::new(path.clone(), &generation.trusted(), limits)?;
        loop {
            let step = search.step(&generation.trusted());
            let Some(answer) = work.perform(step).await? else { break };
            search = search.answer(&mut generation.trusted(), answer)?;
        }
        Ok(search)
    }

    /// Records a successful refresh, and tells of a root that changed since it was told of last. Nothing
    /// depends on it: where it cannot be done now, it is done another time.
    async fn remember(&self, refreshed: &Refreshed, trusted: &TrustedMetadata) {
        // Offline nothing was learned of the index.
        let Some(records) = self.records.clone().filter(|_| !self.settings.offline) else { return };
        let (last, heard) = (LastRefresh::of(refreshed), self.settings.observer.is_heard());
        let root = Arc::clone(trusted.root().bytes());
        let known = blocking(move || {
            records.record(&last);
            if heard { records.tell(&root) } else { None }
        });
        let change = known.await.and_then(|old| RootChange::between(&old, trusted.root()));
        if let Some(change) = change {
            self.settings.observer.tell(Event::RootChanged { url: &self.url, change: &change });
        }
    }

    /// Waits for another process without blocking a thread, and not for ever: it may be stopped.
    async fn lock(&self) -> Result<StoreLock, Error> {
        let since = Instant::now();
        let (mut poll, slowest) = LOCK_POLL;
        let mut told = false;
        loop {
            let store = self.store.clone();
            if let Some(lock) = blocking(move || store.try_lock()).await? {
                return Ok(lock);
            }
            let folder = self.store.work();
            if !told && since.elapsed() > WAIT_UNTOLD {
                tracing::warn!("waiting for another waxseal that holds {}", folder.display());
                told = true;
            }
            let left = self.settings.lock_wait.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Error::Busy { folder: folder.to_owned() });
            }
            tokio::time::sleep(left.min(poll)).await;
            poll = slowest.min(poll * 2);
        }
    }

    /// A write outlives the refresh that a deadline drops, and so must the lock: else an older file
    /// could land after another process's newer one.
    async fn replace(
        &self,
        role: &RoleName,
        seen: Option<Sha256>,
        bytes: Arc<[u8]>,
        lock: StoreLock,
    ) -> Result<bool, Error> {
        let (store, role) = (self.store.clone(), role.clone());
        blocking(move || {
            let written = store.replace(&role, seen, &bytes, &lock);
            drop(lock);
            written
        })
        .await
    }
}

/// Does what steps ask for, with the files of one source.
struct Work<'a> {
    client: &'a Client,
    source: &'a Source,
    /// What the store held when it was read, or what was written since.
    seen: BTreeMap<RoleName, Sha256>,
    /// Whether another process has stored something newer than what was to be stored.
    overtaken: bool,
}

impl<'a> Work<'a> {
    fn new(client: &'a Client, source: &'a Source) -> Self {
        Self { client, source, seen: BTreeMap::new(), overtaken: false }
    }

    /// `None` when the step asks for nothing.
    async fn perform(&mut self, step: Step) -> Result<Option<Answer>, Error> {
        Ok(Some(match step {
            Step::Load(role) => Answer::Loaded(self.load(&role).await?),
            Step::Fetch(file) if self.client.settings.offline => self.known(&file).await?,
            Step::Fetch(file) => {
                let fetched = self.source.metadata(&file).await?;
                fetched.map_or(Answer::NotFound, Answer::Fetched)
            }
            Step::Store(role, bytes) => {
                self.store(&role, bytes).await?;
                Answer::Stored
            }
            Step::Done => return Ok(None),
        }))
    }

    /// What is answered without a network: no newer root, the timestamp that is trusted, and nothing
    /// else that is not in the store already.
    async fn known(&mut self, file: &MetadataFile) -> Result<Answer, Error> {
        if file.role.as_str() == RoleName::ROOT {
            return Ok(Answer::NotFound);
        }
        let is_timestamp = file.role.as_str() == RoleName::TIMESTAMP;
        let known = if is_timestamp { self.load(&file.role).await? } else { None };
        let problem = || format!("{} of the index was never fetched", file.path);
        known.map(Answer::Fetched).ok_or_else(|| Error::Offline { problem: problem() })
    }

    async fn load(&mut self, role: &RoleName) -> Result<Option<Vec<u8>>, Error> {
        let (store, name) = (self.client.store.clone(), role.clone());
        let loaded = blocking(move || store.read(&name)).await?;
        if let Some(bytes) = &loaded {
            self.seen.insert(role.clone(), Sha256::of(bytes));
        }
        Ok(loaded)
    }

    async fn store(&mut self, role: &RoleName, bytes: Arc<[u8]>) -> Result<(), Error> {
        let lock = self.client.lock().await?;
        let seen = self.seen.insert(role.clone(), Sha256::of(&bytes));
        if !self.client.replace(role, seen, bytes, lock).await? {
            self.overtaken = true;
            return Ok(());
        }
        self.client.settings.observer.tell(Event::Trusted { role });
        Ok(())
    }
}

/// Nothing that is done under these locks leaves its value half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn missing(file: &str, named_by: &'static str) -> Error {
    let (file, named_by) = (file.to_owned(), RoleName::from_static(named_by));
    waxseal_tuf::Error::Missing { file, named_by }.into()
}

/// A versioned file is gone; `timestamp.json` is not named by anything that a restart could change.
fn is_missing(error: &Error) -> bool {
    let Error::Verification(waxseal_tuf::Error::Missing { file, .. }) = error else { return false };
    file != "timestamp.json"
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::mpsc;

    use waxseal_testkit::simulator::Simulator;

    use super::*;
    use crate::TrustStores;

    #[test]
    fn the_lock_is_held_until_the_write_of_a_dropped_refresh_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let (stores, url) = (TrustStores::new(folder.path()), "https://a.example".parse().unwrap());
        stores.add(&url, &Simulator::new().first_root(), Simulator::now()).unwrap();
        let client = Client::open(&stores.find(&url).unwrap(), Settings::default()).unwrap();
        let role = RoleName::from_static(RoleName::TIMESTAMP);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();

        let lock = runtime.block_on(client.lock()).unwrap();
        // The one thread for blocking work is taken, so that the write has to wait.
        let (release, released) = mpsc::channel::<()>();
        let occupied = runtime.spawn_blocking(move || released.recv());
        let dropped = runtime.block_on(async {
            let write = client.replace(&role, None, Arc::from(&b"late"[..]), lock);
            tokio::time::timeout(Duration::ZERO, write).await
        });
        assert!(dropped.is_err());
        assert!(client.store.try_lock().unwrap().is_none());
        assert_eq!(client.store.read(&role).unwrap(), None);

        release.send(()).unwrap();
        runtime.block_on(occupied).unwrap().unwrap();
        let _lock = client.store.lock().unwrap();
        assert_eq!(client.store.read(&role).unwrap(), Some(b"late".to_vec()));
    }
}
