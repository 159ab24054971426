//! The shipped audit by attack: each thing that it claims to check is damaged alone, in a good
//! repository, and named.

use std::fs;

use waxseal_index::NormalizedName;
use waxseal_index::simple::{ProjectList, ProjectPage};
use waxseal_repository::audit::{self, Kind, Settings};
use waxseal_repository::database::{Database, SqliteDatabase};
use waxseal_repository::store::{FilesystemStore, Store, StoreKey};
use waxseal_testkit::simulator::TestKey;
use waxseal_testkit::tree::tree;
use waxseal_tuf::metadata::{self, Root, Targets, sign};
use waxseal_tuf::{RoleName, Signer};

use super::cold::{Cold, HTML, LIST, PAGE, WHEEL, also_finds, finds, listed, valid};
use super::index::{self, Index, hours, send, start};

#[test]
fn a_good_repository_is_valid_and_all_of_it_is_counted() {
    let cold = Cold::new();
    for deep in [false, true] {
        let report = cold.audit_at(start(), deep);
        valid(&report);
        assert_eq!(report.snapshot, Some(3));
        let counts = report.counts;
        assert_eq!((counts.roots, counts.bins, counts.pages, counts.listed_files), (1, 8, 3, 5));
        // Two lists, two pages a project, five files, core metadata of four wheels.
        assert_eq!((counts.targets, counts.target_files, counts.elsewhere), (17, 17, 0));
        assert_eq!(counts.hashed, if deep { 17 } else { 16 });
        assert_eq!((counts.plain_names, counts.journal_entries), (9, 5));
        assert_eq!((counts.waiting_entries, counts.unpublished_metadata), (0, 0));
        assert!(counts.old_metadata >= 2 && counts.garbage >= 4, "{counts:?}");
    }
    let copy = cold.audit_copy();
    valid(&copy);
    assert_eq!(copy.counts.pages, 3);
    assert_eq!(copy.counts.journal_entries, 0);
}

#[test]
fn an_open_repository_is_audited_too() {
    let (index, repository, process) = Index::published(index::Kind::Filesystem);
    send(&repository, "flask-3.0-py3-none-any.whl");
    process.publish_all(start()).unwrap();
    send(&repository, "jinja2-3.1-py3-none-any.whl");
    let database = SqliteDatabase::open_to_read(index.database_path()).unwrap();
    let settings = Settings { now: start(), deep: true };
    let audit = |database| audit::audit(repository.store(), database, settings, &mut |_| {});
    let report = audit(Some(&database)).unwrap();
    valid(&report);
    let counts = report.counts;
    assert_eq!((counts.journal_entries, counts.waiting_entries, counts.waiting_files), (1, 1, 2));
    let alone = audit(None).unwrap().counts;
    assert_eq!(counts.garbage + counts.waiting_files, alone.garbage);

    // What was accepted and is not published yet must be there.
    let file = "packages/jinja2/jinja2-3.1-py3-none-any.whl";
    let key = super::target(file, b"jinja2-3.1-py3-none-any.whl");
    let path = index.path().join("store").join(key.path());
    fs::write(&path, "short").unwrap();
    finds(&audit(Some(&database)).unwrap(), Kind::TargetChanged, &key.path(), "journal entry 2");
    fs::remove_file(path).unwrap();
    finds(&audit(Some(&database)).unwrap(), Kind::TargetMissing, &key.path(), "journal entry 2");
    valid(&audit(None).unwrap());
}

#[test]
fn metadata_that_is_missing_is_named() {
    for role in ["root", "timestamp", "snapshot", "targets", "bins", "bin-3"] {
        let cold = Cold::new();
        let key = cold.metadata(role);
        fs::remove_file(cold.path(&key)).unwrap();
        for report in [cold.audit(), cold.audit_copy()] {
            also_finds(&report, Kind::Missing, &key.path(), "is not there");
        }
    }
}

#[test]
fn metadata_that_was_changed_is_named() {
    for (role, kind) in [
        ("root", Kind::Unsigned),
        ("timestamp", Kind::Unsigned),
        ("snapshot", Kind::Inconsistent),
        ("targets", Kind::Inconsistent),
        ("bins", Kind::Inconsistent),
        ("bin-3", Kind::Unsigned),
    ] {
        let cold = Cold::new();
        let key = cold.metadata(role);
        let bytes = fs::read_to_string(cold.path(&key)).unwrap();
        fs::write(cold.path(&key), bytes.replacen("\"expires\":\"2", "\"expires\":\"3", 1))
            .unwrap();
        also_finds(&cold.audit(), kind, &key.path(), "");
        fs::write(cold.path(&key), &bytes[1..]).unwrap();
        let kind = if role == "snapshot" { Kind::Inconsistent } else { Kind::Malformed };
        also_finds(&cold.audit(), kind, &key.path(), "");
    }
}

#[test]
fn a_root_that_the_one_before_did_not_sign_is_named() {
    let cold = Cold::new();
    let first = super::metadata(1, "root");
    let mut root: Root = cold.claims(&first);
    root.version = 2;
    let keys = ["root-a", "root-b", "root-c"].map(TestKey::new);
    let [a, b, _] = keys.each_ref().map(|key| key as &dyn Signer);
    let second = super::metadata(2, "root");
    fs::write(cold.path(&second), sign(&root, &[a]).unwrap()).unwrap();
    also_finds(&cold.audit(), Kind::Unsigned, &second.path(), "signed by 1");

    // Signed, and unknown to the database.
    fs::write(cold.path(&second), sign(&root, &[a, b]).unwrap()).unwrap();
    let report = cold.audit();
    assert_eq!(report.counts.roots, 2);
    finds(&report, Kind::Version, "database", "root version 2 is in the store");
    valid(&cold.audit_copy());

    // A version in between is gone.
    fs::rename(cold.path(&second), cold.path(&super::metadata(3, "root"))).unwrap();
    finds(&cold.audit_copy(), Kind::Missing, &second.path(), "version 3 is");
}

#[test]
fn expired_metadata_is_a_finding_and_what_expires_soon_a_warning() {
    let cold = Cold::new();
    let soon = cold.audit_at(hours(23), false);
    valid(&soon);
    assert_eq!(soon.warnings.len(), 10, "{soon:#?}");
    let late = cold.audit_at(hours(25), false);
    assert_eq!(late.counts.findings, 10);
    assert!(late.findings.iter().all(|finding| finding.kind == Kind::Expired), "{late:#?}");
    // All else is read all the same.
    assert_eq!((late.counts.bins, late.counts.targets), (8, 17));
    let years = cold.audit_at(hours(24 * 366), false);
    also_finds(&years, Kind::Expired, "tuf/metadata/1.root.json", "expired");
    also_finds(&years, Kind::Expired, "tuf/metadata/1.bins.json", "expired");
}

#[test]
fn a_bin_that_is_not_what_snapshot_names_is_named() {
    let cold = Cold::new();
    let (one, other) = (cold.role("bin-3"), cold.role("bin-4"));
    let good = fs::read(cold.path(&one)).unwrap();
    let put = |bytes: Vec<u8>| fs::write(cold.path(&one), bytes).unwrap();
    let damaged = |kind, problem: &str| {
        also_finds(&cold.audit(), kind, &one.path(), problem);
        fs::write(cold.path(&one), &good).unwrap();
    };
    put(cold.signed_bin(&one, |bin| bin.version += 1));
    damaged(Kind::Inconsistent, "expected version");
    put(cold.signed_bin(&one, |bin| bin.name = None));
    damaged(Kind::Inconsistent, "does not say which bin");
    let name: Targets = cold.claims(&other);
    put(cold.signed_bin(&one, |bin| bin.name = name.name));
    damaged(Kind::Inconsistent, "bin-4 came");
    valid(&cold.audit());
    // Signed, and well-formed, and not what was published under this name.
    let bytes = cold.signed_bin(&one, |bin| bin.targets.clear());
    assert_ne!(bytes, good);
    fs::write(cold.path(&one), bytes).unwrap();
    also_finds(&cold.audit(), Kind::Inconsistent, &one.path(), "other bytes than this program");
}

#[test]
fn a_snapshot_without_a_role_is_named() {
    for role in ["targets", "bins", "bin-3"] {
        let cold = Cold::new();
        let name = RoleName::new(role).unwrap();
        let key = super::metadata(cold.snapshot().version, "snapshot");
        cold.sign_snapshot(|snapshot| drop(snapshot.roles.remove(&name)));
        // A snapshot without `targets` is none at all.
        let kind = if role == "targets" { Kind::Malformed } else { Kind::Inconsistent };
        also_finds(&cold.audit(), kind, &key.path(), role);
    }
    let cold = Cold::new();
    let stranger = RoleName::new("bin-8").unwrap();
    cold.sign_snapshot(|snapshot| {
        snapshot.roles.insert(stranger, metadata::MetaFile::version(1));
    });
    let report = cold.audit();
    valid(&report);
    assert!(report.warnings[0].problem.contains("nothing delegates"), "{report:#?}");
}

#[test]
fn a_target_in_the_wrong_bin_is_named() {
    let cold = Cold::new();
    let right = cold.bin_of(WHEEL);
    let wrong = ["bin-0", "bin-1"].map(|role| cold.role(role));
    let wrong = wrong.into_iter().find(|key| *key != right).unwrap();
    let file = cold.target(WHEEL);
    cold.sign_bin(&wrong, |bin| drop(bin.targets.insert(WHEEL.to_owned(), file)));
    finds(&cold.audit(), Kind::Misplaced, WHEEL, "clients look for it");
}

#[test]
fn a_file_that_is_not_its_target_is_named() {
    for path in [WHEEL, "packages/flask/flask-3.0-py3-none-any.whl.metadata", PAGE, HTML, LIST] {
        let cold = Cold::new();
        let key = cold.object(path);
        let bytes = fs::read(cold.path(&key)).unwrap();
        let plain = cold.path(&super::file(path));
        // A store whose plain names are copies, so that they keep their bytes.
        if plain.exists() {
            fs::remove_file(&plain).unwrap();
            fs::write(&plain, &bytes).unwrap();
        }
        valid(&cold.audit());
        let damaged = |damage: &dyn Fn(), kind| {
            fs::remove_file(cold.path(&key)).unwrap();
            damage();
            for report in [cold.audit(), cold.audit_copy()] {
                also_finds(&report, kind, &key.path(), "");
            }
        };
        damaged(&|| fs::write(cold.path(&key), &bytes[1..]).unwrap(), Kind::TargetChanged);
        let mut other = bytes.clone();
        other[0] ^= 1;
        damaged(&|| fs::write(cold.path(&key), &other).unwrap(), Kind::TargetChanged);
        damaged(&|| (), Kind::TargetMissing);
    }
}

#[test]
fn the_bytes_of_a_large_file_take_a_deep_audit() {
    let cold = Cold::new();
    let path = "packages/numpy/numpy-2.0-py3-none-any.whl";
    let key = cold.object(path);
    fs::write(cold.path(&key), vec![8; 100_000]).unwrap();
    valid(&cold.audit());
    finds(&cold.audit_at(start(), true), Kind::TargetChanged, &key.path(), "sha256");
    fs::write(cold.path(&key), vec![8; 100_001]).unwrap();
    finds(&cold.audit(), Kind::TargetChanged, &key.path(), "100001 bytes");
}

#[test]
fn a_plain_name_with_other_bytes_is_named() {
    let cold = Cold::new();
    let key = super::file(WHEEL);
    let path = cold.path(&key);
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    finds(&cold.audit(), Kind::PlainName, &key.path(), "is not there");
    let mut other = bytes.clone();
    other[3] ^= 1;
    fs::write(&path, &other).unwrap();
    finds(&cold.audit(), Kind::PlainName, &key.path(), "sha256");
    finds(&cold.audit_copy(), Kind::PlainName, &key.path(), "sha256");
    fs::write(&path, &bytes[1..]).unwrap();
    finds(&cold.audit(), Kind::PlainName, &key.path(), "bytes");
    fs::write(&path, &bytes).unwrap();
    valid(&cold.audit());
    // A large copy is hashed too.
    let large = super::file("packages/numpy/numpy-2.0-py3-none-any.whl");
    fs::remove_file(cold.path(&large)).unwrap();
    fs::write(cold.path(&large), vec![8; 100_000]).unwrap();
    finds(&cold.audit(), Kind::PlainName, &large.path(), "sha256");
}

#[test]
fn a_page_that_disagrees_with_the_targets_is_named() {
    // The page lists what is no target.
    let cold = Cold::new();
    cold.sign_bin(&cold.bin_of(WHEEL), |bin| drop(bin.targets.remove(WHEEL)));
    for report in [cold.audit(), cold.audit_copy()] {
        finds(&report, Kind::Page, WHEEL, "is no target");
    }
    // A target that no page lists, with its file.
    let cold = Cold::new();
    let added = "packages/flask/flask-9.0-py3-none-any.whl";
    cold.sign_target(added, b"evil");
    let plain = cold.path(&super::file(added));
    fs::write(plain, b"evil").unwrap();
    for report in [cold.audit(), cold.audit_copy()] {
        finds(&report, Kind::Page, added, "no page lists it");
    }
    // Another file under a listed name.
    let cold = Cold::new();
    let mut bytes = fs::read(cold.path(&cold.object(WHEEL))).unwrap();
    bytes[0] ^= 1;
    fs::remove_file(cold.path(&super::file(WHEEL))).unwrap();
    fs::write(cold.path(&super::file(WHEEL)), &bytes).unwrap();
    cold.sign_target(WHEEL, &bytes);
    for report in [cold.audit(), cold.audit_copy()] {
        finds(&report, Kind::Page, WHEEL, "another length or SHA-256");
    }
    // HTML and JSON differ.
    let cold = Cold::new();
    cold.sign_target(HTML, cold.text(HTML).replace("flask-3.0.tar", "flask-3.0.zip").as_bytes());
    for report in [cold.audit(), cold.audit_copy()] {
        finds(&report, Kind::Page, HTML, "same page as JSON");
    }
}

#[test]
fn a_page_of_the_wrong_shape_is_named() {
    for (from, to, problem) in [
        ("\"name\":\"flask\"", "\"name\":\"jinja2\"", "is the page of"),
        ("{\"filename\"", "{\"filenome\"", "filename"),
        ("../../files/packages/flask/", "https://evil.example/", "link leads to"),
        (
            "\"filename\":\"flask-3.0.tar.gz\"",
            "\"filename\":\"other-3.0.tar.gz\"",
            "belongs to other",
        ),
        (
            "\"filename\":\"flask-3.0.tar.gz\"",
            "\"filename\":\"flask-3.0-py3-none-any.whl\"",
            "twice",
        ),
    ] {
        let cold = Cold::new();
        let text = cold.text(PAGE);
        assert!(text.contains(from), "{from}: {text}");
        cold.sign_target(PAGE, text.replacen(from, to, 1).as_bytes());
        also_finds(&cold.audit_copy(), Kind::Page, PAGE, problem);
    }
}

#[test]
fn a_project_that_is_left_out_is_named() {
    // Of the list: without the database that is all one can see.
    let cold = Cold::new();
    let names = ["jinja2", "numpy"].map(|name| NormalizedName::of(name).unwrap());
    let list = ProjectList { names: names.into() };
    cold.sign_target(LIST, &list.to_json());
    cold.sign_target("simple/vnd.pypi.simple.v1.html", &list.to_html());
    finds(&cold.audit(), Kind::Page, LIST, "does not list flask");
    // With its pages.
    let cold = Cold::new();
    for page in [PAGE, HTML] {
        cold.sign_bin(&cold.bin_of(page), |bin| drop(bin.targets.remove(page)));
    }
    also_finds(&cold.audit(), Kind::Page, PAGE, "the project has files");
    also_finds(&cold.audit_copy(), Kind::Page, PAGE, "the project has files");
    // And the list itself.
    let cold = Cold::new();
    cold.sign_bin(&cold.bin_of(LIST), |bin| drop(bin.targets.remove(LIST)));
    also_finds(&cold.audit(), Kind::Page, LIST, "is not there");
}

#[test]
fn pages_that_the_catalog_does_not_bear_out_are_named() {
    let cold = Cold::new();
    let without_wheel = ProjectPage {
        name: NormalizedName::of("flask").unwrap(),
        last_serial: 2,
        files: Vec::new(),
    };
    // All of it agrees but for the catalog: a file is withheld.
    cold.sign_target(PAGE, &without_wheel.to_json());
    cold.sign_target(HTML, &without_wheel.to_html());
    let metadata = format!("{WHEEL}.metadata");
    for path in [WHEEL, &metadata, "packages/flask/flask-3.0.tar.gz"] {
        cold.sign_bin(&cold.bin_of(path), |bin| drop(bin.targets.remove(path)));
    }
    valid(&cold.audit_copy());
    let report = cold.audit();
    assert_eq!(report.counts.findings, 2, "{report:#?}");
    also_finds(&report, Kind::Catalog, PAGE, "does not list flask-3.0-py3-none-any.whl");
    // An older page again.
    let older = ProjectPage { last_serial: 1, ..without_wheel };
    cold.sign_target(PAGE, &older.to_json());
    also_finds(&cold.audit(), Kind::Catalog, PAGE, "shows serial 1, and 2 is published");
    let newer = ProjectPage { last_serial: 9, ..older };
    cold.sign_target(PAGE, &newer.to_json());
    also_finds(&cold.audit(), Kind::Catalog, PAGE, "ends at 2");
}

#[test]
fn a_catalog_that_was_changed_is_named() {
    let cold = Cold::new();
    cold.sql("UPDATE file SET requires_python = '>=2' WHERE filename LIKE 'jinja2%'");
    let page = "simple/jinja2/vnd.pypi.simple.v1.json";
    finds(&cold.audit(), Kind::Catalog, page, "says otherwise of jinja2");

    let cold = Cold::new();
    cold.sql("UPDATE file SET sha256 = zeroblob(32) WHERE filename LIKE 'jinja2%'");
    let report = cold.audit();
    also_finds(&report, Kind::Catalog, page, "says otherwise of jinja2");
    also_finds(&report, Kind::Journal, "database", "entry 3 does not say so");

    let cold = Cold::new();
    cold.sql("DELETE FROM file WHERE filename LIKE 'flask%.gz'");
    let report = cold.audit();
    also_finds(&report, Kind::Catalog, PAGE, "lists flask-3.0.tar.gz, which the catalog has not");
    also_finds(&report, Kind::Journal, "database", "entry 2, flask-3.0.tar.gz, is published");
}

#[test]
fn a_journal_that_was_changed_is_named() {
    for (sql, problem) in [
        ("UPDATE file SET serial = 1 WHERE serial = 2", "entry 1 is in the catalog twice"),
        ("DELETE FROM journal WHERE serial = 2", "entry 1 is followed by 3"),
        ("DELETE FROM journal WHERE serial > 3", "the journal ends at 3"),
        ("UPDATE state SET value = 9 WHERE name = 'published_serial'", "serial 9 is published"),
        ("UPDATE journal SET entry = '{' WHERE serial = 2", "entry 2 is damaged"),
        ("UPDATE journal SET kind = 'song' WHERE serial = 2", "kind \"song\""),
        (
            "UPDATE journal SET entry = replace(entry, 'flask-3.0.tar', 'flask-4.0.tar')",
            "flask-3.0.tar.gz is in the catalog, and entry 2 does not say so",
        ),
    ] {
        let cold = Cold::new();
        cold.sql(sql);
        also_finds(&cold.audit(), Kind::Journal, "database", problem);
        valid(&cold.audit_copy());
    }
}

#[test]
fn a_database_that_is_older_than_the_store_is_named() {
    for role in ["timestamp", "snapshot", "bin-3"] {
        let cold = Cold::new();
        let version = match role {
            "timestamp" => cold.claims::<metadata::Timestamp>(&StoreKey::Timestamp).version,
            "snapshot" => cold.snapshot().version,
            role => cold.snapshot().roles.get(&RoleName::new(role).unwrap()).unwrap().version,
        };
        cold.forget_versions(role, version - 1);
        let problem = format!("{role} version {version} is in the store");
        finds(&cold.audit(), Kind::Version, "database", &problem);
        cold.forget_versions(role, version + 7);
        valid(&cold.audit());
    }
    // And a store that is older than the database.
    let cold = Cold::new();
    cold.sql(
        "UPDATE role SET published = version + 1, version = version + 1 WHERE name = 'timestamp'",
    );
    finds(&cold.audit(), Kind::Version, "database", "restored from an older backup");
    // A version that a crashed run wrote counts as well.
    let cold = Cold::new();
    let role = cold.role("bin-3");
    fs::copy(cold.path(&role), cold.path(&super::metadata(99, "bin-3"))).unwrap();
    let report = cold.audit();
    finds(&report, Kind::Version, "database", "bin-3 version 99 is in the store");
    assert_eq!(report.counts.unpublished_metadata, 1);
}

impl Cold {
    fn forget_versions(&self, role: &str, version: u64) {
        let row = match role.strip_prefix("bin-") {
            Some(number) => format!("bin SET version = {version} WHERE number = {number}"),
            None => format!("role SET version = {version} WHERE name = '{role}'"),
        };
        self.sql(&format!("UPDATE {row}"));
    }
}

#[test]
fn what_nothing_names_is_garbage_and_no_finding() {
    let cold = Cold::new();
    let before = cold.audit().counts;
    let store = cold.index.path().join("store");
    fs::write(store.join("tuf/metadata/notes.txt"), "12345").unwrap();
    fs::write(store.join("tuf/targets/packages/flask/notes.txt"), "12345").unwrap();
    fs::write(store.join("files/packages/flask/flask-1.0.tar.gz"), "12345").unwrap();
    let report = cold.audit();
    valid(&report);
    assert_eq!(report.counts.garbage, before.garbage + 3);
    assert_eq!(report.counts.garbage_bytes, before.garbage_bytes + 15);
}

#[test]
fn targets_of_an_adopted_index_have_their_files_elsewhere() {
    let cold = Cold::new();
    for path in ["packages/other/other-1.0.tar.gz", "simple/other/vnd.pypi.simple.v1.json", "x/y"] {
        let file = listed(path.as_bytes());
        cold.sign_bin(&cold.bin_of(path), |bin| drop(bin.targets.insert(path.to_owned(), file)));
    }
    for report in [cold.audit(), cold.audit_copy()] {
        valid(&report);
        assert_eq!((report.counts.elsewhere, report.counts.target_files), (3, 17));
    }
    // One whose file is here is checked.
    cold.sign_target("x/y", b"here");
    valid(&cold.audit());
    fs::write(cold.path(&cold.object("x/y")), b"hare").unwrap();
    finds(&cold.audit(), Kind::TargetChanged, &cold.object("x/y").path(), "sha256");
}

#[test]
fn an_index_whose_pages_alone_are_targets_is_valid() {
    let cold = Cold::new();
    for bin in 0..8 {
        let bin = cold.role(cold.bins.role(bin).as_str());
        cold.sign_bin(&bin, |bin| bin.targets.retain(|path, _| path.starts_with("simple/")));
    }
    for report in [cold.audit(), cold.audit_copy()] {
        valid(&report);
        assert_eq!((report.counts.targets, report.counts.listed_files), (8, 5));
    }
}

#[test]
fn an_index_without_a_file_is_valid() {
    let (index, repository, _process) = Index::published(index::Kind::Filesystem);
    let database = SqliteDatabase::open_to_read(index.database_path()).unwrap();
    let settings = Settings { now: start(), deep: true };
    for database in [None, Some(&database as &dyn Database)] {
        let report = audit::audit(repository.store(), database, settings, &mut |_| {}).unwrap();
        valid(&report);
        assert_eq!((report.counts.targets, report.counts.pages), (2, 0));
    }
}

#[test]
fn a_store_that_is_only_read_refuses_every_change() {
    let cold = Cold::new();
    let before = tree(cold.index.path());
    let store = cold.store();
    let key = super::metadata(1, "other");
    assert!(store.create(&[waxseal_repository::store::Object { key: &key, bytes: b"x" }]).is_err());
    assert!(store.replace_timestamp(None, b"x").is_err());
    assert!(store.remove(&[cold.role("bin-3")]).is_err());
    assert!(store.spool().is_err());
    let to = super::file("packages/x/x");
    let from = cold.object(WHEEL);
    assert!(store.link(&[waxseal_repository::store::Link { from, to }]).is_err());
    assert!(tree(cold.index.path()) == before);
    assert!(FilesystemStore::open_to_read(cold.index.path().join("nothing")).is_err());
}
