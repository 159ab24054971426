//! Holds as locks on two files beside the database, which the operating system takes back when a process
//! ends.

use std::fs::{File, TryLockError};
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::contract::{Collecting, Hold, Holds};
use super::sqlite::SqliteDatabase;
use crate::Error;

/// How long those who want to hold are kept waiting by a collector that waits for others.
const PATIENCE: Duration = Duration::from_millis(200);

impl Holds for SqliteDatabase {
    fn hold_objects(&self) -> Result<Hold, Error> {
        let locked = || -> io::Result<File> {
            // A collector that waits has the gate, so that it is not passed by for ever.
            let gate = self.lock_file("gate")?;
            gate.lock_shared()?;
            let file = self.lock_file("objects")?;
            file.lock_shared()?;
            Ok(file)
        };
        Ok(Hold::new(locked().map_err(|source| self.lock_error(source))?))
    }

    fn collect_objects(&self) -> Result<Option<Collecting>, Error> {
        let locked = || -> io::Result<Option<Collecting>> {
            let gate = self.lock_file("gate")?;
            gate.lock()?;
            let file = self.lock_file("objects")?;
            let begun = Instant::now();
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(Some(Collecting::new((gate, file)))),
                    Err(TryLockError::Error(error)) => return Err(error),
                    Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Ok(None),
                    Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
                }
            }
        };
        locked().map_err(|source| self.lock_error(source))
    }
}

impl SqliteDatabase {
    fn lock_file(&self, name: &str) -> io::Result<File> {
        File::options().create(true).truncate(false).write(true).open(self.lock_path(name))
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        let mut path = self.path().as_os_str().to_owned();
        path.push(format!("-{name}.lock"));
        path.into()
    }

    fn lock_error(&self, source: io::Error) -> Error {
        Error::WriterLock { path: self.lock_path("objects"), source }
    }
}
