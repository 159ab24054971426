//! One suite for every database. A new database is one more way to open a [`Place`].

mod key_use;
mod revocations;
mod tokens;

use std::collections::BTreeSet;
use std::thread;

use tempfile::TempDir;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{
    AddTarget, Appended, AppendedTargets, Batch, BinFile, BinRow, CatalogChange, CoreMetadata,
    Database, Decision, Entry, Epoch, Expected, FileRow, Growth, IdempotencyKey, ProjectRow,
    Reservation, RoleRow, SqliteDatabase, TargetsAppend, TargetsEntry, UploadAppend, UploadEntry,
};
use waxseal_repository::{Error, Layout};
use waxseal_testkit::faults::Faults;
use waxseal_testkit::faulty_database::FaultyDatabase;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetFile, TargetPath};

use self::key_use::{
    a_long_log_is_read_in_parts, a_use_is_logged_of_the_reserved_batch_alone,
    a_use_is_logged_with_the_versions_it_uses_or_not_at_all,
};
use self::revocations::{
    a_project_of_which_nothing_is_left_is_on_no_list,
    what_is_readmitted_comes_with_the_bytes_it_had,
    what_is_revoked_is_an_entry_and_takes_no_upload,
};
use self::tokens::{
    a_revoked_token_is_refused_and_its_name_is_free_again, a_token_has_one_scope,
    a_token_is_known_by_its_text_alone, token_names_are_for_people,
};

/// Where one database is, which any number of processes open.
struct Place {
    folder: TempDir,
    open: fn(&TempDir) -> Box<dyn Database>,
}

impl Place {
    fn new(open: fn(&TempDir) -> Box<dyn Database>) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), open }
    }

    /// Opens it as one more process does.
    fn open(&self) -> Box<dyn Database> {
        (self.open)(&self.folder)
    }

    /// The database as it is on disk at this moment, without anything that a process has in memory.
    fn copy(&self) -> Self {
        let copy = Self::new(self.open);
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            let file = file.unwrap();
            // Shared memory of the processes that have it open.
            if !file.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(file.path(), copy.folder.path().join(file.file_name())).unwrap();
            }
        }
        copy
    }
}

fn bins() -> Bins {
    Bins::new(2, BinStyle::Succinct).unwrap()
}

fn sqlite(folder: &TempDir) -> Box<dyn Database> {
    Box::new(SqliteDatabase::open(folder.path().join("waxseal.sqlite")).unwrap())
}

/// The wrapper that fails for tests keeps the contract while nothing is to fail.
fn faultless(folder: &TempDir) -> Box<dyn Database> {
    Box::new(FaultyDatabase::new(sqlite(folder), Faults::default()))
}

/// All that can be read.
fn contents(database: &dyn Database) -> String {
    let projects = database.project_names().unwrap();
    let files: Vec<_> = projects.iter().map(|name| database.project_files(name).unwrap()).collect();
    format!(
        "{:?}",
        (
            (database.last_serial().unwrap(), database.waiting(0, 1000).unwrap()),
            (database.published_serial().unwrap(), database.layout().unwrap()),
            database.imported_serial().unwrap(),
            (projects, files, database.hosts_projects().unwrap()),
            (database.roles().unwrap(), database.bins().unwrap()),
            (database.batch().unwrap(), database.snapshots_while(&mut |_| true).unwrap()),
            database.tokens().unwrap(),
            (database.key_uses(0).unwrap(), database.revocations().unwrap()),
        )
    )
}

pub(crate) fn upload(filename: &str, bytes: &[u8]) -> UploadEntry {
    UploadEntry {
        project: "flask".to_owned(),
        display_name: "Flask".to_owned(),
        version: "3.0".to_owned(),
        filename: filename.to_owned(),
        sha256: Sha256::of(bytes),
        sha512: None,
        size: bytes.len() as u64,
        metadata: Some(CoreMetadata { sha256: Sha256::of(b"Name: Flask"), size: 11 }),
        requires_python: Some(">=3.8".to_owned()),
        uploaded_by: "0123456789ab".to_owned(),
        upload_time: "2026-11-23T06:37:49.123456Z".parse().unwrap(),
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
        empty: false,
        name: "flask".to_owned(),
        display_name: "Flask".to_owned(),
        last_serial: version,
    };
    CatalogChange { projects: vec![project], files: vec![file], ..CatalogChange::default() }
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
        signed_sha256: Sha256::of(bytes),
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
        offline: None,
    }
}

fn publish(database: &dyn Database, epoch: Epoch, version: u64) {
    database.reserve(epoch, &reservation(version), &[]).unwrap();
    database.decide(epoch, &change(version), &decision(version)).unwrap();
    database.finish(epoch, &decision(version), time(7)).unwrap();
}

fn targets(path: &str, digit: char) -> TargetsEntry {
    let digest = digit.to_string().repeat(64);
    let file = format!("{{\"hashes\":{{\"sha256\":\"{digest}\"}},\"length\":1}}");
    let file = TargetFile::from_json(file.as_bytes()).unwrap();
    let add = vec![AddTarget { path: TargetPath::new(path.to_owned()).unwrap(), file }];
    TargetsEntry { add, remove: Vec::new(), by: "warehouse".to_owned() }
}

fn first_roles() -> [RoleRow; 1] {
    let name = RoleName::new("root").unwrap();
    [RoleRow { name, version: 1, published: 1, expires: time(900) }]
}

/// Every kind of write, one after the other.
fn every_write(database: &dyn Database, mut after: impl FnMut(&str)) {
    database.record_first_roles(&first_roles()).unwrap();
    after("record_first_roles");
    database.record_layout(Layout::Index).unwrap();
    after("record_layout");
    let (_, secret) = database.create_token("ci").unwrap();
    after("create_token");
    database.authenticate(secret.expose()).unwrap().unwrap();
    after("authenticate");
    let append = UploadAppend {
        entry: upload("a-1.whl", b"a"),
        identity: "a-1.whl".to_owned(),
        growth: Growth::default(),
    };
    assert_eq!(database.append_uploads(&[&append]).unwrap(), [Appended::New(1)]);
    after("append_uploads");
    let (entry, key) = (targets("b", '1'), None);
    let expected = [Expected::Same(None)];
    let append =
        TargetsAppend { entry: &entry, expected: &expected, bins: bins(), read_at: 0, key };
    assert_eq!(database.append_targets(&[append]).unwrap(), [AppendedTargets::New(2)]);
    after("append_targets");
    let epoch = database.take_over().unwrap();
    database.reserve(epoch, &reservation(1), &[key_use::record(1)]).unwrap();
    after("reserve");
    database.log_key_use(epoch, 1, &[key_use::record(2)]).unwrap();
    after("log_key_use");
    database.decide(epoch, &change(1), &decision(1)).unwrap();
    after("decide");
    database.finish(epoch, &decision(1), time(7)).unwrap();
    after("finish");
    let source = Some((Sha256::of(b"import"), time(3)));
    database.reserve(epoch, &Reservation { source, ..reservation(2) }, &[]).unwrap();
    after("reserve for an import");
    database.abandon(epoch).unwrap();
    after("abandon");
    database.revoke_token("ci").unwrap().unwrap();
    after("revoke_token");
    let revoked = [revocations::project("flask")];
    database.append_revocation(&revoked, "malware").unwrap();
    after("append_revocation");
    database.append_readmission(&revoked, "a false alarm").unwrap();
    after("append_readmission");
}

fn every_write_is_durable_on_return(place: &Place) {
    let database = place.open();
    let mut before = contents(&*database);
    every_write(&*database, |write| {
        let now = contents(&*database);
        assert_ne!(now, before, "{write} changed nothing");
        assert_eq!(contents(&*place.open()), now, "another process after {write}");
        assert_eq!(contents(&*place.copy().open()), now, "on disk after {write}");
        before = now;
    });
    drop(database);
    assert_eq!(contents(&*place.open()), before);
}

/// Fencing outlives the processes too.
fn an_epoch_is_durable_on_return(place: &Place) {
    let database = place.open();
    let first = database.take_over().unwrap();
    database.take_over().unwrap();
    let copy = place.copy().open();
    assert!(matches!(copy.reserve(first, &reservation(1), &[]), Err(Error::Fenced { .. })));
    assert!(copy.take_over().unwrap() > first);
}

fn what_is_refused_changes_nothing(place: &Place) {
    let database = place.open();
    let stale = database.take_over().unwrap();
    every_write(&*database, |_| ());
    let (_, _) = database.create_token("robot").unwrap();
    let epoch = database.take_over().unwrap();
    let before = contents(&*database);
    let refused = |error: Error| {
        assert!(!matches!(error, Error::Database { .. }), "{error}");
        assert_eq!(contents(&*database), before, "{error}");
    };
    refused(database.create_token("robot").unwrap_err());
    refused(database.create_token("").unwrap_err());
    refused(database.reserve(stale, &reservation(5), &[]).unwrap_err());
    refused(database.log_key_use(stale, 5, &[key_use::record(5)]).unwrap_err());
    refused(database.log_key_use(epoch, 5, &[key_use::record(5)]).unwrap_err());
    refused(database.abandon(stale).unwrap_err());
    refused(database.reserve(epoch, &reservation(1), &[]).unwrap_err());
    refused(database.decide(epoch, &change(2), &decision(2)).unwrap_err());
    refused(database.finish(epoch, &decision(1), time(9)).unwrap_err());
    // And these say so without an error.
    let other = database.append_upload(&upload("a-1.whl", b"other"), "a-1.whl").unwrap();
    assert!(matches!(other, Appended::Taken { serial: 1, .. }), "{other:?}");
    let (one, other) = (targets("new", '1'), targets("b", '2'));
    let expected = [Expected::Same(None)];
    let append =
        |entry| TargetsAppend { entry, expected: &expected, bins: bins(), read_at: 0, key: None };
    let became = database.append_targets(&[append(&other)]).unwrap();
    assert!(matches!(&became[..], [AppendedTargets::Refused(_)]), "{became:?}");
    database.abandon(epoch).unwrap();
    assert_eq!(database.revoke_token("nobody").unwrap(), None);
    database.record_first_roles(&first_roles()).unwrap();
    database.record_layout(Layout::Index).unwrap();
    assert_eq!(contents(&*database), before);
    // Of several the others are taken.
    let became = database.append_targets(&[append(&other), append(&one)]).unwrap();
    assert!(matches!(&became[..], [AppendedTargets::Refused(_), AppendedTargets::New(5)]));
}

fn a_step_fails_as_a_whole(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    publish(&*database, epoch, 5);
    // The last row of this batch is refused, after others were written.
    database.reserve(epoch, &reservation(9), &[]).unwrap();
    let (_, used) = decision(5).bins[0];
    let fresh = (1, BinFile { version: 1, ..used });
    let batch = Decision { bins: vec![fresh, (3, used)], ..decision(9) };
    database.decide(epoch, &change(9), &batch).unwrap();
    let before = contents(&*database);
    assert!(matches!(database.finish(epoch, &batch, time(8)), Err(Error::VersionUsed { .. })));
    assert_eq!(contents(&*database), before);
}

fn a_request_is_taken_once(place: &Place) {
    let database = place.open();
    let (entry, other) = (targets("a", '1'), targets("c", '1'));
    let key = |body: &[u8]| IdempotencyKey {
        token: "0123456789ab".to_owned(),
        key: "one".to_owned(),
        body: Sha256::of(body),
    };
    let (same, different) = (key(b"body"), key(b"other body"));
    let send = |database: &dyn Database, entry, key| {
        let expected = &[Expected::Anything];
        let append = TargetsAppend { entry, expected, bins: bins(), read_at: 0, key: Some(key) };
        database.append_targets(&[append]).unwrap().remove(0)
    };
    assert_eq!(send(&*database, &entry, &same), AppendedTargets::New(1));
    for database in [&database, &place.open(), &place.copy().open()] {
        assert_eq!(send(&**database, &entry, &same), AppendedTargets::Repeated(1));
        assert_eq!(send(&**database, &other, &different), AppendedTargets::KeyUsed);
        assert_eq!(database.last_serial().unwrap(), 1);
    }
}

fn an_import_can_be_gone_on_with(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    let source = Some((Sha256::of(b"import"), "2026-11-23T06:37:49.123456Z".parse().unwrap()));
    let reservation = Reservation { source, ..reservation(1) };
    database.reserve(epoch, &reservation, &[]).unwrap();
    drop(database);
    assert_eq!(place.open().batch().unwrap(), Some(Batch::Reserved(reservation)));
}

fn snapshots_are_found_by_time_and_by_serial(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    for version in 1..=4 {
        publish(&*database, epoch, version);
    }
    let versions = |least: u64| {
        let rows = database.snapshots_while(&mut |row| row.version > least).unwrap();
        rows.iter().map(|row| (row.version, row.serial)).collect::<Vec<_>>()
    };
    assert_eq!(versions(0), [(4, 40), (3, 30), (2, 20), (1, 10)]);
    assert_eq!(versions(3), [(4, 40), (3, 30)]);
    assert_eq!(versions(9), [(4, 40)]);
    let of_serial = |serial| database.snapshot_of_serial(serial).unwrap();
    assert_eq!([1, 10, 11, 40, 41].map(of_serial), [Some(1), Some(1), Some(2), Some(4), None]);
}

/// Each read sees a state between two transactions, whatever is written meanwhile.
fn readers_see_committed_states_only(place: &Place) {
    let (database, reader) = (place.open(), place.open());
    let epoch = database.take_over().unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| (1..=20).for_each(|n| publish(&*database, epoch, n)));
        let mut seen = 0;
        while !writer.is_finished() {
            let bins = reader.bins().unwrap();
            // Those of one batch come together.
            let newest = bins.iter().find(|bin| bin.number == 3).map_or(0, |bin| bin.version);
            assert_eq!(bins.len() as u64, newest + u64::from(newest > 0));
            let files = reader.project_files("flask").unwrap().len() as u64;
            let project = reader.project("flask").unwrap().map_or(0, |row| row.last_serial);
            assert!(newest <= files && files <= project, "{newest} {files} {project}");
            assert!(newest >= seen, "a reader went back");
            seen = newest;
        }
        writer.join().unwrap();
    });
    assert_eq!(reader.bins().unwrap().len(), 21);
}

fn a_collector_and_those_who_hold_keep_out_of_each_others_way(place: &Place) {
    let (database, other) = (place.open(), place.open());
    let holds = (database.hold_objects().unwrap(), other.hold_objects().unwrap());
    assert!(other.collect_objects().unwrap_err().is_lock_held());
    drop(holds.0);
    assert!(database.collect_objects().unwrap_err().is_lock_held());
    drop(holds.1);
    let collecting = database.collect_objects().unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| other.hold_objects().unwrap());
        thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiting.is_finished(), "held while a collector removes");
        drop(collecting);
        waiting.join().unwrap();
    });
}

fn entries_come_back_as_they_were_after_reopening(place: &Place) {
    let database = place.open();
    let bare = UploadEntry { metadata: None, requires_python: None, ..upload("b-1.tar.gz", b"b") };
    let uploads = [upload("a-1.whl", b"a"), bare];
    for (serial, upload) in (1..).zip(&uploads) {
        let appended = database.append_upload(upload, &upload.filename).unwrap();
        assert_eq!(appended, Appended::New(serial));
    }
    drop(database);
    let database = place.open();
    assert_eq!(database.last_serial().unwrap(), 2);
    let waiting = database.waiting(0, 10).unwrap();
    let expected: Vec<_> = (1..).zip(uploads.map(Entry::Upload)).collect();
    let found: Vec<_> = waiting.into_iter().map(|row| (row.serial, row.entry)).collect();
    assert_eq!(found, expected);
    assert_eq!(database.waiting(1, 10).unwrap().len(), 1);
    assert_eq!(database.waiting(0, 1).unwrap()[0].serial, 1);
    assert!(database.waiting(2, 10).unwrap().is_empty());
}

fn uploads_that_are_recorded_together_are_answered_one_by_one(place: &Place) {
    let database = place.open();
    let append = |filename: &str, bytes: &[u8], identity: &str| UploadAppend {
        entry: upload(filename, bytes),
        identity: identity.to_owned(),
        growth: Growth::default(),
    };
    let (first, same) = (append("a-1.whl", b"a", "a"), append("a-1.whl", b"a", "a"));
    let (taken, last) = (append("a-1.whl", b"other", "a"), append("b-1.whl", b"b", "b"));
    let answers = database.append_uploads(&[&first, &same, &taken, &last]).unwrap();
    let by_the_first =
        Appended::Taken { serial: 1, filename: "a-1.whl".to_owned(), sha256: Sha256::of(b"a") };
    assert_eq!(answers, [Appended::New(1), Appended::Same(1), by_the_first, Appended::New(2)]);
    let entries: Vec<_> =
        database.waiting(0, 9).unwrap().into_iter().map(|row| row.entry).collect();
    assert_eq!(entries, [first, last].map(|append| Entry::Upload(append.entry)));
}

fn a_filename_has_one_content_for_good(place: &Place) {
    let database = place.open();
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

fn serials_from_many_writers_are_gapless_and_in_the_order_of_commits(place: &Place) {
    let database = place.open();
    // A second process, and a reader that must never see a later serial before an earlier one.
    let other = place.open();
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

fn of_uploads_of_one_name_at_once_one_wins(place: &Place) {
    let database = place.open();
    let other = place.open();
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

fn a_batch_survives_at_each_of_its_steps_and_is_published_by_the_last(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    assert_eq!(database.batch().unwrap(), None);
    for version in 1..=2 {
        let reopened = || place.open();
        database.reserve(epoch, &reservation(version), &[]).unwrap();
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

fn the_catalog_is_what_was_decided(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    for version in 1..=2 {
        publish(&*database, epoch, version);
    }
    let files: Vec<_> = (1..=2).flat_map(|version| change(version).files).collect();
    assert_eq!(database.project_files("flask").unwrap(), files);
    assert_eq!(database.project_files("Flask").unwrap(), []);
    assert_eq!(database.project_names().unwrap(), ["flask"]);
    assert_eq!(database.project("flask").unwrap(), change(2).projects.pop());
    assert_eq!(database.project("nothing").unwrap(), None);
}

fn steps_are_taken_in_their_order_and_once(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    let decide = |version| database.decide(epoch, &change(version), &decision(version));
    let finish = |version| database.finish(epoch, &decision(version), time(7));
    assert!(matches!(decide(1), Err(Error::NotReserved { snapshot: 1 })));
    database.reserve(epoch, &reservation(1), &[]).unwrap();
    let second = database.reserve(epoch, &reservation(2), &[]);
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

fn a_version_is_used_up_by_reserving_it(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    publish(&*database, epoch, 5);
    database.reserve(epoch, &reservation(8), &[]).unwrap();
    database.abandon(epoch).unwrap();
    assert_eq!(database.batch().unwrap(), None);
    let bin = |number| database.bin(number).unwrap().unwrap();
    let published = |bin: BinRow| bin.published.map(|file| file.version);
    assert_eq!((bin(3).version, published(bin(3))), (8, Some(5)));
    assert_eq!((bin(700).version, published(bin(700))), (9, None));
    let snapshot = database.role(&RoleName::new("snapshot").unwrap()).unwrap().unwrap();
    assert_eq!((snapshot.version, snapshot.published), (8, 5));
    for version in [5, 7, 8] {
        let error = database.reserve(epoch, &reservation(version), &[]).unwrap_err();
        assert!(matches!(error, Error::VersionUsed { used: 8, .. }), "{error}");
    }
    // Versions of bins are known to whoever reserves; should that be wrong, nothing is published.
    database.reserve(epoch, &reservation(9), &[]).unwrap();
    let stale = Decision { bins: decision(5).bins, ..decision(9) };
    database.decide(epoch, &change(9), &stale).unwrap();
    let error = database.finish(epoch, &stale, time(8)).unwrap_err();
    assert!(matches!(error, Error::VersionUsed { .. }), "{error}");
    assert_eq!(database.published_serial().unwrap(), 50);
}

fn whoever_took_over_later_is_the_only_writer(place: &Place) {
    let database = place.open();
    let first = database.take_over().unwrap();
    database.reserve(first, &reservation(1), &[]).unwrap();
    let second = database.take_over().unwrap();
    let fenced = |result: Result<(), Error>| match result {
        Err(error @ Error::Fenced { .. }) => assert!(error.to_string().contains("taken over")),
        other => panic!("not fenced off: {other:?}"),
    };
    fenced(database.decide(first, &change(1), &decision(1)));
    fenced(database.abandon(first));
    assert_eq!(database.batch().unwrap(), Some(Batch::Reserved(reservation(1))));
    database.abandon(second).unwrap();
    fenced(database.reserve(first, &reservation(2), &[]).map(drop));
    database.reserve(second, &reservation(2), &[]).unwrap();
    database.decide(second, &change(2), &decision(2)).unwrap();
    fenced(database.finish(first, &decision(2), time(7)));
    database.finish(second, &decision(2), time(7)).unwrap();
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(&super::Place::new(super::sqlite)); })*
        }
        mod faulty {
            $(#[test] fn $test() { super::$test(&super::Place::new(super::faultless)); })*
        }
    };
}

contract!(
    every_write_is_durable_on_return,
    an_epoch_is_durable_on_return,
    what_is_refused_changes_nothing,
    a_step_fails_as_a_whole,
    a_request_is_taken_once,
    an_import_can_be_gone_on_with,
    snapshots_are_found_by_time_and_by_serial,
    readers_see_committed_states_only,
    a_collector_and_those_who_hold_keep_out_of_each_others_way,
    entries_come_back_as_they_were_after_reopening,
    uploads_that_are_recorded_together_are_answered_one_by_one,
    a_filename_has_one_content_for_good,
    what_is_revoked_is_an_entry_and_takes_no_upload,
    what_is_readmitted_comes_with_the_bytes_it_had,
    a_project_of_which_nothing_is_left_is_on_no_list,
    serials_from_many_writers_are_gapless_and_in_the_order_of_commits,
    of_uploads_of_one_name_at_once_one_wins,
    a_batch_survives_at_each_of_its_steps_and_is_published_by_the_last,
    the_catalog_is_what_was_decided,
    steps_are_taken_in_their_order_and_once,
    a_version_is_used_up_by_reserving_it,
    whoever_took_over_later_is_the_only_writer,
    a_use_is_logged_with_the_versions_it_uses_or_not_at_all,
    a_use_is_logged_of_the_reserved_batch_alone,
    a_long_log_is_read_in_parts,
    a_token_is_known_by_its_text_alone,
    a_revoked_token_is_refused_and_its_name_is_free_again,
    a_token_has_one_scope,
    token_names_are_for_people,
);
