//! The key ceremony: makes root, targets and bins in the shape of PEP 458.
//!
//! The ceremony is given signers and returns metadata; where keys live, and that the one-time keys of
//! targets and bins are dropped afterwards, is the caller's business.

use jiff::{SignedDuration, Timestamp};
use waxseal_tuf::metadata::{
    DelegatedRole, Delegations, Keys, Paths, RoleKeys, Roles, Root, Targets, TopLevelRoles, sign,
};
use waxseal_tuf::{PublicKey, RoleName, SignError, Signer};

use crate::bins::Bins;

/// The role between targets and the bins.
pub const BINS: RoleName = RoleName::from_static("bins");

/// What a ceremony is to make.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many root keys must sign root; the PEP asks for more than one.
    pub root_threshold: u64,
    /// The bins.
    pub bins: Bins,
    /// How long root, targets and bins are valid; the PEP's one year by default.
    pub lifetime: SignedDuration,
}

/// One year: how long root, targets and bins are valid (PEP 458, "Metadata Expiry Times").
pub const OFFLINE_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// Whose keys take part. All of root's, targets' and bins' sign.
#[derive(Debug, Clone, Copy)]
pub struct Participants<'a> {
    /// The root keys.
    pub root: &'a [&'a dyn Signer],
    /// The one-time keys of targets; every one is needed.
    pub targets: &'a [&'a dyn Signer],
    /// The one-time keys of bins; every one is needed.
    pub bins: &'a [&'a dyn Signer],
    /// The online key of timestamp, snapshot and every bin.
    pub online: &'a PublicKey,
}

/// The signed files, each version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// `1.root.json`
    pub root: Vec<u8>,
    /// `1.targets.json`
    pub targets: Vec<u8>,
    /// `1.bins.json`
    pub bins: Vec<u8>,
}

/// A ceremony that cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// The threshold of root cannot protect it, or cannot be reached.
    #[error(
        "root needs a threshold of at least 2 and at most the number of its keys: {threshold} of \
         {keys} is not possible"
    )]
    RootThreshold {
        /// The threshold that was planned.
        threshold: u64,
        /// Distinct root keys.
        keys: u64,
    },
    /// A role whose keys are discarded needs at least two of them.
    #[error("{role} needs at least 2 distinct one-time keys, there are {keys}")]
    OneTimeKeys {
        /// `targets` or `bins`.
        role: &'static str,
        /// Distinct keys.
        keys: u64,
    },
    /// The expiry time lies outside of what a timestamp can hold.
    #[error("a lifetime of {hours} hours reaches beyond the year 9999")]
    Lifetime {
        /// The planned lifetime.
        hours: i64,
    },
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Makes and signs root, targets and bins at the time `now`.
pub fn perform(
    plan: &Plan,
    participants: Participants<'_>,
    now: Timestamp,
) -> Result<Ceremony, CeremonyError> {
    check(plan, participants)?;
    let beyond = |_| CeremonyError::Lifetime { hours: plan.lifetime.as_hours() };
    let expires = now.checked_add(plan.lifetime).map_err(beyond)?;
    let root = root(plan, participants, expires);
    let targets = Targets {
        version: 1,
        expires,
        name: None,
        targets: [].into(),
        delegations: Some(delegate_to_bins(participants.bins)),
    };
    let bins = Targets {
        version: 1,
        expires,
        name: None,
        targets: [].into(),
        delegations: Some(plan.bins.delegations(&[participants.online])),
    };
    Ok(Ceremony {
        root: sign(&root, participants.root)?,
        targets: sign(&targets, participants.targets)?,
        bins: sign(&bins, participants.bins)?,
    })
}

fn check(plan: &Plan, participants: Participants<'_>) -> Result<(), CeremonyError> {
    let keys = keys_of(participants.root).len() as u64;
    let threshold = plan.root_threshold;
    if !(2..=keys).contains(&threshold) {
        return Err(CeremonyError::RootThreshold { threshold, keys });
    }
    for (role, signers) in [("targets", participants.targets), ("bins", participants.bins)] {
        let keys = keys_of(signers).len() as u64;
        if keys < 2 {
            return Err(CeremonyError::OneTimeKeys { role, keys });
        }
    }
    Ok(())
}

fn root(plan: &Plan, participants: Participants<'_>, expires: Timestamp) -> Root {
    let online = participants.online;
    let mut keys = keys_of(participants.root);
    keys.extend(keys_of(participants.targets));
    keys.insert(online.default_keyid(), online.clone());
    let online = RoleKeys { keyids: vec![online.default_keyid()], threshold: 1 };
    let roles = TopLevelRoles {
        root: RoleKeys { threshold: plan.root_threshold, ..all_of(participants.root) },
        timestamp: online.clone(),
        snapshot: online,
        targets: all_of(participants.targets),
    };
    Root { version: 1, expires, consistent_snapshot: true, keys, roles }
}

/// Every target is `bins`' business, whatever its path: all sixteen prefixes of its hash.
fn delegate_to_bins(signers: &[&dyn Signer]) -> Delegations {
    let role = DelegatedRole {
        name: BINS,
        keys: all_of(signers),
        terminating: false,
        paths: Paths::HashPrefixes((0..16).map(|digit| format!("{digit:x}")).collect()),
    };
    Delegations { keys: keys_of(signers), roles: Roles::Listed(vec![role]) }
}

fn keys_of(signers: &[&dyn Signer]) -> Keys {
    let keys = signers.iter().map(|signer| signer.public_key());
    keys.map(|key| (key.default_keyid(), key.clone())).collect()
}

fn all_of(signers: &[&dyn Signer]) -> RoleKeys {
    let keyids: Vec<_> = keys_of(signers).into_keys().collect();
    RoleKeys { threshold: keyids.len() as u64, keyids }
}
