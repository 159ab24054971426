//! A kill at any system call leaves a trust store that the next run uses.
//!
//! `strace` ends the conformance program at its Nth call of a kind, for every N until it comes to its
//! end alive. Nothing in the program takes part.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use crate::conformance::{Suite, program};

/// System calls by which a run changes something on disk, and which of them: of those that open files
/// most are the loader's and the network's.
const CALLS: [(&str, usize); 5] =
    [("openat", 7), ("write", 1), ("fsync", 1), ("rename,renameat,renameat2", 1), ("flock", 1)];

/// More than any run makes: a bound for a sweep that does not end.
const MOST: u32 = 400;

/// Whether the run came to its end.
fn refresh_killed_at(suite: &Suite, calls: &str, n: u32) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--quiet=all", "--output=/dev/null"]);
    strace.args([format!("--trace={calls}"), format!("--inject={calls}:signal=KILL:when={n}")]);
    strace.arg(program()).arg("--metadata-dir").arg(suite.metadata());
    strace.args(["--metadata-url", &suite.url("metadata"), "refresh"]);
    let status = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.expect("strace is missing: run `cargo xtask peers`");
    status.success()
}

#[test]
fn a_kill_at_any_system_call_leaves_a_trust_store_that_the_next_run_uses() {
    let mut kills = BTreeMap::new();
    for (calls, step) in CALLS {
        let suite = Suite::new();
        suite.index.simulator().publish_root();
        assert_eq!(suite.refresh(), 0);
        let mut ended = false;
        for n in (1..MOST).step_by(step) {
            // Something new of every role each time, and what came before is trusted.
            {
                let mut simulator = suite.index.simulator();
                simulator.publish_root();
                simulator.publish_targets("targets");
            }
            let before = suite.trusted();
            ended = refresh_killed_at(&suite, calls, n);
            let served = suite.index.simulator().files.clone();
            for (name, bytes) in suite.trusted() {
                let published = served.values().any(|file| *file == bytes);
                assert!(published || before.get(&name) == Some(&bytes), "{calls} {n}: {name}");
            }
            assert_eq!(suite.refresh(), 0, "after a kill at {calls} {n}");
            suite.assert_up_to_date();
            if ended {
                kills.insert(calls, n - 1);
                break;
            }
        }
        assert!(ended, "{calls}: no end after {MOST}");
    }
    // Root, timestamp, snapshot and targets were each locked, written, synced with their folder, and
    // renamed. strace counts the calls of each thread by itself, and one thread makes all of these.
    let enough = |calls, least| assert!(kills[calls] >= least, "{calls}: {kills:?}");
    for calls in ["flock", "write", "rename,renameat,renameat2"] {
        enough(calls, 4);
    }
    enough("fsync", 8);
    enough("openat", 50);
}
