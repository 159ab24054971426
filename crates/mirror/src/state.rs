//! What a mirror remembers of itself: which snapshots it keeps, and what it has exported.
//!
//! What is published is what `timestamp.json` in the folder says. The record is written before that file
//! changes, so that after a crash at any moment it knows of both snapshots.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_client::{Fingerprint, IndexUrl};

use crate::durable::{Folders, read_if_there};
use crate::error::Error;
use crate::filter::Filter;
use crate::folder::Folder;
use crate::run::Totals;

/// How long older snapshots stay, for clients that are in the middle of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// How many snapshots there are at least, the published one among them.
    pub snapshots: usize,
    /// How long one stays after it was superseded, at least.
    pub grace: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { snapshots: 3, grace: Duration::from_hours(1) }
    }
}

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The index that this is a mirror of.
    pub(crate) index: IndexUrl,
    /// The first root that is trusted, or that took its place by hand.
    pub(crate) root: Fingerprint,
    /// The snapshots that are whole in the folder, the published one last.
    pub(crate) kept: Vec<Kept>,
    /// The one that is about to be published.
    pub(crate) next: Option<Kept>,
    /// The one that was exported last.
    pub(crate) exported: Option<Kept>,
}

/// A snapshot, and what of it is in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Counted up; one snapshot with another filter is another one.
    pub(crate) id: u64,
    /// Version of `snapshot.json`.
    pub(crate) snapshot: u64,
    /// Version of `timestamp.json`.
    pub(crate) timestamp: u64,
    pub(crate) filter: Filter,
    pub(crate) totals: Totals,
    /// When the next one was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) superseded: Option<Timestamp>,
}

impl State {
    pub(crate) fn new(index: IndexUrl, root: Fingerprint) -> Self {
        Self { index, root, kept: Vec::new(), next: None, exported: None }
    }

    pub(crate) fn load(folder: &Folder) -> Result<Option<Self>, Error> {
        let path = folder.private("state.json");
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        let damaged = |problem| Error::Damaged { path, problem };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Written durably: what comes after may rely on it.
    pub(crate) fn save(&self, folder: &Folder, folders: &Folders) -> Result<(), Error> {
        let path = folder.private("state.json");
        let bytes = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Damaged { path: path.clone(), problem: error.to_string() })?;
        folders.write(&path, &bytes)?;
        crate::durable::sync_folder(&folder.private(""))
    }

    /// What is published.
    pub(crate) fn published(&self) -> Option<&Kept> {
        self.kept.last()
    }

    /// The id of the next snapshot.
    pub(crate) fn next_id(&self) -> u64 {
        let ids = self.kept.iter().chain(&self.next).chain(&self.exported).map(|kept| kept.id);
        ids.max().map_or(1, |id| id + 1)
    }

    /// Makes what was to be published the published one: the folder says that it is.
    pub(crate) fn promote(&mut self, next: Kept, now: Timestamp) {
        self.next = None;
        if let Some(last) = self.kept.last_mut() {
            if (last.snapshot, &last.filter) == (next.snapshot, &next.filter) {
                // Looked at again, or with a newer timestamp.
                *last = Kept { id: last.id, ..next };
                return;
            }
            last.superseded.get_or_insert(now);
        }
        self.kept.push(next);
    }

    /// Takes out those that have been kept for long enough, the oldest first.
    pub(crate) fn take_expired(&mut self, keep: Keep, now: Timestamp) -> Vec<Kept> {
        let spare = self.kept.len().saturating_sub(keep.snapshots.max(1));
        let is_over = |kept: &Kept| {
            let since = kept.superseded.map(|when| Duration::try_from(now.duration_since(when)));
            since.is_some_and(|since| since.is_ok_and(|since| since >= keep.grace))
        };
        let count = self.kept[..spare].iter().take_while(|kept| is_over(kept)).count();
        self.kept.drain(..count).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn snapshots_go_when_enough_newer_ones_are_there_and_their_time_is_over() {
        let root = Fingerprint::of(b"root");
        let mut state = State::new("https://a.example/".parse().unwrap(), root);
        let at = |second| Timestamp::from_second(second).unwrap();
        for when in [100, 200, 300, 400, 500] {
            let id = state.next_id();
            let (filter, totals, snapshot) = (Filter::default(), Totals::default(), id);
            let next = Kept { id, snapshot, timestamp: 1, filter, totals, superseded: None };
            state.promote(next, at(when));
        }
        // Superseded at 200, 300, 400 and 500.
        let keep = Keep { snapshots: 3, grace: Duration::from_secs(100) };
        let ids = |kept: Vec<Kept>| kept.into_iter().map(|kept| kept.id).collect::<Vec<_>>();
        assert_eq!(ids(state.clone().take_expired(keep, at(299))), [0_u64; 0]);
        assert_eq!(ids(state.clone().take_expired(keep, at(300))), [1]);
        assert_eq!(ids(state.take_expired(keep, at(9999))), [1, 2]);
        assert_eq!(ids(state.take_expired(Keep { snapshots: 0, ..keep }, at(9999))), [3, 4]);
        assert_eq!(state.published().unwrap().id, 5);
    }
}
