//! The log of the online key's use, on every database.

use waxseal_repository::Error;
use waxseal_repository::database::{Database, Epoch};
use waxseal_repository::key_use::{Head, KeyUse, Logged, SignedValue, UseKind};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{KeyId, RoleName};

use super::{Place, decision, publish, reservation, time};

pub(super) fn record(version: u64) -> KeyUse {
    let value = SignedValue {
        role: RoleName::new("bin-1").unwrap(),
        version,
        sha256: Sha256::of(b"signed"),
    };
    KeyUse {
        kind: UseKind::Batch,
        time: time(3),
        keyid: KeyId::new("online"),
        snapshot: version,
        published: version - 1,
        after: 0,
        serial: 9,
        signed: vec![value],
    }
}

/// The whole log, and that it is one chain.
pub(super) fn log(database: &dyn Database) -> Vec<KeyUse> {
    let (mut head, mut records) = (None, Vec::new());
    loop {
        let page = database.key_uses(head.map_or(0, |head: Head| head.number)).unwrap();
        if page.is_empty() {
            assert_eq!(database.key_use_head().unwrap(), head);
            return records;
        }
        for Logged { head: logged, record } in page {
            assert_eq!(logged, Head::after(head, &record));
            head = Some(logged);
            records.push(KeyUse::decode(&record).unwrap());
        }
    }
}

pub(super) fn a_use_is_logged_with_the_versions_it_uses_or_not_at_all(place: &Place) {
    let database = place.open();
    assert_eq!(database.key_use_head().unwrap(), None);
    assert_eq!(log(&*database), []);
    let stale = database.take_over().unwrap();
    let epoch = database.take_over().unwrap();
    let fenced = |answer: Result<_, Error>| {
        assert!(matches!(answer, Err(Error::Fenced { .. })), "{answer:?}");
    };
    fenced(database.reserve(stale, &reservation(1), &[record(1)]));
    fenced(database.log_key_use(stale, 1, &[record(1)]));
    assert_eq!(log(&*database), []);

    let two = [record(1), record(2)];
    let head = database.reserve(epoch, &reservation(1), &two).unwrap().unwrap();
    assert_eq!(head.number, 2);
    // Refused: one is reserved.
    let refused = database.reserve(epoch, &reservation(2), &[record(3)]);
    assert!(matches!(refused, Err(Error::AlreadyReserved { .. })));
    assert_eq!(log(&*database), two);

    let head = database.log_key_use(epoch, 1, &[record(3)]).unwrap().unwrap();
    assert_eq!(head.number, 3);
    for database in [place.open(), place.copy().open()] {
        assert_eq!(log(&*database), [record(1), record(2), record(3)]);
        assert_eq!(database.key_use_head().unwrap(), Some(head));
    }
    // Nothing to log is fine, and changes nothing.
    assert_eq!(database.log_key_use(epoch, 1, &[]).unwrap(), Some(head));
    database.abandon(epoch).unwrap();
    assert_eq!(log(&*database).len(), 3, "what is abandoned was signed all the same");
}

pub(super) fn a_use_is_logged_of_the_reserved_batch_alone(place: &Place) {
    let database = place.open();
    let epoch = database.take_over().unwrap();
    let not_reserved = |snapshot| {
        let answer = database.log_key_use(epoch, snapshot, &[record(1)]);
        assert!(matches!(answer, Err(Error::NotReserved { .. })), "{answer:?}");
        assert_eq!(log(&*database), []);
    };
    not_reserved(1);
    database.reserve(epoch, &reservation(1), &[]).unwrap();
    not_reserved(2);
    database.decide(epoch, &super::change(1), &decision(1)).unwrap();
    not_reserved(1);
    database.finish(epoch, &decision(1), time(7)).unwrap();
    not_reserved(1);
}

/// Large records come a few at a time.
pub(super) fn a_long_log_is_read_in_parts(place: &Place) {
    let database = place.open();
    let epoch: Epoch = database.take_over().unwrap();
    publish(&*database, epoch, 1);
    database.reserve(epoch, &reservation(4), &[]).unwrap();
    let large = |version| {
        let one = record(version);
        KeyUse { signed: vec![one.signed[0].clone(); 40_000], ..one }
    };
    let records: Vec<_> = (2..8).map(large).collect();
    database.log_key_use(epoch, 4, &records).unwrap();
    let first = database.key_uses(0).unwrap();
    assert!((1..6).contains(&first.len()), "{}", first.len());
    assert_eq!(log(&*database), records);
    assert_eq!(database.key_uses(6).unwrap(), []);
}
