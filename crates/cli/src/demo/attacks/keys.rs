//! The attack of a thief of a key.

use jiff::{SignedDuration, Timestamp};
use waxseal_signing::{PrivateKey, Scheme};
use waxseal_tuf::Signer;
use waxseal_tuf::metadata::{RoleKeys, Root, Unverified, sign};

use super::files::{evil, evil_is_installed};
use super::{Attack, Ends, Seen};
use crate::demo::between::{About, Instead, Lie};
use crate::demo::world::World;

pub(super) const COMPROMISE: Attack = Attack {
    name: "Vulnerability to key compromises",
    does: "The attacker holds the mirror, with all that TLS would have protected, and one of the three \
           root keys. A new root, signed with that key, gives every role to keys of the attacker.",
    limit: Some(
        "A thief of the online key can sign bins, snapshot and timestamp until the next root takes that \
         key away; two root keys of three are the index.",
    ),
    lies: |world| {
        let about = About::Path("/tuf/metadata/2.root.json".to_owned());
        let root = Lie { about, instead: Instead::Bytes(forged_root(world)?) };
        Ok([vec![root], evil()].concat())
    },
    fooled: evil_is_installed,
    seen: Seen::Today,
    ends: Ends::Refused,
    watch: None,
};

/// A successor of the index's root, as good as one stolen key makes it.
fn forged_root(world: &World) -> anyhow::Result<Vec<u8>> {
    let mut root = Unverified::<Root>::parse(&world.root()?)?.claims().clone();
    let stolen = world.stolen_root_key()?;
    let own = PrivateKey::generate(Scheme::Ed25519)?;
    let keyid = own.public_key().default_keyid();
    root.version += 1;
    root.expires = Timestamp::now() + SignedDuration::from_hours(365 * 24);
    root.keys.insert(keyid.clone(), own.public_key().clone());
    let roles = &mut root.roles;
    for role in [&mut roles.root, &mut roles.timestamp, &mut roles.snapshot, &mut roles.targets] {
        *role = RoleKeys { keyids: vec![keyid.clone()], threshold: 1 };
    }
    Ok(sign(&root, &[&*stolen, &own as &dyn Signer])?)
}
