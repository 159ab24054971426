//! The batch that is being published, and who may publish.
//!
//! A batch is *reserved* before anything of it is written to the store: from then on the versions it
//! uses are used up, whatever becomes of it. When all of it is in the store it is *decided*: its
//! `timestamp.json` is recorded with the catalog's new rows, and whoever finds it so publishes it. When
//! `timestamp.json` is in place it is *finished*.
//!
//! Every step names the writer's epoch. A process that was stopped while another one took over finds
//! a later epoch, and its step does nothing.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::catalog::{BinFile, FileRow, ProjectRow, put_file, put_project, remove_file};
use super::contract::Publication;
use super::pending::{forget_pending, keep_from_uploads};
use super::row::{microseconds, optional_digest, seconds, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use super::{key_use, offline};
use crate::Error;
use crate::key_use::{Head, KeyUse};

/// What a batch changes in the catalog: each row as it is after the batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogChange {
    /// Projects that are new or changed.
    pub projects: Vec<ProjectRow>,
    /// Files that are new or changed.
    pub files: Vec<FileRow>,
    /// Files that are gone: the project's normalized name and the file's own. None of them is among the
    /// others.
    pub removed: Vec<(String, String)>,
    /// Names of projects that have files of an import and no page: they take no uploads.
    pub imported: Vec<String>,
}

/// The right to publish, which one process has at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(u64);

/// The versions that a batch uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Of snapshot.
    pub snapshot: u64,
    /// Of timestamp.
    pub timestamp: u64,
    /// Of bins, by number.
    pub bins: Vec<(u32, u64)>,
    /// What it is made of, where it can be gone on with after a crash: the digest of an import file,
    /// and the time that its files state.
    pub source: Option<(Sha256, Timestamp)>,
}

/// A batch whose files are all in the store, but for `timestamp.json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The version of snapshot.
    pub snapshot: u64,
    /// When it expires.
    pub snapshot_expires: Timestamp,
    /// The version of timestamp.
    pub timestamp: u64,
    /// When it expires.
    pub timestamp_expires: Timestamp,
    /// The bins it signed, by number.
    pub bins: Vec<(u32, BinFile)>,
    /// The last journal entry in it.
    pub serial: u64,
    /// The new `timestamp.json`, to be written last.
    pub timestamp_json: Vec<u8>,
    /// The digest of the `timestamp.json` it replaces; `None` when it is the first.
    pub previous_timestamp: Option<Sha256>,
    /// What it makes of the new offline roles that wait for a snapshot.
    pub offline: Option<OfflinePart>,
}

/// What a batch publishes of new offline roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfflinePart {
    /// The roles, over the bins that are there.
    Roles,
    /// The roles, and all targets in other bins: those of the batch are all there are.
    RolesAndBins,
}

/// How far the batch is that a process left or is about to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Batch {
    /// Some of its files may be in the store. It will not be published: its versions are skipped.
    Reserved(Reservation),
    /// It will be published.
    Decided(Decision),
}

/// A snapshot that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRow {
    /// Its version.
    pub version: u64,
    /// The serial up to which it holds the journal.
    pub serial: u64,
    /// When it was published, by the clock of the machine that did.
    pub published_at: Timestamp,
}

impl Publication for SqliteDatabase {
    fn take_over(&self) -> Result<Epoch, Error> {
        self.write("becoming the writer", |transaction| {
            let sql = "UPDATE state SET value = value + 1 WHERE name = 'writer_epoch' \
                       RETURNING value";
            Ok(Epoch(transaction.prepare_cached(sql)?.query_row([], |row| unsigned(row, 0))?))
        })
    }

    fn batch(&self) -> Result<Option<Batch>, Error> {
        self.read("reading the batch", |connection| {
            let sql = "SELECT snapshot_version, timestamp_version, bins, serial, expires, \
                       timestamp_expires, timestamp, previous_timestamp, source, begun, offline \
                       FROM batch";
            Ok(connection.prepare_cached(sql)?.query_row([], batch).optional()?)
        })
    }

    fn reserve(
        &self,
        epoch: Epoch,
        batch: &Reservation,
        uses: &[KeyUse],
    ) -> Result<Option<Head>, Error> {
        self.write("reserving versions", |transaction| {
            check(transaction, epoch)?;
            check_unused(transaction, RoleName::SNAPSHOT, batch.snapshot)?;
            check_unused(transaction, RoleName::TIMESTAMP, batch.timestamp)?;
            let inserted = transaction
                .prepare_cached(
                    "INSERT INTO batch \
                     (one, snapshot_version, timestamp_version, bins, source, begun) \
                     VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (one) DO NOTHING",
                )?
                .execute((
                    signed(batch.snapshot)?,
                    signed(batch.timestamp)?,
                    record::reserved(&batch.bins),
                    batch.source.map(|(source, _)| source.0),
                    batch.source.map(|(_, begun)| begun.as_microsecond()),
                ))?;
            match inserted {
                1 => key_use::append(transaction, uses),
                _ => Err(Error::AlreadyReserved { snapshot: batch.snapshot }.into()),
            }
        })
    }

    fn raise_versions(
        &self,
        epoch: Epoch,
        roles: &[(RoleName, u64)],
        bins: u64,
    ) -> Result<(), Error> {
        self.write("raising versions", |transaction| {
            check(transaction, epoch)?;
            for (role, version) in roles {
                let sql = "UPDATE role SET version = $1 WHERE name = $2 AND version < $1";
                transaction.prepare_cached(sql)?.execute((signed(*version)?, role.as_str()))?;
            }
            let sql = "UPDATE bin SET version = $1 WHERE version < $1";
            transaction.prepare_cached(sql)?.execute([signed(bins)?])?;
            Ok(())
        })
    }

    fn abandon(&self, epoch: Epoch) -> Result<(), Error> {
        self.write("skipping versions", |transaction| {
            check(transaction, epoch)?;
            let sql = "DELETE FROM batch WHERE timestamp IS NULL \
                       RETURNING snapshot_version, timestamp_version, bins";
            let reserved = transaction
                .prepare_cached(sql)?
                .query_row([], |row| {
                    let bins = record::read_reserved(row.get_ref(2)?.as_blob()?);
                    Ok((unsigned(row, 0)?, unsigned(row, 1)?, bins))
                })
                .optional()?;
            let Some((snapshot, timestamp, bins)) = reserved else { return Ok(()) };
            use_up(transaction, RoleName::SNAPSHOT, snapshot)?;
            use_up(transaction, RoleName::TIMESTAMP, timestamp)?;
            let mut statement = transaction.prepare_cached(
                "INSERT INTO bin (number, version, published, expires, length, signed_sha256) \
                 VALUES ($1, $2, 0, 0, 0, $3) \
                 ON CONFLICT (number) DO UPDATE SET version = \
                 CASE WHEN bin.version > excluded.version THEN bin.version ELSE excluded.version END",
            )?;
            for (number, version) in bins {
                statement.execute((number, signed(version)?, [0_u8; 0]))?;
            }
            Ok(())
        })
    }

    fn decide(&self, epoch: Epoch, change: &CatalogChange, batch: &Decision) -> Result<(), Error> {
        self.write("deciding to publish", |transaction| {
            check(transaction, epoch)?;
            let updated = transaction
                .prepare_cached(
                    "UPDATE batch SET bins = $1, serial = $2, expires = $3, \
                     timestamp_expires = $4, timestamp = $5, previous_timestamp = $6, offline = $7 \
                     WHERE snapshot_version = $8 AND timestamp_version = $9 AND timestamp IS NULL",
                )?
                .execute((
                    record::signed(&batch.bins),
                    signed(batch.serial)?,
                    batch.snapshot_expires.as_second(),
                    batch.timestamp_expires.as_second(),
                    &batch.timestamp_json,
                    batch.previous_timestamp.map(|digest| digest.0),
                    offline::number_of(batch.offline),
                    signed(batch.snapshot)?,
                    signed(batch.timestamp)?,
                ))?;
            if updated != 1 {
                return Err(Error::NotReserved { snapshot: batch.snapshot }.into());
            }
            let sql = "UPDATE state SET value = $1 WHERE name = 'imported_serial' \
                       AND EXISTS (SELECT 1 FROM batch WHERE source IS NOT NULL)";
            transaction.prepare_cached(sql)?.execute([signed(batch.serial)?])?;
            change.projects.iter().try_for_each(|project| put_project(transaction, project))?;
            change.files.iter().try_for_each(|file| put_file(transaction, file))?;
            for (project, filename) in &change.removed {
                remove_file(transaction, project, filename)?;
            }
            let folders: Vec<_> =
                change.imported.iter().map(|project| format!("packages/{project}/")).collect();
            keep_from_uploads(transaction, folders.iter().map(String::as_str))
        })
    }

    fn finish(&self, epoch: Epoch, batch: &Decision, now: Timestamp) -> Result<(), Error> {
        self.write("recording a snapshot as published", |transaction| {
            check(transaction, epoch)?;
            let snapshot = signed(batch.snapshot)?;
            let sql = "DELETE FROM batch WHERE snapshot_version = $1 AND timestamp IS NOT NULL";
            if transaction.prepare_cached(sql)?.execute([snapshot])? != 1 {
                return Err(Error::NotReserved { snapshot: batch.snapshot }.into());
            }
            put_bins(transaction, &batch.bins)?;
            let (timestamp, expires) = (batch.timestamp, batch.timestamp_expires);
            publish(transaction, RoleName::SNAPSHOT, batch.snapshot, batch.snapshot_expires)?;
            publish(transaction, RoleName::TIMESTAMP, timestamp, expires)?;
            if let Some(part) = batch.offline {
                offline::publish_with_snapshot(transaction, part, batch.bins.len())?;
            }
            let serial = signed(batch.serial)?;
            transaction
                .prepare_cached("UPDATE state SET value = $1 WHERE name = 'published_serial'")?
                .execute([serial])?;
            transaction
                .prepare_cached(
                    "INSERT INTO snapshot (version, serial, published_at) VALUES ($1, $2, $3)",
                )?
                .execute((snapshot, serial, now.as_microsecond()))?;
            forget_pending(transaction, now)
        })
    }

    fn snapshots_while(
        &self,
        more: &mut dyn FnMut(&SnapshotRow) -> bool,
    ) -> Result<Vec<SnapshotRow>, Error> {
        self.read("reading the snapshots", |connection| {
            let sql = "SELECT version, serial, published_at FROM snapshot ORDER BY version DESC";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([])?;
            let mut snapshots = Vec::new();
            while let Some(row) = rows.next()? {
                let (version, serial) = (unsigned(row, 0)?, unsigned(row, 1)?);
                let snapshot = SnapshotRow { version, serial, published_at: microseconds(row, 2)? };
                let go_on = more(&snapshot);
                snapshots.push(snapshot);
                if !go_on {
                    break;
                }
            }
            Ok(snapshots)
        })
    }
}

/// Whether `epoch` still is the newest. On PostgreSQL the row's lock holds later writers off until
/// this transaction ends.
pub(super) fn check(transaction: &Transaction<'_>, epoch: Epoch) -> Result<(), Failure> {
    let sql = "UPDATE state SET value = value WHERE name = 'writer_epoch' RETURNING value";
    let newest = transaction.prepare_cached(sql)?.query_row([], |row| unsigned(row, 0))?;
    match newest == epoch.0 {
        true => Ok(()),
        false => Err(Error::Fenced { epoch: epoch.0, newest }.into()),
    }
}

fn check_unused(transaction: &Transaction<'_>, role: &str, version: u64) -> Result<(), Failure> {
    let used = transaction
        .prepare_cached("SELECT version FROM role WHERE name = $1")?
        .query_row([role], |row| unsigned(row, 0))
        .optional()?
        .unwrap_or(0);
    match version > used {
        true => Ok(()),
        false => Err(Error::VersionUsed { role: role.to_owned(), version, used }.into()),
    }
}

fn use_up(transaction: &Transaction<'_>, role: &str, version: u64) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO role (name, version, published, expires) VALUES ($1, $2, 0, 0) \
             ON CONFLICT (name) DO UPDATE SET version = \
             CASE WHEN role.version > excluded.version THEN role.version ELSE excluded.version END",
        )?
        .execute((role, signed(version)?))?;
    Ok(())
}

pub(super) fn publish(
    transaction: &Transaction<'_>,
    role: &str,
    version: u64,
    expires: Timestamp,
) -> Result<(), Failure> {
    let version = signed(version)?;
    transaction
        .prepare_cached(
            "INSERT INTO role (name, version, published, expires) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET version = \
             CASE WHEN role.version > excluded.version THEN role.version ELSE excluded.version END, \
             published = excluded.published, expires = excluded.expires",
        )?
        .execute((role, version, version, expires.as_second()))?;
    Ok(())
}

/// Versions only rise: those that are used up may be higher than that of a batch which was decided before, as
/// after [`Publication::raise_versions`].
fn put_bins(transaction: &Transaction<'_>, bins: &[(u32, BinFile)]) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached(
        "INSERT INTO bin (number, version, published, expires, length, signed_sha256) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (number) DO UPDATE SET version = \
         CASE WHEN bin.version > excluded.version THEN bin.version ELSE excluded.version END, \
         published = excluded.published, expires = excluded.expires, \
         length = excluded.length, signed_sha256 = excluded.signed_sha256 \
         WHERE bin.published < excluded.version",
    )?;
    for (number, BinFile { version, expires, length, signed_sha256 }) in bins {
        let row = (
            number,
            signed(*version)?,
            signed(*version)?,
            expires.as_second(),
            signed(*length)?,
            signed_sha256.0,
        );
        if statement.execute(row)? != 1 {
            let role = format!("bin {number}");
            return Err(Error::VersionUsed { role, version: *version, used: *version }.into());
        }
    }
    Ok(())
}

fn batch(row: &Row<'_>) -> rusqlite::Result<Batch> {
    let (snapshot, timestamp) = (unsigned(row, 0)?, unsigned(row, 1)?);
    let bins = row.get_ref(2)?.as_blob()?;
    let timestamp_json: Option<Vec<u8>> = row.get(6)?;
    let Some(timestamp_json) = timestamp_json else {
        let bins = record::read_reserved(bins);
        let source = match optional_digest(row, 8)? {
            Some(source) => Some((source, microseconds(row, 9)?)),
            None => None,
        };
        return Ok(Batch::Reserved(Reservation { snapshot, timestamp, bins, source }));
    };
    Ok(Batch::Decided(Decision {
        snapshot,
        snapshot_expires: seconds(row, 4)?,
        timestamp,
        timestamp_expires: seconds(row, 5)?,
        bins: record::read_signed(bins),
        serial: unsigned(row, 3)?,
        timestamp_json,
        previous_timestamp: optional_digest(row, 7)?,
        offline: offline::part_of(row.get(10)?),
    }))
}

/// The bins of a batch as one value: records of fixed length, numbers big-endian.
///
/// | bytes | reserved | decided |
/// |---|---|---|
/// | 4 | number | number |
/// | 8 | version | version |
/// | 8 | | expires, in seconds |
/// | 8 | | length |
/// | 32 | | SHA-256 of its `signed` value |
mod record {
    use jiff::Timestamp;
    use waxseal_tuf::hash::Sha256;

    use super::BinFile;

    const RESERVED: usize = 12;
    const SIGNED: usize = 60;

    pub(super) fn reserved(bins: &[(u32, u64)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bins.len() * RESERVED);
        for (number, version) in bins {
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&version.to_be_bytes());
        }
        out
    }

    pub(super) fn read_reserved(bytes: &[u8]) -> Vec<(u32, u64)> {
        let (records, _) = bytes.as_chunks::<RESERVED>();
        records.iter().map(|record| (number(record), long(&record[4..]))).collect()
    }

    pub(super) fn signed(bins: &[(u32, BinFile)]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bins.len() * SIGNED);
        for (number, file) in bins {
            out.extend_from_slice(&number.to_be_bytes());
            out.extend_from_slice(&file.version.to_be_bytes());
            out.extend_from_slice(&file.expires.as_second().to_be_bytes());
            out.extend_from_slice(&file.length.to_be_bytes());
            out.extend_from_slice(&file.signed_sha256.0);
        }
        out
    }

    pub(super) fn read_signed(bytes: &[u8]) -> Vec<(u32, BinFile)> {
        let (records, _) = bytes.as_chunks::<SIGNED>();
        let read = |record: &[u8; SIGNED]| {
            let mut signed_sha256 = [0; 32];
            signed_sha256.copy_from_slice(&record[28..]);
            let expires = Timestamp::from_second(long(&record[12..]).cast_signed());
            let file = BinFile {
                version: long(&record[4..]),
                expires: expires.unwrap_or(Timestamp::UNIX_EPOCH),
                length: long(&record[20..]),
                signed_sha256: Sha256(signed_sha256),
            };
            (number(record), file)
        };
        records.iter().map(read).collect()
    }

    fn number(bytes: &[u8]) -> u32 {
        bytes.first_chunk().copied().map_or(0, u32::from_be_bytes)
    }

    fn long(bytes: &[u8]) -> u64 {
        bytes.first_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}
