//! The metadata that is trusted, on disk: one file for each role.
//!
//! Files are replaced one at a time, each durably: temporary file, fsync, rename, fsync of the
//! folder. A lock is held for as long as one file takes, so that many processes can use one store at
//! once and none waits for another's network.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::Value;

use crate::Error;

/// Longest file name made of a role's name; file systems take 255 bytes.
const MAX_FILE_NAME: usize = 200;

/// Age after which a temporary file is a crash's leftover and not another program's work.
const LEFTOVER: Duration = Duration::from_hours(1);

/// A folder of trusted metadata. Its methods block.
#[derive(Debug, Clone)]
pub struct MetadataStore {
    metadata: PathBuf,
    work: PathBuf,
}

/// While it lives, no other process writes to the store.
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

impl MetadataStore {
    /// The store with its files in `metadata`, as `<role>.json`. `work`, on the same file system,
    /// holds the lock and files that are being written. Both folders must be there, and `tmp` in the
    /// second: see [`MetadataStore::create`].
    pub fn new(metadata: impl Into<PathBuf>, work: impl Into<PathBuf>) -> Self {
        Self { metadata: metadata.into(), work: work.into() }
    }

    /// Makes the folders that are not there.
    pub fn create(&self) -> Result<(), Error> {
        for folder in [&self.metadata, &self.temporary()] {
            fs::create_dir_all(folder).map_err(Error::disk(folder, "cannot create it"))?;
        }
        Ok(())
    }

    /// The metadata of a role, if there is any.
    pub fn read(&self, role: &RoleName) -> Result<Option<Vec<u8>>, Error> {
        read_if_there(&self.path_of(role))
    }

    /// Replaces the metadata of a role, durably and at once. The caller holds the lock, or is the
    /// only one that knows the store.
    pub fn write(&self, role: &RoleName, bytes: &[u8]) -> Result<(), Error> {
        self.write_file(&self.path_of(role), bytes)
    }

    /// Replaces the metadata of a role that was `seen` before, under the lock. What another process
    /// has put in its place meanwhile was verified as well, and stays if its version is not lower:
    /// then the answer is `false`.
    pub(crate) fn replace(
        &self,
        role: &RoleName,
        seen: Option<Sha256>,
        bytes: &[u8],
        _lock: &StoreLock,
    ) -> Result<bool, Error> {
        let there = self.read(role)?;
        let changed = there.filter(|there| seen != Some(Sha256::of(there)));
        match changed.and_then(|there| version_of(&there)) {
            Some(version) if Some(version) >= version_of(bytes) => Ok(false),
            _ => self.write(role, bytes).map(|()| true),
        }
    }

    /// Waits until no other process writes.
    pub fn lock(&self) -> Result<StoreLock, Error> {
        let (file, path) = self.lock_file()?;
        file.lock().map_err(Error::disk(&path, "cannot lock it"))?;
        self.clear_leftovers();
        Ok(StoreLock { _file: file })
    }

    /// The same without waiting: `None` while another process writes.
    pub fn try_lock(&self) -> Result<Option<StoreLock>, Error> {
        let (file, path) = self.lock_file()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(Error::disk(&path, "cannot lock it")(error));
            }
        }
        self.clear_leftovers();
        Ok(Some(StoreLock { _file: file }))
    }

    fn lock_file(&self) -> Result<(File, PathBuf), Error> {
        let path = self.work.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        Ok((file.map_err(Error::disk(&path, "cannot open it"))?, path))
    }

    /// The folder with the lock, which names the store to people.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Any name is a legal role name, so the file's name is an encoding of it; a long one is hashed.
    pub(crate) fn path_of(&self, role: &RoleName) -> PathBuf {
        let encoded = role.encoded();
        let name = match encoded.len() <= MAX_FILE_NAME {
            true => format!("{encoded}.json"),
            false => format!("{}.long.json", Sha256::of(role.as_str().as_bytes())),
        };
        self.metadata.join(name)
    }

    fn temporary(&self) -> PathBuf {
        self.work.join("tmp")
    }

    pub(crate) fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let failed = || Error::disk(path, "cannot write it");
        let mut file = tempfile::NamedTempFile::new_in(self.temporary()).map_err(failed())?;
        file.write_all(bytes).map_err(failed())?;
        file.as_file().sync_all().map_err(failed())?;
        file.persist(path).map_err(|error| failed()(error.error))?;
        path.parent().map_or(Ok(()), sync_folder)
    }

    /// Replaces a file at once, and not durably: after a crash of the machine the old one may be there.
    pub(crate) fn write_lightly(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let failed = || Error::disk(path, "cannot write it");
        let mut file = tempfile::NamedTempFile::new_in(self.temporary()).map_err(failed())?;
        file.write_all(bytes).map_err(failed())?;
        file.persist(path).map_err(|error| failed()(error.error))?;
        Ok(())
    }

    /// Best effort: a leftover costs space and nothing else.
    fn clear_leftovers(&self) {
        let Ok(entries) = fs::read_dir(self.temporary()) else { return };
        let now = SystemTime::now();
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > LEFTOVER) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// The version that a metadata file claims.
fn version_of(bytes: &[u8]) -> Option<i64> {
    let Value::Object(file) = Value::parse(bytes).ok()? else { return None };
    let Value::Object(signed) = file.get("signed")? else { return None };
    match signed.get("version")? {
        Value::Integer(version) => Some(*version),
        _ => None,
    }
}

pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(Error::disk(path, "cannot read it")(error)),
    }
}

/// A rename is durable once its folder is.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(Error::disk(folder, "cannot make it durable"))?;
    }
    Ok(())
}
