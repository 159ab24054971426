//! A mirror between proxy and index changes what passes. Nothing of it is installed, pip's and uv's
//! screens name what was refused and why, and when the mirror is honest again the same command works.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Position, Tamper};
use waxseal_testkit::peers::Outcome;
use waxseal_tuf::hash::Sha256;

use crate::harness::{
    Index, Person, Tool, WAXSEAL, Wheel, assert_shows, clock_shifted, exited, make_wheels,
    remembered_for_three_days,
};

const WHEEL: &str = "blinker-1.9.0-py3-none-any.whl";

/// An index with one package, and a mirror of it.
struct Scene {
    index: Index,
    mirror: Mirror,
}

impl Scene {
    fn new() -> Self {
        let index = Index::with(&["blinker-"]);
        let mirror = Mirror::start(&index.url.parse().unwrap());
        Self { index, mirror }
    }

    /// Someone who trusts the index, and knows it by the mirror's URL.
    fn person(&self) -> Person {
        let person = Person::new();
        person.trust(&self.index, self.mirror.url().as_str());
        person
    }

    fn set(&self, matches: PathPattern, change: Change) {
        self.mirror.set(Tamper { matches, change });
    }

    /// Both tools refuse to install blinker, showing `words`, and install it from the honest mirror.
    #[track_caller]
    fn refused(&self, ends: Ends, words: &[&str], tamper: impl Fn(&Self)) {
        for tool in Tool::BOTH {
            let person = self.person();
            tamper(self);
            refuses(&person, tool, ends, words);
            self.mirror.honest();
            person.install(tool, ["blinker"]).run().success();
            assert_eq!(person.venv.installed(), ["blinker-1.9.0"], "{tool:?}");
        }
    }
}

/// The tool fails, shows `words`, and installs nothing.
#[track_caller]
fn refuses(person: &Person, tool: Tool, ends: Ends, words: &[&str]) -> Outcome {
    let outcome = person.install(tool, ["blinker"]).run().failure();
    println!("{outcome}\n");
    exited(&outcome, ends.code(tool));
    assert_shows(&outcome.screen(), words);
    assert_shows(&outcome.stderr, &["error:", "hint:"]);
    assert!(person.venv.installed().is_empty(), "{outcome}");
    outcome
}

/// Who ends a refused installation, and so with which exit code.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// waxseal, before the tool was started.
    Waxseal,
    /// The tool, which was answered with a refusal.
    Tool,
}

impl Ends {
    fn code(self, tool: Tool) -> i32 {
        match (self, tool) {
            (Self::Waxseal, _) => REFUSED,
            (Self::Tool, Tool::Pip) => 1,
            (Self::Tool, Tool::Uv) => 2,
        }
    }
}

/// waxseal's exit code for a refusal.
const REFUSED: i32 = 3;

fn flip(at: Position) -> Change {
    Change::FlipByte { at }
}

/// Lets every metadata file expire a century later: JSON as good as before, and one byte changed.
fn a_later_expiry() -> Change {
    Change::edit(|body| {
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("\"expires\":\"20"), "{text}");
        text.replace("\"expires\":\"20", "\"expires\":\"21").into_bytes()
    })
}

#[test]
fn one_byte_of_a_wheel() {
    let scene = Scene::new();
    for at in [Position::FromStart(2000), Position::FromEnd(1)] {
        let words = [&format!("packages/blinker/{WHEEL}"), "was changed", "sha256"];
        scene.refused(Ends::Tool, &words, |scene| {
            scene.set(PathPattern::suffix(WHEEL), flip(at));
        });
    }
}

#[test]
fn the_last_byte_of_a_large_wheel() {
    large_wheel_is_refused(&[flip(Position::FromEnd(1))]);
}

#[test]
fn the_last_byte_of_a_large_wheel_that_comes_slowly() {
    // So slowly that it is passed on before it is verified, all but its end.
    let slow = Change::Trickle { bytes: 1 << 20, every: Duration::from_millis(500) };
    let screens = large_wheel_is_refused(&[flip(Position::FromEnd(1)), slow]);
    for screen in screens {
        // Meanwhile the tool's own progress stands still.
        assert_shows(&screen, &["waxseal: numpy-", " MB came; it is handed on once all of it"]);
    }
}

/// For both tools; gives what each printed on stderr.
#[track_caller]
fn large_wheel_is_refused(changes: &[Change]) -> Vec<String> {
    let index = Index::with(&["numpy-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    for change in changes {
        mirror.set(Tamper { matches: PathPattern::suffix(".whl"), change: change.clone() });
    }
    let people = Tool::BOTH.map(|tool| {
        let person = Person::new();
        person.trust(&index, mirror.url().as_str());
        (tool, person)
    });
    // Side by side: most of their time may be spent waiting.
    let screens = thread::scope(|scope| {
        let installing = people.each_ref().map(|(tool, person)| {
            scope.spawn(|| {
                let outcome = person.install(*tool, ["numpy"]).run().failure();
                println!("{outcome}\n");
                let words = ["error: refused file packages/numpy/numpy-", "was changed", "hint:"];
                assert_shows(&outcome.stderr, &words);
                assert!(person.venv.installed().is_empty(), "{outcome}");
                outcome.stderr
            })
        });
        installing.map(|thread| thread.join().unwrap()).into()
    });
    mirror.honest();
    for (tool, person) in &people {
        person.install(*tool, ["numpy"]).run().success();
        assert_eq!(person.venv.installed(), ["numpy-2.4.6"], "{tool:?}");
    }
    screens
}

#[test]
fn one_byte_of_a_metadata_file() {
    let scene = Scene::new();
    let words = [&format!("packages/blinker/{WHEEL}.metadata"), "was changed"];
    scene.refused(Ends::Tool, &words, |scene| {
        scene.set(PathPattern::suffix(".whl.metadata"), flip(Position::FromStart(10)));
    });
}

#[test]
fn a_page_together_with_the_wheel_that_it_describes() {
    let scene = Scene::new();
    let folder = tempfile::tempdir().unwrap();
    let evil = Wheel { module: "evil = True", ..Wheel::new("blinker", "1.9.0") };
    let evil = fs::read(&make_wheels(folder.path(), &[evil])[0]).unwrap();
    let wheel = fs::read(waxseal_testkit::peers::package("blinker-")).unwrap();
    let (old, new) = (Sha256::of(&wheel).to_string(), Sha256::of(&evil).to_string());
    let lie = |scene: &Scene| {
        let (old, new) = (old.clone(), new.clone());
        let page = move |body| {
            let text = String::from_utf8(body).unwrap();
            // Without the hash of the .metadata, which the evil wheel does not match.
            let text = text.replace("core-metadata", "x").replace("dist-info-metadata", "y");
            text.replace(&old, &new).into_bytes()
        };
        scene.set(PathPattern::contains("simple/blinker/"), Change::edit(page));
        scene.set(PathPattern::suffix(WHEEL), Change::ReplaceBody(evil.clone()));
    };

    // Plain pip falls for it: the hash on the page is that of the wheel.
    lie(&scene);
    let fooled = Person::new();
    let simple = format!("{}simple/", scene.mirror.url());
    fooled.plain_pip(["install", "--index-url", &simple, "blinker"]).run().success();
    assert_eq!(fooled.python("import blinker; print(blinker.evil)"), "True\n");
    scene.mirror.honest();

    let words = ["simple/blinker/vnd.pypi.simple.v1", "changed", "bytes long"];
    scene.refused(Ends::Tool, &words, lie);
    // And the wheel alone, for a page that is honest.
    let words = [&format!("packages/blinker/{WHEEL}"), "changed", "bytes"];
    scene.refused(Ends::Tool, &words, |scene| {
        scene.set(PathPattern::suffix(WHEEL), Change::ReplaceBody(evil.clone()));
    });
}

#[test]
fn a_page_of_another_project() {
    let scene = Scene::new();
    scene.index.upload(&[waxseal_testkit::peers::package("click-")]);
    let page = |name: &str| fs::read(page_of(&scene.index, name)).unwrap();
    let click = page("click");
    let words = ["simple/blinker/vnd.pypi.simple.v1", "blinker"];
    scene.refused(Ends::Tool, &words, |scene| {
        let other = Change::ReplaceBody(click.clone());
        scene.set(PathPattern::contains("targets/simple/blinker/"), other);
    });
}

/// The JSON page of a project, in the index's store.
fn page_of(index: &Index, project: &str) -> PathBuf {
    let folder = index.data().join("store/tuf/targets/simple").join(project);
    let pages = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut pages = pages.filter(|path| path.extension().is_some_and(|e| e == "json"));
    pages.next().unwrap()
}

#[test]
fn one_byte_of_a_bin() {
    let scene = Scene::new();
    let bins = || PathPattern::contains(".bin-");
    scene.refused(Ends::Tool, &["bin-", "is signed by 0 of the keys"], |scene| {
        scene.set(bins(), a_later_expiry());
    });
    scene.refused(Ends::Tool, &["bin-", "malformed"], |scene| {
        scene.set(bins(), flip(Position::FromStart(0)));
    });
}

#[test]
fn one_byte_of_snapshot() {
    let scene = Scene::new();
    let snapshot = || PathPattern::suffix(".snapshot.json");
    for change in [a_later_expiry(), flip(Position::FromEnd(2))] {
        scene.refused(Ends::Waxseal, &["snapshot", "was changed"], |scene| {
            scene.set(snapshot(), change.clone());
        });
    }
}

#[test]
fn one_byte_of_timestamp_and_the_trust_store_stays_as_it_is() {
    let scene = Scene::new();
    let timestamp = || PathPattern::exact("/tuf/metadata/timestamp.json");
    for (change, words) in [
        (a_later_expiry(), ["timestamp", "is signed by 0 of the keys"]),
        (flip(Position::FromStart(0)), ["timestamp", "malformed"]),
    ] {
        for tool in Tool::BOTH {
            let person = scene.person();
            scene.set(timestamp(), change.clone());
            let before = person.trust_store();
            refuses(&person, tool, Ends::Waxseal, &words);
            assert_eq!(shown(&person.trust_store()), shown(&before));
            scene.mirror.honest();
            person.install(tool, ["blinker"]).run().success();

            // The same to a person who has trusted metadata already.
            scene.set(timestamp(), change.clone());
            let before = person.trust_store();
            exited(&person.install(tool, ["-U", "blinker"]).run(), REFUSED);
            assert_eq!(shown(&person.trust_store()), shown(&before));
            scene.mirror.honest();
        }
    }
}

/// Text, so that a failure can be read.
fn shown(files: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<PathBuf, String> {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    files.iter().map(|(path, bytes)| (path.clone(), text(bytes))).collect()
}

#[test]
fn another_root() {
    let scene = Scene::new();
    let other = Index::with(&["blinker-"]);
    let root = fs::read(other.data().join("store/tuf/metadata/1.root.json")).unwrap();
    // A successor of the right version, by other keys.
    let forged = String::from_utf8(root).unwrap().replace("\"version\":1", "\"version\":2");
    scene.refused(Ends::Waxseal, &["root version 2", "is signed by 0 of the keys"], |scene| {
        let forged = Change::ReplaceBody(forged.clone().into_bytes());
        scene.set(PathPattern::suffix("/2.root.json"), forged);
    });
}

#[test]
fn another_index_altogether() {
    let (index, other) = (Index::with(&["blinker-"]), Index::with(&["blinker-"]));
    let mirror = Mirror::start(&other.url.parse().unwrap());
    for tool in Tool::BOTH {
        let person = Person::new();
        let root = index.data().join("store/tuf/metadata/1.root.json");
        let add = person.waxseal(["trust", "add", mirror.url().as_str(), "--root"]).arg(root);
        add.run().success();
        refuses(&person, tool, Ends::Waxseal, &["timestamp", "is signed by 0 of the keys"]);
    }
}

#[test]
fn an_older_timestamp() {
    let scene = Scene::new();
    let person = scene.person();
    let old = scene.mirror.record(["/tuf/metadata/timestamp.json"]);
    scene.index.upload_new(Wheel::new("news", "1.0"));
    // Trust moves on to the newer state.
    person.install(Tool::Uv, ["news"]).run().success();

    scene.set(PathPattern::Any, Change::Replay(old));
    let before = person.trust_store();
    for tool in Tool::BOTH {
        let outcome = person.install(tool, ["blinker"]).run();
        println!("{outcome}\n");
        exited(&outcome, REFUSED);
        assert_shows(&outcome.stderr, &["timestamp went back from version", "a rollback", "hint:"]);
        assert_eq!(person.venv.installed(), ["news-1.0"]);
        assert_eq!(shown(&person.trust_store()), shown(&before));
    }
    scene.mirror.honest();
    for tool in Tool::BOTH {
        person.install(tool, ["blinker"]).run().success();
    }
    assert_eq!(person.venv.installed(), ["blinker-1.9.0", "news-1.0"]);
}

#[test]
fn a_freeze_past_the_expiry() {
    // The mirror passes nothing on of what was signed since.
    let (index, mirror, frozen) = remembered_for_three_days(&["blinker-"]);
    let scene = Scene { index, mirror };
    scene.refused(
        Ends::Waxseal,
        &["timestamp version", "expired at", "stale or frozen"],
        |scene| {
            scene.set(PathPattern::Any, Change::Replay(frozen.clone()));
        },
    );

    // The same for a machine whose trust is as old, and whose clock goes on.
    let person = scene.person();
    person.install(Tool::Uv, ["blinker"]).run().success();
    let before = person.trust_store();
    let tomorrow = clock_shifted(person.command(WAXSEAL), "+2d");
    let outcome = tomorrow.args(["pip", "install", "blinker"]).run();
    exited(&outcome, REFUSED);
    assert_shows(&outcome.stderr, &["expired at", "clock", "hint:"]);
    assert_eq!(shown(&person.trust_store()), shown(&before));
}

#[test]
fn a_project_that_the_mirror_hides() {
    let scene = Scene::new();
    // "Not found" is no proof of absence.
    scene.refused(Ends::Tool, &["blinker", "missing"], |scene| {
        let not_found = Change::Status("404".parse().unwrap());
        scene.set(PathPattern::contains("/simple/blinker/"), not_found);
    });
}
