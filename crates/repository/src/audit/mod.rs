//! The audit: reads a repository as the strictest of clients does, and compares it with its database.
//!
//! It changes nothing, works beside a running server, and holds a bin at a time: what cannot be
//! compared at once, such as the files that all pages list with the targets that all bins list, is
//! summed up for each bin (`tally`), and looked at again only where the sums differ.
//!
//! | module | what it checks |
//! |---|---|
//! | `metadata` | the chain of roots, timestamp, snapshot, `targets` and `bins` |
//! | `targets` | every bin, every target in it, and the object in the store |
//! | `pages` | every Simple page, against the targets and against the catalog |
//! | `vouched` | the files that are no targets, and that a page vouches for (layout `index`) |
//! | `journalled` | what the journal says of targets of another index, against the bins |
//! | `ledger` | journal and catalog against each other, and versions against the store |
//! | `large` | the bytes of large files, on all cores |
//! | `leftovers` | what is in the store and no metadata names |
//!
//! [`walk`] audits an index that may be far away, of which nothing can be listed, and [`Record`] keeps what
//! it saw for the next one. [`keys`] is an audit of its own: of the online key's use.

mod bins;
mod compare;
mod journalled;
pub mod keys;
mod large;
mod ledger;
mod leftovers;
mod metadata;
mod moment;
mod pages;
mod record;
mod report;
mod tally;
mod targets;
mod vouched;
mod walk;

use jiff::Timestamp;
use waxseal_tuf::RoleName;

use crate::database::{Catalog, Database};
use crate::error::{Error, StoreError};
use crate::store::{Store, StoreKey};

use large::Large;

pub use compare::{Ahead, Comparison, ProjectDifference, TargetDifference, Versions, compare};
pub use moment::Moment;
pub(crate) use moment::read_targets;
pub use record::Record;
pub use report::{Counts, Finding, Kind, Report};
pub use walk::{Checked, Done, Pin, Place, StoredTargets, TargetBytes, WalkSettings, Walked, walk};

/// The most bytes a metadata file is read with.
const METADATA_LIMIT: u64 = 64 << 20;

/// How to audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The time by which metadata is expired or not.
    pub now: Timestamp,
    /// Whether the bytes of every target are hashed; if not, only those of small ones and of pages
    /// are, and of the others the length is looked at.
    pub deep: bool,
}

/// How far an audit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being read, in the plural.
    pub what: &'static str,
    /// How many of them were.
    pub done: u64,
    /// How many there are; 0 where that is not known.
    pub total: u64,
}

/// Audits the repository in `store`, and its `database` where there is one. Findings are in the
/// report; an error says that the audit itself could not go on.
pub fn audit(
    store: &dyn Store,
    database: Option<&dyn Database>,
    settings: Settings,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    audit_from((store, database), settings, None, progress)
}

/// The same, from where another one was interrupted: `done` has the bins whose large files were all right, and
/// keeps those that are found to be.
pub fn audit_from(
    (store, database): (&dyn Store, Option<&dyn Database>),
    settings: Settings,
    done: Option<&dyn Done>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Report, Error> {
    let mut auditor = Auditor::of_store(store, settings, progress);
    auditor.database = database;
    auditor.large.done = done;
    // Asked before the store is: what is finished then is in what is read after it.
    let published = database.map(Catalog::published_serial).transpose()?;
    let mut stored = auditor.list_metadata()?;
    let signed = auditor.top_level()?;
    if let Some(signed) = &signed {
        signed.add_timestamp(&mut stored);
        let found = auditor.bins(signed, published)?;
        auditor.garbage(signed, &stored, found)?;
    }
    if let (Some(database), Some(published)) = (database, published) {
        auditor.journal(database, published)?;
        auditor.recorded_versions(database, signed.map(|signed| signed.bins), &stored)?;
    }
    Ok(auditor.report.finished())
}

struct Auditor<'a> {
    store: &'a dyn Store,
    database: Option<&'a dyn Database>,
    settings: Settings,
    report: Report,
    large: Large<'a>,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Auditor<'a> {
    /// Of a store alone.
    fn of_store(
        store: &'a dyn Store,
        settings: Settings,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let (report, large) = (Report::default(), Large::default());
        Self { store, database: None, settings, report, large, progress }
    }
}

impl Auditor<'_> {
    fn find(&mut self, kind: Kind, path: impl Into<String>, problem: impl Into<String>) {
        self.report.find(kind, path.into(), problem.into());
    }

    fn warn(&mut self, kind: Kind, path: impl Into<String>, problem: impl Into<String>) {
        self.report.warn(kind, path.into(), problem.into());
    }

    /// What a client would refuse.
    fn refused(&mut self, key: &StoreKey, error: &waxseal_tuf::Error) {
        self.find(Kind::of(error), key.path(), error.to_string());
    }

    fn progress(&mut self, what: &'static str, done: u64, total: u64) {
        (self.progress)(Progress { what, done, total });
    }

    /// The bytes of a metadata file; `None` where it is not there, and where it cannot be read, which
    /// is a finding.
    fn read(&mut self, key: &StoreKey, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.store.read(key, limit) {
            Ok(bytes) => Ok(bytes),
            Err(error) => self.unreadable(key, error).map(|()| None),
        }
    }

    /// A file that the disk does not give is a finding; that the store as a whole cannot be read is
    /// found where it is listed.
    fn unreadable(&mut self, key: &StoreKey, error: StoreError) -> Result<(), Error> {
        match error {
            StoreError::Io { .. } | StoreError::TooLarge { .. } | StoreError::Fetch { .. } => {
                self.find(Kind::Unreadable, key.path(), error.to_string());
                Ok(())
            }
            other => Err(other.into()),
        }
    }

    /// A metadata file that must be there.
    fn required(&mut self, key: &StoreKey, named_by: &str) -> Result<Option<Vec<u8>>, Error> {
        let before = self.report.counts.findings;
        let bytes = self.read(key, METADATA_LIMIT)?;
        if bytes.is_none() && self.report.counts.findings == before {
            self.find(Kind::Missing, key.path(), format!("is not there, and {named_by} names it"));
        }
        Ok(bytes)
    }
}

fn metadata_key(role: &RoleName, version: u64) -> StoreKey {
    StoreKey::Metadata { version, role: role.clone() }
}
