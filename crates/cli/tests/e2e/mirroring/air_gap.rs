//! Updates as files, between networks that know nothing of each other.

use std::fs;
use std::path::{Path, PathBuf};

use waxseal_testkit::peers::{CleanCommand, Outcome};

use super::{World, shown, with};
use crate::harness::{Person, Wheel, assert_shows, exited, killed_in};

/// Who keeps a mirror on the other side, and trusts the index by its fingerprint.
struct Other {
    person: Person,
    url: String,
}

impl Other {
    fn of(world: &World) -> Self {
        let person = Person::new();
        let root = world.index.data().join("store/tuf/metadata/1.root.json");
        let root = root.display().to_string();
        person.waxseal(["trust", "add", &world.url(), "--root", &root]).run().success();
        Self { person, url: world.url() }
    }

    fn import(&self, update: &str, more: &[&str]) -> CleanCommand {
        self.person.waxseal(["mirror", "import", update, "m", "--index", &self.url]).args(more)
    }

    fn folder(&self) -> PathBuf {
        self.person.work().join("m")
    }

    fn verify(&self) -> Outcome {
        self.person.waxseal(["mirror", "verify", "m"]).run()
    }
}

/// Asserts that the other side shows what this one does. Here the metadata of the last export stays as well,
/// for comparing the next one with it.
#[track_caller]
fn assert_same(world: &World, folder: &Path) {
    let (mut here, there) = (world.shown(), shown(folder));
    here.retain(|path, _| there.contains_key(path) || !path.starts_with("tuf/metadata"));
    let missing: Vec<_> = here.keys().filter(|path| !there.contains_key(*path)).collect();
    assert!(here == there, "missing: {missing:?}");
}

impl World {
    /// Brings the mirror up to date and writes an update; its path.
    fn export(&self, name: &str, more: &[&str]) -> String {
        self.mirror(&["--air-gap", name]).args(more).run().success();
        self.operator.work().join(name).display().to_string()
    }
}

#[test]
fn updates_carry_what_changed_and_are_verified_on_the_other_side() {
    let world = World::new();
    let other = Other::of(&world);
    let first = world.export("1.tar", &[]);
    // A new name each time: nothing that was written is lost.
    exited(&world.mirror(&["--air-gap", "1.tar"]).run(), 2);
    let imported = other.import(&first, &[]).run().success();
    assert_shows(&imported.stdout, &["snapshot 3 is published, with 10 targets"]);
    other.verify().success();
    assert_same(&world, &other.folder());
    assert_shows(&other.import(&first, &[]).run().success().stdout, &["was here already"]);

    world.index.upload_new(Wheel::new("gamma", "1.0"));
    let second = world.export("2.tar", &["--keep", "1", "--grace", "0s"]);
    world.index.upload_new(Wheel::new("alpha", "2.0"));
    let keep = ["--keep", "1", "--grace", "0s"];
    let third = world.export("3.tar", &keep);
    let list = CleanCommand::new("tar").args(["--list", "--file", &third]).run().success().stdout;
    assert!(list.starts_with("manifest.json\n"), "{list}");
    assert!(list.contains("alpha-2.0") && !list.contains("alpha-1.0"), "{list}");
    assert!(!list.contains("gamma-1.0") && !list.contains("files/"), "{list}");
    // One is missing in between.
    let before = shown(&other.folder());
    let skipped = other.import(&third, &[]).run();
    exited(&skipped, 1);
    assert_shows(&skipped.stderr, &["it leads from snapshot 4 to 5", "has 3", "--since 3"]);
    assert!(shown(&other.folder()) == before);
    other.import(&second, &keep).run().success();
    other.import(&third, &keep).run().success();
    other.verify().success();
    assert_same(&world, &other.folder());
    // An older one.
    let older = other.import(&second, &[]).run();
    exited(&older, 3);
    assert_shows(&older.stderr, &["went back from version 5 to version 4", "in the order"]);
    assert_same(&world, &other.folder());
    // Everything at once, for somebody who begins now.
    let late = Other::of(&world);
    exited(&late.import(&third, &[]).run(), 1);
    let all = world.export("all.tar", &["--since", "0"]);
    late.import(&all, &[]).run().success();
    assert_same(&world, &late.folder());
    let unknown = world.mirror(&["--air-gap", "no.tar", "--since", "3"]).run();
    exited(&unknown, 2);
    assert_shows(&unknown.stderr, &["snapshot 3 is not kept here", "--since 0"]);
}

#[test]
fn an_update_that_claims_to_connect_and_does_not_is_refused_with_what_would() {
    let world = World::new();
    let other = Other::of(&world);
    other.import(&world.export("1.tar", &[]), &[]).run().success();
    let before = shown(&other.folder());
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    world.export("2.tar", &[]);
    world.index.upload_new(Wheel::new("alpha", "2.0"));
    let mut third = fs::read(world.export("3.tar", &[])).unwrap();
    let (honest, lie) = (b"\"from\": 4,", b"\"from\": 3,");
    let at = third.windows(honest.len()).position(|window| window == honest).unwrap();
    third[at..at + lie.len()].copy_from_slice(lie);
    let lies = other.person.work().join("lies.tar").display().to_string();
    fs::write(&lies, third).unwrap();
    let refused = other.import(&lies, &[]).run();
    exited(&refused, 1);
    assert_shows(&refused.stderr, &["it does not connect to what is here", "--since 3"]);
    let after = shown(&other.folder());
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    other.verify().success();
    other.import(&world.export("since.tar", &["--since", "3"]), &[]).run().success();
    other.verify().success();
}

#[test]
fn an_update_that_was_cut_or_changed_shows_nothing() {
    let world = World::new();
    let other = Other::of(&world);
    let first = world.export("1.tar", &[]);
    other.import(&first, &[]).run().success();
    let before = shown(&other.folder());
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    let update = fs::read(world.export("2.tar", &[])).unwrap();
    let broken = other.person.work().join("broken.tar").display().to_string();
    let refused = |bytes: &[u8], code: i32, parts: &[&str]| {
        fs::write(&broken, bytes).unwrap();
        let outcome = other.import(&broken, &[]).run();
        exited(&outcome, code);
        assert_shows(&outcome.stderr, parts);
        // What is verified may be there already; nothing leads to it.
        let after = shown(&other.folder());
        assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "{outcome}");
        assert!(with(&after, "gamma/index").is_empty(), "{outcome}");
        other.verify().success();
    };
    refused(&[], 1, &["is no update"]);
    refused(b"not a tar file at all", 1, &["is no update"]);
    refused(&update[..600], 1, &["is no update"]);
    // At the end of an entry, and in the middle of one.
    refused(&update[..update.len() / 2 / 512 * 512], 1, &["cut off"]);
    refused(&update[..update.len() / 2 + 100], 1, &["cut off"]);
    // A wheel, and a signed file.
    let at = |part: &[u8]| update.windows(part.len()).rposition(|window| window == part).unwrap();
    for part in [&b"gamma-1.0.dist-info/RECORD"[..], b"x-waxseal-role"] {
        let mut changed = update.clone();
        changed[at(part)] ^= 1;
        refused(&changed, 3, &["clients see nothing of it"]);
    }
    // Something that belongs elsewhere.
    let name = b"tuf/metadata/timestamp.json";
    let mut astray = update.clone();
    let begin = astray.windows(name.len()).position(|window| window == name).unwrap();
    astray[begin..begin + name.len()].copy_from_slice(b"tuf/../../../timestamp.json");
    // Its header has a checksum, which is made right as an attacker would.
    astray[begin + 148..begin + 156].copy_from_slice(b"        ");
    let sum: u32 = astray[begin..begin + 512].iter().map(|byte| u32::from(*byte)).sum();
    astray[begin + 148..begin + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    refused(&astray, 1, &["does not belong into an update"]);
    // Honest again.
    fs::write(&broken, &update).unwrap();
    other.import(&broken, &[]).run().success();
    assert_same(&world, &other.folder());
    other.verify().success();
}

#[test]
fn an_update_of_other_projects_is_asked_about() {
    let world = World::new();
    let other = Other::of(&world);
    let some = world.export("1.tar", &["--project", "alpha"]);
    let imported = other.import(&some, &[]).run().success();
    assert_shows(&imported.stdout, &["this mirror has only alpha"]);
    let all = world.export("2.tar", &["--all-projects"]);
    let asked = other.import(&all, &[]).run();
    exited(&asked, 1);
    assert_shows(&asked.stderr, &["it is of all projects", "only alpha", "--other-projects"]);
    other.import(&all, &["--other-projects"]).run().success();
    other.verify().success();
    assert_same(&world, &other.folder());
}

#[test]
fn an_import_that_is_killed_at_a_write_goes_on() {
    let world = World::new();
    let other = Other::of(&world);
    other.import(&world.export("1.tar", &[]), &[]).run().success();
    world.index.upload_new(Wheel::new("gamma", "1.0"));
    let second = world.export("2.tar", &["--keep", "1", "--grace", "0s"]);
    let trust = other.person.home().join(".local/share/waxseal/trust").display().to_string();
    let words =
        ["mirror", "import", &second, "m", "--keep", "1", "--grace", "0s", "--trust-dir", &trust];
    let (work, folder) = (other.person.work(), other.folder());
    killed_in(&work, &folder, &words, || {
        other.person.waxseal(words).run().success();
        other.verify().success();
        assert_same(&world, &folder);
    });
}
