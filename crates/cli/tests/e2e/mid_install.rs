//! What an operator does while somebody installs: the keys change, and the state that the installation
//! began with is collected.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;
use waxseal_repository::ceremony::Succession;
use waxseal_signing::create_key_file;
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};

use crate::compromise::hold_ceremony_as;
use crate::harness::{Index, Person, Process, Tool, Wheel, assert_shows, exited};

/// What flask comes with.
const FLASK: usize = 7;

/// A file that a mirror holds back until it is told to go on.
struct Held {
    asked: Receiver<()>,
    go_on: Sender<()>,
}

impl Held {
    /// The first answer to such a path, as the index gave it before.
    fn back(mirror: &Mirror, matches: PathPattern) -> Self {
        let ((ask, asked), (go_on, told)) = (channel(), channel());
        let (first, told) = (AtomicBool::new(true), std::sync::Mutex::new(told));
        let hold = move |body| {
            if first.swap(false, Ordering::SeqCst) {
                ask.send(()).unwrap();
                // It goes on by itself where the test has failed.
                let _ = told.lock().unwrap().recv_timeout(Duration::from_secs(50));
            }
            body
        };
        mirror.set(Tamper { matches, change: Change::Edit(Arc::new(hold)) });
        Self { asked, go_on }
    }
}

/// Installs flask, and does something in the middle of it; then flask is installed, or it was refused with a
/// reason and the same command succeeds afterwards.
#[track_caller]
fn meanwhile(
    tool: Tool,
    matches: PathPattern,
    act: impl FnOnce(&mut Index),
) -> (Person, Index, Mirror) {
    let mut index = Index::filled();
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    let held = Held::back(&mirror, matches);
    let process = Process::start(person.install(tool, ["flask"]));
    let asked = held.asked.recv_timeout(Duration::from_secs(50));
    assert!(asked.is_ok(), "{}", process.screen());
    act(&mut index);
    held.go_on.send(()).unwrap();
    let (status, screen) = process.end();
    println!("{tool:?}: {status}\n{screen}\n");
    if status.success() {
        assert_eq!(person.venv.installed().len(), FLASK, "{screen}");
    } else {
        assert_shows(&screen, &["error:", "hint:"]);
        assert!(person.venv.installed().is_empty(), "{screen}");
        person.install(tool, ["flask"]).run().success();
        assert_eq!(person.venv.installed().len(), FLASK);
    }
    person.python("import flask; flask.Flask('x')");
    (person, index, mirror)
}

/// A new online key and the roots that name it, while the index is stopped for it.
fn rotate(index: &mut Index) {
    index.stop();
    let metadata = index.data().join("store/tuf/metadata");
    let (new, _) = hold_ceremony_as(index, &metadata, Succession::Planned, "planned");
    let publish = || index.operator(["repo", "publish-root", "--bundle", "planned"]).run();
    exited(&publish(), 1);
    create_key_file(&index.data().join("keys/new.pem"), &new, None).unwrap();
    index.write_config("online-key", "\"file:keys/new.pem?development\"");
    publish().success();
    index.start();
}

fn root_version(person: &Person) -> Value {
    let listed = person.waxseal(["trust", "list", "--json"]).run().success();
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let entry = if listed.is_array() { &listed[0] } else { &listed["indexes"][0] };
    entry["root_version"].clone()
}

#[test]
fn the_keys_change_before_a_file_arrives() {
    for tool in Tool::BOTH {
        let (person, index, _mirror) = meanwhile(tool, PathPattern::suffix(".whl"), rotate);
        // The next one follows the new root and installs what the new key signed.
        index.upload_new(Wheel::new("afterwards", "1.0"));
        person.install(tool, ["afterwards"]).run().success();
        assert_eq!(root_version(&person), 3);
    }
}

#[test]
fn the_keys_change_before_a_page_arrives() {
    let (person, _index, _mirror) =
        meanwhile(Tool::Uv, PathPattern::contains("/simple/click/"), rotate);
    person.waxseal(["run", "--", "true"]).run().success();
    assert_eq!(root_version(&person), 3);
}

/// So many new snapshots that the one of the installation is not among those that are kept, and no grace.
fn move_on_and_collect(index: &mut Index) {
    let metadata = index.data().join("store/tuf/metadata");
    let snapshots = |folder: &Path| {
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        names.filter(|name| name.ends_with(".snapshot.json")).collect::<Vec<_>>()
    };
    let before = snapshots(&metadata);
    // Another version of each project that flask needs, so that their bins and pages are new, too.
    for name in ["click", "jinja2", "werkzeug", "markupsafe", "itsdangerous", "blinker", "flask"] {
        index.upload_new(Wheel::new(name, "0.1"));
    }
    index.operator(["repo", "gc", "--grace", "0"]).run().success();
    let after = snapshots(&metadata);
    assert!(before.iter().all(|name| !after.contains(name)), "{before:?} {after:?}");
}

#[test]
fn the_snapshot_is_collected_before_a_file_arrives() {
    for tool in Tool::BOTH {
        meanwhile(tool, PathPattern::suffix(".whl"), move_on_and_collect);
    }
}

#[test]
fn the_snapshot_is_collected_before_a_page_arrives() {
    for tool in Tool::BOTH {
        meanwhile(tool, PathPattern::contains("/simple/flask/"), move_on_and_collect);
    }
}
