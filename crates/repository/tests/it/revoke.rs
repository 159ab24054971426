//! Projects and files that are taken back: in one snapshot, in the journal's order, and for good.

use std::sync::Arc;

use jiff::SignedDuration;
use waxseal_index::{DistributionFilename, NormalizedName};
use waxseal_repository::database::{AppendedRevocation, Revocable, Revocation};
use waxseal_repository::store::StoreKey;
use waxseal_repository::{Accepted, Error, GcOptions, Repository, SnapshotProcess};
use waxseal_tuf::TargetPath;
use waxseal_tuf::hash::Sha256;

use super::audit::{Client, audit_all};
use super::index::{Index, Kind, LIMIT, hours, minutes, send, start, upload};
use super::resume::{counted, fail_each, prove_whole, through_crashes};

const WHEEL: &str = "flask-3.0-py3-none-any.whl";
const OLDER: &str = "flask-2.0-py3-none-any.whl";
const OTHER: &str = "click-8.tar.gz";

fn filename(text: &str) -> DistributionFilename {
    text.parse().unwrap()
}

fn file(text: &str) -> Revocable {
    Revocable::from(&filename(text))
}

fn project(name: &str) -> Revocable {
    Revocable::from(&NormalizedName::of(name).unwrap())
}

/// Revokes what must be there; the serial.
fn revoke(repository: &Repository, what: &[Revocable], reason: &str) -> u64 {
    match repository.revoke(what, reason).unwrap() {
        AppendedRevocation::New { serial, .. } => serial,
        other => panic!("{what:?}: {other:?}"),
    }
}

fn is_target(repository: &Repository, path: &str) -> bool {
    repository.target(&TargetPath::new(path).unwrap()).unwrap().is_some()
}

fn page(repository: &Repository, path: &str) -> Option<String> {
    let path = TargetPath::new(path).unwrap();
    let digest = repository.target(&path).unwrap()?.hashes.file_name_digest()?.parse().unwrap();
    let bytes = repository.store().read(&StoreKey::Target { path, digest }, LIMIT).unwrap();
    Some(String::from_utf8(bytes.unwrap()).unwrap())
}

fn published(kind: Kind) -> (Index, Arc<Repository>, SnapshotProcess) {
    let (index, repository, process) = Index::published(kind);
    for name in [WHEEL, OLDER, OTHER] {
        send(&repository, name);
    }
    process.publish_all(start()).unwrap();
    (index, repository, process)
}

#[test]
fn a_file_is_gone_from_bins_and_pages_in_one_snapshot() {
    for kind in Kind::EACH {
        let (_index, repository, process) = published(kind);
        let mut returning = Client::default();
        returning.audit(&repository, start());
        let before = process.publish(start()).unwrap();
        assert_eq!(before, None);
        let serial = revoke(&repository, &[file(WHEEL)], "malware");
        assert!(is_target(&repository, &format!("packages/flask/{WHEEL}")), "before its snapshot");
        let snapshot = process.publish(start()).unwrap().unwrap();
        assert_eq!(snapshot.serial, serial);
        assert_eq!(process.publish(start()).unwrap(), None, "a second snapshot");

        for suffix in ["", ".metadata"] {
            assert!(!is_target(&repository, &format!("packages/flask/{WHEEL}{suffix}")));
            assert!(is_target(&repository, &format!("packages/flask/{OLDER}{suffix}")));
        }
        for kind in ["json", "html"] {
            let page = page(&repository, &format!("simple/flask/vnd.pypi.simple.v1.{kind}"));
            let page = page.unwrap();
            assert!(page.contains(OLDER) && !page.contains(WHEEL), "{page}");
        }
        assert!(page(&repository, "simple/vnd.pypi.simple.v1.json").unwrap().contains("flask"));
        let plain = TargetPath::new(format!("packages/flask/{WHEEL}")).unwrap();
        assert_eq!(repository.plain_file(&plain).unwrap(), None);
        returning.audit(&repository, start());
        audit_all(&repository, start());
        prove_whole(&repository, start());
    }
}

#[test]
fn a_project_is_gone_from_the_list_too_and_its_objects_are_garbage() {
    let (_index, repository, process) = published(Kind::Filesystem);
    revoke(&repository, &[project("Flask")], "a typo-squat");
    process.publish_all(minutes(1)).unwrap();
    for kind in ["json", "html"] {
        assert!(!is_target(&repository, &format!("simple/flask/vnd.pypi.simple.v1.{kind}")));
        let list = page(&repository, &format!("simple/vnd.pypi.simple.v1.{kind}")).unwrap();
        assert!(!list.contains("flask") && list.contains("click"), "{list}");
    }
    assert_eq!(repository.database().project_names().unwrap(), ["click"]);
    audit_all(&repository, minutes(1));
    prove_whole(&repository, minutes(1));

    // In the ordinary way: three snapshots and the grace time later.
    let path = TargetPath::new(format!("packages/flask/{WHEEL}")).unwrap();
    let digest = Sha256::of(WHEEL.as_bytes());
    let keys =
        [StoreKey::Target { path: path.clone(), digest: digest.into() }, StoreKey::File(path)];
    let is_there = |key| repository.store().read(key, LIMIT).unwrap().is_some();
    assert!(keys.iter().all(is_there));
    for hour in [20, 40, 60] {
        process.publish_all(hours(hour)).unwrap();
    }
    // The store goes by the clock of this machine.
    let options = GcOptions { grace: SignedDuration::ZERO, ..GcOptions::default() };
    repository.collect_garbage(&options, hours(60), &|_| {}).unwrap();
    assert!(!keys.iter().any(is_there));
    prove_whole(&repository, hours(60));
}

#[test]
fn what_waits_keeps_the_order_of_the_journal() {
    let (_index, repository, process) = published(Kind::Memory);
    send(&repository, "flask-4.0.tar.gz");
    send(&repository, "flask-5.0.tar.gz");
    revoke(&repository, &[file("flask-4.0.tar.gz"), file(WHEEL)], "wrong branch");
    send(&repository, "flask-6.0.tar.gz");
    send(&repository, "evil-1.tar.gz");
    // A project that was never published goes without a trace.
    revoke(&repository, &[project("evil")], "malware");
    process.publish(start()).unwrap().unwrap();
    let page = page(&repository, "simple/flask/vnd.pypi.simple.v1.json").unwrap();
    for (name, is_there) in [
        ("flask-4.0.tar.gz", false),
        (WHEEL, false),
        (OLDER, true),
        ("flask-5.0.tar.gz", true),
        ("flask-6.0.tar.gz", true),
    ] {
        assert_eq!(page.contains(name), is_there, "{name}");
        assert_eq!(is_target(&repository, &format!("packages/flask/{name}")), is_there, "{name}");
    }
    let plain = StoreKey::File(TargetPath::new("packages/flask/flask-4.0.tar.gz").unwrap());
    assert_eq!(repository.store().read(&plain, LIMIT).unwrap(), None, "it got its plain name");
    assert_eq!(repository.database().project_names().unwrap(), ["click", "flask"]);
    audit_all(&repository, start());
    prove_whole(&repository, start());
}

#[test]
fn a_revoked_name_takes_no_upload_until_it_is_readmitted() {
    let (_index, repository, process) = published(Kind::Memory);
    let serial = revoke(&repository, &[file(WHEEL)], "malware: see ticket 7");
    let refused = |name: &str, bytes: &[u8]| match upload(&repository, name, bytes).unwrap() {
        Accepted::Revoked(Revocation { name, serial, reason, .. }) => (name, serial, reason),
        other => panic!("{other:?}"),
    };
    // Before it is published and after, the same bytes and others, and in another spelling.
    for round in 0..2 {
        for (name, bytes) in [
            (WHEEL, WHEEL.as_bytes()),
            (WHEEL, b"other"),
            ("Flask-3.0.0-py3-none-any.whl", b"other"),
        ] {
            let (name, by, reason) = refused(name, bytes);
            assert_eq!((&*name, by, &*reason), (WHEEL, serial, "malware: see ticket 7"), "{round}");
        }
        process.publish_all(start()).unwrap();
    }
    send(&repository, "flask-4.0.tar.gz");

    let readmitted = repository.readmit(&[file(WHEEL)], "a false alarm").unwrap();
    assert!(matches!(readmitted, AppendedRevocation::New { .. }));
    process.publish_all(start()).unwrap();
    // It is not back by itself, and it is what it was or nothing.
    assert!(!is_target(&repository, &format!("packages/flask/{WHEEL}")));
    let other = upload(&repository, WHEEL, b"other").unwrap();
    assert_eq!(other, Accepted::Taken { filename: WHEEL.to_owned() });
    let again = upload(&repository, WHEEL, WHEEL.as_bytes()).unwrap();
    let Accepted::New { serial: again } = again else { panic!("{again:?}") };
    let repeated = upload(&repository, WHEEL, WHEEL.as_bytes()).unwrap();
    assert_eq!(repeated, Accepted::Same { serial: again });
    process.publish_all(start()).unwrap();
    assert!(is_target(&repository, &format!("packages/flask/{WHEEL}")));
    audit_all(&repository, start());
    prove_whole(&repository, start());
}

/// All of it in one batch: the last word counts.
#[test]
fn a_file_that_comes_again_in_the_same_batch_is_there() {
    let (_index, repository, process) = published(Kind::Memory);
    for _ in 0..2 {
        revoke(&repository, &[file(WHEEL)], "malware");
        repository.readmit(&[file(WHEEL)], "a false alarm").unwrap();
        send(&repository, WHEEL);
    }
    process.publish(start()).unwrap().unwrap();
    assert!(is_target(&repository, &format!("packages/flask/{WHEEL}")));
    audit_all(&repository, start());
    prove_whole(&repository, start());
}

#[test]
fn a_revoked_project_takes_no_file_at_all_until_it_is_readmitted() {
    let (_index, repository, process) = published(Kind::Memory);
    revoke(&repository, &[file(OLDER)], "broken");
    revoke(&repository, &[project("flask")], "a typo-squat");
    process.publish_all(start()).unwrap();
    let refused = upload(&repository, "flask-9.tar.gz", b"new").unwrap();
    assert!(matches!(&refused, Accepted::Revoked(it) if it.is_project && it.name == "flask"));

    let readmitted = repository.readmit(&[project("flask")], "it is theirs").unwrap();
    let AppendedRevocation::New { entry, .. } = readmitted else { panic!("{readmitted:?}") };
    // Only what went with it.
    assert_eq!((entry.projects, entry.files), (vec!["flask".to_owned()], vec![WHEEL.to_owned()]));
    send(&repository, "flask-9.tar.gz");
    send(&repository, WHEEL);
    let refused = upload(&repository, OLDER, OLDER.as_bytes()).unwrap();
    assert!(matches!(&refused, Accepted::Revoked(it) if it.reason == "broken"), "{refused:?}");
    process.publish_all(start()).unwrap();
    assert_eq!(repository.database().project_names().unwrap(), ["click", "flask"]);
    audit_all(&repository, start());
    prove_whole(&repository, start());
}

#[test]
fn many_files_are_revoked_in_one_entry_or_none_of_them() {
    let (_index, repository, process) = published(Kind::Memory);
    let last = repository.database().last_serial().unwrap();
    let names = [WHEEL, OTHER, "flask-7.tar.gz", "nothing-1.tar.gz"].map(filename);
    let unknown = repository.revoke_files(&names, "stolen").unwrap();
    let expected = ["flask-7.tar.gz", "nothing-1.tar.gz"].map(str::to_owned);
    assert_eq!(unknown, AppendedRevocation::Unknown(expected.into()));
    assert_eq!(repository.database().last_serial().unwrap(), last);
    assert_eq!(repository.database().revocations().unwrap(), []);

    let revoked = repository.revoke_files(&names[..2], "stolen").unwrap();
    let AppendedRevocation::New { serial, .. } = revoked else { panic!("{revoked:?}") };
    assert_eq!(serial, last + 1);
    process.publish(start()).unwrap().unwrap();
    assert_eq!(repository.database().project_names().unwrap(), ["flask"]);
    let again = repository.revoke_files(&names[..2], "another reason").unwrap();
    let AppendedRevocation::Nothing { before } = again else { panic!("{again:?}") };
    let before: Vec<_> = before.iter().map(|it| (&*it.name, it.serial, &*it.reason)).collect();
    assert_eq!(before, [(WHEEL, serial, "stolen"), (OTHER, serial, "stolen")]);
    assert_eq!(repository.database().last_serial().unwrap(), serial);
    prove_whole(&repository, start());
}

/// What the audit is for: a catalog that still has what was revoked, and one that lost what was not.
#[test]
fn the_audit_knows_what_was_revoked_from_what_is_lost() {
    let (index, repository, process) = published(Kind::Memory);
    revoke(&repository, &[file(WHEEL)], "malware");
    process.publish_all(start()).unwrap();
    prove_whole(&repository, start());
    let find = |sql: &str, text: &str| {
        let connection = rusqlite::Connection::open(index.database_path()).unwrap();
        connection.execute_batch(sql).unwrap();
        let settings = waxseal_repository::audit::Settings { now: start(), deep: false };
        let database = Some(repository.database());
        let report =
            waxseal_repository::audit::audit(repository.store(), database, settings, &mut |_| {});
        let findings = format!("{:?}", report.unwrap().findings);
        assert!(findings.contains(text), "{findings}");
    };
    find("DELETE FROM file WHERE project = 'click'", "click-8.tar.gz, is published and not in the");
    let back = format!(
        "INSERT INTO file SELECT project, '{WHEEL}', version, sha256, size, upload_time, \
         requires_python, metadata_sha256, metadata_size, yanked, 1 FROM file WHERE project = 'flask'"
    );
    find(&back, &format!("revokes {WHEEL}, which is in the catalog"));
}

/// Does one step after the other; a failure ends the process, and the next one does the step again.
/// Answers how many crashes were looked at.
fn run(index: &Index) -> usize {
    type Step = fn(&Repository) -> Result<(), Error>;
    let steps: [Step; 4] = [
        |repository| {
            for name in [WHEEL, OLDER, OTHER] {
                upload(repository, name, name.as_bytes())?;
            }
            Ok(())
        },
        |repository| repository.revoke(&[file(WHEEL)], "malware").map(|_| ()),
        |repository| {
            upload(repository, "flask-4.0.tar.gz", b"4.0")?;
            repository.revoke(&[project("flask"), file(OTHER)], "a typo-squat").map(|_| ())
        },
        |repository| {
            repository.readmit(&[project("flask")], "it is theirs")?;
            upload(repository, OLDER, OLDER.as_bytes()).map(|_| ())
        },
    ];
    let steps: Vec<_> = (0..).zip(steps).collect();
    let (repository, crashes) = through_crashes(index, &steps);
    assert_eq!(repository.database().project_names().unwrap(), ["flask"]);
    assert!(is_target(&repository, &format!("packages/flask/{OLDER}")));
    let kinds = repository.database().waiting(0, 100).unwrap();
    let revoked = kinds
        .iter()
        .filter(|row| matches!(row.entry, waxseal_repository::database::Entry::Revoke(_)));
    assert_eq!(revoked.count(), 2, "an entry was recorded twice");
    crashes
}

#[test]
fn a_crash_at_any_write_ends_well() {
    for kind in Kind::EACH {
        let (index, faults) = counted(kind);
        assert_eq!(run(&index), 0);
        let calls = faults.calls();
        for method in ["append_revocation", "append_readmission"] {
            assert!(calls.contains(&method), "{method}");
        }
        fail_each(kind, &calls, run);
    }
}
