//! The chain of roots, timestamp, snapshot, `targets` and `bins`.

use jiff::{SignedDuration, Timestamp};
use waxseal_tuf::metadata::{self, Targets, Unverified};
use waxseal_tuf::trusted::{RootPhase, TimestampPhase};
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{Limits, RoleName, TrustedMetadata};

use super::report::Kind;
use super::{Auditor, METADATA_LIMIT, metadata_key};
use crate::bins::Bins;
use crate::ceremony::BINS;
use crate::error::Error;
use crate::repository::{ROOT, SNAPSHOT};
use crate::store::StoreKey;

/// Verification takes everything for fresh: what is expired is found apart, and the rest is read all
/// the same.
const EARLY: Timestamp = Timestamp::UNIX_EPOCH;

/// How long before their end the roles that a ceremony signs are warned of.
const SOON_OFFLINE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The same of the roles that the snapshot process signs, which does so long before.
pub(super) const SOON_ONLINE: SignedDuration = SignedDuration::from_hours(2);

/// The roles that lead to the bins, verified.
pub(super) struct Signed {
    pub(super) trusted: TrustedMetadata,
    pub(super) bins: Bins,
    /// The metadata of `bins`.
    pub(super) delegator: Verified<Targets>,
}

impl Auditor<'_> {
    /// Reads and verifies them; `None` when one of them is not to be had, which was found then.
    pub(super) fn top_level(&mut self) -> Result<Option<Signed>, Error> {
        let Some(phase) = self.roots()? else { return Ok(None) };
        let Some(trusted) = self.timestamp_and_snapshot(phase)? else { return Ok(None) };
        let Some(targets) = self.top_role(&trusted, &RoleName::targets(), None)? else {
            return Ok(None);
        };
        let by = (&RoleName::targets(), &targets);
        let Some(bins) = self.top_role(&trusted, &BINS, Some(by))? else { return Ok(None) };
        let key = metadata_key(&BINS, bins.version);
        let Some(known) = Bins::of(&bins) else {
            let problem = "does not delegate to a power of two of bins";
            self.find(Kind::Malformed, key.path(), problem);
            return Ok(None);
        };
        let listed = trusted.snapshot().roles.iter();
        let strangers: Vec<_> = listed
            .filter(|(role, _)| {
                !(**role == RoleName::targets() || **role == BINS || known.number(role).is_some())
            })
            .map(|(role, file)| (metadata_key(role, file.version), role.clone()))
            .collect();
        for (key, role) in strangers {
            self.warn(Kind::Inconsistent, key.path(), format!("nothing delegates to {role}"));
        }
        Ok(Some(Signed { trusted, bins: known, delegator: bins }))
    }

    /// Every version of root from the first, each signed by the one before (TUF 5.3).
    fn roots(&mut self) -> Result<Option<TimestampPhase>, Error> {
        let mut key = metadata_key(&ROOT, 1);
        let Some(first) = self.required(&key, "every client that begins")? else { return Ok(None) };
        let limits = Limits::default();
        let mut phase = match RootPhase::new(&first, &limits) {
            Ok(phase) => phase,
            Err(error) => return Ok(self.refuse(&key, &error)),
        };
        if phase.root().version != 1 {
            let problem = format!("is version {} of root", phase.root().version);
            self.find(Kind::Inconsistent, key.path(), problem);
            return Ok(None);
        }
        loop {
            self.report.counts.roots += 1;
            let next = metadata_key(&ROOT, phase.root().version + 1);
            let Some(bytes) = self.read(&next, METADATA_LIMIT)? else { break };
            key = next;
            if let Err(error) = phase.update(&bytes) {
                return Ok(self.refuse(&key, &error));
            }
        }
        if !phase.root().consistent_snapshot {
            self.find(Kind::Malformed, key.path(), "does not say consistent_snapshot");
            return Ok(None);
        }
        self.fresh(&key, phase.root().expires, SOON_OFFLINE);
        match phase.finish(EARLY) {
            Ok(next) => Ok(Some(next)),
            Err(error) => Ok(self.refuse(&key, &error)),
        }
    }

    fn timestamp_and_snapshot(
        &mut self,
        mut phase: TimestampPhase,
    ) -> Result<Option<TrustedMetadata>, Error> {
        let key = StoreKey::Timestamp;
        let Some(bytes) = self.required(&key, "every client")? else { return Ok(None) };
        let next = phase.update(&bytes).and_then(|_| phase.finish());
        let mut phase = match next {
            Ok(phase) => phase,
            Err(error) => return Ok(self.refuse(&key, &error)),
        };
        self.fresh(&key, phase.timestamp().expires, SOON_ONLINE);

        let version = phase.timestamp().snapshot.version;
        let key = metadata_key(&SNAPSHOT, version);
        let Some(bytes) = self.required(&key, "timestamp.json")? else { return Ok(None) };
        let next = phase.update(&bytes).and_then(|()| phase.finish());
        let trusted = match next {
            Ok(trusted) => trusted,
            Err(error) => return Ok(self.refuse(&key, &error)),
        };
        self.fresh(&key, trusted.snapshot().expires, SOON_ONLINE);
        self.report.snapshot = Some(version);
        Ok(Some(trusted))
    }

    /// `targets` or `bins`.
    fn top_role(
        &mut self,
        trusted: &TrustedMetadata,
        role: &RoleName,
        delegator: Option<(&RoleName, &Verified<Targets>)>,
    ) -> Result<Option<Verified<Targets>>, Error> {
        let Some(listed) = trusted.snapshot().roles.get(role) else {
            let snapshot = metadata_key(&SNAPSHOT, trusted.snapshot().version);
            self.find(Kind::Inconsistent, snapshot.path(), format!("does not list {role}"));
            return Ok(None);
        };
        let key = metadata_key(role, listed.version);
        let Some(bytes) = self.required(&key, "snapshot")? else { return Ok(None) };
        let verified = match trusted.verify_role(role, delegator, &bytes) {
            Ok(verified) => verified,
            Err(error) => return Ok(self.refuse(&key, &error)),
        };
        self.fresh(&key, verified.expires, SOON_OFFLINE);
        if let Some(path) = verified.targets.keys().next() {
            let problem = format!("lists targets itself, such as {path}, before any bin is asked");
            self.find(Kind::Misplaced, key.path(), problem);
        }
        Ok(Some(verified))
    }

    fn refuse<T>(&mut self, key: &StoreKey, error: &waxseal_tuf::Error) -> Option<T> {
        self.refused(key, error);
        None
    }

    pub(super) fn fresh(&mut self, key: &StoreKey, expires: Timestamp, soon: SignedDuration) {
        let left = expires.duration_since(self.settings.now);
        if left <= SignedDuration::ZERO {
            self.find(Kind::Expired, key.path(), format!("expired at {expires}"));
        } else if left < soon {
            self.warn(Kind::Expired, key.path(), format!("expires soon, at {expires}"));
        }
    }

    /// Whether a newer snapshot has been published that names another version of a role: then the one
    /// that is missing was collected meanwhile.
    pub(super) fn is_superseded(&mut self, role: &RoleName, version: u64) -> Result<bool, Error> {
        let claims = |bytes: Option<Vec<u8>>| {
            Unverified::<metadata::Timestamp>::parse(&bytes?).ok().map(|read| read.claims().clone())
        };
        let timestamp = self.read(&StoreKey::Timestamp, METADATA_LIMIT)?;
        let Some(timestamp) = claims(timestamp) else { return Ok(false) };
        let newest = timestamp.snapshot.version;
        if self.report.snapshot.is_none_or(|read| newest <= read) {
            return Ok(false);
        }
        let key = metadata_key(&SNAPSHOT, newest);
        let Some(bytes) = self.read(&key, METADATA_LIMIT)? else { return Ok(false) };
        let snapshot = Unverified::<metadata::Snapshot>::parse(&bytes);
        let listed = snapshot.ok().and_then(|read| Some(read.claims().roles.get(role)?.version));
        Ok(listed.is_some_and(|listed| listed > version))
    }
}
