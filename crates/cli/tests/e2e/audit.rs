//! `waxseal audit repo`: what an operator and a program see of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Index, Wheel, assert_shows, exited, tree};

/// Every file of an index. A server that stops may leave SQLite's log with what is committed in it; whoever
/// reads that keeps an index of the log in `-shm`, which holds nothing of its own.
fn contents(index: &Index) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = tree(&index.data());
    files.retain(|path, _| !path.ends_with("waxseal.sqlite-shm"));
    files
}

#[test]
fn an_index_is_audited_beside_its_server_and_without() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let audit = || index.operator(["audit", "repo", "waxseal-data"]);
    assert_shows(&audit().run().success().stdout, &["snapshot 2 is valid", "plain names 2"]);
    index.stop();

    let before = contents(&index);
    let audit = || index.operator(["audit", "repo", "waxseal-data"]);
    let report = audit().arg("--json").arg("--deep").run().success().stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["valid"], &report["snapshot"]), (&true.into(), &2.into()));
    assert_eq!(
        (&report["findings"], &report["counts"]["pages"]),
        (&Value::Array([].into()), &1.into())
    );
    // A mirror's copy has no database.
    index.operator(["audit", "repo", "waxseal-data/store"]).run().success();
    assert!(contents(&index) == before, "the audit changed something");

    let plain = "files/packages/alpha/alpha-1.0-py3-none-any.whl";
    fs::remove_file(index.data().join("store").join(plain)).unwrap();
    let screen = audit().run();
    exited(&screen, 4);
    let parts = [plain, "is not there", "make it a link to", "snapshot 2: 1 findings"];
    assert_shows(&screen.stdout, &parts);
    let outcome = audit().arg("--json").run();
    exited(&outcome, 4);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(
        (&report["valid"], &report["findings"][0]["kind"]),
        (&false.into(), &"plain-name".into())
    );
    assert_eq!(report["findings"][0]["path"], plain);
    assert!(report["findings"][0]["hint"].is_string());

    // A folder that is none of ours is a mistake of the caller, and stays as it is.
    let outcome = index.operator(["audit", "repo", "nothing"]).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["there is no index in nothing", "hint: name the data folder"]);
    assert!(!outcome.stderr.contains("--data"), "{outcome}");
    assert!(!index.folder().join("nothing").exists());
}
