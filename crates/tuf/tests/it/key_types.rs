//! Every key type of TUF 4.2 in every role.

use waxseal_testkit::simulator::{Simulator, TestKey, change, remove, set, signature};
use waxseal_tuf::json::Value;
use waxseal_tuf::metadata::{Root, Unverified};
use waxseal_tuf::{KeyId, PublicKey, Signer};

use crate::client::{Client, everything, unsigned};

/// A repository in which this key alone signs everything, with a file that a delegated role lists.
fn signed_by(key: &TestKey) -> Simulator {
    let mut repository = Simulator::new();
    for name in ["timestamp", "snapshot", "targets", "root"] {
        repository.rotate_to(name, vec![key.clone()], 1);
    }
    repository.publish_root();
    repository.delegate_to("targets", "a", key.clone(), everything(), true);
    repository.add_target("a", "file", b"content");
    repository.publish_targets("a");
    repository.publish_targets("targets");
    repository
}

#[test]
fn every_key_type_signs_every_role() {
    for (kind, key) in TestKey::of_each_type() {
        let mut repository = signed_by(&key);
        repository.publish_root();
        let found = Client::new(&repository).find(&repository, "file");
        assert_eq!(found.unwrap().unwrap().length, 7, "{kind}");
    }
}

#[test]
fn a_changed_signature_of_every_key_type_is_refused() {
    for (kind, key) in TestKey::of_each_type() {
        for path in
            ["3.root.json", "timestamp.json", "3.snapshot.json", "2.targets.json", "2.a.json"]
        {
            let mut repository = signed_by(&key);
            repository.publish_root();
            repository.edit(path, |file| {
                change(file, &["signatures", "0", "sig"], |sig| {
                    let Some(Value::String(sig)) = sig else { panic!("no signature") };
                    let (head, tail) = sig.split_at(sig.len() - 9);
                    let digit = if tail.starts_with('0') { '1' } else { '0' };
                    Some(Value::from(format!("{head}{digit}{}", &tail[1..])))
                });
            });
            // Timestamp lists snapshot's digest, which is looked at first.
            let slug = if path.ends_with("snapshot.json") { "changed" } else { "unsigned" };
            let refused = Client::new(&repository).find(&repository, "file").unwrap_err();
            assert_eq!(refused.slug(), slug, "{kind} {path}: {refused}");
        }
    }
}

#[test]
fn a_key_does_not_verify_what_another_kind_of_key_signed() {
    let keys = TestKey::of_each_type();
    for (kind, key) in &keys {
        for (other, signer) in &keys {
            let signature = signer.sign(b"message").unwrap();
            let verifies = key.public_key().verifies(b"message", &signature);
            assert_eq!(verifies, kind == other, "{kind} {other}");
            assert!(!key.public_key().verifies(b"other", &signature));
            assert!(!key.public_key().verifies(b"message", &signature[1..]));
            assert!(!key.public_key().verifies(b"message", &[]));
        }
    }
}

/// The same key under two types, or as PEM and as hex, is one key for a threshold.
#[test]
fn two_spellings_of_an_ecdsa_key_count_once() {
    let key = TestKey::ecdsa_p256();
    let mut repository = Simulator::new();
    repository.rotate_to("timestamp", vec![key.clone(), TestKey::new("other")], 2);
    repository.publish_root();
    repository.resign("2.root.json", "root", |signed| {
        let pem = remove(signed, &["keys", key.keyid().as_str()]);
        let mut older = pem.clone();
        set(&mut older, &["keytype"], "\"ecdsa-sha2-nistp256\"");
        let (pem, older) = (pem.to_json(), older.to_json());
        set(signed, &["keys", "one"], std::str::from_utf8(&pem).unwrap());
        set(signed, &["keys", "two"], std::str::from_utf8(&older).unwrap());
        set(signed, &["roles", "timestamp", "keyids"], r#"["one", "two"]"#);
    });
    repository.publish_timestamp();
    repository.edit("timestamp.json", |file| {
        let signed = remove(file, &["signed"]);
        let both = [signature(&signed, &key, "one"), signature(&signed, &key, "two")];
        let Value::Object(file) = file else { panic!("no object") };
        file.insert("signatures", both.to_vec());
        file.insert("signed", signed);
    });
    let error = Client::new(&repository).refresh(&repository).unwrap_err();
    assert_eq!(error, unsigned("timestamp", 2, 1, "root version 2", 2));
}

#[test]
fn keys_of_unknown_types_are_carried_along_in_a_root() {
    let mut repository = Simulator::new();
    repository.publish_root();
    repository.resign("2.root.json", "root", |signed| {
        set(
            signed,
            &["keys", "future"],
            r#"{"keytype":"lattice","scheme":"ml-dsa","keyval":{"matrix":[1,2]},"note":null}"#,
        );
        set(signed, &["roles", "timestamp", "keyids", "1"], "\"future\"");
    });
    let trusted = Client::new(&repository).refresh(&repository).unwrap();
    let key: &PublicKey = &trusted.root().keys[&KeyId::new("future")];
    assert!(!key.verifies(b"", b""));
    let claims = Unverified::<Root>::parse(trusted.root().bytes()).unwrap();
    assert_eq!(claims.claims().keys.len(), trusted.root().keys.len());
    assert_eq!(trusted.root().roles.timestamp.keyids.len(), 2);
}

#[test]
fn signatures_that_are_not_hex_verify_nothing_and_do_no_harm() {
    let mut repository = Simulator::new();
    for sig in ["", "no hex", "abc", "MEUCIQ=="] {
        repository.publish_timestamp();
        repository.edit("timestamp.json", |file| {
            let other = format!(r#"{{"keyid":"unknown","sig":"{sig}"}}"#);
            set(file, &["signatures", "1"], &other);
        });
        Client::new(&repository).refresh(&repository).unwrap();
        repository.edit("timestamp.json", |file| {
            set(file, &["signatures", "0", "sig"], &format!("{sig:?}"));
        });
        let error = Client::new(&repository).refresh(&repository).unwrap_err();
        assert_eq!(error.slug(), "unsigned", "{sig}");
    }
}
