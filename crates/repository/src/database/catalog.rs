//! The catalog: what the journal adds up to, and what of it is published.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde::{Deserialize, Serialize};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::contract::Catalog;
use super::journal::as_text;
use super::pending::{hosts_projects, is_hosted};
use super::row::{digest, microseconds, optional_digest, role_name, seconds, signed, unsigned};
use super::sqlite::{Failure, SqliteDatabase};
use crate::{Error, Layout};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectRow {
    /// Its normalized name.
    pub name: String,
    /// Its name as the newest upload spells it.
    pub display_name: String,
    /// The serial of the newest entry about it.
    pub last_serial: u64,
    /// Whether all its files were revoked: then it has no page, and is on no list.
    pub empty: bool,
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

/// The metadata of a role that is not a bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// The role.
    pub name: RoleName,
    /// The newest version that was ever used, written or not.
    pub version: u64,
    /// The version that clients find; 0 when there is none yet.
    pub published: u64,
    /// When that one expires; whole seconds are kept.
    pub expires: Timestamp,
}

/// The metadata of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinRow {
    /// Its number.
    pub number: u32,
    /// The newest version that was ever used, written or not.
    pub version: u64,
    /// The file that clients find; `None` when there is none yet.
    pub published: Option<BinFile>,
}

/// The published file of a bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BinFile {
    /// Its version.
    pub version: u64,
    /// When it expires; whole seconds are kept.
    pub expires: Timestamp,
    /// Its length in bytes.
    pub length: u64,
    /// The digest of its `signed` value in canonical form, which alone is used again; of a file that an
    /// earlier version published, that of all of it.
    pub signed_sha256: Sha256,
}

impl Catalog for SqliteDatabase {
    fn project(&self, name: &str) -> Result<Option<ProjectRow>, Error> {
        let sql = "SELECT name, display_name, last_serial, empty FROM project WHERE name = $1";
        self.one("reading a project", sql, [name], |row| {
            let (name, display_name) = (row.get(0)?, row.get(1)?);
            Ok(ProjectRow {
                name,
                display_name,
                last_serial: unsigned(row, 2)?,
                empty: row.get(3)?,
            })
        })
    }

    fn project_names(&self) -> Result<Vec<String>, Error> {
        let sql = "SELECT name FROM project WHERE empty = 0 ORDER BY name";
        self.many("reading the projects", sql, [], |row| row.get(0))
    }

    fn project_files(&self, name: &str) -> Result<Vec<FileRow>, Error> {
        let sql = "SELECT project, filename, version, sha256, size, upload_time, requires_python, \
                   metadata_sha256, metadata_size, yanked, serial \
                   FROM file WHERE project = $1 ORDER BY filename";
        self.many("reading a project's files", sql, [name], file_row)
    }

    fn project_file(&self, project: &str, filename: &str) -> Result<Option<FileRow>, Error> {
        let sql = "SELECT project, filename, version, sha256, size, upload_time, requires_python, \
                   metadata_sha256, metadata_size, yanked, serial \
                   FROM file WHERE project = $1 AND filename = $2";
        self.one("reading a file", sql, [project, filename], file_row)
    }

    fn layout(&self) -> Result<Option<Layout>, Error> {
        let sql = "SELECT value FROM state WHERE name = 'layout'";
        let layout = self.one("reading the layout", sql, [], |row| row.get(0))?;
        Ok(layout.map(Layout::of_number))
    }

    fn record_layout(&self, layout: Layout) -> Result<(), Error> {
        self.write("recording the layout", |transaction| {
            let sql = "INSERT INTO state (name, value) VALUES ('layout', $1) \
                       ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            transaction.prepare_cached(sql)?.execute([layout.number()])?;
            Ok(())
        })
    }

    fn record_first_roles(&self, roles: &[RoleRow]) -> Result<(), Error> {
        self.write("recording the ceremony's roles", |transaction| {
            let mut statement = transaction.prepare_cached(
                "INSERT INTO role (name, version, published, expires) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (name) DO NOTHING",
            )?;
            for RoleRow { name, version, published, expires } in roles {
                let (version, published) = (signed(*version)?, signed(*published)?);
                statement.execute((name.as_str(), version, published, expires.as_second()))?;
            }
            Ok(())
        })
    }

    fn role(&self, name: &RoleName) -> Result<Option<RoleRow>, Error> {
        let sql = "SELECT name, version, published, expires FROM role WHERE name = $1";
        self.one("reading a role", sql, [name.as_str()], role_row)
    }

    fn roles(&self) -> Result<Vec<RoleRow>, Error> {
        let sql = "SELECT name, version, published, expires FROM role ORDER BY name";
        self.many("reading the roles", sql, [], role_row)
    }

    fn bin(&self, number: u32) -> Result<Option<BinRow>, Error> {
        let sql = "SELECT number, version, published, expires, length, signed_sha256 \
                   FROM bin WHERE number = $1";
        self.one("reading a bin", sql, [number], bin_row)
    }

    fn bins(&self) -> Result<Vec<BinRow>, Error> {
        let sql = "SELECT number, version, published, expires, length, signed_sha256 \
                   FROM bin ORDER BY number";
        self.many("reading the bins", sql, [], bin_row)
    }

    fn first_bin_expires(&self) -> Result<Option<Timestamp>, Error> {
        self.read("reading when bins expire", |connection| {
            let sql = "SELECT MIN(expires) FROM bin WHERE published > 0";
            let first: Option<i64> =
                connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
            Ok(first.map(|seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)))
        })
    }

    fn published_serial(&self) -> Result<u64, Error> {
        let sql = "SELECT value FROM state WHERE name = 'published_serial'";
        let serial = self.one("reading the published serial", sql, [], |row| unsigned(row, 0))?;
        Ok(serial.unwrap_or(0))
    }

    fn imported_serial(&self) -> Result<u64, Error> {
        let sql = "SELECT value FROM state WHERE name = 'imported_serial'";
        let doing = "reading the serial of the last import";
        Ok(self.one(doing, sql, [], |row| unsigned(row, 0))?.unwrap_or(0))
    }

    fn snapshot_of_serial(&self, serial: u64) -> Result<Option<u64>, Error> {
        let sql =
            "SELECT version FROM snapshot WHERE serial >= $1 ORDER BY serial, version LIMIT 1";
        let serial = i64::try_from(serial).unwrap_or(i64::MAX);
        self.one("looking for a snapshot", sql, [serial], |row| unsigned(row, 0))
    }

    fn is_hosted(&self, project: &str) -> Result<bool, Error> {
        self.read("looking up a project", |connection| Ok(is_hosted(connection, project)?))
    }

    fn hosts_projects(&self) -> Result<bool, Error> {
        self.read("looking for projects", |connection| Ok(hosts_projects(connection)?))
    }
}

impl SqliteDatabase {
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
            "INSERT INTO project (name, display_name, last_serial, empty) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, \
             last_serial = excluded.last_serial, empty = excluded.empty",
        )?
        .execute((
            &project.name,
            &project.display_name,
            signed(project.last_serial)?,
            i64::from(project.empty),
        ))?;
    Ok(())
}

/// Takes a file out.
pub(super) fn remove_file(
    connection: &Connection,
    project: &str,
    filename: &str,
) -> Result<(), Failure> {
    let sql = "DELETE FROM file WHERE project = $1 AND filename = $2";
    connection.prepare_cached(sql)?.execute([project, filename])?;
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

fn role_row(row: &Row<'_>) -> rusqlite::Result<RoleRow> {
    Ok(RoleRow {
        name: role_name(row, 0)?,
        version: unsigned(row, 1)?,
        published: unsigned(row, 2)?,
        expires: seconds(row, 3)?,
    })
}

fn bin_row(row: &Row<'_>) -> rusqlite::Result<BinRow> {
    let published = match unsigned(row, 2)? {
        0 => None,
        version => Some(BinFile {
            version,
            expires: seconds(row, 3)?,
            length: unsigned(row, 4)?,
            signed_sha256: digest(row, 5)?,
        }),
    };
    Ok(BinRow { number: row.get(0)?, version: unsigned(row, 1)?, published })
}
