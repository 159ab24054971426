//! Who makes objects in the store and who collects them.
//!
//! Between the making of an object and the moment that something names it - the journal, or a snapshot -
//! it looks like garbage. So whoever makes one *holds* the objects meanwhile, and the collector removes
//! only while nobody does, after it has looked again. Any number hold at once, in any process.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Database;
use crate::Error;

/// How long those who want to hold are kept waiting by a collector that waits for others.
const PATIENCE: Duration = Duration::from_millis(200);

/// While it lives, no object is removed.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// While it lives, nobody holds.
#[derive(Debug)]
pub struct Collecting {
    _gate: File,
    _file: File,
}

impl Database {
    /// Holds the objects of the store. Waits for a collector that is removing some, a moment.
    pub fn hold_objects(&self) -> Result<Hold, Error> {
        let locked = || -> io::Result<File> {
            // A collector that waits has the gate, so that it is not passed by for ever.
            let gate = self.lock_file("gate")?;
            gate.lock_shared()?;
            let file = self.lock_file("objects")?;
            file.lock_shared()?;
            Ok(file)
        };
        Ok(Hold { _file: locked().map_err(|source| self.lock_error(source))? })
    }

    /// Becomes the one who may remove objects; `None` when somebody goes on holding them, as during
    /// the publication of a large batch.
    pub fn collect_objects(&self) -> Result<Option<Collecting>, Error> {
        let locked = || -> io::Result<Option<Collecting>> {
            let gate = self.lock_file("gate")?;
            gate.lock()?;
            let file = self.lock_file("objects")?;
            let begun = Instant::now();
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(Some(Collecting { _gate: gate, _file: file })),
                    Err(TryLockError::Error(error)) => return Err(error),
                    Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Ok(None),
                    Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
                }
            }
        };
        locked().map_err(|source| self.lock_error(source))
    }

    fn lock_file(&self, name: &str) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.lock_path(name))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        let mut path = self.path.as_os_str().to_owned();
        path.push(format!("-{name}.lock"));
        path.into()
    }

    fn lock_error(&self, source: io::Error) -> Error {
        Error::WriterLock { path: self.lock_path("objects"), source }
    }
}
