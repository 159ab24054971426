//! What an audit saw of an index, for a later one: versions and digests. Names in it are stable.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::metadata_key;
use super::report::{Kind, Report};
use crate::repository::ROOT;

/// Every root, and the newest version of every other role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The time of the audit.
    time: String,
    /// The digest of each version of root.
    roots: BTreeMap<u64, String>,
    /// The other roles.
    roles: BTreeMap<String, RecordedRole>,
}

/// The file of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedRole {
    version: u64,
    sha256: String,
}

impl Record {
    pub(super) fn new(time: Timestamp) -> Self {
        Self { time: time.to_string(), roots: BTreeMap::new(), roles: BTreeMap::new() }
    }

    pub(super) fn add_root(&mut self, version: u64, sha256: Sha256) {
        self.roots.insert(version, sha256.to_string());
    }

    pub(super) fn add(&mut self, role: &RoleName, version: u64, sha256: Sha256) {
        let recorded = RecordedRole { version, sha256: sha256.to_string() };
        self.roles.insert(role.to_string(), recorded);
    }

    /// The versions of root, in order, with their digests.
    pub(super) fn roots(&self) -> impl Iterator<Item = (u64, &str)> {
        self.roots.iter().map(|(version, sha256)| (*version, sha256.as_str()))
    }

    /// The version of a role, and its digest.
    pub(super) fn role(&self, role: &RoleName) -> Option<(u64, &str)> {
        self.roles.get(role.as_str()).map(|it| (it.version, it.sha256.as_str()))
    }

    /// The same of all roles but root.
    pub(super) fn roles(&self) -> impl Iterator<Item = (RoleName, (u64, &str))> {
        self.roles.iter().filter_map(|(name, it)| {
            Some((RoleName::new(name).ok()?, (it.version, it.sha256.as_str())))
        })
    }

    /// Finds what went back since, and what has other bytes under a name that it had then.
    pub(super) fn compare(&self, since: &Self, report: &mut Report) {
        let then = &since.time;
        for (version, sha256) in &since.roots {
            let path = metadata_key(&ROOT, *version).path();
            match self.roots.get(version) {
                None => {
                    let problem = format!("was there at {then}, and no root leads to it");
                    report.find(Kind::Rollback, path, problem);
                }
                Some(now) => compare_digests(path, (now, sha256), then, report),
            }
        }
        for (name, before) in &since.roles {
            let Ok(role) = RoleName::new(name) else { continue };
            let Some(now) = self.roles.get(name) else {
                let path = metadata_key(&role, before.version).path();
                let problem = format!("was there at {then}, and now there is nothing of {role}");
                report.find(Kind::Rollback, path, problem);
                continue;
            };
            let path = metadata_key(&role, now.version).path();
            if now.version < before.version {
                let problem = format!("went back: {role} had version {} at {then}", before.version);
                report.find(Kind::Rollback, path, problem);
            } else if now.version == before.version {
                compare_digests(path, (&now.sha256, &before.sha256), then, report);
            }
        }
    }
}

fn compare_digests(path: String, (now, before): (&str, &str), then: &str, report: &mut Report) {
    if now != before {
        let problem = format!("has SHA-256 {now}, and had {before} at {then}");
        report.find(Kind::Rewritten, path, problem);
    }
}
