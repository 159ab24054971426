//! Nothing that clients need runs out while the snapshot process runs, and nothing is signed for
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::BinRow;
use waxseal_repository::store::MemoryStore;
use waxseal_repository::{Lifetimes, Published, Repository, SnapshotProcess, WriterLock};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::RoleName;
use waxseal_tuf::metadata::{Snapshot, Unverified};

use super::audit::{self, Client, audit_all};
use super::index::{Index, Kind, hours, minutes, send, start};

fn versions(repository: &Repository) -> BTreeMap<RoleName, u64> {
    let database = repository.database();
    let roles = database.roles().unwrap().into_iter().map(|role| (role.name, role.published));
    let role = |bin: BinRow| (repository.bins().role(bin.number), bin.published.unwrap().version);
    roles.chain(database.bins().unwrap().into_iter().map(role)).collect()
}

/// The roles that another version was signed of.
fn renewed(before: &BTreeMap<RoleName, u64>, after: &BTreeMap<RoleName, u64>) -> Vec<String> {
    let changed = after.iter().filter(|(role, version)| before.get(*role) != Some(*version));
    changed.map(|(role, _)| role.to_string()).collect()
}

fn first_to_expire(repository: &Repository) -> Timestamp {
    let database = repository.database();
    let roles = database.roles().unwrap().into_iter().map(|role| role.expires);
    let bins = database.bins().unwrap().into_iter().map(|bin| bin.published.unwrap().expires);
    roles.chain(bins).min().unwrap()
}

#[test]
fn nothing_to_do_is_nothing_done() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let calls = index.store.calls().len();
    for hour in 0..=8 {
        assert_eq!(process.publish(hours(hour)).unwrap(), None, "after {hour} hours");
    }
    assert_eq!(index.store.calls().len(), calls);
    audit_all(&repository, hours(8));
}

#[test]
fn snapshot_and_timestamp_are_signed_again_at_half_of_their_life() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    drop(process);
    let bin_n = SignedDuration::from_hours(1_000);
    let lifetimes = Lifetimes { bin_n, ..Lifetimes::default() };
    let (online, lock) = (Box::new(TestKey::new("online")), index.lock_path());
    let lock = WriterLock::acquire(&lock).unwrap();
    let process = SnapshotProcess::new(repository.clone(), online, lifetimes, lock).unwrap();
    process.publish_all(start()).unwrap();
    for half_life in 1..5 {
        let before = versions(&repository);
        assert_eq!(process.publish(minutes(half_life * 721 - 1)).unwrap(), None);
        process.publish_all(minutes(half_life * 721)).unwrap();
        assert_eq!(renewed(&before, &versions(&repository)), ["snapshot", "timestamp"]);
        audit_all(&repository, minutes(half_life * 721));
    }
}

#[test]
fn bins_are_renewed_each_at_its_time_and_never_expire() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    let mut returning = Client::default();
    let mut at_once = Vec::new();
    let mut published = 0;
    for half_hour in 1..=4 * 48 {
        let now = minutes(30 * half_hour);
        assert!(first_to_expire(&repository) > now, "something expired before {now}");
        let before = versions(&repository);
        if process.publish(now).unwrap().is_some() {
            published += 1;
        }
        assert_eq!(process.publish(now).unwrap(), None, "at {now}");
        let after = versions(&repository);
        let bins = renewed(&before, &after).iter().filter(|role| role.starts_with("bin-")).count();
        at_once.push(bins);
        returning.audit(&repository, now);
    }
    assert!(*at_once.iter().max().unwrap() <= 2, "a storm of renewals: {at_once:?}");
    // In four days each of the 8 bins is signed again four to twelve times, not at every look.
    let total: usize = at_once.iter().sum();
    assert!((4 * 8..=12 * 8).contains(&total), "{total}");
    assert!(published <= total + 8, "{published}");
    audit_all(&repository, hours(96));
}

#[test]
fn after_downtime_everything_is_signed_again_and_what_waited_is_published() {
    for kind in Kind::EACH {
        let (index, repository, process) = Index::published(kind);
        send(&repository, "flask-3.0.tar.gz");
        process.publish_all(hours(1)).unwrap();
        let mut returning = Client::default();
        returning.audit(&repository, hours(2));
        drop((repository, process));

        // Web processes ran on.
        let repository = index.open_repository().unwrap();
        send(&repository, "flask-3.1.tar.gz");
        drop(repository);

        let later = hours(3 * 24);
        let (repository, process) = index.open().unwrap();
        let before = versions(&repository);
        assert!(first_to_expire(&repository) < later);
        process.publish_all(later).unwrap();
        assert!(first_to_expire(&repository) > later);
        let renewed = renewed(&before, &versions(&repository));
        assert_eq!(renewed.len(), 8 + 2, "{renewed:?}");
        returning.audit(&repository, later);
        audit_all(&repository, later);
    }
}

#[test]
fn an_expired_batch_that_was_staged_is_replaced_at_once() {
    let (index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-3.0.tar.gz");
    index.store.fail_next(1, waxseal_testkit::faulty_store::Fault::Nothing);
    process.publish(hours(1)).unwrap_err();
    drop((repository, process));
    let (repository, process) = index.open().unwrap();
    let later = hours(24 * 10);
    process.publish_all(later).unwrap();
    audit_all(&repository, later);
}

#[test]
fn renewals_come_with_uploads_in_one_snapshot() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    send(&repository, "flask-3.0.tar.gz");
    let published = process.publish(hours(24 * 2)).unwrap();
    assert_eq!(published, Some(Published { snapshot: 2, serial: 1 }));
    assert_eq!(process.publish(hours(24 * 2)).unwrap(), None);
    audit_all(&repository, hours(24 * 2));
    assert!(hours(24 * 2) < first_to_expire(&repository));
}

/// More bins than are renewed at once: the first snapshot has them all nevertheless.
#[test]
fn many_bins_are_there_from_the_first_snapshot_and_are_all_renewed_after_downtime() {
    let bins = Bins::new(8_192, BinStyle::Succinct).unwrap();
    let index = Index::with_bins(Kind::Memory, bins);
    let database = index.database();
    let store = Box::new(MemoryStore::new());
    let repository = Arc::new(Repository::create(store, database, &index.ceremony()).unwrap());
    let process = index.process(&repository).unwrap();
    process.publish(start()).unwrap();
    let bytes = audit::metadata(repository.store(), 1, "snapshot");
    let snapshot = Unverified::<Snapshot>::parse(&bytes).unwrap();
    assert_eq!(snapshot.claims().roles.len(), 2 + 8_192);
    assert_eq!(process.publish(start()).unwrap(), None);

    // Towards the end of their life a part of them in each batch, so that uploads need not wait.
    let before = versions(&repository);
    process.publish(hours(17)).unwrap().unwrap();
    let some = renewed(&before, &versions(&repository)).len();
    assert!((100..1_000).contains(&some), "{some}");
    process.publish_all(hours(17)).unwrap();
    assert!(first_to_expire(&repository) > hours(25));

    // What has expired is of no use to anyone: all of it is in the first snapshot.
    let later = hours(5 * 24);
    let before = versions(&repository);
    process.publish(later).unwrap().unwrap();
    assert_eq!(renewed(&before, &versions(&repository)).len(), 8_192 + 2);
    assert!(first_to_expire(&repository) > later);
    assert_eq!(process.publish(later).unwrap(), None);
}

/// For a moment the clock was three days ahead, and everything was signed at that time.
#[test]
fn a_clock_that_goes_back_leaves_no_bin_to_expire() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    process.publish_all(hours(72)).unwrap();
    // Right again: what is signed now expires long before the rest.
    send(&repository, "flask-3.0.tar.gz");
    process.publish_all(hours(1)).unwrap();
    assert_eq!(first_to_expire(&repository), hours(25));
    process.publish_all(hours(20)).unwrap();
    assert!(first_to_expire(&repository) > hours(30), "{}", first_to_expire(&repository));
    audit_all(&repository, hours(26));
}
