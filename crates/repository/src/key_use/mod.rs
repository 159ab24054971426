//! The log of the online key's use (PEP 458, "Managing online keys").
//!
//! What the online key signs is on record before its file gets its name: a record for each batch, or for
//! each slice of a large one. Records are chained: the hash of each covers the hash of the one before, so
//! that whoever knows one hash knows whether anything before it was changed.
//!
//! | module | what it holds |
//! |---|---|
//! | `encoding` | a record as bytes, which its hash is of |
//! | `line` | a record as a line of JSON, for another machine |

mod encoding;
mod line;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::Serialize;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{KeyId, RoleName};

pub use encoding::DamagedRecord;
pub use line::BadLine;

/// What the hash of a record begins with, so that it is the hash of nothing else.
const CONTEXT: &[u8] = b"waxseal key use 1\n";

/// One record: what a key signed at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Why it was signed.
    pub kind: UseKind,
    /// When it was recorded, by the clock of the machine that did.
    pub time: Timestamp,
    /// The key.
    pub keyid: KeyId,
    /// The version of snapshot that the batch makes.
    pub snapshot: u64,
    /// The version of snapshot that clients found meanwhile; 0 for none.
    pub published: u64,
    /// The batch holds the journal's entries after this serial…
    pub after: u64,
    /// …and up to this one.
    pub serial: u64,
    /// What was signed.
    pub signed: Vec<SignedValue>,
}

/// Why something was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseKind {
    /// For a batch.
    Batch,
    /// For a batch that an earlier run began with the same versions: they may be in the log before.
    Resumed,
    /// Nobody knows: it was in the store when the log began.
    Before,
}

/// One value that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedValue {
    /// Of which role.
    pub role: RoleName,
    /// Of which version.
    pub version: u64,
    /// SHA-256 of its canonical form, which the signature is made over.
    pub sha256: Sha256,
}

/// Where a log ends, or ended once: it cannot be changed up to there without another hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Head {
    /// How many records there are; they are numbered from 1.
    pub number: u64,
    /// The hash of the last one.
    #[serde(serialize_with = "as_hex")]
    pub hash: Sha256,
}

/// A record as it stands in a log, whole or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its number and its hash.
    pub head: Head,
    /// The record ([`KeyUse::decode`]).
    pub record: Vec<u8>,
}

impl Head {
    /// The head of a log that had `before` when this record comes to it.
    #[must_use]
    pub fn after(before: Option<Self>, record: &[u8]) -> Self {
        let number = before.map_or(0, |before| before.number) + 1;
        let hash = Self::hash(number, before.map(|before| before.hash), record);
        Self { number, hash }
    }

    /// The hash of a record with this number that comes after the hash `before`.
    pub(crate) fn hash(number: u64, before: Option<Sha256>, record: &[u8]) -> Sha256 {
        let mut context = Context::new(&SHA256);
        context.update(CONTEXT);
        context.update(&number.to_be_bytes());
        context.update(&before.map_or([0; 32], |before| before.0));
        context.update(record);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Sha256(hash)
    }
}

/// `NUMBER:HASH`
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

/// The text is not a head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NUMBER:HASH, the number from 1 and the hash 64 lower-case hex digits")]
pub struct InvalidHead(String);

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let read = || {
            let (number, hash) = text.split_once(':')?;
            let number = number.parse().ok().filter(|number| *number > 0)?;
            Some(Self { number, hash: hash.parse().ok()? })
        };
        read().ok_or_else(|| InvalidHead(text.chars().take(100).collect()))
    }
}

fn as_hex<S: serde::Serializer>(hash: &Sha256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_head_is_read_as_it_is_shown() {
        let head = Head::after(None, b"record");
        assert_eq!(head.to_string().parse::<Head>().unwrap(), head);
        let hash = head.hash.to_string();
        for bad in ["", "1", ":", &hash, &format!("0:{hash}"), &format!("1:{hash}0"), "1:ab"] {
            let error = bad.parse::<Head>().unwrap_err();
            assert!(error.to_string().contains("NUMBER:HASH"), "{error}");
        }
    }

    /// Whoever keeps heads elsewhere compares them with what later versions compute.
    #[test]
    fn the_hash_covers_number_predecessor_and_record_and_stays_as_it_is() {
        let first = Head::after(None, b"record");
        let second = Head::after(Some(first), b"record");
        assert_eq!((first.number, second.number), (1, 2));
        let hashes = [
            first.hash,
            second.hash,
            Head::after(None, b"recorD").hash,
            Head::hash(2, None, b"record"),
            Head::hash(2, Some(second.hash), b"record"),
        ];
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{at}");
        }
        // sha256(context, number 1, 32 zero bytes, "record"), as `sha256sum` has it.
        assert_eq!(
            first.hash.to_string(),
            "039a4e66890251311e8928b26e6e0c6ae414219e4c586a022b378de38285356a"
        );
    }
}
