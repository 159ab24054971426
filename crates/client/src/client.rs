//! Drives the update workflow over network and disk.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use waxseal_tuf::{
    Answer, MetadataFile, RoleName, Search, Step, TargetFile, TargetPath, TrustedMetadata, Updater,
};

use crate::download::Download;
use crate::fetcher::Fetcher;
use crate::{Error, Fingerprint, IndexUrl, Settings, StoreLock, TrustStore};

/// Most bytes set aside at once for a file whose length only metadata says.
const MAX_RESERVE: u64 = 1 << 20;

/// How often a lock that another process holds is tried again.
const LOCK_POLL: Duration = Duration::from_millis(50);

/// Verified access to one index. Cheap to share by reference; every method may run many times at
/// once.
#[derive(Debug)]
pub struct Client {
    store: TrustStore,
    fetcher: Fetcher,
    settings: Settings,
    current: Mutex<Option<Arc<Generation>>>,
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
    let fetcher = Fetcher::new(index, settings)?;
    let root = fetcher.metadata("1.root.json", settings.limits.root).await?;
    root.ok_or_else(|| missing("1.root.json", RoleName::ROOT).into())
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
    pub fn open(store: TrustStore, settings: Settings) -> Result<Self, Error> {
        let fetcher = Fetcher::new(&store.index().url, &settings)?;
        let (current, refreshing) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Ok(Self { store, fetcher, settings, current, refreshing })
    }

    /// The trust store.
    pub fn store(&self) -> &TrustStore {
        &self.store
    }

    /// Brings root, timestamp, snapshot and targets up to date, all by the time `now` (TUF 5.1). One
    /// process at a time. After an error the trust store holds what it held, and what was verified before
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
        let generation = self.generation()?;
        match self.search(&generation, path).await {
            Err(error) if is_missing(&error) => {
                let generation = self.refresh_since(&generation).await?;
                self.search(&generation, path).await
            }
            result => result,
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

    /// A whole target file, verified. It is held in memory.
    pub async fn read(&self, path: &TargetPath, file: &TargetFile) -> Result<Bytes, Error> {
        let mut download = self.download(path, file).await?;
        let reserve = usize::try_from(file.length.min(MAX_RESERVE)).unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(reserve);
        while let Some(chunk) = download.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Fetches a target file into `destination`, which appears complete and verified or not at all.
    /// `progress` hears how many bytes more are written.
    pub async fn save(
        &self,
        path: &TargetPath,
        file: &TargetFile,
        destination: &Path,
        mut progress: impl FnMut(u64),
    ) -> Result<(), Error> {
        check_replaceable(destination)?;
        let mut download = self.download(path, file).await?;
        let failed = || Error::disk(destination, "cannot write it");
        let folder = destination.parent().filter(|folder| !folder.as_os_str().is_empty());
        // As any program would make it: the umask decides who may read it.
        let aside = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")));
        let (mut output, aside) = aside.map_err(failed())?.into_parts();
        while let Some(chunk) = download.next().await? {
            let length = chunk.len() as u64;
            output = blocking(move || {
                std::io::Write::write_all(&mut output, &chunk)?;
                Ok(output)
            })
            .await
            .map_err(failed())?;
            progress(length);
        }
        blocking(move || output.sync_all()).await.map_err(failed())?;
        aside.persist(destination).map_err(|error| failed()(error.error))
    }

    /// Starts to fetch a target file. If the index has lost it, the metadata is refreshed once.
    pub async fn download(&self, path: &TargetPath, file: &TargetFile) -> Result<Download, Error> {
        let generation = self.generation()?;
        let location = generation.trusted().target_location(path, file)?;
        if let Some(body) = self.fetcher.target(&location).await? {
            return Download::new(body, path, file);
        }
        let generation = self.refresh_since(&generation).await?;
        if self.search(&generation, path).await?.as_ref() != Some(file) {
            return Err(Error::Superseded { path: path.to_string() });
        }
        match self.fetcher.target(&location).await? {
            Some(body) => Download::new(body, path, file),
            None => Err(missing(&location, RoleName::TARGETS).into()),
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
        let trusted = match self.update(now).await {
            // The index may have moved on between two files; once more from the start.
            Err(error) if is_missing(&error) => self.update(now).await?,
            result => result?,
        };
        let refreshed = Refreshed::of(&trusted);
        let generation = Generation { trusted: Mutex::new(trusted), refreshed };
        *locked(&self.current) = Some(Arc::new(generation));
        let Refreshed { root, timestamp, snapshot, .. } = refreshed;
        tracing::debug!(root, timestamp, snapshot, "metadata is up to date");
        Ok(refreshed)
    }

    async fn update(&self, now: Timestamp) -> Result<TrustedMetadata, Error> {
        let lock = self.lock().await?;
        let root = self.trusted_root().await?;
        let damaged = |error| {
            let path = self.store.path_of(&root.0);
            Error::Disk { path, problem: format!("the trusted root is damaged: {error}") }
        };
        let mut updater = Updater::new(&root.1, now, self.settings.limits).map_err(damaged)?;
        loop {
            let step = updater.step();
            let Some(answer) = self.perform(step, Some(&lock)).await? else { break };
            updater = updater.answer(answer)?;
        }
        Ok(updater.finish()?)
    }

    /// Waits for another process without blocking a thread, and not for ever: it may be stopped.
    async fn lock(&self) -> Result<Arc<StoreLock>, Error> {
        let since = Instant::now();
        let mut told = false;
        loop {
            let store = self.store.clone();
            if let Some(lock) = blocking(move || store.try_lock()).await? {
                return Ok(Arc::new(lock));
            }
            let folder = self.store.folder();
            if !told {
                tracing::warn!("waiting for another waxseal that holds {}", folder.display());
                told = true;
            }
            let left = self.settings.lock_wait.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Error::Busy { folder: folder.to_owned() });
            }
            tokio::time::sleep(left.min(LOCK_POLL)).await;
        }
    }

    async fn trusted_root(&self) -> Result<(RoleName, Vec<u8>), Error> {
        let role = RoleName::new(RoleName::ROOT)?;
        let (store, name) = (self.store.clone(), role.clone());
        let root = blocking(move || store.read(&name)).await?;
        let url = || self.store.index().url.to_string();
        root.map(|root| (role, root)).ok_or_else(|| Error::NotTrusted { url: url() })
    }

    async fn search(
        &self,
        generation: &Generation,
        path: &TargetPath,
    ) -> Result<Option<TargetFile>, Error> {
        let limits = self.settings.limits;
        let mut search = Search::new(path.clone(), &generation.trusted(), limits)?;
        loop {
            let step = search.step(&generation.trusted());
            let Some(answer) = self.perform(step, None).await? else { break };
            search = search.answer(&mut generation.trusted(), answer)?;
        }
        Ok(search.finish())
    }

    /// Does what a step asks for; `None` when it asks for nothing. A refresh gives its lock.
    async fn perform(
        &self,
        step: Step,
        lock: Option<&Arc<StoreLock>>,
    ) -> Result<Option<Answer>, Error> {
        let store = self.store.clone();
        Ok(Some(match step {
            Step::Load(role) => Answer::Loaded(blocking(move || store.read(&role)).await?),
            Step::Fetch(file) => self.fetch(&file).await?,
            Step::Store(role, bytes) => {
                // A write outlives the refresh that a deadline drops, and so must the lock: else
                // an older file could land after another process's newer one.
                let lock = lock.cloned();
                blocking(move || {
                    let written = store.write(&role, &bytes);
                    drop(lock);
                    written
                })
                .await?;
                Answer::Stored
            }
            Step::Done => return Ok(None),
        }))
    }

    async fn fetch(&self, file: &MetadataFile) -> Result<Answer, Error> {
        let fetched = self.fetcher.metadata(&file.path, file.max_length).await?;
        Ok(fetched.map_or(Answer::NotFound, Answer::Fetched))
    }
}

/// A file is written aside and moved into place, which would put it in the place of a device or a
/// folder as well.
fn check_replaceable(destination: &Path) -> Result<(), Error> {
    match std::fs::metadata(destination) {
        Ok(there) if !there.is_file() => Err(Error::Disk {
            path: destination.to_owned(),
            problem: "it is not a file, and would be replaced by one".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Nothing that is done under these locks leaves its value half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn missing(file: &str, named_by: &str) -> waxseal_tuf::Error {
    match RoleName::new(named_by) {
        Ok(named_by) => waxseal_tuf::Error::Missing { file: file.to_owned(), named_by },
        Err(_) => waxseal_tuf::Error::Misuse { expected: "the name of a role" },
    }
}

/// A versioned file is gone; `timestamp.json` is not named by anything that a restart could change.
fn is_missing(error: &Error) -> bool {
    let Error::Verification(waxseal_tuf::Error::Missing { file, .. }) = error else { return false };
    file != "timestamp.json"
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled: the runtime is going down, and this future with it.
            Err(_) => std::future::pending().await,
        },
    }
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
        let client = Client::open(stores.find(&url).unwrap(), Settings::default()).unwrap();
        let role = RoleName::from_static(RoleName::TIMESTAMP);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().max_blocking_threads(1).build().unwrap();

        let lock = runtime.block_on(client.lock()).unwrap();
        // The one thread for blocking work is taken, so that the write has to wait.
        let (release, released) = mpsc::channel::<()>();
        let occupied = runtime.spawn_blocking(move || released.recv());
        let step = Step::Store(role.clone(), Arc::from(&b"late"[..]));
        let dropped = runtime.block_on(async {
            tokio::time::timeout(Duration::ZERO, client.perform(step, Some(&lock))).await
        });
        assert!(dropped.is_err());
        drop(lock);
        assert!(client.store.try_lock().unwrap().is_none());
        assert_eq!(client.store.read(&role).unwrap(), None);

        release.send(()).unwrap();
        runtime.block_on(occupied).unwrap().unwrap();
        let _lock = client.store.lock().unwrap();
        assert_eq!(client.store.read(&role).unwrap(), Some(b"late".to_vec()));
    }
}
