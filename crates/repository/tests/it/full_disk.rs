//! A full disk: what is published stays fresh, uploads are refused, and it ends by itself.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::store::{FilesystemStore, MemoryStore, Store};
use waxseal_repository::{Error, Publishing, Stop, TargetChanges};
use waxseal_tuf::RoleName;

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, hours, send, start, upload};
use super::run::StopAtEnd;

#[test]
fn the_index_stays_fresh_and_recovers_by_itself() {
    let (index, repository, process) = Index::published(Kind::Memory);
    repository.store().set_reserve().unwrap();
    send(&repository, "flask-1.tar.gz");
    index.store.fill(true);
    let error = process.publish(start()).unwrap_err();
    assert!(error.is_storage_full(), "{error}");
    let mut returning = Client::default();
    for hour in [1, 13, 20, 30, 50, 70] {
        let refused = upload(&repository, "flask-2.tar.gz", b"more").unwrap_err();
        assert!(matches!(refused, Error::NoSpace), "{refused}");
        let changes = TargetChanges::parse(br#"{"remove":["a/b"]}"#).unwrap();
        let refused = repository.accept_targets(changes, "api".to_owned(), None).unwrap_err();
        assert!(matches!(refused, Error::NoSpace), "{refused}");
        process.publish_all(hours(hour)).unwrap();
        // Whatever a client needs is valid, and the upload waits.
        returning.audit(&repository, hours(hour));
        assert_eq!(repository.database().published_serial().unwrap(), 0);
    }
    index.store.fill(false);
    process.publish_all(hours(71)).unwrap();
    assert_eq!(repository.database().published_serial().unwrap(), 1);
    send(&repository, "flask-2.tar.gz");
    process.publish_all(hours(71)).unwrap();
    returning.audit(&repository, hours(71));
    audit_all(&repository, hours(71));
}

#[test]
fn whoever_asks_hears_that_nothing_is_published() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    let stop = Stop::new(Arc::clone(&repository));
    let until = |reached: &dyn Fn(&Publishing) -> bool| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !reached(&repository.publishing()) {
            assert!(Instant::now() < deadline, "{:?}", repository.publishing());
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::scope(|scope| {
        let running = scope.spawn(|| process.run(&stop));
        // Also where the test fails, or it would wait for ever.
        let _stop = StopAtEnd(&stop);
        let snapshot = RoleName::new(RoleName::SNAPSHOT).unwrap();
        until(&|_| repository.database().role(&snapshot).unwrap().is_some());
        let store = index.store.clone();
        index.store.set_hook(Some(Box::new(move |moment| {
            if moment == "before create" {
                store.fill(true);
            }
        })));
        send(&repository, "flask-1.tar.gz");
        until(
            &|now| matches!(now, Publishing::Failing { problem, .. } if problem.contains("storage is full")),
        );
        stop.request();
        let stopped = running.join().unwrap();
        assert!(stopped.is_err_and(|error| error.is_storage_full()));
    });
}

#[test]
fn space_is_set_aside_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = FilesystemStore::open(folder.path()).unwrap().with_reserve(1 << 20);
    assert!(store.has_reserve().unwrap(), "none was to be set aside");
    store.set_reserve().unwrap();
    let file = folder.path().join(".store/reserve");
    assert_eq!(file.metadata().unwrap().len(), 1 << 20);
    assert!(store.has_reserve().unwrap());
    store.use_reserve().unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
    assert!(!store.has_reserve().unwrap());
    store.set_reserve().unwrap();
    assert!(store.has_reserve().unwrap());

    // More than any disk has, where there was some before and where there never was.
    let folder = tempfile::tempdir().unwrap();
    let fresh = FilesystemStore::open(folder.path()).unwrap().with_reserve(1 << 60);
    fresh.set_reserve().unwrap_err();
    assert!(!fresh.has_reserve().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = FilesystemStore::open(folder.path()).unwrap().with_reserve(1 << 20);
    store.set_reserve().unwrap();
    let greedy = FilesystemStore::open(folder.path()).unwrap().with_reserve(1 << 60);
    assert!(!greedy.has_reserve().unwrap());
    let error = greedy.set_reserve().unwrap_err();
    assert!(error.to_string().contains("space"), "{error}");
    assert!(!greedy.has_reserve().unwrap());
    assert!(MemoryStore::new().has_reserve().unwrap());
}

/// With an hour of the day left, every ten seconds for a day: bins are signed when they must be, and many
/// of them with each snapshot.
#[test]
fn what_is_set_aside_is_used_sparingly() {
    let bins = Bins::new(256, BinStyle::Succinct).unwrap();
    let index = Index::with_bins(Kind::Memory, bins);
    let (repository, process) = index.create().unwrap();
    // As they are after some days: each with its own moment.
    for hour in 0..72 {
        process.publish_all(hours(hour)).unwrap();
    }
    send(&repository, "flask-1.tar.gz");
    repository.store().set_reserve().unwrap();
    index.store.fill(true);
    process.publish(hours(72)).unwrap_err();
    let (mut snapshots, mut last) = (0, 0);
    let mut returning = Client::default();
    for minute in 0..(48 * 60) {
        let now = hours(72) + SignedDuration::from_mins(minute);
        if process.publish(now).unwrap().is_some() {
            (snapshots, last) = (snapshots + 1, minute);
        }
        if minute % 60 == 0 {
            returning.audit(&repository, now);
        }
    }
    assert!(last > 24 * 60, "it went on to the end");
    // One for each hour, and those that timestamp and snapshot ask for.
    assert!((10..=60).contains(&snapshots), "{snapshots}");
}

#[test]
fn an_index_starts_with_a_full_disk() {
    let (index, repository, process) = Index::published(Kind::Memory);
    repository.store().set_reserve().unwrap();
    drop((repository, process));
    index.store.fill(true);
    index.database_faults.find_full("take_over");
    let (repository, process) = index.open().unwrap();
    assert!(!repository.store().has_reserve().unwrap());
    process.publish_all(hours(20)).unwrap();
    Client::default().audit(&repository, hours(20));
}
