//! TUF 5.1 to 5.3: the fixed time, the trusted root, and the chain to the newest one.

use waxseal_testkit::simulator::{Simulator, TestKey, remove, role, time};
use waxseal_tuf::{Error, Limits, RoleName, Updater};

use crate::client::{Client, expired, unsigned, wrong_version};

#[test]
fn step_5_1_start_time_is_fixed() {
    let repository = Simulator::new();
    let mut client = Client::new(&repository);
    let trusted = client.refresh(&repository).unwrap();
    assert_eq!(trusted.reference_time(), client.now);
    assert_eq!(trusted.fresh_until(), time("2030-01-02T00:00:00Z"));
}

#[test]
fn step_5_2_trusted_root_is_signed_by_its_own_keys() {
    let mut repository = Simulator::new();
    repository.replace_text("1.root.json", "\"version\":1", "\"version\":2");
    let refused = Client::new(&repository).refused(&repository, &[]);
    let Error::Signatures { file, role: of, version: 2, delegator, threshold: 2, valid: 0 } =
        refused
    else {
        panic!("{refused}")
    };
    assert_eq!((of, &*file, &*delegator), (role("root"), "root.json", "root version 2"));
}

#[test]
fn step_5_2_trusted_root_may_be_expired_when_a_newer_is_not() {
    let mut repository = Simulator::new();
    let fresh = repository.root.expires;
    repository.root.expires = time("2029-01-01T00:00:00Z");
    repository.write_root();
    let mut client = Client::new(&repository);
    repository.root.expires = fresh;
    repository.publish_root();
    assert_eq!(client.refresh(&repository).unwrap().root().version, 2);
}

#[test]
fn step_5_3_3_roots_are_fetched_one_by_one() {
    let mut repository = Simulator::new();
    let mut client = Client::new(&repository);
    repository.publish_root();
    repository.publish_root();
    client.refresh(&repository).unwrap();
    assert_eq!(
        client.fetched[..4],
        ["2.root.json", "3.root.json", "4.root.json", "timestamp.json"]
    );
    client.refresh(&repository).unwrap();
    assert_eq!(client.fetched, ["4.root.json", "timestamp.json"]);
}

#[test]
fn step_5_3_3_root_over_the_limit() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_root();
    let length = repository.files["2.root.json"].len() as u64;
    client.limits.root = length - 1;
    let error = client.refused(&repository, &[]);
    let (file, expected) = ("2.root.json".to_owned(), length - 1);
    assert_eq!(error, Error::Length { file, expected, exact: false, got: length });
    client.limits.root = length;
    assert_eq!(client.refresh(&repository).unwrap().root().version, 2);
}

#[test]
fn step_5_3_3_more_roots_than_the_limit() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    client.limits = Limits { root_rotations: 3, ..Limits::default() };
    for _ in 0..4 {
        repository.publish_root();
    }
    // As many as may be, and then step 5.3.10.
    assert_eq!(client.refresh(&repository).unwrap().root().version, 4);
    assert_eq!(
        client.fetched[..4],
        ["2", "3", "4", "timestamp"].map(|name| match name {
            "timestamp" => "timestamp.json".to_owned(),
            version => format!("{version}.root.json"),
        })
    );
    // The next update goes on where this one stopped.
    assert_eq!(client.refresh(&repository).unwrap().root().version, 5);

    // What comes after must be signed as the last of them says.
    for _ in 0..3 {
        repository.publish_root();
    }
    repository.rotate("timestamp", &["new"], 1);
    repository.publish_root();
    repository.publish_timestamp();
    let error = client.refused(&repository, &[("root", "8.root.json")]);
    assert_eq!(error, unsigned("timestamp", 2, 0, "root version 8", 1));
}

#[test]
fn step_5_3_4_new_root_not_signed_by_the_old_keys() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.rotate("root", &["new"], 1);
    let new = vec![TestKey::new("new")];
    let mut stolen = repository.clone();
    stolen.signers.insert(role("root"), new.clone());
    stolen.publish_root();
    assert_eq!(client.refused(&stolen, &[]), unsigned("root", 2, 0, "root version 1", 2));

    let one_old = [vec![TestKey::new("root-a")], new].concat();
    let mut stolen = repository.clone();
    stolen.signers.insert(role("root"), one_old);
    stolen.publish_root();
    assert_eq!(client.refused(&stolen, &[]), unsigned("root", 2, 1, "root version 1", 2));

    repository.publish_root();
    assert_eq!(client.refresh(&repository).unwrap().root().version, 2);
}

#[test]
fn step_5_3_4_new_root_not_signed_by_its_own_keys() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.rotate("root", &["new-a", "new-b"], 2);
    let signers = ["root-a", "root-b", "root-c", "new-a"].map(TestKey::new);
    repository.signers.insert(role("root"), signers.to_vec());
    repository.publish_root();
    assert_eq!(client.refused(&repository, &[]), unsigned("root", 2, 1, "root version 2", 2));
}

#[test]
fn step_5_3_5_root_of_the_same_version() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    let first = repository.first_root();
    repository.files.insert("2.root.json".to_owned(), first);
    assert_eq!(client.refused(&repository, &[]), wrong_version("root", 2, 1));
}

#[test]
fn step_5_3_5_root_that_skips_a_version() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.root.version = 3;
    repository.write_root();
    let third = repository.files.remove("3.root.json").unwrap();
    repository.files.insert("2.root.json".to_owned(), third);
    assert_eq!(client.refused(&repository, &[]), wrong_version("root", 2, 3));
}

#[test]
fn step_5_3_6_intermediate_root_may_be_expired() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    let fresh = repository.root.expires;
    repository.root.expires = time("2029-01-01T00:00:00Z");
    repository.publish_root();
    repository.root.expires = fresh;
    repository.publish_root();
    assert_eq!(client.refresh(&repository).unwrap().root().version, 3);
}

#[test]
fn step_5_3_8_each_root_is_stored_before_the_next_is_fetched() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_root();
    repository.publish_root();
    repository.replace_text("3.root.json", "2031-01-01", "2032-01-01");
    let error = client.refused(&repository, &[("root", "2.root.json")]);
    assert_eq!(error, unsigned("root", 3, 0, "root version 2", 2));
}

#[test]
fn step_5_3_10_newest_root_is_expired() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.root.expires = client.now;
    repository.publish_root();
    let error = client.refused(&repository, &[("root", "2.root.json")]);
    assert_eq!(error, expired("root", 2, "2030-01-01T00:00:00Z", &client));
    // One second earlier it was not.
    client.now = time("2029-12-31T23:59:59Z");
    assert!(client.refresh(&repository).is_ok());
}

#[test]
fn step_5_3_11_rotated_keys_recover_from_a_fast_forward() {
    let mut repository = Simulator::new();
    let honest = repository.clone();
    repository.timestamp.version = i64::MAX as u64 - 1;
    repository.snapshot.version = i64::MAX as u64 - 1;
    repository.publish_snapshot();
    let client = Client::refreshed(&repository);

    for (name, label) in [("timestamp", "new-timestamp"), ("snapshot", "new-snapshot")] {
        let mut recovered = honest.clone();
        for name in [name, "timestamp"] {
            recovered.rotate(name, &[label], 1);
        }
        recovered.publish_root();
        recovered.publish_snapshot();
        let mut client = client.clone();
        let trusted = client.refresh(&recovered).unwrap();
        assert_eq!((trusted.timestamp().version, trusted.snapshot().version), (2, 2), "{name}");
    }
}

#[test]
fn step_5_3_11_rotated_snapshot_key_lets_role_versions_go_back() {
    let mut repository = Simulator::new();
    let honest = repository.clone();
    repository.role("targets").version = 1000;
    repository.publish_targets("targets");
    let mut client = Client::refreshed(&repository);
    let mut recovered = honest;
    recovered.snapshot.version = repository.snapshot.version;
    recovered.timestamp.version = repository.timestamp.version;
    recovered.rotate("snapshot", &["new-snapshot"], 1);
    recovered.publish_root();
    recovered.publish_targets("targets");
    let trusted = client.refresh(&recovered).unwrap();
    assert_eq!(trusted.snapshot().roles[&RoleName::targets()].version, 2);
}

#[test]
fn step_5_3_12_paths_without_consistent_snapshots() {
    let mut repository = Simulator::new();
    repository.root.consistent_snapshot = false;
    repository.write_root();
    for name in ["snapshot", "targets"] {
        repository.files.remove(&format!("1.{name}.json"));
    }
    repository.write_targets("targets");
    repository.write_snapshot();
    repository.write_timestamp();
    let mut client = Client::new(&repository);
    client.refresh(&repository).unwrap();
    let paths = ["2.root.json", "timestamp.json", "snapshot.json", "targets.json"];
    assert_eq!(client.fetched, paths);

    for (path, named_by) in [("snapshot.json", "timestamp"), ("targets.json", "snapshot")] {
        let mut repository = repository.clone();
        repository.files.remove(path);
        let error = Client::new(&repository).refresh(&repository).unwrap_err();
        assert_eq!(error, Error::Missing { file: path.to_owned(), named_by: role(named_by) });
    }
}

#[test]
fn step_5_3_12_snapshots_are_not_consistent_where_root_does_not_say_so() {
    let mut repository = Simulator::new();
    let mut client = Client::refreshed(&repository);
    repository.publish_root();
    repository.resign("2.root.json", "root", |signed| {
        remove(signed, &["consistent_snapshot"]);
    });
    assert!(!client.refresh(&repository).unwrap().root().consistent_snapshot);
}

#[test]
fn an_updater_says_when_it_is_misused() {
    let repository = Simulator::new();
    let root = repository.first_root();
    let updater = || Updater::new(&root, Simulator::now(), Limits::default()).unwrap();
    let misuse = updater().answer(waxseal_tuf::Answer::Stored).unwrap_err();
    assert_eq!(misuse.slug(), "internal");
    assert_eq!(updater().finish().unwrap_err().slug(), "internal");
}
