//! A database that is only read: beside the program that writes to it, or alone on a cold disk.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::migrate;
use super::sqlite::{STATEMENTS, SqliteDatabase, Turn, Writer, be_patient, beside, database_error};
use crate::Error;
use crate::lock::LOCK_PATIENCE;

/// How to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadOnly {
    /// No program has it open, so that not even a lock is needed: `SQLite` makes no file beside it,
    /// and a file system that cannot be written to will do.
    cold: bool,
    /// The file before anything was read of it.
    before: Seen,
}

/// What tells two states of a database file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    /// `SQLite` counts there how often the file changed, though with a write-ahead log not each time
    /// (Database File Format, 1.3.7).
    counter: [u8; 4],
}

impl Seen {
    fn of(path: &Path) -> io::Result<Self> {
        let file = fs::File::open(path)?;
        let is = file.metadata()?;
        let mut counter = [0; 4];
        // A file that is too short for it is no database, which is found when that is opened.
        match file.read_exact_at(&mut counter, 24) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        Ok(Self {
            file: (is.dev(), is.ino()),
            length: is.len(),
            modified: (is.mtime(), is.mtime_nsec()),
            counter,
        })
    }
}

impl SqliteDatabase {
    /// Opens the database in the file `path` to read it. Nothing is made or migrated; a write fails.
    ///
    /// Where a program has it open, or a crash left its write-ahead log, this reads what is committed
    /// there too. `SQLite` then keeps the shared index of that log beside it.
    pub fn open_to_read(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let failed = |source| Error::DatabaseFile { path: path.clone(), source };
        let before = Seen::of(&path).map_err(failed)?;
        if before.length == 0 {
            return Err(Error::DatabaseLost { path });
        }
        let read_only = ReadOnly { cold: !log(&path).try_exists().map_err(failed)?, before };
        let begun = Instant::now();
        let failed = |source| database_error("opening it", &path, begun, source);
        let connection = read_only.connect(&path, LOCK_PATIENCE).map_err(failed)?;
        match migrate::form(&connection).map_err(failed)? {
            migrate::KNOWN => {}
            found if found < migrate::KNOWN => return Err(Error::DatabaseOlder { path, found }),
            found => {
                return Err(Error::DatabaseNewer { path, found, known: migrate::KNOWN });
            }
        }
        let writer = Mutex::new(Writer::of_reader(connection));
        let (readers, read_only) = (Mutex::default(), Some(read_only));
        Ok(Self { path, writer, readers, read_only, patience: LOCK_PATIENCE })
    }

    /// Whether a program began to write to a database that was opened as a cold one, or has written to
    /// it and is gone: what was read since may be of two states.
    pub fn changed_while_read(&self) -> Result<bool, Error> {
        let Some(read_only) = self.read_only.filter(|read_only| read_only.cold) else {
            return Ok(false);
        };
        let failed = |source| Error::DatabaseFile { path: self.path.clone(), source };
        let has_log = log(&self.path).try_exists().map_err(failed)?;
        Ok(has_log || Seen::of(&self.path).map_err(failed)? != read_only.before)
    }
}

impl ReadOnly {
    pub(super) fn connect(self, path: &Path, patience: Duration) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(self.uri(path)?, flags)?;
        be_patient(&mut connection, path, patience, &Turn::default())?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }

    fn uri(self, path: &Path) -> rusqlite::Result<String> {
        let absolute = std::path::absolute(path).ok();
        let text = absolute.as_deref().and_then(Path::to_str);
        let text = text.ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
        let text = text.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        Ok(format!("file://{text}{}", if self.cold { "?immutable=1" } else { "" }))
    }
}

/// The write-ahead log, which is there while a program has the database open.
fn log(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::database::Tokens;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_cold_database_is_read_and_nothing_is_made_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd %41?#.sqlite");
        SqliteDatabase::open(&path).unwrap().create_token("ci").unwrap();
        let before = (names(folder.path()), fs::read(&path).unwrap());

        let read = SqliteDatabase::open_to_read(&path).unwrap();
        assert_eq!(read.tokens().unwrap().len(), 1);
        assert!(read.create_token("other").is_err());
        assert!(!read.changed_while_read().unwrap());
        assert_eq!((names(folder.path()), fs::read(&path).unwrap()), before);

        let _open = SqliteDatabase::open(&path).unwrap();
        assert!(read.changed_while_read().unwrap());
    }

    #[test]
    fn a_writer_that_came_and_went_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        SqliteDatabase::open(&path).unwrap().create_token("ci").unwrap();
        let read = SqliteDatabase::open_to_read(&path).unwrap();
        // More than the clock of a file system is coarse.
        std::thread::sleep(Duration::from_millis(20));
        SqliteDatabase::open(&path).unwrap().create_token("laptop").unwrap();
        assert_eq!(names(folder.path()), ["waxseal.sqlite"]);
        assert!(read.changed_while_read().unwrap());
        // And where another file is in its place.
        let read = SqliteDatabase::open_to_read(&path).unwrap();
        let copy = folder.path().join("copy");
        fs::copy(&path, &copy).unwrap();
        fs::rename(&copy, &path).unwrap();
        assert!(read.changed_while_read().unwrap());
    }

    #[test]
    fn a_database_that_is_written_to_is_read_at_its_last_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let open = SqliteDatabase::open(&path).unwrap();
        open.create_token("ci").unwrap();
        let read = SqliteDatabase::open_to_read(&path).unwrap();
        assert_eq!(read.tokens().unwrap().len(), 1);
        open.create_token("laptop").unwrap();
        assert_eq!(read.tokens().unwrap().len(), 2);
        assert!(read.create_token("other").is_err());
    }

    #[test]
    fn a_database_that_is_not_there_or_of_another_form_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let refused = || SqliteDatabase::open_to_read(&path).unwrap_err();
        assert!(matches!(refused(), Error::DatabaseFile { .. }));
        assert_eq!(names(folder.path()), [""; 0]);
        fs::write(&path, "").unwrap();
        assert!(matches!(refused(), Error::DatabaseLost { .. }));
        fs::remove_file(&path).unwrap();

        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE schema_step (step BIGINT)").unwrap();
        assert!(matches!(refused(), Error::DatabaseOlder { found: 0, .. }));
        other.execute_batch("INSERT INTO schema_step VALUES (99)").unwrap();
        assert!(matches!(refused(), Error::DatabaseNewer { found: 99, .. }));
    }
}
