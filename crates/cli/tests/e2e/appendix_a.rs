//! Every attack of PEP 458, Appendix A, with the real pip and the real uv, in four parts: the plain tool is
//! fooled through the same mirror, or the test would prove nothing; with waxseal nothing is installed and
//! the trust store stays byte for byte as it is; the screen says what was refused, why, which mirror said
//! so, and what to do next; and with an honest mirror the same command works, with nothing cleaned up.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use waxseal_signing::{KeyUri, Nobody, PrivateKey, Scheme};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Recording, Tamper};
use waxseal_testkit::peers::{self, CleanCommand};
use waxseal_tuf::Signer;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{RoleKeys, Root, Unverified, sign};

use crate::harness::{
    Index, Person, Process, Tool, Wheel, assert_shows, clock_shifted, exited, make_wheels, tree,
};

const PAGES: [&str; 2] = ["/simple/greet/", "/simple/phrases/"];
const TIMESTAMP: &str = "/tuf/metadata/timestamp.json";
const WHEEL: &str = "greet-1.1-py3-none-any.whl";

/// What a module says of itself.
const NEW: &str = "says = 'new'";
const OLD: &str = "says = 'old'";
const EVIL: &str = "says = 'evil'";
const WINDOWS: &str = "says = 'for Windows'";

fn greet(version: &'static str, module: &'static str) -> Wheel<'static> {
    Wheel { module, ..Wheel::new("greet", version) }
}

fn phrases(version: &'static str, module: &'static str) -> Wheel<'static> {
    Wheel { module, ..Wheel::new("phrases", version) }
}

fn on_windows() -> Wheel<'static> {
    Wheel { tag: "py3-none-win_amd64", ..greet("1.1", WINDOWS) }
}

/// An index with news, a mirror that knows how it was before, and people who trust it by the mirror's URL.
struct Stage {
    index: Index,
    mirror: Mirror,
    old: Recording,
    old_bins: BTreeMap<String, (u64, Vec<u8>)>,
    people: Vec<(Tool, Person)>,
}

/// What the people have seen of the index.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Today(&'static [&'static str]),
    /// Three days ago, and nothing since.
    ThreeDaysAgo,
}

/// All that an attack is about.
const ALL: Seen = Seen::Today(&["greet", "phrases"]);

impl Stage {
    fn new(seen: Seen) -> Self {
        let long_ago = seen == Seen::ThreeDaysAgo;
        let mut index = Index::quickstart_with(|command| match long_ago {
            true => clock_shifted(command, "-3d"),
            false => command,
        });
        let mirror = Mirror::start(&index.url.parse().unwrap());
        let people = Tool::BOTH.map(|tool| {
            let person = Person::new();
            person.trust(&index, mirror.url().as_str());
            (tool, person)
        });
        index.upload_new(greet("1.0", OLD));
        index.upload_new(phrases("1.0", OLD));
        index.upload_new(Wheel::new("oldxml", "0.9"));
        let old = mirror.record(PAGES.into_iter().chain([TIMESTAMP]));
        let old_bins = newest_bins(&index);
        if long_ago {
            for (tool, person) in &people {
                let see = verified(person, *tool, "seen", &["greet", "phrases"]);
                clock_shifted(see, "-3d").run().success();
            }
            // Today it signs again.
            index.stop();
            index.start();
        }
        for wheel in [greet("1.1", NEW), on_windows(), phrases("1.1", NEW)] {
            index.upload_new(wheel);
        }
        if let Seen::Today(what) = seen {
            for (tool, person) in &people {
                verified(person, *tool, "seen", what).run().success();
            }
        }
        Self { index, mirror, old, old_bins, people: people.into() }
    }

    fn set(&self, matches: PathPattern, change: Change) {
        self.mirror.set(Tamper { matches, change });
    }

    /// Pages and metadata as they were.
    fn replay(&self) {
        self.set(PathPattern::Any, Change::Replay(self.old.clone()));
    }

    /// These bytes in the place of the newest wheel, and their hash on these pages.
    fn hand_out(&self, wheel: Wheel<'_>, pages: PathPattern) {
        let bytes = bytes_of(wheel);
        let hash = |bytes: &[u8]| Sha256::of(bytes).to_string();
        let (honest, other) = (hash(&bytes_of(greet("1.1", NEW))), hash(&bytes));
        let page = move |body| {
            let text = String::from_utf8(body).unwrap();
            // Without the hash of the .metadata, which the wheel does not match.
            let text = text.replace("core-metadata", "x").replace("dist-info-metadata", "y");
            text.replace(&honest, &other).into_bytes()
        };
        self.set(pages, Change::edit(page));
        self.set(PathPattern::suffix(WHEEL), Change::ReplaceBody(bytes));
    }

    /// All four parts, for both tools.
    #[track_caller]
    fn plays(&self, what: &[&str], attack: &Attack<'_>) {
        for (tool, person) in &self.people {
            (attack.lies)(self);
            if attack.fools.contains(tool) {
                (attack.fooled)(self, person, *tool);
            }
            self.refuses(person, *tool, what, attack.ends, attack.words);
            self.mirror.honest();
            Self::recovers(person, *tool, what);
        }
    }

    /// Nothing is installed, trust stays as it is, and the screen says why.
    #[track_caller]
    fn refuses(&self, person: &Person, tool: Tool, what: &[&str], ends: Ends, words: &[&str]) {
        let before = person.trust_store();
        let outcome = verified(person, tool, "verified", what).run().failure();
        println!("{outcome}\n");
        let code = match (ends, tool) {
            (Ends::Waxseal, _) => 3,
            (Ends::Slow, _) | (Ends::Tool, Tool::Pip) => 1,
            (Ends::Tool, Tool::Uv) => 2,
        };
        exited(&outcome, code);
        assert!(!person.work().join("verified/greet.py").exists(), "{outcome}");
        assert!(person.trust_store() == before, "the trust store was changed: {outcome}");
        assert_shows(&outcome.stderr, words);
        let mirror = format!("waxseal: asked of {}", self.mirror.url());
        assert_shows(&outcome.stderr, &["error: ", &mirror, "hint: "]);
    }

    /// The same command, with nothing cleaned up.
    #[track_caller]
    fn recovers(person: &Person, tool: Tool, what: &[&str]) {
        verified(person, tool, "verified", what).run().success();
        assert_eq!(says(person, "verified", "greet"), NEW, "{tool:?}");
    }
}

/// One attack.
struct Attack<'a> {
    lies: &'a dyn Fn(&Stage),
    /// The tools that are fooled by it, when nothing verifies.
    fools: &'a [Tool],
    /// Asserts it.
    fooled: &'a dyn Fn(&Stage, &Person, Tool),
    ends: Ends,
    /// What the screen says.
    words: &'a [&'a str],
}

/// Who ends a refused installation.
#[derive(Clone, Copy)]
enum Ends {
    /// waxseal, before the tool was started.
    Waxseal,
    /// waxseal, for a mirror that proves nothing either way.
    Slow,
    /// The tool, which was answered with a refusal.
    Tool,
}

/// The tool with this mirror as its index, into a folder, with nothing kept from before.
fn plain(stage: &Stage, person: &Person, tool: Tool, what: &[&str]) -> CleanCommand {
    plain_with(&stage.mirror, person, tool).args(what)
}

fn plain_with(mirror: &Mirror, person: &Person, tool: Tool) -> CleanCommand {
    let index = format!("{}simple/", mirror.url());
    let command = match tool {
        Tool::Pip => person.plain_pip(["install", "--no-cache-dir"]),
        Tool::Uv => person.command(peers::uv()).args(["pip", "install", "--no-cache"]),
    };
    command.args(["--index-url", &index, "--target", "plain"])
}

/// The same with waxseal between.
fn verified(person: &Person, tool: Tool, target: &str, what: &[&str]) -> CleanCommand {
    let no_cache = match tool {
        Tool::Pip => "--no-cache-dir",
        Tool::Uv => "--no-cache",
    };
    let command = person.install(tool, [no_cache, "--target", target]).args(what);
    command.env("WAXSEAL_CACHE_SIZE", "0")
}

/// The page of greet that plain tools read.
fn plain_page() -> PathPattern {
    PathPattern::exact("/simple/greet/")
}

/// The same, and those that are signed.
fn every_page() -> PathPattern {
    PathPattern::contains("simple/greet/")
}

/// What an installed module says.
#[track_caller]
fn says(person: &Person, target: &str, module: &str) -> String {
    fs::read_to_string(person.work().join(target).join(format!("{module}.py"))).unwrap()
}

/// Plain tools install it and say nothing.
fn installs(
    what: &'static [&'static str],
    is: &'static [(&'static str, &'static str)],
) -> impl Fn(&Stage, &Person, Tool) {
    move |stage, person, tool| {
        let outcome = plain(stage, person, tool, what).run().success();
        for (module, text) in is {
            assert_eq!(says(person, "plain", module), *text, "{outcome}");
        }
        assert!(!outcome.screen().to_lowercase().contains("error"), "{outcome}");
    }
}

fn bytes_of(wheel: Wheel<'_>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::read(&make_wheels(folder.path(), &[wheel])[0]).unwrap()
}

/// The newest version of each bin that a store has, and its bytes.
fn newest_bins(index: &Index) -> BTreeMap<String, (u64, Vec<u8>)> {
    let mut newest = BTreeMap::new();
    for (path, bytes) in tree(&index.data().join("store/tuf/metadata")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let Some((version, bin)) = name.split_once(".bin-") else { continue };
        let version: u64 = version.parse().unwrap();
        if newest.get(bin).is_none_or(|(known, _)| *known < version) {
            newest.insert(bin.to_owned(), (version, bytes));
        }
    }
    newest
}

#[test]
fn arbitrary_software_installation() {
    Stage::new(ALL).plays(
        &["greet"],
        &Attack {
            lies: &|stage| stage.hand_out(greet("1.1", EVIL), every_page()),
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", EVIL)]),
            ends: Ends::Tool,
            words: &["refused project greet: simple/greet/vnd.pypi.simple.v1.json was changed"],
        },
    );
}

#[test]
fn rollback() {
    Stage::new(ALL).plays(
        &["greet"],
        &Attack {
            lies: &Stage::replay,
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", OLD)]),
            ends: Ends::Waxseal,
            words: &["timestamp went back from version", "a rollback"],
        },
    );
}

#[test]
fn indefinite_freeze() {
    Stage::new(Seen::ThreeDaysAgo).plays(
        &["greet"],
        &Attack {
            lies: &Stage::replay,
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", OLD)]),
            ends: Ends::Waxseal,
            words: &[
                "timestamp version",
                "expired at",
                "it is 20",
                "here: the mirror is stale or frozen",
            ],
        },
    );
}

#[test]
fn endless_data() {
    // So much of it that no buffer of the kernel explains it.
    const MUCH: u64 = 64 << 20;
    let taken = |stage: &Stage| {
        stage.mirror.requests().iter().map(|request| request.sent).max().unwrap_or_default()
    };
    let stage = Stage::new(ALL);
    stage.plays(
        &["greet"],
        &Attack {
            lies: &|stage| {
                let wheel = || PathPattern::suffix(WHEEL);
                // Not the wheel and then more: who stops after the wheel has what it should have.
                stage.set(wheel(), Change::FlipByte { at: Position::FromEnd(1) });
                stage.set(wheel(), Change::Endless);
                stage.mirror.forget_requests();
            },
            // uv reads as far as the archive, finds that more follows, and fails.
            fools: &[Tool::Pip],
            fooled: &|stage, person, tool| {
                let mut process = Process::start(plain(stage, person, tool, &["greet"]));
                let begun = Instant::now();
                while taken(stage) < MUCH {
                    assert!(!process.has_ended(), "{}", process.screen());
                    assert!(begun.elapsed() < Duration::from_mins(1), "{}", taken(stage));
                    thread::sleep(Duration::from_millis(50));
                }
                process.kill();
                stage.mirror.forget_requests();
            },
            ends: Ends::Tool,
            words: &["refused file packages/greet/greet-1.1-py3-none-any.whl", "metadata says"],
        },
    );
}

#[test]
fn slow_retrieval() {
    // Longer than plain pip waits for a server that sends nothing.
    const WATCHED: Duration = Duration::from_secs(18);
    let stage = Stage::new(ALL);
    let every = Duration::from_secs(2);
    stage.set(PathPattern::Any, Change::Trickle { bytes: 1, every });
    let begun = Instant::now();
    let plain = stage.people.iter().map(|(tool, person)| {
        // Beside those with waxseal, which are the same but for that.
        Process::start(plain(&stage, person, *tool, &["greet"]))
    });
    let plain: Vec<_> = plain.collect();
    let words = ["timestamp.json: sends less than 8192 bytes in a second"];
    for (tool, person) in &stage.people {
        stage.refuses(person, *tool, &["greet"], Ends::Slow, &words);
    }
    thread::sleep(WATCHED.saturating_sub(begun.elapsed()));
    for mut process in plain {
        assert!(!process.has_ended(), "{}", process.screen());
        process.kill();
    }
    stage.mirror.honest();
    for (tool, person) in &stage.people {
        Stage::recovers(person, *tool, &["greet"]);
    }
}

#[test]
fn extraneous_dependencies() {
    let needy = || Wheel { requires: &["oldxml"], ..greet("1.1", NEW) };
    Stage::new(ALL).plays(
        &["greet"],
        &Attack {
            lies: &|stage| stage.hand_out(needy(), plain_page()),
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", NEW), ("oldxml", "")]),
            ends: Ends::Tool,
            words: &["refused file packages/greet/greet-1.1-py3-none-any.whl", "was changed"],
        },
    );
}

#[test]
fn mix_and_match() {
    // Who has seen greet as it is today is shown phrases as it was.
    Stage::new(Seen::Today(&["greet"])).plays(
        &["greet", "phrases"],
        &Attack {
            lies: &|stage| {
                let old_page = PathPattern::exact("/simple/phrases/");
                stage.set(old_page, Change::Replay(stage.old.clone()));
                for (bin, (version, _)) in newest_bins(&stage.index) {
                    let (before, old) = &stage.old_bins[&bin];
                    if *before < version {
                        let path = format!("/tuf/metadata/{version}.bin-{bin}");
                        stage.set(PathPattern::exact(path), Change::ReplaceBody(old.clone()));
                    }
                }
            },
            fools: &Tool::BOTH,
            fooled: &installs(&["greet", "phrases"], &[("greet", NEW), ("phrases", OLD)]),
            ends: Ends::Tool,
            words: &["refused project phrases: bin-", " has version ", ", expected version "],
        },
    );
}

#[test]
fn wrong_software_installation() {
    Stage::new(ALL).plays(
        &["greet"],
        &Attack {
            // Every file is one of the index, and so is its hash.
            lies: &|stage| stage.hand_out(on_windows(), plain_page()),
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", WINDOWS)]),
            ends: Ends::Tool,
            words: &["refused file packages/greet/greet-1.1-py3-none-any.whl", "was changed"],
        },
    );
}

#[test]
fn a_key_compromise() {
    let stage = Stage::new(ALL);
    let root = forged_root(&stage.index.data());
    stage.plays(
        &["greet"],
        &Attack {
            lies: &|stage| {
                let path = PathPattern::exact("/tuf/metadata/2.root.json");
                stage.set(path, Change::ReplaceBody(root.clone()));
                stage.hand_out(greet("1.1", EVIL), plain_page());
            },
            fools: &Tool::BOTH,
            fooled: &installs(&["greet"], &[("greet", EVIL)]),
            ends: Ends::Waxseal,
            words: &["root version 2 is signed by 1 of the keys", "2 are needed (2.root.json)"],
        },
    );
}

/// A successor of the root by whoever has one of its keys, which gives every role to a key of theirs.
fn forged_root(data: &Path) -> Vec<u8> {
    let root = fs::read(data.join("store/tuf/metadata/1.root.json")).unwrap();
    let mut root = Unverified::<Root>::parse(&root).unwrap().claims().clone();
    let stolen = KeyUri::file(&data.join("keys/root-1.pem")).with_development();
    let stolen = waxseal_signing::open(&stolen, &Nobody).unwrap();
    let own = PrivateKey::generate(Scheme::Ed25519).unwrap();
    let keyid = own.public_key().default_keyid();
    root.version += 1;
    root.keys.insert(keyid.clone(), own.public_key().clone());
    let roles = &mut root.roles;
    for role in [&mut roles.root, &mut roles.timestamp, &mut roles.snapshot, &mut roles.targets] {
        *role = RoleKeys { keyids: vec![keyid.clone()], threshold: 1 };
    }
    sign(&root, &[&*stolen, &own as &dyn Signer]).unwrap()
}

#[test]
fn malicious_mirrors_preventing_updates() {
    let stage = Stage::new(ALL);
    let good = Mirror::start(&stage.index.url.parse().unwrap());
    let lie = || {
        let page =
            |body| String::from_utf8(body).unwrap().replace("greet-1.1-", "greet-99-").into_bytes();
        stage.set(PathPattern::exact("/simple/greet/"), Change::edit(page));
        stage.set(PathPattern::contains("/greet-99-"), Change::Status("404".parse().unwrap()));
        let old = Change::Replay(stage.old.clone());
        stage.set(PathPattern::exact(TIMESTAMP), old);
    };
    let (bad_url, good_url) = (stage.mirror.url(), good.url());
    for (tool, person) in &stage.people {
        lie();
        // Told of both, the plain tool fails. uv asks the extra one first, pip both.
        let bad = format!("{bad_url}simple/");
        let plain = plain_with(&good, person, *tool).args(["--extra-index-url", &bad, "greet"]);
        let outcome = plain.run().failure();
        assert_shows(&outcome.screen(), &["404"]);
        assert!(!person.work().join("plain/greet.py").exists(), "{outcome}");

        // The good one is asked instead, once, and a warning names the bad one.
        let before = person.trust_store();
        let install = || {
            let command = verified(person, *tool, "verified", &["greet"]);
            command.env("WAXSEAL_MIRRORS", good_url.as_str())
        };
        let outcome = install().run().success();
        println!("{outcome}\n");
        assert_eq!(says(person, "verified", "greet"), NEW, "{outcome}");
        assert!(person.trust_store() == before, "the trust store was changed: {outcome}");
        let warnings = outcome.stderr.lines().filter(|line| line.contains("WARN")).count();
        assert_eq!(warnings, 1, "{outcome}");
        let named = format!(
            "asking {good_url}tuf/metadata/ from now on, since {bad_url}tuf/metadata/ failed"
        );
        assert_shows(&outcome.stderr, &[&named, "timestamp went back from version", "a rollback"]);

        stage.mirror.honest();
        fs::remove_dir_all(person.work().join("verified")).unwrap();
        install().run().success();
        assert_eq!(says(person, "verified", "greet"), NEW);
    }
}
