//! What the offline roles of an index are to be.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use waxseal_tuf::{KeyId, PublicKey};

use super::OfflineRoles;
use crate::bins::Bins;

/// One year: how long root, targets and bins are valid (PEP 458, "Metadata Expiry Times").
pub const OFFLINE_LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);

/// What the offline roles are to be.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who holds the root keys.
    pub holders: Vec<Holder>,
    /// How many root keys must sign root; the PEP asks for more than one.
    pub root_threshold: u64,
    /// The online key of timestamp, snapshot and every bin.
    pub online: PublicKey,
    /// The bins.
    pub bins: Bins,
    /// How long the offline roles are valid.
    pub lifetimes: OfflineLifetimes,
}

/// A person who holds a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Their name, for people; root states it.
    pub name: String,
    /// Their key.
    pub key: PublicKey,
}

/// How long the offline roles are valid; the PEP's one year each by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfflineLifetimes {
    /// Of root.
    pub root: SignedDuration,
    /// Of targets.
    pub targets: SignedDuration,
    /// Of bins.
    pub bins: SignedDuration,
}

impl Default for OfflineLifetimes {
    fn default() -> Self {
        Self { root: OFFLINE_LIFETIME, targets: OFFLINE_LIFETIME, bins: OFFLINE_LIFETIME }
    }
}

/// A plan that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
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
    /// Two holders have one key, or one holder has two.
    #[error("{first} and {second} have one key: every holder needs a key of their own")]
    SharedKey {
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
    /// A key that signs online is a root key as well.
    #[error(
        "the online key is also the root key of {name}: whoever takes the server could then sign root; \
         make another key"
    )]
    OnlineRootKey {
        /// The holder.
        name: String,
    },
    /// The expiry time lies outside of what a timestamp can hold, or is over at once.
    #[error("{role} cannot be valid for {hours} hours: choose from an hour to some years")]
    Lifetime {
        /// The role.
        role: &'static str,
        /// The planned lifetime.
        hours: i64,
    },
    /// There are no targets and bins that could stay.
    #[error("the first ceremony of an index makes targets and bins as well as root")]
    NothingBefore,
    /// Targets and bins cannot stay where what they say is to change.
    #[error("{what} changes, and is signed by the role bins: renew targets and bins as well")]
    MustRenew {
        /// The online key or the bins.
        what: &'static str,
    },
    /// Clients would take the new snapshot for a rollback.
    #[error(
        "with {after} bins in place of {before} roles vanish that clients know, who refuse that as a \
         rollback unless the online key changes as well: plan a new online key"
    )]
    BinsVanish {
        /// How many there are.
        before: u32,
        /// How many there are to be.
        after: u32,
    },
}

/// When the offline roles expire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expires {
    pub(super) root: Timestamp,
    pub(super) targets: Timestamp,
    pub(super) bins: Timestamp,
}

impl Plan {
    /// Refuses what protects nothing or cannot be reached.
    pub fn check(&self) -> Result<(), PlanError> {
        let mut holders: BTreeMap<KeyId, &str> = BTreeMap::new();
        for holder in &self.holders {
            if let Some(first) = holders.insert(holder.key.default_keyid(), &holder.name) {
                let (first, second) = (first.to_owned(), holder.name.clone());
                return Err(PlanError::SharedKey { first, second });
            }
        }
        if let Some(name) = holders.get(&self.online.default_keyid()) {
            return Err(PlanError::OnlineRootKey { name: (*name).to_owned() });
        }
        let (threshold, keys) = (self.root_threshold, holders.len() as u64);
        match (2..=keys).contains(&threshold) {
            true => self.lifetimes.check(),
            false => Err(PlanError::RootThreshold { threshold, keys }),
        }
    }

    /// Refuses what cannot follow what is there. `renews`: targets and bins are made anew.
    pub(super) fn check_after(
        &self,
        before: Option<&OfflineRoles>,
        renews: bool,
    ) -> Result<(), PlanError> {
        let Some(before) = before else {
            return if renews { Ok(()) } else { Err(PlanError::NothingBefore) };
        };
        let same_online = before.online_keys().contains(&self.online.default_keyid());
        let same_bins = before.bins() == self.bins;
        match (same_online, same_bins) {
            (false, _) if !renews => Err(PlanError::MustRenew { what: "the online key" }),
            (_, false) if !renews => Err(PlanError::MustRenew { what: "the number of bins" }),
            (true, _) if !before.bins().go_on_in(self.bins) => {
                let (before, after) = (before.bins().count(), self.bins.count());
                Err(PlanError::BinsVanish { before, after })
            }
            _ => Ok(()),
        }
    }
}

impl OfflineLifetimes {
    fn check(self) -> Result<(), PlanError> {
        self.from(Timestamp::UNIX_EPOCH).map(|_| ())
    }

    pub(super) fn from(self, now: Timestamp) -> Result<Expires, PlanError> {
        let expires = |role, lifetime: SignedDuration| {
            let wrong = PlanError::Lifetime { role, hours: lifetime.as_hours() };
            match lifetime.as_hours() {
                1.. => now.checked_add(lifetime).map_err(|_| wrong),
                _ => Err(wrong),
            }
        };
        Ok(Expires {
            root: expires("root", self.root)?,
            targets: expires("targets", self.targets)?,
            bins: expires("bins", self.bins)?,
        })
    }
}
