//! Targets of other indexes: one request is one entry, and no path changes its content by accident.

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use waxseal_repository::database::{
    AppendedTargets, Conflict, ConflictReason, Entry, Expected, IdempotencyKey, TargetsAppend,
    TargetsEntry,
};
use waxseal_repository::store::{Link, Object, Store, StoreKey};
use waxseal_repository::{Accepted, AcceptedTargets, Error, Repository, TargetChanges};
use waxseal_testkit::faulty_store::ReadBy;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::audit::audit_all;
use super::index::{Index, Kind, start, upload};

const WHEEL: &str = "files/flask-3.0-py3-none-any.whl";

const LISTS: [&str; 2] = ["simple/vnd.pypi.simple.v1.json", "simple/vnd.pypi.simple.v1.html"];

/// A target with content that follows from `content`.
pub(crate) fn target(path: &str, content: &str) -> String {
    let sha256 = Sha256::of(content.as_bytes());
    format!(r#"{{"path":"{path}","length":{},"hashes":{{"sha256":"{sha256}"}}}}"#, content.len())
}

pub(crate) fn changes(body: &str) -> TargetChanges {
    TargetChanges::parse(body.as_bytes()).unwrap()
}

fn adding(path: &str, content: &str) -> TargetChanges {
    changes(&format!(r#"{{"add":[{}]}}"#, target(path, content)))
}

fn removing(path: &str) -> TargetChanges {
    changes(&format!(r#"{{"remove":["{path}"]}}"#))
}

fn send(repository: &Repository, changes: TargetChanges) -> AcceptedTargets {
    repository.accept_targets(changes, "warehouse".to_owned(), None).unwrap()
}

/// The bytes of a target, where the audit of this index's own folders looks for them.
fn store(repository: &Repository, path: &str, content: &str) {
    let path = TargetPath::new(path).unwrap();
    let digest = Sha256::of(content.as_bytes());
    let from = StoreKey::Target { path: path.clone(), digest: digest.into() };
    repository.store().create(&[Object { key: &from, bytes: content.as_bytes() }]).unwrap();
    if path.as_str().starts_with("packages/") {
        let to = StoreKey::File(path);
        repository.store().link(&[Link { from, to }]).unwrap();
    }
}

fn new(serial: u64) -> AcceptedTargets {
    AcceptedTargets::New { serial }
}

#[track_caller]
fn conflicts(accepted: AcceptedTargets) -> Vec<Conflict> {
    match accepted {
        AcceptedTargets::Refused { conflicts } => conflicts,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn other_content(accepted: AcceptedTargets, have: &str, got: &str, waiting: Option<u64>) {
    let conflict = conflicts(accepted).remove(0);
    let sha256 = |content: &str| Sha256::of(content.as_bytes()).to_string();
    match conflict.reason {
        ConflictReason::OtherContent { have: there, got: sent, serial } => {
            assert_eq!((there.sha256, sent.sha256), (sha256(have), sha256(got)));
            assert_eq!(serial, waiting);
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn key(token: &str, key: &str, changes: &TargetChanges) -> IdempotencyKey {
    IdempotencyKey { token: token.to_owned(), key: key.to_owned(), body: changes.digest() }
}

#[test]
fn a_request_is_one_entry_and_is_published() {
    for kind in Kind::EACH {
        let (_index, repository, process) = Index::published(kind);
        let file = r#"{"path":"a/b","length":3,"hashes":{"sha256":"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824","md5":"00"},"custom":{"by":["é"]}}"#;
        let both = format!(r#"{{"add":[{file},{}],"remove":["c"]}}"#, target("c/d", "x"));
        assert_eq!(send(&repository, changes(&both)), new(1));
        let entry = repository.database().waiting(0, 10).unwrap().remove(0).entry;
        let Entry::Targets(TargetsEntry { add, remove, by }) = entry else { panic!("{entry:?}") };
        let canonical = String::from_utf8(add[0].file.to_canonical()).unwrap();
        assert!(
            canonical.starts_with(r#"{"custom":{"by":["é"]},"hashes":{"md5":"00","#),
            "{canonical}"
        );
        assert_eq!((add.len(), remove[0].as_str(), by.as_str()), (2, "c", "warehouse"));
        process.publish_all(start()).unwrap();
        assert!(repository.target(&TargetPath::new("c/d").unwrap()).unwrap().is_some());
        audit_all(&repository, start());

        assert_eq!(send(&repository, removing("a/b")), new(2));
        process.publish_all(start()).unwrap();
        assert!(repository.target(&TargetPath::new("a/b").unwrap()).unwrap().is_none());
        audit_all(&repository, start());
    }
}

#[test]
fn another_content_is_refused_whether_it_waits_or_is_published() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    assert_eq!(send(&repository, adding(WHEEL, "a")), new(1));
    other_content(send(&repository, adding(WHEEL, "b")), "a", "b", Some(1));
    process.publish_all(start()).unwrap();
    other_content(send(&repository, adding(WHEEL, "b")), "a", "b", Some(1));
    let longer =
        format!(r#"{{"add":[{}]}}"#, target(WHEEL, "a").replace("\"length\":1", "\"length\":2"));
    other_content(send(&repository, changes(&longer)), "a", "a", Some(1));
    assert_eq!(repository.database().last_serial().unwrap(), 1);

    assert_eq!(send(&repository, adding(WHEEL, "a")), new(2));
    let replacing = format!(r#"{{"add":[{}],"replace":true}}"#, target(WHEEL, "b"));
    assert_eq!(send(&repository, changes(&replacing)), new(3));
    other_content(send(&repository, adding(WHEEL, "a")), "b", "a", Some(3));
    process.publish_all(start()).unwrap();
    assert_eq!(send(&repository, removing(WHEEL)), new(4));
    assert_eq!(send(&repository, adding(WHEEL, "c")), new(5));
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn replace_may_be_said_for_one_target_alone() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    let both = |a: &str, b: &str, replace: &str| {
        let b = target("b", b).replace('}', replace).replacen(replace, "}", 1);
        changes(&format!(r#"{{"add":[{},{b}],"replace":true}}"#, target("a", a)))
    };
    assert_eq!(send(&repository, both("1", "1", "}")), new(1));
    let refused = conflicts(send(&repository, both("2", "2", r#","replace":false}"#)));
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].pointer.as_str(), refused[0].path.as_str()), ("/add/1", "b"));
    assert_eq!(send(&repository, both("2", "2", "}")), new(2));
}

#[test]
fn what_is_there_already_is_not_written_again() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, adding(WHEEL, "a"));
    process.publish_all(start()).unwrap();
    forget(&index, &process);
    assert_eq!(send(&repository, adding(WHEEL, "a")), new(2));
    let entry = repository.database().waiting(1, 1).unwrap().remove(0).entry;
    assert!(matches!(entry, Entry::Targets(TargetsEntry { add, .. }) if add.is_empty()));
}

#[test]
fn of_two_contents_at_once_exactly_one_wins() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let barrier = Barrier::new(8);
    let accepted: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (barrier, repository) = (&barrier, &repository);
                scope.spawn(move || {
                    barrier.wait();
                    send(repository, adding(WHEEL, &number.to_string()))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(accepted.iter().filter(|accepted| **accepted == new(1)).count(), 1);
    assert_eq!(repository.database().last_serial().unwrap(), 1);
    for refused in accepted.into_iter().filter(|accepted| *accepted != new(1)) {
        assert_eq!(conflicts(refused).len(), 1);
    }
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn of_two_contents_exactly_one_wins_while_snapshots_are_published() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let paths: Vec<_> = (0..40).map(|number| format!("p/{number}")).collect();
    thread::scope(|scope| {
        let senders: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|content| {
                let (paths, repository) = (&paths, &repository);
                scope.spawn(move || {
                    let accepted = |path: &String| match send(repository, adding(path, content)) {
                        AcceptedTargets::New { .. } => true,
                        AcceptedTargets::Refused { .. } => false,
                        other => panic!("{other:?}"),
                    };
                    paths.iter().map(accepted).collect::<Vec<_>>()
                })
            })
            .collect();
        while !senders.iter().all(thread::ScopedJoinHandle::is_finished) {
            process.publish_all(start()).unwrap();
        }
        let [a, b] = <[_; 2]>::try_from(senders).unwrap().map(|sender| sender.join().unwrap());
        assert!(a.iter().zip(&b).all(|(a, b)| a != b), "{a:?} {b:?}");
    });
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn a_key_makes_one_entry_of_a_request_that_is_sent_again() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    let (first, other) = (adding("a", "1"), adding("b", "1"));
    let send = |repository: &Repository, changes: &TargetChanges, key: &IdempotencyKey| {
        repository
            .accept_targets(changes.clone(), "warehouse".to_owned(), Some(key.clone()))
            .unwrap()
    };
    let (mine, theirs) = (key("mine", "k", &first), key("theirs", "k", &first));
    assert_eq!(send(&repository, &first, &mine), new(1));
    assert_eq!(send(&repository, &first, &mine), AcceptedTargets::Repeated { serial: 1 });
    assert_eq!(send(&repository, &other, &key("mine", "k", &other)), AcceptedTargets::KeyUsed);
    assert_eq!(send(&repository, &first, &theirs), new(2));
    assert_eq!(send(&repository, &first, &key("mine", "K", &first)), new(3));

    // As after a crash before the answer: what was accepted then is known to the next process, and
    // stays accepted when the path has changed since.
    process.publish_all(start()).unwrap();
    assert_eq!(super::targets::send(&repository, removing("a")), new(4));
    drop((process, repository));
    let (repository, _process) = index.open().unwrap();
    assert_eq!(send(&repository, &first, &mine), AcceptedTargets::Repeated { serial: 1 });
    assert_eq!(repository.database().last_serial().unwrap(), 4);
}

#[test]
fn one_key_at_once_makes_one_entry() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    let barrier = Arc::new(Barrier::new(8));
    let changes = adding("a", "1");
    let key = key("mine", "k", &changes);
    let accepted: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    repository
                        .accept_targets(changes.clone(), String::new(), Some(key.clone()))
                        .unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(accepted.iter().filter(|accepted| **accepted == new(1)).count(), 1);
    let repeated = AcceptedTargets::Repeated { serial: 1 };
    assert_eq!(accepted.iter().filter(|accepted| **accepted == repeated).count(), 7);
}

#[test]
fn old_keys_are_dropped_and_those_of_a_day_are_kept() {
    let (index, repository, _process) = Index::published(Kind::Memory);
    let changes = adding("a", "1");
    let send = |name: &str| {
        let key = key("mine", name, &changes);
        repository.accept_targets(changes.clone(), String::new(), Some(key.clone())).unwrap()
    };
    send("old");
    send("a day");
    let hours = |hours: u64, name: &str| {
        let sql = "UPDATE idempotency_key SET created_at = created_at - $1 WHERE key = $2";
        let connection = rusqlite::Connection::open(index.database_path()).unwrap();
        let microseconds = i64::try_from(hours * 3_600_000_000).unwrap();
        assert_eq!(connection.execute(sql, (microseconds, name)).unwrap(), 1);
    };
    hours(49, "old");
    hours(25, "a day");
    assert_eq!(send("new"), new(3));
    assert_eq!(send("old"), new(4));
    assert_eq!(send("a day"), AcceptedTargets::Repeated { serial: 2 });
}

#[test]
fn what_is_published_between_reading_and_appending_is_seen() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let (database, bins) = (repository.database(), repository.bins());
    let read_at = database.published_serial().unwrap();
    let expected = [Expected::Same(None)];
    send(&repository, adding(WHEEL, "a"));
    process.publish_all(start()).unwrap();

    let entry = adding(WHEEL, "b").into_entry("late".to_owned());
    let append = TargetsAppend { entry: &entry, expected: &expected, bins, read_at, key: None };
    let refused = database.append_targets(&[append]).unwrap();
    assert!(matches!(refused[..], [AppendedTargets::Refused(_)]), "{refused:?}");
    forget(&index, &process);
    let append = TargetsAppend { entry: &entry, expected: &expected, bins, read_at, key: None };
    assert_eq!(database.append_targets(&[append]).unwrap(), [AppendedTargets::Stale]);
    other_content(send(&repository, adding(WHEEL, "b")), "a", "b", None);
}

#[test]
fn what_waits_is_not_forgotten() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, adding("a", "1"));
    process.publish_all(start()).unwrap();
    send(&repository, adding("b", "1"));
    forget(&index, &process);
    send(&repository, adding("c", "1"));
    other_content(send(&repository, adding("a", "2")), "1", "2", None);
    other_content(send(&repository, adding("b", "2")), "1", "2", Some(2));
    other_content(send(&repository, adding("c", "2")), "1", "2", Some(3));
}

/// Lets a minute pass since everything was published, and publishes something more.
fn forget(index: &Index, process: &waxseal_repository::SnapshotProcess) {
    let connection = rusqlite::Connection::open(index.database_path()).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let before = number("SELECT value FROM state WHERE name = 'published_serial'");
    connection.execute("UPDATE snapshot SET published_at = published_at - 61000000", []).unwrap();
    // Half a day later each time, so that the bins are due and there is something to publish.
    let newest = number("SELECT MAX(version) FROM snapshot");
    process.publish(super::index::hours(12 * newest)).unwrap().unwrap();
    assert_eq!(number("SELECT value FROM state WHERE name = 'forgotten_serial'"), before);
    let waiting = number("SELECT COALESCE(MIN(serial), 99) FROM pending_target");
    assert!(waiting > before, "{waiting} {before}");
}

#[test]
fn paths_of_uploads_are_not_for_the_api() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let refused = |changes: TargetChanges| {
        conflicts(send(&repository, changes)).into_iter().map(|conflict| conflict.reason)
    };
    upload(&repository, "Flask-3.0-py3-none-any.whl", b"a").unwrap();
    for list in LISTS {
        assert_eq!(refused(adding(list, "x")).next(), Some(ConflictReason::ProjectList));
        assert_eq!(refused(removing(list)).next(), Some(ConflictReason::ProjectList));
    }
    let hosted = || Some(ConflictReason::Hosted { project: "flask".to_owned() });
    for _ in ["waiting", "published"] {
        for path in ["simple/flask/vnd.pypi.simple.v1.json", "packages/flask/x", "simple/flask/a/b"]
        {
            assert_eq!(refused(adding(path, "x")).next(), hosted());
            assert_eq!(refused(removing(path)).next(), hosted());
            let replacing = format!(r#"{{"add":[{}],"replace":true}}"#, target(path, "x"));
            assert_eq!(refused(changes(&replacing)).next(), hosted());
        }
        process.publish_all(start()).unwrap();
    }
    for (serial, path) in
        (2..).zip(["simple/flask", "packages/Flask/x", "flask/x/y", "simple/flask-b/x"])
    {
        store(&repository, path, "x");
        assert_eq!(send(&repository, adding(path, "x")), new(serial), "{path}");
    }
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn another_index_has_lists_of_its_own_while_nothing_is_uploaded() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    for list in LISTS {
        store(&repository, list, "first");
        store(&repository, list, "second");
    }
    // In the very first snapshot, and in place of the empty list that it otherwise has.
    assert_eq!(send(&repository, adding(LISTS[0], "first")), new(1));
    process.publish_all(start()).unwrap();
    assert_eq!(send(&repository, adding(LISTS[1], "first")), new(2));
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
    other_content(send(&repository, adding(LISTS[0], "second")), "first", "second", Some(1));

    let (index, repository, process) = Index::published(Kind::Memory);
    for (serial, list) in (1..).zip(LISTS) {
        store(&repository, list, "first");
        assert_eq!(send(&repository, adding(list, "first")), new(serial));
        let refused = upload(&repository, "flask-3.0.tar.gz", b"x").unwrap();
        assert_eq!(refused, Accepted::Foreign { path: LISTS[0].to_owned() });
        process.publish_all(start()).unwrap();
        forget(&index, &process);
        let refused = upload(&repository, "flask-3.0.tar.gz", b"x").unwrap();
        assert_eq!(refused, Accepted::Foreign { path: LISTS[0].to_owned() });
    }
    audit_all(&repository, super::index::hours(24));
    // When they are gone, the index makes its own again, and takes uploads.
    for list in LISTS {
        send(&repository, removing(list));
    }
    process.publish_all(start()).unwrap();
    forget(&index, &process);
    forget(&index, &process);
    assert_eq!(upload(&repository, "flask-3.0.tar.gz", b"x").unwrap(), Accepted::New { serial: 5 });
}

#[test]
fn paths_of_the_api_are_not_for_uploads() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let page = "simple/flask/vnd.pypi.simple.v1.json";
    for path in [page, "packages/click/click-7.tar.gz"] {
        store(&repository, path, "x");
        send(&repository, adding(path, "x"));
    }
    for (path, filename) in
        [(page, "flask-3.0.tar.gz"), ("packages/click/click-7.tar.gz", "click-8.0.tar.gz")]
    {
        let refused = upload(&repository, filename, b"x").unwrap();
        assert_eq!(refused, Accepted::Foreign { path: path.to_owned() });
    }
    process.publish_all(start()).unwrap();
    forget(&index, &process);
    let refused = upload(&repository, "flask-3.0.tar.gz", b"x").unwrap();
    assert_eq!(refused, Accepted::Foreign { path: page.to_owned() });
    // A file alone too, for as long as it is there: or nobody could take it out any more.
    let file = "packages/click/click-7.tar.gz";
    let refused = upload(&repository, "click-8.0.tar.gz", b"x").unwrap();
    assert_eq!(refused, Accepted::Foreign { path: file.to_owned() });
    send(&repository, removing(file));
    assert_eq!(upload(&repository, "click-8.0.tar.gz", b"x").unwrap(), Accepted::New { serial: 4 });

    send(&repository, removing(page));
    process.publish_all(start()).unwrap();
    forget(&index, &process);
    assert_eq!(upload(&repository, "flask-3.0.tar.gz", b"x").unwrap(), Accepted::New { serial: 6 });
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn a_bin_takes_whatever_may_stand_in_a_target() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let paths = ["z/\\\"", "z/},\\\"version\\\":1", "z/é/\u{10ffff}", "z/ ", "z/%2F", "~", "!"];
    for (serial, path) in (1..).zip(paths) {
        let custom = r#","custom":{"}":"{\"},\"version\":7","x-waxseal-role":[[],{},"\\"]}}"#;
        let target = target(path, "x").strip_suffix('}').unwrap().to_owned() + custom;
        assert_eq!(send(&repository, changes(&format!(r#"{{"add":[{target}]}}"#))), new(serial));
        process.publish_all(start()).unwrap();
    }
    audit_all(&repository, start());
    for (serial, path) in (1..).zip(paths) {
        other_content(send(&repository, adding(path, "y")), "x", "y", Some(serial));
    }
    forget(&index, &process);
    for path in paths {
        other_content(send(&repository, adding(path, "y")), "x", "y", None);
    }
    let all: Vec<_> = paths.iter().map(|path| format!("\"{path}\"")).collect();
    send(&repository, changes(&format!(r#"{{"remove":[{}]}}"#, all.join(","))));
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn a_batch_takes_so_much_of_the_journal_as_memory_may_hold() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let folder = "x".repeat(4000);
    for entry in 0..6 {
        let paths: Vec<_> =
            (0..1000).map(|number| format!("\"{folder}/{entry}/{number}\"")).collect();
        send(&repository, changes(&format!(r#"{{"remove":[{}]}}"#, paths.join(","))));
    }
    let database = repository.database();
    let taken = |after| database.waiting(after, 100).unwrap().len();
    assert_eq!((taken(0), taken(4), taken(5), taken(6)), (5, 2, 1, 0));
    process.publish_all(start()).unwrap();
    assert_eq!(database.published_serial().unwrap(), 6);
}

#[test]
fn a_refusal_names_a_hundred_paths_at_most() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    let all = |content: &str| {
        let targets: Vec<_> =
            (0..150).map(|number| target(&format!("p/{number}"), content)).collect();
        changes(&format!(r#"{{"add":[{}]}}"#, targets.join(",")))
    };
    assert_eq!(send(&repository, all("a")), new(1));
    let refused = conflicts(send(&repository, all("b")));
    assert_eq!((refused.len(), refused[99].pointer.as_str()), (100, "/add/99"));
}

#[test]
fn a_serial_is_in_a_snapshot_once_it_is_published() -> Result<(), Error> {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let database = repository.database();
    assert_eq!(database.snapshot_of_serial(0)?, Some(1));
    send(&repository, adding("a", "1"));
    send(&repository, adding("b", "1"));
    assert_eq!(database.snapshot_of_serial(1)?, None);
    process.publish_all(start())?;
    send(&repository, adding("c", "1"));
    process.publish_all(start())?;
    let snapshots =
        [1, 2, 3, 4, u64::MAX].map(|serial| database.snapshot_of_serial(serial).unwrap());
    assert_eq!(snapshots, [Some(2), Some(2), Some(3), None, None]);
    Ok(())
}

#[test]
fn many_at_once_each_get_the_answer_to_their_own_request() {
    const CLIENTS: usize = 16;
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    let barrier = Barrier::new(CLIENTS);
    let answers: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (barrier, repository) = (&barrier, &repository);
                scope.spawn(move || {
                    barrier.wait();
                    let own = (0..20).map(|number| {
                        // Every fourth is for a path that another client wants too.
                        let path = match number % 4 {
                            0 => format!("shared/{number}"),
                            _ => format!("own/{client}/{number}"),
                        };
                        (number % 4 == 0, send(repository, adding(&path, &client.to_string())))
                    });
                    own.collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut serials = Vec::new();
    for (shared, answer) in answers {
        match answer {
            AcceptedTargets::New { serial } => serials.push(serial),
            AcceptedTargets::Refused { .. } if shared => {}
            other => panic!("{other:?}"),
        }
    }
    serials.sort_unstable();
    let count = CLIENTS as u64 * 15 + 5;
    assert_eq!(serials, (1..=count).collect::<Vec<_>>());
    assert_eq!(repository.database().last_serial().unwrap(), count);
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn a_bin_that_was_read_to_accept_a_change_is_not_read_again_to_publish_it() {
    let (index, repository, process) = Index::published(Kind::Memory);
    index.store.files_are_elsewhere();
    let read = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&read);
    let note = move |store: &dyn Store, key: &StoreKey, limit: u64| {
        if key.path().contains(".bin-") {
            noted.lock().unwrap().push(key.path());
        }
        store.read(key, limit)
    };
    let store = index.store.unwatched();
    index.store.reopened(Arc::new(ReadBy { store, read: Box::new(note) }));
    for serial in 1..=3 {
        assert_eq!(send(&repository, adding(&format!("a/{serial}"), "x")), new(serial));
        let accepting = std::mem::take(&mut *read.lock().unwrap());
        assert_eq!(accepting.len(), 1, "{accepting:?}");
        process.publish(start()).unwrap().unwrap();
        assert_eq!(*read.lock().unwrap(), [""; 0]);
    }
    // What is published since is read, not what was.
    let path = TargetPath::new("a/3").unwrap();
    assert!(repository.target(&path).unwrap().is_some());
    assert_eq!(read.lock().unwrap().len(), 1);
}

/// Of those files all bytes are on record, not the signed value alone.
#[test]
fn bins_that_an_earlier_version_published_are_changed_and_audited() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    assert_eq!(send(&repository, adding("a/1", "x")), new(1));
    process.publish_all(start()).unwrap();
    let database = rusqlite::Connection::open(index.path().join("waxseal.sqlite")).unwrap();
    for row in repository.database().bins().unwrap() {
        let version = row.published.unwrap().version;
        let key = StoreKey::Metadata { version, role: repository.bins().role(row.number) };
        let digest = Sha256::of(&repository.store().read(&key, 1 << 20).unwrap().unwrap());
        let sql = "UPDATE bin SET signed_sha256 = $1 WHERE number = $2";
        assert_eq!(database.execute(sql, (digest.0, row.number)).unwrap(), 1);
    }
    audit_all(&repository, start());
    for (serial, path) in [(2, "a/2"), (3, "a/3"), (4, "a/4")] {
        assert_eq!(send(&repository, adding(path, "x")), new(serial));
        process.publish_all(start()).unwrap();
    }
    assert!(repository.target(&TargetPath::new("a/1").unwrap()).unwrap().is_some());
    audit_all(&repository, start());
}
