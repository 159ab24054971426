//! TUF 5.4: the newest timestamp.

use waxseal_testkit::simulator::{Simulator, TestKey, role, time};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Error, Limits};

use crate::client::{Client, TIMESTAMP, expired, rollback, unsigned};

#[test]
fn step_5_4_1_timestamp_is_missing_or_over_the_limit() {
    let repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    let mut broken = repository.clone();
    let length = broken.files["timestamp.json"].len() as u64;
    broken.files.remove("timestamp.json");
    let missing = Error::Missing { file: "timestamp.json".to_owned(), named_by: role("root") };
    assert_eq!(client.refused(&broken, &[]), missing);

    client.limits.timestamp = length - 1;
    let (file, expected) = ("timestamp.json".to_owned(), length - 1);
    let too_long = Error::Length { file, expected, exact: false, got: length };
    assert_eq!(client.refused(&repository, &[]), too_long);
}

#[test]
fn step_5_4_2_timestamp_not_signed_by_roots_keys() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.signers.insert(role("timestamp"), vec![TestKey::new("targets")]);
    repository.publish_timestamp();
    let error = client.refused(&repository, &[]);
    assert_eq!(error, unsigned("timestamp", 2, 0, "root version 1", 1));
}

#[test]
fn step_5_4_2_timestamp_signed_by_keys_that_the_newest_root_dropped() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    let old = repository.signers[&role("timestamp")].clone();
    repository.rotate("timestamp", &["new"], 1);
    repository.publish_root();
    repository.signers.insert(role("timestamp"), old);
    repository.publish_timestamp();
    let error = client.refused(&repository, &[("root", "2.root.json")]);
    assert_eq!(error, unsigned("timestamp", 2, 0, "root version 2", 1));
}

#[test]
fn step_5_4_3_1_timestamp_rollback() {
    let mut repository = Simulator::new();
    let old = repository.clone();
    repository.publish_timestamp();
    let mut client = Client::refreshed(&repository);
    assert_eq!(client.refused(&old, &[]), rollback("timestamp.json", "timestamp", 2, 1));
    assert!(client.refresh(&repository).is_ok());
}

#[test]
fn step_5_4_3_1_timestamp_of_the_same_version_is_discarded() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    let before = client.store.clone();
    repository.timestamp.expires = time("2030-01-09T00:00:00Z");
    repository.write_timestamp();
    let trusted = client.refresh(&repository).unwrap();
    assert_eq!(trusted.timestamp().expires, time("2030-01-02T00:00:00Z"));
    assert_eq!(client.store, before);
    assert_eq!(client.fetched, ["2.root.json", "timestamp.json"]);
}

#[test]
fn step_5_4_3_2_snapshot_version_in_timestamp_goes_down() {
    let mut repository = Simulator::new();
    let old = repository.timestamp.snapshot.clone();
    repository.publish_snapshot();
    let mut client = Client::refreshed(&repository);
    repository.timestamp.snapshot = old;
    repository.publish_timestamp();
    assert_eq!(client.refused(&repository, &[]), rollback("timestamp.json", "snapshot", 2, 1));
}

#[test]
fn step_5_4_4_timestamp_is_expired() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.timestamp.expires = client.now;
    repository.publish_timestamp();
    let error = client.refused(&repository, &[]);
    assert_eq!(error, expired("timestamp", 2, "2030-01-01T00:00:00Z", &client));
}

#[test]
fn step_5_4_4_expired_timestamp_does_not_become_the_trusted_one() {
    let mut repository = Simulator::new();
    let (root, good) = (repository.first_root(), repository.files["timestamp.json"].clone());
    repository.timestamp.expires = time("2029-12-31T00:00:00Z");
    repository.publish_timestamp();
    let mut phase =
        RootPhase::new(&root, &Limits::default()).unwrap().finish(Simulator::now()).unwrap();
    phase.load(&good);
    let error = phase.update(&repository.files["timestamp.json"]).unwrap_err();
    assert_eq!(error.slug(), "expired");
    assert_eq!(phase.finish().unwrap().timestamp().version, 1);
}

#[test]
fn step_5_4_4_frozen_timestamp_expires() {
    let repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    client.now = time("2030-01-02T00:00:00Z");
    let error = client.refused(&repository, &[]);
    assert_eq!(error, expired("timestamp", 1, "2030-01-02T00:00:00Z", &client));
}

#[test]
fn step_5_4_4_expired_timestamp_is_still_a_base_for_rollback_checks() {
    let mut repository = Simulator::new();
    let old = repository.clone();
    repository.publish_timestamp();
    let mut client = Client::refreshed(&repository);
    client.now = time("2030-01-03T00:00:00Z");
    assert_eq!(client.refused(&old, &[]), rollback("timestamp.json", "timestamp", 2, 1));
}

#[test]
fn step_5_4_5_timestamp_is_stored() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_timestamp();
    client.refresh(&repository).unwrap();
    let (name, path) = TIMESTAMP;
    assert_eq!(client.store[&role(name)], repository.files[path]);
}
