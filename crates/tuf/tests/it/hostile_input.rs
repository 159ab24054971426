//! Metadata of the wrong shape: refused before anything is done with it, whoever signed it.

use waxseal_testkit::simulator::{Simulator, TestKey, remove, set, target_path};
use waxseal_tuf::hash::Hashes;
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{MetaFile, Role, Root, Snapshot, Targets, Timestamp, Unverified};
use waxseal_tuf::{Error, TargetCheck};

use crate::client::{Client, TIMESTAMP, everything, malformed, unsigned, with_delegation};

const SNAPSHOT_3: (&str, &str) = ("snapshot", "3.snapshot.json");

/// Publishes root 2 with a `signed` that types cannot express, well signed, to a client that has
/// root 1.
fn refused_root(path: &[&str], json: &str) -> Error {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_root();
    repository.resign("2.root.json", "root", |signed| set(signed, path, json));
    client.refused(&repository, &[])
}

/// The same for a targets role with a delegation to `a`.
fn refused_targets(path: &[&str], json: &str) -> (String, String) {
    let mut repository = with_delegation();
    let mut client = Client::refreshed(&repository);
    repository.publish_targets("targets");
    repository.resign("3.targets.json", "targets", |signed| set(signed, path, json));
    malformed(client.refused(&repository, &[TIMESTAMP, SNAPSHOT_3]), "targets")
}

#[test]
fn one_keyid_listed_twice_is_refused() {
    let keyid = TestKey::new("timestamp").keyid();
    let keys = format!(r#"{{"keyids":["{keyid}","{keyid}"],"threshold":2}}"#);
    let error = refused_root(&["roles", "timestamp"], &keys);
    assert_eq!(malformed(error, "root").0, "signed.roles.timestamp.keyids");
}

/// CVE-2020-6174.
#[test]
fn one_signature_twice_is_refused() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_timestamp();
    repository.edit("timestamp.json", |file| {
        let Value::Object(object) = &*file else { panic!("no object") };
        let Some(Value::Array(signatures)) = object.get("signatures") else { panic!("no array") };
        let first = signatures[0].to_json();
        set(file, &["signatures", "1"], str::from_utf8(&first).unwrap());
    });
    let (field, _) = malformed(client.refused(&repository, &[]), "timestamp");
    assert_eq!(field, "signatures[1].keyid");
}

#[test]
fn version_zero_or_negative_is_refused() {
    for version in ["0", "-1", "-9223372036854775808"] {
        let repository = with_delegation();
        for (path, name) in [
            ("1.root.json", "root"),
            ("timestamp.json", "timestamp"),
            ("2.snapshot.json", "snapshot"),
            ("2.targets.json", "targets"),
        ] {
            let mut repository = repository.clone();
            repository.resign(path, name, |signed| set(signed, &["version"], version));
            let field = |bytes: &[u8]| match name {
                "root" => Unverified::<Root>::parse(bytes).unwrap_err().field,
                "timestamp" => Unverified::<Timestamp>::parse(bytes).unwrap_err().field,
                "snapshot" => Unverified::<Snapshot>::parse(bytes).unwrap_err().field,
                _ => Unverified::<Targets>::parse(bytes).unwrap_err().field,
            };
            assert_eq!(field(&repository.files[path]), "signed.version", "{name} {version}");
        }
    }
}

#[test]
fn keyid_without_a_key_counts_for_nothing() {
    let mut repository = Simulator::new();
    repository.publish_root();
    repository.resign("2.root.json", "root", |signed| {
        set(signed, &["roles", "timestamp", "keyids", "1"], "\"none\"");
    });
    Client::new(&repository).refresh(&repository).unwrap();
    repository.resign("2.root.json", "root", |signed| {
        set(signed, &["roles", "timestamp", "keyids"], "[\"none\"]");
    });
    let error = Client::new(&repository).refresh(&repository).unwrap_err();
    assert_eq!(error, unsigned("timestamp", 1, 0, "root version 2", 1));
}

#[test]
fn role_listed_twice_is_refused() {
    let mut repository = with_delegation();
    repository.delegate("targets", "a", everything(), true);
    let mut client = Client::refreshed(&repository);
    repository.publish_targets("targets");
    let error = client.refused(&repository, &[TIMESTAMP, SNAPSHOT_3]);
    assert_eq!(malformed(error, "targets").0, "signed.delegations.roles");
}

#[test]
fn snapshot_without_targets_is_refused() {
    let mut repository = Simulator::new();
    repository.snapshot.roles.clear();
    repository.publish_snapshot();
    let mut client = Client::new(&repository);
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(malformed(error, "snapshot").0, "signed.meta");
}

#[test]
fn threshold_zero_or_negative_is_refused() {
    for threshold in ["0", "-1", "-9223372036854775808", "null", "\"1\"", "[]"] {
        for name in ["root", "timestamp", "snapshot", "targets"] {
            let (field, _) =
                malformed(refused_root(&["roles", name, "threshold"], threshold), "root");
            assert_eq!(field, format!("signed.roles.{name}.threshold"));
        }
        let (field, _) = refused_targets(&["delegations", "roles", "0", "threshold"], threshold);
        assert_eq!(field, "signed.delegations.roles[0].threshold");
    }
}

#[test]
fn delegation_to_a_top_level_role_is_refused() {
    for name in ["root", "timestamp", "snapshot", "targets"] {
        let (field, _) =
            refused_targets(&["delegations", "roles", "0", "name"], &format!("{name:?}"));
        assert_eq!(field, "signed.delegations.roles[0].name");
    }
}

/// CVE-2026-23991: valid JSON of the wrong shape, before any signature is checked.
#[test]
fn json_of_the_wrong_shape_is_refused() {
    let mut repository = with_delegation();
    repository.add_target("targets", "f", b"content");
    repository.publish_targets("targets");
    let mut bins = Simulator::new();
    bins.delegate_bins("targets", 1, "bin");
    bins.publish_targets("targets");
    every_wrong_shape::<Root>(&repository.files["1.root.json"]);
    every_wrong_shape::<Timestamp>(&repository.files["timestamp.json"]);
    every_wrong_shape::<Snapshot>(&repository.files["3.snapshot.json"]);
    every_wrong_shape::<Targets>(&repository.files["3.targets.json"]);
    every_wrong_shape::<Targets>(&bins.files["2.targets.json"]);
}

/// Puts each wrong kind of value in every place; parsing fails with the field's name, or, in places
/// that are not read, goes well.
fn every_wrong_shape<T: Role + std::fmt::Debug>(file: &[u8]) {
    let good = Value::parse(file).unwrap();
    let mut places = Vec::new();
    collect_places(&good, &mut Vec::new(), &mut places);
    assert!(places.len() > 10);
    for place in &places {
        let path: Vec<&str> = place.iter().map(String::as_str).collect();
        for wrong in ["null", "true", "0", "-1", "\"\u{e9}\"", "[]", "{}", "[null]", r#"{"":null}"#]
        {
            let mut bad = good.clone();
            set(&mut bad, &path, wrong);
            if let Err(error) = Unverified::<T>::parse(&bad.to_json()) {
                assert!(!error.field.is_empty() && !error.problem.is_empty());
            } else {
                // Its key does not decide whether the file is well formed, only what it verifies.
                let named = path.last() == Some(&"public");
                assert!(named || is_like(&good, &path, wrong), "{path:?} = {wrong}");
            }
        }
        let mut bad = good.clone();
        remove(&mut bad, &path);
        let _ = Unverified::<T>::parse(&bad.to_json());
    }
}

/// Whether the value is of the kind that stands there, so that it may be well.
fn is_like(good: &Value, path: &[&str], json: &str) -> bool {
    let mut there = good.clone();
    let there = remove(&mut there, path);
    let value = Value::parse(json.as_bytes()).unwrap();
    std::mem::discriminant(&there) == std::mem::discriminant(&value)
}

fn collect_places(value: &Value, path: &mut Vec<String>, places: &mut Vec<Vec<String>>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.to_owned(), value)).collect()
        }
        Value::Array(values) => {
            values.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect()
        }
        _ => return,
    };
    for (step, value) in inner {
        path.push(step);
        places.push(path.clone());
        collect_places(value, path, places);
        path.pop();
    }
}

#[test]
fn null_and_other_non_objects_are_refused() {
    for text in ["null", "[]", "0", "\"\"", "true", "", "{", "{}", "\u{feff}{}", "{}{}", "{\"a\":}"]
    {
        for path in ["2.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"] {
            let mut repository = Simulator::new();
            let mut client = Client::refreshed(&repository);
            repository.publish_root();
            repository.timestamp.version = 7;
            repository.publish_targets("targets");
            repository.timestamp.snapshot = MetaFile::version(2);
            repository.write_timestamp();
            repository.files.insert(path.to_owned(), text.into());
            let root = ("root", "2.root.json");
            let all = [root, TIMESTAMP, ("snapshot", "2.snapshot.json")];
            let (name, stored) = match path {
                "2.root.json" => ("root", &all[..0]),
                "timestamp.json" => ("timestamp", &all[..1]),
                "2.snapshot.json" => ("snapshot", &all[..2]),
                _ => ("targets", &all[..]),
            };
            malformed(client.refused(&repository, stored), name);
        }
    }
}

#[test]
fn key_of_the_wrong_length_never_verifies() {
    let keyid = TestKey::new("timestamp").keyid();
    for public in ["", "00", &"0".repeat(62), &"0".repeat(66), &"0".repeat(100_000), "zz", "\u{e9}"]
    {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.publish_root();
        repository.resign("2.root.json", "root", |signed| {
            let path = ["keys", keyid.as_str(), "keyval", "public"];
            set(signed, &path, &format!("{public:?}"));
        });
        repository.publish_timestamp();
        let error = client.refused(&repository, &[("root", "2.root.json")]);
        assert_eq!(error, unsigned("timestamp", 2, 0, "root version 2", 1));
    }
}

#[test]
fn signature_of_the_wrong_length_never_verifies() {
    for sig in ["", "00", &"0".repeat(126), &"0".repeat(130), &"f".repeat(128)] {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.publish_timestamp();
        repository.edit("timestamp.json", |file| {
            set(file, &["signatures", "0", "sig"], &format!("{sig:?}"));
        });
        let error = client.refused(&repository, &[]);
        assert_eq!(error, unsigned("timestamp", 2, 0, "root version 1", 1));
    }
}

#[test]
fn bit_length_out_of_range_is_refused() {
    for bits in ["0", "-1", "33", "64", "256", "257", "9223372036854775807", "null"] {
        let mut repository = Simulator::new();
        repository.delegate_bins("targets", 1, "bin");
        repository.publish_targets("targets");
        let mut client = Client::refreshed(&repository);
        repository.publish_targets("targets");
        repository.resign("3.targets.json", "targets", |signed| {
            set(signed, &["delegations", "succinct_roles", "bit_length"], bits);
        });
        let error = client.refused(&repository, &[TIMESTAMP, SNAPSHOT_3]);
        assert_eq!(malformed(error, "targets").0, "signed.delegations.succinct_roles.bit_length");
    }
}

#[test]
fn empty_and_unknown_hashes_are_refused() {
    let mut repository = Simulator::new();
    repository.add_target("targets", "f", b"content");
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    repository.publish_targets("targets");
    let honest = repository.clone();
    repository.resign("3.targets.json", "targets", |signed| {
        set(signed, &["targets", "f", "hashes"], "{}");
    });
    let error = client.refused(&repository, &[TIMESTAMP, SNAPSHOT_3]);
    assert_eq!(malformed(error, "targets").0, "signed.targets.f.hashes");

    // Digests of an algorithm that is not known here cannot be checked: nothing is accepted.
    let mut repository = honest;
    repository.resign("3.targets.json", "targets", |signed| {
        set(signed, &["targets", "f", "hashes"], r#"{"md5":"9a0364b9e99bb480dd25e1f0284c8555"}"#);
    });
    let file = client.find(&repository, "f").unwrap().unwrap();
    let error = TargetCheck::new(target_path("f"), &file).unwrap_err();
    assert_eq!(error, Error::NoKnownHash { file: "f".to_owned() });
    assert_eq!(TargetCheck::new(target_path("f"), &empty(file)).unwrap_err(), error);
}

fn empty(file: waxseal_tuf::TargetFile) -> waxseal_tuf::TargetFile {
    waxseal_tuf::TargetFile { hashes: Hashes::default(), ..file }
}

#[test]
fn unknown_hashes_of_metadata_are_refused() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    repository.publish_timestamp();
    repository.resign("timestamp.json", "timestamp", |signed| {
        set(signed, &["meta", "snapshot.json", "hashes"], r#"{"md5":"00"}"#);
    });
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error, Error::NoKnownHash { file: "2.snapshot.json".to_owned() });
}

#[test]
fn huge_and_broken_integers_are_refused() {
    let numbers =
        ["9223372036854775808", "18446744073709551616", "1e400", "2.0", "-0", "1E2", "0x2", "02"];
    for number in numbers.map(str::to_owned).into_iter().chain(["9".repeat(10_000)]) {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.publish_timestamp();
        let version = format!("\"version\":{number}");
        repository.replace_text("timestamp.json", "\"version\":2", &version);
        assert_eq!(malformed(client.refused(&repository, &[]), "timestamp").0, "JSON");
    }
}

/// The signature fits what a reader sees that takes the first, or the last, of two equal keys.
#[test]
fn duplicate_json_keys_are_refused() {
    let keys = [
        ("\"version\":2", "\"version\":2,\"version\":2"),
        ("\"version\":2", "\"version\":9,\"version\":2"),
        ("\"version\":2", "\"version\":2,\"version\":9"),
        ("\"version\":2", "\"version\":2,\"\\u0076ersion\":9"),
        ("\"version\":2", "\"version\":2,\"a\\r\":1,\"a\\u000d\":1"),
        ("{\"signatures\":", "{\"signatures\":[],\"signatures\":"),
        ("\"sig\":", "\"sig\":\"00\",\"sig\":"),
    ];
    for (from, to) in keys {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.publish_timestamp();
        repository.replace_text("timestamp.json", from, to);
        let (field, problem) = malformed(client.refused(&repository, &[]), "timestamp");
        assert_eq!(field, "JSON");
        assert!(problem.contains("twice"), "{problem}");
    }
}

#[test]
fn another_roles_metadata_is_refused() {
    // One online key signs both: only `_type` tells them apart.
    let mut repository = Simulator::new();
    repository.rotate("snapshot", &["online"], 1);
    repository.rotate("timestamp", &["online"], 1);
    repository.publish_root();
    repository.publish_snapshot();
    let mut client = Client::refreshed(&repository);
    let snapshot = repository.files["2.snapshot.json"].clone();
    repository.files.insert("timestamp.json".to_owned(), snapshot);
    assert_eq!(malformed(client.refused(&repository, &[]), "timestamp").0, "signed._type");
}

/// An unsigned file names its own fields: what an error quotes of them neither steers a terminal nor
/// floods it.
#[test]
fn a_malformed_file_does_not_word_the_error() {
    let escape = "\\u001b]0;title\\u0007\\nerror: all is well";
    for name in [escape.to_owned(), "x".repeat(400_000)] {
        let text = format!(
            r#"{{"signatures":[],"signed":{{"_type":"root","spec_version":"1.0","version":2,
                "expires":"2120-01-01T00:00:00Z","keys":{{"{name}":1}},"roles":{{}}}}}}"#
        );
        let error = Unverified::<Root>::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("is not an object"), "{error}");
        assert!(error.len() < 1000 && !error.contains(char::is_control), "{error:?}");
    }
}
