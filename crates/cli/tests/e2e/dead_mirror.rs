//! Several mirrors of one index: one that fails costs seconds, once, and one warning that names it.

use std::time::{Duration, Instant};

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};

use crate::harness::{Index, Person, remembered_for_three_days};

/// What a mirror that fails may cost, on a busy machine, beside what the command takes.
const SECONDS: Duration = Duration::from_secs(30);

/// Downloads through a mirror that fails and a good one, twice; the warnings name the first once, and the
/// second run does not ask it at all.
#[track_caller]
fn costs_once(index: &Index, failing: &Mirror, changes: Vec<Tamper>) {
    let good = Mirror::start(&index.url.parse().unwrap());
    let person = Person::new();
    let (failing_url, good_url) = (failing.url(), good.url());
    person.trust(index, failing_url.as_str());
    for change in changes {
        failing.set(change);
    }
    let install = |target: &str| {
        let words = ["--mirror", good_url.as_str(), "install", "--no-deps", "--target", target];
        let command = person.waxseal(["pip"]).args(words).arg("blinker");
        // What is cached need not be asked for.
        let command = command.env("WAXSEAL_CACHE_SIZE", "0").env("PIP_NO_CACHE_DIR", "1");
        // Whether there is a newer pip is asked of the index itself, which has none.
        command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").run().success()
    };
    let began = Instant::now();
    let first = install("one");
    let took = began.elapsed();
    println!("{failing_url}: {took:?}\n{first}");
    assert!(took < SECONDS, "{took:?}: {first}");
    let warned = |screen: &str| {
        screen.lines().filter(|l| l.contains("WARN") && l.contains(failing_url.as_str())).count()
    };
    assert_eq!(warned(&first.stderr), 1, "{first}");
    assert!(!failing.requests().is_empty(), "it was to be asked");

    failing.forget_requests();
    let second = install("two");
    assert_eq!(warned(&second.stderr), 0, "{second}");
    assert_eq!(failing.requests(), [], "it is remembered as one that failed");
    let installed = |target: &str| person.work().join(target).join("blinker/__init__.py").exists();
    assert!(installed("one") && installed("two"));
}

fn everywhere(change: Change) -> Vec<Tamper> {
    vec![Tamper { matches: PathPattern::Any, change }]
}

#[test]
fn a_dead_one() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    costs_once(&index, &mirror, everywhere(Change::DropConnection));
}

#[test]
fn a_silent_one() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    costs_once(&index, &mirror, everywhere(Change::Silence));
}

#[test]
fn a_slow_one() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let every = Duration::from_secs(2);
    costs_once(&index, &mirror, everywhere(Change::Trickle { bytes: 1, every }));
}

#[test]
fn a_stale_one() {
    let (index, mirror, frozen) = remembered_for_three_days(&["blinker-"]);
    costs_once(&index, &mirror, everywhere(Change::Replay(frozen)));
}

#[test]
fn one_that_answers_with_errors() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    costs_once(&index, &mirror, everywhere(Change::Status("503".parse().unwrap())));
}

#[test]
fn one_that_lies_about_files() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let change = Change::edit(|mut body| {
        body[100] ^= 1;
        body
    });
    costs_once(&index, &mirror, vec![Tamper { matches: PathPattern::suffix(".whl"), change }]);
}
