//! The transition of hash algorithms: every target listed with other digests, while uploads come, clients
//! follow, and processes are killed.

use std::fs;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::database::Batch;
use waxseal_repository::store::{Area, FilesystemStore, StoreKey};
use waxseal_repository::{
    Error, GcOptions, HashAlgorithms, Layout, Listing, Repository, SnapshotProcess, TargetChanges,
};
use waxseal_tuf::hash::{Digest, Hashes, Sha256, Sha512};
use waxseal_tuf::metadata::{Snapshot, Targets, Timestamp as TimestampFile, Unverified};
use waxseal_tuf::{RoleName, TargetPath};

use super::audit::{Client, audit_all, metadata};
use super::index::{Index, Kind, LIMIT, hours, send, start, upload};
use super::resume::{counted, fail_each, prove_whole, until_done};

const SHA256: HashAlgorithms = HashAlgorithms::Sha256;
const BOTH: HashAlgorithms = HashAlgorithms::Both;
const SHA512: HashAlgorithms = HashAlgorithms::Sha512;

type Opened = (Arc<Repository>, SnapshotProcess);

/// The transition of the PEP, and back.
const THERE_AND_BACK: [HashAlgorithms; 5] = [SHA256, BOTH, SHA512, BOTH, SHA256];

fn open(index: &Index, algorithms: HashAlgorithms) -> Result<Opened, Error> {
    let (repository, process) = index.open()?;
    Ok((repository, process.with_hash_algorithms(algorithms)?))
}

fn claims<T: waxseal_tuf::metadata::Role + Clone>(bytes: &[u8]) -> T {
    Unverified::<T>::parse(bytes).unwrap().claims().clone()
}

fn algorithms(hashes: &Hashes) -> Vec<&str> {
    hashes.iter().map(|(algorithm, _)| algorithm).collect()
}

/// Everything that is signed lists just these; answers how many targets.
fn prove_listed(repository: &Repository, wanted: HashAlgorithms) -> usize {
    let store = repository.store();
    let settled = Listing { settled: wanted, moving_to: None };
    assert_eq!(repository.database().listing().unwrap(), settled);
    let timestamp = store.read(&StoreKey::Timestamp, LIMIT).unwrap().unwrap();
    let snapshot = claims::<TimestampFile>(&timestamp).snapshot;
    assert_eq!(algorithms(&snapshot.hashes.unwrap()), wanted.names());
    let snapshot: Snapshot = claims(&metadata(store, snapshot.version, RoleName::SNAPSHOT));
    let mut count = 0;
    for (role, file) in snapshot.roles.iter() {
        if let Some(hashes) = &file.hashes {
            assert_eq!(algorithms(hashes), wanted.names(), "{role}");
        }
        let targets: Targets = claims(&metadata(store, file.version, role.as_str()));
        for (path, file) in &targets.targets {
            assert_eq!(algorithms(&file.hashes), wanted.names(), "{path}");
            count += 1;
        }
    }
    count
}

/// Goes through the states; a failure ends the process, and the next one goes on. Files come before each
/// change and while it waits. Answers how many crashes were looked at.
fn run(index: &Index) -> usize {
    drop(until_done(|| index.create()));
    let mut returning = Client::default();
    let mut crashes = 0;
    for (number, wanted) in (0..).zip(THERE_AND_BACK) {
        let mut now = hours(number);
        let mut opened = Some(until_done(|| open(index, wanted)));
        loop {
            let (repository, process) = opened.as_ref().unwrap();
            let attempt = || -> Result<(), Error> {
                let name = format!("flask-{number}-py3-none-any.whl");
                upload(repository, &name, name.as_bytes())?;
                process.publish_all(now)
            };
            let Err(error) = ({ attempt }()) else { break };
            assert!(error.to_string().contains("timed out"), "{error}");
            drop(opened.take());
            now += SignedDuration::from_mins(1);
            opened = Some(until_done(|| open(index, wanted)));
            crashes += 1;
            let (repository, _) = opened.as_ref().unwrap();
            if repository.store().read(&StoreKey::Timestamp, LIMIT).unwrap().is_some() {
                prove_whole(repository, now);
                returning.find_a_moment(repository, now);
                Client::default().find_a_moment(repository, now);
            }
        }
        let (repository, _) = opened.as_ref().unwrap();
        returning.audit(repository, now);
        audit_all(repository, now);
        prove_whole(repository, now);
        let files = 2 * usize::try_from(number + 1).unwrap();
        assert_eq!(prove_listed(repository, wanted), 4 + files);
    }
    crashes
}

#[test]
fn clients_follow_there_and_back() {
    for kind in Kind::EACH {
        let (index, faults) = counted(kind);
        assert_eq!(run(&index), 0);
        for method in ["record_listing", "record_hashed", "link", "reserve", "decide", "finish"] {
            assert!(faults.calls().contains(&method), "{method}");
        }
    }
}

#[test]
fn a_crash_at_any_write_is_resumed() {
    let (index, faults) = counted(Kind::Memory);
    assert_eq!(run(&index), 0);
    fail_each(Kind::Memory, &faults.calls(), run);
}

fn digests_in_names(repository: &Repository) -> Vec<&'static str> {
    let listed = repository.store().list(Area::Targets).unwrap();
    let mut found: Vec<_> = listed
        .map(|listed| match listed.unwrap().key {
            Some(StoreKey::Target { digest: Digest::Sha256(_), .. }) => "sha256",
            Some(StoreKey::Target { digest: Digest::Sha512(_), .. }) => "sha512",
            other => panic!("{other:?}"),
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn names_of_before_are_collected_after_the_grace_time() {
    for kind in Kind::EACH {
        let index = Index::new(kind);
        drop(index.create().unwrap());
        for wanted in [SHA256, BOTH, SHA512] {
            let (repository, process) = open(&index, wanted).unwrap();
            send(&repository, &format!("flask-{}.tar.gz", wanted.names().len()));
            process.publish_all(start()).unwrap();
        }
        let (repository, process) = open(&index, SHA512).unwrap();
        assert_eq!(digests_in_names(&repository), ["sha256", "sha512"]);
        // More snapshots, so that none that lists the others is among the last.
        for number in 0..4 {
            send(&repository, &format!("click-{number}.tar.gz"));
            process.publish_all(start()).unwrap();
        }
        let later = Timestamp::now() + SignedDuration::from_hours(2);
        repository.collect_garbage(&GcOptions::default(), later, &|_| {}).unwrap();
        assert_eq!(digests_in_names(&repository), ["sha512"]);
        audit_all(&repository, start());
        prove_whole(&repository, start());
    }
}

/// An index that is to list both, with an object of the store changed.
fn tampered(index: &Index) -> (Opened, Vec<u8>) {
    drop(index.create().unwrap());
    let (repository, process) = open(index, SHA256).unwrap();
    for file in ["flask-1.tar.gz", "click-1.tar.gz"] {
        send(&repository, file);
    }
    process.publish_all(start()).unwrap();
    drop((repository, process));
    let path = wheel(index);
    let before = fs::read(&path).unwrap();
    let other = before.iter().map(|byte| byte ^ 1).collect::<Vec<_>>();
    fs::write(&path, other).unwrap();
    (open_unwatched(index), before)
}

/// The store's watch of the tests stops at the first object that somebody changed.
fn open_unwatched(index: &Index) -> Opened {
    let store = FilesystemStore::open(index.path().join("store")).unwrap();
    let repository = Arc::new(Repository::open(Box::new(store), index.database()).unwrap());
    let process = index.process(&repository).unwrap().with_hash_algorithms(BOTH).unwrap();
    (repository, process)
}

fn wheel(index: &Index) -> std::path::PathBuf {
    let digest = Sha256::of(b"flask-1.tar.gz");
    index.path().join(format!("store/tuf/targets/packages/flask/{digest}.flask-1.tar.gz"))
}

#[test]
fn a_changed_object_is_named_and_nothing_is_listed_otherwise() {
    let index = Index::new(Kind::Filesystem);
    let ((repository, process), before) = tampered(&index);
    let role = RoleName::new(RoleName::SNAPSHOT).unwrap();
    let snapshot = || repository.database().role(&role).unwrap().unwrap().version;
    let was = snapshot();
    let error = process.publish_all(start()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::NotRelisted { count: 1, wanted: BOTH, .. }), "{text}");
    for part in ["packages/flask/flask-1.tar.gz was changed", "sha256 is", "restore it from"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(snapshot(), was);
    // Uploads go on meanwhile, with both digests.
    send(&repository, "idna-1.tar.gz");
    process.publish_all(start()).unwrap();
    let path = TargetPath::new("packages/idna/idna-1.tar.gz").unwrap();
    let target = repository.target(&path).unwrap().unwrap();
    assert_eq!(algorithms(&target.hashes), ["sha256", "sha512"]);
    assert_eq!(target.hashes.listed_sha512(), Some(Sha512::of(b"idna-1.tar.gz")));
    assert_eq!(repository.database().listing().unwrap().moving_to, Some(BOTH));

    drop((repository, process));
    fs::write(wheel(&index), before).unwrap();
    let (repository, process) = open_unwatched(&index);
    process.publish_all(start()).unwrap();
    prove_listed(&repository, BOTH);
    prove_whole(&repository, start());
}

/// What was hashed before a crash is not hashed again.
#[test]
fn what_was_hashed_is_kept() {
    let (index, faults) = counted(Kind::Memory);
    drop(index.create().unwrap());
    let (repository, process) = open(&index, SHA256).unwrap();
    for number in 0..20 {
        send(&repository, &format!("flask-{number}.tar.gz"));
    }
    process.publish_all(start()).unwrap();
    drop((repository, process));
    let hashes = |calls: &[&str]| calls.iter().filter(|call| **call == "record_hashed").count();
    let (repository, process) = open(&index, BOTH).unwrap();
    let begun = faults.calls().len();
    process.publish_all(start()).unwrap();
    assert!(hashes(&faults.calls()[begun..]) > 0);
    drop((repository, process));

    // The same, stopped where the first snapshot of it is reserved.
    let (index, faults) = counted(Kind::Memory);
    drop(index.create().unwrap());
    let (repository, process) = open(&index, SHA256).unwrap();
    for number in 0..20 {
        send(&repository, &format!("flask-{number}.tar.gz"));
    }
    process.publish_all(start()).unwrap();
    drop((repository, process));
    let (repository, process) = open(&index, BOTH).unwrap();
    faults.find_full("reserve");
    process.publish_all(start()).unwrap_err();
    assert!(matches!(repository.database().batch().unwrap(), None | Some(Batch::Reserved(_))));
    drop((repository, process));
    let begun = faults.calls().len();
    let (repository, process) = open(&index, BOTH).unwrap();
    process.publish_all(start()).unwrap();
    assert_eq!(hashes(&faults.calls()[begun..]), 0);
    prove_listed(&repository, BOTH);
}

#[test]
fn one_step_that_leaves_clients_behind_is_refused() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let error = process.with_hash_algorithms(SHA512).unwrap_err();
    assert!(matches!(error, Error::HashAlgorithmsJump { .. }), "{error}");
    assert!(error.to_string().contains("write [\"sha256\", \"sha512\"] first"), "{error}");
    drop(repository);
    let (_, process) = index.open().unwrap();
    let process = process.with_layout(Layout::Index).unwrap();
    let error = process.with_hash_algorithms(BOTH).unwrap_err();
    assert!(matches!(error, Error::HashAlgorithmsOfLayout { .. }), "{error}");
}

#[test]
fn a_new_index_begins_with_what_is_asked_for() {
    for wanted in [BOTH, SHA512] {
        let index = Index::new(Kind::Filesystem);
        let (repository, process) = index.create().unwrap();
        let process = process.with_hash_algorithms(wanted).unwrap();
        send(&repository, "flask-1.tar.gz");
        process.publish_all(start()).unwrap();
        assert_eq!(prove_listed(&repository, wanted), 5);
        audit_all(&repository, start());
        prove_whole(&repository, start());
    }
}

/// A target whose bytes are elsewhere cannot be hashed here.
#[test]
fn targets_that_are_elsewhere_have_to_come_with_the_digest() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let body = |hashes: &str| {
        format!(
            r#"{{"replace": true, "add": [{{"path": "other/a.whl", "length": 1, "hashes": {{{hashes}}}}}]}}"#
        )
    };
    let sha256 = format!(r#""sha256": "{}""#, Sha256::of(b"a"));
    let both = format!(r#"{sha256}, "sha512": "{}""#, Sha512::of(b"a"));
    let changes = TargetChanges::parse(body(&sha256).as_bytes()).unwrap();
    repository.accept_targets(changes, "robot".to_owned(), None).unwrap();
    process.publish_all(start()).unwrap();
    drop((repository, process));

    let (repository, process) = open(&index, BOTH).unwrap();
    let error = process.publish_all(start()).unwrap_err().to_string();
    assert!(error.contains("other/a.whl is not in this store, and lists no sha512"), "{error}");
    let wanted = repository.hash_algorithms();
    let refused = TargetChanges::parse_for(body(&sha256).as_bytes(), wanted).unwrap_err();
    assert!(format!("{refused:?}").contains("/add/0/hashes/sha512"), "{refused:?}");
    let changes = TargetChanges::parse_for(body(&both).as_bytes(), wanted).unwrap();
    repository.accept_targets(changes, "robot".to_owned(), None).unwrap();
    process.publish_all(start()).unwrap();
    drop((repository, process));

    for wanted in [BOTH, SHA512] {
        let (repository, process) = open(&index, wanted).unwrap();
        process.publish_all(start()).unwrap();
        prove_listed(&repository, wanted);
        prove_whole(&repository, start());
    }
}
