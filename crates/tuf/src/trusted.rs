//! The trusted metadata set: the rules by which metadata becomes trusted (TUF 5.3 to 5.6).
//!
//! Each phase is a type that only the phase before can make, so that a wrong order does not compile:
//!
//! ```text
//! RootPhase ── finish(now) ──▶ TimestampPhase ── finish() ──▶ SnapshotPhase ── finish() ──▶ TrustedMetadata
//! ```
//!
//! * `load` takes what the trust store has. It counts only if it verifies against the current root,
//!   which is also how a client recovers from a fast-forward attack after the keys were replaced
//!   (TUF 5.3.11). An expired local file is still a base that versions must not fall below.
//! * `update` takes what a mirror sent. It is either accepted as a whole or changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp as Time;

use crate::error::Error;
use crate::hash::Hashes;
use crate::metadata::{MetaFile, Role, Root, Snapshot, Targets, Timestamp, Unverified};
use crate::names::{RoleName, TargetPath};
use crate::verify::{Delegator, Verified, verify, verify_root};
use crate::{TargetFile, metadata::Delegations};

fn role(name: &str) -> RoleName {
    RoleName::trusted(name.to_owned())
}

fn parse<T: Role>(bytes: &[u8], name: &RoleName) -> Result<Unverified<T>, Error> {
    Unverified::parse(bytes).map_err(|problem| Error::Format { role: name.clone(), problem })
}

fn check_expiry<T: Role>(signed: &T, name: &RoleName, now: Time) -> Result<(), Error> {
    if signed.expires() > now {
        return Ok(());
    }
    let (version, expired) = (signed.version(), signed.expires());
    Err(Error::Expired { role: name.clone(), version, expired, now })
}

/// Checks length and digests that snapshot or timestamp list for a metadata file.
fn check_metafile(file: &MetaFile, name: &RoleName, bytes: &[u8]) -> Result<(), Error> {
    if let Some(expected) = file.length.filter(|length| *length != bytes.len() as u64) {
        let got = bytes.len() as u64;
        return Err(Error::Length { file: name.metafile(), expected, exact: true, got });
    }
    match &file.hashes {
        Some(hashes) => check_hashes(hashes, &name.metafile(), bytes),
        None => Ok(()),
    }
}

fn check_hashes(hashes: &Hashes, file: &str, bytes: &[u8]) -> Result<(), Error> {
    let checker = hashes.checker();
    let mut checker = checker.ok_or_else(|| Error::NoKnownHash { file: file.to_owned() })?;
    checker.update(bytes);
    checker.finish().map_err(|mismatch| Error::Hash { file: file.to_owned(), mismatch })
}

/// From the trusted root to the newest root (TUF 5.2 and 5.3).
#[derive(Debug)]
pub struct RootPhase {
    root: Verified<Root>,
}

impl RootPhase {
    /// Starts from the root that came with the client or was trusted before (TUF 5.2). It may be
    /// expired; it must be signed by its own keys.
    pub fn new(trusted_root: &[u8]) -> Result<Self, Error> {
        let root = verify_root(parse(trusted_root, &role(RoleName::ROOT))?, None)?;
        Ok(Self { root })
    }

    /// The newest root so far.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// Takes the next root (TUF 5.3.4 to 5.3.7).
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let name = role(RoleName::ROOT);
        let new = verify_root(parse(bytes, &name)?, Some(&self.root))?;
        let expected = self.root.version + 1;
        if new.version != expected {
            return Err(Error::WrongVersion { role: name, expected, got: new.version });
        }
        self.root = new;
        Ok(())
    }

    /// There is no newer root: it must not be expired (TUF 5.3.10). `now` is the fixed start time of
    /// the whole update (TUF 5.1).
    pub fn finish(self, now: Time) -> Result<TimestampPhase, Error> {
        check_expiry(&*self.root, &role(RoleName::ROOT), now)?;
        Ok(TimestampPhase { root: self.root, now, timestamp: None })
    }
}

/// The newest timestamp (TUF 5.4).
#[derive(Debug)]
pub struct TimestampPhase {
    root: Verified<Root>,
    now: Time,
    timestamp: Option<Verified<Timestamp>>,
}

impl TimestampPhase {
    fn verify(&self, bytes: &[u8]) -> Result<Verified<Timestamp>, Error> {
        let name = role(RoleName::TIMESTAMP);
        let delegator = by_root(&self.root);
        let role = &self.root.roles.timestamp;
        verify(parse(bytes, &name)?, &name, delegator.of(&self.root, role))
    }

    /// Takes the timestamp of the trust store; one that does not verify is as good as none.
    pub fn load(&mut self, bytes: &[u8]) {
        self.timestamp = self.verify(bytes).ok();
    }

    /// Takes a mirror's timestamp. `false`: it has the version of the trusted one, which stays
    /// (TUF 5.4.3.1).
    pub fn update(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        let new = self.verify(bytes)?;
        if let Some(trusted) = &self.timestamp {
            if new.version == trusted.version {
                return Ok(false);
            }
            check_not_lower(RoleName::TIMESTAMP, trusted.version, new.version)?;
            check_not_lower(RoleName::SNAPSHOT, trusted.snapshot.version, new.snapshot.version)?;
        }
        check_expiry(&*new, &role(RoleName::TIMESTAMP), self.now)?;
        self.timestamp = Some(new);
        Ok(true)
    }

    /// Goes on with the trusted timestamp, which must not be expired (TUF 5.4.4).
    pub fn finish(self) -> Result<SnapshotPhase, Error> {
        let timestamp = self.timestamp.ok_or(Error::Misuse { expected: "a timestamp" })?;
        check_expiry(&*timestamp, &role(RoleName::TIMESTAMP), self.now)?;
        Ok(SnapshotPhase { root: self.root, now: self.now, timestamp, snapshot: None })
    }
}

/// The snapshot that timestamp names (TUF 5.5).
#[derive(Debug)]
pub struct SnapshotPhase {
    root: Verified<Root>,
    now: Time,
    timestamp: Verified<Timestamp>,
    snapshot: Option<Verified<Snapshot>>,
}

impl SnapshotPhase {
    /// The trusted timestamp.
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    fn verify(&self, bytes: &[u8]) -> Result<Verified<Snapshot>, Error> {
        let name = role(RoleName::SNAPSHOT);
        let delegator = by_root(&self.root);
        let role = &self.root.roles.snapshot;
        verify(parse(bytes, &name)?, &name, delegator.of(&self.root, role))
    }

    /// Takes the snapshot of the trust store; one that does not verify is as good as none.
    pub fn load(&mut self, bytes: &[u8]) {
        self.snapshot = self.verify(bytes).ok();
    }

    /// Whether the snapshot loaded is the one that timestamp names, so that none need be fetched.
    pub fn is_current(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| self.check_current(snapshot).is_ok())
    }

    fn check_current(&self, snapshot: &Verified<Snapshot>) -> Result<(), Error> {
        let name = role(RoleName::SNAPSHOT);
        check_metafile(&self.timestamp.snapshot, &name, snapshot.bytes())?;
        let expected = self.timestamp.snapshot.version;
        if snapshot.version != expected {
            return Err(Error::WrongVersion { role: name, expected, got: snapshot.version });
        }
        check_expiry(&**snapshot, &name, self.now)
    }

    /// Takes a mirror's snapshot (TUF 5.5.2 to 5.5.6).
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        check_metafile(&self.timestamp.snapshot, &role(RoleName::SNAPSHOT), bytes)?;
        let new = self.verify(bytes)?;
        if let Some(trusted) = &self.snapshot {
            for (name, file) in &trusted.roles {
                let Some(listed) = new.roles.get(name) else {
                    return Err(Error::RoleRemoved { role: name.clone(), snapshot: new.version });
                };
                check_not_lower(name.as_str(), file.version, listed.version)?;
            }
        }
        self.check_current(&new)?;
        self.snapshot = Some(new);
        Ok(())
    }

    /// Goes on with the snapshot that timestamp names.
    pub fn finish(self) -> Result<TrustedMetadata, Error> {
        let snapshot = self.snapshot.as_ref().ok_or(Error::Misuse { expected: "a snapshot" })?;
        self.check_current(snapshot)?;
        Ok(TrustedMetadata {
            snapshot: snapshot.clone(),
            root: self.root,
            now: self.now,
            timestamp: self.timestamp,
            targets: BTreeMap::new(),
        })
    }
}

/// A role of targets metadata, and the role that delegates to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Delegated {
    pub(crate) role: RoleName,
    /// `None` for the top-level targets role, to which root delegates.
    pub(crate) delegator: Option<RoleName>,
}

/// Root, timestamp and snapshot of one moment, and the targets roles verified against them so far
/// (TUF 5.6).
#[derive(Debug)]
pub struct TrustedMetadata {
    root: Verified<Root>,
    now: Time,
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
    targets: BTreeMap<Delegated, Arc<Verified<Targets>>>,
}

impl TrustedMetadata {
    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// The trusted timestamp.
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    /// The trusted snapshot.
    pub fn snapshot(&self) -> &Verified<Snapshot> {
        &self.snapshot
    }

    /// The fixed time of this update (TUF 5.1).
    pub fn reference_time(&self) -> Time {
        self.now
    }

    /// When the first of timestamp and snapshot expires: from then on this set is stale.
    pub fn fresh_until(&self) -> Time {
        self.timestamp.expires.min(self.snapshot.expires)
    }

    /// Where a target file lies below the targets URL: its path, with its digest where consistent
    /// snapshots are used (TUF 5.7.3).
    pub fn target_location(&self, path: &TargetPath, file: &TargetFile) -> Result<String, Error> {
        if !self.root.consistent_snapshot {
            return Ok(path.as_str().to_owned());
        }
        let no_hash = || Error::NoKnownHash { file: path.to_string() };
        file.hashes.file_name_digest().map(|digest| path.with_digest(digest)).ok_or_else(no_hash)
    }

    pub(crate) fn targets(&self, delegated: &Delegated) -> Option<&Arc<Verified<Targets>>> {
        self.targets.get(delegated)
    }

    /// What snapshot lists for a targets role.
    pub(crate) fn metafile(&self, name: &RoleName) -> Result<&MetaFile, Error> {
        let not_listed =
            || Error::RoleNotListed { role: name.clone(), snapshot: self.snapshot.version };
        self.snapshot.roles.get(name).ok_or_else(not_listed)
    }

    /// Takes a targets role, from a mirror or from the trust store (TUF 5.6.2 to 5.6.5). `delegator`
    /// is the verified role that names it, `None` for root.
    pub(crate) fn update_targets(
        &mut self,
        delegated: &Delegated,
        delegator: Option<&Verified<Targets>>,
        bytes: &[u8],
    ) -> Result<Arc<Verified<Targets>>, Error> {
        let name = &delegated.role;
        let file = self.metafile(name)?;
        check_metafile(file, name, bytes)?;
        let new = self.verify_targets(delegated, delegator, parse(bytes, name)?)?;
        if new.version != file.version {
            let (expected, got) = (file.version, new.version);
            return Err(Error::WrongVersion { role: name.clone(), expected, got });
        }
        check_expiry(&*new, name, self.now)?;
        let new = Arc::new(new);
        self.targets.insert(delegated.clone(), Arc::clone(&new));
        Ok(new)
    }

    fn verify_targets(
        &self,
        delegated: &Delegated,
        delegator: Option<&Verified<Targets>>,
        unverified: Unverified<Targets>,
    ) -> Result<Verified<Targets>, Error> {
        let name = &delegated.role;
        let Some(delegator) = delegator else {
            let by = by_root(&self.root);
            return verify(unverified, name, by.of(&self.root, &self.root.roles.targets));
        };
        let delegations = delegator.delegations.as_ref();
        let keys_of = |delegations: &Delegations| delegations.role_keys(name).cloned();
        let (Some(delegations), Some(role)) = (delegations, delegations.and_then(keys_of)) else {
            return Err(Error::Misuse { expected: "a role that its delegator names" });
        };
        let by = delegated.delegator.as_ref().map_or("root", RoleName::as_str);
        let by = format!("{by} version {}", delegator.version);
        verify(unverified, name, Delegator { name: &by, keys: &delegations.keys, role: &role })
    }
}

fn check_not_lower(name: &str, trusted: u64, got: u64) -> Result<(), Error> {
    if got < trusted {
        return Err(Error::Rollback { role: role(name), trusted, got });
    }
    Ok(())
}

/// `root version N`, which delegates to the top-level roles.
struct ByRoot(String);

fn by_root(root: &Root) -> ByRoot {
    ByRoot(format!("root version {}", root.version))
}

impl ByRoot {
    fn of<'a>(&'a self, root: &'a Root, role: &'a crate::metadata::RoleKeys) -> Delegator<'a> {
        Delegator { name: &self.0, keys: &root.keys, role }
    }
}
