//! What the snapshot process refuses to write to.

use std::path::Path;
use std::sync::Arc;

use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::{Ceremony, ChangeError, NewDelegations};
use waxseal_repository::database::SqliteDatabase;
use waxseal_repository::store::{MemoryStore, Object, StoreKey};
use waxseal_repository::{Error, Repository, StoreError, WriterLock};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::metadata::{Timestamp, Unverified, sign};

use super::audit::audit_all;
use super::index::{Index, Kind, ceremony, hours, send, start};
use waxseal_testkit::faulty_store::{Fault, contents};

/// The database as it is, and a way back to it.
fn backup(index: &Index) -> Vec<u8> {
    let connection = rusqlite::Connection::open(index.database_path()).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    std::fs::read(index.database_path()).unwrap()
}

fn restore(database: &Path, bytes: &[u8]) {
    for suffix in ["-wal", "-shm"] {
        let mut beside = database.as_os_str().to_owned();
        beside.push(suffix);
        let _ = std::fs::remove_file(beside);
    }
    std::fs::write(database, bytes).unwrap();
}

fn ages(index: &Index) -> (u64, u64) {
    match index.open_repository() {
        Err(Error::DifferentAge { stored, recorded }) => (stored, recorded),
        other => panic!("opened: {other:?}"),
    }
}

#[test]
fn an_older_database_is_refused_with_both_versions() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        let first = backup(&index);
        send(&repository, "flask-1.tar.gz");
        process.publish_all(start()).unwrap();
        let second = backup(&index);
        send(&repository, "flask-2.tar.gz");
        process.publish_all(start()).unwrap();
        drop((repository, process));
        let before = contents(&index.store);

        restore(&index.database_path(), &first);
        assert_eq!(ages(&index), (3, 1));
        restore(&index.database_path(), &second);
        assert_eq!(ages(&index), (3, 2));
        let text = index.open_repository().unwrap_err().to_string();
        assert!(text.contains("version 3") && text.contains("version 2"), "{text}");
        std::fs::remove_file(index.database_path()).unwrap();
        assert_eq!(ages(&index), (3, 0));
        assert_eq!(contents(&index.store), before);
    }
}

#[test]
fn an_older_or_lost_store_is_refused_also_if_it_is_one_version_old() {
    let (index, repository, process) = Index::published(Kind::Memory);
    index.store.reopened(Arc::new(MemoryStore::new()));
    drop((repository, process));
    assert_eq!(ages(&index), (0, 1));

    let (index, repository, process) = Index::published(Kind::Filesystem);
    let timestamp = index.path().join("store").join(StoreKey::Timestamp.path());
    let first = std::fs::read(&timestamp).unwrap();
    send(&repository, "flask-1.tar.gz");
    process.publish_all(start()).unwrap();
    drop((repository, process));
    std::fs::write(&timestamp, &first).unwrap();
    assert_eq!(ages(&index), (1, 2));
    std::fs::remove_file(&timestamp).unwrap();
    assert_eq!(ages(&index), (0, 2));
}

#[test]
fn a_store_without_its_staged_snapshot_is_of_the_same_age() {
    for fault in [Fault::Nothing, Fault::All] {
        let (index, repository, process) = Index::published(Kind::Filesystem);
        send(&repository, "flask-1.tar.gz");
        // create, link, replace_timestamp
        index.store.fail(index.store.calls().len() + 2, 1, fault);
        process.publish(start()).unwrap_err();
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
    }
}

/// Web processes start at any moment, also in the middle of a publication.
#[test]
fn a_repository_can_be_opened_while_it_is_published() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let (store, path) = (index.store.clone(), index.database_path());
    index.store.set_hook(Some(Box::new(move |moment| {
        let database = SqliteDatabase::open(&path).unwrap();
        let opened = Repository::open(Box::new(store.clone()), Box::new(database));
        opened.unwrap_or_else(|error| panic!("{moment}: {error}"));
    })));
    for hour in 1..4 {
        send(&repository, &format!("flask-{hour}.tar.gz"));
        process.publish_all(hours(hour)).unwrap();
    }
    index.store.set_hook(None);
}

#[test]
fn a_second_writer_is_refused() {
    let (index, _repository, process) = Index::published(Kind::Memory);
    let refused = WriterLock::acquire(&index.lock_path()).unwrap_err();
    assert!(matches!(refused, Error::SecondWriter { .. }), "{refused}");
    let holder = format!("process {} (", std::process::id());
    let text = refused.to_string();
    assert!(text.starts_with(&holder) && text.contains("writer.lock"), "{text}");
    drop(process);
    WriterLock::acquire(&index.lock_path()).unwrap();
    let nowhere = WriterLock::acquire(&index.path().join("no/writer.lock")).unwrap_err();
    assert!(matches!(nowhere, Error::WriterLock { .. }), "{nowhere}");
}

#[test]
fn a_snapshot_of_another_writer_is_not_overwritten() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-1.tar.gz");
    let other = index.store.unwatched();
    let current = repository.store().read(&StoreKey::Timestamp, 9999).unwrap().unwrap();
    let expected = Some(waxseal_tuf::hash::Sha256::of(&current));
    // The other one was a moment earlier with the next version.
    let mut timestamp = Unverified::<Timestamp>::parse(&current).unwrap().claims().clone();
    timestamp.version += 1;
    let theirs = sign(&timestamp, &[&TestKey::new("online")]).unwrap();
    let mut done = false;
    index.store.set_hook(Some(Box::new(move |moment| {
        if moment == "after link" && !std::mem::replace(&mut done, true) {
            other.replace_timestamp(expected, &theirs).unwrap();
        }
    })));
    let refused = process.publish(start()).unwrap_err();
    assert!(matches!(&refused, Error::Store(StoreError::Changed { .. })), "{refused}");
    assert!(refused.to_string().contains("another snapshot process"), "{refused}");
    assert_eq!(*repository.published().borrow(), 0);
}

#[test]
fn another_online_key_is_refused() {
    let (index, repository, process) = Index::published(Kind::Memory);
    drop(process);
    for other in ["root-a", "bins-a", "another"] {
        let refused = index.process_with(&repository, Box::new(TestKey::new(other))).unwrap_err();
        let keyid = TestKey::new(other).keyid().to_string();
        assert!(matches!(&refused, Error::WrongOnlineKey { here, .. } if *here == keyid));
    }
    index.process(&repository).unwrap();
}

#[test]
fn a_repository_without_bins_is_refused() {
    let (index, repository, process) = Index::published(Kind::Memory);
    drop(process);
    repository.store().remove(&[super::metadata(1, "bins")]).unwrap();
    let refused = index.process(&repository).unwrap_err();
    assert!(matches!(refused, Error::NotARepository { .. }), "{refused}");
    assert!(refused.to_string().contains("`bins` is missing"), "{refused}");

    // A folder where no ceremony was held.
    let empty = Index::new(Kind::Filesystem);
    let refused = empty.open().unwrap_err();
    assert!(matches!(refused, Error::NotARepository { .. }), "{refused}");
}

#[test]
fn bins_that_this_program_did_not_make_are_refused() {
    let index = Index::new(Kind::Memory);
    let made = index.ceremony();
    // `targets` delegates to one role, which is no power of two of bins.
    let new = made.delegations.unwrap();
    for bins in [new.targets.clone(), b"{}".to_vec()] {
        let store = Box::new(MemoryStore::new());
        let targets = new.targets.clone();
        let roots = made.roots.clone();
        let strange = Ceremony { roots, delegations: Some(NewDelegations { targets, bins }) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waxseal.sqlite");
        let database = SqliteDatabase::open(path).unwrap();
        let refused = match Repository::create(store, Box::new(database), &strange) {
            Ok(repository) => index.process(&Arc::new(repository)).unwrap_err(),
            Err(refused) => refused,
        };
        assert!(matches!(refused, Error::Change(ChangeError::Refused(_))), "{refused}");
    }
}

#[test]
fn a_second_ceremony_cannot_replace_the_first() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    drop((repository, process));
    let before = contents(&index.store);
    // The same one again is fine.
    drop(index.create().unwrap());
    let other = ceremony(Bins::new(16, BinStyle::Succinct).unwrap());
    let refused = Repository::create(Box::new(index.store.clone()), index.database(), &other);
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Store(StoreError::Exists { .. })), "{refused}");
    assert_eq!(contents(&index.store), before);
}

/// Versions come from the database. What a careless copy or an older run left beside them is not looked at,
/// as a program would that takes the highest number it finds.
#[test]
fn a_higher_version_that_lies_in_the_store_is_not_taken_for_the_newest() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        send(&repository, "flask-1.tar.gz");
        process.publish_all(start()).unwrap();
        for role in ["snapshot", "bin-0", "bins", "targets"] {
            let key = super::metadata(99, role);
            repository.store().create(&[Object { key: &key, bytes: b"{}" }]).unwrap();
        }
        send(&repository, "flask-2.tar.gz");
        let published = process.publish(start()).unwrap().unwrap();
        assert_eq!((published.snapshot, published.serial), (3, 2));
        drop((repository, process));
        let (repository, process) = index.open().unwrap();
        send(&repository, "flask-3.tar.gz");
        process.publish_all(hours(30)).unwrap();
        audit_all(&repository, hours(30));
    }
}
