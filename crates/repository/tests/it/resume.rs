//! A crash at any write, done or not, and what the next process makes of it. The store itself checks
//! at every write that a client finds a whole repository, and that no name changes its content.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use waxseal_repository::audit;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{Batch, RoleRow};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Error, Published, Repository};

use waxseal_testkit::faults::{Fault, Faults};

use super::audit::{Client, audit_all};
use super::audit_keys::prove_logged;
use super::index::{Index, Kind, LIMIT, hours, send, start, upload};

const STEPS: [(i64, &[&str]); 4] = [
    (0, &[]),
    (1, &["flask-3.0-py3-none-any.whl", "click-8.tar.gz", "flask-3.0.tar.gz"]),
    (2, &["Foo_Bar-1.0-py3-none-any.whl"]),
    // Only renewals.
    (20, &[]),
];

/// Does what fails again, as the next process does.
pub(crate) fn until_done<T>(mut attempt: impl FnMut() -> Result<T, Error>) -> T {
    for _ in 0..4 {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(error.to_string().contains("timed out"), "{error}"),
        }
    }
    panic!("it fails for ever")
}

/// Takes all steps, each at its hour, and publishes; a failure ends the process, and the next one does the step
/// again a bit later. What the crash left is whole to everybody who reads it. Answers the index and how many
/// crashes were looked at.
pub(crate) fn through_crashes(
    index: &Index,
    steps: &[(i64, impl Fn(&Repository) -> Result<(), Error>)],
) -> (Arc<Repository>, usize) {
    let mut opened = until_done(|| index.create());
    let mut returning = Client::default();
    let mut crashes = 0;
    for (hour, step) in steps {
        let mut now = hours(*hour);
        loop {
            let (repository, process) = &opened;
            let Err(error) = step(repository).and_then(|()| process.publish_all(now)) else {
                break;
            };
            assert!(error.to_string().contains("timed out"), "{error}");
            drop(opened);
            now += SignedDuration::from_mins(1);
            opened = until_done(|| index.open());
            crashes += 1;
            let (repository, _) = &opened;
            if repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().is_some() {
                prove_whole(repository, now);
                returning.find_a_moment(repository, now);
                Client::default().find_a_moment(repository, now);
            }
        }
        let (repository, _) = &opened;
        returning.audit(repository, now);
        audit_all(repository, now);
        prove_whole(repository, now);
    }
    (opened.0, crashes)
}

/// Uploads and renewals, through crashes.
fn run(index: &Index) -> usize {
    let steps = STEPS.map(|(hour, files)| {
        let upload_all = move |repository: &Repository| -> Result<(), Error> {
            files.iter().try_for_each(|file| upload(repository, file, file.as_bytes()).map(drop))
        };
        (hour, upload_all)
    });
    let (repository, crashes) = through_crashes(index, &steps);
    let serials = repository.database().waiting(0, 100).unwrap();
    let serials: Vec<_> = serials.iter().map(|row| row.serial).collect();
    assert_eq!(serials, [1, 2, 3, 4]);
    crashes
}

/// The audits that operators have find nothing.
pub(crate) fn prove_whole(repository: &Repository, now: Timestamp) {
    let settings = audit::Settings { now, deep: true };
    let database = Some(repository.database());
    let report = audit::audit(repository.store(), database, settings, &mut |_| {}).unwrap();
    assert!(report.valid, "{:#?}", report.findings);
    prove_logged(repository);
}

/// An index the writes of whose store and database are counted together.
pub(crate) fn counted(kind: Kind) -> (Index, Faults) {
    let bins = Bins::new(4, BinStyle::Succinct).unwrap();
    let faults = Faults::default();
    let folder = tempfile::tempdir().unwrap();
    (Index::with_faults(folder, kind, bins, faults.clone(), faults.clone()), faults)
}

/// Each write of a run that goes well, with each fault it can have.
fn injections(calls: &[&'static str], from: usize) -> Vec<(usize, Fault)> {
    let faults = |(call, method): (usize, &&'static str)| {
        Fault::of(method).iter().map(move |fault| (call, *fault))
    };
    calls.iter().enumerate().skip(from).flat_map(faults).collect()
}

fn crash_at_every_write(kind: Kind) {
    let (index, faults) = counted(kind);
    assert_eq!(run(&index), 0);
    let calls = faults.calls();
    for method in [
        "create",
        "create_from_file",
        "link",
        "replace_timestamp",
        "record_first_roles",
        "take_over",
        "append_uploads",
        "reserve",
        "decide",
        "finish",
    ] {
        assert!(calls.contains(&method), "{method}");
    }
    fail_each(kind, &calls, run);
}

/// Makes a run for each of `calls`, the writes of a run that goes well, and each fault it can have; `run`
/// answers how many crashes it looked at.
pub(crate) fn fail_each(kind: Kind, calls: &[&'static str], run: impl Fn(&Index) -> usize + Sync) {
    let points = injections(calls, 0);
    println!("{kind:?}: {} writes, {} faults", calls.len(), points.len());
    let crashes = AtomicUsize::new(0);
    in_parallel(points.into_iter(), |(call, fault)| {
        let (index, faults) = counted(kind);
        faults.fail(call, 1, fault);
        crashes.fetch_add(run(&index), Ordering::Relaxed);
        assert_eq!(faults.failed(), 1, "{fault:?} of write {call}");
    });
    println!("{kind:?}: {} crashes were looked at", crashes.into_inner());
}

/// A fault while a process resumes after another fault: a sample of all pairs, by the first fault and how
/// many writes later the second one is.
#[test]
fn a_crash_while_resuming_is_resumed() {
    let (index, faults) = counted(Kind::Memory);
    run(&index);
    let firsts = injections(&faults.calls(), 0);
    // Numbers without common factors, so that every kind of write meets every kind.
    let pairs: Vec<_> = firsts
        .into_iter()
        .enumerate()
        .filter(|(number, _)| number % 2 == 0)
        .map(|(number, first)| (first, 1 + number % 7, Fault::EACH[number % 4]))
        .collect();
    println!("{} pairs of faults", pairs.len());
    let both = AtomicUsize::new(0);
    let abandoned = AtomicUsize::new(0);
    in_parallel(pairs.iter(), |((call, first), later, second)| {
        let (index, faults) = counted(Kind::Memory);
        faults.fail(*call, 1, *first);
        faults.fail_also(call + later, *second);
        run(&index);
        both.fetch_add(usize::from(faults.failed() == 2), Ordering::Relaxed);
        let is_abandoned = faults.calls().contains(&"abandon");
        abandoned.fetch_add(usize::from(is_abandoned), Ordering::Relaxed);
    });
    let (both, abandoned) = (both.into_inner(), abandoned.into_inner());
    println!("both faults were met in {both}, a batch was abandoned in {abandoned}");
    assert!(both > pairs.len() * 8 / 10 && abandoned > 10);
}

/// A process that cannot read its database at some moment goes on later.
#[test]
fn a_read_that_fails_loses_nothing() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let mut failures = 0;
    for reads in 0.. {
        send(&repository, &format!("flask-{reads}.tar.gz"));
        index.database_faults.fail_read_after(reads);
        let published = process.publish_all(start());
        if index.database_faults.read_is_to_fail() {
            published.unwrap();
            break;
        }
        let error = published.unwrap_err();
        assert!(error.to_string().contains("timed out"), "{error}");
        failures += 1;
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
        prove_whole(&repository, start());
    }
    println!("{failures} reads failed");
    assert!(failures > 5, "{failures}");
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
                assert!(failures <= 2, "{fault:?} is never resumed");
                // May be what fails next.
                let _ = upload(&repository, &format!("flask-{failures}.tar.gz"), b"late");
            }
            assert!(failures > 0, "{fault:?} did not happen");
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
