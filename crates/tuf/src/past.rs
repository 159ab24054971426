//! A snapshot that is not the newest: what an auditor reads, and whoever restores an index from one.

use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{Root, Snapshot, Targets};
use crate::names::RoleName;
use crate::trusted::{Named, RootPhase, by_root, verify_listed};
use crate::verify::{Verified, verify};

/// A snapshot by who signed it, and the roles that it lists. No client takes it for the newest one: nothing is
/// said of its age, and expired metadata is read.
#[derive(Debug, Clone)]
pub struct PastSnapshot {
    root: Verified<Root>,
    snapshot: Verified<Snapshot>,
    limits: Limits,
}

impl RootPhase {
    /// Verifies a snapshot by the keys of this root alone (TUF 5.5.3).
    pub fn past_snapshot(&self, bytes: &[u8]) -> Result<PastSnapshot, Error> {
        let named = Named::new(RoleName::SNAPSHOT, "snapshot.json".to_owned());
        let root = self.root().clone();
        let limits = *self.limits();
        let delegator = by_root(&root);
        let delegator = delegator.of(&root, &root.roles.snapshot);
        let snapshot = verify(named.parse(bytes, &limits)?, &named.role, &named.file, delegator)?;
        Ok(PastSnapshot { root, snapshot, limits })
    }
}

impl PastSnapshot {
    /// The root whose keys signed it.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        &self.snapshot
    }

    /// Verifies a targets role that it lists: length and digests where it lists them, who signed it, its
    /// name and its version (TUF 5.6.2 to 5.6.4). `delegator` is the verified role that delegates to it
    /// and that one's name, `None` for root.
    pub fn verify_role(
        &self,
        role: &RoleName,
        delegator: Option<(&RoleName, &Verified<Targets>)>,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, Error> {
        let snapshot = self.snapshot.version;
        let listed = self.snapshot.roles.get(role).ok_or_else(|| Error::RoleNotListed {
            file: format!("{snapshot}.snapshot.json"),
            role: role.clone(),
            snapshot,
        })?;
        let file = format!("{}.{}.json", listed.version, role.encoded());
        let named = Named { role: role.clone(), file };
        let delegator = delegator.map(|(name, verified)| (Some(name), verified));
        let new = named.parse(bytes, &self.limits)?;
        verify_listed(&self.root, &named, listed, delegator, new)
    }
}
