//! An index or a mirror of it that lies, lags or goes back; a folder that is damaged, or somebody else's.

use std::fs;
use std::path::Path;

use waxseal_testkit::mirror::{Change, PathPattern, Position, Tamper};

use super::{World, with};
use crate::harness::{Index, Wheel, assert_shows, exited};
use crate::trust_replace::found_anew;

fn flip(matches: PathPattern) -> Tamper {
    Tamper { matches, change: Change::FlipByte { at: Position::FromEnd(9) } }
}

#[test]
fn nothing_of_a_lie_is_shown_and_the_next_run_goes_on() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let before = world.shown();
    let timestamp = &before[Path::new("tuf/metadata/timestamp.json")];
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    for (matches, words) in [
        (PathPattern::suffix("timestamp.json"), "timestamp"),
        (PathPattern::suffix("snapshot.json"), "was changed"),
        (PathPattern::Contains(".bin-".to_owned()), "bin-"),
        (PathPattern::suffix("gamma-1.0-py3-none-any.whl"), "was changed"),
        (PathPattern::suffix("gamma/vnd.pypi.simple.v1.json"), ""),
    ] {
        world.between.set(flip(matches.clone()));
        let outcome = world.mirror(&[]).run();
        if words.is_empty() {
            // Under another name it is never asked for.
            outcome.success();
            world.between.honest();
            break;
        }
        exited(&outcome, 3);
        assert_shows(&outcome.stderr, &["error:", words, "hint:"]);
        let shown = world.shown();
        assert_eq!(&shown[Path::new("tuf/metadata/timestamp.json")], timestamp);
        // What is there already is right; no page has changed.
        for (path, bytes) in &before {
            assert_eq!(shown.get(path), Some(bytes), "{path:?}");
        }
        let status = world.status("m");
        assert_eq!(status["snapshot"], 3, "{status}");
        assert!(status["problem"].as_str().unwrap().contains(words), "{status}");
        world.between.honest();
        world.verify("m").success();
    }
    world.mirror(&[]).run().success();
    assert_eq!(with(&world.shown(), "simple/gamma/index").len(), 2);
    world.verify("m").success();
}

#[test]
fn a_mirror_never_goes_back() {
    let world = World::new();
    let old = world.between.record(["/tuf/metadata/timestamp.json"]);
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    world.mirror(&[]).run().success();
    let before = world.shown();
    world.between.set(Tamper { matches: PathPattern::Any, change: Change::Replay(old) });
    let outcome = world.mirror(&[]).run();
    exited(&outcome, 3);
    assert_shows(&outcome.stderr, &["timestamp went back from version 4 to version 3: a rollback"]);
    assert!(world.shown() == before);
    // Not with the folder's records of what it shows gone, either.
    fs::remove_file(world.folder().join(".waxseal-mirror/state.json")).unwrap();
    exited(&world.mirror(&[]).run(), 3);
    assert!(world.shown() == before);
    world.between.honest();
    world.mirror(&[]).run().success();
    assert!(world.shown() == before);
    world.verify("m").success();
}

#[test]
fn another_place_is_asked_when_the_index_lies() {
    let world = World::new();
    world.between.set(flip(PathPattern::suffix(".whl")));
    world.between.set(flip(PathPattern::Contains(".bin-".to_owned())));
    exited(&world.mirror(&[]).run(), 3);
    let outcome = world.mirror(&["--mirror", &world.index.url]).run().success();
    assert_shows(&outcome.stderr, &["asking", "from now on"]);
    world.verify("m").success();
}

#[test]
fn what_is_missing_or_changed_on_the_disk_is_found_and_fetched_again() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let whole = world.shown();
    let wheel = with(&whole, "tuf/targets/packages/alpha").remove(0);
    let page = with(&whole, "tuf/targets/simple/beta").remove(0);
    let path = |name: &str| world.folder().join(name);
    let mut bytes = fs::read(path(&wheel)).unwrap();
    bytes[9] ^= 1;
    fs::write(path(&wheel), bytes).unwrap();
    fs::remove_file(path(&page)).unwrap();
    fs::remove_file(path("simple/alpha/index.html")).unwrap();
    let found = world.verify("m");
    exited(&found, 3);
    let missing = format!("{page} is missing");
    let parts =
        ["is not complete", &missing, "has other bytes", "simple/alpha/index.html is missing"];
    assert_shows(&found.screen(), &parts);
    assert_shows(&found.stderr, &["waxseal mirror URL DIR --verify"]);
    // A run that has nothing to do does not look.
    world.mirror(&[]).run().success();
    exited(&world.verify("m"), 3);
    world.mirror(&["--verify"]).run().success();
    world.verify("m").success();
    assert!(world.shown() == whole);
    // Metadata that is damaged is refused.
    let bin = with(&whole, ".bin-").remove(0);
    fs::write(path(&bin), b"{}").unwrap();
    let refused = world.verify("m");
    exited(&refused, 3);
    world.mirror(&["--verify"]).run().success();
    world.verify("m").success();
    assert!(world.shown() == whole);
}

#[test]
fn a_folder_of_others_and_an_index_that_is_not_trusted_are_refused() {
    let world = World::new();
    let work = world.operator.work();
    fs::create_dir(work.join("full")).unwrap();
    fs::write(work.join("full/notes"), b"mine").unwrap();
    let outcome = world.mirror_to("full", &[]).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["is not empty, and not a mirror"]);
    assert_eq!(fs::read_dir(work.join("full")).unwrap().count(), 1);
    let unknown = world.operator.waxseal(["mirror", &world.index.url, "m"]).run();
    exited(&unknown, 1);
    assert_shows(&unknown.stderr, &["is not trusted on this machine", "trust add"]);
    assert!(!world.folder().exists());
    world.mirror(&[]).run().success();
    let other = Index::quickstart_with(|command| command.args(["--bins", "8"]));
    world.operator.trust(&other, &other.url);
    let outcome = world.operator.waxseal(["mirror", &other.url, "m"]).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["is a mirror of", "name another folder"]);
    let none = world.operator.waxseal(["mirror", "status", "full"]).run();
    exited(&none, 1);
    assert_shows(&none.stderr, &["is not a mirror"]);
    world.verify("m").success();
}

#[test]
fn a_root_that_took_the_place_of_another_by_hand_is_followed() {
    let mut world = World::new();
    world.mirror(&[]).run().success();
    let before = world.shown();
    found_anew(&mut world.index);
    let refused = world.mirror(&[]).run();
    exited(&refused, 3);
    assert_shows(&refused.stderr, &["are needed (timestamp.json)", "over another channel"]);
    assert!(world.shown() == before);
    let url = world.url();
    let words = ["trust", "replace", &url, "--yes", "--fingerprint", &world.index.fingerprint];
    world.operator.waxseal(words).run().success();
    // Versions begin again, so that files of both have the same names.
    world.mirror(&["--keep", "1", "--grace", "0s"]).run().success();
    world.verify("m").success();
    let shown = world.shown();
    assert_eq!((with(&shown, "click/index").len(), with(&shown, "alpha/index").len()), (2, 0));
    let list = with(&shown, "simple/index.html");
    assert!(!String::from_utf8_lossy(&shown[Path::new(&list[0])]).contains("alpha"));
}
