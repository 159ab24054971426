//! Going on after somebody else has written to the store: with the online key, or with the rights of the
//! server.
//!
//! What a thief published is no base for anything. Their `timestamp.json` is replaced whatever it says, and
//! no version that they used is used again, as long as it is in reach; one beyond that - they may have
//! pushed it to the last number there is - is left behind: clients who saw it go on from the versions of the
//! new keys, for they take nothing that the old keys signed as a base (TUF 5.3.11).

use std::collections::BTreeMap;

use tracing::warn;
use waxseal_tuf::RoleName;

use crate::error::Error;
use crate::repository::{Repository, SNAPSHOT, TIMESTAMP};
use crate::snapshot_process::SnapshotProcess;
use crate::store::{Area, StoreKey};

/// A version so far above the ones on record was pushed there by a thief, and is left behind.
const REACH: u64 = 1 << 20;

/// What was found in the store that this program did not write, and the versions to go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Files of roles in versions that are not on record.
    pub foreign: Vec<ForeignFile>,
    /// The version of `timestamp.json`, if it is not the one on record.
    pub timestamp: Option<u64>,
}

/// A metadata file that is not on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignFile {
    /// Its role.
    pub role: RoleName,
    /// Its version.
    pub version: u64,
    /// Whether the version is so high that it is left behind: the file was removed.
    pub out_of_reach: bool,
}

impl SnapshotProcess {
    /// Takes the store over from a thief, before new roots are published: versions are raised above theirs
    /// and above `margin` more, for what they showed to clients and is not in the store. From then on
    /// `timestamp.json` is replaced whatever it says, until this process ends.
    ///
    /// The repository is one that was opened with [`Repository::open_after_compromise`].
    pub fn recover(&self, margin: u64) -> Result<Recovered, Error> {
        let repository = &self.repository;
        let database = repository.database();
        let bins = repository.bins();
        let mut used: BTreeMap<RoleName, u64> =
            database.roles()?.into_iter().map(|row| (row.name, row.version)).collect();
        for row in database.bins()? {
            used.insert(bins.role(row.number), row.version);
        }
        let known = |role: &RoleName| used.get(role).copied().unwrap_or(0);
        let mut newest = used.clone();
        let mut foreign = Vec::new();
        for listed in repository.store().list(Area::Metadata)? {
            let Some(StoreKey::Metadata { version, role }) = listed?.key else { continue };
            if version <= known(&role) {
                continue;
            }
            let out_of_reach = version - known(&role) > REACH;
            if !out_of_reach {
                let newest = newest.entry(role.clone()).or_insert(version);
                *newest = (*newest).max(version);
            }
            foreign.push(ForeignFile { role, version, out_of_reach });
        }
        let timestamp = repository.stored_timestamp_version()?;
        let timestamp = timestamp.filter(|version| *version != known(&TIMESTAMP));
        if let Some(version) = timestamp
            .filter(|version| *version > known(&TIMESTAMP) && version - known(&TIMESTAMP) <= REACH)
        {
            newest.insert(TIMESTAMP, version);
        }
        let raised = |version: u64| version.saturating_add(margin);
        let roles = [SNAPSHOT, TIMESTAMP].map(|role| {
            let version = raised(newest.get(&role).copied().unwrap_or(0));
            (role, version)
        });
        let of_bins = newest.iter().filter(|(role, _)| bins.number(role).is_some());
        let highest = raised(of_bins.map(|(_, version)| *version).max().unwrap_or(0));
        database.raise_versions(self.epoch, &roles, highest)?;
        // They would pass for newer than all that follows.
        let left_behind: Vec<_> = foreign
            .iter()
            .filter(|file| file.out_of_reach)
            .map(|file| StoreKey::Metadata { version: file.version, role: file.role.clone() })
            .collect();
        repository.store().remove(&left_behind)?;
        self.disown();
        if !foreign.is_empty() || timestamp.is_some() {
            warn!(
                files = foreign.len(),
                "the store has metadata that is not on record; it is left out, and gone with the next gc"
            );
        }
        Ok(Recovered { foreign, timestamp })
    }
}

impl Repository {
    /// Whether `timestamp.json` is the one on record, or another.
    fn stored_timestamp_version(&self) -> Result<Option<u64>, Error> {
        let Some(bytes) = self.metadata_file(&StoreKey::Timestamp)? else { return Ok(None) };
        // What cannot be read has no version that a client could have taken.
        let timestamp =
            waxseal_tuf::metadata::Unverified::<waxseal_tuf::metadata::Timestamp>::parse(&bytes);
        Ok(Some(timestamp.map_or(0, |timestamp| timestamp.claims().version)))
    }
}
