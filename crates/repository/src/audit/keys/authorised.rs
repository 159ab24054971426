//! Which keys root and `bins` name for what is signed online.

use std::collections::BTreeSet;

use jiff::Timestamp;
use waxseal_tuf::metadata::Roles;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{KeyId, Limits, RoleName};

use super::report::{KeyFinding, KeyFindingKind, KeyReport};
use super::stored::{Stored, class};
use crate::audit::{Auditor, METADATA_LIMIT, Report, Settings, metadata_key};
use crate::error::Error;
use crate::repository::{ROOT, SNAPSHOT, TIMESTAMP};
use crate::store::Store;

/// The keys of timestamp and snapshot by every version of root, and those of bins by the published
/// `bins`. One key signs all three, and earlier versions of `bins` are collected while those of root are
/// not: so a key of snapshot may have signed bins as well.
pub(super) struct Authorised {
    timestamp: BTreeSet<KeyId>,
    snapshot: BTreeSet<KeyId>,
    bins: BTreeSet<KeyId>,
}

impl Authorised {
    pub(super) fn read(
        store: &dyn Store,
        stored: &Stored,
        report: &mut KeyReport,
    ) -> Result<Self, Error> {
        let (timestamp, snapshot) = of_roots(store)?;
        let mut this = Self { bins: snapshot.clone(), timestamp, snapshot };
        let settings = Settings { now: Timestamp::UNIX_EPOCH, deep: false };
        let (found, progress) = (Report::default(), &mut |_| {});
        let mut auditor = Auditor::of_store(store, settings, progress);
        auditor.report = found;
        match auditor.top_level()? {
            Some(signed) => this.bins.extend(keys_of_bins(&signed.delegator)),
            // Before the first snapshot nobody asks.
            None if stored.published.is_none() => {}
            None => {
                let problem = auditor.report.findings.first();
                let problem = problem.map_or_else(String::new, |finding| {
                    format!(": {} {}", finding.path, finding.problem)
                });
                let problem = format!("which keys sign bins cannot be verified{problem}");
                report.find(KeyFinding::new(KeyFindingKind::Unverified, problem));
            }
        }
        for ((keyid, role), path) in &stored.signed_by {
            if !this.allows(role, keyid) {
                let problem = format!("{path} has a signature of {keyid}, which {}", unknown(role));
                let finding = KeyFinding::new(KeyFindingKind::UnknownKey, problem);
                report.find(finding.file(path.clone()));
            }
        }
        Ok(this)
    }

    pub(super) fn allows(&self, role: &RoleName, keyid: &KeyId) -> bool {
        let keys = match class(role) {
            role if role == TIMESTAMP => &self.timestamp,
            role if role == SNAPSHOT => &self.snapshot,
            _ => &self.bins,
        };
        keys.contains(keyid)
    }
}

/// What is wrong with such a key, after `which`.
pub(super) fn unknown(role: &RoleName) -> String {
    match class(role) {
        role if role == TIMESTAMP || role == SNAPSHOT => format!("no root names for {role}"),
        _ => "neither `bins` nor a root names".to_owned(),
    }
}

/// The keys of timestamp and of snapshot, by all versions of root that follow from the first.
fn of_roots(store: &dyn Store) -> Result<(BTreeSet<KeyId>, BTreeSet<KeyId>), Error> {
    let (mut timestamp, mut snapshot) = (BTreeSet::new(), BTreeSet::new());
    let read = |version| store.read(&metadata_key(&ROOT, version), METADATA_LIMIT);
    let Some(first) = read(1)? else { return Ok((timestamp, snapshot)) };
    let Ok(mut phase) = RootPhase::new(&first, &Limits::default()) else {
        return Ok((timestamp, snapshot));
    };
    loop {
        let root = phase.root();
        timestamp.extend(root.roles.timestamp.keyids.iter().cloned());
        snapshot.extend(root.roles.snapshot.keyids.iter().cloned());
        let Some(next) = read(root.version + 1)? else { break };
        if phase.update(&next).is_err() {
            break;
        }
    }
    Ok((timestamp, snapshot))
}

fn keys_of_bins(bins: &waxseal_tuf::metadata::Targets) -> BTreeSet<KeyId> {
    match bins.delegations.as_ref().map(|delegations| &delegations.roles) {
        Some(Roles::Succinct(succinct)) => succinct.keys.keyids.iter().cloned().collect(),
        Some(Roles::Listed(roles)) => {
            roles.iter().flat_map(|role| role.keys.keyids.iter().cloned()).collect()
        }
        None => BTreeSet::new(),
    }
}
