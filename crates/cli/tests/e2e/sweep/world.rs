//! An index on disk that is copied for each run, what was seen of it, and its clients.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tempfile::TempDir;
use waxseal_repository::audit::keys::{KeysAudit, of_database};
use waxseal_repository::audit::{self, Counts, Settings};
use waxseal_repository::database::{Batch, Catalog, Journal, Publication, SqliteDatabase};
use waxseal_repository::store::FilesystemStore;
use waxseal_testkit::simulator::{self, drive, drive_search};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{Limits, MetadataFile, RoleName, Search, TargetPath, Updater};

use crate::harness::{Form, Index, Process, Wheel, make_wheels, tree, waxseal};

/// Files of a store by their paths in it, with their digests.
pub(super) type Objects = BTreeMap<PathBuf, Sha256>;

/// Projects that each run uploads, one after the other, and one that it uploads at its end.
pub(super) const PROJECTS: [&str; 3] = ["alpha", "beta", "gamma"];

/// What runs begin with: an index that is not served, and a client that has seen it.
pub(super) struct World {
    folder: TempDir,
    token: String,
    fingerprint: String,
    pub(super) wheels: Vec<PathBuf>,
    trust: simulator::Store,
    garbage: u64,
}

impl World {
    /// An index with one project.
    pub(super) fn new() -> Self {
        let mut index = Index::quickstart_with(|command| command.args(["--bins", "8"]));
        index.upload_new(Wheel::new("before", "1.0"));
        // What cannot be published soon is answered soon.
        index.configure("publish-wait-seconds", 1);
        // Each run has a copy.
        index.configure("reserve-mebibytes", 1);
        index.stop();
        let mut this = Self::of(&index.data());
        let wheels: Vec<_> = PROJECTS.map(|name| Wheel::new(name, "1.0")).into();
        this.wheels = make_wheels(this.folder.path(), &wheels);
        (this.token, this.fingerprint) = (index.token, index.fingerprint);
        this
    }

    /// The index in a folder, as it is now.
    pub(super) fn of(data: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(data, folder.path());
        let (token, fingerprint) = (String::new(), String::new());
        let (wheels, trust) = (Vec::new(), simulator::Store::new());
        let this = Self { folder, token, fingerprint, wheels, trust, garbage: 0 };
        let mut run = this.copy();
        if !run.is_anything_published() {
            drop(run);
            return this;
        }
        run.come_back();
        let (garbage, trust) = (run.audit().garbage, std::mem::take(&mut run.trust));
        drop(run);
        Self { trust, garbage, ..this }
    }

    /// A copy of the index for one run. Hard links stay such.
    pub(super) fn copy(&self) -> Run<'_> {
        let folder = folder();
        copy(&self.folder.path().join("data"), folder.path());
        let (data, trust) = (folder.path().join("data"), self.trust.clone());
        let (seen, accepted, imported) = (Objects::new(), Vec::new(), Vec::new());
        let mut run = Run { world: self, folder, data, seen, trust, accepted, imported };
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
    seen: Objects,
    /// What a client trusts that comes back.
    trust: simulator::Store,
    /// The wheels whose upload was answered 200.
    accepted: Vec<PathBuf>,
    /// What an import lists, with its content; the files are elsewhere.
    pub(super) imported: Vec<(TargetPath, String)>,
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
        let answer = Form::file(&self.world.token, &wheel).post(url).ok()?;
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
        Form::file(&self.world.token, &self.world.wheels[number])
    }

    /// What clients may download, with its digest.
    pub(super) fn objects(&self) -> Objects {
        let store = self.store();
        let relative = |path: PathBuf| path.strip_prefix(&store).unwrap().to_owned();
        let all =
            tree(&store).into_iter().map(|(path, bytes)| (relative(path), Sha256::of(&bytes)));
        all.filter(|(path, _)| !path.starts_with(".store")).collect()
    }

    /// Records every object, and compares it with what had its name before.
    pub(super) fn look(&mut self) {
        for (path, digest) in self.objects() {
            if path.ends_with("timestamp.json") {
                continue;
            }
            let before = *self.seen.entry(path.clone()).or_insert(digest);
            assert_eq!(before, digest, "{} has two contents", path.display());
        }
    }

    /// The audit of this moment, which must be valid.
    pub(super) fn audit(&self) -> Counts {
        let store = FilesystemStore::open_to_read(self.store()).unwrap();
        let settings = Settings { now: Timestamp::now(), deep: true };
        let database = self.database();
        let report = audit::audit(&store, Some(&database), settings, &mut |_| {}).unwrap();
        assert!(report.valid, "{report:#?}");
        // Whatever the online key has signed of what is there is in the log of its use.
        let keys = KeysAudit { store: Some(&store), ..KeysAudit::default() };
        let logged = keys.run(of_database(&database), &mut |_| {}).unwrap();
        assert!(logged.valid, "{logged:#?}");
        report.counts
    }

    fn database(&self) -> SqliteDatabase {
        SqliteDatabase::open_to_read(self.data.join("waxseal.sqlite")).unwrap()
    }

    /// What a crash left, in words.
    pub(super) fn left_behind(&self) -> Vec<&'static str> {
        if !self.is_anything_published() {
            return vec!["nothing published"];
        }
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
        waxseal(["audit", "keys", &data]).run().success();
        let counts = self.audit();
        assert_eq!(counts.waiting_entries, 0);
        let mut new = simulator::Store::new();
        for trust in [&mut self.trust, &mut new] {
            let client = Client { store: &self.data.join("store"), trust };
            client.read(&self.accepted, &self.imported);
        }
    }

    /// A client comes back that may find an older state, but one that is whole.
    pub(super) fn come_back(&mut self) {
        Client { store: &self.data.join("store"), trust: &mut self.trust }.read(&[], &[]);
    }

    /// Whether there is a first snapshot.
    pub(super) fn is_anything_published(&self) -> bool {
        self.store().join("tuf/metadata/timestamp.json").exists()
    }

    /// The same with `waxseal download` as a new user.
    pub(super) fn download_all(&self, url: &str) {
        let home = self.folder.path().join("home");
        fs::create_dir_all(&home).unwrap();
        let fingerprint = &self.world.fingerprint;
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

/// Copies an index into the folder `data` of another folder. Hard links stay such.
fn copy(data: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(data).arg(to.join("data")).status();
    assert!(copied.unwrap().success());
}

/// The target path of a wheel.
fn target(wheel: &Path) -> TargetPath {
    let filename = wheel.file_name().unwrap().to_str().unwrap();
    let project = filename.split('-').next().unwrap();
    TargetPath::new(format!("packages/{project}/{filename}")).unwrap()
}

/// A client of a store.
struct Client<'a> {
    store: &'a Path,
    trust: &'a mut simulator::Store,
}

impl Client<'_> {
    /// Comes up to date, gets these wheels, and finds these targets with this content.
    fn read(self, wheels: &[PathBuf], imported: &[(TargetPath, String)]) {
        let Self { store, trust } = self;
        let metadata = store.join("tuf/metadata");
        let fetch = |file: &MetadataFile| fs::read(metadata.join(&file.path)).ok();
        let first = fs::read(metadata.join("1.root.json")).unwrap();
        let root = trust.get(&RoleName::new(RoleName::ROOT).unwrap()).unwrap_or(&first).clone();
        let updater = Updater::new(&root, Timestamp::now(), Limits::default()).unwrap();
        let mut trusted = drive(updater, trust, fetch).unwrap();
        let mut find = |path: &TargetPath| {
            let search = Search::new(path.clone(), &trusted, Limits::default()).unwrap();
            let file = drive_search(search, &mut trusted, trust, fetch).unwrap();
            let file = file.unwrap_or_else(|| panic!("{path} has to be there and is no target"));
            (trusted.target_location(path, &file).unwrap(), file)
        };
        for wheel in wheels {
            let path = target(wheel);
            let (location, _) = find(&path);
            for place in
                [store.join("tuf/targets").join(location), store.join("files").join(path.as_str())]
            {
                assert_eq!(fs::read(place).unwrap(), fs::read(wheel).unwrap(), "{path}");
            }
        }
        for (path, content) in imported {
            let (_, file) = find(path);
            let digest = Sha256::of(content.as_bytes()).to_string();
            assert_eq!(file.length, content.len() as u64, "{path}");
            assert_eq!(file.hashes.file_name_digest(), Some(&*digest), "{path}");
        }
    }
}
