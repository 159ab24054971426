//! What a trust store remembers of refreshes, beside its metadata: when the last one came to its end, and
//! the root that people were told of.
//!
//! Nothing is verified by it, and a refresh goes well without it: on a disk that is full or read-only it is
//! left out. A refresh that is refused changes none of it.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::metadata_store::read_if_there;
use crate::{Error, MetadataStore, Refreshed};

/// A record of the same versions that is younger than this does as well.
const SAME: SignedDuration = SignedDuration::from_secs(60);

/// The last successful refresh on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRefresh {
    /// The time that it went by (TUF 5.1).
    pub when: Timestamp,
    /// Version of the trusted root.
    pub root: u64,
    /// Version of the trusted timestamp.
    pub timestamp: u64,
    /// Version of the trusted snapshot.
    pub snapshot: u64,
}

impl LastRefresh {
    pub(crate) fn of(refreshed: &Refreshed) -> Self {
        let Refreshed { root, timestamp, snapshot, reference_time, .. } = *refreshed;
        Self { when: reference_time, root, timestamp, snapshot }
    }

    /// Whether it says nothing that this earlier one does not.
    fn is_same_as(&self, earlier: &Self) -> bool {
        let age = self.when.duration_since(earlier.when);
        Self { when: self.when, ..*earlier } == *self && age.abs() < SAME
    }
}

/// The files of these records. Its methods block.
#[derive(Debug, Clone)]
pub(crate) struct Records(MetadataStore);

impl Records {
    /// Beside the metadata of this store.
    pub(crate) fn new(store: MetadataStore) -> Self {
        Self(store)
    }

    fn refreshed(&self) -> PathBuf {
        self.0.work().join("refreshed.json")
    }

    fn told(&self) -> PathBuf {
        self.0.work().join("told-root.json")
    }

    /// The last successful refresh, if one is on record.
    pub(crate) fn last(&self) -> Option<LastRefresh> {
        let bytes = read_if_there(&self.refreshed()).ok()??;
        serde_json::from_slice(&bytes).ok()
    }

    /// Replaces the record at once; of two processes, the last one's stays.
    pub(crate) fn record(&self, last: &LastRefresh) {
        if self.last().is_some_and(|earlier| last.is_same_as(&earlier)) {
            return;
        }
        let written = serde_json::to_vec(last)
            .map_err(std::io::Error::from)
            .map_err(Error::disk(&self.refreshed(), "cannot write it"))
            .and_then(|text| self.0.write_lightly(&self.refreshed(), &text));
        if let Err(error) = written {
            tracing::debug!("a refresh is not on record: {error}");
        }
    }

    /// The root that people know of, where it is not this one, which they know of from now on. Whoever gets
    /// it tells them: of all processes, one does.
    pub(crate) fn tell(&self, root: &[u8]) -> Option<Vec<u8>> {
        let known = || read_if_there(&self.told()).ok()?.filter(|known| known != root);
        known()?;
        // While another process writes, it is told another time.
        let _lock = self.0.try_lock().ok()??;
        let known = known()?;
        self.set_told(root).ok().map(|()| known)
    }

    /// A person has put this root in the place of another: what was refreshed before says nothing of it. Best
    /// effort, under the lock.
    pub(crate) fn begin_anew(&self, root: &[u8]) {
        let _ = std::fs::remove_file(self.refreshed());
        let _ = self.set_told(root);
    }

    /// People know of this root. The caller holds the lock, or is the only one that knows the store.
    pub(crate) fn set_told(&self, root: &[u8]) -> Result<(), Error> {
        self.0.write_lightly(&self.told(), root)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::fs;

    use super::*;

    fn records(folder: &tempfile::TempDir) -> Records {
        let store = MetadataStore::new(folder.path().join("metadata"), folder.path());
        store.create().unwrap();
        Records::new(store)
    }

    fn at(seconds: i64, snapshot: u64) -> LastRefresh {
        let when = Timestamp::from_second(1_900_000_000 + seconds).unwrap();
        LastRefresh { when, root: 1, timestamp: 2, snapshot }
    }

    #[test]
    fn a_record_is_written_for_other_versions_and_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        assert_eq!(records.last(), None);
        for (refresh, kept) in [
            (at(0, 3), at(0, 3)),
            (at(59, 3), at(0, 3)),
            (at(60, 3), at(60, 3)),
            (at(61, 4), at(61, 4)),
            // The clock was set back.
            (at(-7200, 4), at(-7200, 4)),
        ] {
            records.record(&refresh);
            assert_eq!(records.last(), Some(kept));
        }
        fs::write(folder.path().join("refreshed.json"), "{").unwrap();
        assert_eq!(records.last(), None);
        records.record(&at(0, 4));
        assert_eq!(records.last(), Some(at(0, 4)));
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_root_is_told_once_and_not_while_another_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        assert_eq!(records.tell(b"4"), None, "nothing says what people know");
        records.set_told(b"3").unwrap();
        assert_eq!(records.tell(b"3"), None);
        {
            let _busy = records.0.lock().unwrap();
            assert_eq!(records.tell(b"4"), None);
        }
        assert_eq!(records.tell(b"4"), Some(b"3".to_vec()));
        assert_eq!(records.tell(b"4"), None);
        records.record(&at(0, 1));
        records.begin_anew(b"1");
        assert_eq!((records.tell(b"1"), records.last()), (None, None));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let records = records(&folder);
        fs::remove_dir(folder.path().join("tmp")).unwrap();
        records.record(&at(0, 1));
        assert_eq!(records.last(), None);
    }
}
