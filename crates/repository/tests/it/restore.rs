//! Restoring targets after a compromise: what differs from the last known good snapshot is found, and what is
//! decided comes true in one snapshot with the new keys, whatever crashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use waxseal_repository::archive::{Archive, append};
use waxseal_repository::audit::{Pin, Settings, audit};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::ceremony::Ceremony;
use waxseal_repository::database::{Restoration, TargetsEntry, UploadEntry};
use waxseal_repository::restore::{
    Change, Decision, FilePlan, Good, LastKnownGood, Places, Plan, RestoreError, compare,
};
use waxseal_repository::store::{Area, MemoryStore, Object, Store, StoreKey};
use waxseal_repository::{Error, HashAlgorithms, Layout, Repository, SnapshotProcess};
use waxseal_testkit::faults::Faults;
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, LIMIT, hours, send, start};
use super::offline_change::{COMPROMISE, hold, last_root, open, root_version};
use super::resume::{counted, fail_each, prove_whole, until_done};
use super::targets::{changes, target};

/// All objects of a store, as a mirror or a backup has them.
fn backup(store: &dyn Store) -> MemoryStore {
    let copy = MemoryStore::new();
    for area in [Area::Metadata, Area::Targets, Area::Files] {
        for listed in store.list(area).unwrap() {
            let Some(key) = listed.unwrap().key else { continue };
            let bytes = store.read(&key, LIMIT).unwrap().unwrap();
            if key == StoreKey::Timestamp {
                copy.replace_timestamp(None, &bytes).unwrap();
            } else {
                copy.create(&[Object { key: &key, bytes: &bytes }]).unwrap();
            }
        }
    }
    copy
}

fn pin(store: &dyn Store) -> Pin {
    let root = store.read(&super::metadata(1, "root"), LIMIT).unwrap().unwrap();
    Pin::Fingerprint(Sha256::of(&root))
}

fn snapshot_version(repository: &Repository) -> u64 {
    let role = waxseal_tuf::RoleName::new("snapshot").unwrap();
    repository.database().role(&role).unwrap().unwrap().published
}

fn upload_entry(filename: &str, bytes: &[u8]) -> Restoration {
    let parsed: waxseal_index::DistributionFilename = filename.parse().unwrap();
    let entry = UploadEntry {
        project: parsed.project().to_string(),
        display_name: parsed.project().as_str().to_uppercase(),
        version: parsed.version().to_string(),
        filename: filename.to_owned(),
        sha256: Sha256::of(bytes),
        sha512: None,
        size: bytes.len() as u64,
        metadata: None,
        requires_python: None,
        uploaded_by: "nobody knows".to_owned(),
        upload_time: start(),
    };
    Restoration::Upload { entry: Box::new(entry), identity: parsed.identity() }
}

/// Somebody with the database and the online key does as they like.
fn steal(repository: &Repository, process: &SnapshotProcess, what: &[Restoration]) {
    for part in what {
        if let Restoration::Upload { entry, .. } = part {
            let bytes = format!("evil {}", entry.filename);
            let path = format!("packages/{}/{}", entry.project, entry.filename);
            let key = super::target(&path, bytes.as_bytes());
            let store = repository.store();
            store.create(&[Object { key: &key, bytes: bytes.as_bytes() }]).unwrap();
            // Under its plain name as well.
            store.remove(&[super::file(&path)]).unwrap();
        }
    }
    let id = Sha256::of(format!("{what:?}").as_bytes());
    repository.database().append_restoration(id, what).unwrap();
    process.publish_all(start()).unwrap();
}

fn evil(filename: &str) -> Restoration {
    upload_entry(filename, format!("evil {filename}").as_bytes())
}

fn remove_target(path: &str) -> Restoration {
    let remove = vec![TargetPath::new(path).unwrap()];
    Restoration::Targets(TargetsEntry { add: Vec::new(), remove, by: "thief".to_owned() })
}

/// What is in a plan, by path.
fn listed(plan: &Plan) -> BTreeMap<&str, Change> {
    let files = plan.projects.iter().flat_map(|project| &project.files);
    files.map(|file| (file.path.as_str(), file.change)).collect()
}

fn decide(plan: &mut Plan, decide: impl Fn(&FilePlan) -> Decision) {
    for project in &mut plan.projects {
        for file in &mut project.files {
            file.decide = Some(decide(file));
        }
    }
}

/// What clients find at a path.
fn found(repository: &Repository, path: &str) -> Option<Vec<u8>> {
    let path = TargetPath::new(path).unwrap();
    let file = repository.target(&path).unwrap()?;
    let digest = file.hashes.known().next().unwrap();
    repository.store().read(&StoreKey::Target { path, digest }, LIMIT).unwrap()
}

fn names(repository: &Repository, project: &str) -> Vec<String> {
    let files = repository.database().project_files(project).unwrap();
    files.into_iter().map(|file| file.filename).collect()
}

fn is_valid(repository: &Repository, now: Timestamp) {
    let settings = Settings { now, deep: true };
    let report =
        audit(repository.store(), Some(repository.database()), settings, &mut |_| {}).unwrap();
    assert!(report.valid, "{:#?}", report.findings);
}

/// An index with files of two projects, and targets of another index.
fn world(index: &Index, layout: Layout) -> (Arc<Repository>, SnapshotProcess) {
    index.store.set_watch(Arc::new(|_, _| {}));
    let (repository, mut process) = until_done(|| index.create());
    if layout != Layout::Files {
        process = process.with_layout(layout).unwrap();
    }
    for filename in ["flask-1.0.tar.gz", "flask-1.0-py3-none-any.whl", "click-8.0.tar.gz"] {
        until_done(|| send_again(&repository, filename));
        until_done(|| process.publish_all(start()));
    }
    (repository, process)
}

/// Keys are replaced, and the plan is carried out. Answers how many snapshots clients saw.
fn recover(
    index: &Index,
    repository: Arc<Repository>,
    process: SnapshotProcess,
    plan: &Plan,
    copies: &[&dyn Store],
) -> (Arc<Repository>, SnapshotProcess, u64) {
    let layout = repository.database().layout().unwrap().unwrap_or_default();
    drop((repository, process));
    let (repository, process) = open(index).unwrap();
    let process = match layout {
        Layout::Files => process,
        Layout::Index => process.with_layout(layout).unwrap(),
    };
    let made = hold(&repository, COMPROMISE, start());
    repository.change_offline_roles(&made, start()).unwrap();
    process.recover(10).unwrap();
    repository.restore(plan, copies, &mut |_, _| {}).unwrap();
    let before = snapshot_version(&repository);
    let mut snapshots = 0;
    while process.publish(start()).unwrap().is_some() {
        snapshots += 1;
    }
    assert!(snapshot_version(&repository) > before);
    assert_eq!(root_version(&repository), last_root(&made));
    (repository, process, snapshots)
}

#[test]
fn what_came_since_goes_and_what_is_kept_stays_in_one_snapshot_with_the_new_root() {
    for layout in [Layout::Files, Layout::Index] {
        let index = Index::new(Kind::Filesystem);
        let (repository, process) = world(&index, layout);
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("index.archive");
        let source = (repository.store(), &pin(repository.store()));
        append(&Archive::open(&archive).unwrap(), &archive, source, start(), &mut |_, _| {})
            .unwrap();
        let good = snapshot_version(&repository);
        let mut returning = Client::default();
        if layout == Layout::Files {
            returning.audit(&repository, start());
        }

        // With a stolen token; and one is not published when it is found.
        for filename in ["flask-1.1.tar.gz", "flask-1.2.tar.gz", "evil-1.0.tar.gz"] {
            send(&repository, filename);
            process.publish_all(start()).unwrap();
        }
        send(&repository, "click-9.0.tar.gz");
        let archive = Archive::open(&archive).unwrap();
        let places = Places { store: repository.store(), copies: &[] };
        let source = (LastKnownGood::Archive(&archive), good);
        let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
        let added = [
            "packages/click/click-9.0.tar.gz",
            "packages/evil/evil-1.0.tar.gz",
            "packages/flask/flask-1.1.tar.gz",
            "packages/flask/flask-1.2.tar.gz",
        ];
        let expected: BTreeMap<_, _> = added.map(|path| (path, Change::Added)).into();
        assert_eq!(listed(&plan), expected, "{layout}");
        let note = plan.projects[0].files[0].note.as_deref().unwrap();
        assert!(note.contains("laptop") && note.contains("not published yet"), "{note}");
        let error = repository.restore(&plan, &[], &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, RestoreError::Undecided { count: 4, .. }), "{error}");

        decide(&mut plan, |file| match file.path.contains("flask-1.2") {
            true => Decision::Keep,
            false => Decision::Restore,
        });
        let (repository, _process, snapshots) = recover(&index, repository, process, &plan, &[]);
        assert_eq!(snapshots, 1);
        assert_eq!(names(&repository, "evil"), [""; 0]);
        assert_eq!(names(&repository, "click"), ["click-8.0.tar.gz"]);
        assert!(names(&repository, "flask").contains(&"flask-1.2.tar.gz".to_owned()));
        assert!(!names(&repository, "flask").contains(&"flask-1.1.tar.gz".to_owned()));
        assert_eq!(found(&repository, "simple/evil/vnd.pypi.simple.v1.json"), None);
        is_valid(&repository, start());
        if layout == Layout::Files {
            returning.audit(&repository, start());
            audit_all(&repository, start());
        }
        // Once more is nothing more.
        let serial = repository.database().last_serial().unwrap();
        repository.restore(&plan, &[], &mut |_, _| {}).unwrap();
        assert_eq!(repository.database().last_serial().unwrap(), serial);
    }
}

#[test]
fn what_was_changed_or_hidden_comes_back_from_a_backup() {
    for kind in Kind::EACH {
        let index = Index::new(kind);
        let (repository, process) = world(&index, Layout::Files);
        let good = snapshot_version(&repository);
        let backup = backup(repository.store());
        let flask = "packages/flask/flask-1.0.tar.gz";
        // Another content of a file; a target that is gone while its page lists it, and one that no page
        // lists; and a page of nobody's making.
        steal(&repository, &process, &[evil("flask-1.0.tar.gz")]);
        steal(&repository, &process, &[remove_target("packages/click/click-8.0.tar.gz")]);
        let extra = changes(&format!(
            r#"{{"add":[{},{}]}}"#,
            target("packages/flask/flask-6.6.6.tar.gz", "evil"),
            target("simple/click/vnd.pypi.simple.v1.html", "evil"),
        ));
        let entry = extra.into_entry("thief".to_owned());
        steal(&repository, &process, &[Restoration::Targets(entry)]);
        // The right bytes are gone too.
        let object = super::target(flask, b"flask-1.0.tar.gz");
        repository.store().remove(&[object]).unwrap();
        assert_eq!(found(&repository, flask).unwrap(), b"evil flask-1.0.tar.gz");

        let known = pin(&backup);
        let source = (LastKnownGood::Index(&backup, &known), good);
        let places = Places { store: repository.store(), copies: &[&backup] };
        let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
        let expected: BTreeMap<_, _> = [
            ("packages/click/click-8.0.tar.gz", Change::Changed),
            (flask, Change::Changed),
            ("packages/flask/flask-6.6.6.tar.gz", Change::Added),
        ]
        .into();
        assert_eq!(listed(&plan), expected);
        decide(&mut plan, |_| Decision::Restore);
        // Without the backup its bytes are nowhere, and nothing happens.
        let serial = repository.database().last_serial().unwrap();
        let error = repository.restore(&plan, &[], &mut |_, _| {}).unwrap_err();
        assert!(matches!(&error, RestoreError::Lost { path, .. } if path == flask), "{error}");
        assert_eq!(repository.database().last_serial().unwrap(), serial);

        let (repository, ..) = recover(&index, repository, process, &plan, &[&backup]);
        assert_eq!(found(&repository, flask).unwrap(), b"flask-1.0.tar.gz");
        // No page says how a project spells its name.
        let project = repository.database().project("flask").unwrap().unwrap();
        assert_eq!(project.display_name, "FLASK");
        assert_eq!(
            found(&repository, "packages/click/click-8.0.tar.gz").unwrap(),
            b"click-8.0.tar.gz"
        );
        assert_eq!(found(&repository, "packages/flask/flask-6.6.6.tar.gz"), None);
        let bytes = repository.store().read(&super::file(flask), LIMIT).unwrap().unwrap();
        assert_eq!(bytes, b"flask-1.0.tar.gz");
        is_valid(&repository, start());
        let places = Places { store: repository.store(), copies: &[&backup] };
        let plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
        assert_eq!(listed(&plan), BTreeMap::new());
    }
}

/// A page that lists what it should not, while the files behind it are as they were.
#[test]
fn a_page_of_nobodys_making_is_made_again() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = world(&index, Layout::Files);
    let good = snapshot_version(&repository);
    let copy = backup(repository.store());
    let page = "simple/click/vnd.pypi.simple.v1.json";
    let right = found(&repository, page).unwrap();
    let entry = changes(&format!(r#"{{"add":[{}]}}"#, target(page, "evil")));
    steal(&repository, &process, &[Restoration::Targets(entry.into_entry("thief".to_owned()))]);
    let known = pin(&copy);
    let source = (LastKnownGood::Index(&copy, &known), good);
    let places = Places { store: repository.store(), copies: &[&copy] };
    let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
    assert_eq!(listed(&plan), [(page, Change::Changed)].into());
    decide(&mut plan, |_| Decision::Restore);
    let (repository, ..) = recover(&index, repository, process, &plan, &[&copy]);
    let made: serde_json::Value =
        serde_json::from_slice(&found(&repository, page).unwrap()).unwrap();
    let was: serde_json::Value = serde_json::from_slice(&right).unwrap();
    assert_eq!(made["files"], was["files"]);
    is_valid(&repository, start());
}

#[test]
fn targets_of_another_index_become_what_they_were() {
    let index = Index::new(Kind::Memory);
    index.store.set_watch(Arc::new(|_, _| {}));
    let (repository, process) = until_done(|| index.create());
    let accept = |body: &str| {
        repository.accept_targets(changes(body), "warehouse".to_owned(), None).unwrap();
        process.publish_all(start()).unwrap();
    };
    let custom = |content: &str, custom: &str| {
        target("packages/a/a-1.whl", content).replacen('{', &format!(r#"{{"custom":{custom},"#), 1)
    };
    let list: Vec<_> =
        ["b", "c"].map(|name| target(&format!("packages/{name}/x.whl"), name)).into();
    accept(&format!(r#"{{"add":[{},{}]}}"#, custom("good", r#"{"by":"us"}"#), list.join(",")));
    let good = snapshot_version(&repository);
    let copy = backup(repository.store());
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("index.archive");
    let source = (repository.store(), &pin(repository.store()));
    append(&Archive::open(&archive).unwrap(), &archive, source, start(), &mut |_, _| {}).unwrap();

    let replace = |text: String| text.replacen('{', r#"{"replace":true,"#, 1);
    accept(&format!(
        r#"{{"add":[{},{}],"remove":["packages/b/x.whl"]}}"#,
        replace(custom("evil", r#"{"by":"them"}"#)),
        target("packages/d/x.whl", "d"),
    ));
    let known = pin(&copy);
    let places = Places { store: repository.store(), copies: &[&copy] };
    let archive = Archive::open(&archive).unwrap();
    let expected: BTreeMap<_, _> = [
        ("packages/a/a-1.whl", Change::Changed),
        ("packages/b/x.whl", Change::Removed),
        ("packages/d/x.whl", Change::Added),
    ]
    .into();
    for source in [LastKnownGood::Archive(&archive), LastKnownGood::Index(&copy, &known)] {
        let plan = compare(&repository, (source, good), places, &mut |_, _| {}).unwrap();
        assert_eq!(listed(&plan), expected);
    }
    let source = LastKnownGood::Index(&copy, &known);
    let mut plan = compare(&repository, (source, good), places, &mut |_, _| {}).unwrap();
    let Some(Good::Target { target }) = &plan.projects[0].files[0].good else { panic!("{plan:?}") };
    assert!(target.contains(r#""by":"us""#), "{target}");
    decide(&mut plan, |_| Decision::Restore);
    let path = |path: &str| TargetPath::new(path).unwrap();
    let before = |repository: &Repository, name: &str| repository.target(&path(name)).unwrap();
    let (repository, process, snapshots) =
        recover(&index, Arc::clone(&repository), process, &plan, &[]);
    assert_eq!(snapshots, 1);
    let file = before(&repository, "packages/a/a-1.whl").unwrap();
    assert_eq!(file.hashes.listed_sha256(), Some(Sha256::of(b"good")));
    assert!(String::from_utf8(file.to_canonical()).unwrap().contains(r#""by":"us""#));
    assert!(before(&repository, "packages/b/x.whl").is_some());
    assert_eq!(before(&repository, "packages/d/x.whl"), None);
    let plan = compare(&repository, (source, good), places, &mut |_, _| {}).unwrap();
    assert_eq!(listed(&plan), BTreeMap::new());
    drop(process);
}

/// A backup with another root, a snapshot that nobody signed, one that is gone: nothing is believed.
#[test]
fn a_backup_is_believed_by_its_signatures_alone() {
    let index = Index::new(Kind::Memory);
    let (repository, _process) = world(&index, Layout::Files);
    let good = snapshot_version(&repository);
    let compare_with = |copy: &MemoryStore, pin: &Pin, good: u64| {
        let places = Places { store: repository.store(), copies: &[] };
        let source = (LastKnownGood::Index(copy, pin), good);
        compare(&repository, source, places, &mut |_, _| {}).map(|plan| listed(&plan).len())
    };
    let copy = backup(repository.store());
    let known = pin(&copy);
    assert_eq!(compare_with(&copy, &known, good).unwrap(), 0);
    let says = |copy: &MemoryStore, pin: &Pin, good: u64, text: &str| {
        let error = compare_with(copy, pin, good).unwrap_err();
        assert!(matches!(error, RestoreError::Snapshot { .. }), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    };
    let other = Pin::Fingerprint(Sha256::of(b"another"));
    says(&copy, &other, good, "is trusted");
    says(&copy, &known, good + 100, "is not there");
    // Another snapshot under its name, and the bytes of a bin.
    let named = |version: u64, role: &str| super::metadata(version, role);
    let replaced = |key: StoreKey, bytes: &[u8]| {
        let copy = backup(repository.store());
        copy.remove(std::slice::from_ref(&key)).unwrap();
        copy.create(&[Object { key: &key, bytes }]).unwrap();
        copy
    };
    let before = copy.read(&named(good - 1, "snapshot"), LIMIT).unwrap().unwrap();
    says(&replaced(named(good, "snapshot"), &before), &known, good, "is version");
    let text = copy.read(&named(good, "snapshot"), LIMIT).unwrap().unwrap();
    let text = String::from_utf8(text).unwrap().replacen("2100", "2101", 1);
    says(&replaced(named(good, "snapshot"), text.as_bytes()), &known, good, "signed by 0");
    let bin = repository
        .database()
        .bins()
        .unwrap()
        .into_iter()
        .find(|bin| bin.published.is_some_and(|file| file.version > 1));
    let (number, version) = bin.map(|bin| (bin.number, bin.published.unwrap().version)).unwrap();
    let role = repository.bins().role(number);
    let old = copy.read(&named(1, role.as_str()), LIMIT).unwrap().unwrap();
    says(&replaced(named(version, role.as_str()), &old), &known, good, role.as_str());
}

/// A plan is for the state that was looked at.
#[test]
fn a_plan_is_refused_where_the_index_went_on() {
    let index = Index::new(Kind::Memory);
    let (repository, process) = world(&index, Layout::Files);
    let copy = backup(repository.store());
    let good = snapshot_version(&repository);
    send(&repository, "flask-2.0.tar.gz");
    process.publish_all(start()).unwrap();
    let known = pin(&copy);
    let places = Places { store: repository.store(), copies: &[] };
    let source = (LastKnownGood::Index(&copy, &known), good);
    let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
    decide(&mut plan, |_| Decision::Restore);
    send(&repository, "flask-2.1.tar.gz");
    let error = repository.restore(&plan, &[], &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, RestoreError::Stale { .. }), "{error}");
}

/// From the theft on, with a process that ends at each failure and another that begins again with the same
/// ceremony and the same plan.
fn restored_through_crashes(index: &Index) -> usize {
    let (repository, process) = world(index, Layout::Files);
    let good = snapshot_version(&repository);
    let copy = backup(repository.store());
    until_done(|| {
        send_again(&repository, "flask-1.1.tar.gz")?;
        process.publish_all(start())
    });
    let thief = [evil("flask-1.0.tar.gz"), remove_target("packages/click/click-8.0.tar.gz")];
    until_done(|| {
        let store = repository.store();
        let path = "packages/flask/flask-1.0.tar.gz";
        store.remove(&[super::file(path)])?;
        let bytes = b"evil flask-1.0.tar.gz";
        store.create(&[Object { key: &super::target(path, bytes), bytes }])?;
        let id = Sha256::of(b"thief");
        repository.database().append_restoration(id, &thief)?;
        process.publish_all(start())
    });
    let known = pin(&copy);
    let source = (LastKnownGood::Index(&copy, &known), good);
    let places = Places { store: repository.store(), copies: &[&copy] };
    let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
    decide(&mut plan, |_| Decision::Restore);
    assert_eq!(listed(&plan).len(), 3);
    drop((repository, process));

    let mut made: Option<Ceremony> = None;
    let (mut crashes, mut now) = (0, hours(1));
    let (repository, _process) = loop {
        let (repository, process) = until_done(|| open(index));
        let made = made.get_or_insert_with(|| hold(&repository, COMPROMISE, start()));
        let attempt = || -> Result<(), RestoreError> {
            if root_version(&repository) < last_root(made) {
                match repository.change_offline_roles(made, now) {
                    Err(Error::Change(_)) => {}
                    recorded => drop(recorded?),
                }
                process.recover(10)?;
                repository.restore(&plan, &[&copy], &mut |_, _| {})?;
            }
            Ok(process.publish_all(now)?)
        };
        match attempt() {
            Ok(()) => break (repository, process),
            Err(error) => assert!(error.to_string().contains("timed out"), "{error}"),
        }
        crashes += 1;
        now += SignedDuration::from_mins(1);
    };
    prove_whole(&repository, now);
    is_valid(&repository, now);
    assert_eq!(names(&repository, "flask"), ["flask-1.0-py3-none-any.whl", "flask-1.0.tar.gz"]);
    let flask = "packages/flask/flask-1.0.tar.gz";
    assert_eq!(found(&repository, flask).unwrap(), b"flask-1.0.tar.gz");
    assert!(found(&repository, "packages/click/click-8.0.tar.gz").is_some());
    let bytes = repository.store().read(&super::file(flask), LIMIT).unwrap().unwrap();
    assert_eq!(bytes, b"flask-1.0.tar.gz");
    crashes
}

fn send_again(repository: &Repository, filename: &str) -> Result<(), Error> {
    super::index::upload(repository, filename, filename.as_bytes()).map(drop)
}

#[test]
fn a_crash_at_any_write_of_restoring_is_resumed() {
    let (index, faults): (Index, Faults) = counted(Kind::Memory);
    assert_eq!(restored_through_crashes(&index), 0);
    assert!(faults.calls().contains(&"append_restoration"));
    fail_each(Kind::Memory, &faults.calls(), restored_through_crashes);
}

/// Bins are compared by the paths of their targets, so that there may be others now.
#[test]
fn the_good_snapshot_may_have_other_bins() {
    let index = Index::with_bins(Kind::Memory, Bins::new(16, BinStyle::Classic).unwrap());
    let (repository, process) = world(&index, Layout::Files);
    let good = snapshot_version(&repository);
    let copy = backup(repository.store());
    let more = super::offline_change::with_bins(64, BinStyle::Succinct);
    let made = hold(&repository, more, start());
    repository.change_offline_roles(&made, start()).unwrap();
    drop(process);
    let (repository, process) = open(&index).unwrap();
    process.publish_all(start()).unwrap();
    assert_eq!(repository.bins().count(), 64);
    send(&repository, "flask-3.0.tar.gz");
    process.publish_all(start()).unwrap();
    let known = pin(&copy);
    let places = Places { store: repository.store(), copies: &[] };
    let source = (LastKnownGood::Index(&copy, &known), good);
    let plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
    assert_eq!(listed(&plan), [("packages/flask/flask-3.0.tar.gz", Change::Added)].into());
}

/// Where SHA-512 alone is listed, no object has the name by which a page says a file.
#[test]
fn a_file_comes_back_where_other_digests_are_listed() {
    let index = Index::new(Kind::Filesystem);
    let (repository, mut process) = world(&index, Layout::Files);
    for algorithms in [HashAlgorithms::Both, HashAlgorithms::Sha512] {
        process = process.with_hash_algorithms(algorithms).unwrap();
        process.publish_all(start()).unwrap();
    }
    let flask = "packages/flask/flask-1.0.tar.gz";
    let object = super::target(flask, b"flask-1.0.tar.gz");
    repository.store().remove(std::slice::from_ref(&object)).unwrap();
    let good = snapshot_version(&repository);
    let copy = backup(repository.store());
    steal(&repository, &process, &[evil("flask-1.0.tar.gz")]);
    let known = pin(&copy);
    let source = (LastKnownGood::Index(&copy, &known), good);
    let places = Places { store: repository.store(), copies: &[&copy] };
    let mut plan = compare(&repository, source, places, &mut |_, _| {}).unwrap();
    assert_eq!(listed(&plan), [(flask, Change::Changed)].into());
    decide(&mut plan, |_| Decision::Restore);
    repository.restore(&plan, &[&copy], &mut |_, _| {}).unwrap();
    process.publish_all(start()).unwrap();
    let file = repository.target(&TargetPath::new(flask).unwrap()).unwrap().unwrap();
    assert_eq!(file.hashes.listed_sha256(), None);
    assert!(file.hashes.are_of(b"flask-1.0.tar.gz"));
    is_valid(&repository, start());
}
