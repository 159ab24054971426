//! `waxseal audit compare`: a mirror and its origin, honest, behind, and given something else.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use waxseal_signing::PrivateKey;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::CleanCommand;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{Targets, Unverified, sign};

use crate::harness::{Index, Wheel, assert_shows, exited};

const WHEEL: &str = "packages/alpha/alpha-1.0-py3-none-any.whl";

fn index() -> Index {
    let index = Index::quickstart_with(|command| command.args(["--bins", "8"]));
    index.upload_new(Wheel::new("alpha", "1.0"));
    index
}

fn compare(index: &Index, first: &str, second: &str, more: &[&str]) -> CleanCommand {
    let words = ["audit", "compare", first, second];
    index.operator(words.iter().copied().chain(more.iter().copied()))
}

/// A copy of the index's store.
fn copy(index: &Index) -> PathBuf {
    let to = index.folder().join("mirror");
    let from = index.data().join("store");
    CleanCommand::new("cp").arg("-a").arg(from).arg(&to).run().success();
    to
}

#[test]
fn a_mirror_is_the_same_or_behind() {
    let index = index();
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let url = mirror.url().to_string();
    copy(&index);
    let fingerprint = ["--fingerprint", &index.fingerprint];
    for second in [&*url, "mirror", "waxseal-data"] {
        let same = compare(&index, &index.url, second, &fingerprint).run().success();
        assert_shows(&same.stdout, &["both have the same versions", "nothing differs"]);
    }
    compare(&index, "waxseal-data", "mirror", &["--deep"]).run().success();

    index.upload_new(Wheel::new("beta", "1.0"));
    let screen = compare(&index, "waxseal-data", "mirror", &[]).run().success().stdout;
    assert_shows(&screen, &["waxseal-data is ahead: mirror is 1 snapshot behind"]);
    let behind = compare(&index, "mirror", &url, &["--json", "--fingerprint", &index.fingerprint]);
    let report: Value = serde_json::from_str(&behind.run().success().stdout).unwrap();
    assert_eq!(report["valid"], true);
    assert_eq!((&report["ahead"], &report["snapshots_behind"]), (&"second".into(), &1.into()));
    assert_eq!(
        (&report["first"]["snapshot"], &report["second"]["snapshot"]),
        (&2.into(), &3.into())
    );

    // What is wrong with one of them alone.
    let matches = PathPattern::suffix(".whl");
    mirror.set(Tamper { matches, change: Change::FlipByte { at: Position::FromEnd(1) } });
    compare(&index, &index.url, &url, &fingerprint).run().success();
    let deep = [fingerprint[0], fingerprint[1], "--deep"];
    let outcome = compare(&index, &index.url, &url, &deep).run();
    exited(&outcome, 4);
    assert_shows(&outcome.stdout, &["findings in", "sha256 is", "see what was found in each"]);

    let unknown = compare(&index, &index.url, &url, &["--trust-dir", "none"]).run();
    exited(&unknown, 1);
    assert_shows(&unknown.stderr, &["is not trusted"]);
    let other = Index::quickstart_with(|command| command.args(["--bins", "8"]));
    let outcome = compare(&index, &index.url, &other.url, &fingerprint).run();
    exited(&outcome, 4);
    assert_shows(&outcome.stdout, &["is not the root that is trusted"]);
}

/// Snapshot lists versions, so that whoever has the online key can show some people another bin.
#[test]
fn a_bin_that_was_signed_for_some_people_is_named_by_project() {
    let index = index();
    let mirror = copy(&index);
    let pem = fs::read_to_string(index.data().join("keys/online.pem")).unwrap();
    let key = PrivateKey::from_pkcs8_pem(&pem).unwrap();
    let (file, mut theirs) = bin_with(&mirror, WHEEL);
    let digest = Sha256::of(b"theirs");
    let target = theirs.targets.get_mut(WHEEL).unwrap();
    let honest = target.hashes.file_name_digest().unwrap().to_owned();
    target.hashes = Hashes::sha256(digest);
    fs::write(&file, sign(&theirs, &[&key]).unwrap()).unwrap();

    let outcome = compare(&index, "waxseal-data", "mirror", &[]).run();
    exited(&outcome, 4);
    let name = file.file_name().unwrap().to_str().unwrap();
    let digest = digest.to_string();
    let parts = ["one version, other bytes", name, "different in alpha", WHEEL, &honest, &digest];
    assert_shows(&outcome.stdout, &parts);
    assert_shows(&outcome.stdout, &["both have the same versions", "2 roles and targets differ"]);
    let outcome = compare(&index, "mirror", "waxseal-data", &["--json"]).run();
    exited(&outcome, 4);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["differences"][0]["kind"], "different");
    assert_eq!(report["projects"][0]["project"], "alpha");
    let target = &report["projects"][0]["targets"][0];
    assert_eq!((&target["path"], &target["first"]), (&WHEEL.into(), &digest.into()));
    assert_eq!(target["second"], honest);
    // Each of them alone is valid.
    index.operator(["audit", "repo", "waxseal-data"]).run().success();
}

/// The newest bin that lists a target.
fn bin_with(store: &Path, path: &str) -> (PathBuf, Targets) {
    let folder = store.join("tuf/metadata");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.to_str().unwrap().contains(".bin-"))
        .map(|file| (Unverified::<Targets>::parse(&fs::read(&file).unwrap()).unwrap(), file))
        .map(|(bin, file)| (file, bin.claims().clone()))
        .filter(|(_, bin)| bin.targets.contains_key(path))
        .collect();
    found.sort_by_key(|(_, bin)| bin.version);
    found.pop().unwrap()
}
