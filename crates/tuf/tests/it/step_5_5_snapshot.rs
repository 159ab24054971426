//! TUF 5.5: the snapshot that timestamp names.

use waxseal_testkit::simulator::{Simulator, TestKey, role, time};
use waxseal_tuf::metadata::{MetaFile, Paths};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Error, Limits, RoleName};

use crate::client::{Client, TIMESTAMP, expired, rollback, unsigned, wrong_version};

#[test]
fn step_5_5_1_snapshot_is_missing() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    repository.files.remove("2.snapshot.json");
    let file = "2.snapshot.json".to_owned();
    let missing = Error::Missing { file, named_by: role("timestamp") };
    assert_eq!(client.refused(&repository, &[TIMESTAMP]), missing);
}

#[test]
fn step_5_5_1_snapshot_is_longer_than_listed_or_than_the_limit() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    let bytes = repository.files.get_mut("2.snapshot.json").unwrap();
    let expected = bytes.len() as u64;
    bytes.push(b'\n');
    let length = |expected| Error::Length {
        file: "2.snapshot.json".to_owned(),
        expected,
        exact: false,
        got: repository.files["2.snapshot.json"].len() as u64,
    };
    assert_eq!(client.refused(&repository, &[TIMESTAMP]), length(expected));

    repository.timestamp.snapshot = MetaFile::version(2);
    repository.publish_timestamp();
    client.limits.snapshot = expected;
    let error = client.refused(&repository, &[TIMESTAMP]);
    let (file, got) = ("2.snapshot.json".to_owned(), expected + 1);
    assert_eq!(error, Error::Length { file, expected, exact: false, got });
    client.limits.snapshot += 1;
    assert!(client.refresh(&repository).is_ok());
}

#[test]
fn step_5_5_1_listed_length_does_not_lift_the_limit() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    let got = repository.files["2.snapshot.json"].len() as u64;
    client.limits.snapshot = got - 1;
    let file = "2.snapshot.json".to_owned();
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error, Error::Length { file, expected: got - 1, exact: false, got });
}

#[test]
fn step_5_5_1_snapshot_is_shorter_than_listed() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    let bytes = repository.files.get_mut("2.snapshot.json").unwrap();
    let expected = bytes.len() as u64;
    bytes.pop();
    let (file, got) = ("2.snapshot.json".to_owned(), expected - 1);
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error, Error::Length { file, expected, exact: true, got });
}

#[test]
fn step_5_5_2_snapshot_without_the_listed_digest() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    // Both are well signed and of one length; timestamp names the first.
    repository.publish_snapshot();
    repository.snapshot.expires = time("2030-01-03T00:00:00Z");
    let (timestamp, named) = (repository.timestamp.clone(), repository.clone());
    repository.write_snapshot();
    repository.timestamp = timestamp;
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert!(matches!(&error, Error::Hash { file, .. } if file == "2.snapshot.json"), "{error}");
    assert!(client.refresh(&named).is_ok());
}

#[test]
fn step_5_5_2_snapshot_of_the_trust_store_without_the_listed_digest() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    // Well signed, of the right version, and yet not the one that timestamp names.
    repository.publish_snapshot();
    let named = repository.clone();
    repository.snapshot.expires = time("2030-01-03T00:00:00Z");
    repository.write_snapshot();
    client.store.insert(role("snapshot"), repository.files["2.snapshot.json"].clone());
    let trusted = client.refresh(&named).unwrap();
    assert_eq!(trusted.snapshot().expires, time("2030-01-02T00:00:00Z"));
    assert_eq!(client.store[&role("snapshot")], named.files["2.snapshot.json"]);
}

#[test]
fn step_5_5_3_snapshot_not_signed_by_roots_keys() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.signers.insert(role("snapshot"), vec![TestKey::new("timestamp")]);
    repository.publish_snapshot();
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error, unsigned("snapshot", 2, 0, "root version 1", 1));
}

#[test]
fn step_5_5_4_snapshot_of_another_version_than_timestamp_names() {
    for version in [2, 4] {
        let mut repository = Simulator::new();
        let mut client = Client::refreshed(&repository);
        repository.snapshot.version = version;
        repository.write_snapshot();
        let bytes = repository.files[&format!("{version}.snapshot.json")].clone();
        repository.files.insert("3.snapshot.json".to_owned(), bytes);
        repository.timestamp.snapshot.version = 3;
        repository.publish_timestamp();
        let error = client.refused(&repository, &[TIMESTAMP]);
        assert_eq!(error, wrong_version("snapshot", 3, version));
    }
}

#[test]
fn step_5_5_5_role_version_goes_down() {
    for name in ["targets", "a"] {
        let mut repository = Simulator::new();
        repository.delegate("targets", "a", Paths::Patterns(vec!["*".to_owned()]), false);
        repository.publish_targets("a");
        repository.publish_targets("targets");
        let mut client = Client::refreshed(&repository);
        repository.snapshot.roles.insert(role(name), MetaFile::version(1));
        repository.publish_snapshot();
        assert_eq!(
            client.refused(&repository, &[TIMESTAMP]),
            rollback("4.snapshot.json", name, 2, 1)
        );
    }
}

/// A caller of the phases that asks another mirror after a refusal is as safe as before.
#[test]
fn step_5_5_5_a_refused_snapshot_is_refused_again() {
    let mut repository = Simulator::new();
    repository.publish_targets("targets");
    let stored = repository.files["2.snapshot.json"].clone();
    repository.snapshot.roles.insert(RoleName::targets(), MetaFile::version(1));
    repository.publish_snapshot();
    let root = RootPhase::new(&repository.first_root(), &Limits::default()).unwrap();
    let mut timestamp = root.finish(Simulator::now()).unwrap();
    timestamp.update(&repository.files["timestamp.json"]).unwrap();
    let mut phase = timestamp.finish().unwrap();
    phase.load(&stored);
    assert!(!phase.is_current());
    for _ in 0..2 {
        let refused = phase.update(&repository.files["3.snapshot.json"]).unwrap_err();
        assert_eq!(refused, rollback("3.snapshot.json", "targets", 2, 1));
    }
    let misuse = Error::Misuse { expected: "the snapshot that timestamp names" };
    assert_eq!(phase.finish().unwrap_err(), misuse);
}

#[test]
fn step_5_5_5_role_disappears() {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", Paths::Patterns(vec!["*".to_owned()]), false);
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    repository.snapshot.roles.remove(&role("a"));
    repository.publish_snapshot();
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(
        error,
        Error::RoleRemoved { file: "3.snapshot.json".to_owned(), role: role("a"), snapshot: 3 }
    );
}

#[test]
fn step_5_5_5_expired_snapshot_is_still_a_base_for_rollback_checks() {
    let mut repository = Simulator::new();
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    client.now = time("2030-01-05T00:00:00Z");
    let later = time("2030-01-06T00:00:00Z");
    (repository.timestamp.expires, repository.snapshot.expires) = (later, later);
    repository.snapshot.roles.insert(RoleName::targets(), MetaFile::version(1));
    repository.publish_snapshot();
    assert_eq!(
        client.refused(&repository, &[TIMESTAMP]),
        rollback("3.snapshot.json", "targets", 2, 1)
    );
}

#[test]
fn step_5_5_6_snapshot_is_expired() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.snapshot.expires = client.now;
    repository.publish_snapshot();
    let error = client.refused(&repository, &[TIMESTAMP]);
    assert_eq!(error, expired("snapshot", 2, "2030-01-01T00:00:00Z", &client));
}

#[test]
fn step_5_5_6_snapshot_of_the_trust_store_is_expired() {
    let mut repository = Simulator::new();
    repository.timestamp.expires = time("2030-01-09T00:00:00Z");
    repository.publish_timestamp();
    let mut client = Client::refreshed(&repository);
    client.now = time("2030-01-03T00:00:00Z");
    let error = client.refused(&repository, &[]);
    assert_eq!(error, expired("snapshot", 1, "2030-01-02T00:00:00Z", &client));
}

#[test]
fn step_5_5_7_snapshot_is_stored_and_not_fetched_again() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    client.refresh(&repository).unwrap();
    assert_eq!(client.store[&role("snapshot")], repository.files["2.snapshot.json"]);
    repository.publish_timestamp();
    client.refresh(&repository).unwrap();
    assert_eq!(client.fetched, ["2.root.json", "timestamp.json"]);
}

#[test]
fn a_snapshot_refused_once_is_had_from_an_honest_mirror_later() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_snapshot();
    let mut mirror = repository.clone();
    mirror.files.get_mut("2.snapshot.json").unwrap()[20] ^= 1;
    client.refused(&mirror, &[TIMESTAMP]);
    assert_eq!(client.refresh(&repository).unwrap().snapshot().version, 2);
}
