//! A mirror that does not lie and does not deliver either: the tool ends in bounded time, with a
//! reason.

use std::thread;
use std::time::Duration;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};

use crate::harness::{Index, Person, Tool, assert_shows};

/// What pip does for a minute of silence is to try again; a refusal ends at once.
const BOUND: Duration = Duration::from_secs(150);

#[track_caller]
fn fails(matches: &PathPattern, changes: &[Change], words: &[&str]) {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    for change in changes {
        mirror.set(Tamper { matches: matches.clone(), change: change.clone() });
    }
    let attempt = |tool| {
        let person = Person::new();
        let root = index.data().join("store/tuf/metadata/1.root.json");
        let url = mirror.url();
        person.waxseal(["trust", "add", url.as_str(), "--root"]).arg(root).run().success();
        let outcome = person.install(tool, ["blinker"]).deadline(BOUND).run().failure();
        println!("{outcome}\n");
        assert_shows(&outcome.stderr, words);
        assert_shows(&outcome.stderr, &["error:", "hint:"]);
        assert!(person.venv.installed().is_empty(), "{outcome}");
        person
    };
    // Side by side: most of their time is spent waiting.
    let (uv, pip) = thread::scope(|scope| {
        let pip = scope.spawn(|| attempt(Tool::Pip));
        (attempt(Tool::Uv), pip.join())
    });
    mirror.honest();
    for (tool, person) in [(Tool::Pip, pip.unwrap()), (Tool::Uv, uv)] {
        person.install(tool, ["blinker"]).run().success();
        assert_eq!(person.venv.installed(), ["blinker-1.9.0"], "{tool:?}");
    }
}

fn timestamp() -> PathPattern {
    PathPattern::exact("/tuf/metadata/timestamp.json")
}

fn wheel() -> PathPattern {
    PathPattern::suffix("blinker-1.9.0-py3-none-any.whl")
}

fn page() -> PathPattern {
    PathPattern::contains("/tuf/targets/simple/blinker/")
}

#[test]
fn endless_data() {
    fails(&timestamp(), &[Change::Endless], &["timestamp.json", "is longer than"]);
    // A client may stop after as many bytes as it knows the file has; what it has must still be right.
    let flip = Change::FlipByte { at: Position::FromStart(0) };
    fails(&wheel(), &[flip, Change::Endless], &["blinker-1.9.0", "changed"]);
}

#[test]
fn a_body_that_is_cut_short() {
    fails(&wheel(), &[Change::Truncate(100)], &["blinker-1.9.0", "100 bytes"]);
    fails(&page(), &[Change::LieAboutLength(100_000)], &["blinker"]);
}

#[test]
fn an_error_of_the_mirror() {
    let status = || Change::Status("500".parse().unwrap());
    fails(&timestamp(), &[status()], &["timestamp.json", "status 500"]);
    fails(&page(), &[status()], &["status 500"]);
}

#[test]
fn a_connection_that_is_dropped() {
    fails(&wheel(), &[Change::DropConnection], &["cannot be reached"]);
}

#[test]
fn a_mirror_that_is_silent_at_first() {
    fails(&timestamp(), &[Change::Stall], &["did not answer within"]);
}

#[test]
fn a_mirror_that_falls_silent() {
    fails(&page(), &[Change::Stall], &["did not answer within"]);
}

#[test]
fn an_index_that_is_not_there() {
    let mut index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    index.stop();
    for tool in Tool::BOTH {
        let outcome = person.install(tool, ["blinker"]).run();
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert_shows(&outcome.stderr, &["cannot be reached", "hint:", "that the index runs"]);
    }
    index.start();
    person.install(Tool::Pip, ["blinker"]).run().success();
}
