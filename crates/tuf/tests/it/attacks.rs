//! What broke other TUF clients, one test each. Where an attack needs keys, the attacker has them.

use waxseal_testkit::simulator::{
    Simulator, TestKey, metafile, remove, role, set, signature, time,
};
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{MetaFile, Paths, Roles};
use waxseal_tuf::{Error, KeyId, RoleName, Signer, TargetPath};

use crate::client::{
    Client, TIMESTAMP, everything, expired, rollback, unsigned, with_delegation, wrong_version,
};

const SNAPSHOT_3: (&str, &str) = ("snapshot", "3.snapshot.json");

/// CVE-2020-15093, CVE-2026-6966.
#[test]
fn one_key_under_two_keyids_counts_once() {
    let key = TestKey::new("timestamp");
    let keyid = key.keyid();
    // Another spelling of the same key is the same key.
    for spell in [str::to_owned, str::to_uppercase] as [fn(&str) -> String; 2] {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.publish_root();
        repository.resign("2.root.json", "root", |signed| {
            let public = ["keys", keyid.as_str(), "keyval", "public"];
            let Value::String(hex) = remove(&mut signed.clone(), &public) else { panic!("no key") };
            let alias = format!(
                r#"{{"keytype":"ed25519","scheme":"ed25519","keyval":{{"public":"{}"}}}}"#,
                spell(&hex)
            );
            set(signed, &["keys", "alias"], &alias);
            let keys = format!(r#"{{"keyids":["{keyid}","alias"],"threshold":2}}"#);
            set(signed, &["roles", "timestamp"], &keys);
        });
        repository.publish_timestamp();
        repository.edit("timestamp.json", |file| {
            let again = signature(&signed_part(file), &key, "alias").to_json();
            set(file, &["signatures", "1"], str::from_utf8(&again).unwrap());
        });
        let error = client.refused(&repository, &[("root", "2.root.json")]);
        assert_eq!(error, unsigned("timestamp", 2, 1, "root version 2", 2));
    }
}

fn signed_part(file: &Value) -> Value {
    let Value::Object(object) = file else { panic!("no object") };
    object.get("signed").unwrap().clone()
}

#[test]
fn threshold_above_the_number_of_keys_cannot_be_met() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.root.roles.timestamp.threshold = i64::MAX as u64;
    repository.publish_root();
    repository.publish_timestamp();
    let error = client.refused(&repository, &[("root", "2.root.json")]);
    assert_eq!(error, unsigned("timestamp", 2, 1, "root version 2", i64::MAX as u64));
}

/// CVE-2025-2885: the version was only required to rise.
#[test]
fn root_that_skips_a_version_is_refused() {
    for version in [3, 4, i64::MAX as u64] {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.root.version = version;
        repository.write_root();
        let bytes = repository.files[&format!("{version}.root.json")].clone();
        repository.files.insert("2.root.json".to_owned(), bytes);
        assert_eq!(client.refused(&repository, &[]), wrong_version("root", 2, version));
    }
}

/// GHSA-f8mr-jv2c-v8mg.
#[test]
fn root_rejected_once_is_not_trusted_later_from_disk() {
    let mut repository = Simulator::new();
    let mut client = Client::new(&repository);
    let honest = repository.clone();
    repository.signers.insert(role("root"), vec![TestKey::new("mallory")]);
    repository.publish_root();
    for _ in 0..2 {
        let error = client.refused(&repository, &[]);
        assert_eq!(error, unsigned("root", 2, 0, "root version 1", 2));
    }
    assert_eq!(client.refresh(&honest).unwrap().root().version, 1);
    assert!(!client.store.contains_key(&role("root")));
}

/// CVE-2015-9259.
#[test]
fn root_expiry_is_checked_without_a_new_root_too() {
    let mut repository = Simulator::new();
    let late = time("2040-01-01T00:00:00Z");
    (repository.timestamp.expires, repository.snapshot.expires) = (late, late);
    repository.role("targets").expires = late;
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    client.now = time("2031-01-01T00:00:00Z");
    let error = client.refused(&repository, &[]);
    assert_eq!(error, expired("root", 1, "2031-01-01T00:00:00Z", &client));
}

/// CVE-2022-29173: versions were compared with 0, and after they had been saved.
#[test]
fn rollback_is_refused_again_and_again() {
    let mut repository = Simulator::new();
    let old = repository.clone();
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    for _ in 0..3 {
        assert_eq!(client.refused(&old, &[]), rollback("timestamp.json", "timestamp", 2, 1));
    }
    assert!(client.refresh(&repository).is_ok());
}

/// CVE-2025-2888: a rejected timestamp stayed in the cache and blocked the honest ones.
#[test]
fn rejected_timestamp_is_not_cached() {
    let mut repository = Simulator::new();
    repository.publish_snapshot();
    let mut client = Client::refreshed(&repository);
    let mut honest = repository.clone();
    repository.timestamp.version = 1_000_000;
    repository.timestamp.snapshot = MetaFile::version(1);
    repository.publish_timestamp();
    assert_eq!(client.refused(&repository, &[]), rollback("timestamp.json", "snapshot", 2, 1));
    repository.timestamp.snapshot = MetaFile::version(1_000_000);
    repository.timestamp.expires = time("2029-12-31T00:00:00Z");
    repository.write_timestamp();
    let error = client.refused(&repository, &[]);
    assert_eq!(error, expired("timestamp", 1_000_001, "2029-12-31T00:00:00Z", &client));
    honest.publish_snapshot();
    assert_eq!(client.refresh(&honest).unwrap().timestamp().version, 3);
}

#[test]
fn snapshot_version_inside_timestamp_going_down_is_refused() {
    let mut repository = Simulator::new();
    let old = repository.timestamp.snapshot.clone();
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    repository.timestamp.snapshot = old;
    repository.publish_timestamp();
    assert_eq!(client.refused(&repository, &[]), rollback("timestamp.json", "snapshot", 2, 1));
}

/// CVE-2026-6967.
#[test]
fn delegated_role_is_checked_for_expiry_length_and_hash() {
    let stored = &[TIMESTAMP, SNAPSHOT_3];
    let mut repository = with_delegation();
    let mut client = Client::refreshed(&repository);
    repository.role("a").expires = time("2029-01-01T00:00:00Z");
    repository.publish_targets("a");
    let error = client.refused_search(&repository, "f", stored);
    assert_eq!(error, expired("a", 2, "2029-01-01T00:00:00Z", &client));

    let mut repository = with_delegation();
    let mut client = Client::refreshed(&repository);
    let listed = repository.metafile("a");
    let shorter = MetaFile { length: listed.length.map(|length| length + 1), ..listed.clone() };
    repository.snapshot.roles.insert(role("a"), shorter);
    repository.publish_snapshot();
    let got = listed.length.unwrap();
    let error = client.refused_search(&repository, "f", stored);
    assert_eq!(
        error,
        Error::Length { file: "1.a.json".into(), expected: got + 1, exact: true, got }
    );

    let mut repository = with_delegation();
    let mut client = Client::refreshed(&repository);
    let hashes = metafile(1, b"other bytes").hashes;
    repository.snapshot.roles.insert(role("a"), MetaFile { hashes, ..listed });
    repository.publish_snapshot();
    let error = client.refused_search(&repository, "f", stored);
    assert!(matches!(&error, Error::Hash { file, .. } if file == "1.a.json"), "{error}");
}

/// CVE-2025-2887.
#[test]
fn delegated_rollback_is_refused() {
    let mut repository = with_delegation();
    repository.add_target("a", "f", b"vulnerable");
    repository.publish_targets("a");
    repository.add_target("a", "f", b"repaired");
    repository.publish_targets("a");
    let mut client = Client::new(&repository);
    client.find(&repository, "f").unwrap().unwrap();
    repository.snapshot.roles.insert(role("a"), MetaFile::version(2));
    repository.publish_snapshot();
    let error = client.refused_search(&repository, "f", &[TIMESTAMP]);
    assert_eq!(error, rollback("5.snapshot.json", "a", 3, 2));
}

/// CVE-2025-2886.
#[test]
fn terminating_flag_is_obeyed() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", everything(), true);
    repository.delegate("targets", "b", everything(), false);
    repository.add_target("b", "f", b"from b");
    repository.publish_targets("b");
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    assert_eq!(client.find(&repository, "f"), Ok(None));
    assert_eq!(client.fetched, ["1.a.json"]);
}

/// CVE-2024-47534.
#[test]
fn delegations_are_searched_in_their_order_and_depth_first() {
    let mut repository = Simulator::new();
    for (by, name) in [("targets", "z"), ("z", "y"), ("targets", "b"), ("b", "a")] {
        repository.delegate(by, name, everything(), false);
    }
    for name in ["y", "b", "a", "z", "targets"] {
        if name != "z" && name != "targets" {
            repository.add_target(name, "f", name.repeat(3).as_bytes());
        }
        repository.publish_targets(name);
    }
    let mut client = Client::new(&repository);
    let file = client.find(&repository, "f").unwrap().unwrap();
    assert_eq!(file, repository.role("y").targets["f"]);
    assert_eq!(client.fetched, ["2.z.json", "2.y.json"]);
}

#[test]
fn role_reached_by_two_parents_is_verified_for_each() {
    // `good` names the key that signs `shared`; `evil` is trusted with other paths and names the
    // same role with its own key, or the other way round.
    for (signer, refused, by) in [("good", "evil/f", "evil"), ("evil", "good/f", "good")] {
        let mut repository = Simulator::new();
        for parent in ["good", "evil"] {
            let paths = || Paths::Patterns(vec![format!("{parent}/*")]);
            repository.delegate("targets", parent, paths(), false);
            repository.delegate(parent, "shared", paths(), false);
            let key = TestKey::new(parent);
            let delegations = repository.role(parent).delegations.as_mut().unwrap();
            delegations.keys.insert(key.keyid(), key.public_key().clone());
            let Roles::Listed(roles) = &mut delegations.roles else { unreachable!() };
            roles[0].keys.keyids = vec![key.keyid()];
        }
        repository.signers.insert(role("shared"), vec![TestKey::new(signer)]);
        repository.add_target("shared", "good/f", b"1");
        repository.add_target("shared", "evil/f", b"2");
        for name in ["shared", "good", "evil", "targets"] {
            repository.publish_targets(name);
        }
        let mut client = Client::new(&repository);
        let mut trusted = client.refresh(&repository).unwrap();
        let accepted = format!("{signer}/f");
        client.search(&repository, &mut trusted, &accepted).unwrap().unwrap();
        // Not from memory, and not from the trust store either.
        let error = client.search(&repository, &mut trusted, refused).unwrap_err();
        assert_eq!(error, unsigned("shared", 2, 0, &format!("{by} version 2"), 1));
        let error = client.find(&repository, refused).unwrap_err();
        assert_eq!(error, unsigned("shared", 2, 0, &format!("{by} version 2"), 1));
        client.search(&repository, &mut trusted, &accepted).unwrap().unwrap();
    }
}

/// Two roles delegate to `shared`, each with its own key, and a mirror has a file for each of them: two
/// files of one name, which delegate to `deep` with different keys. What was verified for one of them is
/// nothing to the other.
#[test]
fn role_below_two_files_of_one_name_is_verified_for_each() {
    // What a mirror has for those who are sent by `evil`, and for those who are sent by `good`.
    let files = ["evil", "good"].map(|parent| {
        let mut repository = Simulator::new();
        for parent in ["good", "evil"] {
            let paths = Paths::Patterns(vec![format!("{parent}/*")]);
            repository.delegate("targets", parent, paths, false);
        }
        let all = || Paths::Patterns(vec!["*/*".to_owned()]);
        for by in ["good", "evil"] {
            repository.delegate_to(by, "shared", TestKey::new(by), all(), false);
        }
        let below = TestKey::new(&format!("below {parent}"));
        repository.delegate_to("shared", "deep", below, all(), false);
        repository.signers.insert(role("shared"), vec![TestKey::new(parent)]);
        repository.add_target("deep", "evil/f", parent.as_bytes());
        repository.add_target("deep", "good/f", parent.as_bytes());
        for name in ["deep", "shared", "good", "evil", "targets"] {
            repository.publish_targets(name);
        }
        repository
    });
    let mut client = Client::new(&files[0]);
    let mut trusted = client.refresh(&files[0]).unwrap();
    for repository in &files {
        let name = if repository.files == files[0].files { "evil" } else { "good" };
        let path = format!("{name}/f");
        let found = client.search(repository, &mut trusted, &path).unwrap();
        assert_eq!(found, Some(repository.targets[&role("deep")].targets[&path].clone()), "{path}");
    }
}

#[test]
fn star_does_not_match_across_a_slash() {
    let mut repository = with_delegation();
    for path in ["f", "dir/f", "dir/dir/f"] {
        repository.add_target("a", path, b"content");
    }
    repository.publish_targets("a");
    let mut client = Client::new(&repository);
    assert!(client.find(&repository, "f").unwrap().is_some());
    assert_eq!(client.find(&repository, "dir/f"), Ok(None));
    assert_eq!(client.find(&repository, "dir/dir/f"), Ok(None));
}

/// CVE-2021-41149, CVE-2026-6968.
#[test]
fn target_paths_cannot_leave_their_folder() {
    let paths = ["../f", "a/../../f", "/etc/passwd", "a//f", "a/./f", "a\\..\\f", "", "a\0f", "a/"];
    let mut repository = Simulator::new();
    for path in paths {
        repository.add_target("targets", path, b"content");
        assert!(TargetPath::new(path).is_err(), "{path:?}");
    }
    // Metadata that lists them stays usable for the rest.
    repository.add_target("targets", "f", b"content");
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    assert!(client.find(&repository, "f").unwrap().is_some());
}

/// CVE-2021-41150, CVE-2026-6968.
#[test]
fn role_names_cannot_leave_their_folder() {
    let names = ["../../root", "/etc/x", "..", "a/b", "C:\\x", "a?b#c%2F"];
    let mut repository = Simulator::new();
    for name in names {
        repository.delegate("targets", name, everything(), false);
    }
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    assert_eq!(client.find(&repository, "f"), Ok(None));
    let fetched = [
        "1...%2F..%2Froot.json",
        "1.%2Fetc%2Fx.json",
        "1....json",
        "1.a%2Fb.json",
        "1.C%3A%5Cx.json",
        "1.a%3Fb%23c%252F.json",
    ];
    assert_eq!(client.fetched, fetched);
}

#[test]
fn greatest_version_is_the_last() {
    let mut repository = Simulator::new();
    repository.timestamp.version = i64::MAX as u64;
    repository.write_timestamp();
    let mut client = Client::refreshed(&repository);
    repository.timestamp.version = 1;
    repository.write_timestamp();
    assert_eq!(
        client.refused(&repository, &[]),
        rollback("timestamp.json", "timestamp", i64::MAX as u64, 1)
    );
}

#[test]
fn equal_version_root_does_not_loop() {
    let mut repository = Simulator::new();
    repository.publish_root();
    let mut client = Client::refreshed(&repository);
    // Whatever is asked for, the mirror answers with the root that the client has.
    for version in 3..2000 {
        let root = repository.files["2.root.json"].clone();
        repository.files.insert(format!("{version}.root.json"), root);
    }
    assert_eq!(client.refused(&repository, &[]), wrong_version("root", 3, 2));
    assert_eq!(client.fetched, ["3.root.json"]);
}

#[test]
fn keyids_are_opaque() {
    let key = TestKey::new("timestamp");
    for keyid in
        ["alice", "", "\u{e9}", &"f".repeat(64), &TestKey::new("snapshot").keyid().as_str()[1..]]
    {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.root.keys.insert(KeyId::new(keyid), key.public_key().clone());
        repository.root.roles.timestamp.keyids = vec![KeyId::new(keyid)];
        repository.publish_root();
        repository.publish_timestamp();
        let error = client.refused(&repository, &[("root", "2.root.json")]);
        assert_eq!(error, unsigned("timestamp", 2, 0, "root version 2", 1));
        repository.edit("timestamp.json", |file| {
            set(file, &["signatures", "0", "keyid"], &format!("{keyid:?}"));
        });
        assert_eq!(client.refresh(&repository).unwrap().timestamp().version, 2, "{keyid:?}");
    }
}

#[test]
fn signatures_of_unlisted_and_unknown_keys_do_not_count() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    // Keys that root knows, but not for this role, and one that nobody knows.
    let signers = ["root-a", "root-b", "snapshot", "targets", "mallory"].map(TestKey::new);
    repository.signers.insert(role("timestamp"), signers.to_vec());
    repository.publish_timestamp();
    let error = client.refused(&repository, &[]);
    assert_eq!(error, unsigned("timestamp", 2, 0, "root version 1", 1));
    // With the right one among them it is well.
    repository.signers.get_mut(&role("timestamp")).unwrap().push(TestKey::new("timestamp"));
    repository.write_timestamp();
    assert_eq!(client.refresh(&repository).unwrap().timestamp().version, 2);
}

#[test]
fn an_honest_mirror_is_enough_after_every_changed_byte() {
    let mut repository = with_delegation();
    let mut client = Client::refreshed(&repository);
    client.find(&repository, "f").unwrap();
    // No more signatures than are needed: each byte counts.
    repository.signers.get_mut(&role("root")).unwrap().pop();
    repository.publish_root();
    repository.publish_targets("targets");
    repository.publish_targets("a");
    let files = ["2.root.json", "timestamp.json", "4.snapshot.json", "3.targets.json", "2.a.json"];
    for path in files {
        for at in (0..repository.files[path].len()).step_by(37) {
            let mut mirror = repository.clone();
            mirror.files.get_mut(path).unwrap()[at] ^= 1;
            let mut client = client.clone();
            assert!(client.find(&mirror, "f").is_err(), "{path} at byte {at}");
            assert!(!client.store.values().any(|bytes| *bytes == mirror.files[path]));
            assert_eq!(client.find(&repository, "f"), Ok(None));
            assert_eq!(client.store[&RoleName::targets()], repository.files["3.targets.json"]);
        }
    }
}
