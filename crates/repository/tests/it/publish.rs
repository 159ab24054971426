//! What is published is what the journal says, and clients can verify it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use waxseal_index::paths;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::{Error, Published, Repository};
use waxseal_testkit::simulator::TestKey;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{PublicKey, SignError, Signer, TargetPath};

use super::audit::{self, Client, audit_all};
use super::index::{Index, Kind, hours, send, start, upload};
use waxseal_testkit::faulty_store::contents;

const FILES: [&str; 6] = [
    "flask-3.0-py3-none-any.whl",
    "flask-3.0.tar.gz",
    "click-8.1.7-py3-none-any.whl",
    "Foo_Bar-1.0.tar.gz",
    "flask-3.1-py3-none-any.whl",
    "foo_bar-2.0-py3-none-any.whl",
];

#[test]
fn an_empty_index_can_be_verified() {
    for kind in Kind::EACH {
        let (_index, repository, _process) = Index::published(kind);
        audit_all(&repository, start());
        let found = audit::expected(repository.database(), 0);
        assert_eq!(
            found.into_keys().collect::<Vec<_>>(),
            [paths::PROJECT_LIST_HTML, paths::PROJECT_LIST_JSON]
        );
    }
}

#[test]
fn clients_verify_every_file_page_and_core_metadata() {
    for kind in Kind::EACH {
        for style in [BinStyle::Succinct, BinStyle::Classic] {
            let index = Index::with_bins(kind, Bins::new(16, style).unwrap());
            let (repository, process) = index.create().unwrap();
            process.publish_all(start()).unwrap();
            let mut returning = Client::default();
            returning.audit(&repository, start());
            for (hour, file) in (1..).zip(FILES) {
                send(&repository, file);
                assert!(process.publish(hours(hour)).unwrap().is_some());
                returning.audit(&repository, hours(hour));
                audit_all(&repository, hours(hour));
            }
        }
    }
}

#[test]
fn a_page_is_a_function_of_the_journal() {
    let (_one, one_by_one, process) = Index::published(Kind::Memory);
    for (hour, file) in (1..).zip(FILES) {
        send(&one_by_one, file);
        process.publish_all(hours(hour)).unwrap();
    }
    let (_other, at_once, process) = Index::published(Kind::Filesystem);
    for file in FILES {
        send(&at_once, file);
    }
    process.publish_all(hours(20)).unwrap();
    for repository in [&one_by_one, &at_once] {
        audit_all(repository, hours(20));
    }
    let published = |repository: &Repository| {
        let paths = audit::expected(repository.database(), u64::MAX).into_keys();
        let target = |path| repository.target(&TargetPath::new(path).unwrap()).unwrap().unwrap();
        paths.map(target).collect::<Vec<_>>()
    };
    assert_eq!(published(&one_by_one), published(&at_once));
}

#[test]
fn the_page_says_the_newest_serial_of_its_project_only() {
    let (_index, repository, process) = Index::published(Kind::Memory);
    send(&repository, FILES[0]);
    process.publish_all(start()).unwrap();
    let flask = TargetPath::new("simple/flask/vnd.pypi.simple.v1.json").unwrap();
    let before = repository.target(&flask).unwrap();
    send(&repository, FILES[2]);
    process.publish_all(start()).unwrap();
    assert_eq!(repository.target(&flask).unwrap(), before);
    send(&repository, FILES[1]);
    process.publish_all(start()).unwrap();
    assert_ne!(repository.target(&flask).unwrap(), before);
}

#[test]
fn what_waits_becomes_one_snapshot() {
    let (index, repository, process) = Index::published(Kind::Memory);
    for n in 0..50 {
        send(&repository, &format!("p{}-1.{n}.tar.gz", n % 7));
    }
    assert_eq!(*repository.published().borrow(), 0);
    let (calls, writes) = (index.store.calls().len(), index.database_faults.calls().len());
    let published = process.publish(hours(1)).unwrap();
    assert_eq!(published, Some(Published { snapshot: 2, serial: 50 }));
    // What the online key signed is logged without a transaction, and so a sync, of its own.
    assert_eq!(index.database_faults.calls()[writes..], ["reserve", "decide", "finish"]);
    assert_eq!(index.store.calls()[calls..], ["create", "link", "replace_timestamp"]);
    assert_eq!(process.publish(hours(1)).unwrap(), None);
    audit_all(&repository, hours(1));
}

#[test]
fn what_comes_while_publishing_is_in_the_next_snapshot() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let mut published = repository.published();
    send(&repository, FILES[0]);
    let late = Arc::clone(&repository);
    let mut sent = false;
    index.store.set_hook(Some(Box::new(move |moment| {
        if moment == "before create" && !std::mem::replace(&mut sent, true) {
            // The bytes are in the store already: only the journal is appended to.
            let waiting = late.database().waiting(0, 1).unwrap().remove(0);
            let waxseal_repository::database::Entry::Upload(mut entry) = waiting.entry else {
                panic!("it is an upload")
            };
            entry.filename = "flask-9.tar.gz".to_owned();
            entry.metadata = None;
            late.database().append_upload(&entry, "late").unwrap();
        }
    })));
    assert_eq!(process.publish(start()).unwrap(), Some(Published { snapshot: 2, serial: 1 }));
    index.store.set_hook(None);
    assert_eq!(*published.borrow_and_update(), 1);
    Client::default().audit(&repository, start());
    assert_eq!(repository.database().last_serial().unwrap(), 2);

    let bytes = FILES[0].as_bytes();
    let key = super::target("packages/flask/flask-9.tar.gz", bytes);
    let object = waxseal_repository::store::Object { key: &key, bytes };
    repository.store().create(&[object]).unwrap();
    assert_eq!(process.publish(start()).unwrap(), Some(Published { snapshot: 3, serial: 2 }));
    assert!(published.has_changed().unwrap());
    audit_all(&repository, start());
}

#[test]
fn a_waiting_upload_is_not_visible() {
    let (_index, repository, process) = Index::published(Kind::Filesystem);
    send(&repository, FILES[0]);
    Client::default().audit(&repository, start());
    let path = TargetPath::new("packages/flask/flask-3.0-py3-none-any.whl").unwrap();
    assert_eq!(repository.target(&path).unwrap(), None);
    assert_eq!(repository.store().read(&super::file(path.as_str()), 99).unwrap(), None);
    process.publish(start()).unwrap();
    let target = repository.target(&path).unwrap().unwrap();
    assert_eq!(target.hashes.listed_sha256(), Some(Sha256::of(FILES[0].as_bytes())));
}

/// The online key in a device that can be unplugged.
#[derive(Debug)]
struct Device {
    key: TestKey,
    unplugged: Arc<AtomicBool>,
}

impl Signer for Device {
    fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match self.unplugged.load(Ordering::Relaxed) {
            false => self.key.sign(message),
            true => {
                let (key, problem) = ("pkcs11:token".to_owned(), "it is gone".to_owned());
                Err(SignError { key, problem })
            }
        }
    }
}

#[test]
fn a_signer_that_fails_holds_up_publishing_and_nothing_else() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    drop(process);
    let unplugged = Arc::new(AtomicBool::new(false));
    let device = Device { key: TestKey::new("online"), unplugged: Arc::clone(&unplugged) };
    let process = index.process_with(&repository, Box::new(device)).unwrap();
    process.publish_all(start()).unwrap();

    unplugged.store(true, Ordering::Relaxed);
    for (serial, file) in (1..).zip(&FILES[..3]) {
        assert_eq!(send(&repository, file), serial);
        let before = contents(repository.store());
        let error = process.publish(start()).unwrap_err();
        assert!(matches!(&error, Error::Sign(error) if error.problem == "it is gone"), "{error}");
        assert_eq!(contents(repository.store()), before);
        assert_eq!(repository.database().batch().unwrap(), None);
        assert_eq!(*repository.published().borrow(), 0);
    }
    Client::default().audit(&repository, start());

    unplugged.store(false, Ordering::Relaxed);
    let published = process.publish(start()).unwrap();
    assert_eq!(published, Some(Published { snapshot: 2, serial: 3 }));
    audit_all(&repository, start());
}

#[test]
fn a_foreign_object_in_a_files_place_holds_up_publishing_and_is_named() {
    let (index, repository, process) = Index::published(Kind::Memory);
    let key = super::file("packages/flask/flask-3.0.tar.gz");
    let bytes = b"put here by hand";
    let object = waxseal_repository::store::Object { key: &key, bytes };
    repository.store().create(&[object]).unwrap();
    upload(&repository, "flask-3.0.tar.gz", b"uploaded").unwrap();
    for _ in 0..2 {
        let error = process.publish(start()).unwrap_err();
        assert!(error.to_string().contains("files/packages/flask/flask-3.0.tar.gz"), "{error}");
        assert_eq!(repository.database().published_serial().unwrap(), 0);
    }
    // What clients see is the snapshot before.
    Client::default().audit(&repository, start());
    // Once it is gone, what waits goes on.
    repository.store().remove(std::slice::from_ref(&key)).unwrap();
    index.store.forget(&key);
    process.publish_all(start()).unwrap();
    audit_all(&repository, start());
}
