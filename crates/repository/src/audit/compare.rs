//! Two places that have one index, held against each other: a mirror and its origin, or two mirrors.
//!
//! Both were walked through from one root. One may be behind the other, which is no finding. But a name
//! never has two contents: where both have one version of a role with other bytes, somebody was given
//! something else.

use std::collections::BTreeMap;

use serde::Serialize;
use waxseal_tuf::RoleName;
use waxseal_tuf::metadata::{TargetFile, Targets, Unverified};

use super::record::Record;
use super::report::{Finding, Kind};
use super::walk::Walked;
use super::{METADATA_LIMIT, metadata_key};
use crate::error::Error;
use crate::repository::{ROOT, SNAPSHOT, TIMESTAMP};
use crate::store::{Store, StoreKey};

/// The most differences that are kept; more are only counted.
const MOST: usize = 1_000;

/// What differs. Programs read it: names in it are stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Whether nothing is wrong with either, and nothing differs where versions are the same.
    pub valid: bool,
    /// The versions that the first place has.
    pub first: Versions,
    /// The versions that the second place has.
    pub second: Versions,
    /// Which one has newer metadata.
    pub ahead: Ahead,
    /// By how many snapshots.
    pub snapshots_behind: u64,
    /// Roles of which both have the same version, which has other bytes; the first thousand.
    pub differences: Vec<Finding>,
    /// What differs in bins of those, by project; the first thousand paths.
    pub projects: Vec<ProjectDifference>,
    /// How many roles and targets differ, also what is not listed.
    pub different: u64,
}

/// The versions of one place; 0 where it could not be followed to there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Versions {
    /// Of root.
    pub root: u64,
    /// Of timestamp.
    pub timestamp: u64,
    /// Of snapshot.
    pub snapshot: u64,
}

/// Which of two places has newer metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ahead {
    /// Neither.
    Neither,
    /// The first.
    First,
    /// The second.
    Second,
}

/// What differs of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProjectDifference {
    /// Its normalized name; empty for targets that are of no project.
    pub project: String,
    /// Its targets.
    pub targets: Vec<TargetDifference>,
}

/// A target that is not the same in both places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TargetDifference {
    /// Its path.
    pub path: String,
    /// The digest that the first place lists; `None`: it lists no such target.
    pub first: Option<String>,
    /// The digest that the second place lists.
    pub second: Option<String>,
}

/// Compares two places that were walked through.
pub fn compare(
    (first, seen_first): (&dyn Store, &Walked),
    (second, seen_second): (&dyn Store, &Walked),
) -> Result<Comparison, Error> {
    let mut comparison = Comparison {
        valid: false,
        first: Versions::of(seen_first.record.as_ref()),
        second: Versions::of(seen_second.record.as_ref()),
        ahead: Ahead::Neither,
        snapshots_behind: 0,
        differences: Vec::new(),
        projects: Vec::new(),
        different: 0,
    };
    if let (Some(a), Some(b)) = (&seen_first.record, &seen_second.record) {
        comparison.see_who_is_ahead();
        let mut projects = BTreeMap::new();
        for (role, version) in comparison.differing(a, b) {
            if let (Some(a), Some(b)) =
                (targets(first, &role, version)?, targets(second, &role, version)?)
            {
                comparison.compare_targets(&a, &b, &mut projects);
            }
        }
        let project = |(project, targets)| ProjectDifference { project, targets };
        comparison.projects = projects.into_iter().map(project).collect();
    }
    comparison.valid =
        comparison.different == 0 && seen_first.report.valid && seen_second.report.valid;
    Ok(comparison)
}

impl Versions {
    fn of(record: Option<&Record>) -> Self {
        let Some(record) = record else { return Self::default() };
        let version = |role: &RoleName| record.role(role).map_or(0, |(version, _)| version);
        Self {
            root: record.roots().last().map_or(0, |(version, _)| version),
            timestamp: version(&TIMESTAMP),
            snapshot: version(&SNAPSHOT),
        }
    }
}

impl Comparison {
    fn see_who_is_ahead(&mut self) {
        let key = |it: &Versions| (it.snapshot, it.timestamp, it.root);
        self.ahead = match key(&self.first).cmp(&key(&self.second)) {
            std::cmp::Ordering::Equal => Ahead::Neither,
            std::cmp::Ordering::Greater => Ahead::First,
            std::cmp::Ordering::Less => Ahead::Second,
        };
        self.snapshots_behind = self.first.snapshot.abs_diff(self.second.snapshot);
    }

    /// Finds the files that have one name and two contents; those of targets are answered.
    fn differing(&mut self, a: &Record, b: &Record) -> Vec<(RoleName, u64)> {
        let others: BTreeMap<_, _> = b.roots().collect();
        for (version, sha256) in a.roots() {
            match others.get(&version) {
                Some(other) if *other != sha256 => {
                    self.find(&metadata_key(&ROOT, version), sha256, other);
                }
                _ => {}
            }
        }
        let mut roles = Vec::new();
        for (role, (version, sha256)) in a.roles() {
            match b.role(&role) {
                Some((same, other)) if same == version && other != sha256 => {
                    let key = match role == TIMESTAMP {
                        true => StoreKey::Timestamp,
                        false => metadata_key(&role, version),
                    };
                    self.find(&key, sha256, other);
                    if role != TIMESTAMP && role != SNAPSHOT {
                        roles.push((role, version));
                    }
                }
                _ => {}
            }
        }
        roles
    }

    fn find(&mut self, key: &StoreKey, first: &str, second: &str) {
        self.different += 1;
        if self.differences.len() < MOST {
            let problem =
                format!("has SHA-256 {first} in the first place, and {second} in the second");
            let kind = Kind::Different;
            self.differences.push(Finding { kind, path: key.path(), problem, hint: kind.hint() });
        }
    }

    fn compare_targets(
        &mut self,
        a: &BTreeMap<String, TargetFile>,
        b: &BTreeMap<String, TargetFile>,
        projects: &mut BTreeMap<String, Vec<TargetDifference>>,
    ) {
        let only_b = b.keys().filter(|path| !a.contains_key(*path));
        for path in a.keys().chain(only_b) {
            let (first, second) = (a.get(path), b.get(path));
            if first == second {
                continue;
            }
            self.different += 1;
            if projects.values().map(Vec::len).sum::<usize>() >= MOST {
                continue;
            }
            let digest = |file: &TargetFile| file.hashes.file_name_digest().map(str::to_owned);
            let (first, second) = (first.and_then(digest), second.and_then(digest));
            let difference = TargetDifference { path: path.clone(), first, second };
            projects.entry(project_of(path).to_owned()).or_default().push(difference);
        }
    }
}

/// The project that a target path belongs to; empty for one of no project.
fn project_of(path: &str) -> &str {
    let below = path.strip_prefix("packages/").or_else(|| path.strip_prefix("simple/"));
    below.and_then(|rest| rest.split_once('/')).map_or("", |(project, _)| project)
}

/// The targets of a file that was verified a moment ago; `None` where it is not to be had any more.
fn targets(
    store: &dyn Store,
    role: &RoleName,
    version: u64,
) -> Result<Option<BTreeMap<String, TargetFile>>, Error> {
    let bytes = store.read(&metadata_key(role, version), METADATA_LIMIT)?;
    let read = bytes.and_then(|bytes| Unverified::<Targets>::parse(&bytes).ok());
    Ok(read.map(|read| read.claims().targets.clone()))
}
