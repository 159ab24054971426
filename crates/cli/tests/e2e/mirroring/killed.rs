//! `kill -9`, or a full disk, at a write of a run, whichever it is.

use std::fs;

use super::{World, shown};
use crate::harness::{WAXSEAL, Wheel, assert_shows, copy, exited, killed_in};

#[test]
fn a_run_that_is_killed_at_a_write_leaves_whole_snapshots_and_nothing_behind() {
    let world = World::new();
    world.mirror(&[]).run().success();
    let before = fs::read(world.folder().join("tuf/metadata/timestamp.json")).unwrap();
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    world.index.upload_new(Wheel::new("alpha", "2.0"));
    world.mirror_to("fresh", &[]).run().success();
    let (work, folder) = (world.operator.work(), world.folder());
    let fresh = shown(&work.join("fresh"));
    let url = world.url();
    let trust = world.operator.home().join(".local/share/waxseal/trust").display().to_string();
    let words = ["mirror", &url, "m", "--keep", "1", "--grace", "0s", "--trust-dir", &trust];
    killed_in(&work, &folder, &words, || {
        let timestamp = fs::read(folder.join("tuf/metadata/timestamp.json")).unwrap();
        let is_new = timestamp != before;
        let audit = ["audit", "repo", "m", "--deep", "--fingerprint", &world.index.fingerprint];
        let audit = world.operator.waxseal(audit).run().success();
        let snapshot = if is_new { "snapshot 5 is valid" } else { "snapshot 3 is valid" };
        assert_shows(&audit.stdout, &[snapshot]);
        // What pages link to is there, whichever page is there by now.
        for (path, bytes) in shown(&folder).iter().filter(|(path, _)| path.ends_with("index.html"))
        {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let links = text.split("href=\"../../").skip(1);
            for link in links.filter_map(|link| link.split(['#', '"']).next()) {
                assert!(folder.join(link).is_file(), "{path:?} links to {link}");
            }
        }
        world.operator.waxseal(words).run().success();
        world.operator.waxseal(["mirror", "verify", "m"]).run().success();
        let after = shown(&folder);
        let (extra, missing): (Vec<_>, Vec<_>) = (
            after.keys().filter(|path| !fresh.contains_key(*path)).collect(),
            fresh.keys().filter(|path| !after.contains_key(*path)).collect(),
        );
        assert!(after == fresh, "too much: {extra:?}, missing: {missing:?}");
    });
}

#[test]
fn a_run_that_is_overtaken_after_a_kill_leaves_nothing_of_what_it_had_begun() {
    let world = World::new();
    world.mirror(&[]).run().success();
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    let (work, folder) = (world.operator.work(), world.folder());
    let url = world.url();
    let trust = world.operator.home().join(".local/share/waxseal/trust").display().to_string();
    let words = ["mirror", &url, "m", "--keep", "1", "--grace", "0s", "--trust-dir", &trust];
    let begun = work.join("begun");
    let strace = ["--follow-forks", "--quiet=all", "--output=/dev/null", "--trace=rename"];
    // Each time it is killed a little later, with the index as it was.
    let mut left = Vec::new();
    for n in (1..200).step_by(4) {
        let to = begun.join(n.to_string());
        fs::create_dir_all(&begun).unwrap();
        copy(&folder, &to);
        let words = words.map(|word| if word == "m" { to.to_str().unwrap() } else { word });
        let command = world.operator.command("strace").args(strace);
        let command = command.arg(format!("--inject=rename:signal=KILL:when={n}"));
        if command.arg(WAXSEAL).args(words).run().status.success() {
            break;
        }
        left.push(to);
    }
    assert!(left.len() >= 4, "{}", left.len());
    // Then it goes on, and what a run had begun with is never published.
    world.index.upload_new(Wheel::new("gamma", "2.0"));
    world.mirror_to("fresh", &[]).run().success();
    let fresh = shown(&work.join("fresh"));
    for to in left {
        let words = words.map(|word| if word == "m" { to.to_str().unwrap() } else { word });
        world.operator.waxseal(words).run().success();
        let after = shown(&to);
        let extra: Vec<_> = after.keys().filter(|path| !fresh.contains_key(*path)).collect();
        assert!(after == fresh, "{to:?}: too much: {extra:?}");
    }
}

#[test]
fn a_disk_that_is_full_at_a_write_is_said_and_the_next_run_goes_on() {
    let world = World::new();
    world.mirror(&[]).run().success();
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    world.mirror_to("fresh", &[]).run().success();
    let (work, folder) = (world.operator.work(), world.folder());
    let fresh = shown(&work.join("fresh"));
    let saved = work.join("saved");
    copy(&folder, &saved);
    let url = world.url();
    let words = ["mirror", &url, "m", "--keep", "1", "--grace", "0s", "--jobs", "1"];
    let mut failed = 0;
    for calls in ["rename", "fsync,fdatasync", "linkat,link"] {
        for n in (1..60).step_by(5) {
            copy(&saved, &folder);
            let strace = ["--follow-forks", "--quiet=all", "--output=/dev/null"];
            let strace = world.operator.command("strace").args(strace);
            let strace = strace.arg(format!("--trace={calls}"));
            let strace = strace.arg(format!("--inject={calls}:error=ENOSPC:when={n}"));
            let outcome = strace.arg(WAXSEAL).args(words).run();
            if !outcome.status.success() {
                exited(&outcome, 1);
                assert_shows(&outcome.stderr, &["No space left on device", "free space"]);
                failed += 1;
            }
            world.operator.waxseal(words).run().success();
            world.operator.waxseal(["mirror", "verify", "m"]).run().success();
            let after = shown(&folder);
            let extra: Vec<_> = after.keys().filter(|path| !fresh.contains_key(*path)).collect();
            assert!(after == fresh, "{calls} {n}: too much: {extra:?}");
        }
    }
    assert!(failed >= 8, "{failed}");
}
