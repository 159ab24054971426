//! The engine in this process: a repository in a data folder, and its snapshot process.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::database::SqliteDatabase;
use waxseal_repository::store::FilesystemStore;
use waxseal_repository::{AcceptedTargets, TargetChanges};
use waxseal_repository::{Lifetimes, Repository, SnapshotProcess, Stop, WriterLock};
use waxseal_testkit::import_file::{self, Target};
use waxseal_testkit::stopwatch::{percentile, timed};

use crate::child::{Outcome, Sustained, Uploads};

/// How many threads take uploads at a steady rate: each waits for its own journal entry.
const WEB_THREADS: u64 = 8;

/// How long the rest may take to be published at the end of a steady rate.
const PATIENCE: Duration = Duration::from_mins(2);

fn open(data: &Path) -> (Arc<Repository>, SnapshotProcess) {
    let store = Box::new(FilesystemStore::open(data.join("store")).unwrap());
    let database = SqliteDatabase::open(data.join("waxseal.sqlite")).unwrap();
    let repository = Arc::new(Repository::open(store, Box::new(database)).unwrap());
    let key = format!("file:{}?development", data.join("keys/online.pem").display());
    let online = waxseal_signing::open(&key.parse().unwrap(), &waxseal_signing::Nobody).unwrap();
    let lock = WriterLock::acquire(&data.join("writer.lock")).unwrap();
    let lifetimes = Lifetimes::default();
    let process = SnapshotProcess::new(Arc::clone(&repository), online, lifetimes, lock).unwrap();
    // Whatever was left, and what runs out: not part of any measurement.
    process.publish_all(Timestamp::now()).unwrap();
    (repository, process)
}

/// Takes an upload into the journal, as a request of the API; gives its serial.
fn accept(repository: &Repository, targets: &[Target]) -> u64 {
    let lines: Vec<String> = targets.iter().map(Target::line).collect();
    let request = format!(r#"{{"add":[{}]}}"#, lines.join(","));
    let changes = TargetChanges::parse(request.as_bytes()).unwrap();
    match repository.accept_targets(changes, "bench".to_owned(), None).unwrap() {
        AcceptedTargets::New { serial } => serial,
        other => panic!("{other:?}"),
    }
}

impl Uploads {
    /// The targets of each upload, batch by batch.
    pub(crate) fn all(self) -> Vec<Vec<Vec<Target>>> {
        let mut uploads = import_file::Uploads::new(self.seed)
            .map(|targets| targets.into_iter().take(self.targets).collect());
        (0..self.batches).map(|_| uploads.by_ref().take(self.in_a_batch).collect()).collect()
    }
}

/// Publishes batches.
pub(crate) fn upload(data: &Path, uploads: Uploads) -> Outcome {
    let (repository, process) = open(data);
    let mut outcome = Outcome::default();
    for batch in uploads.all() {
        for upload in batch {
            let taken = timed(|| _ = accept(&repository, &upload));
            outcome.accepted.push(taken.into());
        }
        let taken = timed(|| {
            process.publish(Timestamp::now()).unwrap().expect("uploads wait");
        });
        assert!(process.publish(Timestamp::now()).unwrap().is_none(), "one snapshot for a batch");
        outcome.runs.push(taken.into());
    }
    outcome
}

/// Signs every bin again: a day and an hour later all have run out.
pub(crate) fn resign(data: &Path) -> Outcome {
    let (_repository, process) = open(data);
    let later = Timestamp::now() + SignedDuration::from_hours(25);
    let taken = timed(|| process.publish_all(later).unwrap());
    Outcome { runs: vec![taken.into()], ..Outcome::default() }
}

/// When uploads were in the journal, and when they were published.
#[derive(Default)]
struct Times {
    accepted: Mutex<Vec<(u64, Instant)>>,
    published: Mutex<Vec<(u64, Instant)>>,
}

/// Takes uploads at a steady rate: each has its moment, and comes as soon as a thread is free then.
pub(crate) fn sustain(data: &Path, seed: u64, rate: u32, seconds: u64) -> Outcome {
    let (repository, process) = open(data);
    let (stop, times, count) =
        (Stop::new(Arc::clone(&repository)), Times::default(), u64::from(rate) * seconds);
    let (uploads, next) = (Mutex::new(import_file::Uploads::new(seed)), AtomicU64::new(0));
    let start = Instant::now();
    let mut came = Duration::ZERO;
    thread::scope(|scope| {
        let running = scope.spawn(|| process.run(&stop));
        scope.spawn(|| watch(&repository, &times, count));
        let web: Vec<_> = (0..WEB_THREADS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return;
                        }
                        let upload = uploads.lock().unwrap().next().unwrap();
                        let due = start + Duration::from_secs(number) / rate;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let serial = accept(&repository, &upload);
                        times.accepted.lock().unwrap().push((serial, Instant::now()));
                    }
                })
            })
            .collect();
        for thread in web {
            thread.join().unwrap();
        }
        came = start.elapsed();
        stop.request();
        running.join().unwrap().unwrap();
    });
    Outcome { sustained: Some(times.result(start, came)), ..Outcome::default() }
}

/// Notes each published serial, until so many uploads are published.
fn watch(repository: &Repository, times: &Times, count: u64) {
    let mut serial = repository.published();
    let end = *serial.borrow_and_update() + count;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    loop {
        let changed =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, serial.changed()).await });
        assert!(changed.is_ok(), "nothing was published for {PATIENCE:?}");
        let now = *serial.borrow_and_update();
        times.published.lock().unwrap().push((now, Instant::now()));
        if now >= end {
            return;
        }
    }
}

impl Times {
    fn result(self, start: Instant, came: Duration) -> Sustained {
        let mut accepted = self.accepted.into_inner().unwrap();
        let published = self.published.into_inner().unwrap();
        accepted.sort_unstable();
        let mut waits = Vec::with_capacity(accepted.len());
        for (serial, since) in accepted {
            let place = published.partition_point(|(last, _)| *last < serial);
            let wait = published[place].1.saturating_duration_since(since);
            waits.push(wait);
        }
        let at = |percent| percentile(waits.iter().copied(), percent).as_secs_f64();
        Sustained {
            uploads: waits.len(),
            seconds: came.as_secs_f64(),
            p50: at(50),
            p99: at(99),
            longest: at(100),
            drained: published[published.len() - 1].1.duration_since(start + came).as_secs_f64(),
            snapshots: published.len() as u64,
        }
    }
}
