//! One suite for every store. A new store is one more line at the end.

use std::collections::BTreeSet;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Barrier;
use std::thread;

use waxseal_repository::StoreError;
use waxseal_repository::store::{
    Area, FilesystemStore, Link, Listed, MemoryStore, Object, Store, StoreKey,
};
use waxseal_tuf::hash::Sha256;

use super::{file, metadata, target};

const LIMIT: u64 = 1 << 20;

fn create(store: &dyn Store, key: &StoreKey, bytes: &[u8]) -> Result<(), StoreError> {
    store.create(&[Object { key, bytes }])
}

fn create_from_file(store: &dyn Store, key: &StoreKey, bytes: &[u8]) -> Result<(), StoreError> {
    let mut spooled = store.spool().unwrap();
    spooled.write_all(bytes).unwrap();
    store.create_from_file(key, spooled, &[])
}

fn content(store: &dyn Store, key: &StoreKey) -> Option<Vec<u8>> {
    store.read(key, LIMIT).unwrap()
}

fn listed(store: &dyn Store, area: Area) -> BTreeSet<(String, u64)> {
    let all: Vec<Listed> = store.list(area).unwrap().map(Result::unwrap).collect();
    for one in &all {
        assert_eq!(one.key.as_ref().map(StoreKey::path), Some(one.path.clone()));
    }
    let set: BTreeSet<_> = all.iter().map(|one| (one.path.clone(), one.length)).collect();
    assert_eq!(set.len(), all.len(), "something is listed twice");
    set
}

fn what_is_created_is_read_back(store: &dyn Store) {
    let (root, wheel) = (metadata(1, "root"), target("packages/a/a-1.whl", b"wheel"));
    assert_eq!(content(store, &root), None);
    assert!(store.open(&wheel).unwrap().is_none());
    store
        .create(&[Object { key: &root, bytes: b"{}" }, Object { key: &wheel, bytes: b"wheel" }])
        .unwrap();
    assert_eq!(content(store, &root).unwrap(), b"{}");
    assert_eq!(content(store, &wheel).unwrap(), b"wheel");
    store.create(&[]).unwrap();
    store.link(&[]).unwrap();
    store.remove(&[]).unwrap();
}

fn empty_objects_are_objects(store: &dyn Store) {
    let key = file("packages/a/empty");
    create(store, &key, b"").unwrap();
    assert_eq!(content(store, &key).unwrap(), b"");
    assert_eq!(store.open(&key).unwrap().unwrap().length, 0);
    assert!(matches!(create(store, &key, b"x"), Err(StoreError::Exists { .. })));
}

fn the_same_bytes_again_are_fine(store: &dyn Store) {
    let key = file("packages/a/a-1.whl");
    for _ in 0..2 {
        create(store, &key, b"wheel").unwrap();
        create_from_file(store, &key, b"wheel").unwrap();
    }
    assert_eq!(content(store, &key).unwrap(), b"wheel");
}

fn other_bytes_are_refused_and_change_nothing(store: &dyn Store) {
    let key = file("packages/a/a-1.whl");
    create(store, &key, b"wheel").unwrap();
    // Of the same length, shorter, longer, and nothing.
    for other in [&b"wheeL"[..], b"whee", b"wheel ", b""] {
        for refused in [create(store, &key, other), create_from_file(store, &key, other)] {
            assert!(matches!(refused, Err(StoreError::Exists { key: named }) if named == key));
        }
    }
    assert_eq!(content(store, &key).unwrap(), b"wheel");
    assert_eq!(listed(store, Area::Files).len(), 1);
}

fn a_batch_that_contradicts_itself_is_refused(store: &dyn Store) {
    let key = metadata(4, "bin-0a");
    let batch = [Object { key: &key, bytes: b"one" }, Object { key: &key, bytes: b"two" }];
    assert!(matches!(store.create(&batch), Err(StoreError::Exists { .. })));
    assert!(matches!(content(store, &key).as_deref(), None | Some(b"one" | b"two")));
}

fn a_refused_batch_can_be_completed(store: &dyn Store) {
    let keys: Vec<_> = (1..=40).map(|version| metadata(version, "bins")).collect();
    create(store, &keys[20], b"in the way").unwrap();
    let batch: Vec<_> = keys.iter().map(|key| Object { key, bytes: b"new" }).collect();
    assert!(matches!(store.create(&batch), Err(StoreError::Exists { key }) if key == keys[20]));
    for key in &keys {
        assert!(matches!(content(store, key).as_deref(), None | Some(b"new" | b"in the way")));
    }
    store.remove(&keys[20..=20]).unwrap();
    store.create(&batch).unwrap();
    assert!(keys.iter().all(|key| content(store, key).unwrap() == b"new"));
}

fn large_batches_are_whole(store: &dyn Store) {
    // More objects than a process may usually have open files.
    let objects: Vec<_> = (0..1500_u32)
        .map(|n| (metadata(2, &format!("bin-{n:04x}")), n.to_string().into_bytes()))
        .collect();
    let batch: Vec<_> = objects.iter().map(|(key, bytes)| Object { key, bytes }).collect();
    store.create(&batch).unwrap();
    store.create(&batch).unwrap();
    assert!(objects.iter().all(|(key, bytes)| content(store, key).as_ref() == Some(bytes)));
    assert_eq!(listed(store, Area::Metadata).len(), 1500);
}

fn objects_that_come_one_by_one_are_there_when_all_are(store: &dyn Store) {
    for count in [0_u32, 1, 5, 1500] {
        let objects: Vec<_> = (0..count)
            .map(|n| (metadata(u64::from(count), &format!("bin-{n:04x}")), n.to_string()))
            .collect();
        let creation = store.begin().unwrap();
        thread::scope(|scope| {
            for part in objects.chunks(200) {
                let creation = &creation;
                scope.spawn(move || {
                    for (key, bytes) in part {
                        creation.add(key, bytes.as_bytes()).unwrap();
                    }
                });
            }
        });
        assert!(objects.iter().all(|(key, _)| content(store, key).is_none()));
        creation.finish().unwrap();
        for (key, bytes) in &objects {
            assert_eq!(content(store, key).unwrap(), bytes.as_bytes());
        }
    }
}

fn objects_that_come_one_by_one_are_create_only(store: &dyn Store) {
    let (taken, new) = (metadata(1, "bins"), metadata(2, "bins"));
    create(store, &taken, b"one").unwrap();
    let creation = store.begin().unwrap();
    creation.add(&new, b"new").unwrap();
    creation.add(&taken, b"two").unwrap();
    assert!(matches!(creation.finish(), Err(StoreError::Exists { key }) if key == taken));
    assert_eq!(content(store, &taken).unwrap(), b"one");
    assert!(matches!(content(store, &new).as_deref(), None | Some(b"new")));

    let creation = store.begin().unwrap();
    let added = creation.add(&StoreKey::Timestamp, b"{}");
    let finished = added.and_then(|()| creation.finish());
    assert!(matches!(finished, Err(StoreError::Refused { .. })));
    assert_eq!(content(store, &StoreKey::Timestamp), None);
}

fn objects_that_are_given_up_leave_nothing(store: &dyn Store) {
    let creation = store.begin().unwrap();
    for version in 1..=10 {
        creation.add(&metadata(version, "bins"), b"{}").unwrap();
    }
    drop(creation);
    assert_eq!(listed(store, Area::Metadata), BTreeSet::new());
}

fn uploads_are_taken_from_their_beginning(store: &dyn Store) {
    let key = target("packages/a/a-1.tar.gz", b"0123456789");
    let mut spooled = store.spool().unwrap();
    let path = spooled.path().to_owned();
    spooled.write_all(b"0123456789").unwrap();
    spooled.seek(SeekFrom::Start(5)).unwrap();
    store.create_from_file(&key, spooled, &[]).unwrap();
    assert_eq!(content(store, &key).unwrap(), b"0123456789");
    assert!(!path.exists(), "the temporary file is still there");
}

fn objects_beside_an_upload_are_created_with_it(store: &dyn Store) {
    let (key, beside) = (file("packages/a/a-1.whl"), file("packages/a/a-1.whl.metadata"));
    let upload = |bytes: &[u8], metadata: &[u8]| {
        let mut spooled = store.spool().unwrap();
        spooled.write_all(bytes).unwrap();
        store.create_from_file(&key, spooled, &[Object { key: &beside, bytes: metadata }])
    };
    for _ in 0..2 {
        upload(b"wheel", b"metadata").unwrap();
        assert_eq!(content(store, &key).unwrap(), b"wheel");
        assert_eq!(content(store, &beside).unwrap(), b"metadata");
    }
    assert!(matches!(upload(b"other", b"metadata"), Err(StoreError::Exists { .. })));
    assert!(matches!(upload(b"wheel", b"other"), Err(StoreError::Exists { .. })));
    assert_eq!(content(store, &key).unwrap(), b"wheel");
    assert_eq!(content(store, &beside).unwrap(), b"metadata");
    let timestamp = Object { key: &StoreKey::Timestamp, bytes: b"t" };
    let refused = store.create_from_file(&key, store.spool().unwrap(), &[timestamp]);
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
}

fn many_uploads_at_once_are_all_there(store: &dyn Store) {
    let upload = |number: u32| {
        let key = |end| file(&format!("packages/p{}/p-{number}.whl{end}", number % 3));
        let mut spooled = store.spool().unwrap();
        spooled.write_all(&number.to_le_bytes()).unwrap();
        let beside = [Object { key: &key(".metadata"), bytes: b"metadata" }];
        store.create_from_file(&key(""), spooled, &beside).unwrap();
        assert_eq!(content(store, &key("")).unwrap(), number.to_le_bytes());
        assert_eq!(content(store, &key(".metadata")).unwrap(), b"metadata");
    };
    let begin = Barrier::new(16);
    thread::scope(|scope| {
        for client in 0..16 {
            let (begin, upload) = (&begin, &upload);
            scope.spawn(move || {
                begin.wait();
                (client * 5..client * 5 + 5).for_each(upload);
            });
        }
    });
    assert_eq!(listed(store, Area::Files).len(), 160);
}

fn a_dropped_upload_leaves_nothing(store: &dyn Store) {
    let mut spooled = store.spool().unwrap();
    spooled.write_all(b"half").unwrap();
    let path = spooled.path().to_owned();
    drop(spooled);
    assert!(!path.exists());
    assert_eq!(listed(store, Area::Files), BTreeSet::new());
}

fn links_are_names_of_the_same_bytes(store: &dyn Store) {
    let from = target("packages/a/a-1.whl", b"wheel");
    let to = file("packages/a/a-1.whl");
    let link = [Link { from: from.clone(), to: to.clone() }];
    assert!(matches!(store.link(&link), Err(StoreError::Missing { key }) if key == from));
    assert_eq!(content(store, &to), None);

    create(store, &from, b"wheel").unwrap();
    store.link(&link).unwrap();
    store.link(&link).unwrap();
    assert_eq!(content(store, &to).unwrap(), b"wheel");

    store.remove(&[from]).unwrap();
    assert_eq!(content(store, &to).unwrap(), b"wheel");
}

fn links_are_create_only(store: &dyn Store) {
    let one = target("a", b"one");
    let two = target("b", b"two");
    let to = file("a");
    create(store, &one, b"one").unwrap();
    create(store, &two, b"two").unwrap();
    create(store, &to, b"one").unwrap();
    store.link(&[Link { from: one, to: to.clone() }]).unwrap();
    let refused = store.link(&[Link { from: two, to: to.clone() }]);
    assert!(matches!(refused, Err(StoreError::Exists { key }) if key == to));
    assert_eq!(content(store, &to).unwrap(), b"one");
}

fn the_timestamp_has_its_own_operation(store: &dyn Store) {
    let wheel = target("a", b"one");
    create(store, &wheel, b"one").unwrap();
    let to_timestamp = [Link { from: wheel, to: StoreKey::Timestamp }];
    for refused in [
        create(store, &StoreKey::Timestamp, b"t"),
        create_from_file(store, &StoreKey::Timestamp, b"t"),
        store.link(&to_timestamp),
    ] {
        assert!(matches!(refused, Err(StoreError::Refused { key: StoreKey::Timestamp, .. })));
    }
    assert_eq!(content(store, &StoreKey::Timestamp), None);
}

fn the_timestamp_is_compared_and_swapped(store: &dyn Store) {
    let (one, two) = (Sha256::of(b"one"), Sha256::of(b"two"));
    let early = store.replace_timestamp(Some(one), b"two");
    let expected = Some(one);
    assert!(
        matches!(early, Err(StoreError::Changed { expected: e, found: None }) if e == expected)
    );
    assert_eq!(content(store, &StoreKey::Timestamp), None);

    store.replace_timestamp(None, b"one").unwrap();
    let blind = store.replace_timestamp(None, b"two");
    assert!(
        matches!(blind, Err(StoreError::Changed { expected: None, found }) if found == expected)
    );
    assert_eq!(content(store, &StoreKey::Timestamp).unwrap(), b"one");

    store.replace_timestamp(Some(one), b"two").unwrap();
    let late = store.replace_timestamp(Some(one), b"three");
    assert!(matches!(late, Err(StoreError::Changed { found, .. }) if found == Some(two)));
    assert_eq!(content(store, &StoreKey::Timestamp).unwrap(), b"two");
    // Repeated after a crash that hid the success.
    store.replace_timestamp(Some(one), b"two").unwrap();
    store.replace_timestamp(None, b"two").unwrap();
    assert_eq!(listed(store, Area::Metadata), BTreeSet::from([(StoreKey::Timestamp.path(), 3)]));
}

fn reads_are_limited(store: &dyn Store) {
    let key = metadata(1, "snapshot");
    create(store, &key, b"12345").unwrap();
    assert_eq!(store.read(&key, 5).unwrap().unwrap(), b"12345");
    let refused = store.read(&key, 4);
    assert!(matches!(refused, Err(StoreError::TooLarge { length: 5, limit: 4, .. })));
}

fn open_objects_can_be_read_in_parts(store: &dyn Store) {
    let key = file("packages/a/a-1.whl");
    create(store, &key, b"0123456789").unwrap();
    let mut open = store.open(&key).unwrap().unwrap();
    assert_eq!(open.length, 10);
    let mut rest = String::new();
    open.reader.seek(SeekFrom::Start(7)).unwrap();
    open.reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "789");
}

fn an_open_object_outlives_its_removal(store: &dyn Store) {
    let key = file("packages/a/a-1.whl");
    create(store, &key, b"0123456789").unwrap();
    let mut open = store.open(&key).unwrap().unwrap();
    store.remove(std::slice::from_ref(&key)).unwrap();
    let mut all = String::new();
    open.reader.read_to_string(&mut all).unwrap();
    assert_eq!((all.as_str(), content(store, &key)), ("0123456789", None));
}

fn folders_are_no_objects(store: &dyn Store) {
    create(store, &file("packages/a/a-1.whl"), b"wheel").unwrap();
    assert_eq!(content(store, &file("packages")), None);
    assert_eq!(content(store, &file("packages/a/a-1.whl/x")), None);
    store.remove(&[file("packages/a/a-1.whl/x")]).unwrap();
}

fn what_clients_need_is_never_removed(store: &dyn Store) {
    let (root, bin) = (metadata(1, "root"), metadata(1, "bin-00"));
    create(store, &root, b"root").unwrap();
    create(store, &bin, b"bin").unwrap();
    store.replace_timestamp(None, b"t").unwrap();
    for kept in [&root, &StoreKey::Timestamp] {
        let refused = store.remove(&[bin.clone(), kept.clone()]);
        assert!(matches!(refused, Err(StoreError::Refused { key, .. }) if key == *kept));
    }
    assert_eq!(content(store, &root).unwrap(), b"root");
    assert_eq!(content(store, &bin).unwrap(), b"bin");
    store.remove(&[bin.clone(), bin.clone(), metadata(9, "bin-00")]).unwrap();
    assert_eq!(content(store, &bin), None);
}

fn lists_are_complete_by_area(store: &dyn Store) {
    for area in [Area::Metadata, Area::Targets, Area::Files] {
        assert_eq!(listed(store, area), BTreeSet::new());
    }
    let role = metadata(12, "../a b/ü");
    let page = target("simple/a/vnd.pypi.simple.v1.json", b"page");
    let wheel = target("top", b"wheel!");
    let files = [file("packages/a/a-1.whl"), file("packages/b/deep/er/b-1.whl")];
    create(store, &role, b"r").unwrap();
    create(store, &page, b"page").unwrap();
    create(store, &wheel, b"wheel!").unwrap();
    for key in &files {
        create(store, key, b"ab").unwrap();
    }
    store.replace_timestamp(None, b"12345").unwrap();
    let expected = |keys: &[(&StoreKey, u64)]| -> BTreeSet<_> {
        keys.iter().map(|(key, length)| (key.path(), *length)).collect()
    };
    let metadata = expected(&[(&role, 1), (&StoreKey::Timestamp, 5)]);
    assert_eq!(listed(store, Area::Metadata), metadata);
    assert_eq!(listed(store, Area::Targets), expected(&[(&page, 4), (&wheel, 6)]));
    assert_eq!(listed(store, Area::Files), expected(&[(&files[0], 2), (&files[1], 2)]));
}

fn of_creators_at_once_one_wins(store: &dyn Store) {
    for round in 0..8 {
        let key = file(&format!("packages/p{round}/a-1.whl"));
        let barrier = Barrier::new(16);
        let won: Vec<(usize, bool)> = thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|n| {
                    let (key, barrier) = (&key, &barrier);
                    scope.spawn(move || {
                        let bytes = vec![b'a' + u8::try_from(n / 2).unwrap(); 5000];
                        barrier.wait();
                        let result = if n % 2 == 0 {
                            create(store, key, &bytes)
                        } else {
                            create_from_file(store, key, &bytes)
                        };
                        match result {
                            Ok(()) => (n / 2, true),
                            Err(StoreError::Exists { .. }) => (n / 2, false),
                            Err(other) => panic!("{other}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let there = content(store, &key).unwrap();
        assert!(there.len() == 5000 && there.iter().all(|byte| *byte == there[0]));
        for (n, won) in won {
            // Two racers have the same bytes: both succeed or both fail.
            assert_eq!(won, usize::from(there[0] - b'a') == n, "racer {n} in round {round}");
        }
    }
}

fn of_replacers_at_once_one_wins(store: &dyn Store) {
    store.replace_timestamp(None, b"0").unwrap();
    for round in 1..=10 {
        let expected = Sha256::of(&content(store, &StoreKey::Timestamp).unwrap());
        let barrier = Barrier::new(8);
        let winners: Vec<String> = thread::scope(|scope| {
            let racers: Vec<_> = (0..8)
                .map(|n| {
                    let barrier = &barrier;
                    scope.spawn(move || {
                        let bytes = format!("{round} by {n}");
                        barrier.wait();
                        match store.replace_timestamp(Some(expected), bytes.as_bytes()) {
                            Ok(()) => Some(bytes),
                            Err(StoreError::Changed { .. }) => None,
                            Err(other) => panic!("{other}"),
                        }
                    })
                })
                .collect();
            racers.into_iter().filter_map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(content(store, &StoreKey::Timestamp).unwrap(), winners[0].as_bytes());
    }
}

fn readers_never_see_a_half_timestamp(store: &dyn Store) {
    let texts: Vec<Vec<u8>> = (0..40_u8).map(|n| vec![n; 20_000]).collect();
    store.replace_timestamp(None, &texts[0]).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for pair in texts.windows(2) {
                store.replace_timestamp(Some(Sha256::of(&pair[0])), &pair[1]).unwrap();
            }
        });
        while !writer.is_finished() {
            let seen = content(store, &StoreKey::Timestamp).unwrap();
            assert!(texts.contains(&seen));
        }
    });
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&super::MemoryStore::new()); })*
        }
        mod filesystem {
            $(#[test] fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(&super::FilesystemStore::open(folder.path().join("store")).unwrap());
            })*
        }
    };
}

contract!(
    what_is_created_is_read_back,
    empty_objects_are_objects,
    the_same_bytes_again_are_fine,
    other_bytes_are_refused_and_change_nothing,
    a_batch_that_contradicts_itself_is_refused,
    a_refused_batch_can_be_completed,
    large_batches_are_whole,
    objects_that_come_one_by_one_are_there_when_all_are,
    objects_that_come_one_by_one_are_create_only,
    objects_that_are_given_up_leave_nothing,
    uploads_are_taken_from_their_beginning,
    objects_beside_an_upload_are_created_with_it,
    many_uploads_at_once_are_all_there,
    a_dropped_upload_leaves_nothing,
    links_are_names_of_the_same_bytes,
    links_are_create_only,
    the_timestamp_has_its_own_operation,
    the_timestamp_is_compared_and_swapped,
    reads_are_limited,
    open_objects_can_be_read_in_parts,
    an_open_object_outlives_its_removal,
    folders_are_no_objects,
    what_clients_need_is_never_removed,
    lists_are_complete_by_area,
    of_creators_at_once_one_wins,
    of_replacers_at_once_one_wins,
    readers_never_see_a_half_timestamp,
);
