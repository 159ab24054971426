//! The embedded database: `SQLite` in one file.
//!
//! One writing connection stands behind a mutex, and a few for reading see the last commit and never wait
//! for the writer. A write that returned is durable (`synchronous=FULL`).
//!
//! The SQL is one text that PostgreSQL runs as well. Parameters are `$1`, `$2`, …; `SQLite` takes them
//! for names and numbers them by first appearance, so each statement mentions them in order.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, ffi};

use super::migrate;
use super::read_only::ReadOnly;
use crate::error::{self, Error};
use crate::lock::{LOCK_PATIENCE, LockHeld, Wait, holder_of};

/// What processes wait for each other to do.
const WRITING: &str = "use the database";

/// How many idle connections for reading are kept.
const IDLE_READERS: usize = 8;

/// How many prepared statements each connection keeps.
pub(super) const STATEMENTS: usize = 64;

/// The database of one repository in one file, which keeps the contract of
/// [`Database`](super::Database).
#[derive(Debug)]
pub struct SqliteDatabase {
    pub(super) path: PathBuf,
    pub(super) writer: Mutex<Writer>,
    pub(super) readers: Mutex<Vec<Connection>>,
    /// How a database that is only read is opened; `None` for one that is written to.
    pub(super) read_only: Option<ReadOnly>,
    /// How long other processes are waited for.
    pub(super) patience: Duration,
}

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    /// The wait of the one who writes.
    turn: Turn,
}

/// Since when somebody has waited, also for others of this process, and with what patience; `None`: since the
/// first try.
pub(super) type Turn = Arc<Mutex<Option<(Instant, Duration)>>>;

impl SqliteDatabase {
    /// Opens the database in the file `path`, made with mode 0600 when it is not there, and brings
    /// it to the form this program knows. Other processes are waited for as long as
    /// [`LOCK_PATIENCE`](crate::LOCK_PATIENCE).
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open_with_patience(path, LOCK_PATIENCE)
    }

    /// The same with another patience.
    pub fn open_with_patience(path: impl Into<PathBuf>, patience: Duration) -> Result<Self, Error> {
        let path = path.into();
        let failed = |source| Error::DatabaseFile { path: path.clone(), source };
        if is_lost(&path).map_err(failed)? {
            return Err(Error::DatabaseLost { path });
        }
        make_private_file(&path).map_err(failed)?;
        let (begun, turn) = (Instant::now(), Turn::default());
        let failed = |source| database_error("opening it", &path, begun, source);
        let mut connection = connect(&path, patience, &turn).map_err(failed)?;
        let form = migrate::migrate(&mut connection).map_err(failed)?;
        if form > migrate::KNOWN {
            return Err(Error::DatabaseNewer { path, found: form, known: migrate::KNOWN });
        }
        let writer = Mutex::new(Writer { connection, turn });
        Ok(Self { path, writer, readers: Mutex::default(), read_only: None, patience })
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `step` on one state of the database, that of the last commit.
    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        step: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let run = || -> Result<T, Failure> {
            let mut connection = match idle {
                Some(connection) => connection,
                None => {
                    let connection = match &self.read_only {
                        Some(read_only) => read_only.connect(&self.path, self.patience)?,
                        None => connect(&self.path, self.patience, &Turn::default())?,
                    };
                    connection.pragma_update(None, "query_only", true)?;
                    connection
                }
            };
            let transaction = connection.transaction()?;
            let result = step(&transaction);
            transaction.finish()?;
            let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < IDLE_READERS {
                readers.push(connection);
            }
            result
        };
        run().map_err(|failure| self.error(doing, begun, failure))
    }

    /// Runs `step` as one transaction, committed and durable when this returns `Ok`.
    pub(super) fn write<T>(
        &self,
        doing: &'static str,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.write_with_patience(self.patience, doing, step)
    }

    /// The same with a patience of its own.
    pub(super) fn write_with_patience<T>(
        &self,
        patience: Duration,
        doing: &'static str,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        // After a panic in a step its transaction was rolled back, so the connection is fine.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        *writer.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, patience));
        let run = || -> Result<T, Failure> {
            let transaction =
                writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = step(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|failure| self.error(doing, begun, failure))
    }

    fn error(&self, doing: &'static str, begun: Instant, failure: Failure) -> Error {
        match failure {
            Failure::Sql(source) => database_error(doing, &self.path, begun, source),
            Failure::Known(error) => error,
        }
    }
}

/// Why a step failed: `SQLite`, or a rule of the repository.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(rusqlite::Error),
    Known(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Known(error)
    }
}

impl Writer {
    /// A connection that never has to write.
    pub(super) fn of_reader(connection: Connection) -> Self {
        Self { connection, turn: Turn::default() }
    }
}

pub(super) fn database_error(
    doing: &'static str,
    path: &Path,
    begun: Instant,
    source: rusqlite::Error,
) -> Error {
    if source.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
        let (path, waited) = (path.to_owned(), begun.elapsed());
        let holder = holder_of(&locked_files(&path));
        return Error::Locked(LockHeld { doing: WRITING, path, waited, holder });
    }
    Error::Database {
        doing,
        place: path.display().to_string(),
        full: is_full(&source, path),
        source: Box::new(source),
    }
}

/// Whether space ran out.
///
/// A write that finds none is told as such. A file system that looks for space only when a file is made
/// durable (over a network, within a quota, on a volume larger than its disk) lets `fsync(2)` fail, and
/// `SQLite` says no more of that than that it did. So the file system is asked for the same once more.
fn is_full(failure: &rusqlite::Error, path: &Path) -> bool {
    const WRITES: [i32; 5] = [
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_TRUNCATE,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    match failure.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure) => {
            let code = failure.sqlite_extended_error_code();
            code.is_some_and(|code| WRITES.contains(&code)) && has_no_space(path)
        }
        _ => false,
    }
}

/// Whether the file system of the database does not take as much as a commit writes.
fn has_no_space(path: &Path) -> bool {
    let tried = tempfile::tempfile_in(folder_of(path)).and_then(|mut file| {
        file.write_all(&vec![0x5a; 64 << 10])?;
        file.sync_all()
    });
    tried.is_err_and(|error| error::is_full(&error))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Whether the file is gone or empty while its write-ahead log holds something. `SQLite` would take
/// that for a new database and delete the log, which has the newest uploads in it.
///
/// The log is looked at first: another program that makes the database writes to the file before.
fn is_lost(path: &Path) -> io::Result<bool> {
    let length = |path: &Path| match path.metadata() {
        Ok(is) => Ok(is.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    Ok(length(&beside(path, "-wal"))? > 0 && length(path)? == 0)
}

/// A file beside the database `path`, by what its name has more.
pub(super) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// The files on which `SQLite` keeps its locks: those of writers first.
fn locked_files(path: &Path) -> Vec<PathBuf> {
    vec![beside(path, "-shm"), path.to_owned()]
}

/// Lets `connection` wait for other processes, as long as whoever has its `turn` does, or else `patience`.
pub(super) fn be_patient(
    connection: &mut Connection,
    path: &Path,
    patience: Duration,
    turn: &Turn,
) -> rusqlite::Result<()> {
    let mut wait = Wait::new(WRITING, path, locked_files(path), patience);
    let turn = Arc::clone(turn);
    connection.busy_handler(Some(move |tries| {
        if tries == 0 {
            let turn = *turn.lock().unwrap_or_else(PoisonError::into_inner);
            let (begun, patience) = turn.unwrap_or_else(|| (Instant::now(), patience));
            wait.begin_at(begun, patience);
        }
        wait.goes_on()
    }))
}

/// Makes the file before `SQLite` does, so that it never exists with another mode: it holds hashes of
/// secrets. `SQLite` gives the files beside it the same mode.
fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            File::open(folder_of(path))?.sync_all()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn connect(path: &Path, patience: Duration, turn: &Turn) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    be_patient(&mut connection, path, patience, turn)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
