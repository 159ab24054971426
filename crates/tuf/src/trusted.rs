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

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp as Time;

use crate::error::Error;
use crate::limits::Limits;
use crate::metadata::{MetaFile, Role, Root, Snapshot, Targets, Timestamp, Unverified};
use crate::names::{RoleName, TargetPath};
use crate::verify::{Delegator, Verified, verify, verify_root};
use crate::{TargetFile, metadata::Delegations};

/// A role's file: what errors about its bytes name.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) role: RoleName,
    pub(crate) file: String,
}

impl Named {
    pub(crate) fn new(role: &'static str, file: String) -> Self {
        Self { role: RoleName::from_static(role), file }
    }

    pub(crate) fn parse<T: Role>(
        &self,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Unverified<T>, Error> {
        Unverified::parse_within(bytes, limits).map_err(|problem| {
            let Self { role, file } = self.clone();
            Error::Format { file, role, problem }
        })
    }

    fn check_expiry<T: Role>(&self, signed: &T, now: Time) -> Result<(), Error> {
        if signed.expires() > now {
            return Ok(());
        }
        let Self { role, file } = self.clone();
        let (version, expired) = (signed.version(), signed.expires());
        Err(Error::Expired { file, role, version, expired, now })
    }

    fn check_version(&self, expected: u64, got: u64) -> Result<(), Error> {
        if got == expected {
            return Ok(());
        }
        let Self { role, file } = self.clone();
        Err(Error::WrongVersion { file, role, expected, got })
    }

    /// Checks that the metadata is not another role's that the same key signs.
    fn check_name(&self, targets: &Targets) -> Result<(), Error> {
        match &targets.name {
            Some(name) if *name != self.role => {
                let Self { role, file } = self.clone();
                Err(Error::OtherRole { file, role, got: name.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Checks that a role, named in this file, does not go back.
    fn check_not_lower(&self, role: &RoleName, trusted: u64, got: u64) -> Result<(), Error> {
        if got >= trusted {
            return Ok(());
        }
        Err(Error::Rollback { file: self.file.clone(), role: role.clone(), trusted, got })
    }

    /// Checks that a new snapshot lists every role that the trusted one lists, at no lower version
    /// (TUF 5.5.5). Both are sorted, so that one walk through both is enough.
    fn check_listing(&self, trusted: &Snapshot, new: &Snapshot) -> Result<(), Error> {
        let mut all_new = new.roles.iter();
        for (role, listed) in &trusted.roles {
            match all_new.find(|(name, _)| *name >= role) {
                Some((name, new)) if name == role => {
                    self.check_not_lower(role, listed.version, new.version)?;
                }
                _ => {
                    let (file, role) = (self.file.clone(), role.clone());
                    return Err(Error::RoleRemoved { file, role, snapshot: new.version });
                }
            }
        }
        Ok(())
    }

    /// Checks length and digests that snapshot or timestamp list.
    pub(crate) fn check_listed(&self, listed: &MetaFile, bytes: &[u8]) -> Result<(), Error> {
        let (file, got) = (self.file.clone(), bytes.len() as u64);
        if let Some(expected) = listed.length.filter(|length| *length != got) {
            return Err(Error::Length { file, expected, exact: true, got });
        }
        let Some(hashes) = &listed.hashes else { return Ok(()) };
        let Some(mut checker) = hashes.checker() else { return Err(Error::NoKnownHash { file }) };
        checker.update(bytes);
        checker.finish().map_err(|mismatch| Error::Hash { file, mismatch })
    }
}

/// From the trusted root to the newest root (TUF 5.2 and 5.3).
#[derive(Debug, Clone)]
pub struct RootPhase {
    root: Verified<Root>,
    limits: Limits,
}

impl RootPhase {
    /// Starts from the root that came with the client or was trusted before (TUF 5.2). It may be
    /// expired; it must be signed by its own keys. `limits` holds for every file from here on.
    pub fn new(trusted_root: &[u8], limits: &Limits) -> Result<Self, Error> {
        let named = Named::new(RoleName::ROOT, "root.json".to_owned());
        let root = verify_root(named.parse(trusted_root, limits)?, &named.file, None)?;
        Ok(Self { root, limits: *limits })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The newest root so far.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    /// Path of the root after it, below the metadata URL (TUF 5.3.3).
    pub fn next_path(&self) -> String {
        format!("{}.root.json", self.root.version + 1)
    }

    /// Takes the next root (TUF 5.3.4 to 5.3.7).
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let named = Named::new(RoleName::ROOT, self.next_path());
        let new = named.parse(bytes, &self.limits)?;
        let new = verify_root(new, &named.file, Some(&self.root))?;
        named.check_version(self.root.version + 1, new.version)?;
        self.root = new;
        Ok(())
    }

    /// Verifies a targets role by who signed it and its name alone: in a key ceremony, before any snapshot
    /// lists it. `delegator` is the verified role that delegates to it and that one's name, `None` for
    /// root.
    pub fn verify_role(
        &self,
        role: &RoleName,
        delegator: Option<(&RoleName, &Verified<Targets>)>,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, Error> {
        let named = Named { role: role.clone(), file: format!("{}.json", role.encoded()) };
        let new = named.parse(bytes, &self.limits)?;
        let delegator = delegator.map(|(name, verified)| (Some(name), verified));
        let new = verify_targets(&self.root, &named, delegator, new)?;
        named.check_name(&new)?;
        Ok(new)
    }

    /// There is no newer root: it must not be expired (TUF 5.3.10). `now` is the fixed start time of
    /// the whole update (TUF 5.1).
    pub fn finish(self, now: Time) -> Result<TimestampPhase, Error> {
        let named = Named::new(RoleName::ROOT, format!("{}.root.json", self.root.version));
        named.check_expiry(&*self.root, now)?;
        Ok(TimestampPhase { root: self.root, limits: self.limits, now, timestamp: None })
    }
}

/// The newest timestamp (TUF 5.4).
#[derive(Debug)]
pub struct TimestampPhase {
    root: Verified<Root>,
    limits: Limits,
    now: Time,
    timestamp: Option<Verified<Timestamp>>,
}

impl TimestampPhase {
    /// Its path below the metadata URL (TUF 5.4.1).
    pub const PATH: &'static str = "timestamp.json";

    fn named() -> Named {
        Named::new(RoleName::TIMESTAMP, Self::PATH.to_owned())
    }

    fn verify(&self, bytes: &[u8]) -> Result<Verified<Timestamp>, Error> {
        let Named { role, file } = Self::named();
        let unverified = Self::named().parse(bytes, &self.limits)?;
        let delegator = by_root(&self.root);
        let delegator = delegator.of(&self.root, &self.root.roles.timestamp);
        verify(unverified, &role, &file, delegator)
    }

    /// Takes the timestamp of the trust store; one that does not verify is as good as none.
    pub fn load(&mut self, bytes: &[u8]) {
        self.timestamp = self.verify(bytes).ok();
    }

    /// Takes a mirror's timestamp. `false`: it has the version of the trusted one, which stays
    /// (TUF 5.4.3.1).
    pub fn update(&mut self, bytes: &[u8]) -> Result<bool, Error> {
        let (new, named) = (self.verify(bytes)?, Self::named());
        if let Some(trusted) = &self.timestamp {
            if new.version == trusted.version {
                return Ok(false);
            }
            named.check_not_lower(&named.role, trusted.version, new.version)?;
            let snapshot = RoleName::from_static(RoleName::SNAPSHOT);
            named.check_not_lower(&snapshot, trusted.snapshot.version, new.snapshot.version)?;
        }
        named.check_expiry(&*new, self.now)?;
        self.timestamp = Some(new);
        Ok(true)
    }

    /// Goes on with the trusted timestamp, which must not be expired (TUF 5.4.4).
    pub fn finish(self) -> Result<SnapshotPhase, Error> {
        let timestamp = self.timestamp.ok_or(Error::Misuse { expected: "a timestamp" })?;
        Self::named().check_expiry(&*timestamp, self.now)?;
        let Self { root, limits, now, .. } = self;
        Ok(SnapshotPhase { root, limits, now, timestamp, stored: None, snapshot: None })
    }
}

/// The snapshot that timestamp names (TUF 5.5).
#[derive(Debug)]
pub struct SnapshotPhase {
    root: Verified<Root>,
    limits: Limits,
    now: Time,
    timestamp: Verified<Timestamp>,
    /// That of the trust store, if it is not the one that timestamp names.
    stored: Option<Vec<u8>>,
    /// The one that timestamp names.
    snapshot: Option<Verified<Snapshot>>,
}

impl SnapshotPhase {
    /// The trusted timestamp.
    pub fn timestamp(&self) -> &Verified<Timestamp> {
        &self.timestamp
    }

    /// Its path below the metadata URL (TUF 5.5.1).
    pub fn path(&self) -> String {
        let version = self.timestamp.snapshot.version;
        metadata_path(&self.root, &RoleName::from_static(RoleName::SNAPSHOT), version)
    }

    fn named(&self) -> Named {
        Named::new(RoleName::SNAPSHOT, self.path())
    }

    fn verify(&self, unverified: Unverified<Snapshot>) -> Result<Verified<Snapshot>, Error> {
        let named = self.named();
        let delegator = by_root(&self.root);
        let delegator = delegator.of(&self.root, &self.root.roles.snapshot);
        verify(unverified, &named.role, &named.file, delegator)
    }

    /// Takes the snapshot of the trust store; one that does not verify is as good as none.
    ///
    /// If it is not the one that timestamp names, it is verified no sooner than that could matter:
    /// when it would have a new snapshot refused.
    pub fn load(&mut self, bytes: &[u8]) {
        let named = self.named();
        if named.check_listed(&self.timestamp.snapshot, bytes).is_ok()
            && let Ok(stored) = named.parse(bytes, &self.limits)
            && self.check_named(&stored.signed).is_ok()
        {
            self.snapshot = self.verify(stored).ok();
        } else {
            self.stored = Some(bytes.to_vec());
        }
    }

    /// Whether the snapshot loaded is the one that timestamp names, so that none need be fetched.
    pub fn is_current(&self) -> bool {
        self.snapshot.is_some()
    }

    fn check_named(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let named = self.named();
        named.check_version(self.timestamp.snapshot.version, snapshot.version)?;
        named.check_expiry(snapshot, self.now)
    }

    /// Takes a mirror's snapshot (TUF 5.5.2 to 5.5.6).
    pub fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let named = self.named();
        named.check_listed(&self.timestamp.snapshot, bytes)?;
        let new = self.verify(named.parse(bytes, &self.limits)?)?;
        named.check_version(self.timestamp.snapshot.version, new.version)?;
        if let Some(stored) = &self.stored
            && !new.continues(stored, &self.limits)
            && let Ok(stored) = named.parse(stored, &self.limits)
            && let Ok(stored) = self.verify(stored)
        {
            named.check_listing(&stored, &new)?;
        }
        named.check_expiry(&*new, self.now)?;
        self.snapshot = Some(new);
        Ok(())
    }

    /// Goes on with the snapshot that timestamp names.
    pub fn finish(self) -> Result<TrustedMetadata, Error> {
        let Self { root, limits, now, timestamp, snapshot, .. } = self;
        let misuse = Error::Misuse { expected: "the snapshot that timestamp names" };
        let snapshot = snapshot.ok_or(misuse)?;
        Ok(TrustedMetadata { root, limits, now, timestamp, snapshot, targets: Kept::default() })
    }
}

/// A role of targets metadata, and the role that delegates to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Delegated {
    pub(crate) role: RoleName,
    /// `None` for the top-level targets role, to which root delegates.
    pub(crate) delegator: Option<RoleName>,
}

/// A targets role, and the file of its delegator that names the keys which signed it. A delegator that
/// two roles delegate to can have two files, which trust different keys.
#[derive(Debug)]
struct VerifiedFor {
    delegator: Option<Arc<Verified<Targets>>>,
    role: Arc<Verified<Targets>>,
}

/// Verified targets roles that a later search need not load again: the last few of those that
/// delegate, and the last few of the others, so that memory does not grow with the searches.
#[derive(Debug, Default)]
struct Kept {
    roles: BTreeMap<Delegated, VerifiedFor>,
    delegating: VecDeque<Delegated>,
    others: VecDeque<Delegated>,
}

impl Kept {
    /// How many of each. A search for one of PyPI's files goes through `targets` and `bins`, which
    /// delegate, and one bin.
    const MOST: usize = 32;

    fn get(
        &self,
        delegated: &Delegated,
        delegator: Option<&Verified<Targets>>,
    ) -> Option<&Arc<Verified<Targets>>> {
        let kept = self.roles.get(delegated)?;
        let same = kept.delegator.as_deref().map(Verified::bytes) == delegator.map(Verified::bytes);
        same.then_some(&kept.role)
    }

    fn keep(&mut self, delegated: Delegated, verified: VerifiedFor) {
        let leads_on = verified.role.delegations.is_some();
        if self.roles.insert(delegated.clone(), verified).is_some() {
            return;
        }
        let order = if leads_on { &mut self.delegating } else { &mut self.others };
        order.push_back(delegated);
        if order.len() > Self::MOST
            && let Some(oldest) = order.pop_front()
        {
            self.roles.remove(&oldest);
        }
    }
}

/// Root, timestamp and snapshot of one moment, and the targets roles verified against them so far
/// (TUF 5.6).
#[derive(Debug)]
pub struct TrustedMetadata {
    root: Verified<Root>,
    limits: Limits,
    now: Time,
    timestamp: Verified<Timestamp>,
    snapshot: Verified<Snapshot>,
    targets: Kept,
}

impl TrustedMetadata {
    /// The trusted root.
    pub fn root(&self) -> &Verified<Root> {
        &self.root
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
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

    /// A role that was verified for this file of its delegator, if it is kept.
    pub(crate) fn targets(
        &self,
        delegated: &Delegated,
        delegator: Option<&Verified<Targets>>,
    ) -> Option<&Arc<Verified<Targets>>> {
        self.targets.get(delegated, delegator)
    }

    /// Path of a targets role below the metadata URL (TUF 5.6.1).
    pub(crate) fn path(&self, role: &RoleName, version: u64) -> String {
        metadata_path(&self.root, role, version)
    }

    /// What snapshot lists for a targets role.
    pub(crate) fn metafile(&self, role: &RoleName) -> Result<&MetaFile, Error> {
        self.snapshot.roles.get(role).ok_or_else(|| {
            let snapshot = self.snapshot.version;
            let file = self.path(&RoleName::from_static(RoleName::SNAPSHOT), snapshot);
            Error::RoleNotListed { file, role: role.clone(), snapshot }
        })
    }

    /// Takes a targets role of the trust store; `None` if it is not the one that snapshot lists.
    pub(crate) fn load_targets(
        &mut self,
        delegated: &Delegated,
        delegator: Option<&Arc<Verified<Targets>>>,
        bytes: &[u8],
    ) -> Option<Arc<Verified<Targets>>> {
        let listed = self.metafile(&delegated.role).ok()?;
        // Most often it is an older one, and what it says does not matter.
        let stored = Unverified::parse_version(bytes, &self.limits, listed.version).ok()??;
        self.take_targets(delegated, delegator, stored).ok()
    }

    /// Takes a targets role of a mirror (TUF 5.6.2 to 5.6.5). `delegator` is the verified role that
    /// names it, `None` for root.
    pub(crate) fn update_targets(
        &mut self,
        delegated: &Delegated,
        delegator: Option<&Arc<Verified<Targets>>>,
        bytes: &[u8],
    ) -> Result<Arc<Verified<Targets>>, Error> {
        let (named, listed) = self.named(delegated)?;
        named.check_listed(listed, bytes)?;
        let new = named.parse(bytes, &self.limits)?;
        self.take_targets(delegated, delegator, new)
    }

    fn named(&self, delegated: &Delegated) -> Result<(Named, &MetaFile), Error> {
        let listed = self.metafile(&delegated.role)?;
        let file = self.path(&delegated.role, listed.version);
        Ok((Named { role: delegated.role.clone(), file }, listed))
    }

    /// Verifies a targets role outside of a search, and keeps nothing of it (TUF 5.6.2 to 5.6.5): for
    /// who reads every role of a repository. `delegator` is the verified role that delegates to it and
    /// that one's name, `None` for root.
    pub fn verify_role(
        &self,
        role: &RoleName,
        delegator: Option<(&RoleName, &Verified<Targets>)>,
        bytes: &[u8],
    ) -> Result<Verified<Targets>, Error> {
        let by = delegator.map(|(name, _)| name.clone());
        let delegated = Delegated { role: role.clone(), delegator: by };
        let (named, _) = self.named(&delegated)?;
        let new = named.parse(bytes, &self.limits)?;
        self.check_targets(&delegated, delegator.map(|(_, verified)| verified), new)
    }

    fn take_targets(
        &mut self,
        delegated: &Delegated,
        delegator: Option<&Arc<Verified<Targets>>>,
        new: Unverified<Targets>,
    ) -> Result<Arc<Verified<Targets>>, Error> {
        let by = delegator.map(|delegator| &**delegator);
        let new = Arc::new(self.check_targets(delegated, by, new)?);
        let verified = VerifiedFor { delegator: delegator.cloned(), role: Arc::clone(&new) };
        self.targets.keep(delegated.clone(), verified);
        Ok(new)
    }

    fn check_targets(
        &self,
        delegated: &Delegated,
        delegator: Option<&Verified<Targets>>,
        new: Unverified<Targets>,
    ) -> Result<Verified<Targets>, Error> {
        let (named, listed) = self.named(delegated)?;
        let delegator = delegator.map(|verified| (delegated.delegator.as_ref(), verified));
        let new = verify_listed(&self.root, &named, listed, delegator, new)?;
        named.check_expiry(&*new, self.now)?;
        Ok(new)
    }
}

/// Checks a targets role against what a snapshot lists of it, and who signed it (TUF 5.6.2 to 5.6.4): all
/// but its age.
pub(crate) fn verify_listed(
    root: &Root,
    named: &Named,
    listed: &MetaFile,
    delegator: Option<(Option<&RoleName>, &Verified<Targets>)>,
    unverified: Unverified<Targets>,
) -> Result<Verified<Targets>, Error> {
    named.check_listed(listed, &unverified.bytes)?;
    let new = verify_targets(root, named, delegator, unverified)?;
    named.check_name(&new)?;
    named.check_version(listed.version, new.version)?;
    Ok(new)
}

/// Checks that a threshold of the delegator's keys signed a targets role; `None` for root's.
fn verify_targets(
    root: &Root,
    named: &Named,
    delegator: Option<(Option<&RoleName>, &Verified<Targets>)>,
    unverified: Unverified<Targets>,
) -> Result<Verified<Targets>, Error> {
    let Named { role: name, file } = named;
    let Some((by, delegator)) = delegator else {
        let by = by_root(root);
        return verify(unverified, name, file, by.of(root, &root.roles.targets));
    };
    let delegations = delegator.delegations.as_ref();
    let keys_of = |delegations: &Delegations| delegations.role_keys(name).cloned();
    let (Some(delegations), Some(role)) = (delegations, delegations.and_then(keys_of)) else {
        return Err(Error::Misuse { expected: "a role that its delegator names" });
    };
    let by = by.map_or("root", RoleName::as_str);
    let by = format!("{by} version {}", delegator.version);
    verify(unverified, name, file, Delegator { name: &by, keys: &delegations.keys, role: &role })
}

/// Where a role's file lies below the metadata URL: with its version where consistent snapshots are
/// used (TUF 6.2).
fn metadata_path(root: &Root, role: &RoleName, version: u64) -> String {
    match root.consistent_snapshot {
        true => format!("{version}.{}.json", role.encoded()),
        false => format!("{}.json", role.encoded()),
    }
}

/// `root version N`, which delegates to the top-level roles.
pub(crate) struct ByRoot(String);

pub(crate) fn by_root(root: &Root) -> ByRoot {
    ByRoot(format!("root version {}", root.version))
}

impl ByRoot {
    pub(crate) fn of<'a>(
        &'a self,
        root: &'a Root,
        role: &'a crate::metadata::RoleKeys,
    ) -> Delegator<'a> {
        Delegator { name: &self.0, keys: &root.keys, role }
    }
}
