//! What is in the store and no metadata names.

use std::collections::BTreeMap;

use waxseal_tuf::RoleName;

use super::Auditor;
use super::metadata::Signed;
use super::report::Kind;
use super::targets::Found;
use crate::error::Error;
use crate::repository::{ROOT, SNAPSHOT, TIMESTAMP};
use crate::store::{Area, StoreKey};

/// How many files are listed between two reports of progress.
const STEP: u64 = 4_096;

impl Auditor<'_> {
    /// The newest version of each role that the store has a file of, or names.
    pub(super) fn list_metadata(&mut self) -> Result<BTreeMap<RoleName, u64>, Error> {
        let mut newest = BTreeMap::new();
        for listed in self.store.list(Area::Metadata)? {
            if let Some(StoreKey::Metadata { version, role }) = listed?.key {
                let newest = newest.entry(role).or_insert(version);
                *newest = (*newest).max(version);
            }
        }
        Ok(newest)
    }

    /// Counts what nothing published names.
    ///
    /// A target has an object for each digest that is listed, and one plain name, so what is listed and was not found on the way is
    /// garbage, and no name has to be remembered.
    pub(super) fn garbage(
        &mut self,
        signed: &Signed,
        stored: &BTreeMap<RoleName, u64>,
        found: Found,
    ) -> Result<(), Error> {
        let root = signed.trusted.root().version;
        if let Some(newest) = stored.get(&ROOT).filter(|newest| **newest > root) {
            let missing = super::metadata_key(&ROOT, root + 1);
            let problem = format!("is not there, and version {newest} is");
            self.find(Kind::Missing, missing.path(), problem);
        }
        self.old_metadata(signed)?;
        if found.complete {
            self.unnamed(Area::Targets, found.objects, found.object_bytes)?;
            self.unnamed(Area::Files, found.plain, found.plain_bytes)?;
        }
        Ok(())
    }

    fn old_metadata(&mut self, signed: &Signed) -> Result<(), Error> {
        for listed in self.store.list(Area::Metadata)? {
            let listed = listed?;
            let (version, role) = match listed.key {
                Some(StoreKey::Timestamp) => continue,
                Some(StoreKey::Metadata { version, role }) => (version, role),
                _ => {
                    self.report.counts.garbage += 1;
                    self.report.counts.garbage_bytes += listed.length;
                    continue;
                }
            };
            let snapshot = signed.trusted.snapshot();
            let published = match &role {
                role if *role == ROOT => continue,
                role if *role == SNAPSHOT => Some(snapshot.version),
                role => snapshot.roles.get(role).map(|listed| listed.version),
            };
            match published {
                Some(published) if version == published => {}
                Some(published) if version < published => self.report.counts.old_metadata += 1,
                _ => self.report.counts.unpublished_metadata += 1,
            }
        }
        Ok(())
    }

    fn unnamed(&mut self, area: Area, named: u64, named_bytes: u64) -> Result<(), Error> {
        let (mut files, mut bytes) = (0_u64, 0_u64);
        for listed in self.store.list(area)? {
            if files.is_multiple_of(STEP) {
                self.progress("files listed", files, 0);
            }
            files += 1;
            bytes += listed?.length;
        }
        self.report.counts.garbage += files.saturating_sub(named);
        self.report.counts.garbage_bytes += bytes.saturating_sub(named_bytes);
        Ok(())
    }
}

impl Signed {
    /// The version of timestamp, which has no file under its version.
    pub(super) fn add_timestamp(&self, stored: &mut BTreeMap<RoleName, u64>) {
        stored.insert(TIMESTAMP, self.trusted.timestamp().version);
    }
}
