//! Files of offline roles that wait to be published.

use rusqlite::{Row, Transaction};
use waxseal_tuf::RoleName;

use super::contract::OfflineChanges;
use super::row::{role_name, seconds, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use super::{Epoch, OfflinePart, batch};
use crate::ceremony::{ChangedFile, Stage};
use crate::error::Error;

impl OfflineChanges for SqliteDatabase {
    fn record_change(&self, files: &[ChangedFile]) -> Result<(), Error> {
        self.write("recording new offline roles", |transaction| {
            let waiting = read(transaction)?;
            let mut files = files.to_vec();
            files.sort_by_key(order);
            if !waiting.is_empty() {
                return match waiting == files {
                    true => Ok(()),
                    false => Err(Error::ChangeWaits { files: names(&waiting) }.into()),
                };
            }
            let mut statement = transaction.prepare_cached(
                "INSERT INTO offline_file (role, version, stage, expires, bytes) \
                 VALUES ($1, $2, $3, $4, $5)",
            )?;
            for ChangedFile { stage, role, version, expires, bytes } in &files {
                let (version, stage) = (signed(*version)?, number(*stage));
                statement.execute((role.as_str(), version, stage, expires.as_second(), bytes))?;
            }
            Ok(())
        })
    }

    fn waiting_change(&self) -> Result<Vec<ChangedFile>, Error> {
        self.read("reading the new offline roles", |connection| Ok(read(connection)?))
    }

    fn withdraw_change(&self) -> Result<bool, Error> {
        self.write("withdrawing new offline roles", |transaction| {
            let begun = "SELECT COUNT(*) FROM batch WHERE offline > 0 AND timestamp IS NOT NULL";
            let begun: i64 = transaction.query_row(begun, [], |row| row.get(0))?;
            let before = "SELECT COUNT(*) FROM offline_file WHERE stage = 1";
            let left: i64 = transaction.query_row(before, [], |row| row.get(0))?;
            if begun > 0 || left == 0 {
                return Ok(false);
            }
            Ok(transaction.execute("DELETE FROM offline_file", [])? > 0)
        })
    }

    fn root_published(&self, epoch: Epoch, root: &ChangedFile) -> Result<(), Error> {
        self.write("recording a root as published", |transaction| {
            batch::check(transaction, epoch)?;
            publish(transaction, root)
        })
    }
}

/// Makes those that go with a snapshot the published ones. `bins`: how many bins there are, where all
/// targets are in others than before.
pub(super) fn publish_with_snapshot(
    transaction: &Transaction<'_>,
    part: OfflinePart,
    bins: usize,
) -> Result<(), Failure> {
    if part == OfflinePart::RolesAndBins {
        let sql = "DELETE FROM bin WHERE number >= $1";
        transaction.execute(sql, [signed(bins as u64)?])?;
        // What waits was counted for bins of before; bins that become too long for it are met when it is
        // published.
        transaction.execute("DELETE FROM bin_growth", [])?;
    }
    for file in read(transaction)?.iter().filter(|file| file.stage == Stage::WithSnapshot) {
        publish(transaction, file)?;
    }
    Ok(())
}

fn publish(transaction: &Transaction<'_>, file: &ChangedFile) -> Result<(), Failure> {
    batch::publish(transaction, file.role.as_str(), file.version, file.expires)?;
    let sql = "DELETE FROM offline_file WHERE role = $1 AND version = $2";
    transaction.prepare_cached(sql)?.execute((file.role.as_str(), signed(file.version)?))?;
    Ok(())
}

fn read(connection: &rusqlite::Connection) -> rusqlite::Result<Vec<ChangedFile>> {
    let sql = "SELECT role, version, stage, expires, bytes FROM offline_file \
               ORDER BY stage, CASE role WHEN 'root' THEN 0 WHEN 'targets' THEN 1 ELSE 2 END, version";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([], file)?;
    rows.collect()
}

/// As they are read.
fn order(file: &ChangedFile) -> (Stage, u8, u64) {
    let role = match file.role.as_str() {
        RoleName::ROOT => 0,
        RoleName::TARGETS => 1,
        _ => 2,
    };
    (file.stage, role, file.version)
}

fn file(row: &Row<'_>) -> rusqlite::Result<ChangedFile> {
    let stage = match row.get(2)? {
        0 => Stage::Before,
        1 => Stage::WithSnapshot,
        _ => Stage::After,
    };
    Ok(ChangedFile {
        stage,
        role: role_name(row, 0)?,
        version: unsigned(row, 1)?,
        expires: seconds(row, 3)?,
        bytes: row.get(4)?,
    })
}

pub(super) fn number_of(part: Option<OfflinePart>) -> i64 {
    match part {
        None => 0,
        Some(OfflinePart::Roles) => 1,
        Some(OfflinePart::RolesAndBins) => 2,
    }
}

pub(super) fn part_of(number: i64) -> Option<OfflinePart> {
    match number {
        0 => None,
        1 => Some(OfflinePart::Roles),
        _ => Some(OfflinePart::RolesAndBins),
    }
}

fn number(stage: Stage) -> i64 {
    match stage {
        Stage::Before => 0,
        Stage::WithSnapshot => 1,
        Stage::After => 2,
    }
}

fn names(files: &[ChangedFile]) -> String {
    let names: Vec<_> =
        files.iter().map(|file| format!("{}.{}.json", file.version, file.role)).collect();
    names.join(", ")
}
