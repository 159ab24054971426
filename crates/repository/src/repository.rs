//! A repository as web processes see it: they accept uploads and read what is published, and hold no
//! key.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::NamedTempFile;
use tokio::sync::watch;
use waxseal_index::simple::ProjectList;
use waxseal_index::{DistributionFilename, ProjectName, paths};
use waxseal_tuf::hash::{Sha256, Sha512};
use waxseal_tuf::metadata::{self, Unverified};
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use crate::accept_targets::TargetsTogether;
use crate::bin_file::{Entries, is_recorded};
use crate::bins::Bins;
use crate::ceremony::{self, BINS, Ceremony};
use crate::current_bins::CurrentBins;
use crate::database::{
    Appended, Batch, BinRow, CoreMetadata, Database, FullBin, Growth, ROOM, Revocation, RoleRow,
    UploadAppend, UploadEntry,
};
use crate::error::Error;
use crate::hash_algorithms::HashAlgorithms;
use crate::layout::Layout;
use crate::recent_bins::RecentBins;
use crate::store::{Object, Store, StoreKey};
use crate::together::Together;

/// The most bytes a metadata file of ours is read with.
pub(crate) const METADATA_LIMIT: u64 = 64 << 20;

/// The longest filename, in bytes, where a SHA-512 in hex and a dot are before it, and `.provenance` behind.
const LONGEST_WITH_SHA512: usize = 255 - 129 - 11;

/// The most uploads that are appended to the journal in one commit.
const MAX_TOGETHER: usize = 256;

/// A repository: its store, its database, and the serial up to which it is published.
#[derive(Debug)]
pub struct Repository {
    store: Box<dyn Store>,
    database: Box<dyn Database>,
    bins: CurrentBins,
    hash_algorithms: RwLock<HashAlgorithms>,
    published: watch::Sender<u64>,
    publishing: Mutex<Publishing>,
    wake: Wake,
    recent_bins: RecentBins,
    target_appends: TargetsTogether,
    upload_appends: Together<UploadAppend, Result<Appended, Error>>,
}

/// What the snapshot process is at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Publishing {
    /// Nothing, or it runs in another process.
    #[default]
    Idle,
    /// It signs and writes.
    Working {
        /// Since when.
        since: Timestamp,
    },
    /// It fails and tries again. What is accepted meanwhile waits in the journal.
    Failing {
        /// Since when.
        since: Timestamp,
        /// The last failure.
        problem: String,
    },
}

/// A file that was uploaded and checked, still in the store's spool.
#[derive(Debug)]
pub struct Upload {
    /// Its filename.
    pub filename: DistributionFilename,
    /// The project's name as its metadata spells it.
    pub display_name: ProjectName,
    /// Its bytes, in a file of [`Store::spool`].
    pub file: NamedTempFile,
    /// SHA-256 of its bytes.
    pub sha256: Sha256,
    /// SHA-512 of its bytes, where [`Repository::hash_algorithms`] has that; where it is missing, the file
    /// is read once more to be published.
    pub sha512: Option<Sha512>,
    /// How many bytes it has.
    pub size: u64,
    /// The core metadata to publish beside it (PEP 658).
    pub metadata: Option<Vec<u8>>,
    /// `Requires-Python` of its core metadata.
    pub requires_python: Option<String>,
    /// The name of the token it came with.
    pub uploaded_by: String,
    /// When it was uploaded.
    pub upload_time: Timestamp,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the journal for good.
    New {
        /// Its serial.
        serial: u64,
    },
    /// The same file was uploaded before.
    Same {
        /// The serial it got then.
        serial: u64,
    },
    /// The filename belongs to other bytes; nothing changed.
    Taken {
        /// The filename as it was uploaded then.
        filename: String,
    },
    /// It would be the project's first upload, and the API has targets among the project's paths;
    /// nothing changed.
    Foreign {
        /// One of those targets.
        path: String,
    },
    /// It was revoked, or its project was; nothing changed.
    Revoked(Revocation),
}

impl Repository {
    /// Makes a new repository out of what a ceremony signed. Nothing is visible to clients until the
    /// snapshot process ran for the first time.
    ///
    /// Made again with the same ceremony, it does nothing; with another one it fails, because root
    /// version 1 is there already.
    pub fn create(
        store: Box<dyn Store>,
        database: Box<dyn Database>,
        ceremony: &Ceremony,
    ) -> Result<Self, Error> {
        let roles = ceremony::check_first(ceremony)?;
        let files = [
            (ROOT, roles.root().version, roles.root().expires, roles.root().bytes()),
            (
                RoleName::targets(),
                roles.targets().version,
                roles.targets().expires,
                roles.targets().bytes(),
            ),
            (BINS, roles.bins_role().version, roles.bins_role().expires, roles.bins_role().bytes()),
        ];
        let key = |role: &RoleName, version| StoreKey::Metadata { version, role: role.clone() };
        let keys = files.each_ref().map(|(role, version, ..)| key(role, *version));
        let objects: Vec<_> =
            keys.iter().zip(&files).map(|(key, (.., bytes))| Object { key, bytes }).collect();
        store.create(&objects)?;
        let rows = files.map(|(name, version, expires, _)| RoleRow {
            name,
            version,
            published: version,
            expires,
        });
        database.record_first_roles(&rows)?;
        Self::open(store, database)
    }

    /// Opens a repository that [`Repository::create`] made.
    pub fn open(store: Box<dyn Store>, database: Box<dyn Database>) -> Result<Self, Error> {
        check_same_age(&*store, &*database)?;
        Self::open_after_compromise(store, database)
    }

    /// The same where `timestamp.json` may be somebody else's: to be followed by
    /// [`SnapshotProcess::recover`](crate::SnapshotProcess::recover), and by new roots.
    pub fn open_after_compromise(
        store: Box<dyn Store>,
        database: Box<dyn Database>,
    ) -> Result<Self, Error> {
        let bins = read_bins(&*store, &*database)?;
        let published = watch::Sender::new(database.published_serial()?);
        let hash_algorithms = RwLock::new(database.listing()?.wanted());
        Ok(Self {
            store,
            database,
            bins: CurrentBins::new(bins),
            hash_algorithms,
            published,
            publishing: Mutex::default(),
            wake: Wake::default(),
            recent_bins: RecentBins::default(),
            target_appends: Together::default(),
            upload_appends: Together::default(),
        })
    }

    /// What clients download.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Journal, catalog and tokens.
    pub fn database(&self) -> &dyn Database {
        &*self.database
    }

    /// Takes an upload into the journal: when this returns, it is there for good, and the snapshot
    /// process knows of it.
    ///
    /// The bytes are stored first, under their hash, so that the journal never names what is not
    /// there. An upload that then is refused leaves an object that no metadata names.
    ///
    /// [`Error::NoSpace`] when so little space is left that the snapshot process needs it, and
    /// [`Error::BinFull`] when a bin would become longer than clients read.
    pub fn accept(&self, upload: Upload) -> Result<Accepted, Error> {
        let entry = UploadEntry {
            project: upload.filename.project().to_string(),
            display_name: upload.display_name.to_string(),
            version: upload.filename.version().to_string(),
            filename: upload.filename.to_string(),
            sha256: upload.sha256,
            sha512: upload.sha512,
            size: upload.size,
            metadata: upload.metadata.as_deref().map(CoreMetadata::of),
            requires_python: upload.requires_python.clone(),
            uploaded_by: upload.uploaded_by.clone(),
            upload_time: upload.upload_time,
        };
        if self.hash_algorithms().has_sha512() && entry.filename.len() > LONGEST_WITH_SHA512 {
            let (filename, limit) = (entry.filename, LONGEST_WITH_SHA512);
            return Err(Error::FilenameTooLong { filename, limit });
        }
        let identity = upload.filename.identity();
        if let Some(revoked) = self.database.revocation(&entry.project, &identity)? {
            return Ok(Accepted::Revoked(revoked));
        }
        if let Some(claim) = self.database.claimed(&identity)? {
            return self.accepted(claim, &entry);
        }
        self.check_space()?;
        if let Some(path) = self.foreign_target(&upload.filename)? {
            return Ok(Accepted::Foreign { path: path.to_string() });
        }
        let growth = self.growth(&upload.filename)?;
        // Until the journal names them.
        let _hold = self.database.hold_objects()?;
        self.store_upload(upload)?;
        let append = UploadAppend { entry: entry.clone(), identity, growth };
        let appended = self.upload_appends.ask(
            append,
            MAX_TOGETHER,
            |_| 1,
            |group| {
                match self.database.append_uploads(group) {
                    Ok(answers) => answers.into_iter().map(Ok).collect(),
                    // A repetition answers whether it was recorded nevertheless.
                    Err(error) => error.for_each(group.len()).map(Err).collect(),
                }
            },
        )?;
        self.wake.wake();
        self.accepted(appended, &entry)
    }

    /// What an upload adds to the bins: its targets, and its project's pages, as if they were new. The
    /// lists of projects are there from the first snapshot on, and change without growing.
    fn growth(&self, filename: &DistributionFilename) -> Result<Growth, Error> {
        let project = filename.project();
        let mut paths = vec![paths::project_json(project), paths::project_html(project)];
        if self.database.layout()?.unwrap_or_default().lists_files() {
            paths.extend([paths::distribution(filename), paths::core_metadata(filename)]);
        }
        let paths = paths.into_iter().map(target_path).collect::<Result<Vec<_>, _>>()?;
        Ok(Growth::of_upload(self.bins(), self.hash_algorithms(), paths.iter()))
    }

    fn accepted(&self, appended: Appended, upload: &UploadEntry) -> Result<Accepted, Error> {
        Ok(match appended {
            Appended::New(serial) => Accepted::New { serial },
            Appended::Same(serial) => Accepted::Same { serial },
            Appended::Taken { serial, filename, sha256 } => {
                match filename == upload.filename && sha256 == upload.sha256 {
                    true => Accepted::Same { serial },
                    false => Accepted::Taken { filename },
                }
            }
            Appended::Foreign { path } => Accepted::Foreign { path },
            Appended::Revoked(revoked) => Accepted::Revoked(revoked),
            Appended::Full(full) => return Err(self.bin_full(full)),
        })
    }

    pub(crate) fn bin_full(&self, FullBin { number, length }: FullBin) -> Error {
        let (bin, bins) = (self.bins().role(number), self.bins().good_count(length));
        Error::BinFull { bin, length, limit: ROOM, bins }
    }

    /// Puts the file and its core metadata where the metadata of a snapshot will name them.
    fn store_upload(&self, upload: Upload) -> Result<(), Error> {
        let path = target_path(paths::distribution(&upload.filename))?;
        let key = StoreKey::Target { path, digest: upload.sha256.into() };
        let Some(bytes) = &upload.metadata else {
            return Ok(self.store.create_from_file(&key, upload.file, &[])?);
        };
        let path = target_path(paths::core_metadata(&upload.filename))?;
        let metadata_key = StoreKey::Target { path, digest: Sha256::of(bytes).into() };
        let beside = [Object { key: &metadata_key, bytes }];
        Ok(self.store.create_from_file(&key, upload.file, &beside)?)
    }

    /// [`Error::NoSpace`] when so little space is left that the snapshot process needs it.
    pub fn check_space(&self) -> Result<(), Error> {
        match self.store.has_reserve()? {
            true => Ok(()),
            false => Err(Error::NoSpace),
        }
    }

    /// What the snapshot process of this program is at; of one in another process it knows nothing.
    pub fn publishing(&self) -> Publishing {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn report(&self, publishing: Publishing) {
        *self.publishing.lock().unwrap_or_else(PoisonError::into_inner) = publishing;
    }

    /// A target of another index at a path which a project's first upload would take. What the API
    /// changed lately is looked at when the upload is appended.
    fn foreign_target(&self, filename: &DistributionFilename) -> Result<Option<TargetPath>, Error> {
        let project = filename.project();
        if self.database.is_hosted(project.as_str())? {
            return Ok(None);
        }
        for path in [
            paths::project_json(project),
            paths::project_html(project),
            paths::distribution(filename),
            paths::core_metadata(filename),
        ] {
            let path = target_path(path)?;
            if self.target(&path)?.is_some() {
                return Ok(Some(path));
            }
        }
        if self.database.hosts_projects()? {
            return Ok(None);
        }
        for list in [paths::PROJECT_LIST_JSON, paths::PROJECT_LIST_HTML] {
            let path = target_path(list.to_owned())?;
            let file = self.target(&path)?;
            if file.is_some() && !Self::is_empty_list(&path, file.as_ref()) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    /// Whether this is a list of projects as this index makes it without any: it gives way to the list
    /// of another index.
    pub(crate) fn is_empty_list(path: &TargetPath, file: Option<&TargetFile>) -> bool {
        let list = ProjectList { names: BTreeSet::new() };
        let bytes = match path.as_str() {
            paths::PROJECT_LIST_JSON => list.to_json(),
            paths::PROJECT_LIST_HTML => list.to_html(),
            _ => return false,
        };
        let mut listed = file.into_iter().flat_map(|file| file.hashes.known()).peekable();
        listed.peek().is_some() && listed.all(|digest| digest.is_of(&bytes))
    }

    /// The serial up to which everything is published; it changes when a snapshot is.
    pub fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// What is listed of everything that is signed from now on.
    pub fn hash_algorithms(&self) -> HashAlgorithms {
        *self.hash_algorithms.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list_with(&self, algorithms: HashAlgorithms) {
        *self.hash_algorithms.write().unwrap_or_else(PoisonError::into_inner) = algorithms;
    }

    /// Which bin signs a target.
    pub fn bins(&self) -> Bins {
        self.bins.get()
    }

    /// For what goes by them and by what is published.
    pub(crate) fn current_bins(&self) -> &CurrentBins {
        &self.bins
    }

    /// The target at `path` in the published snapshot.
    pub fn target(&self, path: &TargetPath) -> Result<Option<TargetFile>, Error> {
        self.bins.consistently(|| {
            let mut found = self.targets_in_bin(self.bins().bin_of(path), &[path])?;
            Ok(found.pop().flatten())
        })
    }

    /// The published targets at paths that are all of one bin and ordered.
    pub(crate) fn targets_in_bin(
        &self,
        bin: u32,
        paths: &[&TargetPath],
    ) -> Result<Vec<Option<TargetFile>>, Error> {
        let nothing = || Ok(vec![None; paths.len()]);
        let Some(row) = self.database.bin(bin)? else { return nothing() };
        let Some(file) = self.published_bin(&row)? else { return nothing() };
        // The snapshot process may change it soon.
        if let Some(published) = row.published {
            self.recent_bins.keep(bin, published, &file);
        }
        let found = Entries::of_file(&file).and_then(|entries| entries.find(paths));
        found.map_err(|_| self.bin_not_ours(&row))
    }

    /// The digest of a file that clients find under its own name: a target, or in the layout `index` a
    /// file or core metadata that a published page lists.
    pub fn plain_file(&self, path: &TargetPath) -> Result<Option<String>, Error> {
        if let Some(file) = self.target(path)? {
            return Ok(file.hashes.file_name_digest().map(str::to_owned));
        }
        if self.database.layout()? != Some(Layout::Index) {
            return Ok(None);
        }
        let rest = path.as_str().strip_prefix("packages/").and_then(|rest| rest.split_once('/'));
        let Some((project, name)) = rest else { return Ok(None) };
        let serial = self.database.published_serial()?;
        let file = |name: &str| -> Result<_, Error> {
            let row = self.database.project_file(project, name)?;
            Ok(row.filter(|row| row.serial <= serial))
        };
        if let Some(row) = file(name)? {
            return Ok(Some(row.sha256.to_string()));
        }
        let Some(name) = name.strip_suffix(".metadata") else { return Ok(None) };
        Ok(file(name)?.and_then(|row| row.metadata).map(|metadata| metadata.sha256.to_string()))
    }

    /// The published file of a bin, which is the one that this program wrote; `None` when there is
    /// none.
    pub(crate) fn published_bin(&self, bin: &BinRow) -> Result<Option<Arc<Vec<u8>>>, Error> {
        let Some(file) = bin.published else { return Ok(None) };
        if let Some(recent) = self.recent_bins.get(bin) {
            return Ok(Some(recent));
        }
        let key = StoreKey::Metadata { version: file.version, role: self.bins().role(bin.number) };
        let bytes = self.metadata_file(&key)?;
        let bytes = bytes.ok_or_else(|| self.bin_damaged(bin, "is missing"))?;
        match is_recorded(&bytes, &file) {
            true => Ok(Some(Arc::new(bytes))),
            false => Err(self.bin_damaged(bin, "has other bytes than were published")),
        }
    }

    /// Frees the memory of a bin's file that is superseded.
    pub(crate) fn forget_bin(&self, bin: u32) {
        self.recent_bins.forget(bin);
    }

    /// The same of all bins.
    pub(crate) fn forget_bins(&self) {
        self.recent_bins.forget_all();
    }

    pub(crate) fn bin_not_ours(&self, bin: &BinRow) -> Error {
        self.bin_damaged(bin, "is not in the form that this program writes")
    }

    fn bin_damaged(&self, bin: &BinRow, problem: &str) -> Error {
        let version = bin.published.map_or(0, |file| file.version);
        let file = format!("{version}.{}.json", self.bins().role(bin.number));
        Error::BinDamaged { file, problem: problem.to_owned() }
    }

    /// A version of a bin's file; `None` when it is not there.
    pub(crate) fn bin_file(&self, bin: u32, version: u64) -> Result<Option<Vec<u8>>, Error> {
        self.metadata_file(&StoreKey::Metadata { version, role: self.bins().role(bin) })
    }

    /// Reads a metadata file of ours out of the store.
    pub(crate) fn metadata_file(&self, key: &StoreKey) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.store.read(key, METADATA_LIMIT)?)
    }

    /// `timestamp.json`, which is the one that the database has as published; any other one only where that
    /// is `disowned`.
    pub(crate) fn published_timestamp(&self, disowned: bool) -> Result<Option<Vec<u8>>, Error> {
        let bytes = self.metadata_file(&StoreKey::Timestamp)?;
        if disowned {
            return Ok(bytes);
        }
        let stored = bytes.as_deref().map_or(Ok(0), timestamp_version)?;
        let recorded = self.database.role(&TIMESTAMP)?.map_or(0, |role| role.published);
        match stored == recorded {
            true => Ok(bytes),
            false => Err(Error::DifferentAge { stored, recorded }),
        }
    }

    pub(crate) fn announce(&self, serial: u64) {
        self.published.send_replace(serial);
    }

    pub(crate) fn target_appends(&self) -> &TargetsTogether {
        &self.target_appends
    }

    pub(crate) fn wake(&self) -> &Wake {
        &self.wake
    }
}

/// The role `root`.
pub(crate) const ROOT: RoleName = RoleName::from_static(RoleName::ROOT);
/// The role `snapshot`.
pub(crate) const SNAPSHOT: RoleName = RoleName::from_static(RoleName::SNAPSHOT);
/// The role `timestamp`.
pub(crate) const TIMESTAMP: RoleName = RoleName::from_static(RoleName::TIMESTAMP);

/// What a metadata file of ours says. Files in our own store need no verification: what signs them
/// is here.
pub(crate) fn read_claims<T: metadata::Role + Clone>(file: &str, bytes: &[u8]) -> Result<T, Error> {
    let problem = |problem| Error::MetadataDamaged { file: file.to_owned(), problem };
    Ok(Unverified::<T>::parse(bytes).map_err(problem)?.claims().clone())
}

/// A target path made of names that were checked.
pub(crate) fn target_path(path: String) -> Result<TargetPath, Error> {
    TargetPath::new(path).map_err(Error::from)
}

/// The bins that the repository delegates to.
fn read_bins(store: &dyn Store, database: &dyn Database) -> Result<Bins, Error> {
    let metadata = bins_metadata(store, database)?;
    Bins::of(&metadata).ok_or_else(|| Error::NotARepository {
        problem: "`bins` does not delegate to a power of two of bins".to_owned(),
    })
}

/// What the role `bins` says.
pub(crate) fn bins_metadata(
    store: &dyn Store,
    database: &dyn Database,
) -> Result<metadata::Targets, Error> {
    let damaged = |problem: &str| Error::NotARepository { problem: problem.to_owned() };
    let row = database.role(&BINS)?.ok_or_else(|| damaged("it has no role `bins`"))?;
    let key = StoreKey::Metadata { version: row.published, role: BINS };
    let bytes = store.read(&key, METADATA_LIMIT)?;
    let bytes = bytes.ok_or_else(|| damaged("the metadata of its role `bins` is missing"))?;
    read_claims("bins.json", &bytes)
}

/// A database older than the store would use version numbers again, for other bytes, and a store
/// older than the database has lost what clients already trust: both are refused.
///
/// `timestamp.json` is the one that the database has as published, or the one that is decided and
/// about to be. A snapshot process may be publishing meanwhile: then the store is looked at again.
pub(crate) fn check_same_age(store: &dyn Store, database: &dyn Database) -> Result<(), Error> {
    let mut problem = Ok(());
    for _ in 0..3 {
        let decided = match database.batch()? {
            Some(Batch::Decided(batch)) => Some(batch.timestamp),
            Some(Batch::Reserved(_)) | None => None,
        };
        let recorded = database.role(&TIMESTAMP)?.map_or(0, |role| role.published);
        let stored = stored_version(store)?;
        if stored == recorded || Some(stored) == decided {
            return Ok(());
        }
        problem = Err(Error::DifferentAge { stored, recorded });
    }
    problem
}

fn stored_version(store: &dyn Store) -> Result<u64, Error> {
    let bytes = store.read(&StoreKey::Timestamp, METADATA_LIMIT)?;
    bytes.as_deref().map_or(Ok(0), timestamp_version)
}

fn timestamp_version(bytes: &[u8]) -> Result<u64, Error> {
    Ok(read_claims::<metadata::Timestamp>("timestamp.json", bytes)?.version)
}

/// Wakes the snapshot process. A wake-up that comes while it works is kept.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pending: Mutex<bool>,
    condition: Condvar,
}

impl Wake {
    pub(crate) fn wake(&self) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.condition.notify_one();
    }

    /// Waits for a wake-up, at most `limit`; whether one came.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut pending, _) = self
            .condition
            .wait_timeout_while(pending, limit, |pending| !*pending)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *pending)
    }
}
