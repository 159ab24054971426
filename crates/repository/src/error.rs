//! What can go wrong in a repository, and what to do about it.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use waxseal_tuf::error::FormatError;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{InvalidName, RoleName, SignError};

use crate::ceremony::ChangeError;
use crate::hash_algorithms::HashAlgorithms;
use crate::lock::{Holder, LockError, LockHeld, process_text};
use crate::store::StoreKey;

/// A repository operation that did not happen. Unless a variant says otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),

    /// Another process held a lock for too long. Nothing was recorded.
    #[error(transparent)]
    Locked(#[from] LockHeld),

    /// The database failed: a full disk, a damaged file, a broken connection.
    /// The step was recorded as a whole or not at all.
    #[error(
        "the database {place} failed while {doing}: {source}; it is not known to have recorded this \
         step, check the disk and repeat it"
    )]
    Database {
        /// The step, as in "while recording an upload".
        doing: &'static str,
        /// Where the database is: its file.
        place: String,
        /// Whether it failed because space ran out.
        full: bool,
        /// What it says.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// A snapshot that is in use lists other bins than those that targets are in now.
    #[error("snapshot {snapshot} has its targets in other bins than the newest one")]
    OtherBins {
        /// Its version.
        snapshot: u64,
    },

    /// The files of a key ceremony cannot be published.
    #[error(transparent)]
    Change(#[from] ChangeError),

    /// Other files of a key ceremony wait to be published.
    #[error(
        "another change of root, targets and bins waits to be published ({files}): start the server, or \
         run `waxseal repo publish-root`, so that it is; `waxseal repo publish-root --withdraw` gives it up"
    )]
    ChangeWaits {
        /// The files.
        files: String,
    },

    /// What was done for many at once failed, for each of them.
    #[error(transparent)]
    Shared(Arc<Error>),

    /// The database file cannot be made or opened.
    #[error(
        "cannot open the database {}: {source}; check that its folder is there and writable",
        path.display()
    )]
    DatabaseFile {
        /// The database file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// The database file is gone or empty, and its write-ahead log is not.
    #[error(
        "the database {0} is missing or empty, while {0}-wal, which belongs to it, is there; \
         nothing was changed: put the database file back beside it, or restore both from one backup",
        path.display()
    )]
    DatabaseLost {
        /// The database file.
        path: PathBuf,
    },

    /// A later program has changed the form of the database.
    #[error(
        "the database {} has form {found} and this program knows forms up to {known}; \
         run the newer waxseal that wrote it, or restore a backup from before that", path.display()
    )]
    DatabaseNewer {
        /// The database file.
        path: PathBuf,
        /// The form it has.
        found: u64,
        /// The newest form this program knows.
        known: u64,
    },

    /// An earlier program made the database, and this one was only to read it.
    #[error(
        "the database {} has form {found}, from an earlier waxseal; `waxseal serve` brings it to the \
         form of this one", path.display()
    )]
    DatabaseOlder {
        /// The database file.
        path: PathBuf,
        /// The form it has.
        found: u64,
    },

    /// A journal entry cannot be read. Entries are never changed, so the file is damaged.
    #[error(
        "journal entry {serial} is damaged: {problem}; stop the snapshot process and restore the \
         database from a backup"
    )]
    JournalCorrupt {
        /// The entry's serial.
        serial: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// A journal entry of a kind that a later program writes.
    #[error(
        "journal entry {serial} is of kind {kind:?}, which this program does not know; run the \
         newer waxseal that wrote it"
    )]
    JournalUnknownKind {
        /// The entry's serial.
        serial: u64,
        /// Its kind.
        kind: String,
    },

    /// Versions were to be reserved while another batch is not finished.
    #[error(
        "another batch is being published; snapshot {snapshot} cannot be begun before it is finished"
    )]
    AlreadyReserved {
        /// The version of the snapshot that was to be begun.
        snapshot: u64,
    },

    /// The batch that was to be decided or finished is not the recorded one.
    #[error(
        "snapshot {snapshot} is not the one being published; another snapshot process has gone on, \
         make sure that only one runs"
    )]
    NotReserved {
        /// The version of the snapshot that was to be decided or finished.
        snapshot: u64,
    },

    /// Files uploaded under the layout `index` are no targets, and would be lost under `files`.
    #[error(
        "this index has the layout `index`, so that its files are no targets, and `files` would lose \
         them; nothing was changed: say `index` again, or found another index for `files` and \
         upload the files to that"
    )]
    LayoutChanged,

    /// Hash algorithms were chosen that no client of before need know.
    #[error(
        "this index lists digests of {settled}, and hash-algorithms asks for {wanted} alone: clients that \
         know only {settled} could not install anything; nothing was changed: write [\"sha256\", \
         \"sha512\"] first, and the other alone when clients know both (docs/hash-algorithms.md)"
    )]
    HashAlgorithmsJump {
        /// What every target lists.
        settled: HashAlgorithms,
        /// What was asked for.
        wanted: HashAlgorithms,
    },

    /// Pages vouch for files by SHA-256, so that they would be all that clients verify.
    #[error(
        "hash-algorithms asks for {wanted}, and under the layout `index` pages vouch for files with SHA-256 \
         alone; nothing was changed: write [\"sha256\"]"
    )]
    HashAlgorithmsOfLayout {
        /// What was asked for.
        wanted: HashAlgorithms,
    },

    /// A file that was accepted is not what it was.
    #[error(
        "{path} {problem}; nothing was published of it: restore this file from a mirror or a backup, and \
         find out what changed it"
    )]
    ObjectDamaged {
        /// The file, below the store's base.
        path: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A file's name has no room for the digest that goes before it.
    #[error(
        "{filename} is too long: this index names files with their SHA-512, which leaves {limit} bytes for \
         a filename"
    )]
    FilenameTooLong {
        /// The filename.
        filename: String,
        /// How many bytes it may have.
        limit: usize,
    },

    /// Targets cannot be listed with other digests. What is published stays listed as it was.
    #[error(
        "{count} targets cannot be listed with {wanted}, and every other one waits for them: {}", shown.join("; ")
    )]
    NotRelisted {
        /// How many.
        count: u64,
        /// What was to be listed.
        wanted: HashAlgorithms,
        /// The first of them, each with what is wrong.
        shown: Vec<String>,
    },

    /// Another snapshot process has taken over. This one can publish nothing any more.
    #[error(
        "another snapshot process has taken over this repository (epoch {newest}, this process has \
         {epoch}); nothing was published by this one since, stop it"
    )]
    Fenced {
        /// The epoch of this process.
        epoch: u64,
        /// The newest one.
        newest: u64,
    },

    /// A version was to be used that is used up (PEP 458: versions only rise).
    #[error("{role} has used version {used}; version {version} cannot be given to other content")]
    VersionUsed {
        /// The role's name.
        role: String,
        /// The version that was to be used.
        version: u64,
        /// The newest version on record.
        used: u64,
    },

    /// The published file of a bin is not the one this program wrote.
    #[error(
        "{file} in the store {problem}; nothing was signed over it: restore this file from a mirror or \
         a backup, and find out what changed it"
    )]
    BinDamaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A snapshot that clients may be using is not in the store.
    #[error(
        "{version}.snapshot.json is missing from the store, so nobody knows what it names; nothing was \
         collected: restore this file from a mirror or a backup, and see what else is missing with \
         `waxseal audit repo`"
    )]
    SnapshotMissing {
        /// Its version.
        version: u64,
    },

    /// A bin would be longer than clients read.
    #[error(
        "{bin} would have {length} bytes, and clients read {limit} of a bin; it was not written: \
         found the index anew with {bins} bins and import its targets there, or take targets out \
         before others are added"
    )]
    BinTooLong {
        /// The bin.
        bin: RoleName,
        /// How many bytes it would have, about.
        length: u64,
        /// How many it may have.
        limit: u64,
        /// How many bins the index should have.
        bins: u64,
    },

    /// A bin has no room for what was to be recorded, which could never be published.
    #[error(
        "{bin} is full: with this and all that waits it would have {length} bytes, and {limit} are \
         taken, for clients read no longer bin; nothing was recorded: found the index anew with {bins} \
         bins and import its targets there, or take targets out and have that published before others \
         are added"
    )]
    BinFull {
        /// The bin.
        bin: RoleName,
        /// How many bytes it would have, at most.
        length: u64,
        /// How many it may have.
        limit: u64,
        /// How many bins the index should have.
        bins: u64,
    },

    /// What is sorted on disk cannot be read back.
    #[error("cannot use {} for sorting: {source}", path.display())]
    Scratch {
        /// The folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },

    /// A name in the catalog cannot be read. The catalog is made of the journal, so the file is
    /// damaged.
    #[error(
        "the catalog's entry {name:?} is damaged: {problem}; stop the snapshot process and restore \
         the database from a backup"
    )]
    CatalogDamaged {
        /// The project's or file's name as it stands there.
        name: String,
        /// What is wrong with it.
        problem: String,
    },

    /// A metadata file of this repository cannot be read.
    #[error(
        "{file} of this repository is damaged: {problem}; restore it from a mirror or a backup"
    )]
    MetadataDamaged {
        /// The file.
        file: String,
        /// The field and what is wrong with it.
        problem: FormatError,
    },

    /// What was opened is not a repository, or not whole.
    #[error("this is not a repository that can be published: {problem}; make one with a ceremony")]
    NotARepository {
        /// What is missing.
        problem: String,
    },

    /// Database and store are not of the same moment: one of them was restored from a backup.
    #[error(
        "the store's timestamp.json has version {stored}, the database has recorded version {recorded} \
         as published: one of them was restored from an older backup; bring both to the same moment, \
         for published versions must not be used again for other content; if somebody else has written \
         to the store, docs/compromise.md says how to go on"
    )]
    DifferentAge {
        /// Version of `timestamp.json` in the store; 0 when there is none.
        stored: u64,
        /// The version that the database has as published; 0 when there is none.
        recorded: u64,
    },

    /// Targets were published faster than what is published could be read.
    #[error(
        "what is published was read three times and was too old each time; nothing was recorded, \
         repeat it, or send fewer targets at once"
    )]
    Overtaken,

    /// Another process writes to this repository.
    #[error(
        "{} holds {}: a repository has exactly one snapshot process; stop the other one, or use \
         another data folder", process_text(holder.as_ref()), path.display()
    )]
    SecondWriter {
        /// The lock file.
        path: PathBuf,
        /// That process, where the operating system names it.
        holder: Option<Holder>,
    },

    /// The lock file cannot be used.
    #[error("cannot lock {}: {source}; check that its folder is there and writable", path.display())]
    WriterLock {
        /// The lock file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },

    /// The online key is not the one that `bins` delegates to.
    #[error(
        "the online key {here} is not trusted by this repository's `bins`, which trusts {trusted}; give \
         the key that its ceremony named"
    )]
    WrongOnlineKey {
        /// The keyids of the keys that were given.
        here: String,
        /// The keyids of the keys that are trusted.
        trusted: String,
    },

    /// A key did not sign. What waits stays in the journal.
    #[error(transparent)]
    Sign(#[from] SignError),

    /// Too little space is left for uploads; what there is keeps the index fresh.
    #[error(
        "the index's storage is full: uploads are refused until there is space again; what is \
         published stays available"
    )]
    NoSpace,

    /// A name in a path is not one that can be used.
    #[error(transparent)]
    Name(#[from] InvalidName),

    /// An upload token cannot have this name.
    #[error("a token cannot be named {name:?}: {problem}")]
    TokenName {
        /// The name.
        name: String,
        /// What is wrong with it, and what would do.
        problem: &'static str,
    },

    /// The operating system gave no random bytes.
    #[error("the system's random number generator failed; no secret was made, try again")]
    Random,
}

impl Error {
    /// Whether space ran out, so that the same operation succeeds once some is freed.
    pub fn is_storage_full(&self) -> bool {
        match self {
            Self::NoSpace => true,
            Self::Store(error) => error.is_storage_full(),
            Self::DatabaseFile { source, .. } => is_full(source),
            Self::Database { full, .. } => *full,
            Self::Shared(error) => error.is_storage_full(),
            _ => false,
        }
    }

    /// Whether another process held a lock for too long, so that the same operation succeeds once it
    /// lets go.
    pub fn is_lock_held(&self) -> bool {
        match self {
            Self::Locked(_) | Self::Store(StoreError::Locked(_)) => true,
            Self::Shared(error) => error.is_lock_held(),
            _ => false,
        }
    }

    /// The error of each of so many whose work was done together.
    pub(crate) fn for_each(self, count: usize) -> impl Iterator<Item = Self> {
        std::iter::repeat_n(Arc::new(self), count).map(Self::Shared)
    }
}

/// Whether an operation failed because space ran out.
pub(crate) fn is_full(source: &io::Error) -> bool {
    matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A store operation that did not happen, or not completely.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The object is there with other bytes: one name never has two contents.
    #[error("{} is already in the store with other bytes; it was left as it is", key.path())]
    Exists {
        /// The object's key.
        key: StoreKey,
    },

    /// The object is not there.
    #[error("{} is not in the store", key.path())]
    Missing {
        /// The object's key.
        key: StoreKey,
    },

    /// Somebody else has replaced `timestamp.json`.
    #[error(
        "timestamp.json is {}, not {} as this process left it; another snapshot process is \
         publishing here, make sure that only one runs", digest_text(*found), digest_text(*expected)
    )]
    Changed {
        /// The digest the caller knew, `None` for "not there".
        expected: Option<Sha256>,
        /// The digest it has.
        found: Option<Sha256>,
    },

    /// The object is larger than the caller can take.
    #[error("{} has {length} bytes, more than the {limit} expected here", key.path())]
    TooLarge {
        /// The object's key.
        key: StoreKey,
        /// Its length in bytes.
        length: u64,
        /// The caller's limit in bytes.
        limit: u64,
    },

    /// The contract has no such operation on this key; a mistake of the caller.
    #[error("{} {problem}", key.path())]
    Refused {
        /// The object's key.
        key: StoreKey,
        /// Which rule of the contract stands against it.
        problem: &'static str,
    },

    /// Another process held a lock for too long.
    #[error(transparent)]
    Locked(LockHeld),

    /// A store that is only reached over a network did not give a file.
    #[error("{source}; see that the server answers, and try again")]
    Fetch {
        /// Its URL.
        url: String,
        /// What happened, with the URL.
        source: Box<dyn StdError + Send + Sync>,
    },

    /// The storage failed.
    #[error("cannot {action} {}: {source}; {}", path.display(), next_step(source))]
    Io {
        /// What was being done, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether space ran out, so that the same operation succeeds once some is freed.
    pub fn is_storage_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full(source))
    }

    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }

    pub(crate) fn lock(error: LockError) -> Self {
        match error {
            LockError::Held(held) => Self::Locked(held),
            LockError::Failed { path, source } => Self::io("lock", path, source),
        }
    }
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Held(held) => Self::Locked(held),
            LockError::Failed { path, source } => Self::WriterLock { path, source },
        }
    }
}

fn digest_text(digest: Option<Sha256>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |digest| digest.to_string())
}

fn next_step(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space and repeat the operation"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "the user that waxseal runs as needs to own the store's folder"
        }
        io::ErrorKind::CrossesDevices => "the store's folders have to be on one file system",
        _ => "check the disk, then repeat the operation",
    }
}
