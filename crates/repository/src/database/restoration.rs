//! Journal entries that a restoration makes, all of them at once.

use rusqlite::OptionalExtension;
use waxseal_tuf::hash::Sha256;

use super::contract::Restorations;
use super::journal::{self, UploadEntry};
use super::pending;
use super::revocation::{self, Revocable};
use super::row::{signed, unsigned};
use super::sqlite::SqliteDatabase;
use super::targets_entry::TargetsEntry;
use crate::error::Error;

/// One entry of a restoration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restoration {
    /// A file that is what it was again, whatever its name has now.
    Upload {
        /// What the journal will say.
        entry: Box<UploadEntry>,
        /// What makes two filenames one.
        identity: String,
    },
    /// Files that are revoked.
    Revoke {
        /// Which.
        files: Vec<Revocable>,
        /// Why.
        reason: String,
    },
    /// Targets that no file of a project is behind.
    Targets(TargetsEntry),
}

impl Restorations for SqliteDatabase {
    fn restoration(&self, plan: Sha256) -> Result<Option<u64>, Error> {
        self.read("looking for a restoration", |connection| {
            let sql = "SELECT serial FROM restoration WHERE plan = $1";
            let mut statement = connection.prepare_cached(sql)?;
            Ok(statement.query_row([plan.0], |row| unsigned(row, 0)).optional()?)
        })
    }

    fn last_restoration(&self) -> Result<u64, Error> {
        self.read("looking for the last restoration", |connection| {
            let sql = "SELECT COALESCE(MAX(serial), 0) FROM restoration";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| unsigned(row, 0))?)
        })
    }

    fn append_restoration(&self, plan: Sha256, parts: &[Restoration]) -> Result<u64, Error> {
        self.write("recording a restoration", |transaction| {
            journal::lock(transaction)?;
            let there = "SELECT serial FROM restoration WHERE plan = $1";
            let there =
                transaction.query_row(there, [plan.0], |row| unsigned(row, 0)).optional()?;
            if let Some(serial) = there {
                return Ok(serial);
            }
            for part in parts {
                match part {
                    Restoration::Upload { entry, identity } => {
                        journal::put_upload(transaction, entry, identity)?;
                        revocation::allow_project(transaction, &entry.project)?;
                    }
                    Restoration::Revoke { files, reason } => {
                        revocation::revoke(transaction, files, reason)?;
                    }
                    Restoration::Targets(entry) => {
                        pending::put_targets(transaction, entry)?;
                    }
                }
            }
            let last = "SELECT value FROM counter WHERE name = 'serial'";
            let last = transaction.query_row(last, [], |row| unsigned(row, 0))?;
            transaction
                .prepare_cached("INSERT INTO restoration (plan, serial) VALUES ($1, $2)")?
                .execute((plan.0, signed(last)?))?;
            Ok(last)
        })
    }
}
