//! Space that is set aside: a file that is never read.

use std::fs::{self, File};
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
        if self.length == 0 || self.path.metadata().is_ok_and(|is| is.len() == self.length) {
            return Ok(());
        }
        // As much again has to be free: else what was given back a moment ago would be taken away from
        // those who need it.
        let folder = self.path.parent().unwrap_or(&self.path);
        let is = statvfs(folder).map_err(|error| failed(error.into()))?;
        if is.f_bavail.saturating_mul(is.f_frsize) < self.length.saturating_mul(2) {
            // An empty one says that there was to be one.
            self.release()?;
            return Err(failed(io::Error::from(io::ErrorKind::StorageFull)));
        }
        // Aside, so that nobody finds a part of it.
        let draft = self.path.with_extension("new");
        let taken = File::create(&draft).and_then(|file| take(&file, self.length));
        let set = taken.and_then(|()| fs::rename(&draft, &self.path));
        if let Err(source) = set {
            let _ = fs::remove_file(&draft);
            self.release()?;
            return Err(failed(source));
        }
        Ok(())
    }

    /// Gives the space back.
    pub(super) fn release(&self) -> Result<(), StoreError> {
        let released = File::create(&self.path).map(drop);
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
}

fn take(file: &File, length: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        // A file system that cannot set space aside: go on without.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(length),
        Err(error) => Err(error.into()),
    }
}
