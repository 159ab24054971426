//! Every target of an index at one moment, verified, in the order of the hashes of their paths.

use jiff::Timestamp;
use waxseal_tuf::hash::Sha256;

use super::metadata::Signed;
use super::report::Kind;
use super::walk::Pin;
use super::{Auditor, METADATA_LIMIT, Settings, metadata_key};
use crate::archive::{ArchiveError, Entry};
use crate::ceremony::BINS;
use crate::store::Store;

/// Which moment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The version of root.
    pub root: u64,
    /// The version of snapshot.
    pub snapshot: u64,
    /// SHA-256 of its file.
    pub snapshot_sha256: Sha256,
}

/// The targets of one bin.
pub(crate) struct BinTargets {
    /// Its number.
    pub(crate) bin: u64,
    /// How many bins there are.
    pub(crate) bins: u64,
    /// In order.
    pub(crate) targets: Vec<Entry>,
}

/// What is shown one bin after the other.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Moment, BinTargets) -> Result<(), ArchiveError>;

/// Shows every target of an index, from what is known of it. Anything that a client would refuse ends it.
pub(crate) fn read_targets(
    store: &dyn Store,
    pin: &Pin,
    now: Timestamp,
    visit: Visit<'_>,
) -> Result<Moment, ArchiveError> {
    let mut ignored = |_| {};
    let mut auditor = Auditor::of_store(store, Settings { now, deep: false }, &mut ignored);
    let signed = if auditor.is_pinned(pin)? { auditor.top_level()? } else { None };
    let Some(signed) = signed else { return Err(auditor.found()) };
    let moment = Moment {
        root: signed.trusted.root().version,
        snapshot: signed.trusted.snapshot().version,
        snapshot_sha256: Sha256::of(signed.trusted.snapshot().bytes()),
    };
    let bins = signed.bins.count();
    for bin in 0..bins {
        let Some(targets) = auditor.targets_of(&signed, bin)? else { return Err(auditor.found()) };
        visit(&moment, BinTargets { bin: u64::from(bin), bins: u64::from(bins), targets })?;
    }
    Ok(moment)
}

impl Auditor<'_> {
    fn found(&mut self) -> ArchiveError {
        ArchiveError::Findings(Box::new(std::mem::take(&mut self.report).finished()))
    }

    fn targets_of(
        &mut self,
        signed: &Signed,
        bin: u32,
    ) -> Result<Option<Vec<Entry>>, ArchiveError> {
        let role = signed.bins.role(bin);
        let Some(listed) = signed.trusted.snapshot().roles.get(&role) else {
            self.find(Kind::Inconsistent, role.as_str(), "is not listed in snapshot");
            return Ok(None);
        };
        let key = metadata_key(&role, listed.version);
        let before = self.report.counts.findings;
        let Some(bytes) = self.read(&key, METADATA_LIMIT)? else {
            if self.report.counts.findings == before {
                self.find(Kind::Missing, key.path(), "is not there, and snapshot names it");
            }
            return Ok(None);
        };
        match signed.trusted.verify_role(&role, Some((&BINS, &signed.delegator)), &bytes) {
            Ok(verified) => {
                let entry = |(path, file): (&String, _)| Entry::of(path, file);
                let mut targets: Vec<_> = verified.targets.iter().map(entry).collect();
                targets.sort_unstable_by_key(|entry| entry.order.0);
                Ok(Some(targets))
            }
            Err(error) => {
                self.refused(&key, &error);
                Ok(None)
            }
        }
    }
}
