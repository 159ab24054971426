//! The audit of the online key's use: everything in the store is in the log, and each attack on either is
//! named.

use std::fs;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use waxseal_repository::audit::keys::{
    Entry, KeyFindingKind as Kind, KeyReport, KeysAudit, KeysError, lines, of_database,
};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{Database, KeyUses, SqliteDatabase};
use waxseal_repository::key_use::{Head, KeyUse, Logged, UseKind};
use waxseal_repository::store::{FilesystemStore, Store, StoreKey};
use waxseal_repository::{Repository, SnapshotProcess};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Targets, Unverified, sign};
use waxseal_tuf::{KeyId, TargetPath};

use super::cold::{Cold, HTML, PAGE, WHEEL};
use super::index::{self, Index, LIMIT, hours, send, start};
use waxseal_testkit::faulty_store::Fault;

fn audit(store: &dyn Store, database: &dyn Database, heads: &[Head]) -> KeyReport {
    let audit = KeysAudit { store: Some(store), heads, export: None };
    audit.run(of_database(database), &mut |_| {}).unwrap()
}

/// Whatever is in the store is in the log.
pub(crate) fn prove_logged(repository: &Repository) {
    let report = audit(repository.store(), repository.database(), &[]);
    assert!(report.valid, "{report:#?}");
    assert_eq!(report.counts.files, report.counts.files_in_the_log);
}

/// The log of an index that nobody has open.
fn log(cold: &Cold) -> Vec<Logged> {
    SqliteDatabase::open_to_read(cold.index.database_path()).unwrap().key_uses(0).unwrap()
}

fn audit_cold(cold: &Cold, heads: &[Head]) -> KeyReport {
    let database = SqliteDatabase::open_to_read(cold.index.database_path()).unwrap();
    audit(&cold.store(), &database, heads)
}

/// Asserts that exactly one thing is found, and what.
#[track_caller]
fn finds(report: &KeyReport, kind: Kind, parts: &[&str]) {
    assert!(!report.valid);
    let [finding] = &*report.findings else { panic!("{report:#?}") };
    assert_eq!(finding.kind, kind, "{report:#?}");
    for part in parts {
        assert!(finding.problem.contains(part), "{part}: {report:#?}");
    }
}

/// Writes a log anew, as whoever has the database can.
fn rewrite(cold: &Cold, records: impl IntoIterator<Item = Vec<u8>>) {
    cold.sql("DELETE FROM key_use");
    let connection = Connection::open(cold.index.database_path()).unwrap();
    let mut head = None;
    for record in records {
        let next = Head::after(head, &record);
        let sql = "INSERT INTO key_use (number, record, hash) VALUES ($1, $2, $3)";
        connection.execute(sql, (next.number.cast_signed(), record, next.hash.0)).unwrap();
        head = Some(next);
    }
}

#[test]
fn everything_that_was_signed_is_in_the_log_whatever_signs() {
    for key in [TestKey::new("online"), TestKey::ecdsa_p256()] {
        let mut index = Index::new(index::Kind::Filesystem);
        index.online = key.clone();
        let (repository, process) = index.create().unwrap();
        process.publish_all(start()).unwrap();
        for hour in 1..4 {
            send(&repository, &format!("flask-{hour}.tar.gz"));
            process.publish_all(hours(hour)).unwrap();
        }
        // Only what runs out.
        process.publish_all(hours(20)).unwrap();
        prove_logged(&repository);
        let report = audit(repository.store(), repository.database(), &[]);
        assert_eq!(report.counts.before_the_log, 0);
        assert_eq!(report.counts.never_published, 0);
        let records = repository.database().key_uses(0).unwrap();
        assert_eq!(report.counts.records, records.len() as u64);
        let records = records.iter().map(|logged| KeyUse::decode(&logged.record).unwrap());
        let records: Vec<_> = records.collect();
        assert!(records.iter().all(|record| record.keyid == key.keyid()));
        let said =
            |record: &KeyUse| (record.snapshot, record.published, record.after, record.serial);
        let said: Vec<_> = records.iter().map(said).collect();
        assert_eq!(said[..4], [(1, 0, 0, 0), (2, 1, 0, 1), (3, 2, 1, 2), (4, 3, 2, 3)]);
        // All bins, snapshot and timestamp.
        assert_eq!(records[0].signed.len(), 8 + 2);
        let roles: Vec<_> = records[1].signed.iter().map(|value| value.role.as_str()).collect();
        assert_eq!(roles[roles.len() - 2..], ["snapshot", "timestamp"]);
        assert!(records.windows(2).all(|pair| pair[0].time <= pair[1].time));
    }
}

/// The rule itself: before a file has a name, what signed it is in the log. Bins of two slices, so that
/// some have names before others are signed.
#[test]
fn at_every_moment_what_has_a_name_is_in_the_log_for_good() {
    let index =
        Index::with_bins(index::Kind::Filesystem, Bins::new(8_192, BinStyle::Succinct).unwrap());
    let (repository, process) = index.create().unwrap();
    let (store, path) = (index.store.unwatched(), index.database_path());
    let files = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&files);
    index.store.set_hook(Some(Box::new(move |_| {
        // What another process reads is on the disk.
        let database = SqliteDatabase::open_to_read(&path).unwrap();
        let report = audit(&*store, &database, &[]);
        assert!(report.valid, "{:#?}", &report.findings[..1]);
        seen.lock().unwrap().push(report.counts.files);
    })));
    process.publish_all(start()).unwrap();
    send(&repository, "flask-3.0.tar.gz");
    process.publish_all(start()).unwrap();
    index.store.set_hook(None);
    let files = files.lock().unwrap();
    assert!(files.iter().any(|files| (1..8_000).contains(files)), "{files:?}");
    assert!(repository.database().key_use_head().unwrap().unwrap().number > 2);
}

#[test]
fn a_file_that_a_thief_of_the_key_signed_is_named() {
    // A version that comes next.
    let cold = Cold::new();
    let bin = cold.bin_of(WHEEL);
    let StoreKey::Metadata { version, role } = &bin else { panic!() };
    let theirs = StoreKey::Metadata { version: version + 1, role: role.clone() };
    let bytes = cold.signed_bin(&bin, |bin| bin.version += 1);
    fs::write(cold.path(&theirs), &bytes).unwrap();
    let report = audit_cold(&cold, &[]);
    finds(&report, Kind::NotLogged, &[&theirs.path(), "the log does not say so"]);
    let finding = &report.findings[0];
    let digest = Unverified::<Targets>::parse(&bytes).unwrap().signed_sha256();
    assert_eq!(finding.role.as_deref(), Some(role.as_str()));
    assert_eq!(finding.version, Some(version + 1));
    assert_eq!(finding.file.as_deref(), Some(&*theirs.path()));
    assert_eq!(finding.sha256, Some(digest.to_string()));
    assert!(finding.hint.contains("docs/compromise.md"));
    // Under the name of a role that nothing delegates to, too.
    fs::rename(cold.path(&theirs), cold.path(&super::metadata(1, "evil"))).unwrap();
    finds(&audit_cold(&cold, &[]), Kind::NotLogged, &["1.evil.json"]);

    // The published version, with the database changed to match.
    let cold = Cold::new();
    let bin = cold.bin_of(WHEEL);
    cold.sign_target(WHEEL, b"theirs");
    finds(&audit_cold(&cold, &[]), Kind::OtherValue, &[&bin.path(), "another signed value"]);

    // A snapshot and a timestamp.
    let cold = Cold::new();
    cold.sign_snapshot(|snapshot| snapshot.version += 1);
    let report = audit_cold(&cold, &[]);
    let kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Unverified, Kind::NotLogged, Kind::OtherValue], "{report:#?}");
    assert!(report.findings[2].problem.contains("timestamp.json"), "{report:#?}");

    // What is no metadata, or has a duplicate that another reader takes.
    let cold = Cold::new();
    let bytes = fs::read_to_string(cold.path(&bin)).unwrap();
    let twice = format!("{},\"signed\":{{}}}}", bytes.strip_suffix('}').unwrap());
    for bytes in ["{}", &twice] {
        fs::write(cold.path(&bin), bytes).unwrap();
        finds(&audit_cold(&cold, &[]), Kind::NotMetadata, &[]);
    }
}

#[test]
fn a_signature_of_a_key_that_nobody_named_is_named() {
    let cold = Cold::new();
    let bin = cold.bin_of(WHEEL);
    let targets: Targets = cold.claims(&bin);
    let (online, other) = (TestKey::new("online"), TestKey::new("other"));
    fs::write(cold.path(&bin), sign(&targets, &[&online, &other]).unwrap()).unwrap();
    let keyid = other.keyid().to_string();
    finds(&audit_cold(&cold, &[]), Kind::UnknownKey, &[&bin.path(), &keyid, "neither `bins`"]);

    // In the log.
    let cold = Cold::new();
    let records = log(&cold).into_iter().map(|logged| {
        let mut record = KeyUse::decode(&logged.record).unwrap();
        if record.snapshot == 2 {
            record.keyid = KeyId::new("stranger");
            record.signed.retain(|value| value.role.as_str().starts_with("bin"));
            assert!(record.signed.len() > 1);
        }
        record.encode()
    });
    let records: Vec<_> = records.collect();
    rewrite(&cold, records);
    let report = audit_cold(&cold, &[]);
    let found = report.findings.iter();
    let unknown: Vec<_> = found.filter(|it| it.kind == Kind::UnknownKey).collect();
    assert_eq!(unknown.len(), 1, "{report:#?}");
    assert!(unknown[0].problem.starts_with("record 2 is of the key stranger"), "{report:#?}");
}

#[test]
fn a_log_that_was_tampered_with_is_named_with_the_place() {
    let cold = Cold::new();
    let records = log(&cold);
    assert_eq!(records.len(), 3);
    let heads: Vec<_> = records.iter().map(|logged| logged.head).collect();
    assert!(audit_cold(&cold, &heads).valid);
    let tampered = |sql: &str| {
        let cold = Cold::new();
        let heads: Vec<_> = log(&cold).iter().map(|logged| logged.head).collect();
        cold.sql(sql);
        let kinds = |report: &KeyReport| {
            let log_alone = |kind: &Kind| {
                !matches!(kind, Kind::NotLogged | Kind::OtherValue | Kind::VersionUsedAgain)
            };
            let kinds = report.findings.iter().map(|finding| finding.kind);
            kinds.filter(log_alone).collect::<Vec<_>>()
        };
        let (alone, with_heads) = (audit_cold(&cold, &[]), audit_cold(&cold, &heads));
        (kinds(&alone), kinds(&with_heads))
    };
    let gap = Kind::Gap;
    assert_eq!(tampered("DELETE FROM key_use WHERE number = 2"), (vec![gap], vec![gap]));
    assert_eq!(tampered("DELETE FROM key_use WHERE number = 1"), (vec![gap], vec![gap]));
    // A byte of a digest, and of the head of a record.
    let broken = vec![Kind::BrokenChain];
    let change = "UPDATE key_use SET record = substr(record, 1, length(record) - 1) || x'00' \
                  WHERE number = 2";
    assert_eq!(tampered(change), (broken.clone(), broken));
    let change = "UPDATE key_use SET record = x'ff' || substr(record, 2) WHERE number = 2";
    let both = vec![Kind::BrokenChain, Kind::Damaged];
    assert_eq!(tampered(change), (both.clone(), both));
    // A hash: the record after it follows from another.
    let change = "UPDATE key_use SET hash = x'00' WHERE number = 2";
    let (alone, with_heads) = tampered(change);
    assert_eq!(alone, [Kind::BrokenChain, Kind::BrokenChain]);
    assert_eq!(with_heads, [Kind::BrokenChain, Kind::OtherHead, Kind::BrokenChain]);
    // Two that change places.
    let swap = "UPDATE key_use SET number = 9 WHERE number = 2; \
                UPDATE key_use SET number = 2 WHERE number = 3; \
                UPDATE key_use SET number = 3 WHERE number = 9";
    let (alone, with_heads) = tampered(swap);
    assert_eq!(alone, [Kind::BrokenChain, Kind::BrokenChain]);
    assert!(with_heads.contains(&Kind::OtherHead), "{with_heads:?}");
    // The tail: only who knows that there was one sees it in the log; the store has what it said.
    let cut = "DELETE FROM key_use WHERE number = 3";
    assert_eq!(tampered(cut), (vec![], vec![Kind::Truncated]));
    let cold = Cold::new();
    cold.sql(cut);
    let report = audit_cold(&cold, &[]);
    assert!(!report.valid);
    assert!(report.findings.iter().all(|it| it.kind == Kind::NotLogged), "{report:#?}");
    // All of it.
    assert_eq!(tampered("DELETE FROM key_use").0, [Kind::Empty]);
    // Written anew, with all hashes right: only who knows a head sees it.
    let cold = Cold::new();
    let heads: Vec<_> = log(&cold).iter().map(|logged| logged.head).collect();
    let records: Vec<_> = log(&cold).into_iter().map(|logged| logged.record).collect();
    let changed = records.into_iter().map(|record| {
        let mut record = KeyUse::decode(&record).unwrap();
        record.serial += 1;
        record.encode()
    });
    let changed: Vec<_> = changed.collect();
    rewrite(&cold, changed);
    assert!(audit_cold(&cold, &[]).valid);
    finds(&audit_cold(&cold, &heads[2..]), Kind::OtherHead, &["record 3 has hash", "and had"]);
}

#[test]
fn two_values_of_one_version_in_the_log_are_named() {
    let signed_twice = |kind| {
        let cold = Cold::new();
        let mut records: Vec<_> = log(&cold).into_iter().map(|logged| logged.record).collect();
        let mut last = KeyUse::decode(records.last().unwrap()).unwrap();
        last.kind = kind;
        last.signed.retain(|value| value.role.as_str() == "snapshot");
        last.signed[0].sha256 = Sha256::of(b"other");
        records.push(last.encode());
        rewrite(&cold, records);
        audit_cold(&cold, &[])
    };
    finds(&signed_twice(UseKind::Batch), Kind::VersionUsedAgain, &["snapshot version 3"]);
    // What is gone on with after a crash may be signed again, such as a timestamp for another signature.
    let report = signed_twice(UseKind::Resumed);
    assert!(report.valid && report.counts.signed_again == 1, "{report:#?}");
}

#[test]
fn what_a_crash_left_unpublished_is_counted() {
    let (index, repository, process) = Index::published(index::Kind::Filesystem);
    send(&repository, "flask-3.0.tar.gz");
    // All is written, and then the process ends.
    index.store.fail(index.store.calls().len(), 1, Fault::All);
    process.publish(start()).unwrap_err();
    prove_logged(&repository);
    drop((repository, process));
    let (repository, process) = index.open().unwrap();
    process.publish_all(start()).unwrap();
    prove_logged(&repository);
    let report = audit(repository.store(), repository.database(), &[]);
    let records = repository.database().key_uses(0).unwrap();
    let unpublished = KeyUse::decode(&records[1].record).unwrap();
    assert_eq!((unpublished.snapshot, records.len()), (2, 3));
    assert_eq!(report.counts.never_published, unpublished.signed.len() as u64);
}

/// An index whose log is as an earlier version leaves it: there is none.
fn without_log(index: &Index, opened: (Arc<Repository>, SnapshotProcess)) {
    drop(opened);
    let connection = Connection::open(index.database_path()).unwrap();
    connection.execute_batch("DELETE FROM key_use").unwrap();
}

#[test]
fn an_index_of_an_earlier_version_begins_its_log_with_what_is_there() {
    for kind in index::Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        send(&repository, "flask-3.0.tar.gz");
        process.publish_all(start()).unwrap();
        // And what a crash left, which is published by nobody.
        send(&repository, "flask-3.1.tar.gz");
        index.store.fail(index.store.calls().len(), 1, Fault::All);
        process.publish(start()).unwrap_err();
        without_log(&index, (repository, process));

        let (repository, process) = index.open().unwrap();
        let report = audit(repository.store(), repository.database(), &[]);
        finds(&report, Kind::Empty, &["the log is empty"]);
        assert!(report.findings[0].hint.contains("begins its log with its next batch"));
        process.publish_all(start()).unwrap();
        prove_logged(&repository);
        let records = repository.database().key_uses(0).unwrap();
        let kinds = records.iter().map(|it| KeyUse::decode(&it.record).unwrap().kind);
        assert_eq!(kinds.collect::<Vec<_>>(), [UseKind::Before, UseKind::Batch]);
        let report = audit(repository.store(), repository.database(), &[]);
        // Every bin twice at least for some, three snapshots and one timestamp.
        assert!(report.counts.before_the_log > 8 + 3 + 1, "{report:#?}");

        // Once begun it goes on.
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        send(&repository, "flask-3.2.tar.gz");
        process.publish_all(start()).unwrap();
        assert_eq!(repository.database().key_use_head().unwrap().unwrap().number, 3);
        prove_logged(&repository);
    }
}

/// A bin that was changed before the log began is not taken for signed.
#[test]
fn a_log_that_begins_does_not_vouch_for_a_bin_that_was_changed() {
    let (index, repository, process) = Index::published(index::Kind::Filesystem);
    send(&repository, "flask-3.0.tar.gz");
    process.publish_all(start()).unwrap();
    without_log(&index, (repository, process));
    // A store that nobody watches.
    let store = FilesystemStore::open(index.path().join("store")).unwrap();
    let repository = Arc::new(Repository::open(Box::new(store), index.database()).unwrap());
    let process = index.process(&repository).unwrap();
    send(&repository, "flask-3.1.tar.gz");
    let changed = [PAGE, HTML, "packages/flask/flask-3.1.tar.gz"]
        .map(|path| repository.bins().bin_of(&TargetPath::new(path).unwrap()));
    let rows = repository.database().bins().unwrap();
    let mut others = rows.iter().filter(|row| !changed.contains(&row.number));
    let mut next = || {
        let row = others.next().unwrap();
        let version = row.published.unwrap().version;
        StoreKey::Metadata { version, role: repository.bins().role(row.number) }
    };
    let (forged, missing) = (next(), next());
    let path = |key: &StoreKey| index.path().join("store").join(key.path());
    let bytes = fs::read(path(&forged)).unwrap();
    let mut targets = Unverified::<Targets>::parse(&bytes).unwrap().claims().clone();
    targets.expires = hours(99);
    fs::write(path(&forged), sign(&targets, &[&TestKey::new("online")]).unwrap()).unwrap();
    // And one that is missing, and comes back.
    let kept = fs::read(path(&missing)).unwrap();
    fs::remove_file(path(&missing)).unwrap();
    process.publish_all(start()).unwrap();
    fs::write(path(&missing), kept).unwrap();
    let report = audit(repository.store(), repository.database(), &[]);
    finds(&report, Kind::OtherValue, &[&forged.path()]);
}

#[test]
fn an_export_is_checked_elsewhere() {
    let cold = Cold::new();
    let database = SqliteDatabase::open_to_read(cold.index.database_path()).unwrap();
    let (mut text, store) = (String::new(), cold.store());
    let mut export = |line: &str| {
        text.push_str(line);
        text.push('\n');
        Ok(())
    };
    let audit = KeysAudit { store: Some(&store), heads: &[], export: Some(&mut export) };
    let report = audit.run(of_database(&database), &mut |_| {}).unwrap();
    assert!(report.valid);
    let read = |text: &str| -> Vec<Entry> {
        lines(text.as_bytes()).collect::<Result<Vec<_>, KeysError>>().unwrap()
    };
    let exported = read(&text);
    let logged: Vec<_> = log(&cold).into_iter().map(Entry::Record).collect();
    assert_eq!(exported, logged);

    let check = |text: &str, store: Option<&dyn Store>| {
        let audit = KeysAudit { store, heads: &[], export: None };
        audit.run(lines(text.as_bytes()), &mut |_| {}).unwrap()
    };
    for store in [None, Some(&store as &dyn Store)] {
        let checked = check(&text, store);
        assert!(checked.valid, "{checked:#?}");
        assert_eq!(checked.head, report.head);
    }
    // One line with another digest.
    let digest = text.split("\"sha256\":\"").nth(1).unwrap()[..64].to_owned();
    let other = text.replacen(&digest, &Sha256::of(b"other").to_string(), 1);
    finds(&check(&other, None), Kind::BrokenChain, &["record 1"]);
    let all: Vec<_> = text.lines().collect();
    let without = format!("{}\n{}\n", all[0], all[2]);
    finds(&check(&without, None), Kind::Gap, &["record 2 is missing"]);
    let reordered = format!("{}\n{}\n{}\n", all[0], all[2], all[1]);
    let kinds: Vec<_> = check(&reordered, None).findings.iter().map(|it| it.kind).collect();
    assert_eq!(kinds[..1], [Kind::Gap]);
    assert!(kinds.contains(&Kind::Order), "{kinds:?}");
    let cut = &text[..text.len() - 10];
    finds(&check(cut, None), Kind::Damaged, &["line 3", "cut off"]);
    let garbage = format!("{}\nx\n{}\n{}\n", all[0], all[1], all[2]);
    finds(&check(&garbage, None), Kind::Damaged, &["line 2"]);
}

/// What the store is read with is what the disk gives.
#[test]
fn nothing_is_reported_of_a_new_index() {
    let index = Index::new(index::Kind::Memory);
    let (repository, process) = index.create().unwrap();
    let report = audit(repository.store(), repository.database(), &[]);
    assert!(report.valid && report.head.is_none() && report.counts.files == 0, "{report:#?}");
    process.publish_all(start()).unwrap();
    assert!(repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().is_some());
    prove_logged(&repository);
}
