use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_tuf::hash::Sha256;

use super::{Archive, ArchiveError, Entry};
use crate::audit::{Pin, read_targets};
use crate::repository::SNAPSHOT;
use crate::store::{Store, StoreKey};

/// The most differences that are listed; more are only counted.
const MOST: u64 = 10_000;
/// The most bytes of a snapshot.
const SNAPSHOT_LIMIT: u64 = 64 << 20;

/// An index held against an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Whether no file was changed, and every snapshot that both have is the same.
    pub valid: bool,
    /// The snapshot of the archive that was compared.
    pub archived_snapshot: u64,
    /// The snapshot of the index.
    pub snapshot: u64,
    /// Snapshots of the archive that the index has with other bytes.
    pub other_snapshots: Vec<u64>,
    /// Files whose bytes changed since they were archived: an attack, or a target that another index
    /// replaced.
    pub changed: u64,
    /// Files that are gone: deleted, or hidden.
    pub vanished: u64,
    /// Files that came since.
    pub added: u64,
    /// Simple pages that changed, as they do.
    pub changed_pages: u64,
    /// Files that are as they were archived.
    pub same: u64,
    /// What changed and what vanished, by project; the first ten thousand.
    pub projects: Vec<ProjectDifferences>,
}

/// What differs in a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectDifferences {
    /// Its name; empty for targets that are of none.
    pub project: String,
    /// Its files.
    pub files: Vec<Difference>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its path.
    pub path: String,
    /// Its digest in the archive.
    pub archived: String,
    /// Its digest in the index; none where it is gone.
    pub found: Option<String>,
}

/// Holds the present snapshot of an index against the newest piece of an archive.
pub fn check(
    archive: &Archive,
    (store, pin): (&dyn Store, &Pin),
    now: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checked, ArchiveError> {
    let mut checked = Checked {
        archived_snapshot: archive.pieces().next_back().map_or(0, |piece| piece.snapshot),
        ..Checked::default()
    };
    let mut old = archive.newest()?.peekable();
    let mut differences = Differences::default();
    let moment = read_targets(store, pin, now, &mut |_, entries| {
        progress(entries.bin, entries.bins);
        for entry in entries.targets {
            let is_before = |old: &Result<Entry, ArchiveError>| {
                old.as_ref().map_or(true, |old| old.order.0 < entry.order.0)
            };
            while let Some(gone) = old.next_if(is_before) {
                checked.vanished(&gone?, &mut differences);
            }
            let same = old.next_if(|old| old.as_ref().is_ok_and(|old| old.order == entry.order));
            match same.transpose()? {
                Some(old) => checked.compare(&old, &entry, &mut differences),
                None => checked.added += 1,
            }
        }
        Ok(())
    })?;
    for gone in old {
        checked.vanished(&gone?, &mut differences);
    }
    checked.snapshot = moment.snapshot;
    for piece in archive.pieces() {
        let key = StoreKey::Metadata { version: piece.snapshot, role: SNAPSHOT };
        // Most are collected.
        let bytes = store.read(&key, SNAPSHOT_LIMIT).map_err(crate::Error::from)?;
        let is_other =
            bytes.is_some_and(|bytes| Sha256::of(&bytes).to_string() != piece.snapshot_sha256);
        if is_other && !checked.other_snapshots.contains(&piece.snapshot) {
            checked.other_snapshots.push(piece.snapshot);
        }
    }
    checked.valid = checked.changed == 0
        && checked.other_snapshots.is_empty()
        && checked.snapshot >= checked.archived_snapshot;
    checked.projects = differences.by_project();
    Ok(checked)
}

impl Checked {
    fn compare(&mut self, old: &Entry, new: &Entry, differences: &mut Differences) {
        if old == new {
            self.same += 1;
        } else if is_page(&old.path) {
            self.changed_pages += 1;
        } else {
            self.changed += 1;
            differences.add(old, Some(new.digest.clone()));
        }
    }

    fn vanished(&mut self, old: &Entry, differences: &mut Differences) {
        self.vanished += 1;
        differences.add(old, None);
    }
}

/// Pages change with each upload; a file never does.
fn is_page(path: &str) -> bool {
    path.starts_with("simple/")
}

#[derive(Debug, Default)]
struct Differences {
    projects: BTreeMap<String, Vec<Difference>>,
    count: u64,
}

impl Differences {
    fn add(&mut self, old: &Entry, found: Option<String>) {
        self.count += 1;
        if self.count > MOST {
            return;
        }
        let project = old.path.split('/').nth(1).unwrap_or_default().to_owned();
        let (path, archived) = (old.path.clone(), old.digest.clone());
        self.projects.entry(project).or_default().push(Difference { path, archived, found });
    }

    fn by_project(self) -> Vec<ProjectDifferences> {
        let mut projects = self.projects;
        let sorted = |(project, files): (&String, &mut Vec<Difference>)| {
            files.sort_by(|a, b| a.path.cmp(&b.path));
            ProjectDifferences { project: project.clone(), files: std::mem::take(files) }
        };
        projects.iter_mut().map(sorted).collect()
    }
}
