//! Holds as locks on two files beside the database, which the operating system takes back when a process
//! ends.

use std::path::PathBuf;
use std::time::Duration;

use super::contract::{Collecting, Hold, Holds};
use super::sqlite::{SqliteDatabase, beside};
use crate::Error;
use crate::lock::{Access, lock_file};

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

    fn collect_objects(&self) -> Result<Collecting, Error> {
        let alone = |name, patience| {
            lock_file(&self.lock_path(name), Access::Exclusive, "collect garbage", patience)
        };
        let gate = alone("gate", self.patience)?;
        let objects = alone("objects", PATIENCE)?;
        Ok(Collecting::new((gate, objects)))
    }
}

impl SqliteDatabase {
    fn lock_path(&self, name: &str) -> PathBuf {
        beside(self.path(), &format!("-{name}.lock"))
    }
}
