//! TUF 5.6.1 to 5.6.6: the top-level targets role, and the same for a delegated one.

use waxseal_testkit::simulator::{Simulator, TestKey, metafile, role, time};
use waxseal_tuf::Error;
use waxseal_tuf::metadata::{MetaFile, Paths};

use crate::client::{Client, TIMESTAMP, expired, unsigned, wrong_version};

/// The role under test, who delegates to it, and a path it is trusted with.
const ROLES: [(&str, &str); 2] = [("targets", "root version 1"), ("a", "targets version 2")];
const PATH: &str = "file";
const SNAPSHOT: (&str, &str) = ("snapshot", "3.snapshot.json");

/// A repository at snapshot 2 in which targets delegates everything to `a`, and a client that is up
/// to date with both roles.
fn repository() -> (Simulator, Client) {
    let mut repository = Simulator::new();
    repository.delegate("targets", "a", Paths::Patterns(vec!["*".to_owned()]), false);
    repository.publish_targets("targets");
    let mut client = Client::new(&repository);
    client.find(&repository, PATH).unwrap();
    (repository, client)
}

fn refused(client: &mut Client, repository: &Simulator) -> Error {
    client.refused_search(repository, PATH, &[TIMESTAMP, SNAPSHOT])
}

fn next_file(repository: &mut Simulator, name: &str) -> String {
    let version = repository.role(name).version;
    repository.path(name, version)
}

#[test]
fn step_5_6_1_role_is_missing() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.publish_targets(name);
        let file = next_file(&mut repository, name);
        repository.files.remove(&file);
        let error = refused(&mut client, &repository);
        assert_eq!(error, Error::Missing { file, named_by: role("snapshot") });
    }
}

#[test]
fn step_5_6_1_role_over_the_limit() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.publish_targets(name);
        let file = next_file(&mut repository, name);
        let got = repository.files[&file].len() as u64;
        client.limits.targets = got - 1;
        let error = refused(&mut client, &repository);
        assert_eq!(error, Error::Length { file, expected: got - 1, exact: false, got });
    }
}

#[test]
fn step_5_6_1_listed_length_does_not_lift_the_limit() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.publish_targets(name);
        let file = next_file(&mut repository, name);
        let got = repository.files[&file].len() as u64;
        repository.snapshot.roles.insert(role(name), repository.metafile(name));
        repository.write_snapshot();
        repository.write_timestamp();
        client.limits.targets = got - 1;
        let error = refused(&mut client, &repository);
        assert_eq!(error, Error::Length { file, expected: got - 1, exact: false, got });
    }
}

#[test]
fn step_5_6_2_role_without_the_listed_length_or_digest() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.role(name).version = 3;
        repository.write_targets(name);
        let file = repository.path(name, 3);
        let signed = repository.files[&file].clone();

        // White space changes no meaning and no signature, but the digest.
        let other = [b" ".as_slice(), &signed].concat();
        repository.snapshot.roles.insert(role(name), metafile(3, &signed));
        repository.publish_snapshot();
        repository.files.insert(file.clone(), other[..signed.len()].to_vec());
        let error = client.refused_search(&repository, PATH, &[TIMESTAMP, SNAPSHOT]);
        let expected_file = file.clone();
        assert!(matches!(&error, Error::Hash { file, .. } if *file == expected_file), "{error}");

        repository.files.insert(file.clone(), signed[..signed.len() - 1].to_vec());
        let error = client.refused_search(&repository, PATH, &[]);
        let (expected, got) = (signed.len() as u64, signed.len() as u64 - 1);
        assert_eq!(error, Error::Length { file: expected_file, expected, exact: true, got });

        repository.files.insert(file, signed);
        assert_eq!(client.find(&repository, PATH), Ok(None));
    }
}

#[test]
fn step_5_6_3_role_not_signed_by_its_delegators_keys() {
    for (name, delegator) in ROLES {
        let (mut repository, mut client) = repository();
        repository.signers.insert(role(name), vec![TestKey::new("snapshot")]);
        repository.publish_targets(name);
        let version = repository.role(name).version;
        let error = refused(&mut client, &repository);
        assert_eq!(error, unsigned(name, version, 0, delegator, 1));
    }
}

#[test]
fn step_5_6_4_role_of_another_version_than_snapshot_names() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        let current = repository.role(name).version;
        for got in [current, current + 2] {
            let mut repository = repository.clone();
            repository.role(name).version = got;
            repository.write_targets(name);
            let bytes = repository.files[&repository.path(name, got)].clone();
            repository.files.insert(repository.path(name, current + 1), bytes);
            repository.snapshot.roles.insert(role(name), MetaFile::version(current + 1));
            repository.publish_snapshot();
            let store = client.store.clone();
            let error = refused(&mut client, &repository);
            assert_eq!(error, wrong_version(name, current + 1, got));
            client.store = store;
        }
    }
}

#[test]
fn step_5_6_5_role_is_expired() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.role(name).expires = client.now;
        repository.publish_targets(name);
        let version = repository.role(name).version;
        let error = refused(&mut client, &repository);
        assert_eq!(error, expired(name, version, "2030-01-01T00:00:00Z", &client));
    }
}

#[test]
fn step_5_6_5_role_of_the_trust_store_is_expired() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        let late = time("2033-01-01T00:00:00Z");
        (repository.root.expires, repository.timestamp.expires) = (late, late);
        (repository.snapshot.expires, repository.role("targets").expires) = (late, late);
        repository.role("a").expires = late;
        repository.role(name).expires = time("2032-01-01T00:00:00Z");
        repository.publish_root();
        repository.publish_targets("a");
        repository.publish_targets("targets");
        client.find(&repository, PATH).unwrap();
        client.now = time("2032-01-01T00:00:00Z");
        let version = repository.role(name).version;
        let error = client.refused_search(&repository, PATH, &[]);
        assert_eq!(error, expired(name, version, "2032-01-01T00:00:00Z", &client));
    }
}

#[test]
fn step_5_6_6_role_is_stored_and_not_fetched_again() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        repository.publish_targets(name);
        client.find(&repository, PATH).unwrap();
        let file = next_file(&mut repository, name);
        assert_eq!(client.store[&role(name)], repository.files[&file]);
        let mut trusted = client.refresh(&repository).unwrap();
        assert_eq!(client.fetched, ["2.root.json", "timestamp.json"]);
        client.search(&repository, &mut trusted, PATH).unwrap();
        assert!(client.fetched.is_empty(), "{:?}", client.fetched);
    }
}

#[test]
fn a_broken_role_in_the_trust_store_is_fetched_anew() {
    for (name, _) in ROLES {
        let (mut repository, mut client) = repository();
        client.store.get_mut(&role(name)).unwrap()[5] ^= 1;
        assert_eq!(client.find(&repository, PATH), Ok(None));
        let file = next_file(&mut repository, name);
        assert_eq!(client.store[&role(name)], repository.files[&file]);
    }
}

#[test]
fn delegated_role_that_snapshot_does_not_list() {
    let (mut repository, _) = repository();
    repository.snapshot.roles.remove(&role("a"));
    repository.publish_snapshot();
    let mut client = Client::refreshed(&repository);
    let error = client.refused_search(&repository, PATH, &[]);
    assert_eq!(
        error,
        Error::RoleNotListed { file: "3.snapshot.json".to_owned(), role: role("a"), snapshot: 3 }
    );
    assert!(!client.fetched.iter().any(|path| path.contains('a')), "{:?}", client.fetched);
}
