//! Clocks that are wrong by days, and one that jumps while a proxy runs.

use std::fs;

use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_testkit::peers::CleanCommand;

use crate::harness::{
    Index, Person, Process, Tool, WAXSEAL, Wheel, assert_shows, clock_shifted, exited, request,
};

/// waxseal's exit code for a refusal.
const REFUSED: i32 = 3;

fn install(person: &Person, clock: &str) -> CleanCommand {
    clock_shifted(person.command(WAXSEAL), clock).args(["pip", "install", "blinker"])
}

/// The day that a machine's clock shows that is wrong by so many days, as messages have it.
fn day(shift: i64) -> String {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * shift);
    now.strftime("%Y-%m-%d").to_string()
}

#[test]
fn two_days_ahead_everything_has_expired_and_the_refusal_says_what_time_it_is_here() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let before = person.trust_store();
    let outcome = install(&person, "+2d").run();
    println!("{outcome}");
    exited(&outcome, REFUSED);
    assert_shows(
        &outcome.stderr,
        &["timestamp version", "expired at", "check this machine's clock"],
    );
    assert_shows(&outcome.stderr, &[&day(2)]);
    assert!(person.venv.installed().is_empty());
    assert_eq!(person.trust_store(), before);
    // The clock is set right, and nothing needs cleaning up.
    person.install(Tool::Pip, ["blinker"]).run().success();
    assert_eq!(person.venv.installed(), ["blinker-1.9.0"]);
}

/// A clock that is behind makes nothing expire; what was seen still keeps older states out.
#[test]
fn two_days_behind_an_index_that_is_right_installs_and_an_older_state_is_refused() {
    let index = Index::with(&["blinker-"]);
    let mirror = Mirror::start(&index.url.parse().unwrap());
    let older = mirror.record(["/tuf/metadata/timestamp.json"]);
    index.upload_new(Wheel::new("alpha", "1.0"));
    let person = Person::new();
    person.trust(&index, mirror.url().as_str());
    install(&person, "-2d").run().success();
    assert_eq!(person.venv.installed(), ["blinker-1.9.0"]);
    mirror.set(Tamper { matches: PathPattern::Any, change: Change::Replay(older) });
    let outcome = install(&person, "-2d").run();
    exited(&outcome, REFUSED);
    assert_shows(&outcome.stderr, &["timestamp went back", "a rollback"]);
    // And a machine that is right goes on with what the other one left.
    mirror.honest();
    person.install(Tool::Pip, ["--force-reinstall", "blinker"]).run().success();
}

#[test]
fn a_clock_that_jumps_while_a_proxy_runs_ends_in_a_refusal_and_comes_back() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    let clock = person.work().join("clock");
    let set = |by: &str| fs::write(&clock, format!("{by}\n")).unwrap();
    set("+0");
    let command = clock_shifted(person.command("env"), "+0");
    let command = command.env("FAKETIME_TIMESTAMP_FILE", &clock).env("FAKETIME_NO_CACHE", "1");
    let command = command.args(["-u", "FAKETIME", WAXSEAL, "proxy", "--listen", "127.0.0.1:0"]);
    let process = Process::start(command);
    process.wait_for(&process.stderr, "/simple/\n");
    let simple = process.stderr.text().split_whitespace().last().unwrap().to_owned();
    let page = format!("{simple}blinker/");
    let ask = || request("GET", &page, &[], b"").unwrap();
    assert_eq!(ask().status, 200);

    set("+2d");
    let refused = ask();
    println!("{} {}\n{}", refused.status, refused.reason, refused.text());
    assert_eq!(refused.status, 409);
    assert_shows(&refused.reason, &["waxseal refuses", "expired"]);
    assert_shows(&refused.text(), &["expired at", "check this machine's clock", &day(2)]);
    let pip = person.plain_pip(["install", "--index-url", &simple, "blinker"]).run().failure();
    assert_shows(&pip.screen(), &["expired"]);
    assert!(person.venv.installed().is_empty());

    set("+0");
    // A failed refresh answers for the next few seconds.
    std::thread::sleep(std::time::Duration::from_secs(4));
    person.plain_pip(["install", "--index-url", &simple, "blinker"]).run().success();
    assert_eq!(person.venv.installed(), ["blinker-1.9.0"]);
}
