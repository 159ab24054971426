//! The conformance program (`examples/tuf-conformance.rs`) as the public suite runs it: exit codes,
//! the files in its metadata folder, and the requests that it makes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::{Simulator, TestKey, remove, role, set, signature, time};
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{MetaFile, Paths};

const PAST: &str = "2020-01-01T00:00:00Z";

pub(crate) struct Suite {
    pub(crate) index: ServedSimulator,
    mirror: Mirror,
    folder: tempfile::TempDir,
}

impl Suite {
    pub(crate) fn new() -> Self {
        Self::with(Simulator::new())
    }

    /// A client that has its first root.
    fn with(simulator: Simulator) -> Self {
        let root = simulator.first_root();
        let index = ServedSimulator::start(simulator);
        let mirror = Mirror::start(&index.url());
        let suite = Self { index, mirror, folder: tempfile::tempdir().unwrap() };
        for folder in [suite.metadata(), suite.targets()] {
            fs::create_dir(folder).unwrap();
        }
        let initial = suite.folder.path().join("initial_root.json");
        fs::write(&initial, root).unwrap();
        assert_eq!(suite.run(["init".as_ref(), initial.as_os_str()]), 0);
        assert_eq!(suite.requests().len(), 0);
        suite
    }

    pub(crate) fn metadata(&self) -> PathBuf {
        self.folder.path().join("metadata")
    }

    fn targets(&self) -> PathBuf {
        self.folder.path().join("targets")
    }

    fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> i32 {
        self.start(&mut Command::new(program()), arguments)
    }

    fn start<S: AsRef<OsStr>>(
        &self,
        command: &mut Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> i32 {
        self.mirror.forget_requests();
        let command = command.arg("--metadata-dir").arg(self.metadata()).args(arguments);
        command.stdout(Stdio::null()).status().unwrap().code().unwrap()
    }

    pub(crate) fn refresh(&self) -> i32 {
        self.run(["--metadata-url", &self.url("metadata"), "refresh"])
    }

    /// The same at another time, which libfaketime sets from outside.
    fn refresh_at(&self, time: &str) -> i32 {
        let mut command = Command::new("faketime");
        command.env("TZ", "UTC").arg(time).arg(program());
        self.start(&mut command, ["--metadata-url", &self.url("metadata"), "refresh"])
    }

    fn download(&self, names: &[&str]) -> i32 {
        let (metadata, base) = (self.url("metadata"), self.url("targets"));
        let targets = self.targets();
        let mut arguments = vec!["--metadata-url", &metadata];
        for name in names {
            arguments.extend(["--target-name", name]);
        }
        arguments.extend(["--target-base-url", &base]);
        arguments.extend(["--target-dir", targets.to_str().unwrap(), "download"]);
        self.run(arguments)
    }

    pub(crate) fn url(&self, part: &str) -> String {
        format!("{}tuf/{part}/", self.mirror.url())
    }

    /// The last part of the path of each request.
    fn requests(&self) -> Vec<String> {
        let requests = self.mirror.requests().into_iter();
        requests.map(|request| request.path.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// What is trusted, as the suite sees it: every `*.json` directly in the folder.
    pub(crate) fn trusted(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.metadata()).unwrap().map(|entry| entry.unwrap().path());
        let is_json = |path: &PathBuf| path.extension().is_some_and(|end| end == "json");
        let named = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        entries.filter(is_json).map(|path| (named(path.clone()), fs::read(path).unwrap())).collect()
    }

    /// Checks that the newest of everything is trusted.
    pub(crate) fn assert_up_to_date(&self) {
        let (root, snapshot, targets) = {
            let mut simulator = self.index.simulator();
            let targets = simulator.role("targets").version;
            (simulator.root.version, simulator.snapshot.version, targets)
        };
        let root = format!("{root}.root.json");
        let (snapshot, targets) =
            (format!("{snapshot}.snapshot.json"), format!("{targets}.targets.json"));
        self.assert_trusted(&[
            ("root.json", &root),
            TIMESTAMP,
            ("snapshot.json", &snapshot),
            ("targets.json", &targets),
        ]);
    }

    /// Checks that exactly these published files are trusted, byte for byte.
    fn assert_trusted(&self, expected: &[(&str, &str)]) {
        let files = &self.index.simulator().files;
        let expected = expected.iter();
        let expected = expected.map(|(name, path)| ((*name).to_owned(), files[*path].clone()));
        let (trusted, expected): (_, BTreeMap<_, _>) = (self.trusted(), expected.collect());
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&trusted), names(&expected));
        assert!(trusted == expected, "the bytes are others");
    }
}

/// Cargo puts examples beside the folder of the test binaries.
pub(crate) fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().parent().unwrap().join("examples/tuf-conformance");
    let build = "cargo build --package waxseal-client --example tuf-conformance";
    assert!(program.exists(), "{} is missing: run `{build}`", program.display());
    program
}

fn everything() -> Paths {
    Paths::Patterns(vec!["*".to_owned()])
}

const ROOT: (&str, &str) = ("root.json", "1.root.json");
const TIMESTAMP: (&str, &str) = ("timestamp.json", "timestamp.json");
const SNAPSHOT: (&str, &str) = ("snapshot.json", "1.snapshot.json");
const TARGETS: (&str, &str) = ("targets.json", "1.targets.json");

#[test]
fn a_refresh_makes_four_requests_and_stores_the_bytes_that_came() {
    let suite = Suite::new();
    // White space is not signed, and kept.
    suite.index.simulator().files.get_mut("timestamp.json").unwrap().extend(b" \n ");
    assert_eq!(suite.refresh(), 0);
    let expected = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"];
    assert_eq!(suite.requests(), expected);
    suite.assert_trusted(&[ROOT, TIMESTAMP, SNAPSHOT, TARGETS]);
    assert_eq!(suite.refresh(), 0);
    assert_eq!(suite.requests(), ["2.root.json", "timestamp.json"]);
}

#[test]
fn exit_codes_are_0_and_1() {
    let suite = Suite::new();
    assert_eq!(suite.run(["init", "/nowhere/root.json"]), 1);
    assert_eq!(suite.run(["refresh"]), 1);
    assert_eq!(suite.run(["--no-such-option"]), 1);
    assert_eq!(suite.run(["--metadata-url", "ftp://host/", "refresh"]), 1);
    assert_eq!(suite.run(["--metadata-url", "http://127.0.0.1:1/", "refresh"]), 1);
    assert_eq!(suite.download(&["no such target"]), 1);
    assert_eq!(suite.download(&["../outside"]), 1);
    assert_eq!(suite.refresh(), 0);
}

#[test]
fn an_initial_root_that_is_none_makes_no_requests() {
    let suite = Suite::new();
    for change in ["\"version\"", "\"sig\""] {
        let broken = String::from_utf8(suite.index.simulator().first_root()).unwrap();
        let initial = suite.folder.path().join("broken.json");
        fs::write(&initial, broken.replacen(change, "\"other\"", 1)).unwrap();
        suite.run(["init".as_ref(), initial.as_os_str()]);
        fs::copy(&initial, suite.metadata().join("root.json")).unwrap();
        assert_eq!(suite.refresh(), 1);
        assert_eq!(suite.requests().len(), 0);
    }
}

#[test]
fn a_role_that_verified_is_stored_although_a_later_one_is_refused() {
    for (refused, kept) in [("timestamp", 1), ("snapshot", 2), ("targets", 3)] {
        let suite = Suite::new();
        {
            let mut simulator = suite.index.simulator();
            simulator.publish_root();
            let path = simulator.path(refused, 1);
            simulator.replace_text(&path, "\"sig\":\"", "\"sig\":\"00");
            if refused == "snapshot" {
                simulator.timestamp.snapshot = MetaFile::version(1);
                simulator.publish_timestamp();
            }
        }
        assert_eq!(suite.refresh(), 1, "{refused}");
        let root = ("root.json", "2.root.json");
        suite.assert_trusted(&[root, TIMESTAMP, SNAPSHOT, TARGETS][..kept]);
    }
}

#[test]
fn an_expired_new_root_is_stored_and_no_other_expired_role_is() {
    let suite = Suite::new();
    assert_eq!(suite.refresh(), 0);
    {
        let mut simulator = suite.index.simulator();
        simulator.timestamp.expires = time(PAST);
        let old = simulator.files["timestamp.json"].clone();
        simulator.publish_timestamp();
        simulator.files.insert("old".to_owned(), old);
    }
    assert_eq!(suite.refresh(), 1);
    suite.assert_trusted(&[ROOT, ("timestamp.json", "old"), SNAPSHOT, TARGETS]);
    {
        let mut simulator = suite.index.simulator();
        simulator.root.expires = time(PAST);
        simulator.publish_root();
    }
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.requests(), ["2.root.json", "3.root.json"]);
    let root = ("root.json", "2.root.json");
    suite.assert_trusted(&[root, ("timestamp.json", "old"), SNAPSHOT, TARGETS]);
}

#[test]
fn an_expired_local_root_and_timestamp_are_still_a_base_to_update_from() {
    let suite = Suite::new();
    {
        let mut simulator = suite.index.simulator();
        simulator.root.expires = time("2028-01-01T00:00:00Z");
        simulator.publish_root();
        simulator.timestamp.expires = time("2028-01-01T00:00:00Z");
        simulator.publish_timestamp();
        simulator.publish_timestamp();
    }
    assert_eq!(suite.refresh(), 0);
    assert_eq!(suite.refresh_at("2028-02-01 00:00:00"), 1, "libfaketime has no effect");
    let old = suite.index.simulator().files["timestamp.json"].clone();
    {
        let mut simulator = suite.index.simulator();
        let later = time("2029-01-01T00:00:00Z");
        (simulator.root.expires, simulator.timestamp.expires) = (later, later);
        simulator.publish_root();
        // Older than the expired one that the client has.
        simulator.timestamp.version = 1;
        simulator.write_timestamp();
    }
    assert_eq!(suite.refresh_at("2028-02-01 00:00:00"), 1);
    assert_eq!(suite.trusted()["timestamp.json"], old);
    suite.index.simulator().timestamp.version = 3;
    suite.index.simulator().publish_timestamp();
    assert_eq!(suite.refresh_at("2028-02-01 00:00:00"), 0);
    suite.assert_trusted(&[("root.json", "3.root.json"), TIMESTAMP, SNAPSHOT, TARGETS]);
}

#[test]
fn new_keys_recover_from_a_fast_forward() {
    let suite = Suite::new();
    {
        let mut simulator = suite.index.simulator();
        simulator.snapshot.version = 99;
        simulator.timestamp.version = 99;
        simulator.publish_targets("targets");
    }
    assert_eq!(suite.refresh(), 0);
    {
        let mut simulator = suite.index.simulator();
        for name in ["timestamp", "snapshot"] {
            simulator.rotate(name, &[&format!("new {name}")], 1);
        }
        simulator.publish_root();
        (simulator.snapshot.version, simulator.timestamp.version) = (1, 1);
        simulator.role("targets").version = 1;
        simulator.write_targets("targets");
        simulator.write_snapshot();
        simulator.write_timestamp();
    }
    assert_eq!(suite.refresh(), 0);
    suite.assert_trusted(&[("root.json", "2.root.json"), TIMESTAMP, SNAPSHOT, TARGETS]);
}

#[test]
fn what_goes_back_or_vanishes_is_refused() {
    let mut simulator = Simulator::new();
    simulator.delegate("targets", "a", everything(), false);
    simulator.publish_targets("targets");
    simulator.publish_snapshot();
    let suite = Suite::with(simulator);
    assert_eq!(suite.refresh(), 0);
    let before = suite.trusted();
    let honest = suite.index.simulator().clone();

    // Timestamp goes up, the snapshot in it goes down: timestamp itself is refused.
    suite.index.simulator().timestamp.snapshot.version = 2;
    suite.index.simulator().publish_timestamp();
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.trusted(), before);

    suite.index.simulator().clone_from(&honest);
    suite.index.simulator().snapshot.roles.remove(&role("a"));
    suite.index.simulator().publish_snapshot();
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.trusted()["snapshot.json"], before["snapshot.json"]);

    suite.index.simulator().clone_from(&honest);
    suite.index.simulator().timestamp.version += 1;
    suite.index.simulator().snapshot.roles.insert(role("targets"), MetaFile::version(1));
    suite.index.simulator().publish_snapshot();
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.trusted()["snapshot.json"], before["snapshot.json"]);
}

#[test]
fn a_timestamp_of_the_same_version_changes_nothing_and_succeeds() {
    let suite = Suite::new();
    assert_eq!(suite.refresh(), 0);
    let before = suite.trusted();
    suite.index.simulator().timestamp.snapshot = MetaFile::version(100);
    suite.index.simulator().write_timestamp();
    assert_eq!(suite.refresh(), 0);
    assert_eq!(suite.requests(), ["2.root.json", "timestamp.json"]);
    assert_eq!(suite.trusted(), before);
}

#[test]
fn role_names_are_one_segment_of_a_url_and_one_file() {
    for (name, encoded) in [
        ("?", "%3F"),
        ("#", "%23"),
        ("/a", "%2Fa"),
        ("../a", "..%2Fa"),
        ("..", ".."),
        ("a b%ä", "a%20b%25%C3%A4"),
    ] {
        let mut simulator = Simulator::new();
        simulator.delegate("targets", name, everything(), false);
        simulator.publish_targets("targets");
        let suite = Suite::with(simulator);
        assert_eq!(suite.download(&["nothing"]), 1, "{name}");
        // The repository has no file of that name, percent-encoded twice or decoded.
        assert_eq!(suite.requests().last(), Some(&format!("1.{encoded}.json")), "{name}");
        assert_eq!(suite.trusted().len(), 5, "{name}");
        assert!(suite.trusted().contains_key(&format!("{encoded}.json")), "{name}");
        let outside: Vec<_> = fs::read_dir(suite.folder.path()).unwrap().collect();
        assert_eq!(outside.len(), 3, "{name}: {outside:?}");
    }
}

#[test]
fn the_metadata_url_is_taken_as_it_is() {
    let suite = Suite::new();
    let odd = format!("{}test%5B..%2Fa%2f%41%5D/m", suite.mirror.url());
    assert_eq!(suite.run(["--metadata-url", &odd, "refresh"]), 1);
    let requests = suite.mirror.requests();
    assert_eq!(requests[0].path, "/test%5B..%2Fa%2f%41%5D/m/2.root.json");
}

#[test]
fn what_is_not_there_is_asked_for_once() {
    let suite = Suite::new();
    suite.index.simulator().files.remove("1.snapshot.json");
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.requests(), ["2.root.json", "timestamp.json", "1.snapshot.json"]);
    suite.index.simulator().files.remove("timestamp.json");
    assert_eq!(suite.refresh(), 1);
    assert_eq!(suite.requests(), ["2.root.json", "timestamp.json"]);
}

#[test]
fn a_target_has_one_name_and_is_not_fetched_again_while_it_is_unchanged() {
    let mut simulator = Simulator::new();
    simulator.add_target("targets", "dir/file.txt", b"one");
    simulator.publish_targets("targets");
    let suite = Suite::with(simulator);
    let files = |suite: &Suite| -> Vec<PathBuf> {
        fs::read_dir(suite.targets()).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    assert_eq!(suite.download(&["dir/file.txt"]), 0);
    let [file] = files(&suite).try_into().unwrap();
    let touched = |file: &Path| fs::metadata(file).unwrap().modified().unwrap();
    let (first, read) = (touched(&file), |file: &Path| fs::read(file).unwrap());
    assert_eq!(read(&file), b"one");

    // A mirror that has gone bad meanwhile is not asked.
    suite.mirror.set(Tamper {
        matches: PathPattern::suffix("file.txt"),
        change: Change::ReplaceBody(b"bad".to_vec()),
    });
    assert_eq!(suite.download(&["dir/file.txt"]), 0);
    assert_eq!(suite.requests(), ["2.root.json", "timestamp.json"]);
    assert_eq!(touched(&file), first);

    suite.index.simulator().add_target("targets", "dir/file.txt", b"two");
    suite.index.simulator().publish_targets("targets");
    assert_eq!(suite.download(&["dir/file.txt"]), 1);
    assert_eq!(read(&file), b"one");
    suite.mirror.honest();
    assert_eq!(suite.download(&["dir/file.txt"]), 0);
    assert_eq!(files(&suite), std::slice::from_ref(&file));
    assert_eq!(read(&file), b"two");
}

#[test]
fn several_targets_are_fetched_until_the_first_that_fails() {
    let mut simulator = Simulator::new();
    for name in ["a", "b"] {
        simulator.add_target("targets", &format!("dir/{name}"), name.as_bytes());
    }
    simulator.publish_targets("targets");
    let suite = Suite::with(simulator);
    assert_eq!(suite.download(&["dir/a", "dir/none", "dir/b"]), 1);
    assert_eq!(fs::read_dir(suite.targets()).unwrap().count(), 1);
    assert_eq!(suite.download(&["dir/a", "dir/b"]), 0);
    assert_eq!(fs::read_dir(suite.targets()).unwrap().count(), 2);
}

#[test]
fn duplicate_signatures_are_refused() {
    let suite = Suite::new();
    let key = TestKey::new("timestamp");
    suite.index.simulator().edit("timestamp.json", |file| {
        let signed = remove(file, &["signed"]);
        let one = signature(&signed, &key, key.keyid().as_str());
        let Value::Object(file) = file else { panic!("no object") };
        file.insert("signatures", vec![one.clone(), one]);
        file.insert("signed", signed);
    });
    assert_eq!(suite.refresh(), 1);
    suite.assert_trusted(&[ROOT]);
}

#[test]
fn a_threshold_above_the_number_of_keys_is_a_role_that_cannot_verify() {
    let suite = Suite::new();
    {
        let mut simulator = suite.index.simulator();
        simulator.publish_root();
        simulator.resign("2.root.json", "root", |signed| {
            set(signed, &["roles", "snapshot", "threshold"], "2");
        });
    }
    assert_eq!(suite.refresh(), 1);
    suite.assert_trusted(&[("root.json", "2.root.json"), TIMESTAMP]);
}

#[test]
fn a_chain_of_roots_goes_on_after_a_kill_in_its_middle() {
    let mut simulator = Simulator::new();
    crate::root_chain::publish_roots(&mut simulator, 300);
    let suite = Suite::with(simulator);
    for kill_at in [40, 80] {
        suite.mirror.forget_requests();
        let mut command = Command::new(program());
        let command = command.arg("--metadata-dir").arg(suite.metadata());
        let command = command.args(["--metadata-url", &suite.url("metadata"), "refresh"]);
        let mut child = command.spawn().unwrap();
        while suite.mirror.requests().len() < kill_at {
            assert_eq!(child.try_wait().unwrap(), None);
        }
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None);
    }
    // Two times forty and eighty, but for what was asked for and not stored when the kill came.
    assert_eq!(suite.refresh(), 0);
    let first = suite.requests()[0].clone();
    let reached: u64 = first.split('.').next().unwrap().parse().unwrap();
    assert!((115..300).contains(&reached), "{first}");
    let trusted = suite.trusted();
    assert_eq!(trusted["root.json"], suite.index.simulator().files["300.root.json"]);
    assert_eq!(trusted.len(), 4);
}

/// The example that embeds the update workflow without a runtime.
#[test]
fn the_blocking_example_prints_a_verified_target_and_nothing_else() {
    let mut simulator = Simulator::new();
    simulator.delegate_bins("targets", 4, "bin");
    simulator.publish_targets("targets");
    crate::world::publish(&mut simulator, "dir/file", b"content");
    let suite = Suite::with(simulator);
    let example = |path: &str| {
        let mut command = Command::new(program().with_file_name("blocking"));
        command.arg(format!("{}tuf", suite.mirror.url())).arg(suite.metadata()).arg(path);
        command.output().unwrap()
    };
    let output = example("dir/file");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && output.stdout == b"content", "{stderr}");
    assert!(stderr.contains("fetching timestamp.json of at most"), "{stderr}");
    assert!(!example("dir/other").status.success());
    suite.mirror.set(Tamper {
        matches: PathPattern::suffix(".file"),
        change: Change::ReplaceBody(b"Content".to_vec()),
    });
    let output = example("dir/file");
    assert!(!output.status.success() && output.stdout.is_empty());
}
