//! The files of an index at a URL, as an audit asks for them.

use std::io::{Seek as _, Write as _};

use tempfile::NamedTempFile;
use tokio::runtime::{Builder, Runtime};
use waxseal_client::{Credentials, Files, IndexUrl, Settings};
use waxseal_repository::StoreError;
use waxseal_repository::audit::{Checked, TargetBytes};
use waxseal_repository::store::{
    Area, Link, Listing, Object, ObjectReader, OpenObject, Store, StoreKey,
};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::TargetFile;
use waxseal_tuf::{Limits, MetadataFile, RoleName};

/// The most bytes of a file that is fetched without knowing its length.
const MOST_BYTES: u64 = 16 << 30;

/// The index at a URL as a store that can only be read by name, from many threads at once.
#[derive(Debug)]
pub(in crate::commands) struct RemoteIndex {
    url: IndexUrl,
    files: Files,
    limits: Limits,
    runtime: Runtime,
}

impl RemoteIndex {
    /// Nothing is fetched yet.
    pub(super) fn new(url: IndexUrl, credentials: Option<Credentials>) -> anyhow::Result<Self> {
        let files = Files::new(&url, Settings { credentials, ..Settings::default() })?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        Ok(Self { url, files, limits: Limits::default(), runtime })
    }

    fn failed(&self, key: &StoreKey, error: waxseal_client::Error) -> StoreError {
        StoreError::Fetch { url: format!("{}{}", self.url, key.path()), source: Box::new(error) }
    }

    /// Hands the bytes of a target to `take`; how many there were, `None` where there is none. It stops soon
    /// after `most`.
    fn target(
        &self,
        key: &StoreKey,
        most: u64,
        take: impl FnMut(&[u8]),
    ) -> Result<Option<u64>, StoreError> {
        let path = key.path();
        let location = path.strip_prefix(Area::Targets.prefix()).unwrap_or(&path);
        let got = self.runtime.block_on(self.files.target(location, most, take));
        got.map_err(|error| self.failed(key, error))
    }

    /// The most bytes of a file of this role, as every client has it.
    fn limit(&self, role: &RoleName) -> u64 {
        match role.as_str() {
            RoleName::ROOT => self.limits.root,
            RoleName::TIMESTAMP => self.limits.timestamp,
            RoleName::SNAPSHOT => self.limits.snapshot,
            _ => self.limits.targets,
        }
    }
}

impl TargetBytes for RemoteIndex {
    fn check(&self, key: &StoreKey, file: &TargetFile) -> Result<Checked, StoreError> {
        let Some(mut checker) = file.hashes.checker() else {
            return Ok(Checked::Wrong("has no digest that is known here".to_owned()));
        };
        Ok(match self.target(key, file.length, |bytes| checker.update(bytes))? {
            None => Checked::Absent,
            Some(length) if length != file.length => {
                let more = if length > file.length { "more than " } else { "" };
                let length = length.min(file.length);
                let says = file.length;
                Checked::Wrong(format!("has {more}{length} bytes, and its target says {says}"))
            }
            Some(_) => match checker.finish() {
                Ok(()) => Checked::Right,
                Err(mismatch) => Checked::Wrong(mismatch.to_string()),
            },
        })
    }
}

/// Nothing can be listed or written, and of files only those that metadata names are asked for.
impl Store for RemoteIndex {
    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let role = match key {
            StoreKey::Metadata { role, .. } => role.clone(),
            StoreKey::Timestamp => RoleName::from_static(RoleName::TIMESTAMP),
            StoreKey::Target { .. } => {
                let mut bytes = Vec::new();
                let read = self.target(key, limit, |part| bytes.extend_from_slice(part))?;
                return match read {
                    Some(length) if length > limit => {
                        Err(StoreError::TooLarge { key: key.clone(), length, limit })
                    }
                    read => Ok(read.map(|_| bytes)),
                };
            }
            StoreKey::File(_) => return Err(refused(key)),
        };
        let path = key.path();
        let path = path.strip_prefix(Area::Metadata.prefix()).unwrap_or(&path).to_owned();
        let max_length = self.limit(&role).min(limit);
        let file = MetadataFile { role, path, max_length, length: None };
        let read = self.runtime.block_on(self.files.metadata(&file));
        read.map_err(|error| self.failed(key, error))
    }

    /// The object is fetched to a temporary file first.
    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError> {
        let StoreKey::Target { .. } = key else { return Err(refused(key)) };
        let failed = |source| StoreError::Io { action: "write", path: key.path().into(), source };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let mut written = Ok(());
        let fetched = self.target(key, MOST_BYTES, |part| {
            if written.is_ok() {
                written = file.write_all(part);
            }
        })?;
        written.and_then(|()| file.rewind()).map_err(failed)?;
        match fetched {
            Some(length) if length > MOST_BYTES => {
                Err(StoreError::TooLarge { key: key.clone(), length, limit: MOST_BYTES })
            }
            fetched => {
                Ok(fetched.map(|length| OpenObject { length, reader: ObjectReader::File(file) }))
            }
        }
    }

    fn list(&self, _area: Area) -> Result<Listing<'_>, StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn create(&self, _objects: &[Object<'_>]) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn create_from_file(
        &self,
        key: &StoreKey,
        _file: NamedTempFile,
        _beside: &[Object<'_>],
    ) -> Result<(), StoreError> {
        Err(refused(key))
    }

    fn link(&self, _links: &[Link]) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn replace_timestamp(&self, _: Option<Sha256>, _: &[u8]) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn remove(&self, _keys: &[StoreKey]) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn set_reserve(&self) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn use_reserve(&self) -> Result<(), StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }

    fn has_reserve(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn spool(&self) -> Result<NamedTempFile, StoreError> {
        Err(refused(&StoreKey::Timestamp))
    }
}

fn refused(key: &StoreKey) -> StoreError {
    let problem = "is at a URL, where files are only asked for by their names";
    StoreError::Refused { key: key.clone(), problem }
}
