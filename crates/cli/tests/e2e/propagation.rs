//! A content delivery network that is honest and slow: edges that have some of the new files, have kept old
//! ones and "not found"s, and go back in time.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Recording, Tamper};
use waxseal_testkit::peers::Outcome;

use crate::harness::{Index, Person, Tool, Wheel, assert_shows, tree};

/// States of the network for each tool.
const ROUNDS: usize = 4;

/// Of files that are new, one in so many has not arrived; of those that are old, one in so many is gone.
const NEW_MISSING: u64 = 4;
const OLD_MISSING: u64 = 40;

/// Marsaglia's xorshift: what a run draws, another with the same seed draws again.
struct Random(u64);

impl Random {
    /// Another seed in each run, unless `WAXSEAL_SEED` says which.
    fn new() -> Self {
        let given = std::env::var("WAXSEAL_SEED").ok();
        let now =
            || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
        let seed = given.map_or_else(now, |seed| seed.parse().unwrap());
        println!("WAXSEAL_SEED={seed} repeats this");
        // Spread over the whole word, and never zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11).is_multiple_of(many)
    }
}

/// An index with `parcel` 1.0 and, later, 2.0; and an edge between it and those who install.
struct Scene {
    mirror: Mirror,
    index: Index,
    /// The paths of the index's files then and now, and its timestamp then.
    old: Vec<String>,
    new: Vec<String>,
    timestamp: Recording,
}

fn parcel<'a>(version: &'a str, module: &'a str) -> Wheel<'a> {
    Wheel { module, ..Wheel::new("parcel", version) }
}

fn paths(index: &Index) -> Vec<String> {
    let store = index.data().join("store");
    let path = |file: &std::path::Path| {
        let below = file.strip_prefix(&store).unwrap().to_str().unwrap();
        format!("/{below}")
    };
    tree(&store).keys().map(|file| path(file)).collect()
}

impl Scene {
    fn new() -> Self {
        let index = Index::quickstart();
        index.upload_new(parcel("1.0", "VERSION = '1.0'"));
        let mirror = Mirror::start(&index.url.parse().unwrap());
        let old = paths(&index);
        let timestamp = mirror.record(["/tuf/metadata/timestamp.json"]);
        index.upload_new(parcel("2.0", "VERSION = '2.0'"));
        let new = paths(&index);
        Self { mirror, index, old, new, timestamp }
    }

    /// The edge has an old timestamp.
    fn go_back(&self) {
        let matches = PathPattern::exact("/tuf/metadata/timestamp.json");
        self.mirror.set(Tamper { matches, change: Change::Replay(self.timestamp.clone()) });
    }

    /// Decides for each file whether the edge has it; what it has not stays "not found". The version that is
    /// the newest in the snapshot of its timestamp.
    fn propagate(&self, random: &mut Random) -> &'static str {
        self.mirror.honest();
        let goes_back = random.one_in(2);
        if goes_back {
            self.go_back();
        }
        for path in &self.new {
            let many = if self.old.contains(path) { OLD_MISSING } else { NEW_MISSING };
            // Without the first file nothing at all is asked for.
            if path.ends_with("/timestamp.json") || !random.one_in(many) {
                continue;
            }
            let change = Change::Status("404".parse().unwrap());
            self.mirror.set(Tamper { matches: PathPattern::exact(path.clone()), change });
        }
        if goes_back { "1.0" } else { "2.0" }
    }

    /// Installs the newest parcel into a folder; the version that is there then.
    fn install(person: &Person, tool: Tool) -> (Outcome, Option<String>) {
        let folder = person.work().join("there");
        let _ = fs::remove_dir_all(&folder);
        let command = person.install(tool, ["--target", "there", "parcel"]);
        // The edge is to be asked each time.
        let command = command.env("WAXSEAL_CACHE_SIZE", "0").env("PIP_NO_CACHE_DIR", "1");
        let outcome = command.env("UV_NO_CACHE", "1").run();
        let module = fs::read_to_string(folder.join("parcel.py"));
        let version = module.ok().map(|text| text.split('\'').nth(1).unwrap().to_owned());
        (outcome, version)
    }

    /// One try: exactly what the snapshot says that the edge's timestamp names, or a refusal and nothing.
    #[track_caller]
    fn attempt(person: &Person, tool: Tool, newest: &str) -> Option<String> {
        let (outcome, version) = Self::install(person, tool);
        if outcome.status.success() {
            assert_eq!(version.as_deref(), Some(newest), "{outcome}");
        } else {
            assert_shows(&outcome.stderr, &["error:", "hint:"]);
            assert_eq!(version, None, "{outcome}");
            let unpacked =
                tree(&person.work()).into_keys().find(|p| p.to_string_lossy().contains("parcel"));
            assert_eq!(unpacked, None, "{outcome}");
        }
        for (path, bytes) in person.trust_store() {
            let parsed = serde_json::from_slice::<serde_json::Value>(&bytes);
            assert!(parsed.is_ok(), "{}: {outcome}", path.display());
        }
        person.waxseal(["trust", "list"]).run().success();
        version
    }

    fn person(&self) -> Person {
        let person = Person::new();
        self.mirror.honest();
        let url = self.mirror.url();
        person.trust(&self.index, url.as_str());
        person
    }

    #[track_caller]
    fn afterwards(&self, person: &Person, tool: Tool) {
        self.mirror.honest();
        assert_eq!(Self::attempt(person, tool, "2.0").as_deref(), Some("2.0"));
    }
}

#[track_caller]
fn rounds(tool: Tool) {
    let scene = Scene::new();
    let mut random = Random::new();
    let (mut installed, mut refused) = ([0, 0], 0);
    for _ in 0..ROUNDS {
        let person = scene.person();
        for _ in 0..2 {
            let newest = scene.propagate(&mut random);
            match Scene::attempt(&person, tool, newest).as_deref() {
                Some("1.0") => installed[0] += 1,
                Some(_) => installed[1] += 1,
                None => refused += 1,
            }
        }
        scene.afterwards(&person, tool);
    }
    println!("{tool:?}: 1.0 and 2.0 {installed:?} times, refused {refused} times");
}

#[test]
fn pip_installs_what_one_snapshot_says_or_nothing() {
    rounds(Tool::Pip);
}

#[test]
fn uv_installs_what_one_snapshot_says_or_nothing() {
    rounds(Tool::Uv);
}

#[test]
fn an_edge_that_goes_back_in_time_is_refused_until_it_has_caught_up() {
    let scene = Scene::new();
    for tool in Tool::BOTH {
        let person = scene.person();
        // An old edge is no lie to who has seen nothing newer.
        scene.go_back();
        let newcomer = Person::new();
        newcomer.trust(&scene.index, scene.mirror.url().as_str());
        assert_eq!(Scene::attempt(&newcomer, tool, "1.0").as_deref(), Some("1.0"));

        scene.mirror.honest();
        scene.afterwards(&person, tool);
        let before = person.trust_store();
        scene.go_back();
        let (outcome, version) = Scene::install(&person, tool);
        assert_eq!(outcome.status.code(), Some(3), "{outcome}");
        assert_shows(
            &outcome.stderr,
            &["timestamp", "older", "hint: the mirror serves older metadata"],
        );
        assert_eq!(version, None);
        assert_eq!(person.trust_store(), before);
        scene.afterwards(&person, tool);
        scene.afterwards(&newcomer, tool);
    }
}
