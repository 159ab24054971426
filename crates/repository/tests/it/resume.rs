//! A crash at any write, done or not, and what the next process makes of it. The store itself checks
//! at every write that a client finds a whole repository, and that no name changes its content.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{Batch, RoleRow};
use waxseal_repository::{Error, Published, Repository, SnapshotProcess};

use super::audit::{Client, audit_all};
use super::faulty::Fault;
use super::index::{Index, Kind, hours, send, start, upload};

const STEPS: [(i64, &[&str]); 4] = [
    (0, &[]),
    (1, &["flask-3.0-py3-none-any.whl", "click-8.tar.gz", "flask-3.0.tar.gz"]),
    (2, &["Foo_Bar-1.0-py3-none-any.whl"]),
    // Only renewals.
    (20, &[]),
];

/// Uploads and publishes what a step says.
fn step(
    (repository, process): &(Arc<Repository>, SnapshotProcess),
    files: &[&str],
    now: Timestamp,
) -> Result<(), Error> {
    for file in files {
        upload(repository, file, file.as_bytes())?;
    }
    process.publish_all(now)
}

/// Takes all steps; a failure ends the process, and the next one does the step again a bit later.
fn run(index: &Index) {
    let create = || index.create().or_else(|_| index.create());
    let mut opened = Some(create().unwrap());
    let mut returning = Client::default();
    for (hour, files) in STEPS {
        let mut now = hours(hour);
        while let Err(error) = step(opened.as_ref().unwrap(), files, now) {
            assert!(error.to_string().contains("timed out"), "{error}");
            drop(opened.take());
            now += SignedDuration::from_mins(1);
            opened = Some(index.open().unwrap());
        }
        let (repository, _) = opened.as_ref().unwrap();
        returning.audit(repository, now);
        audit_all(repository, now);
    }
    let (repository, _) = opened.unwrap();
    let serials = repository.database().waiting(0, 100).unwrap();
    let serials: Vec<_> = serials.iter().map(|row| row.serial).collect();
    assert_eq!(serials, [1, 2, 3, 4]);
}

fn crash_at_every_write(kind: Kind) {
    let bins = Bins::new(4, BinStyle::Succinct).unwrap();
    let index = Index::with_bins(kind, bins);
    run(&index);
    let calls = index.store.calls();
    for method in ["create", "create_from_file", "link", "replace_timestamp"] {
        assert!(calls.contains(&method), "{method}");
    }
    let crashes = calls
        .into_iter()
        .enumerate()
        .flat_map(|(call, method)| Fault::of(method).iter().map(move |fault| (call, *fault)));
    in_parallel(crashes, |(call, fault)| {
        let index = Index::with_bins(kind, bins);
        index.store.fail(call, 1, fault);
        run(&index);
        assert_eq!(index.store.failed(), 1, "{fault:?} of write {call}");
    });
}

/// Databases wait for the disk most of the time.
fn in_parallel<T: Send>(cases: impl Iterator<Item = T> + Send, test: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases);
    let next = || cases.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = next() {
                    test(case);
                }
            });
        }
    });
}

#[test]
fn a_crash_at_any_write_is_resumed_in_memory() {
    crash_at_every_write(Kind::Memory);
}

#[test]
fn a_crash_at_any_write_is_resumed_on_disk() {
    crash_at_every_write(Kind::Filesystem);
}

#[test]
fn a_process_that_goes_on_after_a_failure_resumes_too() {
    for fault in Fault::EACH {
        for calls_before in 0..3 {
            let (index, repository, process) = Index::published(Kind::Memory);
            send(&repository, "flask-3.0.tar.gz");
            index.store.fail(index.store.calls().len() + calls_before, 2, fault);
            let mut failures = 0;
            while process.publish(hours(1)).is_err() {
                failures += 1;
                // May be what fails next.
                let _ = upload(&repository, &format!("flask-{failures}.tar.gz"), b"late");
            }
            assert!((1..=2).contains(&failures), "{fault:?} {failures}");
            process.publish_all(hours(1)).unwrap();
            audit_all(&repository, hours(1));
        }
    }
}

/// The disk as it is at every moment of a run, opened by another process.
#[test]
fn the_disk_of_any_moment_can_be_gone_on_from() {
    let bins = Bins::new(4, BinStyle::Succinct).unwrap();
    let index = Index::with_bins(Kind::Filesystem, bins);
    let moments: Arc<Mutex<Vec<(String, TempDir)>>> = Arc::default();
    let (seen, folder) = (Arc::clone(&moments), index.path().to_owned());
    index.store.set_hook(Some(Box::new(move |moment| {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(&folder, copy.path());
        seen.lock().unwrap().push((moment.to_owned(), copy));
    })));
    run(&index);
    index.store.set_hook(None);

    let moments = std::mem::take(&mut *moments.lock().unwrap());
    assert!(moments.len() > 20);
    let resumed = AtomicUsize::new(0);
    in_parallel(moments.into_iter(), |(moment, copy)| {
        let index = Index::in_folder(copy, Kind::Filesystem, bins);
        // What was there must stay.
        index.store.remember(&index.store);
        let (repository, process) =
            index.create().unwrap_or_else(|error| panic!("{moment}: {error}"));
        if repository.database().batch().unwrap().is_some() {
            resumed.fetch_add(1, Ordering::Relaxed);
        }
        process.publish_all(hours(21)).unwrap();
        for (_, files) in STEPS {
            for file in files {
                send(&repository, file);
            }
        }
        process.publish_all(hours(22)).unwrap();
        audit_all(&repository, hours(22));
        assert_eq!(repository.database().last_serial().unwrap(), 4, "{moment}");
    });
    assert!(resumed.into_inner() > 10);
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => {
                std::fs::create_dir(&to).unwrap();
                copy_folder(&entry.path(), &to);
            }
            false => {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
}

/// The database fails where versions are reserved, where the batch is decided, and where it is recorded
/// as published.
#[test]
fn a_database_that_fails_loses_nothing() {
    let triggers = ["INSERT ON batch", "UPDATE ON batch", "INSERT ON snapshot"];
    for (trigger, decided) in triggers.into_iter().zip([false, false, true]) {
        let (index, repository, process) = Index::published(Kind::Filesystem);
        send(&repository, "flask-3.0.tar.gz");
        let roles = repository.database().roles().unwrap();
        let other = rusqlite::Connection::open(index.database_path()).unwrap();
        let sql =
            format!("CREATE TRIGGER full BEFORE {trigger} BEGIN SELECT RAISE(ABORT, 'full'); END");
        other.execute_batch(&sql).unwrap();
        for _ in 0..2 {
            let error = process.publish(hours(1)).unwrap_err();
            assert!(error.to_string().contains("full"), "{error}");
            let batch = repository.database().batch().unwrap();
            assert_eq!(matches!(batch, Some(Batch::Decided(_))), decided, "{trigger}");
            let published = |roles: Vec<RoleRow>| roles.into_iter().map(|role| role.published);
            let now = repository.database().roles().unwrap();
            assert!(published(now).eq(published(roles.clone())), "{trigger}");
            assert_eq!(*repository.published().borrow(), 0);
        }
        other.execute_batch("DROP TRIGGER full").unwrap();
        drop((repository, process));

        let (repository, process) = index.open().unwrap();
        process.publish_all(hours(2)).unwrap();
        audit_all(&repository, hours(2));
    }
}

#[test]
fn a_decided_batch_is_published_before_anything_new() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-3.0.tar.gz");
    // create, link, replace_timestamp
    index.store.fail(index.store.calls().len() + 2, 1, Fault::Nothing);
    process.publish(start()).unwrap_err();
    send(&repository, "flask-3.1.tar.gz");
    let serials = [process.publish(start()), process.publish(start())];
    assert_eq!(serials.map(|published| published.unwrap().unwrap().serial), [1, 2]);
    audit_all(&repository, start());
}

/// What a run wrote that ended before it had decided is never published, and its versions are not used
/// again.
#[test]
fn a_reserved_batch_is_skipped_with_its_versions() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-3.0.tar.gz");
    index.store.fail_next(1, Fault::All);
    process.publish(start()).unwrap_err();
    let Some(Batch::Reserved(reserved)) = repository.database().batch().unwrap() else { panic!() };
    assert_eq!((reserved.snapshot, reserved.timestamp), (2, 2));
    send(&repository, "flask-3.1.tar.gz");
    let published = process.publish(start()).unwrap();
    assert_eq!(published, Some(Published { snapshot: 3, serial: 2 }));
    for (bin, version) in reserved.bins {
        let row = repository.database().bin(bin).unwrap().unwrap();
        assert_eq!(row.published.unwrap().version, version + 1);
        assert_eq!(version, 2);
    }
    audit_all(&repository, start());
}
