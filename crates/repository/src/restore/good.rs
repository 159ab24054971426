use std::iter;

use waxseal_tuf::hash::{Hashes, Sha256};
use waxseal_tuf::metadata::Targets;
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{Limits, PastSnapshot, RoleName, TargetFile};

use super::RestoreError;
use crate::archive::{Archive, Entries};
use crate::audit::Pin;
use crate::bins::Bins;
use crate::ceremony::BINS;
use crate::error::Error;
use crate::repository::{ROOT, SNAPSHOT};
use crate::store::{Store, StoreKey};

/// The most bytes of a metadata file.
const LIMIT: u64 = 64 << 20;

/// Where the targets of the last known good snapshot are read.
#[derive(Debug, Clone, Copy)]
pub enum LastKnownGood<'a> {
    /// An archive of digests that was kept on a device of its own.
    Archive(&'a Archive),
    /// A mirror or a backup that has the files of the snapshot, and what is known of its root.
    Index(&'a dyn Store, &'a Pin),
}

/// A target of it.
pub(super) struct GoodTarget {
    /// SHA-256 of the path.
    pub(super) order: Sha256,
    pub(super) path: String,
    pub(super) file: TargetFile,
    /// Whether all that its bin said is known, or only its digest.
    pub(super) whole: bool,
}

/// Its targets, in the order of the hashes of their paths.
pub(super) enum GoodTargets<'a> {
    Archive(Entries),
    Index { past: Box<Past<'a>>, next: u32, bin: std::vec::IntoIter<GoodTarget> },
}

/// A snapshot that a mirror or a backup has.
pub(super) struct Past<'a> {
    store: &'a dyn Store,
    verified: PastSnapshot,
    bins: Bins,
    delegator: Verified<Targets>,
}

impl<'a> LastKnownGood<'a> {
    /// SHA-256 of the snapshot's file, in hex, and its targets.
    pub(super) fn open(&self, snapshot: u64) -> Result<(String, GoodTargets<'a>), RestoreError> {
        match *self {
            Self::Archive(archive) => {
                let targets = archive.state_at(snapshot)?;
                let mut pieces = archive.pieces().rev();
                let piece = pieces.find(|piece| piece.snapshot == snapshot);
                let digest = piece.map_or_else(String::new, |piece| piece.snapshot_sha256.clone());
                Ok((digest, GoodTargets::Archive(targets)))
            }
            Self::Index(store, pin) => {
                let past = Past::open(store, pin, snapshot)?;
                let digest = Sha256::of(past.verified.snapshot().bytes()).to_string();
                let bin = Vec::new().into_iter();
                Ok((digest, GoodTargets::Index { past: Box::new(past), next: 0, bin }))
            }
        }
    }
}

impl GoodTargets<'_> {
    pub(super) fn next(&mut self) -> Result<Option<GoodTarget>, RestoreError> {
        match self {
            Self::Archive(entries) => {
                let Some(entry) = entries.next().transpose()? else { return Ok(None) };
                let listed = entry.digest.split_once(':');
                let hashes = Hashes::new(listed.into_iter());
                let file = TargetFile { length: entry.length, hashes, custom: None };
                Ok(Some(GoodTarget { order: entry.order, path: entry.path, file, whole: false }))
            }
            Self::Index { past, next, bin } => loop {
                if let Some(target) = bin.next() {
                    return Ok(Some(target));
                }
                if *next >= past.bins.count() {
                    return Ok(None);
                }
                *bin = past.targets(*next)?.into_iter();
                *next += 1;
            },
        }
    }
}

impl<'a> Past<'a> {
    fn open(store: &'a dyn Store, pin: &Pin, snapshot: u64) -> Result<Self, RestoreError> {
        let failed = |problem: String| RestoreError::Snapshot { snapshot, problem };
        let key = StoreKey::Metadata { version: snapshot, role: SNAPSHOT };
        let bytes = read(store, &key).map_err(failed)?;
        // The newest root whose keys signed it: keys may be the same from one root to the next.
        let mut signed = Err("there is no root".to_owned());
        for root in roots(store, pin).map_err(failed)?.into_iter().rev() {
            signed = root.past_snapshot(&bytes).map_err(|error| error.to_string());
            if signed.is_ok() {
                break;
            }
        }
        let verified = signed.map_err(failed)?;
        if verified.snapshot().version != snapshot {
            let is = verified.snapshot().version;
            return Err(failed(format!("{} is version {is}", key.path())));
        }
        let targets = RoleName::targets();
        let top = verify(store, &verified, &targets, None).map_err(failed)?;
        let delegator = verify(store, &verified, &BINS, Some((&targets, &top))).map_err(failed)?;
        let bins = Bins::of(&delegator);
        let bins = bins.ok_or_else(|| failed("its targets are in no hash bins".to_owned()))?;
        Ok(Self { store, verified, bins, delegator })
    }

    fn targets(&self, bin: u32) -> Result<Vec<GoodTarget>, RestoreError> {
        let snapshot = self.verified.snapshot().version;
        let role = self.bins.role(bin);
        let verified = verify(self.store, &self.verified, &role, Some((&BINS, &self.delegator)))
            .map_err(|problem| RestoreError::Snapshot { snapshot, problem })?;
        let target = |(path, file): (&String, &TargetFile)| GoodTarget {
            order: Sha256::of(path.as_bytes()),
            path: path.clone(),
            file: file.clone(),
            whole: true,
        };
        let mut targets: Vec<_> = verified.targets.iter().map(target).collect();
        targets.sort_unstable_by_key(|target| target.order.0);
        Ok(targets)
    }
}

/// Every root from the one that is known, each signed by the one before.
fn roots(store: &dyn Store, pin: &Pin) -> Result<Vec<RootPhase>, String> {
    let root = |version| StoreKey::Metadata { version, role: ROOT };
    let first = match pin {
        Pin::Fingerprint(expected) => {
            let bytes = read(store, &root(1))?;
            let is = Sha256::of(&bytes);
            if is != *expected {
                return Err(format!("its 1.root.json has SHA-256 {is}, and {expected} is trusted"));
            }
            bytes
        }
        Pin::Root(bytes) => bytes.clone(),
    };
    let phase = RootPhase::new(&first, &Limits::default()).map_err(|error| error.to_string())?;
    let next = |phase: &RootPhase| {
        let key = root(phase.root().version + 1);
        let bytes = store.read(&key, LIMIT).ok().flatten()?;
        let mut phase = phase.clone();
        phase.update(&bytes).is_ok().then_some(phase)
    };
    Ok(iter::successors(Some(phase), next).collect())
}

fn verify(
    store: &dyn Store,
    past: &PastSnapshot,
    role: &RoleName,
    delegator: Option<(&RoleName, &Verified<Targets>)>,
) -> Result<Verified<Targets>, String> {
    let listed = past.snapshot().roles.get(role);
    let version = listed.ok_or_else(|| format!("it does not list {role}"))?.version;
    let bytes = read(store, &StoreKey::Metadata { version, role: role.clone() })?;
    past.verify_role(role, delegator, &bytes).map_err(|error| error.to_string())
}

fn read(store: &dyn Store, key: &StoreKey) -> Result<Vec<u8>, String> {
    let bytes = store.read(key, LIMIT).map_err(|error| Error::from(error).to_string())?;
    bytes.ok_or_else(|| format!("{} is not there", key.path()))
}
