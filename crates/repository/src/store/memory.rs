//! A store in memory, for tests and trials. "Durable" here is as durable as the process.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tempfile::NamedTempFile;
use waxseal_tuf::hash::Sha256;

use super::{
    Area, Link, Listed, Listing, Object, ObjectReader, OpenObject, Store, StoreError, StoreKey,
    check_create_only, check_removable,
};

/// The contract of [`Store`] kept in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<StoreKey, Kept>>,
}

/// An object, and when it was put here.
#[derive(Debug, Clone)]
struct Kept {
    bytes: Arc<[u8]>,
    changed: Timestamp,
}

impl Kept {
    fn now(bytes: Arc<[u8]>) -> Self {
        Self { bytes, changed: Timestamp::now() }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<StoreKey, Kept>> {
        // Each change is one insertion or removal: a panic elsewhere leaves the map whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: &StoreKey, bytes: Arc<[u8]>) -> Result<(), StoreError> {
        let mut objects = self.objects();
        match objects.get(key) {
            Some(there) if there.bytes == bytes => Ok(()),
            Some(_) => Err(StoreError::Exists { key: key.clone() }),
            None => {
                objects.insert(key.clone(), Kept::now(bytes));
                Ok(())
            }
        }
    }
}

impl Store for MemoryStore {
    fn create(&self, objects: &[Object<'_>]) -> Result<(), StoreError> {
        objects.iter().try_for_each(|object| check_create_only(object.key))?;
        objects.iter().try_for_each(|object| self.insert(object.key, object.bytes.into()))
    }

    fn create_from_file(
        &self,
        key: &StoreKey,
        mut file: NamedTempFile,
        beside: &[Object<'_>],
    ) -> Result<(), StoreError> {
        check_create_only(key)?;
        self.create(beside)?;
        let mut bytes = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        read.map_err(|source| StoreError::io("read", file.path(), source))?;
        self.insert(key, bytes.into())
    }

    fn link(&self, links: &[Link]) -> Result<(), StoreError> {
        links.iter().try_for_each(|link| check_create_only(&link.to))?;
        links.iter().try_for_each(|Link { from, to }| {
            let bytes = self.objects().get(from).map(|kept| Arc::clone(&kept.bytes));
            self.insert(to, bytes.ok_or_else(|| StoreError::Missing { key: from.clone() })?)
        })
    }

    fn replace_timestamp(&self, expected: Option<Sha256>, bytes: &[u8]) -> Result<(), StoreError> {
        let mut objects = self.objects();
        let found = objects.get(&StoreKey::Timestamp).map(|there| Sha256::of(&there.bytes));
        if found != expected && found != Some(Sha256::of(bytes)) {
            return Err(StoreError::Changed { expected, found });
        }
        objects.insert(StoreKey::Timestamp, Kept::now(bytes.into()));
        Ok(())
    }

    fn read(&self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(Kept { bytes, .. }) = self.objects().get(key).cloned() else { return Ok(None) };
        let length = bytes.len() as u64;
        if length > limit {
            return Err(StoreError::TooLarge { key: key.clone(), length, limit });
        }
        Ok(Some(bytes.to_vec()))
    }

    fn open(&self, key: &StoreKey) -> Result<Option<OpenObject>, StoreError> {
        let kept = self.objects().get(key).cloned();
        Ok(kept.map(|Kept { bytes, .. }| OpenObject {
            length: bytes.len() as u64,
            reader: ObjectReader::Memory(Cursor::new(bytes)),
        }))
    }

    fn remove(&self, keys: &[StoreKey]) -> Result<(), StoreError> {
        keys.iter().try_for_each(check_removable)?;
        let mut objects = self.objects();
        for key in keys {
            objects.remove(key);
        }
        Ok(())
    }

    fn list(&self, area: Area) -> Result<Listing<'_>, StoreError> {
        let objects = self.objects();
        let listed = objects.iter().filter(|(key, _)| key.area() == area).map(|(key, kept)| {
            let (length, changed) = (kept.bytes.len() as u64, kept.changed);
            Ok(Listed { path: key.path(), key: Some(key.clone()), length, changed })
        });
        Ok(Box::new(listed.collect::<Vec<_>>().into_iter()))
    }

    fn set_reserve(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn use_reserve(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn has_reserve(&self) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn spool(&self) -> Result<NamedTempFile, StoreError> {
        let folder = std::env::temp_dir();
        NamedTempFile::new()
            .map_err(|source: io::Error| StoreError::io("make a temporary file in", folder, source))
    }
}
