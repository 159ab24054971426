//! How a mirror is doing: how its last rounds went, and how far it is behind.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_client::IndexUrl;

use crate::durable::{Folders, read_if_there};
use crate::error::Error;
use crate::folder::Folder;
use crate::run::Totals;

/// `status.json`: written after each round, also one that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The index that this is a mirror of.
    pub index: IndexUrl,
    /// Version of the snapshot that clients see; `None` before the first is published.
    pub snapshot: Option<u64>,
    /// Version of its timestamp.
    pub timestamp: Option<u64>,
    /// When clients stop to believe it, unless a newer one comes before.
    pub expires: Option<Timestamp>,
    /// Which projects are copied, in words.
    pub projects: String,
    /// What the snapshot lists and the mirror has.
    pub totals: Totals,
    /// Versions of the snapshots that are kept whole, the published one last.
    pub kept: Vec<u64>,
    /// The newest snapshot that the index was seen to have, as it was verified.
    pub newest_seen: Option<u64>,
    /// When the mirror was last as new as the index.
    pub up_to_date: Option<Timestamp>,
    /// When the last round ended.
    pub last_round: Timestamp,
    /// Why the last round failed; `None` where it did not.
    pub problem: Option<String>,
    /// The snapshot that was exported last.
    pub exported: Option<u64>,
}

impl Status {
    /// Seconds since the mirror was as new as the index: how far it may be behind.
    pub fn lag_seconds(&self, now: Timestamp) -> Option<i64> {
        self.up_to_date.map(|when| now.duration_since(when).as_secs().max(0))
    }

    /// Whether clients refuse what the mirror shows, since it is too old.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, Error> {
        let path = folder.private("status.json");
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let damaged = |problem| Error::Damaged { path, problem };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
    }

    pub(crate) fn save(&self, folder: &Folder, folders: &Folders) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        folders.write(&folder.private("status.json"), &bytes)
    }
}
