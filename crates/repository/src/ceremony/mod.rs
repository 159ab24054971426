//! The key ceremony: makes root, targets and bins in the shape of PEP 458, the first ones and those that
//! follow.
//!
//! A [`Plan`] says what the offline roles are to be; [`perform`] makes them so, from nothing or from the
//! [`OfflineRoles`] that are there. It is given signers and returns metadata: where keys live, and that the
//! one-time keys of targets and bins are dropped afterwards, is the caller's business. Root may still lack
//! signatures then, which its holders add apart and in any order. [`check`] is what a repository
//! publishes by, whoever made the files.

mod change;
mod offline;
mod plan;
pub mod review;
mod roots;

use jiff::Timestamp;
use waxseal_tuf::metadata::{
    DelegatedRole, Delegations, Keys, Paths, RoleKeys, Roles, Targets, sign,
};
use waxseal_tuf::{RoleName, SignError, Signer};

pub use change::{Change, ChangeError, ChangedFile, Stage, check, check_first};
pub use offline::OfflineRoles;
pub use plan::{Holder, OFFLINE_LIFETIME, OfflineLifetimes, Plan, PlanError};

/// The role between targets and the bins.
pub const BINS: RoleName = RoleName::from_static("bins");

/// Whose private keys are at the ceremony.
#[derive(Debug, Clone, Copy)]
pub struct Signers<'a> {
    /// Root keys that sign at once. Fewer than the threshold are enough for a ceremony: the others sign the
    /// file later.
    pub root: &'a [&'a dyn Signer],
    /// The one-time keys; `None` where targets and bins stay as they are and root alone changes.
    pub one_time: Option<OneTimeKeys<'a>>,
}

/// The keys that sign once and are discarded. Every one is needed.
#[derive(Debug, Clone, Copy)]
pub struct OneTimeKeys<'a> {
    /// Of targets.
    pub targets: &'a [&'a dyn Signer],
    /// Of bins.
    pub bins: &'a [&'a dyn Signer],
}

/// How new roots follow those that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Succession {
    /// The keys that go are trusted until the new ones are in use: a first root trusts both, a second one
    /// the new ones alone. So clients find a valid index at every moment.
    Planned,
    /// The keys that go are trusted no more: one root, without them. Until timestamp is replaced, which
    /// follows at once, clients refuse what the old keys signed.
    Compromise,
}

/// What a ceremony signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// The new roots in the order of their versions, each the next of the one before: `N.root.json`.
    pub roots: Vec<Vec<u8>>,
    /// The new targets and bins; `None` where they stay.
    pub delegations: Option<NewDelegations>,
}

/// Targets and bins that were signed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelegations {
    /// `N.targets.json`
    pub targets: Vec<u8>,
    /// `N.bins.json`
    pub bins: Vec<u8>,
}

/// A ceremony that cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// The plan cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A role whose keys are discarded needs at least two of them.
    #[error("{role} needs at least 2 distinct one-time keys, there are {keys}")]
    OneTimeKeys {
        /// `targets` or `bins`.
        role: &'static str,
        /// Distinct keys.
        keys: u64,
    },
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Makes what `plan` says at the time `now`, and signs it: with every one-time key, and with those of the
/// root keys that are there. `before` is what is published, and how to go on from it; `None` for the first
/// ceremony of an index.
pub fn perform(
    plan: &Plan,
    before: Option<(&OfflineRoles, Succession)>,
    signers: Signers<'_>,
    now: Timestamp,
) -> Result<Ceremony, CeremonyError> {
    plan.check()?;
    plan.check_after(before.map(|(before, _)| before), signers.one_time.is_some())?;
    let expires = plan.lifetimes.from(now)?;
    let delegations = match signers.one_time {
        None => None,
        Some(one_time) => {
            one_time.check()?;
            let version = |role: fn(&OfflineRoles) -> &Targets| {
                before.map_or(1, |(before, _)| role(before).version + 1)
            };
            let targets = Targets {
                version: version(|before| before.targets()),
                expires: expires.targets,
                name: None,
                targets: [].into(),
                delegations: Some(delegate_to_bins(one_time.bins)),
            };
            let bins = Targets {
                version: version(|before| before.bins_role()),
                expires: expires.bins,
                name: None,
                targets: [].into(),
                delegations: Some(plan.bins.delegations(&[&plan.online])),
            };
            Some(NewDelegations {
                targets: sign(&targets, one_time.targets)?,
                bins: sign(&bins, one_time.bins)?,
            })
        }
    };
    let one_time = signers.one_time.map(|one_time| one_time.targets);
    let roots = roots::make(plan, before, one_time, expires.root);
    let roots = roots.iter().map(|root| roots::sign(root, before, signers.root));
    Ok(Ceremony { roots: roots.collect::<Result<_, _>>()?, delegations })
}

impl OneTimeKeys<'_> {
    fn check(&self) -> Result<(), CeremonyError> {
        for (role, signers) in [("targets", self.targets), ("bins", self.bins)] {
            let keys = keys_of(signers).len() as u64;
            if keys < 2 {
                return Err(CeremonyError::OneTimeKeys { role, keys });
            }
        }
        Ok(())
    }
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
