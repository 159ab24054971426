//! Trust bundles: the roots of many indexes in one file, trusted as a whole or not at all.

use std::fs;

use serde_json::{Value, json};
use waxseal_testkit::mirror::{Change, Mirror, PathPattern, Tamper};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::spoken;

use crate::harness::{Index, Person, Tool, assert_shows, exited};

fn listed(person: &Person) -> Vec<Value> {
    let outcome = person.waxseal(["trust", "list", "--json"]).run().success();
    serde_json::from_str(&outcome.stdout).unwrap()
}

/// Writes a bundle by hand, in the folder where the person works.
fn write(person: &Person, indexes: &Value) {
    let bundle = json!({ "waxseal-trust": 1, "indexes": indexes });
    fs::write(person.work().join("bundle.json"), bundle.to_string()).unwrap();
}

const ADD: [&str; 4] = ["trust", "add", "--bundle", "bundle.json"];

#[test]
fn what_one_trusts_another_trusts_by_one_file() {
    let (one, two) = (Index::with(&["blinker-"]), Index::with(&["click-"]));
    let operator = Person::trusting(&one);
    operator.trust(&two, &two.url);
    let bundle_all = ["trust", "bundle", "--all", "--output", "bundle.json"];
    let made = operator.waxseal(bundle_all).run().success();
    let file = operator.work().join("bundle.json");
    let text = fs::read(&file).unwrap();
    let fingerprint = Sha256::of(&text).to_string();
    assert_shows(&made.stdout, &["bundle.json has 2 indexes", &fingerprint]);
    for words in spoken::of_hex(&fingerprint).unwrap().lines() {
        assert_shows(&made.stdout, &[words]);
    }
    let again = operator.waxseal(bundle_all).run();
    exited(&again, 2);
    assert_shows(&again.stderr, &["exists already", "left as it is"]);
    let only = ["trust", "bundle", &one.url, "-o", "one.json"];
    assert_shows(&operator.waxseal(only).run().success().stdout, &["has 1 index"]);
    let absent = ["trust", "bundle", "http://127.0.0.1:1/", "-o", "x.json"];
    exited(&operator.waxseal(absent).run(), 1);
    exited(&operator.waxseal(["trust", "bundle", "-o", "x.json"]).run(), 2);
    assert!(!operator.work().join("x.json").exists());

    // The roots are in it, so that no index need be there.
    let person = Person::new();
    fs::copy(&file, person.work().join("bundle.json")).unwrap();
    let wrong = person.waxseal(ADD).args(["--fingerprint", &"0".repeat(64)]).run();
    exited(&wrong, 3);
    assert_shows(&wrong.stderr, &[&fingerprint, "nothing was trusted"]);
    assert!(listed(&person).is_empty());
    let added = person.waxseal(ADD).run().success();
    for index in [&one, &two] {
        assert_shows(&added.stdout, &[&index.url, "is trusted from now on", &index.fingerprint]);
    }
    let all: Vec<_> = listed(&person).iter().map(|index| index["fingerprint"].clone()).collect();
    assert!(all.contains(&one.fingerprint.clone().into()) && all.len() == 2);
    let before = person.trust_store();
    let added = person.waxseal(ADD).run().success();
    assert_shows(&added.stdout, &["is trusted already"]);
    assert_eq!(person.trust_store(), before);
    let install = ["pip", "--index", &two.url, "install", "click"];
    person.waxseal(install).run().success();
}

#[test]
fn a_bundle_at_a_url_counts_only_with_its_fingerprint() {
    let index = Index::with(&["blinker-"]);
    let person = Person::new();
    let bundle = json!({"waxseal-trust": 1, "indexes": [
        {"url": index.url, "fingerprint": index.fingerprint}]});
    let text = bundle.to_string();
    let fingerprint = Sha256::of(text.as_bytes()).to_string();
    let web = Mirror::start(&index.url.parse().unwrap());
    let at = format!("{}trust.json", web.url());
    let serve = |body: Vec<u8>| {
        let change = Change::ReplaceBody(body);
        web.set(Tamper { matches: PathPattern::suffix("trust.json"), change });
    };
    serve(text.into_bytes());
    let add = ["trust", "add", "--bundle", &at];
    let outcome = person.waxseal(add).run();
    exited(&outcome, 2);
    let wrong = person.waxseal(add).args(["--fingerprint", &"0".repeat(64)]).run();
    exited(&wrong, 3);
    serve(vec![b' '; (4 << 20) + 1]);
    let long = person.waxseal(add).args(["--fingerprint", &fingerprint]).run();
    exited(&long, 1);
    assert_shows(&long.stderr, &["is longer than"]);
    web.honest();
    let gone = person.waxseal(add).args(["--fingerprint", &fingerprint]).run();
    exited(&gone, 1);
    assert!(listed(&person).is_empty(), "{gone}");

    serve(bundle.to_string().into_bytes());
    person.waxseal(add).args(["--fingerprint", &fingerprint]).run().success();
    person.install(Tool::Pip, ["blinker"]).run().success();
}

#[test]
fn one_index_with_another_root_and_nothing_is_added() {
    let (one, two) = (Index::quickstart(), Index::quickstart());
    let person = Person::trusting(&one);
    let before = person.trust_store();
    write(
        &person,
        &json!([
            {"url": two.url, "fingerprint": two.fingerprint},
            {"url": one.url, "fingerprint": two.fingerprint},
        ]),
    );
    let outcome = person.waxseal(ADD).run();
    exited(&outcome, 3);
    assert_shows(
        &outcome.stdout,
        &["was not added", "is trusted with another root", &one.fingerprint],
    );
    assert_shows(&outcome.stderr, &["is trusted already, with root", "waxseal trust replace"]);
    assert_eq!(person.trust_store(), before);

    // Also where the index has another root than the bundle says.
    let wrong = "0".repeat(64);
    write(&person, &json!([{"url": two.url, "fingerprint": wrong}]));
    exited(&person.waxseal(ADD).run(), 3);
    write(&person, &json!([{"url": two.url, "fingerprint": wrong, "rot": ""}]));
    let outcome = person.waxseal(ADD).run();
    exited(&outcome, 1);
    assert_shows(&outcome.stderr, &["no trust bundle: unknown field `rot`", "hint:"]);
    assert_eq!(person.trust_store(), before);
    for words in [
        vec!["trust", "add"],
        vec!["trust", "add", "http://a/", "--bundle", "bundle.json"],
        vec!["trust", "add", "--root", "r", "--bundle", "bundle.json"],
    ] {
        exited(&person.waxseal(words).run(), 2);
    }
}

#[test]
fn its_mirrors_are_remembered_and_asked_when_the_index_fails() {
    let index = Index::with(&["blinker-"]);
    let front = Mirror::start(&index.url.parse().unwrap());
    let (person, url) = (Person::new(), front.url().to_string());
    let entry = json!({"url": url, "fingerprint": index.fingerprint, "mirrors": [index.url]});
    write(&person, &json!([entry]));
    let added = person.waxseal(ADD).run().success();
    assert_shows(&added.stdout, &["1 mirror"]);
    let mirror = format!("{}/", index.url);
    assert_eq!(listed(&person)[0]["mirrors"], json!([mirror]));
    let list = person.waxseal(["trust", "list"]).run().success();
    assert_shows(&list.stdout, &[&format!("{url} is at {mirror} too")]);

    front.set(Tamper { matches: PathPattern::Any, change: Change::DropConnection });
    let outcome = person.install(Tool::Pip, ["blinker"]).run().success();
    assert_shows(&outcome.screen(), &[&format!("asking {mirror}")]);
    // They are handed on.
    person.waxseal(["trust", "bundle", "--all", "-o", "mine.json"]).run().success();
    let mine: Value =
        serde_json::from_slice(&fs::read(person.work().join("mine.json")).unwrap()).unwrap();
    assert_eq!(mine["indexes"][0]["mirrors"], json!([mirror]));
}

#[test]
fn the_list_says_when_each_index_was_checked_last() {
    let index = Index::with(&["blinker-"]);
    let person = Person::trusting(&index);
    assert_eq!(listed(&person)[0]["refreshed"], Value::Null);
    let list = person.waxseal(["trust", "list"]).run().success();
    assert_shows(&list.stdout, &["never", "(in 364 days)"]);
    person.install(Tool::Pip, ["blinker"]).run().success();
    let refreshed = &listed(&person)[0]["refreshed"];
    assert_eq!(refreshed["snapshot"], index.status()["snapshot"]);
    assert_eq!(refreshed["root"], 1);
    assert!(refreshed["when"].is_string());
    let list = person.waxseal(["trust", "list"]).run().success();
    let snapshot = format!("0 minutes ago, snapshot {}", refreshed["snapshot"]);
    assert_shows(&list.stdout, &[&snapshot]);
}
