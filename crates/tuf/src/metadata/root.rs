use std::collections::BTreeMap;

use jiff::Timestamp as Time;

use super::{Common, Keys, Role, RoleKeys, integer, read_keys, write_keys};
use crate::error::FormatError;
use crate::fields::Fields;
use crate::json::{Element, Object, Value};
use crate::names::KeyId;

/// The keys of the top-level roles (TUF 4.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Version, at least 1.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// Whether files are named by version and digest (TUF 6.2).
    pub consistent_snapshot: bool,
    /// Every key that a role below names, and possibly others. A keyid without a key counts for
    /// nothing.
    pub keys: Keys,
    /// Who signs what.
    pub roles: TopLevelRoles,
    /// Who holds the keys, by name, where this is said: the field `x-waxseal-holders`, which other programs
    /// carry along and do not read. It means nothing to verification.
    pub holders: BTreeMap<KeyId, String>,
}

/// Names of key holders by keyid.
const HOLDERS: &str = "x-waxseal-holders";

/// Keys and threshold of each top-level role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopLevelRoles {
    /// Signs root.
    pub root: RoleKeys,
    /// Signs timestamp.
    pub timestamp: RoleKeys,
    /// Signs snapshot.
    pub snapshot: RoleKeys,
    /// Signs the top-level targets.
    pub targets: RoleKeys,
}

impl TopLevelRoles {
    /// Each role with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &RoleKeys)> {
        [
            ("root", &self.root),
            ("timestamp", &self.timestamp),
            ("snapshot", &self.snapshot),
            ("targets", &self.targets),
        ]
        .into_iter()
    }
}

impl Role for Root {
    const TYPE: &'static str = "root";

    fn version(&self) -> u64 {
        self.version
    }

    fn expires(&self) -> Time {
        self.expires
    }

    fn read(fields: Fields<'_>, common: Common<'_>) -> Result<Self, FormatError> {
        let consistent_snapshot =
            fields.has("consistent_snapshot") && fields.bool("consistent_snapshot")?;
        let keys = read_keys(fields, common.limits)?;
        let roles = fields.object("roles", |roles| {
            let role = |name| roles.object(name, RoleKeys::read);
            Ok(TopLevelRoles {
                root: role("root")?,
                timestamp: role("timestamp")?,
                snapshot: role("snapshot")?,
                targets: role("targets")?,
            })
        })?;
        let Common { version, expires, .. } = common;
        let holders = read_holders(fields);
        Ok(Self { version, expires, consistent_snapshot, keys, roles, holders })
    }

    fn write(&self, object: &mut Object) {
        object.insert("consistent_snapshot", self.consistent_snapshot);
        object.insert("keys", write_keys(&self.keys));
        let roles = self.roles.iter().map(|(name, role)| {
            let mut object = Object::default();
            role.write(&mut object);
            (name, Value::from(object))
        });
        object.insert("roles", roles.collect::<Object>());
        if !self.holders.is_empty() {
            let holders = self.holders.iter().map(|(keyid, name)| (keyid.as_str(), name.as_str()));
            object.insert(HOLDERS, holders.collect::<Object>());
        }
        debug_assert_eq!(object.get("version"), Some(&integer(self.version)));
    }
}

/// The field is nobody's but ours: what is not in our form says nothing, and does not make a root invalid.
fn read_holders(fields: Fields<'_>) -> BTreeMap<KeyId, String> {
    let names = |holders: Fields<'_>| {
        let name = |(keyid, name): (&str, Element<'_>)| match name.to_value() {
            Value::String(name) => Some((KeyId::new(keyid), name)),
            _ => None,
        };
        Ok(holders.entries().filter_map(name).collect())
    };
    match fields.has(HOLDERS) {
        true => fields.object(HOLDERS, names).unwrap_or_default(),
        false => BTreeMap::new(),
    }
}
