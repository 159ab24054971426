//! One name has one content, whoever comes first.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use waxseal_repository::Accepted;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, LIMIT, start, upload};
use waxseal_testkit::faulty_store::{Fault, contents};

const WHEEL: &str = "flask-3.0-py3-none-any.whl";

#[test]
fn the_same_file_again_is_the_same() {
    for kind in Kind::EACH {
        let (_index, repository, process) = Index::published(kind);
        assert_eq!(upload(&repository, WHEEL, b"a").unwrap(), Accepted::New { serial: 1 });
        assert_eq!(upload(&repository, WHEEL, b"a").unwrap(), Accepted::Same { serial: 1 });
        process.publish_all(start()).unwrap();
        let before = contents(repository.store());
        assert_eq!(upload(&repository, WHEEL, b"a").unwrap(), Accepted::Same { serial: 1 });
        assert_eq!(process.publish(start()).unwrap(), None);
        assert_eq!(contents(repository.store()), before);
    }
}

#[test]
fn other_bytes_for_a_name_are_refused_and_change_nothing() {
    for kind in Kind::EACH {
        let (_index, repository, process) = Index::published(kind);
        upload(&repository, WHEEL, b"a").unwrap();
        for published in [false, true] {
            let before = contents(repository.store());
            // The last one is another spelling of the same file.
            for filename in [WHEEL, "Flask-3.0-py3-none-any.whl", "flask-3.0.0-py3-none-any.whl"] {
                let refused = upload(&repository, filename, b"b").unwrap();
                assert_eq!(refused, Accepted::Taken { filename: WHEEL.to_owned() }, "{published}");
            }
            assert_eq!(contents(repository.store()), before);
            process.publish_all(start()).unwrap();
        }
        assert_eq!(repository.database().last_serial().unwrap(), 1);
        audit_all(&repository, start());
    }
}

#[test]
fn another_spelling_of_the_same_bytes_is_not_a_second_file() {
    let (_index, repository, _process) = Index::published(Kind::Memory);
    upload(&repository, WHEEL, b"a").unwrap();
    let refused = upload(&repository, "Flask-3.0-py3-none-any.whl", b"a").unwrap();
    assert_eq!(refused, Accepted::Taken { filename: WHEEL.to_owned() });
}

#[test]
fn of_many_uploads_of_one_name_exactly_one_is_published() {
    for kind in Kind::EACH {
        let (_index, repository, process) = Index::published(kind);
        for round in 0..5 {
            let filename = format!("flask-{round}.tar.gz");
            let barrier = Barrier::new(8);
            let answers: Vec<(Vec<u8>, Accepted)> = thread::scope(|scope| {
                let racer = |racer: u8| {
                    let (barrier, filename, repository) = (&barrier, &filename, &repository);
                    scope.spawn(move || {
                        let bytes = vec![racer; 100];
                        barrier.wait();
                        let accepted = upload(repository, filename, &bytes).unwrap();
                        (bytes, accepted)
                    })
                };
                let racers: Vec<_> = (0..8).map(racer).collect();
                racers.into_iter().map(|racer| racer.join().unwrap()).collect()
            });
            let mut winners = answers
                .iter()
                .filter(|(_, accepted)| *accepted == Accepted::New { serial: round + 1 });
            let (bytes, _) = winners.next().unwrap();
            assert!(winners.next().is_none());
            let taken = Accepted::Taken { filename: filename.clone() };
            assert_eq!(answers.iter().filter(|(_, accepted)| *accepted == taken).count(), 7);

            process.publish_all(start()).unwrap();
            let path = TargetPath::new(format!("packages/flask/{filename}")).unwrap();
            let target = repository.target(&path).unwrap().unwrap();
            assert_eq!(target.hashes.listed_sha256(), Some(Sha256::of(bytes)));
            let plain = super::file(path.as_str());
            assert_eq!(repository.store().read(&plain, LIMIT).unwrap().unwrap(), *bytes);
            audit_all(&repository, start());
        }
    }
}

#[test]
fn an_upload_that_the_store_failed_is_not_in_the_journal_and_can_be_repeated() {
    for fault in Fault::EACH {
        let (index, repository, process) = Index::published(Kind::Filesystem);
        index.store.fail_next(1, fault);
        let error = upload(&repository, WHEEL, b"a").unwrap_err();
        assert!(error.to_string().contains("create"), "{error}");
        assert_eq!(repository.database().last_serial().unwrap(), 0);
        assert_eq!(process.publish(start()).unwrap(), None);
        Client::default().audit(&repository, start());

        // The name is free still, also for other bytes.
        assert_eq!(upload(&repository, WHEEL, b"b").unwrap(), Accepted::New { serial: 1 });
        process.publish_all(start()).unwrap();
        audit_all(&repository, start());
    }
}

#[test]
fn of_uploads_that_come_together_one_is_refused_and_the_others_are_published() {
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    upload(&repository, WHEEL, b"a").unwrap();
    let answers = together(24, |number| match number {
        0 => upload(&repository, WHEEL, b"b"),
        number => upload(&repository, &format!("flask-4.{number}-py3-none-any.whl"), b"c"),
    });
    let mut serials = BTreeSet::new();
    for (number, answer) in answers.into_iter().enumerate() {
        match (number, answer.unwrap()) {
            (0, Accepted::Taken { filename }) => assert_eq!(filename, WHEEL),
            (1.., Accepted::New { serial }) => assert!(serials.insert(serial), "{serial}"),
            (number, other) => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(serials, (2..=24).collect());
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

#[test]
fn a_journal_that_fails_acknowledges_no_upload_and_all_can_be_repeated() {
    let (index, repository, process) = Index::published(Kind::Filesystem);
    let other = rusqlite::Connection::open(index.database_path()).unwrap();
    // The last of what a commit writes for an upload.
    other
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON filename_claim \
             BEGIN SELECT RAISE(ABORT, 'broken by the test'); END",
        )
        .unwrap();
    let send = |number: usize| {
        upload(&repository, &format!("flask-{number}.tar.gz"), number.to_string().as_bytes())
    };
    for answer in together(24, send) {
        let error = answer.unwrap_err().to_string();
        assert!(error.contains("broken by the test"), "{error}");
    }
    assert_eq!(repository.database().last_serial().unwrap(), 0);
    assert_eq!(process.publish(start()).unwrap(), None);

    other.execute_batch("DROP TRIGGER broken").unwrap();
    for answer in together(24, send) {
        assert!(matches!(answer, Ok(Accepted::New { .. })), "{answer:?}");
    }
    assert_eq!(repository.database().last_serial().unwrap(), 24);
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}

/// Does so many things at once; the answers in the order of their numbers.
fn together<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(count);
    thread::scope(|scope| {
        let (barrier, work) = (&barrier, &work);
        let one = |number| {
            scope.spawn(move || {
                barrier.wait();
                work(number)
            })
        };
        let all: Vec<_> = (0..count).map(one).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}
