//! An index on disk that is copied for each run, what was seen of it, and its clients.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;
use waxseal_repository::audit::{self, Counts, Settings};
use waxseal_repository::database::{Batch, Catalog, Journal, Publication, SqliteDatabase};
use waxseal_repository::store::FilesystemStore;
use waxseal_testkit::simulator::{self, drive, drive_search};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{Limits, MetadataFile, RoleName, Search, TargetPath, Updater};

use crate::harness::{Form, Index, Process, Wheel, make_wheels, tree, waxseal};

/// Projects that each run uploads, one after the other, and one that it uploads at its end.
pub(super) const PROJECTS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What runs begin with: an index with one project, and a client that has seen it.
pub(super) struct World {
    index: Index,
    _wheels_folder: TempDir,
    pub(super) wheels: Vec<PathBuf>,
    trust: simulator::Store,
    garbage: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let mut index = Index::quickstart_with(|command| command.args(["--bins", "8"]));
        index.upload_new(Wheel::new("before", "1.0"));
        // What cannot be published soon is answered soon.
        index.configure("publish-wait-seconds", 1);
        // Each run has a copy.
        index.configure("reserve-mebibytes", 1);
        index.stop();
        let folder = tempfile::tempdir().unwrap();
        let wheels: Vec<_> = PROJECTS.map(|name| Wheel::new(name, "1.0")).into();
        let wheels = make_wheels(folder.path(), &wheels);
        let mut trust = simulator::Store::new();
        let mut this =
            Self { index, _wheels_folder: folder, wheels, trust: BTreeMap::new(), garbage: 0 };
        let run = this.copy();
        read(&run.store(), &mut trust, &[]);
        this.garbage = run.audit().garbage;
        this.trust = trust;
        this
    }

    /// A copy of the index for one run. Hard links stay such.
    pub(super) fn copy(&self) -> Run<'_> {
        let folder = folder();
        let data = folder.path().join("data");
        let copied = Command::new("cp").arg("-a").arg(self.index.data()).arg(&data).status();
        assert!(copied.unwrap().success());
        let mut run = Run { world: self, folder, data, seen: BTreeMap::new(), accepted: vec![] };
        run.look();
        run
    }
}

/// One index in one run.
pub(super) struct Run<'a> {
    world: &'a World,
    folder: TempDir,
    pub(super) data: PathBuf,
    /// Every file that was ever seen in the store, by its digest.
    seen: BTreeMap<PathBuf, Sha256>,
    /// The wheels whose upload was answered 200.
    accepted: Vec<PathBuf>,
}

/// A server of a run.
pub(super) struct Server {
    pub(super) process: Process,
    pub(super) url: String,
}

impl Server {
    /// What the index prints when it serves; `None` if it ended before.
    pub(super) fn of(process: Process) -> Result<Self, String> {
        // A whole line: the program may be killed between its pieces.
        let line = |text: &str| {
            let (_, after) = text.split_once(" on http://")?;
            Some(format!("http://{}", after.split_once('\n')?.0))
        };
        match process.stderr.wait(|text| line(text).is_some()) {
            true => Ok(Self { url: line(&process.stderr.text()).unwrap(), process }),
            false => Err(process.end().1),
        }
    }
}

impl Run<'_> {
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// The words after the program's name that serve this index.
    pub(super) fn serve_words(&self) -> [String; 5] {
        let data = self.data.display().to_string();
        ["serve", "--data", &data, "--listen", "127.0.0.1:0"].map(str::to_owned)
    }

    /// Serves the index, which publishes whatever was left before it says so.
    pub(super) fn serve(&self) -> Server {
        Server::of(self.start()).unwrap_or_else(|screen| panic!("{screen}"))
    }

    /// The same; if it says that it waits for another process, that process.
    pub(super) fn serve_unless_it_waits(&self) -> Result<Server, Process> {
        let process = self.start();
        let served = process
            .stderr
            .wait(|text| text.contains("serving ") || text.contains("gives up after 30.0 s"));
        assert!(served, "it neither serves nor waits: {}", process.screen());
        match process.stderr.text().contains("gives up after 30.0 s") {
            true => Err(process),
            false => Ok(Server::of(process).unwrap_or_else(|screen| panic!("{screen}"))),
        }
    }

    fn start(&self) -> Process {
        let words = self.serve_words();
        let command = waxseal(words.iter().map(String::as_str));
        Process::start(command.env("TOKIO_WORKER_THREADS", "1"))
    }

    /// Uploads a wheel, and remembers that it was answered 200; `None`: there was no answer.
    pub(super) fn upload(&mut self, url: &str, number: usize) -> Option<u16> {
        let wheel = self.world.wheels[number].clone();
        let answer = Form::file(&self.world.index.token, &wheel).post(url).ok()?;
        if answer.status == 200 && !self.accepted.contains(&wheel) {
            self.accepted.push(wheel);
        }
        Some(answer.status)
    }

    /// An upload that was made elsewhere.
    pub(super) fn accepted(&mut self, number: usize) {
        self.accepted.push(self.world.wheels[number].clone());
    }

    pub(super) fn form(&self, number: usize) -> Form {
        Form::file(&self.world.index.token, &self.world.wheels[number])
    }

    /// Records every object, and compares it with what had its name before.
    pub(super) fn look(&mut self) {
        let store = self.store();
        for area in ["tuf", "files"] {
            for (path, bytes) in tree(&store.join(area)) {
                if path.ends_with("timestamp.json") {
                    continue;
                }
                let digest = Sha256::of(&bytes);
                let before = *self.seen.entry(path.clone()).or_insert(digest);
                assert_eq!(before, digest, "{} has two contents", path.display());
            }
        }
    }

    /// The audit of this moment, which must be valid.
    pub(super) fn audit(&self) -> Counts {
        let store = FilesystemStore::open_to_read(self.store()).unwrap();
        let settings = Settings { now: Timestamp::now(), deep: true };
        let database = self.database();
        let report = audit::audit(&store, Some(&database), settings, &mut |_| {}).unwrap();
        assert!(report.valid, "{report:#?}");
        report.counts
    }

    fn database(&self) -> SqliteDatabase {
        SqliteDatabase::open_to_read(self.data.join("waxseal.sqlite")).unwrap()
    }

    /// What a crash left, in words.
    pub(super) fn left_behind(&self) -> Vec<&'static str> {
        let counts = self.audit();
        let database = self.database();
        let spool = tree(&self.store().join(".store/spool"));
        let mut left = Vec::new();
        match database.batch().unwrap() {
            Some(Batch::Reserved(_)) => left.push("batch reserved"),
            Some(Batch::Decided(_)) => left.push("batch decided"),
            None => {}
        }
        for (word, is) in [
            ("entries waiting", counts.waiting_entries > 0),
            ("unfinished files in the spool", !spool.is_empty()),
            ("metadata not published", counts.unpublished_metadata > 0),
            ("objects not named", counts.garbage > self.world.garbage),
        ] {
            if is {
                left.push(word);
            }
        }
        if left.is_empty() {
            left.push("nothing");
        }
        left
    }

    /// Whether all that was accepted is published.
    pub(super) fn is_published(&self) -> bool {
        let database = self.database();
        database.published_serial().unwrap() == database.last_serial().unwrap()
    }

    /// Waits until the running index has published all that it accepted.
    pub(super) fn wait_until_published(&self) {
        let database = self.database();
        let until = Instant::now() + Duration::from_secs(40);
        while database.published_serial().unwrap() < database.last_serial().unwrap() {
            assert!(Instant::now() < until, "it does not recover by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything that was answered 200 is there, for a client that comes back and for a new one, and
    /// the shipped audit finds nothing.
    pub(super) fn check(&mut self) {
        self.look();
        let data = self.data.display().to_string();
        waxseal(["audit", "repo", "--deep", &data]).run().success();
        let counts = self.audit();
        assert_eq!(counts.waiting_entries, 0);
        for mut trust in [self.world.trust.clone(), simulator::Store::new()] {
            read(&self.store(), &mut trust, &self.accepted);
        }
    }

    /// The same with `waxseal download` as a new user.
    pub(super) fn download_all(&self, url: &str) {
        let home = self.folder.path().join("home");
        fs::create_dir_all(&home).unwrap();
        let fingerprint = &self.world.index.fingerprint;
        let trust = ["trust", "add", url, "--fingerprint", fingerprint];
        waxseal(trust).home(&home).run().success();
        for wheel in &self.accepted {
            let to = home.join("wheel").display().to_string();
            let path = target(wheel);
            waxseal(["download", path.as_str(), "-o", &to]).home(&home).run().success();
            assert_eq!(fs::read(&to).unwrap(), fs::read(wheel).unwrap());
        }
    }
}

/// A folder in memory where there is one: what is tried here are the calls, and a disk that others use as
/// well would take most of the time.
fn folder() -> TempDir {
    let memory = tempfile::Builder::new().prefix("waxseal-sweep-").tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// The target path of a wheel.
fn target(wheel: &Path) -> TargetPath {
    let filename = wheel.file_name().unwrap().to_str().unwrap();
    let project = filename.split('-').next().unwrap();
    TargetPath::new(format!("packages/{project}/{filename}")).unwrap()
}

/// Brings a client up to date out of a store, and gets these wheels.
fn read(store: &Path, trust: &mut simulator::Store, wheels: &[PathBuf]) {
    let metadata = store.join("tuf/metadata");
    let fetch = |file: &MetadataFile| fs::read(metadata.join(&file.path)).ok();
    let first = fs::read(metadata.join("1.root.json")).unwrap();
    let root = trust.get(&RoleName::new(RoleName::ROOT).unwrap()).unwrap_or(&first).clone();
    let updater = Updater::new(&root, Timestamp::now(), Limits::default()).unwrap();
    let mut trusted = drive(updater, trust, fetch).unwrap();
    for wheel in wheels {
        let path = target(wheel);
        let search = Search::new(path.clone(), &trusted, Limits::default()).unwrap();
        let file = drive_search(search, &mut trusted, trust, fetch).unwrap();
        let file = file.unwrap_or_else(|| panic!("{path} was answered 200 and is no target"));
        let location = trusted.target_location(&path, &file).unwrap();
        for place in
            [store.join("tuf/targets").join(location), store.join("files").join(path.as_str())]
        {
            assert_eq!(fs::read(place).unwrap(), fs::read(wheel).unwrap(), "{path}");
        }
    }
}
