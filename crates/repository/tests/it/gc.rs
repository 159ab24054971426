//! Garbage goes, and nothing that anyone may still want.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::store::{Object, Store, StoreKey};
use waxseal_repository::{
    AcceptedTargets, Collected, Error, GcOptions, GcProgress, Repository, StoreError, TargetChanges,
};
use waxseal_tuf::hash::Sha256;

use super::audit::{Client, audit_all, read_everything};
use super::index::{Index, Kind, hours, send, start, upload};
use waxseal_testkit::faulty_store::{Fault, ReadBy, contents};

/// The store's own clock goes on as it does; this is how the collector sees it.
fn later(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

fn collect(repository: &Repository, now: Timestamp) -> Collected {
    repository.collect_garbage(&GcOptions::default(), now, &|_| {}).unwrap()
}

fn paths(repository: &Repository) -> Vec<String> {
    contents(repository.store()).into_keys().collect()
}

#[test]
fn what_is_superseded_goes_after_the_grace_time() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        for n in 1..=6 {
            send(&repository, &format!("flask-{n}.tar.gz"));
            process.publish(start()).unwrap();
        }
        let before = contents(repository.store());
        assert_eq!(collect(&repository, Timestamp::now()).removed, 0, "within the grace time");
        let dry = GcOptions { dry_run: true, ..GcOptions::default() };
        let counted = repository.collect_garbage(&dry, later(2), &|_| {}).unwrap();
        assert_eq!(contents(repository.store()), before);

        let collected = collect(&repository, later(2));
        assert_eq!(collected, counted);
        assert_eq!((collected.snapshots, collected.foreign), (3, 0));
        let after = paths(&repository);
        assert_eq!(usize::try_from(collected.removed).unwrap(), before.len() - after.len());
        for (snapshot, kept) in [(1, false), (4, false), (5, true), (6, true), (7, true)] {
            let name = format!("tuf/metadata/{snapshot}.snapshot.json");
            assert_eq!(after.contains(&name), kept, "{name}");
        }
        for name in ["1.root.json", "1.targets.json", "1.bins.json"] {
            assert!(after.contains(&format!("tuf/metadata/{name}")), "{name}");
        }
        // The page of each serial; three of them are in use.
        let pages = |names: &[String]| {
            let of_flask =
                names.iter().filter(|name| name.starts_with("tuf/targets/simple/flask/"));
            of_flask.count()
        };
        let all: Vec<_> = before.keys().cloned().collect();
        assert_eq!((pages(&all), pages(&after)), (12, 6));
        audit_all(&repository, start());
        assert_eq!(collect(&repository, later(2)).removed, 0, "a second time");
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        send(&repository, "flask-7.tar.gz");
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
    }
}

/// A client that has read timestamp and snapshot and goes on an hour later with what they name.
#[test]
fn a_slow_client_finds_what_its_snapshot_names() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-1.tar.gz");
    process.publish(start()).unwrap();
    let old = repository.store().read(&StoreKey::Timestamp, 1 << 20).unwrap().unwrap();
    for n in 2..=6 {
        send(&repository, &format!("flask-{n}.tar.gz"));
        process.publish(start()).unwrap();
    }
    let options = GcOptions { grace: SignedDuration::from_hours(3), ..GcOptions::default() };
    repository.collect_garbage(&options, later(2), &|_| {}).unwrap();
    // What the client sees: the old timestamp, and whatever is left.
    let view = ReadBy {
        store: index.store.unwatched(),
        read: Box::new(move |store, key, limit| match key {
            StoreKey::Timestamp => Ok(Some(old.clone())),
            key => store.read(key, limit),
        }),
    };
    let found = read_everything(&view, &mut BTreeMap::new(), start()).unwrap();
    assert!(found.contains_key("packages/flask/flask-1.tar.gz"));
    assert!(!found.contains_key("packages/flask/flask-2.tar.gz"));
}

#[test]
fn what_a_crash_or_a_refusal_left_goes_too() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    send(&repository, "flask-1.tar.gz");
    index.store.fail_next(1, Fault::All);
    process.publish(start()).unwrap_err();
    process.publish_all(start()).unwrap();
    // Its bytes were stored before its name turned out to be taken.
    let path = "packages/flask/flask-1.tar.gz";
    let orphan = super::target(path, b"never accepted");
    let object = Object { key: &orphan, bytes: b"never accepted" };
    repository.store().create(&[object]).unwrap();
    let foreign = index.path().join("store/tuf/metadata/notes.txt");
    std::fs::write(&foreign, "mine").unwrap();

    let collected = collect(&repository, later(2));
    assert_eq!(collected.foreign, 1);
    std::fs::remove_file(&foreign).unwrap();
    let after = paths(&repository);
    assert!(!after.contains(&orphan.path()));
    // The snapshot that was never published, and its bins.
    assert!(!after.contains(&"tuf/metadata/2.snapshot.json".to_owned()));
    audit_all(&repository, start());
}

#[test]
fn what_waits_is_kept_however_long_it_waits() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        send(&repository, "flask-1-py3-none-any.whl");
        // Reserved and then decided, by a process that ends there.
        let calls = index.store.calls().len();
        index.store.fail(calls + 2, 1, Fault::Nothing);
        process.publish(start()).unwrap_err();
        assert!(repository.database().batch().unwrap().is_some());
        drop((repository, process));

        let repository = index.open_repository().unwrap();
        send(&repository, "click-1-py3-none-any.whl");
        collect(&repository, later(48));
        drop(repository);
        let (repository, process) = index.open().unwrap();
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
    }
}

#[test]
fn targets_that_are_no_longer_listed_go_with_their_plain_names() {
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    send(&repository, "flask-1.tar.gz");
    process.publish_all(start()).unwrap();
    // As after the file is revoked: nothing lists it.
    let path = "packages/flask/flask-0.tar.gz";
    let key = super::target(path, b"revoked");
    repository.store().create(&[Object { key: &key, bytes: b"revoked" }]).unwrap();
    let plain = super::file(path);
    let link = waxseal_repository::store::Link { from: key.clone(), to: plain.clone() };
    repository.store().link(&[link]).unwrap();
    let metadata_only = GcOptions { targets: false, ..GcOptions::default() };
    repository.collect_garbage(&metadata_only, later(2), &|_| {}).unwrap();
    assert!(paths(&repository).contains(&plain.path()));
    collect(&repository, later(2));
    let after = paths(&repository);
    assert!(!after.contains(&plain.path()) && !after.contains(&key.path()));
    audit_all(&repository, start());
}

#[test]
fn roots_cannot_be_removed() {
    let (_index, repository, _process) = Index::published(Kind::Filesystem);
    let refused = repository.store().remove(&[super::metadata(1, "root")]).unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }));
}

/// Everything at once, with no grace time: only what is in use and who holds objects protect them.
#[test]
fn it_runs_beside_uploads_and_publishing() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        let done = AtomicBool::new(false);
        let options = GcOptions { grace: SignedDuration::from_secs(-5), ..GcOptions::default() };
        let mut removed = 0;
        thread::scope(|scope| {
            let uploads = |project: &'static str| {
                let repository: &Arc<Repository> = &repository;
                move || {
                    for n in 0..40 {
                        let name = format!("{project}-{n}-py3-none-any.whl");
                        // Whose bytes are garbage until the journal has them; three times each.
                        let bytes = format!("the same bytes {n}");
                        let path = format!("packages/{project}/{name}");
                        let key = super::target(&path, bytes.as_bytes());
                        let object = Object { key: &key, bytes: bytes.as_bytes() };
                        repository.store().create(&[object]).unwrap();
                        upload(repository, &name, bytes.as_bytes()).unwrap();
                        upload(repository, &name, bytes.as_bytes()).unwrap();
                    }
                }
            };
            let uploaders = [scope.spawn(uploads("flask")), scope.spawn(uploads("click"))];
            let publisher = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    process.publish(start()).unwrap();
                }
            });
            let mut returning = Client::default();
            while !uploaders.iter().all(thread::ScopedJoinHandle::is_finished) {
                let now = Timestamp::now();
                removed += repository.collect_garbage(&options, now, &|_| {}).unwrap().removed;
            }
            for uploader in uploaders {
                uploader.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            publisher.join().unwrap();
            process.publish_all(start()).unwrap();
            returning.audit(&repository, start());
        });
        removed += repository.collect_garbage(&options, Timestamp::now(), &|_| {}).unwrap().removed;
        assert!(removed > 100, "{removed}");
        audit_all(&repository, hours(1));
        assert_eq!(repository.database().last_serial().unwrap(), 80);
        drop(index);
    }
}

/// Removing fails half-way, or the process is killed: the next collection does the rest.
#[test]
fn a_collection_that_is_cut_off_is_done_again() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    for n in 1..=5 {
        send(&repository, &format!("flask-{n}.tar.gz"));
        process.publish(start()).unwrap();
    }
    let objects = contents(repository.store()).len();
    index.store.fail_removals(1);
    let error = repository.collect_garbage(&GcOptions::default(), later(2), &|_| {}).unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    let some = contents(repository.store()).len();
    assert!(some < objects);
    audit_all(&repository, start());
    collect(&repository, later(2));
    assert!(contents(repository.store()).len() < some);
    audit_all(&repository, start());
}

/// Nothing is published yet: the files of the ceremony are all there is, and two of their keys are gone.
#[test]
fn an_index_without_a_snapshot_keeps_its_ceremony() {
    let index = Index::new(Kind::Filesystem);
    let (repository, process) = index.create().unwrap();
    let before = contents(repository.store());
    let options = GcOptions { grace: SignedDuration::ZERO, ..GcOptions::default() };
    assert_eq!(repository.collect_garbage(&options, later(2), &|_| {}).unwrap().removed, 0);
    assert_eq!(contents(repository.store()), before);
    drop((repository, process));
    let (repository, process) = index.open().unwrap();
    send(&repository, "flask-1.tar.gz");
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

/// A snapshot in use is lost. Until somebody puts it back, what it names is not garbage.
#[test]
fn a_lost_snapshot_ends_a_collection_before_it_removes_anything() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    for n in 1..=3 {
        send(&repository, &format!("flask-{n}.tar.gz"));
        process.publish(start()).unwrap();
    }
    for version in [4, 2] {
        let key = super::metadata(version, "snapshot");
        let bytes = repository.store().read(&key, 1 << 20).unwrap().unwrap();
        repository.store().remove(std::slice::from_ref(&key)).unwrap();
        let before = contents(repository.store());
        let options = GcOptions { grace: SignedDuration::ZERO, ..GcOptions::default() };
        let error = repository.collect_garbage(&options, later(2), &|_| {}).unwrap_err();
        let lost = format!("{version}.snapshot.json is missing");
        assert!(error.to_string().contains(&lost), "{error}");
        assert!(error.to_string().contains("nothing was collected"), "{error}");
        assert_eq!(contents(repository.store()), before);
        repository.store().create(&[Object { key: &key, bytes: &bytes }]).unwrap();
    }
    assert!(collect(&repository, later(2)).removed > 0);
    audit_all(&repository, start());
}

/// A target of the API whose file is here goes with its revocation, and not before.
#[test]
fn what_another_index_took_back_goes() {
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    let path = "theirs/theirs-1.tar.gz";
    let key = super::target(path, b"theirs");
    repository.store().create(&[Object { key: &key, bytes: b"theirs" }]).unwrap();
    let digest = Sha256::of(b"theirs");
    let ask = |request: String| {
        let changes = TargetChanges::parse(request.as_bytes()).unwrap();
        let accepted = repository.accept_targets(changes, "api".to_owned(), None).unwrap();
        assert!(matches!(accepted, AcceptedTargets::New { .. }), "{accepted:?}");
    };
    let file = format!(r#"{{"path":"{path}","length":6,"hashes":{{"sha256":"{digest}"}}}}"#);
    ask(format!(r#"{{"add":[{file}]}}"#));
    // Waiting, then published, it is in use.
    collect(&repository, later(2));
    process.publish_all(start()).unwrap();
    collect(&repository, later(2));
    assert!(paths(&repository).contains(&key.path()));
    ask(format!(r#"{{"remove":["{path}"]}}"#));
    for n in 1..=3 {
        process.publish_all(start()).unwrap();
        send(&repository, &format!("flask-{n}.tar.gz"));
    }
    process.publish_all(start()).unwrap();
    collect(&repository, later(2));
    assert!(!paths(&repository).contains(&key.path()));
    audit_all(&repository, start());
}

/// A snapshot of a large index takes long to read, and uploads are not to wait for that.
#[test]
fn snapshots_that_came_since_are_read_while_uploads_go_on() {
    let (index, repository, process) = Index::published(Kind::Memory);
    for n in 1..=6 {
        send(&repository, &format!("flask-{n}.tar.gz"));
        process.publish(start()).unwrap();
    }
    let read = Arc::new(Mutex::new(Vec::new()));
    let lock = index.path().join("waxseal.sqlite-objects.lock");
    // Notes which snapshots are read while nobody may make objects.
    let noted = Arc::clone(&read);
    let note = move |store: &dyn Store, key: &StoreKey, limit: u64| {
        let file = File::open(&lock).unwrap();
        let held = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        if held && key.path().ends_with(".snapshot.json") {
            noted.lock().unwrap().push(key.path());
        }
        store.read(key, limit)
    };
    let store = index.store.unwatched();
    index.store.reopened(Arc::new(ReadBy { store, read: Box::new(note) }));
    // After the metadata of old snapshots, and before their pages.
    let published = Cell::new(0);
    let publish = |now: &GcProgress| {
        let GcProgress::Removing(_) = now else { return };
        send(&repository, &format!("click-{}.tar.gz", published.get()));
        process.publish(start()).unwrap().unwrap();
        published.set(published.get() + 1);
    };
    let options = GcOptions::default();
    let collected = repository.collect_garbage(&options, later(2), &publish).unwrap();
    assert!(collected.removed > 20 && published.get() >= 2, "{collected:?}");
    assert_eq!(*read.lock().unwrap(), [""; 0]);
    audit_all(&repository, start());
}

/// Somebody holds the objects for good, such as a process that is stopped in the middle of an import.
#[test]
fn whoever_holds_objects_for_too_long_is_not_waited_for_without_end() {
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    for n in 1..=5 {
        send(&repository, &format!("flask-{n}.tar.gz"));
        process.publish(start()).unwrap();
    }
    let before = contents(repository.store());
    let hold = repository.database().hold_objects().unwrap();
    let patience = Duration::from_millis(700);
    let options = GcOptions { patience, ..GcOptions::default() };
    let begun = Instant::now();
    let error = repository.collect_garbage(&options, later(2), &|_| {}).unwrap_err();
    assert!(begun.elapsed() >= patience && begun.elapsed() < patience * 10, "{error}");
    assert!(matches!(error, Error::Locked(_)), "{error}");
    // All of the wait is told, and not that of the last try.
    let waited = ["waited 0.7", "waited 0.8", "waited 0.9", "waited 1", "waited 2", "waited 3"];
    assert!(waited.iter().any(|waited| error.to_string().contains(waited)), "{error}");
    assert!(error.to_string().contains("collect garbage"), "{error}");
    assert_eq!(contents(repository.store()), before);

    // Whoever lets go in time is waited for.
    let collected = thread::scope(|scope| {
        let patience = Duration::from_mins(1);
        let options = GcOptions { patience, ..GcOptions::default() };
        let repository = &repository;
        let collecting =
            scope.spawn(move || repository.collect_garbage(&options, later(2), &|_| {}));
        thread::sleep(Duration::from_millis(500));
        assert!(!collecting.is_finished());
        drop(hold);
        collecting.join().unwrap().unwrap()
    });
    assert!(collected.removed > 0);
    audit_all(&repository, start());
}

#[test]
fn a_collection_tells_how_far_it_is_also_before_it_removes_anything() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    // What uploads left that were refused.
    let keys: Vec<_> = (0..1_000)
        .map(|n| super::target(&format!("packages/flask/flask-{n}.tar.gz"), b"x"))
        .collect();
    let objects: Vec<_> = keys.iter().map(|key| Object { key, bytes: b"x" }).collect();
    repository.store().create(&objects).unwrap();
    let told = RefCell::new(Vec::new());
    let tell = |now: &GcProgress| told.borrow_mut().push(*now);
    // Nothing is that old.
    let now = Timestamp::now();
    let found = repository.collect_garbage(&GcOptions::default(), now, &tell).unwrap();
    assert!(found.removed == 0 && found.seen > 1_000, "{found:?}");
    let read = |told: &[GcProgress]| {
        let marking = |now: &GcProgress| match now {
            GcProgress::Marking { snapshots } => Some(*snapshots),
            _ => None,
        };
        told.iter().filter_map(marking).max()
    };
    assert_eq!(read(&told.borrow()), Some(found.snapshots));
    let seen = |now: &GcProgress| matches!(now, GcProgress::Listing(now) if now.seen == 1_000);
    assert!(told.borrow().iter().any(seen), "{told:?}");

    told.borrow_mut().clear();
    repository.collect_garbage(&GcOptions::default(), later(2), &tell).unwrap();
    let told = told.into_inner();
    let step = |now: &GcProgress| match now {
        GcProgress::Marking { .. } => 0,
        GcProgress::Listing(_) => 1,
        GcProgress::Comparing { .. } => 2,
        GcProgress::Removing(_) => 3,
    };
    let steps: std::collections::BTreeSet<_> = told.iter().map(step).collect();
    assert_eq!(steps, (0..=3).collect(), "{told:?}");
}
