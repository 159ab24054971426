//! Restoring targets after a compromise: what differs from the last snapshot that is known to be good, for
//! people to decide on, and their decisions made one journalled change (PEP 458, "In the Event of a Key
//! Compromise", step 3).
//!
//! | module | what it holds |
//! |---|---|
//! | `good` | the targets of that snapshot, out of an archive, a mirror or a backup |
//! | `compare` | what was added, changed and removed since |
//! | `hosted` | the same of a project whose files were uploaded here, by file |
//! | `places` | where the bytes of files are that are gone or changed here |
//! | `plan` | the differences and what is decided |
//! | `apply` | the journal entries that make it so |
//!
//! Pages are not decided on: of projects that were uploaded here they follow from their files.

mod apply;
mod compare;
mod good;
mod hosted;
mod places;
mod plan;

use crate::archive::ArchiveError;
use crate::error::Error;

pub use apply::Restored;
pub use compare::compare;
pub use good::LastKnownGood;
pub use places::Places;
pub use plan::{Change, Decision, FilePlan, Good, GoodFile, Plan, ProjectPlan, State};

/// The most differences that a plan holds.
pub const MOST_DIFFERENCES: u64 = 1_000_000;

/// An index that cannot be compared or restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot cannot be had from there.
    #[error("snapshot {snapshot} cannot be read from there: {problem}")]
    Snapshot {
        /// Its version.
        snapshot: u64,
        /// Why.
        problem: String,
    },
    /// More differences than a person decides on.
    #[error(
        "more than {MOST_DIFFERENCES} targets differ from snapshot {snapshot}: is it one of this index, and \
         not far older than the compromise?"
    )]
    TooMany {
        /// The good snapshot's version.
        snapshot: u64,
    },
    /// Pages that list files are needed, and are nowhere.
    #[error(
        "the pages of {count} projects as they were in snapshot {snapshot} are in none of the places, and \
         their files are not known without them: {}", names.join(", ")
    )]
    NoPages {
        /// The good snapshot's version.
        snapshot: u64,
        /// How many there are.
        count: usize,
        /// The first of them.
        names: Vec<String>,
    },
    /// Somebody has to decide first.
    #[error("{count} files are not decided on yet, such as {first}")]
    Undecided {
        /// How many.
        count: u64,
        /// The first.
        first: String,
    },
    /// What is to be restored is nowhere.
    #[error("{path} is to be restored, and cannot be: {problem}")]
    Lost {
        /// Its path.
        path: String,
        /// Why.
        problem: String,
    },
    /// The plan's text says what no comparison wrote.
    #[error("the plan says of {path}: {problem}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The index has changed since it was compared.
    #[error(
        "the index has changed since the plan was made: it was compared at snapshot {planned} and serial \
         {planned_serial}, and has snapshot {now} and serial {now_serial}"
    )]
    Stale {
        /// The snapshot that was compared.
        planned: u64,
        /// Its serial.
        planned_serial: u64,
        /// The present snapshot.
        now: u64,
        /// Its serial.
        now_serial: u64,
    },
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(Box<ArchiveError>),
    /// The index cannot be read or written.
    #[error(transparent)]
    Index(Box<Error>),
}

impl From<ArchiveError> for RestoreError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(Box::new(error))
    }
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> Self {
        Self::Index(Box::new(error))
    }
}
