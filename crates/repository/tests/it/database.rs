//! The database from outside: reopened, raced and refused.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tempfile::TempDir;
use waxseal_repository::Error;
use waxseal_repository::database::{
    Appended, CatalogChange, CoreMetadata, Database, Entry, FileRow, ProjectRow, RoleRow,
    StagedBatch, StagedObject, TargetChange, TargetRow, UploadEntry,
};
use waxseal_repository::store::Link;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetPath};

use super::{file, metadata, target};

fn fresh() -> (TempDir, Database) {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::open(folder.path().join("waxseal.sqlite")).unwrap();
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

fn other_writer(database: &Database, sql: &str) {
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
    let database = Database::open(path).unwrap();
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
    let other = Database::open(database.path()).unwrap();
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
    let other = Database::open(database.path()).unwrap();
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

fn role(name: &str, version: u64, expires: i64) -> RoleRow {
    let expires = jiff::Timestamp::from_second(expires).unwrap();
    RoleRow { name: RoleName::new(name).unwrap(), version, expires }
}

fn target_row(path: &str, bin: u32, bytes: &[u8]) -> TargetRow {
    let path = TargetPath::new(path).unwrap();
    TargetRow { path, bin, length: bytes.len() as u64, sha256: Sha256::of(bytes) }
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
    CatalogChange {
        projects: vec![project],
        files: vec![file],
        roles: vec![role("snapshot", version, 500), role("bin-0a", version, 400)],
    }
}

fn batch(version: u64) -> StagedBatch {
    let (one, two) = (target_row("simple/flask/x", 3, b"1"), target_row("packages/f", 9, b"wheel"));
    let targets = match version {
        1 => vec![TargetChange::Put(two), TargetChange::Put(one)],
        _ => vec![
            TargetChange::Remove(two.path),
            TargetChange::Put(target_row("simple/flask/x", 3, b"22")),
        ],
    };
    StagedBatch {
        snapshot_version: version,
        serial: version * 10,
        objects: vec![
            StagedObject { key: metadata(version, "snapshot"), bytes: b"{}".to_vec() },
            StagedObject { key: metadata(version, "bin-0a"), bytes: vec![0, 255, 0] },
            StagedObject { key: target("simple/flask/x", b"1"), bytes: Vec::new() },
        ],
        links: vec![Link { from: target("packages/f", b"wheel"), to: file("packages/f") }],
        targets,
        timestamp: format!("timestamp {version}").into_bytes(),
        previous_timestamp: (version > 1).then(|| Sha256::of(b"timestamp before")),
    }
}

/// As the database gives it back: targets ordered by path.
fn ordered(mut batch: StagedBatch) -> StagedBatch {
    batch.targets.sort_by_key(|change| match change {
        TargetChange::Put(row) => row.path.clone(),
        TargetChange::Remove(path) => path.clone(),
    });
    batch
}

#[test]
fn a_staged_batch_survives_and_publishes_only_when_finished() {
    let (_folder, database) = fresh();
    let path = database.path().to_owned();
    let page = TargetPath::new("simple/flask/x").unwrap();
    assert_eq!(database.staged().unwrap(), None);
    for version in 1..=2 {
        database.stage(&change(version), &batch(version)).unwrap();
        let reopened = Database::open(&path).unwrap();
        assert_eq!(reopened.staged().unwrap(), Some(ordered(batch(version))));
        let published = reopened.target(&page).unwrap().map(|row| row.length);
        assert_eq!(published, (version == 2).then_some(1), "published before it is finished");
        assert_eq!(reopened.published_serial().unwrap(), (version - 1) * 10);
        assert_eq!(reopened.finish_staged(version).unwrap(), version * 10);
        drop(reopened);

        assert_eq!(database.staged().unwrap(), None);
        assert_eq!(database.published_serial().unwrap(), version * 10);
        assert_eq!(database.target(&page).unwrap().unwrap().length, version);
    }
    assert_eq!(database.targets_in_bin(9).unwrap(), [], "a removed target is still published");
    assert_eq!(database.targets_in_bin(3).unwrap(), [target_row("simple/flask/x", 3, b"22")]);
}

#[test]
fn the_catalog_is_what_was_staged() {
    let (_folder, database) = fresh();
    for version in 1..=2 {
        database.stage(&change(version), &batch(version)).unwrap();
        database.finish_staged(version).unwrap();
    }
    let files: Vec<_> = (1..=2).flat_map(|version| change(version).files).collect();
    assert_eq!(database.project_files("flask").unwrap(), files);
    assert_eq!(database.project_files("Flask").unwrap(), []);
    assert_eq!(database.project_names().unwrap(), ["flask"]);
    assert_eq!(database.project("flask").unwrap(), change(2).projects.pop());
    assert_eq!(database.project("nothing").unwrap(), None);
    let (bin, snapshot) = (role("bin-0a", 2, 400), role("snapshot", 2, 500));
    assert_eq!(database.roles().unwrap(), [bin.clone(), snapshot.clone()]);
    assert_eq!(database.role(&snapshot.name).unwrap(), Some(snapshot.clone()));
    let before = |seconds, limit| {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        database.roles_expiring_before(time, limit).unwrap()
    };
    assert_eq!(before(400, 10), []);
    assert_eq!(before(401, 10), std::slice::from_ref(&bin));
    assert_eq!(before(900, 10), [bin.clone(), snapshot]);
    assert_eq!(before(900, 1), [bin]);
}

#[test]
fn only_one_batch_is_staged_and_only_that_one_is_finished() {
    let (_folder, database) = fresh();
    assert!(matches!(database.finish_staged(1), Err(Error::NotStaged { snapshot_version: 1 })));
    database.stage(&change(1), &batch(1)).unwrap();
    let second = database.stage(&change(2), &batch(2));
    assert!(matches!(second, Err(Error::AlreadyStaged { snapshot_version: 1 })));
    assert_eq!(database.staged().unwrap(), Some(ordered(batch(1))));
    assert_eq!(database.project("flask").unwrap().unwrap().last_serial, 1);
    assert!(matches!(database.finish_staged(2), Err(Error::NotStaged { snapshot_version: 2 })));
    assert_eq!(database.published_serial().unwrap(), 0);
    database.finish_staged(1).unwrap();
    assert!(database.finish_staged(1).is_err(), "applied twice");
}

#[test]
fn a_version_is_used_up_by_staging_it() {
    let (_folder, database) = fresh();
    database.stage(&change(5), &batch(1)).unwrap();
    database.finish_staged(1).unwrap();
    for version in [4, 5] {
        let stale = CatalogChange { roles: vec![role("bin-0a", version, 999)], ..change(6) };
        let error = database.stage(&stale, &batch(2)).unwrap_err();
        assert!(matches!(error, Error::VersionUsed { used: 5, .. }), "{error}");
        // Nothing of it was recorded.
        assert_eq!(database.staged().unwrap(), None);
        assert_eq!(database.project("flask").unwrap().unwrap().last_serial, 5);
        assert_eq!(
            database.role(&role("bin-0a", 1, 1).name).unwrap(),
            Some(role("bin-0a", 5, 400))
        );
    }
    database.stage(&change(6), &batch(2)).unwrap();
}

#[test]
fn a_batch_that_fails_half_way_is_not_staged() {
    let (_folder, database) = fresh();
    let mut twice = batch(1);
    twice.objects.push(twice.objects[0].clone());
    assert!(matches!(database.stage(&change(1), &twice), Err(Error::Database { .. })));
    assert_eq!(database.staged().unwrap(), None);
    assert_eq!(database.roles().unwrap(), []);
    database.stage(&change(1), &batch(1)).unwrap();
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
fn token_names_are_for_people() {
    let (_folder, database) = fresh();
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        assert!(matches!(database.create_token(name), Err(Error::TokenName { .. })), "{name:?}");
    }
    assert_eq!(database.tokens().unwrap(), []);
}
