//! No bin is written that clients do not read.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use rusqlite::Connection;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{AppendedTargets, Expected, TargetsAppend};
use waxseal_repository::import::{ImportError, ImportOptions};
use waxseal_repository::target_changes::InvalidChanges;
use waxseal_repository::{AcceptedTargets, Error, Repository, SnapshotProcess, TargetChanges};
use waxseal_testkit::faulty_store::contents;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{Targets, Unverified, sign};
use waxseal_tuf::{Limits, RoleName};

use super::audit::audit_all;
use super::index::{Index, Kind, hours, send, start, upload};
use super::targets::changes;

/// A target about as long as it may be: 8,500 are more than two bins take.
fn target(number: usize) -> String {
    let (sha256, custom) = (Sha256::of(b"x"), "x".repeat(4_000));
    format!(
        r#"{{"path":"a/{number}","length":1,"hashes":{{"sha256":"{sha256}"}},"custom":{{"c":"{custom}"}}}}"#
    )
}

#[test]
fn nothing_is_written_of_a_batch_with_a_bin_that_clients_do_not_read() {
    let (index, repository, process) = two_bins();
    let before = contents(repository.store());

    let lines: String = (0..8_500).map(|number| target(number) + "\n").collect();
    let file = index.path().join("targets.jsonl");
    fs::write(&file, &lines).unwrap();
    let options = ImportOptions::new(index.path().join("scratch"));
    let error = process.import(&file, &options, start(), &|_| {}).unwrap_err();
    assert!(
        matches!(error, ImportError::Repository(Error::BinTooLong { bins: 64, .. })),
        "{error}"
    );
    assert!(contents(repository.store()) == before);

    let error = accept(&repository, adding(0..8_500)).unwrap_err();
    assert!(matches!(error, Error::BinFull { bins: 64, .. }), "{error}");
    assert_eq!(repository.database().last_serial().unwrap(), 0);

    // As if an earlier program had taken it: nothing can be published of it.
    take_without_looking(&repository, 0..8_500);
    let error = process.publish(start()).unwrap_err();
    assert!(matches!(error, Error::BinTooLong { bins: 64, .. }), "{error}");
    assert!(contents(repository.store()) == before);
    // No versions are used up, and nothing is to be gone on with.
    assert_eq!(repository.database().batch().unwrap(), None);
}

#[test]
fn what_waits_takes_room_and_what_is_published_too() {
    let (index, repository, process) = two_bins();
    let serial = |accepted| match accepted {
        Ok(AcceptedTargets::New { serial }) => serial,
        other => panic!("{other:?}"),
    };
    let full = |accepted| match accepted {
        Err(Error::BinFull { length, limit, .. }) => {
            assert!((limit..limit + (6 << 20)).contains(&length), "{length} of {limit}");
        }
        other => panic!("{other:?}"),
    };
    // Six megabytes in each bin, and as many.
    assert_eq!(serial(accept(&repository, adding(0..2_800))), 1);
    assert_eq!(serial(accept(&repository, adding(2_800..5_600))), 2);
    full(accept(&repository, adding(5_600..8_400)));
    process.publish_all(start()).unwrap();
    assert_eq!(repository.database().published_serial().unwrap(), 2);
    full(accept(&repository, adding(5_600..8_400)));
    // What is in no full bin goes on.
    assert_eq!(serial(accept(&repository, adding(5_600..5_601))), 3);
    process.publish_all(start()).unwrap();

    // Room that is made is there once that is published.
    assert_eq!(serial(accept(&repository, removing(0..2_800))), 4);
    full(accept(&repository, adding(5_600..8_400)));
    process.publish_all(start()).unwrap();
    assert_eq!(serial(accept(&repository, adding(5_600..8_400))), 5);
    process.publish_all(start()).unwrap();
    for bin in repository.database().bins().unwrap() {
        let length = bin.published.unwrap().length;
        assert!((8 << 20..=Limits::TARGETS).contains(&length), "{length}");
    }
    assert_eq!(waiting_growth(&index), 0);
}

#[test]
fn an_upload_into_a_full_bin_is_refused_and_the_next_one_is_published() {
    let (index, repository, process) = two_bins();
    let database = Connection::open(index.database_path()).unwrap();
    let length = |bytes: i64| {
        let changed = database.execute("UPDATE bin SET length = $1", [bytes]).unwrap();
        assert_eq!(changed, 2);
    };
    length((16 << 20) - (64 << 10) - 100);
    let error = upload(&repository, "flask-3.0.tar.gz", b"x").unwrap_err();
    assert!(matches!(error, Error::BinFull { .. }), "{error}");
    for said in ["bin-", "16711680", "nothing was recorded", "32 bins"] {
        assert!(error.to_string().contains(said), "{error}");
    }
    assert_eq!(repository.database().last_serial().unwrap(), 0);
    assert!(!repository.database().is_hosted("flask").unwrap());
    length(1_000);
    send(&repository, "flask-3.0.tar.gz");
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn an_entry_that_fits_in_no_bin_holds_up_neither_what_came_before_nor_freshness() {
    let (_index, repository, process) = two_bins();
    for numbers in [0..2_800, 2_800..5_600] {
        accept(&repository, adding(numbers)).unwrap();
    }
    process.publish_all(start()).unwrap();
    let before = send(&repository, "flask-3.0.tar.gz");
    take_without_looking(&repository, 5_600..8_400);
    let last = send(&repository, "click-8.0.tar.gz");

    // What came before it.
    assert_eq!(process.publish(start()).unwrap().unwrap().serial, before);
    let stuck = |now| {
        let error = process.publish(now).unwrap_err();
        assert!(matches!(error, Error::BinTooLong { .. }), "{error}");
        let snapshot = repository
            .database()
            .role(&RoleName::from_static(RoleName::SNAPSHOT))
            .unwrap()
            .unwrap();
        (repository.database().published_serial().unwrap(), snapshot.expires)
    };
    let (serial, expires) = stuck(start());
    assert_eq!((serial, last), (before, before + 2));
    assert_eq!(stuck(start()), (serial, expires));
    // What is published is signed again.
    assert_eq!(stuck(hours(20)), (serial, hours(20 + 24)));

    // Somebody takes targets out: published together with what waits, it fits.
    accept(&repository, removing(0..2_800)).unwrap();
    process.publish_all(hours(20)).unwrap();
    assert_eq!(repository.database().published_serial().unwrap(), last + 1);
    assert_eq!(repository.database().batch().unwrap(), None);
}

/// The most values that a target of some 4 KB may have, in as many targets as a bin takes.
#[test]
fn no_bin_has_more_values_than_clients_read() {
    let sha256 = Sha256::of(b"x");
    let line = |number: usize, ones: usize| {
        let (custom, text) = (vec!["1"; ones].join(","), "x".repeat(3_900 - 2 * ones));
        format!(
            r#"{{"path":"a/{number:04}","length":1,"hashes":{{"sha256":"{sha256}"}},"custom":{{"c":[{custom}],"t":"{text}"}}}}"#
        )
    };
    let parse = |line: String| TargetChanges::parse(format!(r#"{{"add":[{line}]}}"#).as_bytes());
    let most = (0..1_900).rev().find(|ones| parse(line(0, *ones)).is_ok()).unwrap();
    let Err(InvalidChanges::Mistakes(mistakes)) = parse(line(0, most + 1)) else { panic!() };
    assert_eq!(mistakes[0].pointer, "/add/0");
    assert!(mistakes[0].problem.contains("JSON values in"), "{mistakes:?}");
    // And the file of an import.
    let (index, _repository, process) = two_bins();
    let file = index.path().join("targets.jsonl");
    let options = ImportOptions::new(index.path().join("scratch"));
    fs::write(&file, line(0, most + 1)).unwrap();
    let error = process.import(&file, &options, start(), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("line 1: has"), "{error}");

    let mut targets = BTreeMap::new();
    let mut length = 1_000;
    for number in 0.. {
        let add = parse(line(number, most)).unwrap().into_entry(String::new()).add.remove(0);
        length += add.path.as_str().len() + 4 + add.file.to_canonical().len();
        if length as u64 > Limits::TARGETS {
            break;
        }
        targets.insert(add.path.to_string(), add.file);
    }
    let name = Some(RoleName::new("bin-0").unwrap());
    let bin = Targets { version: 1, expires: start(), name, targets, delegations: None };
    let bytes = sign(&bin, &[&index.online]).unwrap();
    assert!((15 << 20..=Limits::TARGETS).contains(&(bytes.len() as u64)), "{}", bytes.len());
    assert_eq!(Unverified::<Targets>::parse(&bytes).unwrap().claims(), &bin);
    // It is near the limit.
    let fewer = Limits { json_values: Limits::JSON_VALUES * 9 / 10, ..Limits::default() };
    assert!(Value::parse_within(&bytes, &fewer).is_err());
}

fn two_bins() -> (Index, Arc<Repository>, SnapshotProcess) {
    let index = Index::with_bins(Kind::Memory, Bins::new(2, BinStyle::Succinct).unwrap());
    index.store.files_are_elsewhere();
    let (repository, process) = index.create().unwrap();
    process.publish_all(start()).unwrap();
    (index, repository, process)
}

fn adding(numbers: Range<usize>) -> TargetChanges {
    let lines: Vec<_> = numbers.map(target).collect();
    changes(&format!(r#"{{"add":[{}]}}"#, lines.join(",")))
}

fn removing(numbers: Range<usize>) -> TargetChanges {
    let paths: Vec<_> = numbers.map(|number| format!("\"a/{number}\"")).collect();
    changes(&format!(r#"{{"remove":[{}]}}"#, paths.join(",")))
}

fn accept(repository: &Repository, changes: TargetChanges) -> Result<AcceptedTargets, Error> {
    repository.accept_targets(changes, "laptop".to_owned(), None)
}

/// Has targets taken as an earlier program did: nobody looks whether there is room in bins that there
/// are not.
fn take_without_looking(repository: &Repository, numbers: Range<usize>) {
    let entry = adding(numbers).into_entry("laptop".to_owned());
    let expected = vec![Expected::Anything; entry.add.len()];
    let bins = Bins::new(1 << 18, BinStyle::Succinct).unwrap();
    let append = TargetsAppend { entry: &entry, expected: &expected, bins, read_at: 0, key: None };
    let answers = repository.database().append_targets(&[append]).unwrap();
    assert!(matches!(answers[..], [AppendedTargets::New(_)]), "{answers:?}");
}

fn waiting_growth(index: &Index) -> i64 {
    let database = Connection::open(index.database_path()).unwrap();
    let sql = "SELECT COUNT(*) FROM bin_growth";
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}
