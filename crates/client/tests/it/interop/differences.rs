//! Where python-tuf and this project differ, and must: each side asserted, so that a change shows.

use serde_json::json;
use waxseal_testkit::simulator::Simulator;
use waxseal_tuf::Error;
use waxseal_tuf::metadata::Paths;

use super::ask;
use super::ours::{Ours, found, write};

/// Targets delegates everything to `roles` roles, of which the last one lists `f`.
fn delegating_to(roles: u32) -> Simulator {
    let mut simulator = Simulator::new();
    for role in 1..=roles {
        let everything = Paths::Patterns(vec!["*".to_owned()]);
        simulator.delegate("targets", &format!("role-{role}"), everything, false);
    }
    let last = format!("role-{roles}");
    simulator.add_target(&last, "f", b"content");
    simulator.publish_targets(&last);
    simulator.publish_targets("targets");
    simulator
}

/// One role more than the limit: python-tuf says that there is no such target, and we that there
/// were too many roles, since an answer that was not looked for is none.
#[test]
fn as_many_delegations_are_visited_as_by_python_tuf() {
    let simulators = [32, 33].map(delegating_to);
    let folders = simulators.each_ref().map(|_| tempfile::tempdir().unwrap());
    let cases = [0, 1].map(|i| {
        write(&simulators[i], folders[i].path());
        json!({"folder": folders[i].path(), "present": [], "absent": ["f"]}).to_string()
    });
    let answers = ask("python_tuf_reads.py", &cases, &[]);
    let [within, beyond] = folders.map(|folder| Ours::refreshed(folder.path()).unwrap().find("f"));
    assert_eq!(answers[0]["found"]["f"], found(&within.unwrap().unwrap()));
    assert_eq!(answers[1]["found"]["f"], json!(null));
    let what = "delegated roles in one search";
    assert_eq!(beyond, Err(Error::TooMany { what, limit: 32 }));
}
