//! What an audit of the online key's use found. Programs read it: names and words here are stable.

use serde::Serialize;
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use crate::key_use::Head;

/// The most findings that are kept; more are only counted.
const MOST: usize = 1_000;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// Whether nothing is wrong.
    pub valid: bool,
    /// Where the log ends.
    pub head: Option<Head>,
    /// When the first and the last record were made, as they say.
    pub first: Option<String>,
    /// The same of the last.
    pub last: Option<String>,
    /// What is wrong; the first thousand.
    pub findings: Vec<KeyFinding>,
    /// What was checked.
    pub counts: KeyCounts,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyFinding {
    /// What kind of wrong.
    pub kind: KeyFindingKind,
    /// The record of the log that it is about.
    pub record: Option<u64>,
    /// The role of what was signed.
    pub role: Option<String>,
    /// Its version.
    pub version: Option<u64>,
    /// The file, as its path below the store.
    pub file: Option<String>,
    /// SHA-256 of the signed value.
    pub sha256: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// The kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyFindingKind {
    /// A file in the store has a signed value that is not in the log.
    NotLogged,
    /// A file in the store has another signed value than the log has under its role and version.
    OtherValue,
    /// A file in the store is no metadata of its role.
    NotMetadata,
    /// The disk does not give a file's bytes.
    Unreadable,
    /// The log is empty.
    Empty,
    /// A record's hash is not that of what stands there.
    BrokenChain,
    /// Records are missing.
    Gap,
    /// A record stands behind one of a higher number.
    Order,
    /// A record cannot be read.
    Damaged,
    /// The log ends before a head that it had.
    Truncated,
    /// The log had another hash at that number.
    OtherHead,
    /// The log has two values under one version, or a version below an earlier one.
    VersionUsedAgain,
    /// A key that neither root nor `bins` names.
    UnknownKey,
    /// Which keys root and `bins` name cannot be verified.
    Unverified,
}

impl KeyFindingKind {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotLogged | Self::OtherValue | Self::VersionUsedAgain | Self::UnknownKey => {
                "unless the log was restored from an older backup, somebody else has signed: keep the \
                 file and follow docs/compromise.md"
            }
            Self::NotMetadata => {
                "no client takes it: copy the file from a mirror or a backup of this moment, and find \
                 out what wrote it"
            }
            Self::Unreadable => "check the disk and the file's permissions, then audit again",
            Self::Empty => {
                "an index of an earlier version begins its log with its next batch, so serve it and \
                 audit again; else somebody has removed it: follow docs/compromise.md"
            }
            Self::BrokenChain
            | Self::Gap
            | Self::Order
            | Self::Damaged
            | Self::Truncated
            | Self::OtherHead => {
                "compare with the copies and heads of the log that you keep elsewhere; no program of \
                 ours changes a record, so if it is not the disk follow docs/compromise.md"
            }
            Self::Unverified => "see what is wrong with `waxseal audit repo`, and audit again",
        }
    }
}

/// What was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct KeyCounts {
    /// Everything that is wrong, also what is not listed.
    pub findings: u64,
    /// Records of the log.
    pub records: u64,
    /// Values that the log says were signed.
    pub signed: u64,
    /// Values that were there when the log began.
    pub before_the_log: u64,
    /// Values of batches that were never published: what a crash or a failure leaves. Their versions are
    /// not used again.
    pub never_published: u64,
    /// Values that were signed again for a batch that an earlier run had begun.
    pub signed_again: u64,
    /// Files in the store that the online key signs.
    pub files: u64,
    /// Those of them whose signed value is in the log.
    pub files_in_the_log: u64,
}

impl KeyFinding {
    pub(super) fn new(kind: KeyFindingKind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            record: None,
            role: None,
            version: None,
            file: None,
            sha256: None,
            problem: problem.into(),
            hint: kind.hint(),
        }
    }

    pub(super) fn record(self, number: u64) -> Self {
        Self { record: Some(number), ..self }
    }

    pub(super) fn value(self, role: &RoleName, version: u64, sha256: Sha256) -> Self {
        let (role, version) = (Some(role.to_string()), Some(version));
        Self { role, version, sha256: Some(sha256.to_string()), ..self }
    }

    pub(super) fn file(self, path: String) -> Self {
        Self { file: Some(path), ..self }
    }
}

impl KeyReport {
    pub(super) fn find(&mut self, finding: KeyFinding) {
        self.counts.findings += 1;
        if self.findings.len() < MOST {
            self.findings.push(finding);
        }
    }

    pub(super) fn finished(mut self) -> Self {
        self.valid = self.counts.findings == 0;
        self
    }
}
