//! Space that is set aside: a file that is never read.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use super::StoreError;

/// The file, and how long it is when it is whole.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    length: u64,
}

impl Reserve {
    pub(super) fn new(private: &Path, length: u64) -> Self {
        Self { path: private.join("reserve"), length }
    }

    /// Takes the space, all of it or none.
    pub(super) fn set(&self) -> Result<(), StoreError> {
        let failed = |source| StoreError::io("set space aside in", &self.path, source);
        let file = self.open().map_err(failed)?;
        if file.metadata().map_err(failed)?.len() == self.length {
            return Ok(());
        }
        // As much again has to be free: else what was given back a moment ago would be taken away from
        // those who need it.
        let is = statvfs(&self.path).map_err(|error| failed(error.into()))?;
        if is.f_bavail.saturating_mul(is.f_frsize) < 2 * self.length {
            return Err(failed(io::Error::from(io::ErrorKind::StorageFull)));
        }
        let taken = match fallocate(&file, FallocateFlags::empty(), 0, self.length) {
            Ok(()) => Ok(()),
            // A file system that cannot set space aside: go on without.
            Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(self.length),
            Err(error) => Err(error.into()),
        };
        taken.map_err(|source| {
            // A part of it would look like all of it.
            let _ = file.set_len(0);
            failed(source)
        })
    }

    /// Gives the space back.
    pub(super) fn release(&self) -> Result<(), StoreError> {
        let released = self.open().and_then(|file| file.set_len(0));
        released.map_err(|source| StoreError::io("use the space set aside in", &self.path, source))
    }

    /// Whether the space is taken; also where it never was to be.
    pub(super) fn is_set(&self) -> Result<bool, StoreError> {
        match self.path.metadata() {
            Ok(is) => Ok(is.len() >= self.length),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(source) => Err(StoreError::io("look at", &self.path, source)),
        }
    }

    fn open(&self) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(&self.path)
    }
}
