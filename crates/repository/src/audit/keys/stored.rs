//! What the store has that the online key signs.

use std::collections::HashMap;

use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{self, Role, Unverified};
use waxseal_tuf::{KeyId, RoleName};

use super::report::{KeyFinding, KeyFindingKind, KeyReport};
use crate::audit::{METADATA_LIMIT, Progress};
use crate::ceremony::BINS;
use crate::cores::on_all_cores;
use crate::error::{Error, StoreError};
use crate::repository::{ROOT, SNAPSHOT, TIMESTAMP};
use crate::store::{Area, Store, StoreKey};

/// How many files are read between two reports of progress.
const STEP: usize = 1_024;

/// Every timestamp, snapshot and bin in the store, of every version.
pub(super) struct Stored {
    pub(super) files: HashMap<(RoleName, u64), StoredFile>,
    /// Keys that are named as having signed one of them, each with one such file.
    pub(super) signed_by: HashMap<(KeyId, RoleName), String>,
    /// The version of snapshot that clients find.
    pub(super) published: Option<u64>,
}

/// A file in the store, and what the log says of it.
pub(super) struct StoredFile {
    pub(super) sha256: Sha256,
    pub(super) is_logged: bool,
    /// The last record that has another value under its role and version.
    pub(super) other: Option<u64>,
}

/// What a file says.
struct Said {
    version: u64,
    sha256: Sha256,
    signed_by: Vec<KeyId>,
    /// The snapshot that a timestamp names.
    snapshot: Option<u64>,
}

impl Stored {
    pub(super) fn read(
        store: &dyn Store,
        report: &mut KeyReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, Error> {
        let mut keys = Vec::new();
        for listed in store.list(Area::Metadata)? {
            match listed?.key {
                Some(StoreKey::Metadata { role, .. })
                    if role == ROOT || role == RoleName::targets() || role == BINS => {}
                key => keys.extend(key),
            }
        }
        let mut this = Self { files: HashMap::new(), signed_by: HashMap::new(), published: None };
        let total = keys.len() as u64;
        for keys in keys.chunks(STEP) {
            progress(Progress { what: "files", done: report.counts.files, total });
            let read = |keys: &[StoreKey]| -> Vec<_> {
                keys.iter().map(|key| (key.clone(), read_file(store, key))).collect()
            };
            for (key, read) in on_all_cores(keys, read).into_iter().flatten() {
                let find = |kind, problem: String| KeyFinding::new(kind, problem).file(key.path());
                match read {
                    // Collected meanwhile.
                    Ok(None) => {}
                    Ok(Some(Ok(said))) => {
                        report.counts.files += 1;
                        this.add(&key, said);
                    }
                    Ok(Some(Err(problem))) => {
                        report.counts.files += 1;
                        report.find(find(KeyFindingKind::NotMetadata, problem));
                    }
                    Err(error @ (StoreError::Io { .. } | StoreError::TooLarge { .. })) => {
                        report.find(find(KeyFindingKind::Unreadable, error.to_string()));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(this)
    }

    fn add(&mut self, key: &StoreKey, said: Said) {
        // Its name is what clients ask for, whatever it says itself; only timestamp has none.
        let name = match key {
            StoreKey::Metadata { role, version } => (role.clone(), *version),
            _ => (TIMESTAMP, said.version),
        };
        if *key == StoreKey::Timestamp {
            self.published = said.snapshot;
        }
        for keyid in said.signed_by {
            self.signed_by.entry((keyid, class(&name.0))).or_insert_with(|| key.path());
        }
        let file = StoredFile { sha256: said.sha256, is_logged: false, other: None };
        self.files.insert(name, file);
    }
}

/// The path of a file in the store.
pub(super) fn path_of(role: &RoleName, version: u64) -> String {
    match *role == TIMESTAMP {
        true => StoreKey::Timestamp.path(),
        false => StoreKey::Metadata { role: role.clone(), version }.path(),
    }
}

/// Bins have one set of keys: `bins` stands for all of them.
pub(super) fn class(role: &RoleName) -> RoleName {
    match *role == SNAPSHOT || *role == TIMESTAMP {
        true => role.clone(),
        false => BINS,
    }
}

fn read_file(
    store: &dyn Store,
    key: &StoreKey,
) -> Result<Option<Result<Said, String>>, StoreError> {
    let Some(bytes) = store.read(key, METADATA_LIMIT)? else { return Ok(None) };
    let said = match key {
        StoreKey::Metadata { role, .. } if *role == SNAPSHOT => {
            said::<metadata::Snapshot>(&bytes, |_| None)
        }
        StoreKey::Metadata { role, .. } if *role != TIMESTAMP => {
            said::<metadata::Targets>(&bytes, |_| None)
        }
        _ => said::<metadata::Timestamp>(&bytes, |timestamp| Some(timestamp.snapshot.version)),
    };
    Ok(Some(said))
}

fn said<T: Role>(bytes: &[u8], snapshot: impl Fn(&T) -> Option<u64>) -> Result<Said, String> {
    let read = Unverified::<T>::parse(bytes).map_err(|error| error.to_string())?;
    Ok(Said {
        version: read.claims().version(),
        sha256: read.signed_sha256(),
        signed_by: read.signed_by().cloned().collect(),
        snapshot: snapshot(read.claims()),
    })
}
