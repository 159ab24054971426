//! The roots of a ceremony.

use std::collections::BTreeMap;

use jiff::Timestamp;
use waxseal_tuf::metadata::{self, Keys, RoleKeys, Root, TopLevelRoles};
use waxseal_tuf::{PublicKey, SignError, Signer};

use super::{OfflineRoles, Plan, Succession, all_of, keys_of};

/// The roots that make `plan` come true. Each is signed by the keys of the one before it as well as by its
/// own.
pub(super) fn make(
    plan: &Plan,
    before: Option<(&OfflineRoles, Succession)>,
    targets: Option<&[&dyn Signer]>,
    expires: Timestamp,
) -> Vec<Root> {
    let mut last = planned(plan, before.map(|(before, _)| before), targets, expires);
    let Some((before, Succession::Planned)) = before else { return vec![last] };
    let first = trusting_both(before.root(), &last);
    // Where no key but root's changes, what is published is valid under the new root as it is.
    if first.roles == last.roles {
        return vec![last];
    }
    last.version += 1;
    vec![first, last]
}

/// The root of the plan, after the one that is there. Without new keys of targets those that are there
/// stay.
fn planned(
    plan: &Plan,
    before: Option<&OfflineRoles>,
    targets: Option<&[&dyn Signer]>,
    expires: Timestamp,
) -> Root {
    let holders: Vec<_> = plan.holders.iter().map(|holder| &holder.key).collect();
    let mut keys = by_keyid(&holders);
    let root = RoleKeys { keyids: keys.keys().cloned().collect(), threshold: plan.root_threshold };
    let targets = match (targets, before) {
        (None, Some(before)) => {
            let role = before.root().roles.targets.clone();
            let known = |keyid| Some((keyid, before.root().keys.get(keyid)?));
            let known = role.keyids.iter().filter_map(known);
            keys.extend(known.map(|(keyid, key)| (keyid.clone(), key.clone())));
            role
        }
        (signers, _) => {
            let signers = signers.unwrap_or_default();
            keys.extend(keys_of(signers));
            all_of(signers)
        }
    };
    keys.extend(by_keyid(&[&plan.online]));
    let online = RoleKeys { keyids: vec![plan.online.default_keyid()], threshold: 1 };
    let names = plan.holders.iter().map(|holder| (holder.key.default_keyid(), holder.name.clone()));
    Root {
        version: before.map_or(1, |before| before.root().version + 1),
        expires,
        consistent_snapshot: true,
        keys,
        roles: TopLevelRoles { root, timestamp: online.clone(), snapshot: online, targets },
        holders: names.collect(),
    }
}

/// The new root, which trusts the keys of `before` for timestamp, snapshot and targets as well: what they
/// signed is valid under it, and what the new keys will sign. A mixture of old and new one-time keys is
/// none that anybody has.
fn trusting_both(before: &Root, new: &Root) -> Root {
    let both = |old: &RoleKeys, new: &RoleKeys| {
        let added = new.keyids.iter().filter(|keyid| !old.keyids.contains(keyid));
        let mut keyids: Vec<_> = old.keyids.iter().chain(added).cloned().collect();
        keyids.sort();
        RoleKeys { keyids, threshold: old.threshold.min(new.threshold) }
    };
    let (old, roles) = (&before.roles, &new.roles);
    let roles = TopLevelRoles {
        root: roles.root.clone(),
        timestamp: both(&old.timestamp, &roles.timestamp),
        snapshot: both(&old.snapshot, &roles.snapshot),
        targets: both(&old.targets, &roles.targets),
    };
    let all = || roles.iter().flat_map(|(_, role)| &role.keyids);
    let key = |keyid| new.keys.get(keyid).or_else(|| before.keys.get(keyid));
    let keys = all().filter_map(|keyid| Some((keyid.clone(), key(keyid)?.clone()))).collect();
    Root { keys, roles, ..new.clone() }
}

/// Signs a root with those of the keys that it or the root before it trusts for that.
pub(super) fn sign(
    root: &Root,
    before: Option<(&OfflineRoles, Succession)>,
    signers: &[&dyn Signer],
) -> Result<Vec<u8>, SignError> {
    let before: Option<&Root> = before.map(|(before, _)| &**before.root());
    // A second new root follows the first one, whose holders are the same.
    let before = before.filter(|before| before.version + 1 == root.version);
    let counts = |signer: &&&dyn Signer| {
        let keyid = signer.public_key().default_keyid();
        let roots = [Some(root), before].into_iter().flatten();
        roots.map(|root| &root.roles.root).any(|role| role.keyids.contains(&keyid))
    };
    // Whoever stays may be named among those who leave as well.
    let signers: BTreeMap<_, _> = signers
        .iter()
        .filter(counts)
        .map(|signer| (signer.public_key().default_keyid(), *signer))
        .collect();
    metadata::sign(root, &signers.into_values().collect::<Vec<_>>())
}

fn by_keyid(keys: &[&PublicKey]) -> Keys {
    keys.iter().map(|key| (key.default_keyid(), (*key).clone())).collect()
}
