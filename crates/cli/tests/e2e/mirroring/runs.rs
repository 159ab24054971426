//! Runs that go well: what they cost, what they leave, what they say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use waxseal_testkit::peers;

use super::{World, below, with};
use crate::harness::{Index, Nginx, Person, Process, Tool, Wheel, assert_shows, exited};

#[test]
fn a_mirror_is_a_whole_copy_and_a_run_costs_what_changed() {
    let world = World::new();
    let first = world.mirror(&[]).run().success();
    assert_shows(&first.stdout, &["snapshot 3 is published, with 10 targets"]);
    let origin = below(&world.index.data().join("store"));
    let copy = world.shown();
    for (path, bytes) in &copy {
        assert!(path.starts_with("simple") || origin.get(path) == Some(bytes), "{path:?}");
    }
    for folder in ["tuf/targets/packages", "files"] {
        let count = |tree: &BTreeMap<PathBuf, Vec<u8>>| with(tree, folder).len();
        assert_eq!(count(&copy), count(&origin), "{folder}");
    }
    assert_shows(&world.verify("m").success().stdout, &["is complete", "66 verified", "10 hashed"]);

    // Nothing has changed: two small requests.
    world.asked();
    let second = world.mirror(&["--json"]).run().success();
    assert!(second.stdout.contains("\"changed\": false"), "{second}");
    assert_eq!(world.asked(), ["/tuf/metadata/2.root.json", "/tuf/metadata/timestamp.json"]);

    // A file more: its bins, and those of its page and of the list.
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    world.mirror(&[]).run().success();
    let asked = world.asked();
    let bins = asked.iter().filter(|path| path.contains(".bin-")).count();
    assert!((1..=6).contains(&bins), "{asked:?}");
    let targets: Vec<_> = asked.iter().filter(|path| path.contains("/tuf/targets/")).collect();
    assert_eq!(targets.len(), 6, "{asked:?}");
    assert!(targets.iter().all(|path| !path.contains("alpha") && !path.contains("beta")));
    assert_eq!(asked.len(), bins + 6 + 3, "root, timestamp and snapshot beside: {asked:?}");
    world.verify("m").success();

    // As an auditor sees it, who knows no more than the fingerprint.
    let nginx = Nginx::serving(&world.folder());
    let words = ["audit", "repo", &nginx.url, "--deep", "--fingerprint", &world.index.fingerprint];
    let audit = world.operator.waxseal(words).run().success();
    assert_shows(&audit.stdout, &["snapshot 4 is valid", "hashed 14"]);
}

#[test]
fn older_snapshots_stay_as_long_as_they_are_kept() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let before = world.shown();
    let lists = |world: &World| {
        let shown = world.shown();
        let lists = with(&shown, "tuf/targets/simple/");
        lists.iter().filter(|path| path.matches('/').count() == 3).count()
    };
    assert_eq!(lists(&world), 2);
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    let removed = world.mirror(&["--keep", "1"]).run().success();
    assert_shows(&removed.stdout, &["0 files removed"]);
    // Who is in the middle of the older one finds all of it.
    let now = world.shown();
    for (path, bytes) in &before {
        let is_replaced = path.starts_with("simple") || path.ends_with("timestamp.json");
        assert!(is_replaced || now.get(path) == Some(bytes), "{path:?}");
    }
    assert_eq!(lists(&world), 4);
    assert_eq!(world.status("m")["kept"].as_array().unwrap().len(), 2);
    // Its time is over; there is no newer one, and it goes nevertheless.
    let removed = world.mirror(&["--keep", "1", "--grace", "0s"]).run().success();
    assert!(!removed.stdout.contains(" 0 files removed"), "{removed}");
    assert_eq!(lists(&world), 2);
    assert_eq!(world.status("m")["kept"].as_array().unwrap().len(), 1);
    world.verify("m").success();
    // No more and no less than a copy that was made now.
    world.mirror_to("fresh", &[]).run().success();
    assert!(world.shown() == super::shown(&world.operator.work().join("fresh")));
}

#[test]
fn what_the_index_takes_back_goes_from_pages_at_once_and_then_from_the_disk() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let words = ["repo", "revoke", "beta-1.0-py3-none-any.whl", "--reason", "steals tokens"];
    world.index.operator(words).run().success();
    let wheel = "files/packages/beta/beta-1.0-py3-none-any.whl";
    world.mirror(&["--keep", "1"]).run().success();
    let shown = world.shown();
    assert_eq!(with(&shown, "simple/beta/index"), Vec::<String>::new());
    assert_eq!(with(&shown, wheel), [wheel, &format!("{wheel}.metadata")]);
    assert!(!String::from_utf8_lossy(&shown[Path::new("simple/index.html")]).contains("beta"));
    world.mirror(&["--keep", "1", "--grace", "0s"]).run().success();
    assert_eq!(with(&world.shown(), "beta"), Vec::<String>::new());
    world.verify("m").success();
}

#[test]
fn a_mirror_that_runs_follows_and_says_how_far_it_is_behind() {
    let world = World::new();
    let mut running = Process::start(world.mirror(&["--every", "1s"]));
    running.wait_for(&running.stdout, "snapshot 3 is published");
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    running.wait_for(&running.stdout, "snapshot 4 is published");
    running.wait_for(&running.stdout, "clients believe it for another 23 h");
    // The lock is held by rounds alone.
    assert_eq!(world.status("m")["snapshot"], 4);
    let World { mut index, operator, .. } = world;
    index.stop();
    running.wait_for(&running.stderr, "it was up to date");
    let status = operator.waxseal(["mirror", "status", "m"]).run().success();
    assert_shows(&status.stdout, &["snapshot 4", "up to date", "ago", "problem", "502"]);
    index.start();
    running.wait_for(&running.stdout, "snapshot 4 is up to date");
    assert!(!running.has_ended());
    running.kill();
}

#[test]
fn files_that_pages_vouch_for_are_copied_too() {
    let mut index = Index::quickstart();
    index.configure("layout", "\"index\"");
    index.upload(&[peers::package("blinker-"), peers::package("click-")]);
    let world = World::of(index);
    let run = world.mirror(&[]).run().success();
    assert!(!run.stdout.contains("are not here"), "{run}");
    let proof = world.verify("m").success();
    assert_shows(
        &proof.stdout,
        &["is complete", "6 hashed", "links 8 of pages that vouch for files hashed"],
    );
    let nginx = Nginx::serving(&world.folder());
    // The files come from the mirror alone.
    let World { mut index, .. } = world;
    index.stop();
    for tool in Tool::BOTH {
        let person = Person::new();
        person.trust(&index, &nginx.url);
        person.install(tool, ["blinker", "click"]).run().success();
    }
    let wheel =
        world.operator.work().join("m/files/packages/blinker/blinker-1.9.0-py3-none-any.whl");
    let bytes = fs::read(&wheel).unwrap();
    fs::remove_file(&wheel).unwrap();
    fs::write(&wheel, [&bytes[..], b"x"].concat()).unwrap();
    let proof = world.operator.waxseal(["mirror", "verify", "m"]).run();
    exited(&proof, 3);
    assert_shows(
        &proof.stdout,
        &["is not complete", "blinker-1.9.0-py3-none-any.whl has another length"],
    );
}
