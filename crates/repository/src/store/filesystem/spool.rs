//! Where unfinished files live, and how those of a crashed process are swept.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tempfile::{Builder, NamedTempFile, TempDir};

use super::{StoreError, create_folder};
use crate::lock::{Access, lock_file};

/// Mode of every object: what is in the store is public.
const OBJECT_MODE: u32 = 0o644;

/// A folder of this process for unfinished files, on the file system of the store.
///
/// Each process holds a lock on its own folder for as long as it lives. A folder whose lock can be
/// had belongs to a process that is gone, so what it left is swept while others go on working.
#[derive(Debug)]
pub(super) struct Spool {
    folder: TempDir,
    _alive: File,
}

impl Spool {
    /// Sweeps what crashed processes left below `private`, and makes a folder there.
    pub(super) fn open(private: &Path, patience: Duration) -> Result<Self, StoreError> {
        let all = private.join("spool");
        create_folder(&all)?;
        // Without this lock a folder could be swept between its making and its locking.
        let gate = private.join("spool.lock");
        let doing = "sweep what crashed processes left";
        let _gate_lock =
            lock_file(&gate, Access::Exclusive, doing, patience).map_err(StoreError::lock)?;

        sweep(&all)?;
        let folder = Builder::new().prefix("").tempdir_in(&all);
        let folder = folder.map_err(|source| StoreError::io("make a folder in", &all, source))?;
        let alive = File::open(folder.path()).and_then(|file| file.lock().map(|()| file));
        let alive = alive.map_err(|source| StoreError::io("lock", folder.path(), source))?;
        Ok(Self { folder, _alive: alive })
    }

    /// An empty file, readable by this user alone until it is finished.
    pub(super) fn file(&self) -> Result<NamedTempFile, StoreError> {
        self.make(Builder::new().prefix(""))
    }

    fn make(&self, builder: &Builder<'_, '_>) -> Result<NamedTempFile, StoreError> {
        let made = builder.tempfile_in(self.folder.path());
        made.map_err(|source| StoreError::io("make a file in", self.folder.path(), source))
    }

    /// A file with these bytes, ready to become an object but for its durability.
    pub(super) fn file_with(&self, bytes: &[u8]) -> Result<NamedTempFile, StoreError> {
        // With its mode from the beginning, which most umasks allow: then it need not be changed.
        let mode = Permissions::from_mode(OBJECT_MODE);
        let mut file = self.make(Builder::new().prefix("").permissions(mode))?;
        file.as_file_mut()
            .write_all(bytes)
            .map_err(|source| StoreError::io("write", file.path(), source))?;
        finish(&file)?;
        Ok(file)
    }
}

/// Gives a finished file the mode of an object, whatever the umask.
pub(super) fn finish(file: &NamedTempFile) -> Result<(), StoreError> {
    let set_mode = || {
        let is = file.as_file().metadata()?.permissions().mode();
        match is & 0o7777 == OBJECT_MODE {
            true => Ok(()),
            false => file.as_file().set_permissions(Permissions::from_mode(OBJECT_MODE)),
        }
    };
    set_mode().map_err(|source| StoreError::io("set the mode of", file.path(), source))
}

fn sweep(all: &Path) -> Result<(), StoreError> {
    let entries = fs::read_dir(all).map_err(|source| StoreError::io("list", all, source))?;
    for entry in entries {
        let path = entry.map_err(|source| StoreError::io("list", all, source))?.path();
        let alive = match File::open(&path).map(|folder| folder.try_lock()) {
            Ok(Err(TryLockError::WouldBlock)) => true,
            Ok(_) | Err(_) => false,
        };
        if alive {
            continue;
        }
        // Leftovers only cost space: failing to sweep them is no reason not to start.
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(path = %path.display(), "swept unfinished files of a crash"),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot sweep unfinished files");
            }
        }
    }
    Ok(())
}
