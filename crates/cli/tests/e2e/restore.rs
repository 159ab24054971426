//! Restoring an index after a compromise with `waxseal restore`, as an operator does it, and pip and python-tuf
//! meet it.

use std::fs;

use serde_json::Value;
use waxseal_repository::ceremony::Succession;
use waxseal_signing::{PrivateKey, create_key_file};
use waxseal_testkit::peers::Outcome;

use crate::compromise::{hold_ceremony, hold_ceremony_as, key, push_versions};
use crate::harness::{Index, Person, Tool, Wheel, assert_shows, copy, exited, killed_at_writes};
use crate::python_tuf;

const APPLY: [&str; 5] = ["restore", "apply", "plan.toml", "--bundle", "new"];

/// A stolen index: somebody has uploaded what nobody knows of, and has the online key.
struct Stolen {
    index: Index,
    /// The last snapshot before.
    good: String,
}

impl Stolen {
    fn new() -> Self {
        Self::with_bins("256")
    }

    fn with_bins(bins: &str) -> Self {
        let mut index = Index::quickstart_with(|command| command.args(["--bins", bins]));
        for (name, version) in [("alpha", "1.0"), ("beta", "1.0")] {
            index.upload_new(Wheel::new(name, version));
        }
        index.operator(["audit", "archive", "waxseal-data", "index.archive"]).run().success();
        let good = index.status()["snapshot"].to_string();
        for (name, version) in [("alpha", "6.6"), ("alpha", "2.0"), ("evil", "1.0")] {
            index.upload_new(Wheel::new(name, version));
        }
        index.stop();
        Self { index, good }
    }

    fn metadata(&self) -> std::path::PathBuf {
        self.index.data().join("store/tuf/metadata")
    }

    /// All restored but one file.
    fn plan(&self) {
        let words = ["restore", "plan", "--last-known-good", &self.good, "--from", "index.archive"];
        let outcome = self.index.operator(words).args(["--output", "plan.toml"]).run().success();
        let since = format!("since snapshot {}: 3 added, 0 changed, 0 removed files", self.good);
        let words = ["alpha", "evil", "added alpha-6.6-py3-none-any.whl", "uploaded by", &since];
        assert_shows(&outcome.stdout, &words);
    }

    fn decide(&self) {
        let path = self.index.folder().join("plan.toml");
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("decide = \"?\"\n", "decide = \"restore\"\n");
        let text = decided(&text, "alpha-2.0-py3-none-any.whl", "keep");
        fs::write(path, text).unwrap();
    }

    /// The ceremony is held: the new online key.
    fn hold(&self) -> PrivateKey {
        hold_ceremony(&self.index, &self.metadata()).0
    }

    /// And the new online key is at hand.
    fn name_key(&self, new: &PrivateKey) {
        create_key_file(&self.index.data().join("keys/new.pem"), new, None).unwrap();
        self.index.write_config("online-key", "\"file:keys/new.pem?development\"");
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Outcome {
        self.index.operator(words).run()
    }
}

/// The plan with something decided for one file.
fn decided(text: &str, filename: &str, decision: &str) -> String {
    let heading = format!("# added {filename}");
    let at = text.find(&heading).unwrap_or_else(|| panic!("{filename} in {text}"));
    let table = "[[project.file]]\n";
    let line = at + text[at..].find(table).unwrap() + table.len();
    format!("{}  decide = \"{decision}\"\n{}", &text[..line], &text[line..])
}

#[test]
fn what_a_thief_added_goes_with_their_key_in_one_snapshot() {
    let stolen = Stolen::new();
    let mut stolen = {
        let mut stolen = stolen;
        stolen.index.start();
        stolen
    };
    let person = Person::trusting(&stolen.index);
    person.install(Tool::Pip, ["alpha==6.6"]).run().success();
    stolen.index.stop();
    push_versions(&stolen.metadata(), &key(&stolen.index, "online"));

    stolen.plan();
    let again = stolen.run([
        "restore",
        "plan",
        "--last-known-good",
        "1",
        "--from",
        "index.archive",
        "--output",
        "plan.toml",
    ]);
    exited(&again, 1);
    assert_shows(&again.stderr, &["has no snapshot 1"]);
    let new = stolen.hold();
    let open = stolen.run(APPLY);
    exited(&open, 1);
    assert_shows(&open.stderr, &["3 files are not decided on yet", "`keep` or `restore`"]);
    stolen.decide();
    // What is missing is named where the index has it, and not the copy.
    let waits = stolen.run(APPLY.into_iter().chain(["--rehearse"]));
    exited(&waits, 1);
    let config = stolen.index.data().join("waxseal.toml").display().to_string();
    assert_shows(&waits.stderr, &["it has a new online key", &config]);
    stolen.name_key(&new);
    // The first root of a planned change trusts the thief's key.
    hold_ceremony_as(&stolen.index, &stolen.metadata(), Succession::Planned, "planned");
    let planned = stolen.run(["restore", "apply", "plan.toml", "--bundle", "planned"]);
    exited(&planned, 2);
    assert_shows(&planned.stderr, &["not held with --compromise", "nothing was changed"]);

    // A rehearsal leaves everything as it is.
    let timestamp = || fs::read(stolen.metadata().join("timestamp.json")).unwrap();
    let before = (timestamp(), stolen.index.state());
    let rehearsed = stolen.run(APPLY.into_iter().chain(["--rehearse"])).success();
    assert_shows(
        &rehearsed.stdout,
        &["on a copy", "0 files restored, 2 removed, 1 kept", "root 2"],
    );
    assert_shows(&rehearsed.stderr, &["the copy was audited: it is valid"]);
    assert_eq!((timestamp(), stolen.index.state()), before);
    let left = fs::read_dir(stolen.index.folder()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("rehearsal")), "{left:?}");

    let applied = stolen.run(APPLY.into_iter().chain(["--json"])).success();
    let report: Value = serde_json::from_str(&applied.stdout).unwrap();
    assert_eq!(
        (&report["removed"], &report["kept"], &report["root"]),
        (&2.into(), &1.into(), &2.into())
    );
    assert_shows(&applied.stderr, &["timestamp.json was somebody else's"]);
    // Once more changes nothing.
    let snapshot = report["snapshot"].clone();
    let repeated = stolen.run(APPLY.into_iter().chain(["--json"])).success();
    let report: Value = serde_json::from_str(&repeated.stdout).unwrap();
    assert_eq!(report["snapshot"], snapshot);
    for words in [["audit", "repo"], ["audit", "keys"]] {
        stolen.run(words.into_iter().chain(["waxseal-data"])).success();
    }

    stolen.index.start();
    for person in [&person, &Person::trusting(&stolen.index)] {
        person.install(Tool::Pip, ["alpha", "beta"]).run().success();
        let refused =
            person.install(Tool::Pip, ["--force-reinstall", "--no-cache-dir", "alpha==6.6"]);
        refused.run().failure();
        person.install(Tool::Pip, ["evil"]).run().failure();
    }
    let fresh = Person::trusting(&stolen.index);
    fresh.install(Tool::Pip, ["alpha"]).run().success();
    assert!(fresh.venv.installed().contains(&"alpha-2.0".to_owned()));
    let listed = stolen.run(["repo", "revoke", "--list"]).success();
    assert_shows(&listed.stdout, &["alpha-6.6-py3-none-any.whl", "the last known good one"]);
    let folder = tempfile::tempdir().unwrap();
    python_tuf::python_tuf(&stolen.index, folder.path()).success();
}

/// A token was stolen and no key: the same without a ceremony.
#[test]
fn without_a_stolen_key_the_keys_stay() {
    let stolen = Stolen::new();
    stolen.plan();
    stolen.decide();
    let root = fs::read(stolen.metadata().join("1.root.json")).unwrap();
    let outcome = stolen.run(["restore", "apply", "plan.toml", "--keep-keys"]).success();
    assert_shows(&outcome.stdout, &["2 removed, 1 kept", "root 1 are published"]);
    assert_eq!(fs::read(stolen.metadata().join("1.root.json")).unwrap(), root);
    stolen.run(["audit", "repo", "waxseal-data", "--deep"]).success();
}

/// A backup has the bytes that were changed, and is named as a folder.
#[test]
fn bytes_come_back_from_a_backup() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let good = index.status()["snapshot"].to_string();
    index.stop();
    copy(&index.data(), &index.folder().join("backup"));
    let words = ["repo", "revoke", "alpha-1.0-py3-none-any.whl", "--reason", "by a thief"];
    index.operator(words).run().success();
    // And nobody has the bytes.
    for folder in ["tuf/targets", "files"] {
        fs::remove_dir_all(index.data().join("store").join(folder).join("packages/alpha")).unwrap();
    }
    let words = ["restore", "plan", "--last-known-good", &good, "--from", "backup"];
    let planned =
        index.operator(words).args(["--decide", "restore", "--output", "plan.toml"]).run();
    assert_shows(&planned.success().stdout, &["0 added, 0 changed, 1 removed"]);
    let lost = index.operator(["restore", "apply", "plan.toml", "--keep-keys"]).run();
    exited(&lost, 1);
    assert_shows(&lost.stderr, &["alpha-1.0-py3-none-any.whl is to be restored", "--copies"]);
    let words = ["restore", "apply", "plan.toml", "--keep-keys", "--copies", "backup"];
    let outcome = index.operator(words).run().success();
    assert_shows(&outcome.stdout, &["1 files restored, 0 removed"]);
    index.operator(["audit", "repo", "waxseal-data", "--deep"]).run().success();
    index.start();
    Person::trusting(&index).install(Tool::Pip, ["alpha==1.0"]).run().success();
}

/// Killed at a write, it is gone on from by the same command.
#[test]
fn applying_that_is_killed_is_finished_by_the_next_run() {
    let stolen = Stolen::with_bins("4");
    stolen.plan();
    stolen.decide();
    stolen.name_key(&stolen.hold());
    killed_at_writes(&stolen.index, &APPLY, || {
        let again = stolen.run(APPLY).success();
        assert_shows(&again.stdout, &["2 removed, 1 kept", "root 2 are published"]);
        stolen.run(["audit", "repo", "waxseal-data"]).success();
    });
}
