//! Proves that a mirror is complete: from the root that is trusted, everything that it shows is verified, and
//! every file that is to be there is hashed.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use waxseal_client::{Located, MetadataStore, Settings, TrustStore, files_on_page};
use waxseal_index::paths::PROJECT_LIST_JSON;
use waxseal_tuf::metadata::{Timestamp as TimestampRole, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, MetadataFile, RoleName, TargetFile, TargetPath, TrustedMetadata};

use crate::durable::{is_same, length_of, read_if_there};
use crate::error::Error;
use crate::fill::is_right;
use crate::filter::Filter;
use crate::folder::{Folder, Plain, linked_name, list_name, target_name};
use crate::mirror::Mirror;
use crate::run::{Counters, Progress};
use crate::state::State;
use crate::upstream::{Check, Upstream};
use crate::view::{self, ROOT, SNAPSHOT};
use crate::walk::{Changed, Staged, Walk, locked};

/// The most findings that are kept; all are counted.
const MOST_FOUND: usize = 1000;

/// What a proof found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Version of the snapshot that clients see.
    pub snapshot: u64,
    /// Which projects are copied.
    pub filter: Filter,
    /// Roles whose signatures were verified.
    pub roles: u64,
    /// Targets whose length and digests are right.
    pub targets: u64,
    /// Links of pages that vouch for files, to files that are right: one that two pages list counts twice.
    pub linked: u64,
    /// Bytes of all these.
    pub bytes: u64,
    /// Files that are on other hosts or cannot be verified: a mirror has none of them.
    pub elsewhere: u64,
    /// When what clients see expired; `None` if it has not.
    pub expired: Option<Timestamp>,
    /// How many things are wrong.
    pub wrong: u64,
    /// What is wrong, the first thousand.
    pub found: Vec<Found>,
}

/// Something that is wrong with a mirror.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Found {
    /// Its name below the folder.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Verified {
    /// Whether everything is there and right, and clients believe it.
    pub fn is_complete(&self) -> bool {
        self.wrong == 0 && self.expired.is_none()
    }
}

impl Mirror {
    /// Verifies everything that clients see, by what this trust store trusts. Metadata that is refused is an
    /// error; files that are missing or changed are found. Nothing is changed.
    pub fn verify(
        &self,
        trust: &TrustStore,
        threads: usize,
        now: Timestamp,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Verified, Error> {
        let _lock = self.lock_to_read()?;
        let state = State::load(&self.folder)?;
        let state = state.filter(|state| !state.kept.is_empty());
        let state = state.ok_or_else(|| Error::NoMirror { path: self.folder.base().to_owned() })?;
        let filter = state.published().map(|kept| kept.filter.clone()).unwrap_or_default();
        let root = trust.metadata().read(&ROOT)?;
        let not_trusted =
            || waxseal_client::Error::NotTrusted { url: trust.index().url.to_string() };
        let root = newest_root(&self.folder, &root.ok_or_else(not_trusted)?)?;
        let (trusted, expired) = self.shown(&root, now)?;

        let counters = Counters::default();
        let staged = Staged::default();
        let walk = Walk {
            folder: &self.folder,
            upstream: &Nowhere,
            trusted: &trusted,
            old: None,
            other_root: true,
            staged: &staged,
            threads,
            counters: &counters,
        };
        let proof = Proof {
            folder: &self.folder,
            state: &state,
            filter: &filter,
            targets: AtomicU64::new(0),
            linked: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            found: Mutex::default(),
        };
        let far = |done, total| {
            let files =
                proof.targets.load(Ordering::Relaxed) + proof.linked.load(Ordering::Relaxed);
            let bytes = proof.bytes.load(Ordering::Relaxed);
            progress(Progress { roles: (done, total), files, bytes });
        };
        let roles = walk.run(&far, &|role, targets| {
            targets.targets.iter().try_for_each(|(path, file)| proof.target(role, path, file))
        })?;
        let mut found = proof.found.into_inner().unwrap_or_default();
        found.sort();
        Ok(Verified {
            snapshot: trusted.snapshot().version,
            roles: roles.len() as u64,
            targets: proof.targets.into_inner(),
            linked: proof.linked.into_inner(),
            bytes: proof.bytes.into_inner(),
            elsewhere: proof.elsewhere.into_inner(),
            expired,
            wrong: proof.wrong.into_inner(),
            found,
            filter,
        })
    }

    /// What the folder shows, verified from this root; and since when it is expired, if it is.
    fn shown(
        &self,
        root: &[u8],
        now: Timestamp,
    ) -> Result<(TrustedMetadata, Option<Timestamp>), Error> {
        let missing = |file: &str, named_by| {
            let (file, named_by) = (file.to_owned(), RoleName::from_static(named_by));
            Error::from(waxseal_tuf::Error::Missing { file, named_by })
        };
        let timestamp = read_if_there(&self.folder.timestamp())?;
        let timestamp = timestamp.ok_or_else(|| missing("timestamp.json", RoleName::ROOT))?;
        // Verified below; here it says which file to read.
        let named = Unverified::<TimestampRole>::parse(&timestamp);
        let version = named.as_ref().map_or(0, |named| named.claims().snapshot.version);
        let snapshot = read_if_there(&self.folder.metadata(version, &SNAPSHOT))?;
        let file = format!("{version}.snapshot.json");
        let snapshot = snapshot.ok_or_else(|| missing(&file, RoleName::TIMESTAMP))?;
        match view::trusted(root, &timestamp, &snapshot, now) {
            Err(Error::Client(waxseal_client::Error::Verification(
                waxseal_tuf::Error::Expired { expired, .. },
            ))) => {
                let long_ago = Timestamp::UNIX_EPOCH;
                Ok((view::trusted(root, &timestamp, &snapshot, long_ago)?, Some(expired)))
            }
            trusted => Ok((trusted?, None)),
        }
    }
}

/// The newest root of the folder that the trusted one leads to.
fn newest_root(folder: &Folder, trusted: &[u8]) -> Result<Vec<u8>, Error> {
    let mut phase = RootPhase::new(trusted, &Limits::default())?;
    while let Some(next) = read_if_there(&folder.metadata(phase.root().version + 1, &ROOT))? {
        phase.update(&next)?;
    }
    Ok(phase.root().bytes().to_vec())
}

/// Has no files: what is not in the folder is missing.
struct Nowhere;

impl Upstream for Nowhere {
    fn refresh(&self, _store: &MetadataStore, _now: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    fn metadata(&self, _file: &MetadataFile, _check: Check<'_>) -> Result<bool, Error> {
        Ok(false)
    }

    fn save(
        &self,
        file: &Located,
        _destination: &Path,
        _progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let (file, named_by) = (file.path().to_string(), RoleName::targets());
        Err(waxseal_tuf::Error::Missing { file, named_by }.into())
    }
}

struct Proof<'a> {
    folder: &'a Folder,
    state: &'a State,
    filter: &'a Filter,
    targets: AtomicU64,
    linked: AtomicU64,
    bytes: AtomicU64,
    elsewhere: AtomicU64,
    wrong: AtomicU64,
    found: Mutex<Vec<Found>>,
}

impl Proof<'_> {
    fn find(&self, name: &str, problem: &'static str) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut found = locked(&self.found);
        if found.len() < MOST_FOUND {
            found.push(Found { name: name.to_owned(), problem });
        }
    }

    fn target(&self, role: &Changed, path: &str, file: &TargetFile) -> Result<(), Error> {
        let Ok(path) = TargetPath::new(path) else { return Ok(()) };
        if !self.filter.takes(&path) || !role.is_searched_for(&path) {
            return Ok(());
        }
        let names: Vec<_> =
            file.hashes.known().map(|digest| target_name(&path, &digest.to_string())).collect();
        let Some(first) = names.first() else {
            self.elsewhere.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        if !self.file(first, |there| there == file.length, &file.hashes) {
            return Ok(());
        }
        self.targets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(file.length, Ordering::Relaxed);
        let main = self.folder.path(first);
        for other in &names[1..] {
            if !is_same(&main, &self.folder.path(other)) {
                self.file(other, |there| there == file.length, &file.hashes);
            }
        }
        self.plain(&path, file, &main);
        self.listed(&path, file, first)
    }

    /// Looks at what plain clients have a target by.
    fn plain(&self, path: &TargetPath, file: &TargetFile, main: &Path) {
        match Plain::of(path) {
            // Made here, of those projects that are here.
            Some(Plain::List(_)) if !self.filter.is_everything() => {
                let names = [list_name(true), list_name(false)];
                let is_made = path.as_str() == PROJECT_LIST_JSON;
                for name in names.iter().filter(|_| is_made) {
                    if length_of(&self.folder.path(name)).is_none() {
                        self.find(name, "is missing");
                    }
                }
            }
            Some(Plain::File(name) | Plain::Page(name) | Plain::List(name)) => {
                let is_it = is_same(main, &self.folder.path(&name));
                let _ = is_it || self.file(&name, |there| there == file.length, &file.hashes);
            }
            None => {}
        }
    }

    fn listed(&self, path: &TargetPath, file: &TargetFile, name: &str) -> Result<(), Error> {
        let page = Located::target(path, file);
        if !page.vouches_for_files() {
            return Ok(());
        }
        let there = self.folder.path(name);
        let bytes = std::fs::read(&there).map_err(Error::io("read", &there))?;
        let files = files_on_page(&self.state.index, &page, &bytes, &Settings::default());
        for file in files.unwrap_or_default() {
            let Some(name) = file.below_index().and_then(linked_name) else {
                self.elsewhere.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let fits = |there| file.length().is_none_or(|length| length == there);
            if self.file(&name, fits, file.hashes()) {
                self.linked.fetch_add(1, Ordering::Relaxed);
                let length = length_of(&self.folder.path(&name)).unwrap_or_default();
                self.bytes.fetch_add(length, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Whether a file is there and right; that it is not is found.
    fn file(
        &self,
        name: &str,
        fits: impl Fn(u64) -> bool,
        hashes: &waxseal_tuf::hash::Hashes,
    ) -> bool {
        let path = self.folder.path(name);
        let problem = match length_of(&path) {
            None => "is missing",
            Some(there) if !fits(there) => "has another length",
            Some(_) if is_right(&path, hashes) => return true,
            Some(_) => "has other bytes",
        };
        self.find(name, problem);
        false
    }
}
