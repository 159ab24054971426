//! `waxseal audit repo URL`: an index, or a mirror that lies, over the network; and what an earlier audit
//! saw of it.

use std::fs;
use std::path::Path;

use serde_json::Value;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::{CleanCommand, Outcome};

use crate::harness::{Index, Person, Wheel, assert_shows, exited};

const WHEEL: &str = "alpha-1.0-py3-none-any.whl";

/// An index with a wheel, and a mirror of it.
fn index() -> (Index, Mirror) {
    let index = Index::quickstart_with(|command| command.args(["--bins", "8"]));
    index.upload_new(Wheel::new("alpha", "1.0"));
    let mirror = Mirror::start(&index.url.parse().unwrap());
    (index, mirror)
}

/// An audit of a URL by somebody who knows the fingerprint.
fn audit(index: &Index, url: &str, more: &[&str]) -> CleanCommand {
    let words = ["audit", "repo", url, "--fingerprint", &index.fingerprint];
    index.operator(words.iter().copied().chain(more.iter().copied()))
}

/// The kinds that a report names, and its paths.
fn findings(outcome: &Outcome) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = report["findings"].as_array().unwrap().iter();
    found.map(|finding| (text(&finding["kind"]), text(&finding["path"]))).collect()
}

#[test]
fn an_index_is_audited_from_a_root_that_is_known() {
    let (index, mirror) = index();
    for url in [&index.url, mirror.url().as_str()] {
        let screen = audit(&index, url, &["--deep"]).run().success().stdout;
        assert_shows(&screen, &["snapshot 2 is valid", "versions of root 1", "bins 8", "hashed 6"]);
    }
    // From a root in a file, or one that is trusted on this machine.
    let root = index.data().join("store/tuf/metadata/1.root.json").display().to_string();
    index.operator(["audit", "repo", &index.url, "--root", &root]).run().success();
    let person = Person::trusting(&index);
    person.waxseal(["audit", "repo", &index.url, "--json"]).run().success();
    let unknown = index.operator(["audit", "repo", mirror.url().as_str(), "--trust-dir", "none"]);
    let unknown = unknown.run();
    exited(&unknown, 1);
    assert_shows(&unknown.stderr, &["is not trusted", "trust add"]);
    // Another index than was meant.
    let other = format!("{}0", &index.fingerprint[..63]);
    let other = if other == index.fingerprint { other.replace('0', "1") } else { other };
    let refused = index.operator(["audit", "repo", &index.url, "--json", "--fingerprint", &other]);
    let refused = refused.run();
    exited(&refused, 4);
    let root = "tuf/metadata/1.root.json".to_owned();
    assert_eq!(findings(&refused), [("other-root".to_owned(), root)]);
    // A folder is held against it too.
    audit(&index, "waxseal-data", &[]).run().success();
    exited(&index.operator(["audit", "repo", "waxseal-data", "--fingerprint", &other]).run(), 4);
    // Nobody answers: that is no finding.
    drop(mirror);
    let gone = audit(&index, "http://127.0.0.1:9/", &[]).run();
    exited(&gone, 1);
    assert_shows(&gone.stderr, &["127.0.0.1:9", "see that the server answers"]);
}

#[test]
fn what_a_mirror_changes_or_withholds_is_named() {
    let (index, mirror) = index();
    let url = mirror.url().to_string();
    let lied = |matches: &PathPattern, change: Change, deep: bool| {
        mirror.set(Tamper { matches: matches.clone(), change });
        let more: &[&str] = if deep { &["--deep", "--json"] } else { &["--json"] };
        let outcome = audit(&index, &url, more).run();
        mirror.honest();
        outcome
    };
    let flip = || Change::FlipByte { at: Position::FromEnd(1) };
    let wheel = PathPattern::suffix(WHEEL);
    // Only who fetches it sees it.
    lied(&wheel, flip(), false).success();
    let changed = lied(&wheel, flip(), true);
    exited(&changed, 4);
    let [(kind, path)] = &findings(&changed)[..] else { panic!("{changed}") };
    assert!(kind == "target-changed" && path.ends_with(WHEEL), "{changed}");
    for (change, kind, problem) in [
        (Change::Truncate(10), "target-changed", "has 10 bytes"),
        (Change::Endless, "target-changed", "has more than"),
        (Change::Status(404_u16.try_into().unwrap()), "target-missing", "is not there"),
        (Change::Status(500_u16.try_into().unwrap()), "unreadable", "500"),
    ] {
        let outcome = lied(&wheel, change, true);
        exited(&outcome, 4);
        let found = findings(&outcome);
        assert!(found.len() == 1 && found[0].0 == kind, "{kind}: {outcome}");
        assert!(outcome.stdout.contains(problem) || kind == "target-missing", "{outcome}");
    }
    // A bin, whatever is asked for.
    let bin = PathPattern::suffix("bin-0.json");
    let outcome = lied(&bin, flip(), false);
    exited(&outcome, 4);
    assert_eq!(findings(&outcome)[0].0, "malformed");
    let outcome = lied(&bin, Change::Status(404_u16.try_into().unwrap()), false);
    exited(&outcome, 4);
    assert_eq!(findings(&outcome)[0].0, "missing");
}

#[test]
fn what_went_back_since_an_earlier_audit_is_named() {
    let (index, mirror) = index();
    let url = mirror.url().to_string();
    let old = mirror.record(["/tuf/metadata/timestamp.json"]);
    index.upload_new(Wheel::new("beta", "1.0"));
    audit(&index, &url, &["--record", "seen.json"]).run().success();
    let seen = fs::read_to_string(index.folder().join("seen.json")).unwrap();
    audit(&index, &url, &["--since", "seen.json"]).run().success();
    audit(&index, "waxseal-data", &["--since", "seen.json"]).run().success();

    // The mirror is honest, and behind.
    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Replay(old) });
    audit(&index, &url, &[]).run().success();
    let behind = audit(&index, &url, &["--json", "--since", "seen.json", "--record", "seen.json"]);
    let behind = behind.run();
    exited(&behind, 4);
    let found = findings(&behind);
    assert!(found.iter().all(|(kind, _)| kind == "rollback"), "{behind}");
    assert!(found.iter().any(|(_, path)| path.ends_with("timestamp.json")), "{behind}");
    // What it saw then is not what the next one goes by.
    assert_shows(&behind.stderr, &["seen.json was not written"]);
    assert_eq!(fs::read_to_string(index.folder().join("seen.json")).unwrap(), seen);
    mirror.honest();

    // Other bytes under a version.
    let mut other: Value = serde_json::from_str(&seen).unwrap();
    other["roles"]["bin-3"]["sha256"] = "0".repeat(64).into();
    fs::write(index.folder().join("other.json"), other.to_string()).unwrap();
    for place in [&*url, "waxseal-data"] {
        let outcome = audit(&index, place, &["--json", "--since", "other.json"]).run();
        exited(&outcome, 4);
        let [(kind, path)] = &findings(&outcome)[..] else { panic!("{outcome}") };
        assert!(kind == "rewritten" && path.ends_with("bin-3.json"), "{outcome}");
    }
    fs::write(index.folder().join("other.json"), "{}").unwrap();
    let outcome = audit(&index, &url, &["--since", "other.json"]).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["other.json is no record of an audit", "--record FILE"]);
}

#[test]
fn a_deep_audit_goes_on_where_it_was_interrupted() {
    let (index, mirror) = index();
    let url = mirror.url().to_string();
    let state = index.folder().join("state");
    let deep = |url: &str| audit(&index, url, &["--deep", "--resume", "state"]);
    let targets = || {
        let requests = mirror.requests();
        requests.iter().filter(|it| it.path.starts_with("/tuf/targets/")).count()
    };
    // What an audit leaves that is killed, in the middle of a line.
    let all = record(&index, &url);
    let bins =
        all["roles"].as_object().unwrap().iter().filter(|(role, _)| role.starts_with("bin-"));
    let lines: Vec<_> =
        bins.map(|(role, is)| format!("{role} {}\n", is["sha256"].as_str().unwrap())).collect();
    assert_eq!(lines.len(), 8);
    let left = |lines: &[String], torn: &str| {
        fs::write(&state, format!("waxseal audit repo --deep {url}\n{}{torn}", lines.concat()))
            .unwrap();
    };
    let before = targets();
    left(&lines[..7], &lines[7][..20]);
    let screen = deep(&url).run().success().stdout;
    assert_shows(&screen, &["targets 6", "is valid"]);
    let some = targets() - before;
    assert!(some < 6, "{some}");
    assert!(!Path::new(&state).exists(), "it came to its end");
    // From the beginning.
    let before = targets();
    deep(&url).run().success();
    assert_eq!(targets() - before, 6);
    // The file of something else.
    left(&lines, "");
    let other = deep(&index.url).run();
    exited(&other, 2);
    assert_shows(&other.stderr, &["is not of a deep audit of", "nothing was changed"]);
    // A folder's files are hashed the same way, and their state is of that folder.
    let folder = || audit(&index, "waxseal-data", &["--deep", "--resume", "state"]).run();
    exited(&folder(), 2);
    assert_shows(&folder().stderr, &["is not of a deep audit of", "waxseal-data"]);
    fs::remove_file(&state).unwrap();
    assert_shows(&folder().success().stdout, &["is valid"]);
    assert!(!state.exists(), "it came to its end");
}

fn record(index: &Index, url: &str) -> Value {
    audit(index, url, &["--record", "all.json"]).run().success();
    serde_json::from_slice(&fs::read(index.folder().join("all.json")).unwrap()).unwrap()
}
