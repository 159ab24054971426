//! The snapshot process: the one writer of a repository (PEP 458, "Producing Consistent Snapshots").
//!
//! A batch goes through four steps, and each is durable before the next begins:
//!
//! 1. *stage*: one database transaction holds the whole batch: the signed files, the catalog's new
//!    rows, and the version numbers, which thereby are used up;
//! 2. *create*: pages, bins and snapshot are created in the store, and files get their plain names;
//! 3. *commit*: `timestamp.json` is replaced, if it still is the one the batch was planned on;
//! 4. *finish*: one database transaction makes the batch what is published, and forgets it.
//!
//! Every step may be repeated. Resuming after a crash is steps 2 to 4 of the batch that is staged,
//! which is also how a batch that was planned a moment ago is published: there is no other path.
//! Whatever waits in the journal when a batch is planned goes into it (group commit).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{debug, error, info};
use waxseal_tuf::Signer;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata;

use crate::batch::{Lifetimes, Planner};
use crate::bins::Bins;
use crate::ceremony::BINS;
use crate::database::{StagedBatch, StagedObject};
use crate::error::Error;
use crate::repository::{Repository, read_claims};
use crate::store::StoreKey;

/// Most journal entries in one batch.
const ENTRIES_A_BATCH: u64 = 1_000;
/// How often it looks for roles that run out.
const RENEWAL_CHECK: Duration = Duration::from_mins(1);
/// Longest pause after a failure; the first one is a tenth of a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The right to write to a repository; exactly one process has it.
///
/// It is a lock that the operating system takes back when the process ends, however it ends.
#[derive(Debug)]
pub struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the right for the repository whose lock file is `path`, or says that another process
    /// has it.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::WriterLock { path: PathBuf::from(path), source };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::SecondWriter { path: path.into() }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The one writer of a repository.
#[derive(Debug)]
pub struct SnapshotProcess {
    repository: Arc<Repository>,
    online: Box<dyn Signer>,
    lifetimes: Lifetimes,
    bins: Bins,
    _lock: WriterLock,
}

/// One published snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The version of snapshot.
    pub snapshot: u64,
    /// The serial up to which it holds the journal.
    pub serial: u64,
}

impl SnapshotProcess {
    /// Prepares to write, with the online key.
    pub fn new(
        repository: Arc<Repository>,
        online: Box<dyn Signer>,
        lifetimes: Lifetimes,
        lock: WriterLock,
    ) -> Result<Self, Error> {
        let bins = read_bins(&repository, &*online)?;
        Ok(Self { repository, online, lifetimes, bins, _lock: lock })
    }

    /// Publishes at the time `now` what waits and what runs out, as one snapshot; `None` when there
    /// is nothing of either. A batch that an earlier run staged is published first.
    pub fn publish(&self, now: Timestamp) -> Result<Option<Published>, Error> {
        let database = self.repository.database();
        if let Some(staged) = database.staged()? {
            info!(snapshot = staged.snapshot_version, "resume the staged snapshot");
            return self.finish(&staged).map(Some);
        }
        let entries = database.waiting(database.published_serial()?, ENTRIES_A_BATCH)?;
        let planner = Planner {
            database,
            bins: self.bins,
            online: &*self.online,
            lifetimes: self.lifetimes,
            now,
            timestamp: self.published_timestamp()?,
        };
        let Some((change, batch)) = planner.plan(&entries)? else { return Ok(None) };
        database.stage(&change, &batch)?;
        self.finish(&batch).map(Some)
    }

    /// Publishes until nothing waits and nothing runs out.
    pub fn publish_all(&self, now: Timestamp) -> Result<(), Error> {
        while self.publish(now)?.is_some() {}
        Ok(())
    }

    /// Steps 2 to 4, of a batch that is staged.
    fn finish(&self, batch: &StagedBatch) -> Result<Published, Error> {
        let store = self.repository.store();
        let objects: Vec<_> = batch.objects.iter().map(StagedObject::as_object).collect();
        store.create(&objects)?;
        store.link(&batch.links)?;
        store.replace_timestamp(batch.previous_timestamp, &batch.timestamp)?;
        self.repository.database().finish_staged(batch.snapshot_version)?;
        let published = Published { snapshot: batch.snapshot_version, serial: batch.serial };
        self.repository.announce(published.serial);
        debug!(
            snapshot = published.snapshot,
            serial = published.serial,
            objects = objects.len(),
            "published a snapshot"
        );
        Ok(published)
    }

    /// Publishes whatever comes until `stop` is set and everything accepted is published. Failures
    /// are logged and tried again; what they hold up stays in the journal. One that is met while
    /// stopping is returned: then something accepted is not published yet.
    pub fn run(&self, stop: &Stop) -> Result<(), Error> {
        let mut pause = None;
        loop {
            let stopping = stop.is_requested();
            match self.publish(Timestamp::now()) {
                Ok(Some(_)) => pause = None,
                Ok(None) if stopping => return Ok(()),
                Ok(None) => self.repository.wake().wait(RENEWAL_CHECK),
                Err(failure) if stopping => return Err(failure),
                Err(failure) => {
                    error!("the snapshot process failed and tries again: {failure}");
                    let next = pause.map_or(Duration::from_millis(100), |last: Duration| last * 2);
                    let next = next.min(LONGEST_PAUSE);
                    self.pause(next, stop);
                    pause = Some(next);
                }
            }
        }
    }

    /// Uploads do not end a pause; a request to stop does.
    fn pause(&self, length: Duration, stop: &Stop) {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.is_requested() {
                return;
            }
            self.repository.wake().wait(left);
        }
    }

    fn published_timestamp(&self) -> Result<Option<Sha256>, Error> {
        let bytes = self.repository.metadata_file(&StoreKey::Timestamp)?;
        Ok(bytes.map(|bytes| Sha256::of(&bytes)))
    }
}

/// Asks [`SnapshotProcess::run`] to end.
#[derive(Debug, Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    repository: Arc<Repository>,
}

impl Stop {
    /// A stop for the snapshot process of `repository`.
    pub fn new(repository: Arc<Repository>) -> Self {
        Self { requested: Arc::default(), repository }
    }

    /// Asks it to end when everything accepted is published.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.repository.wake().wake();
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}

/// The bins that the repository delegates to, which the online key must be able to sign.
fn read_bins(repository: &Repository, online: &dyn Signer) -> Result<Bins, Error> {
    let damaged = |problem: &str| Error::NotARepository { problem: problem.to_owned() };
    let row = repository.database().role(&BINS)?;
    let row = row.ok_or_else(|| damaged("it has no role `bins`"))?;
    let key = StoreKey::Metadata { version: row.version, role: BINS };
    let bytes = repository.metadata_file(&key)?;
    let bytes = bytes.ok_or_else(|| damaged("the metadata of its role `bins` is missing"))?;
    let metadata: metadata::Targets = read_claims("bins.json", &bytes)?;
    let bins = Bins::of(&metadata);
    let bins = bins.ok_or_else(|| damaged("`bins` does not delegate to a power of two of bins"))?;
    let keyid = online.public_key().default_keyid();
    let delegations = metadata.delegations.as_ref();
    let trusted = delegations.and_then(|delegations| delegations.role_keys(&bins.role(0)));
    match trusted.is_some_and(|role| role.keyids.contains(&keyid)) {
        true => Ok(bins),
        false => Err(Error::WrongOnlineKey { keyid: keyid.to_string() }),
    }
}
