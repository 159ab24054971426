//! The staged batch: a snapshot that is decided, signed and recorded, on its way into the store.
//!
//! What is written to the store is in the database first, byte for byte. A crash at any moment is
//! therefore answered in one way: take the staged batch and write it, again or for the first time.
//! The role versions it uses are used up by staging, so that no version ever has two contents.

use rusqlite::{Connection, OptionalExtension, Transaction};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::catalog::{FileRow, ProjectRow, RoleRow, TargetRow, put_file, put_project, put_role};
use super::row::{digest, optional_digest, signed, store_key, target_path, unsigned};
use super::{Database, Failure};
use crate::Error;
use crate::store::{Link, Object, StoreKey};

/// What a batch changes in the catalog: each row as it is after the batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CatalogChange {
    /// Projects that are new or changed.
    pub projects: Vec<ProjectRow>,
    /// Files that are new or changed.
    pub files: Vec<FileRow>,
    /// Roles with a new version, timestamp and snapshot among them.
    pub roles: Vec<RoleRow>,
}

/// What a batch writes to the store, and which targets are published by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedBatch {
    /// The version of its snapshot.
    pub snapshot_version: u64,
    /// The last journal entry in it.
    pub serial: u64,
    /// Objects to create, in this order.
    pub objects: Vec<StagedObject>,
    /// Links to make after that, in this order.
    pub links: Vec<Link>,
    /// Targets that differ from the batch before.
    pub targets: Vec<TargetChange>,
    /// The new `timestamp.json`, to be written last.
    pub timestamp: Vec<u8>,
    /// The digest of the `timestamp.json` it replaces; `None` when it is the first.
    pub previous_timestamp: Option<Sha256>,
}

/// An object to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedObject {
    /// Where it goes.
    pub key: StoreKey,
    /// What is in it.
    pub bytes: Vec<u8>,
}

impl StagedObject {
    /// The object as the store takes it.
    pub fn as_object(&self) -> Object<'_> {
        Object { key: &self.key, bytes: &self.bytes }
    }
}

/// A change of what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetChange {
    /// The target is new, or has new bytes.
    Put(TargetRow),
    /// The target is gone.
    Remove(TargetPath),
}

impl Database {
    /// Records a batch, all of it or nothing. From then on it must be written and finished: readers
    /// of the catalog see it, and its role versions are used up.
    ///
    /// [`Error::AlreadyStaged`] when another batch is not finished.
    pub fn stage(&self, change: &CatalogChange, batch: &StagedBatch) -> Result<(), Error> {
        self.write("staging a snapshot", |transaction| {
            put_batch(transaction, batch)?;
            change.projects.iter().try_for_each(|project| put_project(transaction, project))?;
            change.files.iter().try_for_each(|file| put_file(transaction, file))?;
            change.roles.iter().try_for_each(|role| put_role(transaction, role))?;
            put_objects(transaction, &batch.objects)?;
            put_links(transaction, &batch.links)?;
            put_targets(transaction, &batch.targets)
        })
    }

    /// The batch that was staged and is not finished.
    pub fn staged(&self) -> Result<Option<StagedBatch>, Error> {
        self.read("reading the staged snapshot", |connection| {
            let head = connection
                .prepare_cached(
                    "SELECT snapshot_version, serial, timestamp, previous_timestamp \
                     FROM staged_batch",
                )?
                .query_row([], |row| {
                    Ok(StagedBatch {
                        snapshot_version: unsigned(row, 0)?,
                        serial: unsigned(row, 1)?,
                        objects: Vec::new(),
                        links: Vec::new(),
                        targets: Vec::new(),
                        timestamp: row.get(2)?,
                        previous_timestamp: optional_digest(row, 3)?,
                    })
                })
                .optional()?;
            let Some(mut batch) = head else { return Ok(None) };
            batch.objects = objects(connection)?;
            batch.links = links(connection)?;
            batch.targets = targets(connection)?;
            Ok(Some(batch))
        })
    }

    /// Records that the staged batch is in the store and its `timestamp.json` is in place: its
    /// targets and its serial are now the published ones. Answers that serial.
    ///
    /// [`Error::NotStaged`] when the staged batch is not the one with this snapshot version.
    pub fn finish_staged(&self, snapshot_version: u64) -> Result<u64, Error> {
        self.write("recording a snapshot as published", |transaction| {
            let serial = transaction
                .prepare_cached(
                    "DELETE FROM staged_batch WHERE snapshot_version = $1 RETURNING serial",
                )?
                .query_row([signed(snapshot_version)?], |row| unsigned(row, 0))
                .optional()?;
            let serial = serial.ok_or(Error::NotStaged { snapshot_version })?;
            publish(transaction, serial)?;
            Ok(serial)
        })
    }
}

fn put_batch(transaction: &Transaction<'_>, batch: &StagedBatch) -> Result<(), Failure> {
    let inserted = transaction
        .prepare_cached(
            "INSERT INTO staged_batch \
             (one, snapshot_version, serial, timestamp, previous_timestamp) \
             VALUES (1, $1, $2, $3, $4) ON CONFLICT (one) DO NOTHING",
        )?
        .execute((
            signed(batch.snapshot_version)?,
            signed(batch.serial)?,
            &batch.timestamp,
            batch.previous_timestamp.map(|digest| digest.0),
        ))?;
    if inserted == 1 {
        return Ok(());
    }
    let snapshot_version = transaction
        .prepare_cached("SELECT snapshot_version FROM staged_batch")?
        .query_row([], |row| unsigned(row, 0))?;
    Err(Error::AlreadyStaged { snapshot_version }.into())
}

fn put_objects(transaction: &Transaction<'_>, objects: &[StagedObject]) -> Result<(), Failure> {
    let mut insert = transaction
        .prepare_cached("INSERT INTO staged_object (seq, key, bytes) VALUES ($1, $2, $3)")?;
    for (seq, StagedObject { key, bytes }) in (0_i64..).zip(objects) {
        insert.execute((seq, key.path(), bytes))?;
    }
    Ok(())
}

fn put_links(transaction: &Transaction<'_>, links: &[Link]) -> Result<(), Failure> {
    let mut insert = transaction
        .prepare_cached("INSERT INTO staged_link (seq, from_key, to_key) VALUES ($1, $2, $3)")?;
    for (seq, Link { from, to }) in (0_i64..).zip(links) {
        insert.execute((seq, from.path(), to.path()))?;
    }
    Ok(())
}

fn put_targets(transaction: &Transaction<'_>, targets: &[TargetChange]) -> Result<(), Failure> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO staged_target (path, bin, length, sha256) VALUES ($1, $2, $3, $4)",
    )?;
    for target in targets {
        match target {
            TargetChange::Put(TargetRow { path, bin, length, sha256 }) => {
                insert.execute((path.as_str(), bin, signed(*length)?, sha256.0))?
            }
            TargetChange::Remove(path) => {
                insert.execute((path.as_str(), None::<i64>, None::<i64>, None::<[u8; 32]>))?
            }
        };
    }
    Ok(())
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<StagedObject>> {
    connection
        .prepare_cached("SELECT key, bytes FROM staged_object ORDER BY seq")?
        .query_map([], |row| Ok(StagedObject { key: store_key(row, 0)?, bytes: row.get(1)? }))?
        .collect()
}

fn links(connection: &Connection) -> rusqlite::Result<Vec<Link>> {
    connection
        .prepare_cached("SELECT from_key, to_key FROM staged_link ORDER BY seq")?
        .query_map([], |row| Ok(Link { from: store_key(row, 0)?, to: store_key(row, 1)? }))?
        .collect()
}

fn targets(connection: &Connection) -> rusqlite::Result<Vec<TargetChange>> {
    connection
        .prepare_cached("SELECT path, bin, length, sha256 FROM staged_target ORDER BY path")?
        .query_map([], |row| {
            let path = target_path(row, 0)?;
            let Some(bin) = row.get(1)? else { return Ok(TargetChange::Remove(path)) };
            let (length, sha256) = (unsigned(row, 2)?, digest(row, 3)?);
            Ok(TargetChange::Put(TargetRow { path, bin, length, sha256 }))
        })?
        .collect()
}

/// Moves the staged targets to the published ones and empties the stage.
fn publish(transaction: &Transaction<'_>, serial: u64) -> Result<(), Failure> {
    for sql in [
        "DELETE FROM target \
         WHERE path IN (SELECT path FROM staged_target WHERE sha256 IS NULL)",
        // `WHERE` also keeps SQLite from reading `ON CONFLICT` as the `ON` of a join.
        "INSERT INTO target (path, bin, length, sha256) \
         SELECT path, bin, length, sha256 FROM staged_target WHERE sha256 IS NOT NULL \
         ON CONFLICT (path) DO UPDATE SET bin = excluded.bin, length = excluded.length, \
         sha256 = excluded.sha256",
        "DELETE FROM staged_target",
        "DELETE FROM staged_link",
        "DELETE FROM staged_object",
    ] {
        transaction.prepare_cached(sql)?.execute([])?;
    }
    transaction
        .prepare_cached("UPDATE state SET value = $1 WHERE name = 'published_serial'")?
        .execute([signed(serial)?])?;
    Ok(())
}
