//! A crash at any write of what another index asks for: requests of the API, with an idempotency key and
//! without, and imports.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::{Entry, IdempotencyKey};
use waxseal_repository::import::{ImportError, ImportOptions};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{AcceptedTargets, Error, Repository, SnapshotProcess, TargetChanges};
use waxseal_testkit::faults::{Fault, Faults};
use waxseal_testkit::simulator;
use waxseal_tuf::hash::Sha256;

use super::audit::read_everything;
use super::import::line;
use super::index::{Index, Kind, LIMIT, hours, upload};
use super::resume::{counted, fail_each, prove_whole, until_done};
use super::targets::{changes, key, target};

/// The targets that a client finds, but for Simple pages: those have serials on them, and a request
/// without a key that is made again has two.
type Found = BTreeMap<String, Sha256>;

/// What is asked for before something is published.
enum Step {
    /// Requests of the API: the idempotency key, if it has one, and the body.
    Requests(Vec<(Option<&'static str>, String)>),
    Upload(&'static str),
    /// The lines of a file, and whether they replace.
    Import(String, bool),
    /// Only what runs out.
    Nothing,
}

fn adding(targets: &[String], more: &str) -> String {
    format!(r#"{{"add":[{}]{more}}}"#, targets.join(","))
}

/// Many targets, in every bin.
fn many(content: &str) -> Vec<String> {
    (0..12).map(|n| target(&format!("files/many-{n}"), content)).collect()
}

fn steps() -> [(i64, Step); 8] {
    let first = adding(&[target("files/a", "1"), target("files/b", "1")], "");
    let imported: String = (0..20).map(|n| line(&format!("files/imported-{n}"), "1")).collect();
    [
        (0, Step::Nothing),
        (
            1,
            Step::Requests(vec![
                (Some("first"), first.clone()),
                (None, adding(&[target("files/c", "1")], "")),
            ]),
        ),
        (2, Step::Import(imported, false)),
        (
            3,
            Step::Requests(vec![
                (Some("batch"), adding(&many("1"), "")),
                (
                    Some("replace"),
                    adding(&[target("files/a", "2")], r#","replace":true,"remove":["files/b"]"#),
                ),
                // Once more, long after it was published and changed again.
                (Some("first"), first),
            ]),
        ),
        (4, Step::Upload("flask-3.0-py3-none-any.whl")),
        (5, Step::Import(line("files/a", "imported") + &line("files/b", "imported"), true)),
        (
            6,
            Step::Requests(vec![
                (None, r#"{"remove":["files/c","files/imported-7"]}"#.to_owned()),
                (Some("last"), adding(&[target("files/b", "2")], r#","replace":true"#)),
            ]),
        ),
        (24, Step::Nothing),
    ]
}

/// What clients find in the end, beside what belongs to uploads.
fn in_the_end() -> Found {
    let imported = (0..20).filter(|n| *n != 7).map(|n| (format!("files/imported-{n}"), "1"));
    let many = (0..12).map(|n| (format!("files/many-{n}"), "1"));
    let others =
        [("files/a", "imported"), ("files/b", "2")].map(|(path, is)| (path.to_owned(), is));
    let all = imported.chain(many).chain(others);
    all.map(|(path, content)| (path, Sha256::of(content.as_bytes()))).collect()
}

/// A run, which goes on after its failures as the next process does.
struct Run<'a> {
    index: &'a Index,
    opened: Option<(Arc<Repository>, SnapshotProcess)>,
    returning: simulator::Store,
    /// The serials that keys were answered with.
    serials: BTreeMap<&'static str, u64>,
    crashes: usize,
}

impl Run<'_> {
    fn repository(&self) -> &Repository {
        &self.opened.as_ref().unwrap().0
    }

    fn send(&mut self, name: Option<&'static str>, body: &str) -> Result<(), Error> {
        let changes = changes(body);
        let key = name.map(|name| key("token", name, &changes));
        let by = name.unwrap_or("nobody").to_owned();
        let accepted = self.repository().accept_targets(changes, by, key)?;
        let (AcceptedTargets::New { serial } | AcceptedTargets::Repeated { serial }) = accepted
        else {
            panic!("{name:?} {body} is refused: {accepted:?}")
        };
        if let Some(name) = name {
            let first = *self.serials.entry(name).or_insert(serial);
            assert_eq!(first, serial, "{name} was accepted twice");
        }
        Ok(())
    }

    fn take(&mut self, step: &Step, now: Timestamp) -> Result<(), Error> {
        match step {
            Step::Requests(requests) => {
                requests.iter().try_for_each(|(key, body)| self.send(*key, body))?;
            }
            Step::Upload(file) => {
                upload(self.repository(), file, file.as_bytes())?;
            }
            Step::Import(lines, replace) => {
                let file = self.index.path().join("import");
                std::fs::write(&file, lines).unwrap();
                let options =
                    ImportOptions { replace: *replace, ..ImportOptions::new(self.index.path()) };
                let (_, process) = self.opened.as_ref().unwrap();
                match process.import(&file, &options, now, &|_| {}) {
                    Ok(_) => {}
                    Err(ImportError::Repository(error)) => return Err(error),
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Nothing => {}
        }
        self.opened.as_ref().unwrap().1.publish_all(now)
    }

    /// What a client that was here before finds, and one that is new.
    fn found(&mut self, now: Timestamp) -> Found {
        let store = self.opened.as_ref().unwrap().0.store();
        let returning = read_everything(store, &mut self.returning, now).unwrap();
        let new = read_everything(store, &mut BTreeMap::new(), now).unwrap();
        assert_eq!(returning, new);
        new.into_iter().filter(|(path, _)| !path.starts_with("simple/")).collect()
    }
}

/// Takes all steps. After a failure the next process takes the step again, and until then clients find
/// what was published before the step or after it, which `reference` knows. Answers what they found after
/// each step, and how many crashes there were.
fn run(index: &Index, reference: Option<&[Found]>) -> (Vec<Found>, usize) {
    let opened = Some(until_done(|| index.create()));
    let (returning, serials) = (simulator::Store::new(), BTreeMap::new());
    let mut run = Run { index, opened, returning, serials, crashes: 0 };
    let mut states: Vec<Found> = Vec::new();
    for (hour, step) in steps() {
        let mut now = hours(hour);
        while let Err(error) = run.take(&step, now) {
            assert!(error.to_string().contains("timed out"), "{error}");
            run.opened = None;
            now += SignedDuration::from_mins(1);
            run.opened = Some(until_done(|| index.open()));
            run.crashes += 1;
            if run.repository().store().read(&StoreKey::Timestamp, LIMIT).unwrap().is_some() {
                prove_whole(run.repository(), now);
                let found = run.found(now);
                let after = &reference.expect("a run without faults fails")[states.len()];
                let is_known = Some(&found) == states.last() || found == *after;
                // A request is published with those before it.
                let between = matches!(step, Step::Requests(_));
                assert!(is_known || between, "hour {hour}: clients find another state");
            }
        }
        prove_whole(run.repository(), now);
        let found = run.found(now);
        if let Some(reference) = reference {
            assert_eq!(found, reference[states.len()], "hour {hour}");
        }
        states.push(found);
    }
    let last = run.repository().database().last_serial().unwrap();
    for (_, step) in steps() {
        if let Step::Requests(requests) = step {
            for (key, body) in requests.iter().filter(|(key, _)| key.is_some()) {
                until_done(|| run.send(*key, body));
            }
        }
    }
    let database = run.repository().database();
    assert_eq!(database.last_serial().unwrap(), last, "a repetition was recorded");
    let entries = database.waiting(0, 100).unwrap();
    for name in ["first", "batch", "replace", "last"] {
        let by = |entry: &Entry| matches!(entry, Entry::Targets(targets) if targets.by == name);
        assert_eq!(entries.iter().filter(|row| by(&row.entry)).count(), 1, "{name}");
    }
    (states, run.crashes)
}

fn crash_at_every_write(kind: Kind) {
    let (index, faults) = counted(kind);
    let (states, crashes) = run(&index, None);
    assert_eq!(crashes, 0);
    let mut last = states.last().unwrap().clone();
    last.retain(|path, _| path.starts_with("files/"));
    assert_eq!(last, in_the_end());
    let calls = faults.calls();
    assert!(calls.iter().filter(|call| **call == "append_targets").count() >= 10, "{calls:?}");
    fail_each(kind, &calls, |index| run(index, Some(&states)).1);
}

#[test]
fn a_crash_at_any_write_for_another_index_is_resumed_in_memory() {
    crash_at_every_write(Kind::Memory);
}

#[test]
fn a_crash_at_any_write_for_another_index_is_resumed_on_disk() {
    crash_at_every_write(Kind::Filesystem);
}

/// Requests share a commit. When it fails and was made nevertheless, those with a key hear that they were
/// recorded, and nothing is recorded twice.
#[test]
fn requests_that_fail_together_are_not_recorded_twice() {
    let folder = tempfile::tempdir().unwrap();
    let bins = Bins::new(4, BinStyle::Succinct).unwrap();
    let (of_store, of_database) = (Faults::default(), Faults::default());
    let index = Index::with_faults(folder, Kind::Memory, bins, of_store, of_database.clone());
    let (repository, process) = index.create().unwrap();
    process.publish_all(hours(0)).unwrap();

    // The first request waits for another writer, and the others for the first.
    let other = rusqlite::Connection::open(index.database_path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = of_database.calls().len();
    of_database.fail(begun + 1, 1, Fault::All);
    let request = |path: &str| changes(&adding(&[target(path, "x")], ""));
    let accept = |changes: TargetChanges, key: Option<IdempotencyKey>| {
        repository.accept_targets(changes, "robot".to_owned(), key)
    };
    let (first, keyed, unkeyed) = thread::scope(|scope| {
        let first = scope.spawn(|| accept(request("files/first"), None));
        while of_database.calls().len() == begun {
            thread::yield_now();
        }
        let keyed = scope.spawn(|| {
            let changes = request("files/keyed");
            let key = key("token", "key", &changes);
            accept(changes, Some(key))
        });
        let unkeyed = scope.spawn(|| accept(request("files/unkeyed"), None));
        // One that comes too late is recorded alone, and the test sees less.
        thread::sleep(Duration::from_millis(300));
        other.execute_batch("COMMIT").unwrap();
        (first.join().unwrap(), keyed.join().unwrap(), unkeyed.join().unwrap())
    });
    assert_eq!(first.unwrap(), AcceptedTargets::New { serial: 1 });
    let repeated = keyed.unwrap();
    assert!(matches!(repeated, AcceptedTargets::Repeated { serial: 2 | 3 }), "{repeated:?}");
    assert!(unkeyed.unwrap_err().to_string().contains("timed out"));
    assert_eq!(repository.database().last_serial().unwrap(), 3);
    process.publish_all(hours(0)).unwrap();
    prove_whole(&repository, hours(0));
}
