//! The catalog: what the journal adds up to, and what of it is published.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::{Deserialize, Serialize};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetPath};

use super::journal::as_text;
use super::row::{
    digest, microseconds, optional_digest, role_name, seconds, signed, target_path, unsigned,
};
use super::{Database, Failure};
use crate::Error;

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// Its normalized name.
    pub name: String,
    /// Its name as the newest upload spells it.
    pub display_name: String,
    /// The serial of the newest entry about it.
    pub last_serial: u64,
}

/// A file of a project: all that its line on the Simple page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// The project's normalized name.
    pub project: String,
    /// The file's name.
    pub filename: String,
    /// The release's version.
    pub version: String,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// When it was uploaded.
    pub upload_time: Timestamp,
    /// `Requires-Python` from its core metadata.
    pub requires_python: Option<String>,
    /// Its core metadata as a file of its own (PEP 658).
    pub metadata: Option<CoreMetadata>,
    /// Whether it is yanked (PEP 592), and why; the reason may be empty.
    pub yanked: Option<String>,
    /// The serial of the entry that added it.
    pub serial: u64,
}

/// The file `<filename>.metadata` beside a distribution file (PEP 658).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreMetadata {
    /// The digest of its bytes.
    #[serde(with = "as_text")]
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
}

impl CoreMetadata {
    /// Describes the bytes of such a file.
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: Sha256::of(bytes), size: bytes.len() as u64 }
    }
}

/// A published target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRow {
    /// Its path.
    pub path: TargetPath,
    /// The number of the bin it hashes to.
    pub bin: u32,
    /// Its length in bytes.
    pub length: u64,
    /// The digest of its bytes.
    pub sha256: Sha256,
}

/// The newest metadata of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// The role.
    pub name: RoleName,
    /// Its version.
    pub version: u64,
    /// When it expires; whole seconds are kept.
    pub expires: Timestamp,
}

impl Database {
    /// One project by its normalized name.
    pub fn project(&self, name: &str) -> Result<Option<ProjectRow>, Error> {
        let sql = "SELECT name, display_name, last_serial FROM project WHERE name = $1";
        self.one("reading a project", sql, [name], |row| {
            let (name, display_name) = (row.get(0)?, row.get(1)?);
            Ok(ProjectRow { name, display_name, last_serial: unsigned(row, 2)? })
        })
    }

    /// The normalized names of all projects, in order.
    pub fn project_names(&self) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM project ORDER BY name";
        self.many("reading the projects", sql, [], |row| row.get(0))
    }

    /// A project's files by its normalized name, ordered by filename.
    pub fn project_files(&self, name: &str) -> Result<Vec<FileRow>, Error> {
        let sql = "SELECT project, filename, version, sha256, size, upload_time, requires_python, \
                   metadata_sha256, metadata_size, yanked, serial \
                   FROM file WHERE project = $1 ORDER BY filename";
        self.many("reading a project's files", sql, [name], file_row)
    }

    /// The published target at a path.
    pub fn target(&self, path: &TargetPath) -> Result<Option<TargetRow>, Error> {
        let sql = "SELECT path, bin, length, sha256 FROM target WHERE path = $1";
        self.one("reading a target", sql, [path.as_str()], target_row)
    }

    /// The published targets in a bin, ordered by path.
    pub fn targets_in_bin(&self, bin: u32) -> Result<Vec<TargetRow>, Error> {
        let sql = "SELECT path, bin, length, sha256 FROM target WHERE bin = $1 ORDER BY path";
        self.many("reading a bin", sql, [bin], target_row)
    }

    /// Records the roles that a key ceremony signed, before the first batch; one that is recorded
    /// stays as it is.
    pub fn record_first_roles(&self, roles: &[RoleRow]) -> Result<(), Error> {
        self.write("recording the ceremony's roles", |transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO role (name, version, expires) VALUES ($1, $2, $3) \
                 ON CONFLICT (name) DO NOTHING",
            )?;
            for RoleRow { name, version, expires } in roles {
                statement.execute((name.as_str(), signed(*version)?, expires.as_second()))?;
            }
            Ok(())
        })
    }

    /// The newest version of a role that was ever staged.
    pub fn role(&self, name: &RoleName) -> Result<Option<RoleRow>, Error> {
        let sql = "SELECT name, version, expires FROM role WHERE name = $1";
        self.one("reading a role", sql, [name.as_str()], role_row)
    }

    /// All roles, ordered by name.
    pub fn roles(&self) -> Result<Vec<RoleRow>, Error> {
        let sql = "SELECT name, version, expires FROM role ORDER BY name";
        self.many("reading the roles", sql, [], role_row)
    }

    /// Up to `limit` roles that expire before `time`, the first to expire first.
    pub fn roles_expiring_before(
        &self,
        time: Timestamp,
        limit: u64,
    ) -> Result<Vec<RoleRow>, Error> {
        let sql = "SELECT name, version, expires FROM role WHERE expires < $1 \
                   ORDER BY expires, name LIMIT $2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.many("looking for roles that expire", sql, (time.as_second(), limit), role_row)
    }

    /// The serial up to which the journal is published; 0 when nothing is.
    pub fn published_serial(&self) -> Result<u64, Error> {
        let sql = "SELECT value FROM state WHERE name = 'published_serial'";
        let serial = self.one("reading the published serial", sql, [], |row| unsigned(row, 0))?;
        Ok(serial.unwrap_or(0))
    }

    fn one<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
        take: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        self.read(doing, |connection| {
            Ok(connection.prepare_cached(sql)?.query_row(parameters, take).optional()?)
        })
    }

    fn many<T>(
        &self,
        doing: &'static str,
        sql: &str,
        parameters: impl Params,
        take: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        self.read(doing, |connection| {
            Ok(connection
                .prepare_cached(sql)?
                .query_map(parameters, take)?
                .collect::<Result<_, _>>()?)
        })
    }
}

/// Records a project as it now is.
pub(super) fn put_project(connection: &Connection, project: &ProjectRow) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO project (name, display_name, last_serial) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, \
             last_serial = excluded.last_serial",
        )?
        .execute((&project.name, &project.display_name, signed(project.last_serial)?))?;
    Ok(())
}

/// Records a file as it now is.
pub(super) fn put_file(connection: &Connection, file: &FileRow) -> Result<(), Failure> {
    connection
        .prepare_cached(
            "INSERT INTO file (project, filename, version, sha256, size, upload_time, \
             requires_python, metadata_sha256, metadata_size, yanked, serial) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (project, filename) DO UPDATE SET version = excluded.version, \
             sha256 = excluded.sha256, size = excluded.size, upload_time = excluded.upload_time, \
             requires_python = excluded.requires_python, \
             metadata_sha256 = excluded.metadata_sha256, metadata_size = excluded.metadata_size, \
             yanked = excluded.yanked, serial = excluded.serial",
        )?
        .execute((
            &file.project,
            &file.filename,
            &file.version,
            file.sha256.0,
            signed(file.size)?,
            file.upload_time.as_microsecond(),
            &file.requires_python,
            file.metadata.map(|metadata| metadata.sha256.0),
            file.metadata.map(|metadata| signed(metadata.size)).transpose()?,
            &file.yanked,
            signed(file.serial)?,
        ))?;
    Ok(())
}

/// Uses up a version of a role. Versions only rise, also past those that never reached the store.
pub(super) fn put_role(connection: &Connection, role: &RoleRow) -> Result<(), Failure> {
    let RoleRow { name, version, expires } = role;
    let changed = connection
        .prepare_cached(
            "INSERT INTO role (name, version, expires) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET version = excluded.version, \
             expires = excluded.expires WHERE role.version < excluded.version",
        )?
        .execute((name.as_str(), signed(*version)?, expires.as_second()))?;
    if changed == 1 {
        return Ok(());
    }
    let used = connection
        .prepare_cached("SELECT version FROM role WHERE name = $1")?
        .query_row([name.as_str()], |row| unsigned(row, 0))?;
    Err(Error::VersionUsed { role: name.to_string(), version: *version, used }.into())
}

fn file_row(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let metadata = match optional_digest(row, 7)? {
        Some(sha256) => Some(CoreMetadata { sha256, size: unsigned(row, 8)? }),
        None => None,
    };
    Ok(FileRow {
        project: row.get(0)?,
        filename: row.get(1)?,
        version: row.get(2)?,
        sha256: digest(row, 3)?,
        size: unsigned(row, 4)?,
        upload_time: microseconds(row, 5)?,
        requires_python: row.get(6)?,
        metadata,
        yanked: row.get(9)?,
        serial: unsigned(row, 10)?,
    })
}

fn target_row(row: &Row<'_>) -> rusqlite::Result<TargetRow> {
    Ok(TargetRow {
        path: target_path(row, 0)?,
        bin: row.get(1)?,
        length: unsigned(row, 2)?,
        sha256: digest(row, 3)?,
    })
}

fn role_row(row: &Row<'_>) -> rusqlite::Result<RoleRow> {
    Ok(RoleRow { name: role_name(row, 0)?, version: unsigned(row, 1)?, expires: seconds(row, 2)? })
}
