//! A repository on disk that nobody has open, and what an audit says of it.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use rusqlite::Connection;
use waxseal_repository::audit::{self, Kind, Report, Settings};
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::database::SqliteDatabase;
use waxseal_repository::store::{FilesystemStore, StoreKey};
use waxseal_testkit::simulator::TestKey;
use waxseal_testkit::tree::tree;
use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::{self, Snapshot, TargetFile, Targets, Unverified, sign};
use waxseal_tuf::{RoleName, TargetPath};

use super::index::{self, Index, send, start, upload};

pub(crate) const WHEEL: &str = "packages/flask/flask-3.0-py3-none-any.whl";
pub(crate) const PAGE: &str = "simple/flask/vnd.pypi.simple.v1.json";
pub(crate) const HTML: &str = "simple/flask/vnd.pypi.simple.v1.html";
pub(crate) const LIST: &str = "simple/vnd.pypi.simple.v1.json";

/// A repository on disk that nobody has open, to be damaged.
pub(crate) struct Cold {
    pub(crate) index: Index,
    pub(crate) bins: Bins,
}

impl Cold {
    /// Three projects in eight bins; one file is larger than those that are hashed in any case.
    pub(crate) fn new() -> Self {
        let (index, repository, process) = Index::published(index::Kind::Filesystem);
        send(&repository, "flask-3.0-py3-none-any.whl");
        send(&repository, "flask-3.0.tar.gz");
        send(&repository, "jinja2-3.1-py3-none-any.whl");
        upload(&repository, "numpy-2.0-py3-none-any.whl", &vec![7; 100_000]).unwrap();
        process.publish_all(start()).unwrap();
        send(&repository, "numpy-2.1-py3-none-any.whl");
        process.publish_all(start()).unwrap();
        Self { index, bins: Bins::new(8, BinStyle::Succinct).unwrap() }
    }

    pub(crate) fn path(&self, key: &StoreKey) -> PathBuf {
        self.index.path().join("store").join(key.path())
    }

    pub(crate) fn store(&self) -> FilesystemStore {
        FilesystemStore::open_to_read(self.index.path().join("store")).unwrap()
    }

    pub(crate) fn sql(&self, sql: &str) {
        let connection = Connection::open(self.index.database_path()).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    pub(crate) fn audit_at(&self, now: Timestamp, deep: bool) -> Report {
        let before = tree(self.index.path());
        let database = SqliteDatabase::open_to_read(self.index.database_path()).unwrap();
        let settings = Settings { now, deep };
        let report = audit::audit(&self.store(), Some(&database), settings, &mut |_| {}).unwrap();
        drop(database);
        assert!(tree(self.index.path()) == before, "the audit changed something");
        report
    }

    pub(crate) fn audit(&self) -> Report {
        self.audit_at(start(), false)
    }

    /// The audit of the store alone, as of a mirror's copy.
    pub(crate) fn audit_copy(&self) -> Report {
        let settings = Settings { now: start(), deep: false };
        audit::audit(&self.store(), None, settings, &mut |_| {}).unwrap()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let timestamp: metadata::Timestamp = self.claims(&StoreKey::Timestamp);
        self.claims(&super::metadata(timestamp.snapshot.version, "snapshot"))
    }

    pub(crate) fn claims<T: metadata::Role + Clone>(&self, key: &StoreKey) -> T {
        Unverified::<T>::parse(&fs::read(self.path(key)).unwrap()).unwrap().claims().clone()
    }

    /// The metadata file of any role that is published.
    pub(crate) fn metadata(&self, role: &str) -> StoreKey {
        match role {
            "root" => super::metadata(1, "root"),
            "timestamp" => StoreKey::Timestamp,
            "snapshot" => super::metadata(self.snapshot().version, "snapshot"),
            role => self.role(role),
        }
    }

    /// The metadata file of a role in the published snapshot.
    pub(crate) fn role(&self, role: &str) -> StoreKey {
        let role = RoleName::new(role).unwrap();
        let version = self.snapshot().roles.get(&role).unwrap().version;
        StoreKey::Metadata { version, role }
    }

    pub(crate) fn bin_of(&self, path: &str) -> StoreKey {
        let bin = self.bins.bin_of(&TargetPath::new(path).unwrap());
        self.role(self.bins.role(bin).as_str())
    }

    /// Changes a bin and signs it again, as a thief of the online key and the database would.
    pub(crate) fn sign_bin(&self, key: &StoreKey, change: impl FnOnce(&mut Targets)) {
        let bytes = self.signed_bin(key, change);
        let StoreKey::Metadata { version, role } = key else { panic!("{key} is no bin") };
        let number = u32::from_str_radix(role.as_str().strip_prefix("bin-").unwrap(), 16).unwrap();
        let text = str::from_utf8(&bytes).unwrap();
        let signed = text.split_once(",\"signed\":").unwrap().1.strip_suffix('}').unwrap();
        let (length, digest) = (bytes.len(), Sha256::of(signed.as_bytes()));
        self.sql(&format!(
            "UPDATE bin SET length = {length}, signed_sha256 = x'{digest}' \
             WHERE number = {number} AND published = {version}"
        ));
        fs::write(self.path(key), bytes).unwrap();
    }

    pub(crate) fn signed_bin(&self, key: &StoreKey, change: impl FnOnce(&mut Targets)) -> Vec<u8> {
        let mut targets: Targets = self.claims(key);
        change(&mut targets);
        sign(&targets, &[&TestKey::new("online")]).unwrap()
    }

    /// Signs a snapshot and the timestamp for it.
    pub(crate) fn sign_snapshot(&self, change: impl FnOnce(&mut Snapshot)) {
        let mut timestamp: metadata::Timestamp = self.claims(&StoreKey::Timestamp);
        let mut snapshot = self.snapshot();
        change(&mut snapshot);
        let online = TestKey::new("online");
        let bytes = sign(&snapshot, &[&online]).unwrap();
        timestamp.snapshot.length = Some(bytes.len() as u64);
        timestamp.snapshot.hashes = Some(Hashes::sha256(Sha256::of(&bytes)));
        fs::write(self.path(&super::metadata(snapshot.version, "snapshot")), bytes).unwrap();
        let bytes = sign(&timestamp, &[&online]).unwrap();
        fs::write(self.path(&StoreKey::Timestamp), bytes).unwrap();
    }

    pub(crate) fn target(&self, path: &str) -> TargetFile {
        let targets: Targets = self.claims(&self.bin_of(path));
        targets.targets[path].clone()
    }

    /// The object of a target.
    pub(crate) fn object(&self, path: &str) -> StoreKey {
        let file = self.target(path);
        let digest = file.hashes.file_name_digest().unwrap().parse().unwrap();
        StoreKey::Target { path: TargetPath::new(path).unwrap(), digest }
    }

    /// Gives a target other bytes, signed.
    pub(crate) fn sign_target(&self, path: &str, bytes: &[u8]) {
        let file = listed(bytes);
        let object = self.path(&super::target(path, bytes));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, bytes).unwrap();
        self.sign_bin(&self.bin_of(path), |bin| drop(bin.targets.insert(path.to_owned(), file)));
    }

    pub(crate) fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(&self.object(path))).unwrap()
    }
}

pub(crate) fn listed(bytes: &[u8]) -> TargetFile {
    let hashes = Hashes::sha256(Sha256::of(bytes));
    TargetFile { length: bytes.len() as u64, hashes, custom: None }
}

#[track_caller]
pub(crate) fn valid(report: &Report) {
    assert!(report.valid && report.findings.is_empty(), "{report:#?}");
}

/// Asserts that exactly one thing is found, and what.
#[track_caller]
pub(crate) fn finds(report: &Report, kind: Kind, path: &str, problem: &str) {
    assert!(!report.valid);
    let [finding] = &*report.findings else { panic!("{report:#?}") };
    assert_eq!((finding.kind, &*finding.path), (kind, path), "{report:#?}");
    assert!(finding.problem.contains(problem), "{report:#?}");
    assert!(!finding.hint.is_empty());
}

/// Asserts that this is found, beside what follows from it.
#[track_caller]
pub(crate) fn also_finds(report: &Report, kind: Kind, path: &str, problem: &str) {
    assert!(!report.valid);
    let found = report.findings.iter().any(|finding| {
        finding.kind == kind && finding.path == path && finding.problem.contains(problem)
    });
    assert!(found, "{kind:?} {path} {problem}: {report:#?}");
}
