//! A second process that holds a lock, and is stopped meanwhile: whoever waits for it gives up within a
//! bound, says for whom, and goes on when it is gone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use waxseal_repository::database::{
    Database, Holds, IdempotencyKey, Journal, SqliteDatabase, Tokens,
};
use waxseal_repository::store::{FilesystemStore, Store};
use waxseal_repository::{
    Error, Lifetimes, Publishing, Repository, SnapshotProcess, Stop, StoreError, TargetChanges,
    WriterLock,
};
use waxseal_testkit::simulator::TestKey;

use super::audit::audit_all;
use super::index::{Index, Kind, send};
use super::run::StopAtEnd;

/// What tests wait instead of half a minute.
const PATIENCE: Duration = Duration::from_millis(300);
/// Far more than that, also where the machine is busy.
const LONG: Duration = Duration::from_secs(20);

/// A program that holds what it is told until its standard input ends.
const HOLDER: &str = r#"
import fcntl, sqlite3, sys
what, path = sys.argv[1:]
if what == "database":
    held = sqlite3.connect(path, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
else:
    held = open(path, "ab")
    fcntl.flock(held, fcntl.LOCK_SH if what == "shared" else fcntl.LOCK_EX)
print("it holds the lock", flush=True)
sys.stdin.read()
"#;

/// What the other process holds.
#[derive(Clone, Copy)]
enum What {
    /// A file, alone.
    File,
    /// A file, as others may at the same time.
    Shared,
    /// The right to write to a database.
    Database,
}

/// Another process that holds a lock; killed when dropped.
struct Other(Child);

impl Other {
    fn holds(what: What, path: &Path) -> Self {
        let what = match what {
            What::File => "file",
            What::Shared => "shared",
            What::Database => "database",
        };
        let mut child = Command::new("python3")
            .args(["-c", HOLDER, what])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is missing: run `cargo xtask peers`");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "it holds the lock"));
        Self(child)
    }

    /// The same, and stopped.
    fn stopped_with(what: What, path: &Path) -> Self {
        let this = Self::holds(what, path);
        let pid = this.0.id().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        let stat = format!("/proc/{pid}/stat");
        let until = Instant::now() + LONG;
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            assert!(Instant::now() < until, "it is not stopped");
            thread::yield_now();
        }
        this
    }

    /// Asserts that `text` says what was waited for, for whom, and what to do.
    #[track_caller]
    fn assert_named(&self, text: &str, doing: &str, path: &Path) {
        let pid = self.0.id();
        let parts = [
            format!("to {doing}: process {pid} ("),
            format!(") has locked {} and is stopped; nothing was changed", path.display()),
            format!("`kill -CONT {pid}`"),
            format!("`kill -KILL {pid}`"),
        ];
        for part in parts {
            assert!(text.contains(&part), "no {part:?} in: {text}");
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs what has to give up; gives the error and asserts that the wait was within its bound.
#[track_caller]
fn given_up<T: std::fmt::Debug, E>(run: impl FnOnce() -> Result<T, E>) -> E
where
    E: std::fmt::Debug,
{
    let begun = Instant::now();
    let error = run().unwrap_err();
    let waited = begun.elapsed();
    assert!(waited >= PATIENCE && waited < LONG, "waited {waited:?}");
    error
}

#[test]
fn timestamp_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = FilesystemStore::open_with_patience(folder.path(), PATIENCE).unwrap();
    store.replace_timestamp(None, b"{}").unwrap();
    let path = folder.path().join(".store/timestamp.lock");
    let other = Other::stopped_with(What::File, &path);
    let before = waxseal_tuf::hash::Sha256::of(b"{}");
    let replace = || store.replace_timestamp(Some(before), b"{ }");
    let error = given_up(replace);
    assert!(matches!(error, StoreError::Locked(_)), "{error:?}");
    assert!(error.to_string().starts_with("waited 0."), "{error}");
    other.assert_named(&error.to_string(), "replace timestamp.json", &path);
    let bytes = std::fs::read(folder.path().join("tuf/metadata/timestamp.json")).unwrap();
    assert_eq!(bytes, b"{}");
    drop(other);
    replace().unwrap();
}

#[test]
fn the_spool_of_others_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    drop(FilesystemStore::open(folder.path()).unwrap());
    let path = folder.path().join(".store/spool.lock");
    let other = Other::stopped_with(What::File, &path);
    let open = || FilesystemStore::open_with_patience(folder.path(), PATIENCE);
    let error = given_up(open);
    other.assert_named(&error.to_string(), "sweep what crashed processes left", &path);
    drop(other);
    open().unwrap();
}

#[test]
fn a_writer_of_the_database_is_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.sqlite");
    let open = || SqliteDatabase::open_with_patience(&path, PATIENCE);
    let database = open().unwrap();
    let (_, secret) = database.create_token("ci").unwrap();
    let other = Other::stopped_with(What::Database, &path);
    let error = given_up(|| database.create_token("laptop"));
    assert!(matches!(error, Error::Locked(_)), "{error:?}");
    other.assert_named(&error.to_string(), "use the database", &path);
    // A second one cannot even start, for it looks whether there is something to migrate.
    let error = given_up(open);
    other.assert_named(&error.to_string(), "use the database", &path);
    // Whoever reads does not wait, nor does whoever shows a token.
    assert_eq!(database.tokens().unwrap().len(), 1);
    assert_eq!(database.last_serial().unwrap(), 0);
    let begun = Instant::now();
    assert!(database.authenticate(secret.expose()).unwrap().is_some());
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(other);
    database.create_token("laptop").unwrap();
    open().unwrap();
}

/// Each of many threads would wait for the one connection that writes, and then as long again.
#[test]
fn many_who_wait_for_one_writer_give_up_together() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("waxseal.sqlite");
    let patience = Duration::from_secs(2);
    let database = SqliteDatabase::open_with_patience(&path, patience).unwrap();
    let _other = Other::stopped_with(What::Database, &path);
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| database.create_token("ci").unwrap_err());
        }
    });
    let waited = begun.elapsed();
    assert!(waited >= patience && waited < patience * 5, "{waited:?}, and not ten times as long");
}

/// Requests share a commit, and with it a wait.
#[test]
fn requests_that_are_recorded_together_give_up_together() {
    let index = Index::new(Kind::Filesystem);
    drop(index.create().unwrap());
    let store = FilesystemStore::open(index.path().join("store")).unwrap();
    let patience = Duration::from_secs(1);
    let database = SqliteDatabase::open_with_patience(index.database_path(), patience).unwrap();
    let repository = Repository::open(Box::new(store), Box::new(database)).unwrap();
    let _other = Other::stopped_with(What::Database, &index.database_path());
    let begun = Instant::now();
    thread::scope(|scope| {
        for n in 0..12 {
            let repository = &repository;
            scope.spawn(move || {
                let body = format!("{{\"remove\":[\"files/{n}\"]}}");
                let changes = TargetChanges::parse(body.as_bytes()).unwrap();
                let (token, key) = ("token".to_owned(), n.to_string());
                let key = IdempotencyKey { token, key, body: changes.digest() };
                let error = repository.accept_targets(changes, "robot".to_owned(), Some(key));
                assert!(error.unwrap_err().is_lock_held());
            });
        }
    });
    let waited = begun.elapsed();
    assert!(
        waited >= patience && waited < patience * 6,
        "{waited:?}, and not twelve times as long"
    );
}

#[test]
fn a_collector_and_those_who_hold_are_not_waited_for_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("waxseal.sqlite");
    let lock = |name| folder.path().join(format!("waxseal.sqlite-{name}.lock"));
    let database = SqliteDatabase::open_with_patience(&database, PATIENCE).unwrap();
    drop(database.hold_objects().unwrap());
    let doing = "make objects in the store";
    for name in ["objects", "gate"] {
        let other = Other::stopped_with(What::File, &lock(name));
        let error = given_up(|| database.hold_objects());
        other.assert_named(&error.to_string(), doing, &lock(name));
    }
    let other = Other::stopped_with(What::Shared, &lock("gate"));
    drop(database.hold_objects().unwrap());
    let error = given_up(|| database.collect_objects());
    other.assert_named(&error.to_string(), "collect garbage", &lock("gate"));
    drop(other);
    // Of many who hold, the one that is stopped.
    let other = Other::stopped_with(What::Shared, &lock("objects"));
    let others = (database.hold_objects().unwrap(), Other::holds(What::Shared, &lock("objects")));
    let error = database.collect_objects().unwrap_err();
    other.assert_named(&error.to_string(), "collect garbage", &lock("objects"));
    drop((other, others));
    drop(database.collect_objects().unwrap());
}

/// The process that publishes says what it waits for, and publishes by itself when that is over.
#[test]
fn publishing_goes_on_when_the_other_process_is_gone() {
    let index = Index::new(Kind::Filesystem);
    drop(index.create().unwrap());
    let store = index.path().join("store");
    let store = FilesystemStore::open_with_patience(store, PATIENCE).unwrap();
    let database: Box<dyn Database> =
        Box::new(SqliteDatabase::open_with_patience(index.database_path(), PATIENCE).unwrap());
    let path = store.base().join(".store/timestamp.lock");
    let repository = Arc::new(Repository::open(Box::new(store), database).unwrap());
    let lock = WriterLock::acquire(&index.lock_path()).unwrap();
    let online = Box::new(TestKey::new("online"));
    let process =
        SnapshotProcess::new(Arc::clone(&repository), online, Lifetimes::default(), lock).unwrap();
    process.publish_all(jiff::Timestamp::now()).unwrap();

    let other = Other::stopped_with(What::File, &path);
    let stop = Stop::new(Arc::clone(&repository));
    let until = |reached: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !reached() {
            assert!(Instant::now() < deadline, "{:?}", repository.publishing());
            thread::sleep(Duration::from_millis(5));
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| process.run(&stop).unwrap());
        let _stop = StopAtEnd(&stop);
        let serial = send(&repository, "flask-1.tar.gz");
        until(&|| matches!(repository.publishing(), Publishing::Failing { .. }));
        let Publishing::Failing { problem, .. } = repository.publishing() else { panic!() };
        other.assert_named(&problem, "replace timestamp.json", &path);
        assert_eq!(*repository.published().borrow(), 0);
        drop(other);
        until(&|| *repository.published().borrow() == serial);
    });
    audit_all(&repository, jiff::Timestamp::now());
}
