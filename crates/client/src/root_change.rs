//! What is different about a root that became trusted: for telling people once.

use jiff::Timestamp;
use waxseal_tuf::metadata::{Root, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::verify::{Verified, signed_by};
use waxseal_tuf::{KeyId, Limits};

/// The way from a root that was trusted to a later one, each version signed by enough keys of the one before
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootChange {
    /// Version of the old root.
    pub from: u64,
    /// Version of the new one.
    pub to: u64,
    /// How many keys of the old root signed the new one; none where versions lie between the two.
    pub signed: Option<usize>,
    /// How many keys the old root has, and how many of them must sign.
    pub old_keys: (usize, u64),
    /// How many keys the new root has, and how many of them must sign.
    pub new_keys: (usize, u64),
    /// Keys of the new root that the old one does not name.
    pub added: Vec<RootKey>,
    /// Keys of the old root that the new one does not name.
    pub removed: Vec<RootKey>,
    /// When the new root expires.
    pub expires: Timestamp,
}

/// A key that signs root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKey {
    /// Its keyid.
    pub keyid: KeyId,
    /// Who holds it, where its root says so.
    pub holder: Option<String>,
}

impl RootChange {
    /// `old` is a root as the trust store held it. None where that is no root, or no older one: it was
    /// replaced by hand.
    pub(crate) fn between(old: &[u8], new: &Verified<Root>) -> Option<Self> {
        let limits = Limits::default();
        let old = RootPhase::new(old, &limits).ok()?;
        let old: &Root = old.root();
        if old.version >= new.version {
            return None;
        }
        let follows = new.version == old.version + 1;
        let file = follows.then(|| Unverified::<Root>::parse_within(new.bytes(), &limits).ok());
        let signed = file.flatten().map(|file| signed_by(&file, &old.keys, &old.roles.root).len());
        let keys = |root: &Root| (root.roles.root.keyids.len(), root.roles.root.threshold);
        Some(Self {
            from: old.version,
            to: new.version,
            signed,
            old_keys: keys(old),
            new_keys: keys(new),
            added: only_in(new, old),
            removed: only_in(old, new),
            expires: new.expires,
        })
    }
}

/// The root keys of one that another does not name.
fn only_in(one: &Root, other: &Root) -> Vec<RootKey> {
    let there = &other.roles.root.keyids;
    let keyids = one.roles.root.keyids.iter().filter(|keyid| !there.contains(keyid));
    let key =
        |keyid: &KeyId| RootKey { keyid: keyid.clone(), holder: one.holders.get(keyid).cloned() };
    keyids.map(key).collect()
}
