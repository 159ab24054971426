//! What can go wrong in an update, and who is to blame.

use std::fmt;

use jiff::Timestamp;

use crate::hash::HashMismatch;
use crate::names::{InvalidName, RoleName};

/// Why metadata or a target was refused.
///
/// Every variant but [`Error::Misuse`] and [`Error::Expired`] means that the repository, a mirror or
/// the network handed out something it must not; `Expired` can also be a wrong local clock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes are not metadata of this role.
    #[error("{role} metadata is malformed ({file}): {problem}")]
    Format {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role whose metadata this was to be.
        role: RoleName,
        /// Field and problem.
        problem: FormatError,
    },
    /// Fewer distinct keys than the threshold signed (TUF 5.3.4, 5.4.2, 5.5.3, 5.6.3).
    #[error(
        "{role} version {version} is signed by {valid} of the keys that {delegator} trusts for it, \
         {threshold} are needed ({file})"
    )]
    Signatures {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role whose signatures were counted.
        role: RoleName,
        /// Its version, as the bytes claim.
        version: u64,
        /// The role that names the keys, with its version where that is root.
        delegator: String,
        /// Signatures needed.
        threshold: u64,
        /// Distinct keys with a valid signature.
        valid: u64,
    },
    /// A version is lower than one that was trusted before (TUF 5.4.3, 5.5.5).
    #[error("{role} went back from version {trusted} to version {got}: a rollback ({file})")]
    Rollback {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role that went back.
        role: RoleName,
        /// The version that is trusted.
        trusted: u64,
        /// The version that came.
        got: u64,
    },
    /// The version in a file is not the version it was asked for (TUF 5.3.5, 5.5.4, 5.6.4).
    #[error("{role} has version {got}, expected version {expected} ({file})")]
    WrongVersion {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role.
        role: RoleName,
        /// The version that root, timestamp or snapshot named.
        expected: u64,
        /// The version in the file.
        got: u64,
    },
    /// A file states that it is another role's ([`Targets::name`](crate::metadata::Targets)).
    #[error("{role} metadata was asked for, and that of {got} came ({file})")]
    OtherRole {
        /// The file's path below the metadata URL.
        file: String,
        /// The role that was asked for.
        role: RoleName,
        /// The role that the file states.
        got: RoleName,
    },
    /// A role that the trusted snapshot listed is missing from the new one (TUF 5.5.5).
    #[error("{role} disappeared from snapshot version {snapshot}: a rollback ({file})")]
    RoleRemoved {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role that vanished.
        role: RoleName,
        /// Version of the snapshot that lacks it.
        snapshot: u64,
    },
    /// A role that delegations lead to is not listed in snapshot.
    #[error("{role} is not listed in snapshot version {snapshot} ({file})")]
    RoleNotListed {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role.
        role: RoleName,
        /// Version of the snapshot that lacks it.
        snapshot: u64,
    },
    /// The role is past its expiry time (TUF 5.3.10, 5.4.4, 5.5.6, 5.6.5).
    #[error(
        "{role} version {version} expired at {expired}; it is {now:.0} here: the mirror is stale or \
         frozen, or this machine's clock is wrong ({file})"
    )]
    Expired {
        /// The file's path below the metadata URL; `root.json` for the root that was trusted before.
        file: String,
        /// The role that is too old.
        role: RoleName,
        /// Its version.
        version: u64,
        /// When it expired.
        expired: Timestamp,
        /// The fixed start time of the update.
        now: Timestamp,
    },
    /// Bytes do not have the digest that metadata lists (TUF 5.5.2, 5.6.2, 5.7.3).
    #[error("{file} was changed: {mismatch}")]
    Hash {
        /// Path of the metadata file below the metadata URL, or target path.
        file: String,
        /// Algorithm, expected and actual digest.
        mismatch: HashMismatch,
    },
    /// Metadata lists no digest that this version can check.
    #[error("metadata lists no SHA-256 or SHA-512 digest for {file}")]
    NoKnownHash {
        /// Path of the metadata file below the metadata URL, or target path.
        file: String,
    },
    /// Bytes do not have the length that metadata lists, or exceed the limit for their kind.
    #[error("{file} {}", wrong_length(*.got, *.expected, *.exact))]
    Length {
        /// Path of the metadata file below the metadata URL, or target path.
        file: String,
        /// Listed length, or the limit.
        expected: u64,
        /// Whether `expected` is a listed length.
        exact: bool,
        /// Bytes received.
        got: u64,
    },
    /// A file that valid metadata names cannot be had.
    #[error("{file} is missing, although {named_by} metadata names it")]
    Missing {
        /// The file's path below the metadata URL.
        file: String,
        /// The role that names it.
        named_by: RoleName,
    },
    /// A limit of [`Limits`](crate::Limits) was reached.
    #[error("more than {limit} {what}")]
    TooMany {
        /// What was counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The caller answered a step with what it did not ask for.
    #[error("the update workflow asked for {expected}: this is a mistake of the calling program")]
    Misuse {
        /// What was asked for.
        expected: &'static str,
    },
}

/// Who caused an [`Error`], as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The repository, or what stands between it and the client: a mirror, a cache, the network.
    Source,
    /// The same, or this machine's clock.
    SourceOrClock,
    /// The program that calls this crate.
    Caller,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "the repository, or a mirror or network between it and this machine",
            Self::SourceOrClock => "the repository, a mirror, or this machine's clock",
            Self::Caller => "the calling program",
        })
    }
}

impl Error {
    /// Who caused it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Expired { .. } => Blame::SourceOrClock,
            Self::Misuse { .. } => Blame::Caller,
            _ => Blame::Source,
        }
    }

    /// One lower-case word for programs: `rollback`, `expired`, `changed`, …; stable.
    pub fn slug(&self) -> &'static str {
        match self {
            Self::Format { .. } => "malformed",
            Self::Signatures { .. } => "unsigned",
            Self::Rollback { .. } | Self::RoleRemoved { .. } => "rollback",
            Self::WrongVersion { .. } | Self::OtherRole { .. } | Self::RoleNotListed { .. } => {
                "inconsistent"
            }
            Self::Expired { .. } => "expired",
            Self::Hash { .. } | Self::Length { .. } | Self::NoKnownHash { .. } => "changed",
            Self::Missing { .. } => "missing",
            Self::TooMany { .. } => "endless",
            Self::Misuse { .. } => "internal",
        }
    }
}

/// A text that may hold names out of metadata that nobody signed: one short line, which cannot steer a
/// terminal.
fn shown(text: &str) -> String {
    const LONGEST: usize = 300;
    let printable = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(LONGEST).map(printable).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

fn wrong_length(got: u64, expected: u64, exact: bool) -> String {
    match exact {
        true => format!("was changed: it is {got} bytes long, metadata says {expected}"),
        false => format!("has {got} bytes, more than the {expected} that such a file may have"),
    }
}

/// Where metadata departs from its format, and how.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FormatError {
    /// Dotted path of the field, such as `signed.roles.root.threshold`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl FormatError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: shown(&field.into()), problem: shown(&problem.into()) }
    }

    pub(crate) fn name(field: impl Into<String>, error: &InvalidName) -> Self {
        Self::new(field, error.to_string())
    }

    /// The same error, of a field inside `outer`.
    pub(crate) fn within(self, outer: &str) -> Self {
        let field = match self.field.is_empty() {
            true => outer.to_owned(),
            // `keyids[3]`, not `keyids.[3]`.
            false if self.field.starts_with('[') => format!("{outer}{}", self.field),
            false => format!("{outer}.{}", self.field),
        };
        Self { field: shown(&field), ..self }
    }
}
