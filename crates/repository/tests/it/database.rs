//! The database from outside: reopened, raced and refused.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tempfile::TempDir;
use waxseal_repository::Error;
use waxseal_repository::database::{
    Appended, Batch, BinFile, BinRow, Catalog, CatalogChange, CoreMetadata, Decision, Entry, Epoch,
    FileRow, Journal, ProjectRow, Publication, Reservation, RoleRow, SqliteDatabase, TokenScope,
    Tokens, UploadEntry,
};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

fn fresh() -> (TempDir, SqliteDatabase) {
    let folder = tempfile::tempdir().unwrap();
    let database = SqliteDatabase::open(folder.path().join("waxseal.sqlite")).unwrap();
    (folder, database)
}

fn upload(filename: &str, bytes: &[u8]) -> UploadEntry {
    UploadEntry {
        project: "flask".to_owned(),
        display_name: "Flask".to_owned(),
        version: "3.0".to_owned(),
        filename: filename.to_owned(),
        sha256: Sha256::of(bytes),
        size: bytes.len() as u64,
        metadata: Some(CoreMetadata { sha256: Sha256::of(b"Name: Flask"), size: 11 }),
        requires_python: Some(">=3.8".to_owned()),
        uploaded_by: "0123456789ab".to_owned(),
        upload_time: "2026-11-23T06:37:49.123456Z".parse().unwrap(),
    }
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
fn entries_come_back_as_they_were_after_reopening() {
    let (_folder, database) = fresh();
    let bare = UploadEntry { metadata: None, requires_python: None, ..upload("b-1.tar.gz", b"b") };
    let uploads = [upload("a-1.whl", b"a"), bare];
    for (serial, upload) in (1..).zip(&uploads) {
        let appended = database.append_upload(upload, &upload.filename).unwrap();
        assert_eq!(appended, Appended::New(serial));
    }
    let path = database.path().to_owned();
    drop(database);
    let database = SqliteDatabase::open(path).unwrap();
    assert_eq!(database.last_serial().unwrap(), 2);
    let waiting = database.waiting(0, 10).unwrap();
    let expected: Vec<_> = (1..).zip(uploads.map(Entry::Upload)).collect();
    let found: Vec<_> = waiting.into_iter().map(|row| (row.serial, row.entry)).collect();
    assert_eq!(found, expected);
    assert_eq!(database.waiting(1, 10).unwrap().len(), 1);
    assert_eq!(database.waiting(0, 1).unwrap()[0].serial, 1);
    assert!(database.waiting(2, 10).unwrap().is_empty());
}

#[test]
fn a_filename_has_one_content_for_good() {
    let (_folder, database) = fresh();
    let first = upload("Flask-3.0.tar.gz", b"one");
    let identity = "flask-3.0.tar.gz";
    assert_eq!(database.claimed(identity).unwrap(), None);
    assert_eq!(database.append_upload(&first, identity).unwrap(), Appended::New(1));
    assert_eq!(database.append_upload(&first, identity).unwrap(), Appended::Same(1));
    let taken = Appended::Taken {
        serial: 1,
        filename: "Flask-3.0.tar.gz".to_owned(),
        sha256: Sha256::of(b"one"),
    };
    let other_bytes = upload("Flask-3.0.tar.gz", b"two");
    let other_spelling = upload("flask-3.0.tar.gz", b"one");
    assert_eq!(database.append_upload(&other_bytes, identity).unwrap(), taken);
    assert_eq!(database.append_upload(&other_spelling, identity).unwrap(), taken);
    assert_eq!(database.claimed(identity).unwrap(), Some(taken));
    // Refusals use no serial.
    assert_eq!(database.append_upload(&upload("b-1.whl", b"b"), "b").unwrap(), Appended::New(2));
    assert_eq!(database.waiting(0, 10).unwrap().len(), 2);
}

#[test]
fn serials_from_many_writers_are_gapless_and_in_the_order_of_commits() {
    let (_folder, database) = fresh();
    // A second process, and a reader that must never see a later serial before an earlier one.
    let other = SqliteDatabase::open(database.path()).unwrap();
    let (writers, each) = (8_u64, 25_u64);
    let serials: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let database = if writer % 2 == 0 { &database } else { &other };
                scope.spawn(move || {
                    let append = |n| {
                        let name = format!("p-{writer}.{n}.whl");
                        match database.append_upload(&upload(&name, b"x"), &name).unwrap() {
                            Appended::New(serial) => serial,
                            other => panic!("{other:?}"),
                        }
                    };
                    let serials: Vec<u64> = (0..each).map(append).collect();
                    assert!(serials.is_sorted(), "{serials:?}");
                    serials
                })
            })
            .collect();
        let mut seen = 0;
        let mut writing = true;
        while writing {
            // Asked before reading, so that the last round sees everything.
            writing = threads.iter().any(|thread| !thread.is_finished());
            for row in database.waiting(seen, 1000).unwrap() {
                assert_eq!(row.serial, seen + 1, "an entry appeared before the one before it");
                seen = row.serial;
            }
        }
        assert_eq!(seen, writers * each);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let distinct: BTreeSet<_> = serials.iter().copied().collect();
    assert_eq!(distinct, (1..=writers * each).collect());
    assert_eq!(serials.len(), distinct.len());
    assert_eq!(database.last_serial().unwrap(), writers * each);
}

#[test]
fn of_uploads_of_one_name_at_once_one_wins() {
    let (_folder, database) = fresh();
    let other = SqliteDatabase::open(database.path()).unwrap();
    for round in 1..=10_u64 {
        let name = format!("a-{round}.whl");
        let results: Vec<_> = thread::scope(|scope| {
            let race = |n: u8| {
                let (name, database) = (&name, if n < 4 { &database } else { &other });
                scope.spawn(move || database.append_upload(&upload(name, &[n]), name).unwrap())
            };
            let racers: Vec<_> = (0..8).map(race).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let won = results.iter().filter(|result| **result == Appended::New(round)).count();
        let lost = results
            .iter()
            .filter(|result| matches!(result, Appended::Taken { serial, .. } if *serial == round));
        assert_eq!((won, lost.count()), (1, 7), "{results:?}");
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

fn time(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(seconds).unwrap()
}

fn change(version: u64) -> CatalogChange {
    let file = FileRow {
        project: "flask".to_owned(),
        filename: format!("flask-{version}.whl"),
        version: version.to_string(),
        sha256: Sha256::of(b"wheel"),
        size: 5,
        upload_time: "2026-11-23T06:37:49.123456Z".parse().unwrap(),
        requires_python: (version == 1).then(|| ">=3.8".to_owned()),
        metadata: (version == 1).then(|| CoreMetadata { sha256: Sha256::of(b"m"), size: 1 }),
        yanked: (version == 2).then(String::new),
        serial: version,
    };
    let project = ProjectRow {
        name: "flask".to_owned(),
        display_name: "Flask".to_owned(),
        last_serial: version,
    };
    CatalogChange { projects: vec![project], files: vec![file] }
}

fn reservation(version: u64) -> Reservation {
    Reservation {
        snapshot: version,
        timestamp: version + 1,
        bins: vec![(3, version), (700, 9)],
        source: None,
    }
}

fn decision(version: u64) -> Decision {
    let file = |version, bytes: &[u8]| BinFile {
        version,
        expires: time(400),
        length: bytes.len() as u64,
        sha256: Sha256::of(bytes),
    };
    Decision {
        snapshot: version,
        snapshot_expires: time(500),
        timestamp: version + 1,
        timestamp_expires: time(600),
        bins: vec![
            (3, file(version, b"three")),
            (700 + u32::try_from(version).unwrap(), file(9, b"x")),
        ],
        serial: version * 10,
        timestamp_json: format!("timestamp {version}").into_bytes(),
        previous_timestamp: (version > 1).then(|| Sha256::of(b"timestamp before")),
    }
}

fn publish(database: &SqliteDatabase, epoch: Epoch, version: u64) {
    database.reserve(epoch, &reservation(version)).unwrap();
    database.decide(epoch, &change(version), &decision(version)).unwrap();
    database.finish(epoch, &decision(version), time(7)).unwrap();
}

#[test]
fn a_batch_survives_at_each_of_its_steps_and_is_published_by_the_last() {
    let (_folder, database) = fresh();
    let path = database.path().to_owned();
    let epoch = database.take_over().unwrap();
    assert_eq!(database.batch().unwrap(), None);
    for version in 1..=2 {
        let reopened = || SqliteDatabase::open(&path).unwrap();
        database.reserve(epoch, &reservation(version)).unwrap();
        assert_eq!(reopened().batch().unwrap(), Some(Batch::Reserved(reservation(version))));
        let files = database.project_files("flask").unwrap().len() as u64;
        assert_eq!(files, version - 1, "in the catalog before it is decided");

        database.decide(epoch, &change(version), &decision(version)).unwrap();
        assert_eq!(reopened().batch().unwrap(), Some(Batch::Decided(decision(version))));
        assert_eq!(database.published_serial().unwrap(), (version - 1) * 10);
        let published = database.bin(3).unwrap().map(|bin| bin.published.unwrap().version);
        assert_eq!(published, (version == 2).then_some(1), "published before it is finished");

        reopened().finish(epoch, &decision(version), time(7)).unwrap();
        assert_eq!(database.batch().unwrap(), None);
        assert_eq!(database.published_serial().unwrap(), version * 10);
        let (_, file) = decision(version).bins[0];
        let row = BinRow { number: 3, version, published: Some(file) };
        assert_eq!(database.bin(3).unwrap(), Some(row));
    }
    let numbers: Vec<_> = database.bins().unwrap().into_iter().map(|bin| bin.number).collect();
    assert_eq!(numbers, [3, 701, 702]);
    let role = |name, version, expires| {
        let (name, expires) = (RoleName::new(name).unwrap(), time(expires));
        RoleRow { name, version, published: version, expires }
    };
    let (snapshot, timestamp) = (role("snapshot", 2, 500), role("timestamp", 3, 600));
    assert_eq!(database.roles().unwrap(), [snapshot.clone(), timestamp]);
    assert_eq!(database.role(&snapshot.name).unwrap(), Some(snapshot));
}

#[test]
fn the_catalog_is_what_was_decided() {
    let (_folder, database) = fresh();
    let epoch = database.take_over().unwrap();
    for version in 1..=2 {
        publish(&database, epoch, version);
    }
    let files: Vec<_> = (1..=2).flat_map(|version| change(version).files).collect();
    assert_eq!(database.project_files("flask").unwrap(), files);
    assert_eq!(database.project_files("Flask").unwrap(), []);
    assert_eq!(database.project_names().unwrap(), ["flask"]);
    assert_eq!(database.project("flask").unwrap(), change(2).projects.pop());
    assert_eq!(database.project("nothing").unwrap(), None);
}

#[test]
fn steps_are_taken_in_their_order_and_once() {
    let (_folder, database) = fresh();
    let epoch = database.take_over().unwrap();
    let decide = |version| database.decide(epoch, &change(version), &decision(version));
    let finish = |version| database.finish(epoch, &decision(version), time(7));
    assert!(matches!(decide(1), Err(Error::NotReserved { snapshot: 1 })));
    database.reserve(epoch, &reservation(1)).unwrap();
    let second = database.reserve(epoch, &reservation(2));
    assert!(matches!(second, Err(Error::AlreadyReserved { snapshot: 2 })));
    assert!(matches!(finish(1), Err(Error::NotReserved { snapshot: 1 })));
    assert!(matches!(decide(2), Err(Error::NotReserved { snapshot: 2 })));
    assert_eq!(database.project("flask").unwrap(), None);
    decide(1).unwrap();
    assert!(decide(1).is_err(), "decided twice");
    assert!(matches!(finish(2), Err(Error::NotReserved { snapshot: 2 })));
    // What is decided is not given up.
    database.abandon(epoch).unwrap();
    assert_eq!(database.batch().unwrap(), Some(Batch::Decided(decision(1))));
    assert_eq!(database.published_serial().unwrap(), 0);
    finish(1).unwrap();
    assert!(finish(1).is_err(), "applied twice");
}

#[test]
fn a_version_is_used_up_by_reserving_it() {
    let (_folder, database) = fresh();
    let epoch = database.take_over().unwrap();
    publish(&database, epoch, 5);
    database.reserve(epoch, &reservation(8)).unwrap();
    database.abandon(epoch).unwrap();
    assert_eq!(database.batch().unwrap(), None);
    let bin = |number| database.bin(number).unwrap().unwrap();
    let published = |bin: BinRow| bin.published.map(|file| file.version);
    assert_eq!((bin(3).version, published(bin(3))), (8, Some(5)));
    assert_eq!((bin(700).version, published(bin(700))), (9, None));
    let snapshot = database.role(&RoleName::new("snapshot").unwrap()).unwrap().unwrap();
    assert_eq!((snapshot.version, snapshot.published), (8, 5));
    for version in [5, 7, 8] {
        let error = database.reserve(epoch, &reservation(version)).unwrap_err();
        assert!(matches!(error, Error::VersionUsed { used: 8, .. }), "{error}");
    }
    // Versions of bins are known to whoever reserves; should that be wrong, nothing is published.
    database.reserve(epoch, &reservation(9)).unwrap();
    let stale = Decision { bins: decision(5).bins, ..decision(9) };
    database.decide(epoch, &change(9), &stale).unwrap();
    let error = database.finish(epoch, &stale, time(8)).unwrap_err();
    assert!(matches!(error, Error::VersionUsed { .. }), "{error}");
    assert_eq!(database.published_serial().unwrap(), 50);
}

#[test]
fn whoever_took_over_later_is_the_only_writer() {
    let (_folder, database) = fresh();
    let first = database.take_over().unwrap();
    database.reserve(first, &reservation(1)).unwrap();
    let second = database.take_over().unwrap();
    let fenced = |result: Result<(), Error>| match result {
        Err(error @ Error::Fenced { .. }) => assert!(error.to_string().contains("taken over")),
        other => panic!("not fenced off: {other:?}"),
    };
    fenced(database.decide(first, &change(1), &decision(1)));
    fenced(database.abandon(first));
    assert_eq!(database.batch().unwrap(), Some(Batch::Reserved(reservation(1))));
    database.abandon(second).unwrap();
    fenced(database.reserve(first, &reservation(2)));
    database.reserve(second, &reservation(2)).unwrap();
    database.decide(second, &change(2), &decision(2)).unwrap();
    fenced(database.finish(first, &decision(2), time(7)));
    database.finish(second, &decision(2), time(7)).unwrap();
}

#[test]
fn a_token_is_known_by_its_text_alone() {
    let (_folder, database) = fresh();
    let (token, secret) = database.create_token("release robot").unwrap();
    let (_, other) = database.create_token("other").unwrap();
    let text = secret.expose();
    assert!(text.starts_with(&format!("waxseal_{}_", token.id)));
    assert_eq!(text.len(), "waxseal_".len() + 12 + 1 + 43);
    let used = database.authenticate(text).unwrap().unwrap();
    assert_eq!((&used.id, used.name.as_str()), (&token.id, "release robot"));
    assert!(used.last_used_at.is_some());

    let last = if text.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{last}", &text[..text.len() - 1]);
    let swapped = format!("waxseal_{}{}", token.id, &other.expose()[20..]);
    let id_only = format!("waxseal_{}_", token.id);
    let spaced = format!("{text} ");
    let long = format!("{text}{}", "x".repeat(1 << 16));
    let shouted = text.to_uppercase();
    for wrong in
        ["", "waxseal_", "password", "waxseal_ääääääääääää_", &changed, &swapped, &id_only, &spaced]
    {
        assert_eq!(database.authenticate(wrong).unwrap(), None, "{wrong}");
    }
    assert_eq!(database.authenticate(&long).unwrap(), None);
    assert_eq!(database.authenticate(&shouted).unwrap(), None);
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
fn a_revoked_token_is_refused_and_its_name_is_free_again() {
    let (_folder, database) = fresh();
    let (first, secret) = database.create_token("robot").unwrap();
    let taken = database.create_token("robot").unwrap_err();
    assert!(matches!(taken, Error::TokenName { .. }), "{taken}");
    let revoked = database.revoke_token("robot").unwrap().unwrap();
    assert_eq!(revoked.id, first.id);
    assert!(revoked.revoked_at.is_some());
    assert_eq!(database.authenticate(secret.expose()).unwrap(), None);
    assert_eq!(database.revoke_token("robot").unwrap(), None);
    assert_eq!(database.revoke_token(&first.id).unwrap(), None);

    let (second, secret) = database.create_token("robot").unwrap();
    assert!(database.authenticate(secret.expose()).unwrap().is_some());
    assert_eq!(database.revoke_token(&second.id).unwrap().unwrap().id, second.id);
    assert_eq!(database.authenticate(secret.expose()).unwrap(), None);
    let ids: Vec<_> = database.tokens().unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(ids, [first.id, second.id]);
}

#[test]
fn a_token_has_one_scope() {
    let (_folder, database) = fresh();
    let (upload, _) = database.create_token("laptop").unwrap();
    let (api, secret) = database.create_token_for("warehouse", TokenScope::Api).unwrap();
    assert_eq!((upload.scope, api.scope), (TokenScope::Upload, TokenScope::Api));
    assert_eq!(database.authenticate(secret.expose()).unwrap().unwrap().scope, TokenScope::Api);
    let scopes: Vec<_> = database.tokens().unwrap().into_iter().map(|token| token.scope).collect();
    assert_eq!(scopes, [TokenScope::Upload, TokenScope::Api]);
    assert!("root".parse::<TokenScope>().is_err());
}

#[test]
fn token_names_are_for_people() {
    let (_folder, database) = fresh();
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(database.create_token(name), Err(Error::TokenName { .. })), "{name:?}");
    }
    assert_eq!(database.tokens().unwrap(), []);
}
