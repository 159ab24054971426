//! Layout `index`: pages are targets that vouch for their files, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use waxseal_index::paths::{LAYOUT_FIELD, is_project_page};
use waxseal_repository::audit::{self as shipped, Kind as Wrong, Report, Settings};
use waxseal_repository::database::SqliteDatabase;
use waxseal_repository::import::ImportOptions;
use waxseal_repository::store::{FilesystemStore, Object, StoreKey};
use waxseal_repository::{Error, GcOptions, Layout, Repository};
use waxseal_testkit::simulator;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::json::Value;

use super::audit::{self, Client, expected};
use super::cold::{finds, valid};
use super::index::{Index, Kind, LIMIT, hours, send, start};
use waxseal_testkit::faulty_store::contents;

const WHEEL: &str = "flask-3.0-py3-none-any.whl";
const SDIST: &str = "flask-3.0.tar.gz";

fn path(path: &str) -> TargetPath {
    TargetPath::new(path).unwrap()
}

/// Whether a target says that it vouches for its files.
fn vouches(repository: &Repository, target: &str) -> bool {
    let file = repository.target(&path(target)).unwrap().unwrap();
    let Some(Value::Object(custom)) = file.custom else { return false };
    custom.get(LAYOUT_FIELD.0) == Some(&Value::String(LAYOUT_FIELD.1.to_owned()))
}

#[test]
fn pages_alone_are_targets_and_vouch_for_their_files() {
    for kind in Kind::EACH {
        let index = Index::new(kind);
        let (repository, process) = index.create().unwrap();
        let process = process.with_layout(Layout::Index).unwrap();
        process.publish_all(start()).unwrap();
        send(&repository, WHEEL);
        assert_eq!(repository.plain_file(&path(&format!("packages/flask/{WHEEL}"))).unwrap(), None);
        process.publish(hours(1)).unwrap().unwrap();
        send(&repository, SDIST);
        process.publish(hours(2)).unwrap().unwrap();

        let database = repository.database();
        let (mut trust, store) = (simulator::Store::new(), repository.store());
        let found = audit::read_everything(store, &mut trust, hours(2)).unwrap();
        let all = expected(database, database.last_serial().unwrap());
        let (pages, files): (BTreeSet<_>, BTreeSet<_>) =
            all.iter().partition(|(path, _)| path.starts_with("simple/"));
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), pages);
        for (page, _) in pages {
            assert_eq!(vouches(&repository, page), is_project_page(page), "{page}");
        }
        // Files and core metadata are where pages link to, for whoever has a page.
        assert_eq!(files.len(), 3);
        for (file, digest) in files {
            let digest = digest.to_string();
            assert_eq!(repository.plain_file(&path(file)).unwrap(), Some(digest.clone()), "{file}");
            let bytes = store.read(&StoreKey::File(path(file)), LIMIT).unwrap().unwrap();
            assert_eq!(Sha256::of(&bytes).to_string(), digest);
        }
        for absent in
            ["packages/flask/flask-9.0.tar.gz", "packages/flask/flask-3.0.tar.gz.metadata"]
        {
            assert_eq!(repository.plain_file(&path(absent)).unwrap(), None, "{absent}");
        }
    }
}

#[test]
fn files_become_index_and_what_was_there_stays() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    process.publish_all(start()).unwrap();
    send(&repository, WHEEL);
    process.publish(hours(1)).unwrap().unwrap();
    Client::default().audit(&repository, hours(1));
    let page = "simple/flask/vnd.pypi.simple.v1.json";
    assert!(!vouches(&repository, page));
    drop(process);

    let process = index.process(&repository).unwrap().with_layout(Layout::Index).unwrap();
    assert_eq!(process.publish(hours(1)).unwrap(), None, "nothing changes by itself");
    send(&repository, SDIST);
    process.publish(hours(2)).unwrap().unwrap();
    assert!(vouches(&repository, page));
    let target = |file: &str| repository.target(&path(&format!("packages/flask/{file}"))).unwrap();
    assert!(target(WHEEL).is_some() && target(SDIST).is_none());
}

#[test]
fn index_does_not_become_files() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    let process = process.with_layout(Layout::Index).unwrap();
    process.publish_all(start()).unwrap();
    drop(process);
    let before = contents(repository.store());
    let error = index.process(&repository).unwrap().with_layout(Layout::Files).unwrap_err();
    assert!(matches!(error, Error::LayoutChanged), "{error}");
    assert!(error.to_string().contains("say `index` again"), "{error}");
    // Nor does it where nobody says anything.
    let process = index.process(&repository).unwrap();
    assert_eq!(process.layout(), Layout::Index);
    send(&repository, WHEEL);
    process.publish(hours(1)).unwrap().unwrap();
    assert!(repository.target(&path(&format!("packages/flask/{WHEEL}"))).unwrap().is_none());
    assert_ne!(contents(repository.store()), before);
}

#[test]
fn imported_pages_vouch_for_their_files() {
    let hash = Sha256::of(b"x");
    let lines = [
        format!(
            r#"{{"path":"simple/a/vnd.pypi.simple.v1.json","length":1,"hashes":{{"sha256":"{hash}"}}}}"#
        ),
        format!(
            r#"{{"path":"simple/b/vnd.pypi.simple.v1.html","length":1,"hashes":{{"sha256":"{hash}"}},"custom":{{"x":1}}}}"#
        ),
        format!(
            r#"{{"path":"simple/vnd.pypi.simple.v1.json","length":1,"hashes":{{"sha256":"{hash}"}}}}"#
        ),
        format!(r#"{{"path":"other/a","length":1,"hashes":{{"sha256":"{hash}"}}}}"#),
    ];
    for layout in [Layout::Files, Layout::Index] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("targets.jsonl");
        fs::write(&file, lines.join("\n")).unwrap();
        let index = Index::new(Kind::Memory);
        let (repository, process) = index.create().unwrap();
        let process = process.with_layout(layout).unwrap();
        for target in [
            "simple/a/vnd.pypi.simple.v1.json",
            "simple/b/vnd.pypi.simple.v1.html",
            "simple/vnd.pypi.simple.v1.json",
            "other/a",
        ] {
            let key = super::target(target, b"x");
            repository.store().create(&[Object { key: &key, bytes: b"x" }]).unwrap();
        }
        let options = ImportOptions::new(folder.path());
        let import = || process.import(&file, &options, start(), &|_| {}).unwrap().published;
        // The second time nothing is to be done: what was signed is what the file means.
        assert!(import().is_some() && import().is_none(), "{layout}");
        for page in ["simple/a/vnd.pypi.simple.v1.json", "simple/b/vnd.pypi.simple.v1.html"] {
            assert_eq!(vouches(&repository, page), layout == Layout::Index, "{layout}: {page}");
        }
        for other in ["simple/vnd.pypi.simple.v1.json", "other/a"] {
            assert!(!vouches(&repository, other), "{layout}: {other}");
        }
        let custom = |page: &str| repository.target(&path(page)).unwrap().unwrap().custom;
        let Some(Value::Object(kept)) = custom("simple/b/vnd.pypi.simple.v1.html") else {
            panic!("its custom is gone")
        };
        assert_eq!(kept.get("x"), Some(&Value::Integer(1)));
    }
}

fn collect(repository: &Repository) -> u64 {
    // The store's own clock goes on as it does: this is long after the grace time.
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
    repository.collect_garbage(&GcOptions::default(), later, &|_| {}).unwrap().removed
}

#[test]
fn what_a_page_vouches_for_is_no_garbage() {
    for kind in Kind::EACH {
        let index = Index::new(kind);
        let (repository, process) = index.create().unwrap();
        let process = process.with_layout(Layout::Index).unwrap();
        process.publish_all(start()).unwrap();
        for file in [WHEEL, SDIST, "click-8.1.7-py3-none-any.whl"] {
            send(&repository, file);
            process.publish(hours(1)).unwrap().unwrap();
        }
        // Left by an upload that was refused, and nobody's.
        let (stray, other) = (b"stray", "packages/flask/flask-4.0.tar.gz");
        let store = repository.store();
        for key in
            [super::target(other, stray), super::target(&format!("packages/flask/{SDIST}"), stray)]
        {
            store.create(&[Object { key: &key, bytes: stray }]).unwrap();
        }
        let files = |repository: &Repository| {
            let mut names: Vec<_> = contents(repository.store()).into_keys().collect();
            names.retain(|name| name.contains("packages/"));
            names
        };
        let before = files(&repository);
        assert_eq!(before.len(), 2 * 5 + 2, "{before:?}");
        assert!(collect(&repository) > 2);
        let after = files(&repository);
        let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
        assert_eq!(gone.len(), 2, "{gone:?}");
        assert!(gone.iter().all(|name| name.contains(&Sha256::of(stray).to_string())), "{gone:?}");
        assert_eq!(collect(&repository), 0);
    }
}

/// The pages of others may be elsewhere, and then nobody can see here what they name.
#[test]
fn files_of_a_page_that_is_not_here_are_kept() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = index.create().unwrap();
    let process = process.with_layout(Layout::Index).unwrap();
    process.publish_all(start()).unwrap();
    send(&repository, WHEEL);
    process.publish(hours(1)).unwrap().unwrap();
    let page = "simple/flask/vnd.pypi.simple.v1.json";
    let digest = repository.target(&path(page)).unwrap().unwrap().hashes.listed_sha256().unwrap();
    let key = StoreKey::Target { path: path(page), digest: digest.into() };
    let bytes = repository.store().read(&key, LIMIT).unwrap().unwrap();
    repository.store().remove(std::slice::from_ref(&key)).unwrap();
    collect(&repository);
    let file = StoreKey::File(path(&format!("packages/flask/{WHEEL}")));
    assert!(repository.store().read(&file, LIMIT).unwrap().is_some());
    repository.store().create(&[Object { key: &key, bytes: &bytes }]).unwrap();
}

/// The shipped audit, with the database and of a copy of the store alone.
fn shipped_audit(index: &Index, deep: bool) -> [Report; 2] {
    let database = SqliteDatabase::open_to_read(index.database_path()).unwrap();
    let store = FilesystemStore::open_to_read(index.path().join("store")).unwrap();
    let settings = Settings { now: start(), deep };
    let audit = |database| shipped::audit(&store, database, settings, &mut |_| {}).unwrap();
    [audit(Some(&database)), audit(None)]
}

/// An index on disk of one file uploaded under `files`, if that was `before`, and more under `index`.
fn audited(before: bool) -> Index {
    let index = Index::new(Kind::Filesystem);
    let (repository, process) = index.create().unwrap();
    process.publish_all(start()).unwrap();
    if before {
        send(&repository, WHEEL);
        process.publish_all(start()).unwrap();
    }
    let process = process.with_layout(Layout::Index).unwrap();
    send(&repository, WHEEL);
    send(&repository, SDIST);
    let large = vec![7; 100_000];
    super::index::upload(&repository, "flask-3.1-py3-none-any.whl", &large).unwrap();
    send(&repository, "click-8.1.7-py3-none-any.whl");
    process.publish_all(start()).unwrap();
    index
}

#[test]
fn the_audit_finds_what_pages_vouch_for_where_it_is() {
    for before in [false, true] {
        let index = audited(before);
        for report in [shipped_audit(&index, false), shipped_audit(&index, true)].as_flattened() {
            valid(report);
            // Four files and core metadata of three wheels; under `files` one wheel was a target.
            let counts = report.counts;
            assert_eq!(counts.vouched_files, if before { 5 } else { 7 });
            assert_eq!((counts.plain_names, counts.listed_files), (7, 4));
            // Two pages of each earlier list, and of each earlier project.
            assert_eq!(counts.garbage, if before { 6 } else { 2 });
        }
    }
}

#[test]
fn a_file_that_a_page_vouches_for_and_that_is_lost_or_changed_is_named() {
    for before in [false, true] {
        let index = audited(before);
        let in_store = |path: String| -> PathBuf { index.path().join("store").join(path) };
        let small = super::target(&format!("packages/flask/{SDIST}"), SDIST.as_bytes()).path();
        let large = "packages/flask/flask-3.1-py3-none-any.whl";
        let plain = StoreKey::File(path(large)).path();
        let large = super::target(large, &vec![7; 100_000]).path();
        let found = |deep, kind, path: &str, problem: &str| {
            for report in shipped_audit(&index, deep) {
                finds(&report, kind, path, problem);
            }
        };
        let put = |path: &str, bytes: &[u8]| {
            fs::remove_file(in_store(path.to_owned())).unwrap();
            fs::write(in_store(path.to_owned()), bytes).unwrap();
        };
        put(&small, b"short");
        found(false, Wrong::TargetChanged, &small, "5 bytes");
        put(&small, &[b'x'; SDIST.len()]);
        found(false, Wrong::TargetChanged, &small, "");
        put(&small, SDIST.as_bytes());
        // What is long is hashed where that is asked for.
        put(&large, &vec![8; 100_000]);
        found(true, Wrong::TargetChanged, &large, "");
        put(&large, &vec![7; 100_000]);
        put(&plain, &vec![8; 100_000]);
        found(false, Wrong::PlainName, &plain, "");
        fs::remove_file(in_store(plain.clone())).unwrap();
        found(false, Wrong::PlainName, &plain, "is not there");
        fs::write(in_store(plain.clone()), vec![7; 100_000]).unwrap();
        fs::remove_file(in_store(small.clone())).unwrap();
        found(false, Wrong::TargetMissing, &small, "its page vouches for it");
    }
}
