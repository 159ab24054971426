//! Holds as locks on two files beside the database, which the operating system takes back when a process
//! ends.

use std::fs::TryLockError;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::contract::{Collecting, Hold, Holds};
use super::sqlite::{SqliteDatabase, beside};
use crate::Error;
use crate::lock::{Access, LockError, lock_file, open_lock_file};

/// How long those who want to hold are kept waiting by a collector that waits for others.
const PATIENCE: Duration = Duration::from_millis(200);

impl Holds for SqliteDatabase {
    fn hold_objects(&self) -> Result<Hold, Error> {
        let doing = "make objects in the store";
        let shared = |name| lock_file(&self.lock_path(name), Access::Shared, doing, self.patience);
        // A collector that waits has the gate, so that it is not passed by for ever.
        let _gate = shared("gate")?;
        Ok(Hold::new(shared("objects")?))
    }

    fn collect_objects(&self) -> Result<Option<Collecting>, Error> {
        let (gate, doing) = (self.lock_path("gate"), "collect garbage");
        let gate = lock_file(&gate, Access::Exclusive, doing, self.patience)?;
        let path = self.lock_path("objects");
        let failed = |source| LockError::Failed { path: path.clone(), source };
        let file = open_lock_file(&path).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Collecting::new((gate, file)))),
                Err(TryLockError::Error(error)) => return Err(failed(error).into()),
                Err(TryLockError::WouldBlock) if begun.elapsed() > PATIENCE => return Ok(None),
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(2)),
            }
        }
    }
}

impl SqliteDatabase {
    fn lock_path(&self, name: &str) -> PathBuf {
        beside(self.path(), &format!("-{name}.lock"))
    }
}
