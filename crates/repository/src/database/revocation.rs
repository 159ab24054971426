//! What was taken back, and takes no upload any more.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use waxseal_index::DistributionFilename;

use super::contract::Revocations;
use super::journal::{Entry, append, claim, lock};
use super::row::{microseconds, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use crate::Error;

/// An entry that revokes, or readmits what was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeEntry {
    /// Normalized names of projects that take no upload from now on, or again.
    pub projects: Vec<String>,
    /// Filenames, those of these projects among them.
    pub files: Vec<String>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What can be revoked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revocable {
    /// A project, with all its files.
    Project {
        /// Its normalized name.
        name: String,
    },
    /// One file.
    File {
        /// Its name, in any spelling.
        filename: String,
        /// What makes two filenames one.
        identity: String,
    },
}

impl Revocable {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Project { name } => name,
            Self::File { filename, .. } => filename,
        }
    }

    /// The normalized name of the project it is, or is of.
    pub fn project(&self) -> Option<String> {
        match self {
            Self::Project { name } => Some(name.clone()),
            Self::File { filename, .. } => project_of(filename),
        }
    }
}

/// Something that is revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The project's normalized name, or the filename as it was uploaded.
    pub name: String,
    /// Whether it is a project.
    pub is_project: bool,
    /// The entry that revoked it.
    pub serial: u64,
    /// When.
    pub revoked_at: Timestamp,
    /// Why.
    pub reason: String,
}

impl Revocation {
    /// The normalized name of the project it is about.
    pub fn project(&self) -> Option<String> {
        match self.is_project {
            true => Some(self.name.clone()),
            false => project_of(&self.name),
        }
    }
}

fn project_of(filename: &str) -> Option<String> {
    Some(filename.parse::<DistributionFilename>().ok()?.project().to_string())
}

/// What became of a wish to revoke, or to readmit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendedRevocation {
    /// It is in the journal, for good.
    New {
        /// Its serial.
        serial: u64,
        /// What it says. What was so before is left out of it.
        entry: RevokeEntry,
        /// What was revoked before; nothing where it readmits.
        before: Vec<Revocation>,
    },
    /// All of it was revoked before, or none of it is revoked that was to be readmitted. Nothing was
    /// added.
    Nothing {
        /// What was revoked before.
        before: Vec<Revocation>,
    },
    /// No such project or file was ever uploaded here. Nothing was added.
    Unknown(Vec<String>),
}

impl Revocations for SqliteDatabase {
    fn append_revocation(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error> {
        self.write("recording in the journal what is revoked", |transaction| {
            lock(transaction)?;
            revoke(transaction, asked, reason)
        })
    }

    fn append_readmission(
        &self,
        asked: &[Revocable],
        reason: &str,
    ) -> Result<AppendedRevocation, Error> {
        self.write("recording in the journal what is readmitted", |transaction| {
            lock(transaction)?;
            readmit(transaction, asked, reason)
        })
    }

    fn revocation(&self, project: &str, identity: &str) -> Result<Option<Revocation>, Error> {
        self.read("looking up what is revoked", |connection| {
            revocation(connection, project, identity)
        })
    }

    fn revocations(&self) -> Result<Vec<Revocation>, Error> {
        self.read("reading what is revoked", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT name, 1, serial FROM revoked_project \
                 UNION ALL SELECT filename, 0, serial FROM revoked_file WHERE readmitted = 0 \
                 ORDER BY 3, 2 DESC, 1",
            )?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let (name, is_project, serial) = (row.get(0)?, row.get(1)?, unsigned(row, 2)?);
                found.push(described(connection, name, is_project, serial)?);
            }
            Ok(found)
        })
    }
}

/// What stands against an upload: its file, or else its project, is revoked.
pub(super) fn revocation(
    connection: &Connection,
    project: &str,
    identity: &str,
) -> Result<Option<Revocation>, Failure> {
    match revoked_file(connection, identity)? {
        Some(found) => Ok(Some(found)),
        None => revoked_project(connection, project),
    }
}

/// Whether the bytes of a filename that was revoked may be uploaded again.
pub(super) fn is_readmitted(connection: &Connection, identity: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM revoked_file WHERE identity = $1 AND readmitted = 1";
    connection.prepare_cached(sql)?.exists([identity])
}

/// Forgets that a file was revoked and readmitted, for it is there again.
pub(super) fn forget(transaction: &Transaction<'_>, identity: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM revoked_file WHERE identity = $1";
    transaction.prepare_cached(sql)?.execute([identity])?;
    Ok(())
}

fn revoked_project(connection: &Connection, name: &str) -> Result<Option<Revocation>, Failure> {
    let sql = "SELECT serial FROM revoked_project WHERE name = $1";
    let serial =
        connection.prepare_cached(sql)?.query_row([name], |row| unsigned(row, 0)).optional()?;
    serial.map(|serial| described(connection, name.to_owned(), true, serial)).transpose()
}

fn revoked_file(connection: &Connection, identity: &str) -> Result<Option<Revocation>, Failure> {
    let sql = "SELECT filename, serial FROM revoked_file WHERE identity = $1 AND readmitted = 0";
    let found = connection
        .prepare_cached(sql)?
        .query_row([identity], |row| Ok((row.get(0)?, unsigned(row, 1)?)))
        .optional()?;
    found.map(|(name, serial)| described(connection, name, false, serial)).transpose()
}

/// What the entry with this serial says of a name.
fn described(
    connection: &Connection,
    name: String,
    is_project: bool,
    serial: u64,
) -> Result<Revocation, Failure> {
    let sql = "SELECT recorded_at, entry FROM journal WHERE serial = $1";
    let (revoked_at, text): (_, String) = connection
        .prepare_cached(sql)?
        .query_row([signed(serial)?], |row| Ok((microseconds(row, 0)?, row.get(1)?)))?;
    let entry: RevokeEntry = serde_json::from_str(&text)
        .map_err(|error| Error::JournalCorrupt { serial, problem: error.to_string() })?;
    Ok(Revocation { name, is_project, serial, revoked_at, reason: entry.reason })
}

/// Lets a project take uploads again.
pub(super) fn allow_project(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM revoked_project WHERE name = $1";
    transaction.prepare_cached(sql)?.execute([name])?;
    Ok(())
}

/// Changes nothing unless the answer is a new serial.
pub(super) fn revoke(
    transaction: &Transaction<'_>,
    asked: &[Revocable],
    reason: &str,
) -> Result<AppendedRevocation, Failure> {
    let (mut projects, mut files) = (BTreeSet::new(), BTreeSet::new());
    let (mut before, mut unknown) = (Vec::new(), Vec::new());
    for what in asked {
        match what {
            Revocable::Project { name } => {
                if let Some(revoked) = revoked_project(transaction, name)? {
                    before.push(revoked);
                } else if super::pending::is_hosted(transaction, name)? {
                    files.extend(files_of(transaction, name)?);
                    projects.insert(name.clone());
                } else {
                    unknown.push(name.clone());
                }
            }
            Revocable::File { filename, identity } => {
                if let Some(revoked) = revoked_file(transaction, identity)? {
                    before.push(revoked);
                } else if let Some((_, filename, _)) = claim(transaction, identity)? {
                    files.insert((identity.clone(), filename));
                } else {
                    unknown.push(filename.clone());
                }
            }
        }
    }
    if !unknown.is_empty() {
        return Ok(AppendedRevocation::Unknown(unknown));
    }
    if projects.is_empty() && files.is_empty() {
        return Ok(AppendedRevocation::Nothing { before });
    }
    let entry = RevokeEntry {
        projects: projects.into_iter().collect(),
        files: files.iter().map(|(_, filename)| filename.clone()).collect(),
        reason: reason.to_owned(),
    };
    let serial = append(transaction, &Entry::Revoke(entry.clone()))?;
    let mut put =
        transaction.prepare_cached("INSERT INTO revoked_project (name, serial) VALUES ($1, $2)")?;
    for name in &entry.projects {
        put.execute((name, signed(serial)?))?;
    }
    let mut put = transaction.prepare_cached(
        "INSERT INTO revoked_file (identity, filename, serial) VALUES ($1, $2, $3) \
         ON CONFLICT (identity) DO UPDATE SET serial = excluded.serial, readmitted = 0",
    )?;
    for (identity, filename) in &files {
        put.execute((identity, filename, signed(serial)?))?;
    }
    Ok(AppendedRevocation::New { serial, entry, before })
}

/// Changes nothing unless the answer is a new serial. With a project, what was revoked with it is
/// readmitted too.
fn readmit(
    transaction: &Transaction<'_>,
    asked: &[Revocable],
    reason: &str,
) -> Result<AppendedRevocation, Failure> {
    let (mut projects, mut files, mut unknown) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for what in asked {
        match what {
            Revocable::Project { name } => {
                if let Some(revoked) = revoked_project(transaction, name)? {
                    files.extend(revoked_with(transaction, revoked.serial, name)?);
                    projects.insert(name.clone());
                } else if !super::pending::is_hosted(transaction, name)? {
                    unknown.push(name.clone());
                }
            }
            Revocable::File { filename, identity } => {
                if let Some(revoked) = revoked_file(transaction, identity)? {
                    files.insert((identity.clone(), revoked.name));
                } else if claim(transaction, identity)?.is_none() {
                    unknown.push(filename.clone());
                }
            }
        }
    }
    if !unknown.is_empty() {
        return Ok(AppendedRevocation::Unknown(unknown));
    }
    if projects.is_empty() && files.is_empty() {
        return Ok(AppendedRevocation::Nothing { before: Vec::new() });
    }
    let entry = RevokeEntry {
        projects: projects.into_iter().collect(),
        files: files.iter().map(|(_, filename)| filename.clone()).collect(),
        reason: reason.to_owned(),
    };
    let serial = append(transaction, &Entry::Readmit(entry.clone()))?;
    let mut take = transaction.prepare_cached("DELETE FROM revoked_project WHERE name = $1")?;
    for name in &entry.projects {
        take.execute([name])?;
    }
    let mut free =
        transaction.prepare_cached("UPDATE revoked_file SET readmitted = 1 WHERE identity = $1")?;
    for (identity, _) in &files {
        free.execute([identity])?;
    }
    Ok(AppendedRevocation::New { serial, entry, before: Vec::new() })
}

/// What is read of an upload that waits.
#[derive(Deserialize)]
struct Waiting {
    filename: String,
}

/// Identities and names of a project's files, published or waiting, but for those that are revoked.
fn files_of(
    transaction: &Transaction<'_>,
    project: &str,
) -> Result<BTreeSet<(String, String)>, Failure> {
    let mut statement = transaction.prepare_cached(
        "SELECT filename, NULL FROM file WHERE project = $1 UNION ALL \
         SELECT NULL, entry FROM journal WHERE project = $1 AND kind = 'upload' \
         AND serial > (SELECT value FROM state WHERE name = 'published_serial')",
    )?;
    let mut rows = statement.query([project])?;
    let mut files = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let filename = match (row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?) {
            (Some(filename), _) => filename,
            // One that cannot be read stops the snapshot process as well, which says so.
            (None, entry) => match serde_json::from_str(entry.as_deref().unwrap_or_default()) {
                Ok(Waiting { filename }) => filename,
                Err(_) => continue,
            },
        };
        let Ok(parsed) = filename.parse::<DistributionFilename>() else { continue };
        let identity = parsed.identity();
        if revoked_file(transaction, &identity)?.is_none()
            && !is_readmitted(transaction, &identity)?
        {
            files.insert((identity, filename));
        }
    }
    Ok(files)
}

/// Identities and names of the files of a project that are revoked by this entry.
fn revoked_with(
    transaction: &Transaction<'_>,
    serial: u64,
    project: &str,
) -> Result<Vec<(String, String)>, Failure> {
    let sql = "SELECT identity, filename FROM revoked_file WHERE serial = $1 AND readmitted = 0";
    let mut statement = transaction.prepare_cached(sql)?;
    let rows = statement.query_map([signed(serial)?], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows = rows.collect::<Result<Vec<(String, String)>, _>>()?;
    let is_its = |filename: &str| project_of(filename).is_some_and(|name| name == project);
    Ok(rows.into_iter().filter(|(_, filename)| is_its(filename)).collect())
}
