//! Which indexes a machine trusts.

use serde_json::Value;
use waxseal_tuf::spoken;

use crate::harness::{Index, Person, Tool, assert_shows, exited};

fn listed(person: &Person) -> Vec<Value> {
    let outcome = person.waxseal(["trust", "list", "--json"]).run().success();
    serde_json::from_str(&outcome.stdout).unwrap()
}

#[test]
fn a_wrong_fingerprint_trusts_nothing() {
    let (index, person) = (Index::quickstart(), Person::new());
    let wrong = "0".repeat(64);
    let outcome = person.waxseal(["trust", "add", &index.url, "--fingerprint", &wrong]).run();
    exited(&outcome, 3);
    assert_shows(&outcome.stderr, &[&index.fingerprint, &wrong, "hint:", "nothing was trusted"]);
    assert_eq!(outcome.stdout, "");
    assert!(listed(&person).is_empty());

    for text in ["12", "", &"g".repeat(64), &index.fingerprint[1..]] {
        let outcome = person.waxseal(["trust", "add", &index.url, "--fingerprint", text]).run();
        exited(&outcome, 2);
        assert!(listed(&person).is_empty(), "{outcome}");
    }
}

#[test]
fn the_root_may_come_as_a_file() {
    let (index, person) = (Index::with(&["blinker-"]), Person::new());
    let root = index.data().join("store/tuf/metadata/1.root.json");
    let outcome = person.waxseal(["trust", "add", &index.url, "--root"]).arg(&root).run().success();
    assert_shows(&outcome.stdout, &["is trusted from now on", &index.fingerprint]);
    // As words, which two people compare aloud: those that the operator sees.
    for words in spoken::of_hex(&index.fingerprint).unwrap().lines() {
        assert_shows(&outcome.stdout, &[words]);
        assert_shows(&index.printed, &[words]);
    }
    person.install(Tool::Pip, ["blinker"]).run().success();

    // A root with a changed byte is not signed by its keys.
    let broken = person.work().join("root.json");
    let text = std::fs::read_to_string(&root).unwrap();
    std::fs::write(&broken, text.replace("\"threshold\":2", "\"threshold\":1")).unwrap();
    let other = Person::new();
    let outcome = other.waxseal(["trust", "add", &index.url, "--root"]).arg(&broken).run();
    exited(&outcome, 3);
    assert!(listed(&other).is_empty(), "{outcome}");
}

#[test]
fn adding_twice_is_fine_and_another_root_is_refused() {
    let (index, person) = (Index::quickstart(), Person::new());
    person.trust(&index, &index.url);
    let before = person.trust_store();
    let args = ["trust", "add", &index.url, "--fingerprint", &index.fingerprint];
    let outcome = person.waxseal(args).run().success();
    assert_shows(&outcome.stdout, &["is trusted already"]);
    // The URL of its Simple API names the same index.
    person.trust(&index, &format!("{}/simple/", index.url));
    assert_eq!(person.trust_store(), before);

    let other = Index::quickstart();
    let root = other.data().join("store/tuf/metadata/1.root.json");
    let outcome = person.waxseal(["trust", "add", &index.url, "--root"]).arg(root).run().failure();
    assert_shows(&outcome.stderr, &["is trusted already", &index.fingerprint, &other.fingerprint]);
    assert_eq!(person.trust_store(), before);
}

#[test]
fn what_is_trusted_is_listed_and_can_be_removed() {
    let (index, person) = (Index::with(&["blinker-"]), Person::new());
    let outcome = person.waxseal(["trust", "list"]).run().success();
    assert_shows(&outcome.stderr, &["no index is trusted", "waxseal trust add"]);
    person.trust(&index, &index.url);

    let outcome = person.waxseal(["trust", "list"]).run().success();
    assert_shows(&outcome.stdout, &[&index.url, &index.fingerprint]);
    let all = listed(&person);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["url"], format!("{}/", index.url));
    assert_eq!(all[0]["fingerprint"], index.fingerprint);
    assert_eq!(all[0]["root_version"], 1);

    person.waxseal(["trust", "remove", &index.url]).run().success();
    assert!(listed(&person).is_empty());
    let outcome = person.install(Tool::Pip, ["blinker"]).run().failure();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["no index is trusted", "hint:", "waxseal trust add"]);
    assert!(person.venv.installed().is_empty());
    let outcome = person.waxseal(["trust", "remove", &index.url]).run().failure();
    assert_shows(&outcome.stderr, &["is not trusted on this machine"]);
}

#[test]
fn among_several_indexes_one_has_to_be_named() {
    let (one, two, person) = (Index::quickstart(), Index::with(&["blinker-"]), Person::new());
    person.trust(&one, &one.url);
    person.trust(&two, &two.url);
    let outcome = person.install(Tool::Pip, ["blinker"]).run().failure();
    assert_shows(&outcome.stderr, &["several indexes", &one.url, &two.url, "--index"]);
    person.waxseal(["pip", "--index", &two.url, "install", "blinker"]).run().success();
    assert_eq!(person.venv.installed(), ["blinker-1.9.0"]);
}
