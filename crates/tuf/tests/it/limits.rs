//! What a repository may make a client fetch, hold and compute, and what an error tells.

use waxseal_testkit::simulator::{Simulator, TestKey, set, signature};
use waxseal_tuf::json::Value;
use waxseal_tuf::{Blame, Error, Limits, Signer, Updater};

use crate::client::{Client, TIMESTAMP, malformed};

fn refused(repository: &Simulator, limits: Limits) -> Error {
    let mut client = Client::refreshed(&Simulator::new());
    client.limits = limits;
    let error = client.refresh(repository).unwrap_err();
    client.limits = Limits::default();
    client.refresh(repository).unwrap();
    error
}

#[test]
fn keys_in_a_role_are_bounded() {
    let mut repository = Simulator::new();
    repository.publish_root();
    let six = repository.root.keys.len() as u64;
    assert_eq!(six, 6);
    let mut within = Client::new(&repository);
    within.limits.keys = six;
    within.refresh(&repository).unwrap();
    let key = TestKey::new("one too many");
    repository.root.keys.insert(key.keyid(), key.public_key().clone());
    repository.publish_root();
    let error = refused(&repository, Limits { keys: six, ..Limits::default() });
    assert!(error.to_string().contains("(3.root.json)"), "{error}");
    let (field, problem) = malformed(error, "root");
    assert_eq!((&*field, &*problem), ("signed.keys", "has 7 entries, more than 6"));
}

#[test]
fn signatures_on_a_file_are_bounded() {
    let mut repository = Simulator::new();
    repository.publish_timestamp();
    repository.edit("timestamp.json", |file| {
        let Value::Object(object) = file else { panic!("no object") };
        let signed = object.get("signed").unwrap().clone();
        for i in 1..=3 {
            let key = TestKey::new("unknown");
            let more = signature(&signed, &key, &format!("keyid-{i}"));
            let text = String::from_utf8(more.to_json()).unwrap();
            set(file, &["signatures", &i.to_string()], &text);
        }
    });
    let error = refused(&repository, Limits { signatures: 3, ..Limits::default() });
    let (field, problem) = malformed(error, "timestamp");
    assert_eq!((&*field, &*problem), ("signatures", "has 4 entries, more than 3"));
}

#[test]
fn depth_and_values_of_a_file_are_bounded() {
    let mut repository = Simulator::new();
    repository.publish_timestamp();
    repository.resign("timestamp.json", "timestamp", |signed| {
        set(signed, &["deep"], &("[".repeat(20) + &"]".repeat(20)));
    });
    let error = refused(&repository, Limits { json_depth: 20, ..Limits::default() });
    assert!(malformed(error, "timestamp").1.contains("more than 20 levels deep"));
    repository.resign("timestamp.json", "timestamp", |signed| {
        set(signed, &["deep"], &format!("[{}0]", "0,".repeat(999)));
    });
    let error = refused(&repository, Limits { json_values: 1000, ..Limits::default() });
    assert!(malformed(error, "timestamp").1.contains("more than 1000 values"));
}

/// 2¹⁸ bins, four times what PyPI's size needs, are within the default limits.
#[test]
fn the_default_limits_hold_the_largest_snapshot_that_is_meant() {
    let mut repository = Simulator::new();
    repository.publish_snapshot();
    repository.resign("2.snapshot.json", "snapshot", |signed| {
        let Value::Object(signed) = signed else { panic!("no object") };
        let Some(Value::Object(mut meta)) = signed.remove("meta") else { panic!("no meta") };
        let bins = (0..1u32 << 18).map(|bin| (format!("bin-{bin:05x}.json"), version(1234)));
        let targets = meta.remove("targets.json").unwrap();
        let mut meta: waxseal_tuf::json::Object = bins.collect();
        meta.insert("targets.json", targets);
        signed.insert("meta", meta);
    });
    let bytes = repository.files["2.snapshot.json"].clone();
    assert!(bytes.len() > 8_900_000, "{} bytes", bytes.len());
    repository.timestamp.snapshot = waxseal_testkit::simulator::metafile(2, &bytes);
    repository.publish_timestamp();
    let trusted = Client::new(&repository).refresh(&repository).unwrap();
    assert_eq!(trusted.snapshot().roles.len(), (1 << 18) + 1);
}

fn version(version: i64) -> Value {
    waxseal_tuf::json::Object::from_iter([("version", Value::Integer(version))]).into()
}

#[test]
fn a_file_to_fetch_says_how_long_it_is_where_metadata_does() {
    let repository = Simulator::new();
    let root = repository.first_root();
    let updater = Updater::new(&root, Simulator::now(), Limits::default()).unwrap();
    let mut asked = Vec::new();
    let mut store = waxseal_testkit::simulator::Store::new();
    waxseal_testkit::simulator::drive(updater, &mut store, |file| {
        asked.push((file.path.clone(), file.length));
        repository.fetch(file)
    })
    .unwrap();
    let snapshot = repository.files["1.snapshot.json"].len() as u64;
    let expected = [
        ("2.root.json", None),
        ("timestamp.json", None),
        ("1.snapshot.json", Some(snapshot)),
        ("1.targets.json", None),
    ];
    assert_eq!(asked, expected.map(|(path, length)| (path.to_owned(), length)));
}

#[test]
fn errors_name_the_file_and_who_is_to_blame() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    repository.replace_text("2.snapshot.json", "\"version\":2", "\"version\":3");
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error.blame(), Blame::Source);
    assert!(error.to_string().starts_with("2.snapshot.json was changed: "), "{error}");

    // Fractions of a second are nothing to a person.
    client.now = "2030-02-01T00:00:00.123456Z".parse().unwrap();
    let error = client.refresh(&repository).unwrap_err();
    assert_eq!(error.blame(), Blame::SourceOrClock);
    let text = error.to_string();
    let expected = "timestamp version 2 expired at 2030-01-02T00:00:00Z; it is \
                    2030-02-01T00:00:00Z here: the mirror is stale or frozen, or this machine's \
                    clock is wrong (timestamp.json)";
    assert_eq!(text, expected);
    assert_eq!(Error::Misuse { expected: "x" }.blame(), Blame::Caller);
}
