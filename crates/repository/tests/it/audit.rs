//! What clients find in a store, and what the journal says they should find.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use waxseal_index::simple::{FileEntry, ProjectList, ProjectPage};
use waxseal_index::{DistributionFilename, NormalizedName, paths};
use waxseal_repository::Repository;
use waxseal_repository::database::{AddTarget, Batch, Database, Entry};
use waxseal_repository::store::{Store, StoreKey};
use waxseal_testkit::simulator::{self, drive, drive_search};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Targets, Unverified};
use waxseal_tuf::{Error, Limits, MetadataFile, RoleName, Search, TargetPath, Updater};

use super::index::LIMIT;

/// A client and the trust store that it keeps from one visit to the next.
#[derive(Debug, Default)]
pub(crate) struct Client {
    trust: simulator::Store,
}

impl Client {
    /// Reads all that is published at `now` and compares it with the journal.
    pub(crate) fn audit(&mut self, repository: &Repository, now: Timestamp) {
        let store = repository.store();
        let found = read_everything(store, &mut self.trust, now)
            .unwrap_or_else(|error| panic!("at {now} a client finds that {error}"));
        let database = repository.database();
        assert_eq!(found, expected(database, database.published_serial().unwrap()));
        for (path, digest) in found {
            let row = repository.target(&TargetPath::new(path).unwrap()).unwrap().unwrap();
            let listed = row.hashes.listed_sha256();
            assert!(listed.is_none_or(|listed| listed == digest) && !row.hashes.is_empty());
        }
    }
}

impl Client {
    /// Reads all that is published at `now`, after a crash: what the database has as published, or as
    /// decided.
    pub(crate) fn find_a_moment(&mut self, repository: &Repository, now: Timestamp) {
        let found = read_everything(repository.store(), &mut self.trust, now)
            .unwrap_or_else(|error| panic!("at {now} a client finds that {error}"));
        let database = repository.database();
        let published = expected(database, database.published_serial().unwrap());
        let decided = match database.batch().unwrap() {
            Some(Batch::Decided(batch)) => Some(expected(database, batch.serial)),
            Some(Batch::Reserved(_)) | None => None,
        };
        assert!(found == published || Some(found) == decided, "at {now} clients find another");
    }
}

/// A client that was never here, and that everything accepted is published.
pub(crate) fn audit_all(repository: &Repository, now: Timestamp) {
    Client::default().audit(repository, now);
    let database = repository.database();
    assert_eq!(database.published_serial().unwrap(), database.last_serial().unwrap());
    assert_eq!(*repository.published().borrow(), database.last_serial().unwrap());
    assert_eq!(database.batch().unwrap(), None);
}

/// Brings a client up to date, finds every target that any bin lists, reads its bytes, and answers
/// their digests.
pub(crate) fn read_everything(
    store: &dyn Store,
    trust: &mut simulator::Store,
    now: Timestamp,
) -> Result<BTreeMap<String, Sha256>, Error> {
    // A target of another index may be at any other path: that index has the file.
    let absent = |path: &str| {
        let ours = path.starts_with("simple/") || path.starts_with("packages/");
        assert!(!ours, "{path} is published and not there");
    };
    read_present(store, trust, now, &absent)
}

/// The same of an index some files of which may be elsewhere: `absent` is told which.
pub(crate) fn read_present(
    store: &dyn Store,
    trust: &mut simulator::Store,
    now: Timestamp,
    absent: &dyn Fn(&str),
) -> Result<BTreeMap<String, Sha256>, Error> {
    let fetch = |file: &MetadataFile| {
        let key = StoreKey::from_path(&format!("tuf/metadata/{}", file.path)).unwrap();
        store.read(&key, LIMIT).unwrap()
    };
    let first_root = metadata(store, 1, RoleName::ROOT);
    let root = trust.get(&RoleName::new(RoleName::ROOT).unwrap()).unwrap_or(&first_root).clone();
    let mut trusted = drive(Updater::new(&root, now, Limits::default())?, trust, fetch)?;

    let mut paths = BTreeSet::new();
    let listed = trusted.snapshot().roles.clone();
    for (role, file) in &listed {
        let bytes = metadata(store, file.version, role.as_str());
        let targets = Unverified::<Targets>::parse(&bytes).unwrap();
        assert_eq!(targets.claims().version, file.version, "{role}");
        paths.extend(targets.claims().targets.keys().cloned());
    }
    let mut found = BTreeMap::new();
    for path in paths {
        let target = TargetPath::new(path.clone()).unwrap();
        let search = Search::new(target.clone(), &trusted, Limits::default())?;
        let file = drive_search(search, &mut trusted, trust, fetch)?;
        let file = file.unwrap_or_else(|| panic!("{path} is in a bin where no client looks"));
        let location = trusted.target_location(&target, &file)?;
        let key = StoreKey::from_path(&format!("tuf/targets/{location}"));
        let key = key.unwrap_or_else(|| panic!("the store has no place for {location}"));
        let Some(bytes) = store.read(&key, LIMIT).unwrap() else {
            absent(&path);
            // Where it is listed: of bytes that are elsewhere no other is known.
            found.insert(path, file.hashes.listed_sha256().unwrap_or(Sha256([0; 32])));
            continue;
        };
        let digest = Sha256::of(&bytes);
        assert_eq!(file.length, bytes.len() as u64);
        // A client may ask for any name, and compares every digest.
        let mut names = Vec::new();
        for digest in file.hashes.known() {
            names.push(target.with_digest(&digest.to_string()));
            assert!(digest.is_of(&bytes), "{path}");
            let key = StoreKey::Target { path: target.clone(), digest };
            assert_eq!(store.read(&key, LIMIT).unwrap().as_ref(), Some(&bytes), "{}", key.path());
        }
        assert!(names.contains(&location), "{location}");
        let plain = store.read(&StoreKey::File(target), LIMIT).unwrap();
        assert_eq!(plain, path.starts_with("packages/").then_some(bytes), "{path}");
        found.insert(path, digest);
    }
    Ok(found)
}

/// The metadata file of a role, which must be there.
pub(crate) fn metadata(store: &dyn Store, version: u64, role: &str) -> Vec<u8> {
    let bytes = store.read(&super::metadata(version, role), LIMIT).unwrap();
    bytes.unwrap_or_else(|| panic!("{version}.{role}.json is named and not there"))
}

/// The targets that follow from the journal up to a serial.
pub(crate) fn expected(database: &dyn Database, serial: u64) -> BTreeMap<String, Sha256> {
    let mut pages: BTreeMap<NormalizedName, ProjectPage> = BTreeMap::new();
    let mut expected = BTreeMap::new();
    let entries = database.waiting(0, 100_000).unwrap();
    for row in entries.into_iter().filter(|row| row.serial <= serial) {
        let upload = match row.entry {
            Entry::Upload(upload) => upload,
            Entry::Targets(targets) => {
                for AddTarget { path, file } in targets.add {
                    let digest = file.hashes.file_name_digest().unwrap().parse().unwrap();
                    expected.insert(path.to_string(), digest);
                }
                for path in targets.remove {
                    expected.remove(path.as_str());
                }
                continue;
            }
            Entry::Revoke(revoked) => {
                for filename in revoked.files {
                    let filename: DistributionFilename = filename.parse().unwrap();
                    let Some(page) = pages.get_mut(filename.project()) else { continue };
                    let count = page.files.len();
                    page.files.retain(|file| file.filename != filename);
                    if page.files.len() < count {
                        page.last_serial = row.serial;
                    }
                    expected.remove(&paths::distribution(&filename));
                    expected.remove(&paths::core_metadata(&filename));
                }
                continue;
            }
            Entry::Readmit(_) => continue,
        };
        let filename: DistributionFilename = upload.filename.parse().unwrap();
        let name = filename.project().clone();
        let fresh = || ProjectPage { name: name.clone(), last_serial: 0, files: Vec::new() };
        let page = pages.entry(name.clone()).or_insert_with(fresh);
        page.last_serial = row.serial;
        expected.insert(paths::distribution(&filename), upload.sha256);
        if let Some(metadata) = upload.metadata {
            expected.insert(paths::core_metadata(&filename), metadata.sha256);
        }
        page.files.push(FileEntry {
            filename,
            sha256: upload.sha256.0,
            size: upload.size,
            upload_time: upload.upload_time,
            requires_python: upload.requires_python,
            core_metadata_sha256: upload.metadata.map(|metadata| metadata.sha256.0),
            yanked: None,
        });
    }
    pages.retain(|_, page| !page.files.is_empty());
    let list = ProjectList { names: pages.keys().cloned().collect() };
    // Another index may have lists of its own.
    let mut add_list = |path: &str, list: Vec<u8>| {
        expected.entry(path.to_owned()).or_insert_with(|| Sha256::of(&list));
    };
    add_list(paths::PROJECT_LIST_JSON, list.to_json());
    add_list(paths::PROJECT_LIST_HTML, list.to_html());
    for (name, mut page) in pages {
        page.files.sort_by(|a, b| a.filename.as_str().cmp(b.filename.as_str()));
        expected.insert(paths::project_json(&name), Sha256::of(&page.to_json()));
        expected.insert(paths::project_html(&name), Sha256::of(&page.to_html()));
    }
    expected
}
