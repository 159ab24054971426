//! What is trusted, on disk: one folder for each index.
//!
//! ```text
//! BASE/packages.example.org-1f0c…/index.json          URL, when it was added, fingerprint of its first root,
//!                                                     and mirrors
//!                                /lock                held while a file is replaced
//!                                /metadata/root.json  and the other roles, as they were verified; after
//!                                                     the root was replaced by hand, in /metadata-1, and so on
//!                                /refreshed.json      when the last refresh was, and which versions it found
//!                                /told-root.json      the root that people know of: a newer one is told once
//!                                /tmp/                files being written; leftovers mean nothing
//! ```
//!
//! A folder appears complete, by one rename; [`MetadataStore`] says how files are replaced.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName};

use crate::metadata_store::{read_if_there, sync_folder};
use crate::records::Records;
use crate::{Error, Fingerprint, IndexUrl, LastRefresh, MetadataStore};

/// Every index that is trusted: the folders below one base folder.
#[derive(Debug, Clone)]
pub struct TrustStores {
    base: PathBuf,
}

/// What [`TrustStores::add`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The index is trusted from now on.
    New,
    /// It was trusted with this root before; nothing was changed.
    Already,
}

/// An index that is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIndex {
    /// Where it is.
    pub url: IndexUrl,
    /// When it was added.
    pub added: Timestamp,
    /// Fingerprint of the root it was added with, or that took its place.
    pub fingerprint: Fingerprint,
    /// Roots that others took the place of by hand, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Where the same files are too, as a trust bundle said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<IndexUrl>,
}

/// A root that was trusted until another one was trusted instead ([`Replacement`](crate::Replacement)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Fingerprint of the root that the index was added with.
    pub fingerprint: Fingerprint,
    /// Version of the root that was trusted last.
    pub root_version: u64,
    /// Fingerprint of that one.
    pub root_fingerprint: Fingerprint,
    /// When another one took its place.
    pub when: Timestamp,
}

impl TrustedIndex {
    /// The folder of what is trusted: after each replacement another one, so that the record alone decides.
    fn metadata_folder(&self) -> String {
        match self.replaced.len() {
            0 => "metadata".to_owned(),
            count => format!("metadata-{count}"),
        }
    }
}

impl TrustStores {
    /// The trust stores below `base`, which need not be there yet.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// The base folder.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Trusts an index from this root on, which must be signed by its own keys (TUF 5.2). `now` is
    /// recorded.
    pub fn add(&self, url: &IndexUrl, root: &[u8], now: Timestamp) -> Result<Added, Error> {
        RootPhase::new(root, &Limits::default())?;
        let given = Fingerprint::of(root);
        let damaged = |error| match error {
            Error::Disk { path, problem } => {
                let problem = format!("{problem}; run `waxseal trust remove {url}` first");
                Error::Disk { path, problem }
            }
            other => other,
        };
        if let Some(store) = self.store_of(url).map_err(damaged)? {
            return store.check_same_root(root, given);
        }
        let record = TrustedIndex {
            url: url.clone(),
            added: now,
            fingerprint: given,
            replaced: Vec::new(),
            mirrors: Vec::new(),
        };
        let folder = self.folder(url);
        let Some(()) = self.create(&folder, &record, root)? else {
            // Another process was quicker.
            return match self.store_of(url)? {
                Some(store) => store.check_same_root(root, given),
                None => {
                    let problem = format!(
                        "has no readable index.json: run `waxseal trust remove {url}` first"
                    );
                    Err(Error::Disk { path: folder, problem })
                }
            };
        };
        Ok(Added::New)
    }

    /// Every trusted index, ordered by URL. One whose record is damaged is left out with a warning,
    /// so that the others stay usable.
    pub fn list(&self) -> Result<Vec<TrustedIndex>, Error> {
        let (indexes, damaged) = self.scan()?;
        warn_of(&damaged);
        Ok(indexes)
    }

    /// Stops trusting an index. Nothing in its folder needs to be readable.
    pub fn remove(&self, url: &IndexUrl) -> Result<(), Error> {
        let folder = self.folder(url);
        let failed = |tried| Error::disk(&folder, tried);
        match fs::symlink_metadata(&folder) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::NotTrusted { url: url.to_string() });
            }
            Err(error) => return Err(failed("cannot remove it")(error)),
        }
        // Gone at once by a rename; the files may take longer.
        let grave = tempfile::Builder::new().prefix(".removed-").tempdir_in(&self.base);
        let grave = grave.map_err(failed("cannot remove it"))?;
        fs::rename(&folder, grave.path().join("index")).map_err(failed("cannot remove it"))?;
        sync_folder(&self.base)?;
        grave.close().map_err(failed("cannot remove its files"))
    }

    /// The trust store of an index.
    pub fn find(&self, url: &IndexUrl) -> Result<TrustStore, Error> {
        self.store_of(url)?.ok_or_else(|| Error::NotTrusted { url: url.to_string() })
    }

    /// The trust store of the one index that is trusted, of those whose record can be read.
    pub fn find_default(&self) -> Result<TrustStore, Error> {
        let (indexes, damaged) = self.scan()?;
        let mut urls: Vec<_> = indexes.into_iter().map(|index| index.url).collect();
        if !urls.is_empty() {
            warn_of(&damaged);
        }
        match (urls.pop(), urls.is_empty()) {
            (None, _) => Err(damaged.into_iter().next().unwrap_or(Error::NoIndex)),
            (Some(url), true) => self.find(&url),
            (Some(url), false) => {
                urls.push(url);
                Err(Error::SeveralIndexes { urls })
            }
        }
    }

    /// Those that can be read, ordered by URL, and what is wrong with the others.
    fn scan(&self) -> Result<(Vec<TrustedIndex>, Vec<Error>), Error> {
        let cannot_list = || Error::disk(&self.base, "cannot list it");
        let entries = match fs::read_dir(&self.base) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(cannot_list()(error)),
        };
        let (mut indexes, mut damaged) = (Vec::new(), Vec::new());
        for entry in entries {
            let folder = entry.map_err(cannot_list())?.path();
            let hidden = folder.file_name().is_none_or(|name| name.as_encoded_bytes()[0] == b'.');
            if hidden {
                continue;
            }
            match read_record(&folder) {
                Ok(Some(record)) if self.folder(&record.url) == folder => indexes.push(record),
                Ok(Some(record)) => damaged.push(misplaced(folder, &record)),
                Ok(None) => {}
                Err(error) => damaged.push(error),
            }
        }
        indexes.sort_by(|a, b| a.url.cmp(&b.url));
        Ok((indexes, damaged))
    }

    pub(crate) fn store_of(&self, url: &IndexUrl) -> Result<Option<TrustStore>, Error> {
        let folder = self.folder(url);
        match read_record(&folder)? {
            Some(record) if record.url == *url => Ok(Some(TrustStore { folder, record })),
            Some(record) => Err(misplaced(folder, &record)),
            None => Ok(None),
        }
    }

    /// Host and path for people, a part of the URL's digest so that no two URLs share a folder.
    fn folder(&self, url: &IndexUrl) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
        let (_, readable) = url.as_url().as_str().split_once("//").unwrap_or_default();
        let readable = readable.trim_matches('/').trim_start_matches('.');
        let readable: String = readable.chars().map(plain).take(80).collect();
        let digest = Sha256::of(url.as_url().as_str().as_bytes()).to_string();
        self.base.join(format!("{readable}-{}", &digest[..16]))
    }

    /// Makes the whole folder aside and renames it; `None` if there is one by then.
    fn create(
        &self,
        folder: &Path,
        record: &TrustedIndex,
        root: &[u8],
    ) -> Result<Option<()>, Error> {
        let failed = || Error::disk(folder, "cannot create it");
        fs::create_dir_all(&self.base).map_err(failed())?;
        let aside = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.base);
        let aside = aside.map_err(failed())?;
        let store = TrustStore { folder: aside.path().join("index"), record: record.clone() };
        let metadata = store.metadata();
        metadata.create()?;
        store.write_record()?;
        metadata.write(&RoleName::from_static(RoleName::ROOT), root)?;
        store.records().set_told(root)?;
        match fs::rename(&store.folder, folder) {
            Ok(()) => sync_folder(&self.base).map(Some),
            Err(error) if is_occupied(error.kind()) => Ok(None),
            Err(error) => Err(failed()(error)),
        }
    }
}

fn warn_of(damaged: &[Error]) {
    for error in damaged {
        tracing::warn!("left out a trusted index: {error}");
    }
}

fn misplaced(folder: PathBuf, record: &TrustedIndex) -> Error {
    let problem = format!("is damaged: it is not the folder of {}, which it names", record.url);
    Error::Disk { path: folder, problem }
}

fn read_record(folder: &Path) -> Result<Option<TrustedIndex>, Error> {
    let path = folder.join("index.json");
    let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
    let damaged =
        |error| Error::Disk { path: path.clone(), problem: format!("is damaged: {error}") };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

fn is_occupied(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists)
}

/// The trust store of one index.
#[derive(Debug, Clone)]
pub struct TrustStore {
    folder: PathBuf,
    record: TrustedIndex,
}

impl TrustStore {
    /// Whose trust store it is.
    pub fn index(&self) -> &TrustedIndex {
        &self.record
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its metadata.
    pub fn metadata(&self) -> MetadataStore {
        let metadata = self.folder.join(self.record.metadata_folder());
        MetadataStore::new(metadata, self.folder.clone())
    }

    /// The last successful refresh on this machine, if one is on record.
    pub fn last_refresh(&self) -> Option<LastRefresh> {
        self.records().last()
    }

    pub(crate) fn records(&self) -> Records {
        Records::new(self.metadata())
    }

    /// Remembers where the same files are too.
    pub(crate) fn set_mirrors(&self, mirrors: &[IndexUrl]) -> Result<(), Error> {
        let _lock = self.metadata().lock()?;
        let busy = || Error::Busy { folder: self.folder.clone() };
        let mut record = read_record(&self.folder)?.ok_or_else(busy)?;
        if record.mirrors == mirrors {
            return Ok(());
        }
        record.mirrors = mirrors.to_vec();
        Self { folder: self.folder.clone(), record }.write_record()
    }

    fn write_record(&self) -> Result<(), Error> {
        let path = self.folder.join("index.json");
        let failed = Error::disk(&path, "cannot write it");
        let text = serde_json::to_vec_pretty(&self.record).map_err(|error| failed(error.into()))?;
        self.metadata().write_file(&path, &text)
    }

    /// Trusts this root instead of the one that was `seen`, of that version. Beside the old metadata a
    /// folder with the new root alone is made; then the record, which says which of the two counts, is
    /// replaced at once.
    pub(crate) fn replace_root(
        &self,
        root: &[u8],
        (root_version, seen): (u64, Sha256),
        now: Timestamp,
    ) -> Result<(), Error> {
        let role = RoleName::from_static(RoleName::ROOT);
        let _lock = self.metadata().lock()?;
        let busy = || Error::Busy { folder: self.folder.clone() };
        let record = read_record(&self.folder)?.filter(|record| *record == self.record);
        let mut record = record.ok_or_else(busy)?;
        let old = self.metadata().read(&role)?.filter(|root| Sha256::of(root) == seen);
        let old = old.ok_or_else(busy)?;
        record.replaced.push(Replaced {
            fingerprint: record.fingerprint,
            root_version,
            root_fingerprint: Fingerprint::of(&old),
            when: now,
        });
        record.fingerprint = Fingerprint::of(root);
        let new = Self { folder: self.folder.clone(), record };
        let folder = self.folder.join(new.record.metadata_folder());
        // What a crash left of an earlier try.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::disk(&folder, "cannot remove it")(error));
            }
            _ => {}
        }
        new.metadata().create()?;
        new.metadata().write(&role, root)?;
        sync_folder(&self.folder)?;
        new.write_record()?;
        self.records().begin_anew(root);
        // No record names it any more: what is left of it means nothing.
        let _ = fs::remove_dir_all(self.folder.join(self.record.metadata_folder()));
        Ok(())
    }

    fn check_same_root(&self, root: &[u8], given: Fingerprint) -> Result<Added, Error> {
        let role = RoleName::from_static(RoleName::ROOT);
        let trusted = self.record.fingerprint;
        if given == trusted || self.metadata().read(&role)?.as_deref() == Some(root) {
            return Ok(Added::Already);
        }
        Err(Error::OtherRoot { url: self.record.url.to_string(), trusted, given })
    }
}
