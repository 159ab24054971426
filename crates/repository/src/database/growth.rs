//! Room in the bins: an entry that would make a bin longer than clients read is refused when it comes,
//! for once it waits, nothing after it could be published before it.
//!
//! How long a bin can become is known without reading it: its published length is in the table `bin`,
//! and what every waiting entry adds to it at most is in the table `bin_growth`, written in the
//! transaction that appends the entry and forgotten in the one that records it as published. Both are
//! read in the transaction that appends the next entry, so that of many which come at once, in whatever
//! process, no two are given the same room. Nothing is subtracted: a target that waits to be removed or
//! replaced takes its room until that is published.

use std::collections::BTreeMap;

use rusqlite::Transaction;
use waxseal_tuf::{Limits, TargetPath};

use super::row::{signed, unsigned};
use super::sqlite::Failure;
use super::targets_entry::{AddTarget, TargetsEntry};
use crate::bins::Bins;
use crate::hash_algorithms::HashAlgorithms;

/// So long a bin may become by what is accepted. What is above it is for what is in no entry: more
/// digits of versions and of the lengths of pages that change, a longer signature, the two lists of
/// projects.
pub(crate) const ROOM: u64 = Limits::TARGETS - (64 << 10);

/// The most that the layout's field adds to a target.
const MARK: usize = 48;

/// The most that an upload's target has beside its path: a SHA-256, and a length.
const UPLOADED: usize = 128;

/// The most that a SHA-512 adds to it.
const SHA512: usize = 144;

/// What an entry adds to each bin, in bytes at most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Growth(BTreeMap<u32, u64>);

/// A bin without room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FullBin {
    /// Its number.
    pub number: u32,
    /// How many bytes it would have, with all that waits.
    pub length: u64,
}

impl Growth {
    /// That of targets which an upload makes, each of this index's own.
    pub(crate) fn of_upload<'a>(
        bins: Bins,
        algorithms: HashAlgorithms,
        paths: impl Iterator<Item = &'a TargetPath>,
    ) -> Self {
        let mut growth = Self::default();
        let file = UPLOADED + if algorithms.has_sha512() { SHA512 } else { 0 };
        paths.for_each(|path| growth.add(bins, path, file));
        growth
    }

    pub(super) fn of_targets(bins: Bins, entry: &TargetsEntry) -> Self {
        let mut growth = Self::default();
        for AddTarget { path, file } in &entry.add {
            growth.add(bins, path, file.to_canonical().len());
        }
        growth
    }

    fn add(&mut self, bins: Bins, path: &TargetPath, file: usize) {
        // Quotes, colon and comma; a quote in the path is escaped.
        let key = path.as_str().len() + path.as_str().matches('"').count() + 4;
        *self.0.entry(bins.bin_of(path)).or_default() += (key + file + MARK) as u64;
    }

    /// The first bin that has no room for it.
    pub(super) fn without_room(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Option<FullBin>, Failure> {
        let mut length = transaction.prepare_cached(
            "SELECT COALESCE((SELECT length FROM bin WHERE number = $1), 0) \
             + COALESCE((SELECT SUM(bytes) FROM bin_growth WHERE bin = $1), 0)",
        )?;
        for (&number, bytes) in &self.0 {
            let length = length.query_row([number], |row| unsigned(row, 0))? + bytes;
            if length > ROOM {
                return Ok(Some(FullBin { number, length }));
            }
        }
        Ok(None)
    }

    /// Records it of the entry with this serial.
    pub(super) fn keep(&self, transaction: &Transaction<'_>, serial: u64) -> Result<(), Failure> {
        let mut keep = transaction
            .prepare_cached("INSERT INTO bin_growth (bin, serial, bytes) VALUES ($1, $2, $3)")?;
        for (number, bytes) in &self.0 {
            keep.execute((number, signed(serial)?, signed(*bytes)?))?;
        }
        Ok(())
    }
}

/// Drops what entries add that are published: their bins are as long as the table `bin` says.
pub(super) fn forget_growth(transaction: &Transaction<'_>) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "DELETE FROM bin_growth \
             WHERE serial <= (SELECT value FROM state WHERE name = 'published_serial')",
        )?
        .execute([])?;
    Ok(())
}
