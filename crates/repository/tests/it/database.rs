//! What the embedded database promises beyond the contract (`database_contract.rs`).

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use waxseal_repository::Error;
use waxseal_repository::database::{
    Catalog, Growth, Journal, Publication, SqliteDatabase, Tokens, UploadAppend,
};

use super::database_contract::upload;

fn fresh() -> (TempDir, SqliteDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(folder.path().join("waxseal.sqlite")).unwrap();
    (folder, database)
}

fn other_writer(database: &SqliteDatabase, sql: &str) {
    rusqlite::Connection::open(database.path()).unwrap().execute_batch(sql).unwrap();
}

#[test]
fn the_file_is_private() {
    let (folder, database) = fresh();
    database.append_upload(&upload("a-1.whl", b"a"), "a-1.whl").unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 2, "no write-ahead log beside the database");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

#[test]
fn entries_that_cannot_be_read_are_named() {
    let (_folder, database) = fresh();
    for name in ["a", "b", "c"] {
        database.append_upload(&upload(name, b"x"), name).unwrap();
    }
    other_writer(&database, "UPDATE journal SET kind = 'yank' WHERE serial = 3");
    assert_eq!(database.waiting(0, 2).unwrap().len(), 2);
    let unknown = database.waiting(0, 10).unwrap_err();
    assert!(matches!(&unknown, Error::JournalUnknownKind { serial: 3, kind } if kind == "yank"));
    assert!(unknown.to_string().contains("entry 3 is of kind \"yank\""), "{unknown}");
    for damage in [
        "UPDATE journal SET entry = '{\"kind\":\"upload\"}' WHERE serial = 2",
        "UPDATE journal SET entry = 'null' WHERE serial = 2",
        "UPDATE journal SET entry = replace(entry, '\"size\":1', '\"size\":-1') WHERE serial = 2",
    ] {
        other_writer(&database, damage);
        let corrupt = database.waiting(0, 10).unwrap_err();
        assert!(matches!(corrupt, Error::JournalCorrupt { serial: 2, .. }), "{corrupt}");
    }
}

#[test]
fn secrets_are_neither_stored_nor_shown() {
    let (folder, database) = fresh();
    let (_, secret) = database.create_token("robot").unwrap();
    database.authenticate(secret.expose()).unwrap().unwrap();
    let tail = &secret.expose()[21..];
    assert!(!format!("{secret:?} {database:?} {:?}", database.tokens()).contains(tail));
    drop(database);
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(tail.len()).any(|window| window == tail.as_bytes()));
    }
}

#[test]
fn reads_do_not_wait_for_a_writer() {
    let (_folder, database) = fresh();
    database.append_upload(&upload("a-1.whl", b"a"), "a-1.whl").unwrap();
    let writer = rusqlite::Connection::open(database.path()).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; UPDATE counter SET value = 9").unwrap();
    assert_eq!(database.last_serial().unwrap(), 1);
    assert_eq!(database.published_serial().unwrap(), 0);
    assert_eq!(database.batch().unwrap(), None);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(database.last_serial().unwrap(), 9);
}

#[test]
fn of_uploads_that_are_recorded_together_all_are_or_none() {
    let (_folder, database) = fresh();
    let other = rusqlite::Connection::open(database.path()).unwrap();
    let trigger = "CREATE TRIGGER broken BEFORE INSERT ON filename_claim WHEN NEW.identity = 'c' \
         BEGIN SELECT RAISE(ABORT, 'broken by the test'); END";
    other.execute_batch(trigger).unwrap();
    let appends = ["a", "b", "c"].map(|name| UploadAppend {
        entry: upload(&format!("{name}-1.whl"), name.as_bytes()),
        identity: name.to_owned(),
        growth: Growth::default(),
    });
    let error = database.append_uploads(&appends.each_ref()).unwrap_err();
    assert!(error.to_string().contains("broken by the test"), "{error}");
    assert_eq!(database.last_serial().unwrap(), 0);
    assert!(database.waiting(0, 9).unwrap().is_empty());
    for append in &appends {
        assert_eq!(database.claimed(&append.identity).unwrap(), None);
    }
}
