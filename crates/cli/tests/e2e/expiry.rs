//! Roles of a key ceremony that run out, as their operator is told.

use crate::harness::{Index, assert_shows, clock_shifted, exited, request};

#[test]
fn an_operator_is_told_in_time_by_status_its_exit_code_the_log_and_readyz() {
    // The ceremony was so long ago that root, targets and bins have 25 days left.
    let mut index = Index::quickstart_with(|command| clock_shifted(command, "-340d"));
    index.stop();
    index.start();
    let said = "root expires in 24 days";
    index.process().wait_for(&index.process().stderr, said);
    for role in ["targets", "bins"] {
        index.process().wait_for(&index.process().stderr, &format!("{role} expires in 24 days"));
    }
    let ready = request("GET", &format!("{}/readyz", index.url), &[], &[]).unwrap();
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert!(ready.text().contains("root expires on "), "{}", ready.text());

    let outcome = index.operator(["repo", "status"]).run();
    exited(&outcome, 5);
    let export = "waxseal ceremony export --output public.tar --data waxseal-data";
    let holders = "2 of root-1, root-2, root-3 have to sign the next one";
    assert_shows(&outcome.stderr, &[said, holders, export, "docs/key-ceremony.md"]);
    let signers = ["2 of root-1, root-2, root-3", "2 one-time keys, discarded", "online key "];
    assert_shows(&outcome.stdout, &signers);
    let outcome = index.operator(["repo", "status", "--within", "20"]).run().success();
    assert_eq!(outcome.stderr, "");

    let outcome = index.operator(["repo", "status", "--json"]).run();
    exited(&outcome, 5);
    let status: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let role = |name: &str| {
        let roles = status["roles"].as_array().unwrap();
        roles.iter().find(|role| role["role"] == name).unwrap().clone()
    };
    assert_eq!((&status["due"], status["reminders"].as_array().unwrap().len()), (&true.into(), 3));
    let root = role("root");
    assert_eq!((&root["due"], &root["days_left"]), (&true.into(), &24.into()), "{status}");
    assert_eq!(root["signed_by"]["holders"][2]["name"].as_str().map(str::len), Some(6));
    assert_eq!(root["signed_by"]["threshold"], 2);
    assert_eq!(role("bins")["signed_by"]["kind"], "one-time-keys");
    let timestamp = role("timestamp");
    assert_eq!(timestamp["due"], false);
    assert_eq!(timestamp["signed_by"]["keyids"].as_array().unwrap().len(), 1);

    // Said once: the next look is in ten minutes, and what is said then a day later.
    let (status, log) = index.stop();
    assert!(status.success());
    assert_eq!(log.matches(said).count(), 1, "{log}");

    // As it will be in 26 days, when all of it has expired.
    let later = |words: &[&str]| clock_shifted(index.operator(words.iter().copied()), "+26d").run();
    let outcome = later(&["repo", "status", "--within", "0"]);
    exited(&outcome, 5);
    let expired =
        ["root expired ", "clients refuse the index", "waxseal serve --data waxseal-data"];
    assert_shows(&outcome.stderr, &expired);
}

#[test]
fn a_fresh_index_has_nothing_to_do() {
    let index = Index::quickstart();
    let outcome = index.operator(["repo", "status"]).run().success();
    assert_eq!(outcome.stderr, "");
    // A year is within 400 days.
    exited(&index.operator(["repo", "status", "--within", "400"]).run(), 5);
}
