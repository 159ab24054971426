//! Who signs each published role, and whether it expires so soon that people have to do something.

use jiff::{SignedDuration, Timestamp};
use waxseal_tuf::metadata::{self, Root, Targets};
use waxseal_tuf::{KeyId, RoleName};

use crate::bins::{BinStyle, Bins};
use crate::ceremony::BINS;
use crate::database::Database;
use crate::error::Error;
use crate::online_keys::online_keyids;
use crate::repository::{METADATA_LIMIT, ROOT, read_claims};
use crate::store::{Store, StoreKey};

/// So many days before a role of a key ceremony expires people are told, the earliest first: its holders
/// meet once a year.
pub const REMINDERS: [u32; 3] = [90, 30, 7];

/// How soon something is to be done about a role. The greater, the more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Nothing now. A role of the online key is signed again by the snapshot process.
    Later,
    /// It expires within as many days as the first of [`REMINDERS`] says.
    Early,
    /// Within as many as the second says.
    Soon,
    /// Within as many as the last says.
    Urgent,
    /// Clients refuse it.
    Expired,
}

/// How soon something is to be done about a role that expires then.
pub fn due(role: &RoleName, expires: Timestamp, now: Timestamp) -> Due {
    let [early, soon, urgent] = REMINDERS.map(|days| is_within(days, expires, now));
    match is_offline(role) {
        _ if expires <= now => Due::Expired,
        true if urgent => Due::Urgent,
        true if soon => Due::Soon,
        true if early => Due::Early,
        true | false => Due::Later,
    }
}

/// Whether a role that expires then has no more than so many days left.
pub fn is_within(days: u32, expires: Timestamp, now: Timestamp) -> bool {
    expires.duration_since(now) <= SignedDuration::from_hours(24 * i64::from(days))
}

/// Whether a key ceremony signs the role, and nothing renews it by itself.
pub fn is_offline(role: &RoleName) -> bool {
    *role == ROOT || *role == RoleName::targets() || *role == BINS
}

/// A role as clients find it; all bins are one, that which expires first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRole {
    /// Its name.
    pub name: RoleName,
    /// How many roles this stands for.
    pub count: usize,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Timestamp,
    /// Who signs it.
    pub signer: RoleSigner,
}

/// Who signs a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleSigner {
    /// People, each with a key of their own.
    Holders {
        /// Their keys, and their names where the root says them, in the order of those.
        holders: Vec<(KeyId, Option<String>)>,
        /// How many of them must sign.
        threshold: u64,
    },
    /// Keys that signed once and were discarded.
    OneTimeKeys {
        /// How many there were.
        keys: usize,
        /// How many must have signed.
        threshold: u64,
    },
    /// The key of the snapshot process; two while one is replaced by another.
    OnlineKey {
        /// What it is known by.
        keyids: Vec<KeyId>,
    },
}

/// The published roles: those that are no bins by their names, and then the bins.
pub fn published_roles(
    store: &dyn Store,
    database: &dyn Database,
) -> Result<Vec<PublishedRole>, Error> {
    let rows = database.roles()?;
    let version =
        |name: &RoleName| rows.iter().find(|row| row.name == *name).map_or(0, |row| row.published);
    let root: Root = read(store, ROOT, version(&ROOT))?;
    let targets: Targets = read(store, RoleName::targets(), version(&RoleName::targets()))?;
    let bins: Targets = read(store, BINS, version(&BINS))?;
    let keys_of_bins = targets.delegations.as_ref().and_then(|keys| keys.role_keys(&BINS));
    let one_time = |keys: &metadata::RoleKeys| RoleSigner::OneTimeKeys {
        keys: keys.keyids.len(),
        threshold: keys.threshold,
    };
    let online = |keyids: &[KeyId]| RoleSigner::OnlineKey { keyids: keyids.to_vec() };
    let signer = |name: &RoleName| match name.as_str() {
        RoleName::ROOT => {
            let named = |keyid: &KeyId| (keyid.clone(), root.holders.get(keyid).cloned());
            let threshold = root.roles.root.threshold;
            let mut holders: Vec<_> = root.roles.root.keyids.iter().map(named).collect();
            holders.sort_by(|(_, a), (_, b)| a.is_none().cmp(&b.is_none()).then(a.cmp(b)));
            RoleSigner::Holders { holders, threshold }
        }
        RoleName::SNAPSHOT => online(&root.roles.snapshot.keyids),
        RoleName::TIMESTAMP => online(&root.roles.timestamp.keyids),
        _ if *name == BINS => {
            keys_of_bins.map_or(RoleSigner::OneTimeKeys { keys: 0, threshold: 0 }, one_time)
        }
        _ => one_time(&root.roles.targets),
    };
    let published = rows.iter().filter(|row| row.published > 0).map(|row| PublishedRole {
        name: row.name.clone(),
        count: 1,
        version: row.published,
        expires: row.expires,
        signer: signer(&row.name),
    });
    let mut roles: Vec<_> = published.collect();
    let rows = database.bins()?;
    let files = rows.iter().filter_map(|bin| Some((bin.number, bin.published?)));
    if let Some((number, file)) = files.min_by_key(|(_, file)| file.expires) {
        // Bins are named alike in both styles.
        let named = Bins::new(rows.len() as u64, BinStyle::Succinct);
        let named = named.map_err(|error| Error::NotARepository { problem: error.to_string() })?;
        roles.push(PublishedRole {
            name: named.role(number),
            count: rows.len(),
            version: file.version,
            expires: file.expires,
            signer: online(online_keyids(&bins)),
        });
    }
    Ok(roles)
}

/// Files in our own store need no verification here: `audit` does that.
fn read<T: metadata::Role + Clone>(
    store: &dyn Store,
    role: RoleName,
    version: u64,
) -> Result<T, Error> {
    let key = StoreKey::Metadata { version, role };
    let file = key.path();
    let missing = || Error::NotARepository { problem: format!("{file} is missing") };
    read_claims(&file, &store.read(&key, METADATA_LIMIT)?.ok_or_else(missing)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn now() -> Timestamp {
        "2030-01-01T12:00:00Z".parse().unwrap()
    }

    fn in_seconds(role: &RoleName, days: i64, seconds: i64) -> Due {
        let left = SignedDuration::from_hours(24 * days) + SignedDuration::from_secs(seconds);
        due(role, now() + left, now())
    }

    #[test]
    fn people_are_told_when_a_limit_is_crossed_and_not_a_second_before() {
        for role in [ROOT, RoleName::targets(), BINS] {
            let at = |days, seconds| in_seconds(&role, days, seconds);
            let limits = [
                (90, Due::Later, Due::Early),
                (30, Due::Early, Due::Soon),
                (7, Due::Soon, Due::Urgent),
                (0, Due::Urgent, Due::Expired),
            ];
            for (days, before, after) in limits {
                assert_eq!((at(days, 1), at(days, 0)), (before, after), "{role} {days}");
            }
            assert_eq!((at(365, 0), at(-1, 0)), (Due::Later, Due::Expired), "{role}");
        }
    }

    #[test]
    fn what_the_online_key_signs_is_nobodys_business_until_it_has_expired() {
        let online = ["timestamp", "snapshot", "bin-0"].map(RoleName::from_static);
        for role in online {
            let at = |days, seconds| in_seconds(&role, days, seconds);
            assert_eq!((at(1, 0), at(0, 1), at(0, 0)), (Due::Later, Due::Later, Due::Expired));
        }
    }
}
