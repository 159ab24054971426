//! The offline roles as they are published, verified from root on.

use waxseal_tuf::metadata::{RoleKeys, Root, Targets};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{Error, KeyId, Limits, RoleName};

use super::BINS;
use crate::bins::Bins;

/// Root, targets and bins that belong together: each verified by the one before it.
#[derive(Debug, Clone)]
pub struct OfflineRoles {
    root: RootPhase,
    targets: Verified<Targets>,
    bins_role: Verified<Targets>,
    bins: Bins,
    online: RoleKeys,
}

impl OfflineRoles {
    /// Verifies targets and bins from a root that is trusted. Whether they have expired is not looked at: a
    /// ceremony is held to renew them.
    pub fn verify(root: RootPhase, targets: &[u8], bins: &[u8]) -> Result<Self, Error> {
        let name = RoleName::targets();
        let targets = root.verify_role(&name, None, targets)?;
        let bins_role = root.verify_role(&BINS, Some((&name, &targets)), bins)?;
        let not_ours = Error::Misuse { expected: "bins as Waxseal delegates to them" };
        let bins = Bins::of(&bins_role).ok_or(not_ours)?;
        let delegations = bins_role.delegations.as_ref();
        let online = delegations.and_then(|delegations| delegations.role_keys(&bins.role(0)));
        let online =
            online.cloned().ok_or(Error::Misuse { expected: "a role `bins` that delegates" })?;
        Ok(Self { root, targets, bins_role, bins, online })
    }

    /// The same of files, from a root that signs itself: one that was chosen by its fingerprint.
    pub fn verify_files(root: &[u8], targets: &[u8], bins: &[u8]) -> Result<Self, Error> {
        // Those of an index of 2^18 classic bins are long.
        let limits = Limits::default();
        Self::verify(RootPhase::new(root, &limits)?, targets, bins)
    }

    /// The root.
    pub fn root(&self) -> &Verified<Root> {
        self.root.root()
    }

    /// Where its chain of roots goes on.
    pub(super) fn root_phase(&self) -> &RootPhase {
        &self.root
    }

    /// The role targets.
    pub fn targets(&self) -> &Verified<Targets> {
        &self.targets
    }

    /// The role bins.
    pub fn bins_role(&self) -> &Verified<Targets> {
        &self.bins_role
    }

    /// The bins that it delegates to.
    pub fn bins(&self) -> Bins {
        self.bins
    }

    /// The keys that bins trusts for every bin.
    pub fn online_keys(&self) -> &[KeyId] {
        &self.online.keyids
    }

    /// Whether a root accepts these targets and bins, and what the keys of these bins sign as timestamp and
    /// snapshot.
    pub(super) fn is_valid_under(&self, root: &RootPhase) -> bool {
        let name = RoleName::targets();
        let signs = |role: &RoleKeys| {
            role.threshold == 1 && self.online.keyids.iter().all(|key| role.keyids.contains(key))
        };
        let roles = &root.root().roles;
        root.verify_role(&name, None, self.targets.bytes()).is_ok()
            && signs(&roles.timestamp)
            && signs(&roles.snapshot)
    }
}
