//! Mirrors of a repository in memory, which changes in ways that an index seldom does.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use waxseal_client::{IndexUrl, Settings, TrustStore, TrustStores};
use waxseal_mirror::{Error, Filter, Index, Keep, Mirror, Outcome, SyncOptions};
use waxseal_testkit::mirror::{Change, Mirror as Between, PathPattern, Tamper};
use waxseal_testkit::served::ServedSimulator;
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::hash::Sha256;

/// A repository with two bins and one file, and a mirror of it.
struct World {
    served: ServedSimulator,
    between: Between,
    trust: TrustStore,
    folder: TempDir,
    mirror: Mirror,
    options: SyncOptions,
}

const FILE: &str = "packages/a/a-1.whl";

/// The bin of two that a path is in.
fn bin_of(path: &str) -> String {
    format!("bin-{}", Sha256::of(path.as_bytes()).0[0] >> 7)
}

fn publish_all(simulator: &mut Simulator) {
    for role in ["bin-0", "bin-1", "targets"] {
        simulator.publish_targets(role);
    }
}

impl World {
    fn new() -> Self {
        let mut simulator = Simulator::new();
        simulator.delegate_bins("targets", 1, "bin");
        simulator.add_target(&bin_of(FILE), FILE, b"one");
        publish_all(&mut simulator);
        Self::of(simulator)
    }

    fn of(simulator: Simulator) -> Self {
        let root = simulator.first_root();
        let served = ServedSimulator::start(simulator);
        let between = Between::start(&served.url());
        let folder = tempfile::tempdir().unwrap();
        let stores = TrustStores::new(folder.path().join("trust"));
        let url: IndexUrl = between.url().as_str().parse().unwrap();
        stores.add(&url, &root, Simulator::now()).unwrap();
        let trust = stores.find(&url).unwrap();
        let mirror = Mirror::new(folder.path().join("m"));
        let keep = Keep { snapshots: 1, grace: Duration::ZERO };
        let options = SyncOptions { keep, threads: 2, ..SyncOptions::default() };
        Self { served, between, trust, folder, mirror, options }
    }

    fn sync_at(&self, now: Timestamp) -> Result<Outcome, Error> {
        let settings = Settings { retries: 0, ..Settings::default() };
        let index = Index::new(&self.trust.index().url, settings).unwrap();
        self.mirror.sync(&index, &self.trust, &self.options, now, &|_| {})
    }

    fn sync(&self) -> Result<Outcome, Error> {
        self.sync_at(Simulator::now())
    }

    fn is_complete(&self) -> bool {
        let verified = self.mirror.verify(&self.trust, 2, Simulator::now(), &|_| {}).unwrap();
        verified.is_complete()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("m").join(name)
    }

    fn change(&self, path: &str, content: &[u8]) {
        let mut simulator = self.served.simulator();
        simulator.add_target(&bin_of(path), path, content);
        simulator.publish_targets(&bin_of(path));
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_root_is_there_for_clients_that_begin_with_any_of_them() {
    let world = World::new();
    world.sync().unwrap();
    for (role, key) in [("root", "second"), ("timestamp", "third")] {
        let mut simulator = world.served.simulator();
        simulator.rotate(role, &[key], 1);
        simulator.publish_root();
        simulator.publish_snapshot();
    }
    world.sync().unwrap();
    for version in 1..=3 {
        let name = format!("{version}.root.json");
        let origin = world.served.simulator().files[&name].clone();
        assert_eq!(fs::read(world.path(&format!("tuf/metadata/{name}"))).unwrap(), origin);
    }
    assert!(world.is_complete());
    // Also for a mirror that begins now, with a trust that does.
    let late = World { mirror: Mirror::new(world.folder.path().join("late")), ..world };
    late.sync().unwrap();
    let roots = names(&late.folder.path().join("late/tuf/metadata"));
    assert_eq!(roots.iter().filter(|name| name.ends_with("root.json")).count(), 3, "{roots:?}");
}

#[test]
fn a_file_that_is_replaced_changes_its_plain_name_and_the_older_one_goes_in_time() {
    let mut world = World::new();
    world.options.keep = Keep { snapshots: 1, grace: Duration::from_mins(1) };
    world.sync().unwrap();
    world.change(FILE, b"two");
    let outcome = world.sync().unwrap();
    assert_eq!((outcome.files, outcome.roles, outcome.removed), (1, 1, 0));
    let plain = || fs::read(world.path(&format!("files/{FILE}"))).unwrap();
    let folder = world.path("tuf/targets/packages/a");
    assert_eq!((plain(), names(&folder).len()), (b"two".to_vec(), 2));
    let later = Simulator::now() + Duration::from_mins(2);
    assert!(world.sync_at(later).unwrap().removed >= 2);
    assert_eq!((plain(), names(&folder).len()), (b"two".to_vec(), 1));
    // The older bytes come again, while what they are is on no list any more.
    world.change(FILE, b"one");
    world.sync_at(later).unwrap();
    world.change(FILE, b"two");
    world.sync_at(later).unwrap();
    world.sync_at(later + Duration::from_mins(2)).unwrap();
    assert_eq!((plain(), names(&folder).len()), (b"two".to_vec(), 1));
    assert!(world.is_complete());
}

#[test]
fn what_is_removed_and_comes_again_within_the_grace_time_stays() {
    let mut world = World::new();
    world.options.keep = Keep { snapshots: 1, grace: Duration::from_mins(1) };
    world.sync().unwrap();
    {
        let mut simulator = world.served.simulator();
        simulator.role(&bin_of(FILE)).targets.remove(FILE);
        simulator.publish_targets(&bin_of(FILE));
    }
    world.sync().unwrap();
    assert!(world.path(&format!("files/{FILE}")).exists());
    world.change(FILE, b"one");
    world.sync().unwrap();
    let later = Simulator::now() + Duration::from_mins(2);
    let outcome = world.sync_at(later).unwrap();
    assert!(outcome.removed > 0 && world.path(&format!("files/{FILE}")).exists());
    assert!(world.is_complete());
}

#[test]
fn an_index_that_moves_on_in_the_middle_of_a_run_is_followed() {
    let world = World::new();
    let missing = Box::new(Change::Status(404_u16.try_into().unwrap()));
    let once = Change::Times(Arc::new(AtomicU32::new(1)), missing);
    for matches in [PathPattern::suffix(".whl"), PathPattern::suffix("bin-0.json")] {
        world.between.set(Tamper { matches, change: once.clone() });
    }
    world.sync().unwrap();
    assert!(world.is_complete());
    // What stays away is missing.
    world.change("packages/a/a-2.whl", b"more");
    let change = Change::Status(404_u16.try_into().unwrap());
    world.between.set(Tamper { matches: PathPattern::suffix(".whl"), change });
    let error = world.sync().unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("a-2.whl"), "{error}");
    assert!(world.is_complete());
    let status = world.mirror.status().unwrap();
    assert!(status.problem.is_some() && status.newest_seen > status.snapshot, "{status:?}");
}

#[test]
fn what_expires_stays_as_it_is_and_is_said_to_be_expired() {
    let world = World::new();
    world.sync().unwrap();
    let late = Simulator::now() + Duration::from_hours(24 * 365);
    let error = world.sync_at(late).unwrap_err();
    assert!(error.is_refusal() && error.to_string().contains("expired"), "{error}");
    let verified = world.mirror.verify(&world.trust, 2, late, &|_| {}).unwrap();
    assert!(verified.expired.is_some() && verified.wrong == 0 && !verified.is_complete());
    let status = world.mirror.status().unwrap();
    assert!(status.is_expired(late) && !status.is_expired(Simulator::now()));
    assert_eq!(status.lag_seconds(late), Some(365 * 24 * 3600));
    assert!(world.is_complete());
}

#[test]
fn a_target_that_no_search_finds_and_one_of_no_project_are_told_apart() {
    let mut simulator = Simulator::new();
    simulator.delegate_bins("targets", 1, "bin");
    simulator.add_target(&bin_of(FILE), FILE, b"one");
    let (other, astray) = ("notes/readme", "packages/b/b-1.whl");
    simulator.add_target(&bin_of(other), other, b"read me");
    let wrong_bin = if bin_of(astray) == "bin-0" { "bin-1" } else { "bin-0" };
    simulator.add_target(wrong_bin, astray, b"nobody finds it");
    publish_all(&mut simulator);
    let mut world = World::of(simulator);
    world.options.filter = Some(Filter::of_names(&["c".to_owned()], &[]).unwrap());
    world.sync().unwrap();
    assert_eq!(names(&world.path("tuf/targets")), ["notes"]);
    world.options.filter = Some(Filter::default());
    world.sync().unwrap();
    assert_eq!(names(&world.path("tuf/targets/packages")), ["a"]);
    assert!(world.is_complete());
    let update = world.folder.path().join("update.tar");
    let now = Simulator::now();
    let exported = world.mirror.export(&update, waxseal_mirror::Base::Nothing, now).unwrap();
    assert!(exported.from.is_none() && update.exists());
}

#[test]
fn two_at_once_are_one_too_many() {
    let world = World::new();
    world.sync().unwrap();
    let lock = fs::File::open(world.path(".waxseal-mirror/lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(world.sync(), Err(Error::Busy { .. })));
    let verified = world.mirror.verify(&world.trust, 1, Simulator::now(), &|_| {});
    assert!(matches!(verified, Err(Error::Busy { .. })));
    lock.unlock().unwrap();
    world.sync().unwrap();
}
