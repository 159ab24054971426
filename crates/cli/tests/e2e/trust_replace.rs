//! An index whose root keys are gone is founded anew, and its users are told over another channel.

use std::fs;

use waxseal_testkit::peers;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::spoken;

use crate::harness::{Index, Person, Terminal, Tool, WAXSEAL, assert_shows, exited, on_terminal};

/// Another index at the same URL.
pub(crate) fn found_anew(index: &mut Index) {
    index.stop();
    fs::remove_dir_all(index.data()).unwrap();
    index.start();
    index.token = fs::read_to_string(index.data().join("keys/upload-token")).unwrap();
    index.token.truncate(index.token.trim_end().len());
    let root = fs::read(index.data().join("store/tuf/metadata/1.root.json")).unwrap();
    index.fingerprint = Sha256::of(&root).to_string();
    index.upload(&[peers::package("click-")]);
}

#[test]
fn pip_is_refused_before_and_installs_after() {
    let mut index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    person.install(Tool::Pip, ["blinker"]).run().success();
    let old = index.fingerprint.clone();
    let follows = person.waxseal(["trust", "replace", &index.url, "--yes", "--fingerprint", &old]);
    let outcome = follows.run();
    exited(&outcome, 3);
    assert_shows(&outcome.stderr, &["nothing to replace", "update does it"]);

    found_anew(&mut index);
    let refused = person.install(Tool::Pip, ["click"]).run().failure();
    let hint = [
        "are needed (timestamp.json)",
        "Only where the operator has announced",
        "over another channel",
        "waxseal trust replace URL --fingerprint",
    ];
    assert_shows(&refused.stderr, &hint);
    let before = person.trust_store();

    let replace = ["trust", "replace", &index.url, "--fingerprint", &index.fingerprint];
    let outcome = person.waxseal(replace).run();
    exited(&outcome, 2);
    assert_shows(&outcome.stderr, &["nobody is there to be asked", "--yes"]);
    let wrong = "0".repeat(64);
    let outcome = person.waxseal(["trust", "replace", &index.url, "--fingerprint", &wrong]).run();
    exited(&outcome, 3);
    assert_eq!(person.trust_store(), before);

    let outcome = person.waxseal(replace).arg("--yes").run().success();
    let last = |hex: &str| spoken::of_hex(hex).unwrap().lines().last().unwrap().to_owned();
    let says = ["decides from then on what you install", "held root keys"];
    assert_shows(&outcome.stdout, &says);
    assert_shows(
        &outcome.stdout,
        &[&old, &index.fingerprint, &last(&old), &last(&index.fingerprint)],
    );
    person.install(Tool::Pip, ["click"]).run().success();
    assert!(person.venv.installed().iter().any(|name| name.starts_with("click-")));

    let listed = person.waxseal(["trust", "list", "--json"]).run().success();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed[0]["fingerprint"], index.fingerprint);
    assert_eq!(listed[0]["replaced"][0]["fingerprint"], old);
    assert_eq!(listed[0]["replaced"][0]["root_version"], 1);
    let listed = person.waxseal(["trust", "list"]).run().success();
    assert_shows(&listed.stdout, &[&format!("root {old} was replaced by hand")]);
}

#[test]
fn a_person_types_the_last_words_of_what_was_announced() {
    let mut index = Index::with(&[]);
    let person = Person::trusting(&index);
    found_anew(&mut index);
    let words = spoken::of_hex(&index.fingerprint).unwrap();
    let words: Vec<_> = words.split_whitespace().collect();
    let right = words[words.len() - 2..].join("  ").to_uppercase();
    let before = person.trust_store();
    let answered = |answer: &str| {
        let args = ["trust", "replace", &index.url, "--fingerprint", &index.fingerprint];
        let mut terminal = Terminal::start(
            on_terminal(WAXSEAL, args).home(person.home()).current_dir(person.work()),
        );
        terminal.answer("Type the last 2 words of the fingerprint that was announced", answer);
        terminal.end()
    };
    for wrong in ["", "yes", words[words.len() - 1], &words[..2].join(" ")] {
        let (status, screen) = answered(wrong);
        assert_eq!(status.code(), Some(1), "{screen}");
        assert!(screen.contains("nothing was changed"), "{screen}");
    }
    assert_eq!(person.trust_store(), before);
    let (status, screen) = answered(&right);
    assert!(status.success(), "{screen}");
    assert!(screen.contains("is trusted from its root version 1 on"), "{screen}");
}
