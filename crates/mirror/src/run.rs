//! What a run is asked for, what it tells, and how it ends.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use crate::filter::Filter;
use crate::state::Keep;

/// How to bring a mirror up to date.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// Which projects are copied; `None`: those that were last time, all of them the first time.
    pub filter: Option<Filter>,
    /// How long older snapshots stay.
    pub keep: Keep,
    /// Whether everything that is there is hashed, and fetched again where it is not right.
    pub check_all: bool,
    /// How many files are fetched at a time.
    pub threads: usize,
}

impl Default for SyncOptions {
    fn default() -> Self {
        Self { filter: None, keep: Keep::default(), check_all: false, threads: 8 }
    }
}

/// What is in a snapshot, as far as the mirror has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Targets.
    pub targets: i64,
    /// Their bytes.
    pub bytes: i64,
}

/// How far a run is. Numbers grow; what is still to come is known as roles are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Roles looked at, of so many.
    pub roles: (u64, u64),
    /// Files that were fetched.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Version of the snapshot that is published now.
    pub snapshot: u64,
    /// Version of the timestamp.
    pub timestamp: u64,
    /// Whether clients see another snapshot than before, or more of it.
    pub changed: bool,
    /// Metadata files that were fetched and verified, those of snapshot and above not counted.
    pub roles: u64,
    /// Files that were fetched and verified.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were removed, since no snapshot that is kept names them.
    pub removed: u64,
    /// Files that pages link to on other hosts, or that cannot be verified: they are not here.
    pub elsewhere: u64,
    /// What the snapshot lists and the mirror has.
    pub totals: Totals,
}

/// Counters that threads share.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) roles: AtomicI64,
    pub(crate) files: AtomicI64,
    pub(crate) bytes: AtomicI64,
    pub(crate) elsewhere: AtomicI64,
    pub(crate) targets_more: AtomicI64,
    pub(crate) bytes_more: AtomicI64,
}

pub(crate) fn add(counter: &AtomicI64, more: u64) {
    counter.fetch_add(i64::try_from(more).unwrap_or(i64::MAX), Ordering::Relaxed);
}

pub(crate) fn value(counter: &AtomicI64) -> u64 {
    u64::try_from(counter.load(Ordering::Relaxed)).unwrap_or_default()
}
