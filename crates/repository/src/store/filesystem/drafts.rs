//! Objects that are written as they come, before any of them has its name.

use std::sync::{Mutex, PoisonError};

use tempfile::{NamedTempFile, TempPath};

use super::batch::{Batch, FEW};
use super::{Creation, FilesystemStore, StoreError, StoreKey, check_create_only};

/// Unfinished files, and what they are to be. Dropped, they are deleted.
pub(super) struct Drafts<'a> {
    store: &'a FilesystemStore,
    batch: Batch<'a>,
    written: Mutex<Written>,
}

/// In the order in which they came.
#[derive(Default)]
struct Written {
    /// The first few, kept open to be made durable one by one if there are no more.
    few: Vec<(StoreKey, NamedTempFile)>,
    /// The rest: closed, as there may be more than a process may hold open.
    more: Vec<(StoreKey, TempPath)>,
}

impl<'a> Drafts<'a> {
    pub(super) fn begin(store: &'a FilesystemStore) -> Result<Self, StoreError> {
        let batch = Batch::begin(store)?;
        Ok(Self { store, batch, written: Mutex::default() })
    }
}

impl Creation for Drafts<'_> {
    fn add(&self, key: &StoreKey, bytes: &[u8]) -> Result<(), StoreError> {
        check_create_only(key)?;
        let file = self.store.spool_folder()?.file_with(bytes)?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        match written.few.len() < FEW {
            true => written.few.push((key.clone(), file)),
            false => written.more.push((key.clone(), file.into_temp_path())),
        }
        Ok(())
    }

    /// Makes them durable, and then gives them their names.
    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self { mut batch, written, .. } = *self;
        let Written { few, more } = written.into_inner().unwrap_or_else(PoisonError::into_inner);
        match more.is_empty() {
            true => batch.sync_files(few.iter().map(|(_, file)| file))?,
            false => batch.sync_volume()?,
        }
        let few = few.into_iter().map(|(key, file)| (key, file.into_temp_path()));
        for (key, draft) in few.chain(more) {
            batch.place_draft(draft, &key)?;
        }
        batch.settle()
    }
}
