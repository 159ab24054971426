//! The audits: what an operator and a program see of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use waxseal_signing::PrivateKey;
use waxseal_tuf::metadata::{Targets, Unverified, sign};

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

/// The first line of a command's output that has these words, after them.
fn after<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("{words}: {text}"));
    rest.lines().next().unwrap().trim()
}

#[test]
fn the_use_of_the_online_key_is_audited_here_and_elsewhere() {
    let mut index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let keys =
        |args: &[&'static str]| index.operator(["audit", "keys"].iter().chain(args).copied());
    let screen = keys(&["waxseal-data"]).run().success().stdout;
    assert_shows(&screen, &["every signature that was checked is in the log", "records 2"]);
    let head = after(&screen, "the log ends at ").to_owned();
    assert!(head.starts_with("2:"), "{screen}");
    // What an operator sends to another machine while the index is served.
    let logged = index.process().stderr.text();
    assert_shows(&logged, &["the online key was used", &format!("head={head}")]);

    let report = keys(&["waxseal-data", "--json"]).run().success().stdout;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["valid"], &report["head"]["number"]), (&true.into(), &2.into()));
    assert_eq!(report["counts"]["files"], report["counts"]["files_in_the_log"]);

    // Elsewhere, alone and with a copy of the store.
    keys(&["waxseal-data", "--export", "log.jsonl"]).run().success();
    let again = keys(&["waxseal-data", "--export", "log.jsonl"]).run();
    exited(&again, 2);
    assert_shows(&again.stderr, &["log.jsonl is there already", "hint:"]);
    let alone = keys(&["--log", "log.jsonl"]).arg("--head").arg(&head).run().success();
    assert_shows(&alone.stdout, &[&format!("the log ends at {head}"), "files in the store 0"]);
    keys(&["waxseal-data/store", "--log", "log.jsonl"]).run().success();
    let none = keys(&["waxseal-data/store"]).run();
    exited(&none, 2);
    assert_shows(&none.stderr, &["is a store alone, and has no log", "--log FILE"]);

    // A log that ends before, or was another.
    let later = format!("9{}", &head[1..]);
    let cut = keys(&["--log", "log.jsonl"]).arg("--head").arg(&later).run();
    exited(&cut, 4);
    assert_shows(&cut.stdout, &["the log ends with record 2, and went on to record 9"]);
    let other = head.replacen(':', ":0", 1);
    let other = keys(&["waxseal-data"]).arg("--head").arg(&other[..other.len() - 1]).run();
    exited(&other, 4);
    assert_shows(&other.stdout, &["record 2 has hash", "docs/compromise.md"]);
    index.stop();

    // A thief has the online key, and puts what it signs into the store.
    let pem = fs::read_to_string(index.data().join("keys/online.pem")).unwrap();
    let key = PrivateKey::from_pkcs8_pem(&pem).unwrap();
    let metadata = index.data().join("store/tuf/metadata");
    let bin = Unverified::<Targets>::parse(&fs::read(metadata.join("1.bin-00.json")).unwrap());
    let mut theirs = bin.unwrap().claims().clone();
    theirs.version = 77;
    fs::write(metadata.join("77.bin-00.json"), sign(&theirs, &[&key]).unwrap()).unwrap();
    let found = index.operator(["audit", "keys", "waxseal-data"]).run();
    exited(&found, 4);
    let parts = ["tuf/metadata/77.bin-00.json was signed, and the log does not say so", "sha256"];
    assert_shows(&found.stdout, &parts);
    let found = index.operator(["audit", "keys", "waxseal-data", "--json"]).run();
    exited(&found, 4);
    let report: Value = serde_json::from_str(&found.stdout).unwrap();
    assert_eq!(
        (&report["findings"][0]["kind"], &report["findings"][0]["version"]),
        (&"not-logged".into(), &77.into())
    );
}

#[test]
fn an_archive_of_digests_is_kept_and_an_index_is_held_against_it() {
    let index = Index::quickstart();
    index.upload_new(Wheel::new("alpha", "1.0"));
    let url = index.url.clone();
    let archive = |source: &str, more: &[&str]| {
        let args =
            ["audit", "archive", source, "index.archive", "--fingerprint", &index.fingerprint];
        index.operator(args.into_iter().chain(more.iter().copied())).run()
    };
    let first = archive(&url, &["--json"]).success();
    let shown: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!((&shown["snapshot"], &shown["full"]), (&2.into(), &true.into()));
    assert_shows(&archive("waxseal-data", &[]).success().stdout, &["has snapshot 2 already"]);
    index.upload_new(Wheel::new("alpha", "2.0"));
    // Of the running server, of the folder, and what an interrupted run left.
    let archive = |source: &str, more: &[&str]| {
        let args =
            ["audit", "archive", source, "index.archive", "--fingerprint", &index.fingerprint];
        index.operator(args.into_iter().chain(more.iter().copied())).run()
    };
    let path = index.folder().join("index.archive");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [whole.as_slice(), &whole[..40]].concat()).unwrap();
    let torn = archive(&url, &[]);
    exited(&torn, 1);
    assert_shows(&torn.stderr, &["ends in the middle of piece 2", "audit archive --repair"]);
    let repaired = archive(&url, &["--repair"]).success();
    assert_shows(&repaired.stderr, &["removed 40 bytes"]);
    assert_shows(&repaired.stdout, &["snapshot 3 now: 4 targets came or changed, 0 went"]);

    let check = |source: &str| {
        let args = ["audit", "check", "index.archive", source, "--fingerprint", &index.fingerprint];
        index.operator(args).run()
    };
    let checked = check(&url).success();
    assert_shows(
        &checked.stdout,
        &["no file was changed from snapshot 3 to snapshot 3", "changed 0"],
    );
    // An index of somebody else.
    let other = Index::quickstart();
    let refused = check(&other.url);
    exited(&refused, 4);
    assert_shows(&refused.stderr, &["is not the root that is trusted", "audit repo"]);
}
