//! Why a target is trusted, for showing to people: every role from root to the one that lists it.
//!
//! A [`Chain`] is taken from metadata that was verified, and decides nothing.

use jiff::Timestamp as Time;

use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{
    Delegations, Keys, MetaFile, Paths, Role, RoleKeys, Roles, Root, TargetFile, Targets,
    Unverified,
};
use crate::names::{KeyId, RoleName, TargetPath};
use crate::paths::PathHash;
use crate::trusted::TrustedMetadata;
use crate::verify::{Verified, signed_by};

/// The roles that vouch for a target path, and what the last of them says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The target path.
    pub path: TargetPath,
    /// Length and digests of the target; `None` where the last role does not list it.
    pub target: Option<TargetFile>,
    /// The time that all of it was checked by (TUF 5.1).
    pub reference_time: Time,
    /// Root.
    pub root: ChainRole,
    /// Timestamp, which names the snapshot.
    pub timestamp: ChainRole,
    /// Snapshot, which lists the versions of all targets roles.
    pub snapshot: ChainRole,
    /// The top-level targets role, and each role that the one before it delegates to; at least one.
    pub targets: Vec<ChainRole>,
}

/// One role of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainRole {
    /// Its name.
    pub role: RoleName,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: Time,
    /// How many of the keys must sign it.
    pub threshold: u64,
    /// The keys that may, in the order in which the delegating role names them.
    pub keys: Vec<ChainKey>,
    /// Who says so; `None` of root, which names its own keys and was trusted before.
    pub delegated_by: Option<RoleName>,
    /// Which of all paths it is trusted with, and this one among them.
    pub covers: Covers,
    /// What timestamp or snapshot lists of its file.
    pub listed: Option<Listed>,
}

/// A key that may sign a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainKey {
    /// Its keyid, as metadata spells it.
    pub keyid: KeyId,
    /// How it signs (TUF 4.2), where its key is there and says so.
    pub scheme: Option<String>,
    /// Who holds it, where root says so.
    pub holder: Option<String>,
    /// Whether it signed this version.
    pub signed: bool,
}

/// The part of a delegation by which a role is trusted with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Covers {
    /// All paths: the top-level roles, and a role whose hash prefixes are all sixteen digits.
    Everything,
    /// Those that match this pattern.
    Pattern(String),
    /// Those whose SHA-256 begins with these hex digits: a classic hash bin.
    HashPrefix(String),
    /// Those whose SHA-256 begins with the bits of this number: a succinct hash bin (TAP 15).
    Bin {
        /// The number of the bin.
        number: u32,
        /// How many bits it has.
        bit_length: u8,
    },
}

/// What another role lists of a role's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Timestamp or snapshot.
    pub by: RoleName,
    /// The version of that one.
    pub in_version: u64,
    /// Version, and perhaps length and digests, of the file.
    pub file: MetaFile,
}

impl Chain {
    /// `way` is how a search went: the top-level targets role, and each role that the one before it led to.
    pub(crate) fn new(
        trusted: &TrustedMetadata,
        path: &TargetPath,
        target: Option<&TargetFile>,
        way: &[(&RoleName, &Verified<Targets>)],
    ) -> Result<Self, Error> {
        let (root, limits) = (trusted.root(), trusted.limits());
        let by_root = RolesOf { name: Some(ROOT), keys: &root.keys, root };
        let (timestamp, snapshot) = (trusted.timestamp(), trusted.snapshot());
        let top = &root.roles;
        let mut chain = Self {
            path: path.clone(),
            target: target.cloned(),
            reference_time: trusted.reference_time(),
            root: RolesOf { name: None, ..by_root.clone() }.role(ROOT, root, &top.root, limits)?,
            timestamp: by_root.role(TIMESTAMP, timestamp, &top.timestamp, limits)?,
            snapshot: by_root.role(SNAPSHOT, snapshot, &top.snapshot, limits)?,
            targets: Vec::new(),
        };
        chain.snapshot.listed = Some(Listed {
            by: TIMESTAMP,
            in_version: timestamp.version,
            file: timestamp.snapshot.clone(),
        });
        let mut delegator = None;
        for (name, role) in way {
            let (roles, keys, covers) = match delegator {
                None => (by_root.clone(), &top.targets, Covers::Everything),
                Some((by, delegations)) => delegation(by, delegations, name, path, root)?,
            };
            let mut link = roles.role((*name).clone(), role, keys, limits)?;
            link.covers = covers;
            link.listed = Some(Listed {
                by: SNAPSHOT,
                in_version: snapshot.version,
                file: trusted.metafile(name)?.clone(),
            });
            chain.targets.push(link);
            delegator = role.delegations.as_ref().map(|delegations| (*name, delegations));
        }
        Ok(chain)
    }

    /// Every role: root, timestamp, snapshot, and the targets roles from the top.
    pub fn roles(&self) -> impl Iterator<Item = &ChainRole> {
        [&self.root, &self.timestamp, &self.snapshot].into_iter().chain(&self.targets)
    }
}

const ROOT: RoleName = RoleName::from_static(RoleName::ROOT);
const TIMESTAMP: RoleName = RoleName::from_static(RoleName::TIMESTAMP);
const SNAPSHOT: RoleName = RoleName::from_static(RoleName::SNAPSHOT);

/// A role that names the keys of others, and root, which names holders.
#[derive(Clone)]
struct RolesOf<'a> {
    name: Option<RoleName>,
    keys: &'a Keys,
    root: &'a Root,
}

impl RolesOf<'_> {
    fn role<T: Role>(
        &self,
        role: RoleName,
        verified: &Verified<T>,
        keys: &RoleKeys,
        limits: &Limits,
    ) -> Result<ChainRole, Error> {
        let read = Unverified::<T>::parse_within(verified.bytes(), limits);
        // It was read and verified before; what is wanted now is by whom.
        let read = read.map_err(|_| Error::Misuse { expected: "metadata that was verified" })?;
        let signed = signed_by(&read, self.keys, keys);
        let key = |keyid: &KeyId| ChainKey {
            keyid: keyid.clone(),
            scheme: self.keys.get(keyid).and_then(|key| key.scheme()).map(str::to_owned),
            holder: self.root.holders.get(keyid).cloned(),
            signed: signed.contains(&keyid),
        };
        Ok(ChainRole {
            role,
            version: verified.version(),
            expires: verified.expires(),
            threshold: keys.threshold,
            keys: keys.keyids.iter().map(key).collect(),
            delegated_by: self.name.clone(),
            covers: Covers::Everything,
            listed: None,
        })
    }
}

/// Who may sign a delegated role, and why that one has the path.
fn delegation<'a>(
    by: &RoleName,
    delegations: &'a Delegations,
    name: &RoleName,
    path: &TargetPath,
    root: &'a Root,
) -> Result<(RolesOf<'a>, &'a RoleKeys, Covers), Error> {
    // Those that its signatures were checked with.
    let keys = delegations.role_keys(name);
    let covers = match &delegations.roles {
        Roles::Succinct(bins) => {
            Some(Covers::Bin { number: bins.bin_of(path), bit_length: bins.bit_length })
        }
        Roles::Listed(listed) => {
            let hash = PathHash::of(path);
            listed.iter().filter(|role| role.name == *name).find_map(|role| {
                let covering = role.paths.covering(path, &hash)?.to_owned();
                Some(match &role.paths {
                    Paths::Patterns(_) => Covers::Pattern(covering),
                    Paths::HashPrefixes(all) if have_every_digit(all) => Covers::Everything,
                    Paths::HashPrefixes(_) => Covers::HashPrefix(covering),
                })
            })
        }
    };
    let misuse = Error::Misuse { expected: "a role that its delegator names" };
    let (keys, covers) = keys.zip(covers).ok_or(misuse)?;
    Ok((RolesOf { name: Some(by.clone()), keys: &delegations.keys, root }, keys, covers))
}

/// Whether each path begins with one of these prefixes, as those do by which targets delegates to `bins`
/// (PEP 458).
fn have_every_digit(prefixes: &[String]) -> bool {
    (0..16).all(|digit| prefixes.contains(&format!("{digit:x}")))
}
