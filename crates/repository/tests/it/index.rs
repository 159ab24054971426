//! An index made by a real ceremony with keys that follow from their labels, which can be dropped
//! and opened again as after a crash.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use waxseal_index::{DistributionFilename, FileKind};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{
    self, Ceremony, Holder, OfflineLifetimes, OneTimeKeys, Plan, Signers,
};
use waxseal_repository::database::{Database, SqliteDatabase};
use waxseal_repository::store::{FilesystemStore, MemoryStore, Store, StoreKey};
use waxseal_repository::{
    Accepted, Error, Lifetimes, OnlineKeys, Repository, SnapshotProcess, Upload, WriterLock,
};
use waxseal_testkit::faults::Faults;
use waxseal_testkit::faulty_database::FaultyDatabase;
use waxseal_testkit::faulty_store::FaultyStore;
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::Signer;
use waxseal_tuf::hash::{Sha256, Sha512};

use super::audit;

/// The most bytes of an object here.
pub(crate) const LIMIT: u64 = 1 << 26;

/// When the ceremony is held; later than the clock of this machine, which some tests go by.
pub(crate) fn start() -> Timestamp {
    "2100-01-01T00:00:00Z".parse().unwrap()
}

/// So many hours later.
pub(crate) fn hours(count: i64) -> Timestamp {
    start() + SignedDuration::from_hours(count)
}

/// So many minutes later.
pub(crate) fn minutes(count: i64) -> Timestamp {
    start() + SignedDuration::from_mins(count)
}

/// Where the objects of an index lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Filesystem,
}

impl Kind {
    pub(crate) const EACH: [Self; 2] = [Self::Memory, Self::Filesystem];
}

/// What outlives a process: the folder with the database, and the store.
pub(crate) struct Index {
    folder: TempDir,
    kind: Kind,
    bins: Bins,
    pub(crate) online: TestKey,
    pub(crate) store: FaultyStore,
    pub(crate) database_faults: Faults,
}

impl Index {
    /// Nothing yet, with eight succinct bins to be.
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with_bins(kind, Bins::new(8, BinStyle::Succinct).unwrap())
    }

    pub(crate) fn with_bins(kind: Kind, bins: Bins) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), kind, bins)
    }

    /// An index whose folder is there already.
    pub(crate) fn in_folder(folder: TempDir, kind: Kind, bins: Bins) -> Self {
        Self::with_faults(folder, kind, bins, Faults::default(), Faults::default())
    }

    /// An index whose store and whose database fail as it is told; both may go by one plan.
    pub(crate) fn with_faults(
        folder: TempDir,
        kind: Kind,
        bins: Bins,
        of_store: Faults,
        of_database: Faults,
    ) -> Self {
        let inner: Arc<dyn Store> = match kind {
            Kind::Memory => Arc::new(MemoryStore::new()),
            Kind::Filesystem => filesystem(folder.path()),
        };
        let store = FaultyStore::new(inner, of_store);
        store.set_watch(Arc::new(watch));
        let online = TestKey::new("online");
        Self { folder, kind, bins, online, store, database_faults: of_database }
    }

    /// An index that was just made, with its first snapshot published.
    pub(crate) fn published(kind: Kind) -> (Self, Arc<Repository>, SnapshotProcess) {
        let index = Self::new(kind);
        let (repository, process) = index.create().unwrap();
        process.publish_all(start()).unwrap();
        (index, repository, process)
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database_path(&self) -> PathBuf {
        self.path().join("waxseal.sqlite")
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.path().join("writer.lock")
    }

    pub(crate) fn database(&self) -> Box<dyn Database> {
        let database = Box::new(SqliteDatabase::open(self.database_path()).unwrap());
        Box::new(FaultyDatabase::new(database, self.database_faults.clone()))
    }

    pub(crate) fn ceremony(&self) -> Ceremony {
        ceremony_with(self.bins, &self.online)
    }

    /// Makes the repository, or finds that it was made.
    pub(crate) fn create(&self) -> Result<(Arc<Repository>, SnapshotProcess), Error> {
        let store = Box::new(self.store.clone());
        let repository = Arc::new(Repository::create(store, self.database(), &self.ceremony())?);
        let process = self.process(&repository)?;
        Ok((repository, process))
    }

    /// Opens what is there, as another process would.
    pub(crate) fn open(&self) -> Result<(Arc<Repository>, SnapshotProcess), Error> {
        let repository = Arc::new(self.open_repository()?);
        let process = self.process(&repository)?;
        Ok((repository, process))
    }

    pub(crate) fn open_repository(&self) -> Result<Repository, Error> {
        if self.kind == Kind::Filesystem {
            self.store.reopened(filesystem(self.path()));
        }
        Repository::open(Box::new(self.store.clone()), self.database())
    }

    pub(crate) fn process(&self, repository: &Arc<Repository>) -> Result<SnapshotProcess, Error> {
        self.process_with(repository, Box::new(self.online.clone()) as Box<dyn Signer>)
    }

    pub(crate) fn process_with(
        &self,
        repository: &Arc<Repository>,
        online: impl Into<OnlineKeys>,
    ) -> Result<SnapshotProcess, Error> {
        let lock = WriterLock::acquire(&self.lock_path())?;
        SnapshotProcess::new(Arc::clone(repository), online, Lifetimes::default(), lock)
    }
}

/// At every moment a client finds a whole repository. Nothing has expired for one of that time.
fn watch(store: &dyn Store, method: &str) {
    if store.read(&StoreKey::Timestamp, LIMIT).unwrap().is_some() {
        audit::read_everything(store, &mut BTreeMap::new(), Timestamp::UNIX_EPOCH)
            .unwrap_or_else(|error| panic!("after {method} a client finds that {error}"));
    }
}

fn filesystem(folder: &Path) -> Arc<dyn Store> {
    Arc::new(FilesystemStore::open(folder.join("store")).unwrap())
}

/// A ceremony in the shape of the PEP, the same every time.
pub(crate) fn ceremony(bins: Bins) -> Ceremony {
    ceremony_with(bins, &TestKey::new("online"))
}

fn ceremony_with(bins: Bins, online: &TestKey) -> Ceremony {
    let keys = ["root-a", "root-b", "root-c", "targets-a", "targets-b", "bins-a", "bins-b"];
    let keys = keys.map(TestKey::new);
    let [a, b, c, targets_a, targets_b, bins_a, bins_b] =
        keys.each_ref().map(|key| key as &dyn Signer);
    let one_time = OneTimeKeys { targets: &[targets_a, targets_b], bins: &[bins_a, bins_b] };
    let holders = ["root-a", "root-b", "root-c"].map(holder);
    let plan = Plan {
        holders: holders.into(),
        root_threshold: 2,
        online: online.public_key().clone(),
        bins,
        lifetimes: OfflineLifetimes::default(),
    };
    let signers = Signers { root: &[a, b, c], one_time: Some(one_time) };
    ceremony::perform(&plan, None, signers, start()).unwrap()
}

/// Who holds the key that follows from a label.
pub(crate) fn holder(label: &str) -> Holder {
    Holder { name: label.to_owned(), key: TestKey::new(label).public_key().clone() }
}

/// Uploads a file of these bytes; a wheel comes with core metadata.
pub(crate) fn upload(
    repository: &Repository,
    filename: &str,
    bytes: &[u8],
) -> Result<Accepted, Error> {
    let mut file = repository.store().spool()?;
    file.write_all(bytes).unwrap();
    let filename: DistributionFilename = filename.parse().unwrap();
    let name = filename.project().as_str();
    let wheel = filename.kind() == FileKind::Wheel;
    repository.accept(Upload {
        display_name: name.parse().unwrap(),
        file,
        sha256: Sha256::of(bytes),
        sha512: repository.hash_algorithms().has_sha512().then(|| Sha512::of(bytes)),
        size: bytes.len() as u64,
        metadata: wheel.then(|| format!("Name: {name}\nVersion: {}\n", filename.version()).into()),
        requires_python: wheel.then(|| ">=3.9".to_owned()),
        uploaded_by: "laptop".to_owned(),
        upload_time: start(),
        filename,
    })
}

/// Uploads a file whose bytes follow from its name, and answers its serial.
pub(crate) fn send(repository: &Repository, filename: &str) -> u64 {
    match upload(repository, filename, filename.as_bytes()).unwrap() {
        Accepted::New { serial } | Accepted::Same { serial } => serial,
        refused => panic!("{filename} is refused: {refused:?}"),
    }
}
