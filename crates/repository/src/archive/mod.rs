//! The archive: the digests of every snapshot and of every target of an index, in one file for a device that
//! is on no network (PEP 458, "Auditing Snapshots").
//!
//! A file is a chain of *pieces*, one for each time that something was appended. The first piece lists every
//! target; each later one what changed since, so that the file grows with the change. Every 64 pieces one
//! lists all of them again, so that reading takes the last few alone. A piece is text:
//!
//! ```text
//! {"waxseal_archive":1,"number":2,"previous":"<SHA-256 of piece 1>","full":false,"snapshot":17,…}
//! + sha256:<HEX> <LENGTH> <PATH>     a target that came, or changed
//! - <PATH>                           a target that went
//! = <SHA-256 of the piece up to here>
//! ```
//!
//! Lines are in the order of the SHA-256 of their paths, which is that of the bins however many there are, so
//! that pieces and indexes are compared in one pass, and no more than a bin is in memory.

mod append;
mod check;
mod read;

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::TargetFile;

use crate::audit::Report;

pub use append::{Appended, append, repair};
pub use check::{Checked, Difference, ProjectDifferences, check};
pub(crate) use read::finish as finish_digest;
pub use read::{Archive, Entries};

/// The form of archives that this program writes and reads.
const FORMAT: u64 = 1;

/// After so many pieces one lists every target again.
const PIECES: usize = 64;

/// The most bytes of a line: a path has 4,096.
const LINE: u64 = 8 << 10;

/// The first line of a piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    waxseal_archive: u64,
    /// Its number, from 1.
    pub number: u64,
    /// The digest of the piece before it, in hex; empty for the first.
    pub previous: String,
    /// Whether it lists every target, and not only what changed.
    pub full: bool,
    /// When it was written, by the clock of the machine that did.
    pub time: Timestamp,
    /// The version of root.
    pub root: u64,
    /// The version of snapshot.
    pub snapshot: u64,
    /// SHA-256 of `N.snapshot.json`, in hex.
    pub snapshot_sha256: String,
}

/// A target, as an archive has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// SHA-256 of the path, which is the order of entries.
    pub order: Sha256,
    /// Its path.
    pub path: String,
    /// The algorithm of its digest, a colon and the digest in hex.
    pub digest: String,
    /// Its length, in bytes.
    pub length: u64,
}

impl Entry {
    /// The entry of a target that metadata lists.
    pub(crate) fn of(path: &str, file: &TargetFile) -> Self {
        let digest = match file.hashes.listed_sha256() {
            Some(digest) => format!("sha256:{digest}"),
            None => {
                let mut listed = file.hashes.iter();
                listed.next().map_or_else(String::new, |(name, hex)| format!("{name}:{hex}"))
            }
        };
        let order = Sha256::of(path.as_bytes());
        Self { order, path: path.to_owned(), digest, length: file.length }
    }
}

/// An archive that cannot be read, appended to or compared.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read or written.
    #[error("cannot {action} the archive {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The archive.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The end of the file is no whole piece: something was cut off in the middle of appending.
    #[error(
        "the archive {} ends in the middle of piece {piece}, which begins at byte {offset}: what was being \
         appended was cut off; `waxseal audit archive --repair` removes that piece, and nothing before it",
        path.display()
    )]
    Torn {
        /// The archive.
        path: PathBuf,
        /// The piece's number.
        piece: u64,
        /// Where it begins.
        offset: u64,
    },
    /// A piece is not what was appended.
    #[error(
        "piece {piece} of the archive {}, which begins at byte {offset}, {problem}: somebody or something \
         changed the file; use another copy of it", path.display()
    )]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// The piece's number.
        piece: u64,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// No piece is of that snapshot.
    #[error(
        "the archive {} has no snapshot {snapshot}; it has {there}", path.display()
    )]
    NoSnapshot {
        /// The archive.
        path: PathBuf,
        /// The snapshot that was asked for.
        snapshot: u64,
        /// Those that are there, in words.
        there: String,
    },
    /// The index is not whole, so that its targets are not to be archived.
    #[error(
        "the index is not whole: {}; `waxseal audit repo` says more",
        .0.findings.first().map_or_else(String::new, |finding| format!("{} {}", finding.path, finding.problem))
    )]
    Findings(Box<Report>),
    /// The index has an older snapshot than the archive.
    #[error(
        "the index has snapshot {index}, and the archive has {archive} already: it was set back, or this is \
         another index"
    )]
    Older {
        /// The index's snapshot.
        index: u64,
        /// The archive's newest one.
        archive: u64,
    },
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] crate::Error),
}
