//! Verified metadata of one moment, made from its files.

use waxseal_tuf::metadata::{Snapshot, Timestamp, Unverified};
use waxseal_tuf::trusted::RootPhase;
use waxseal_tuf::{Limits, RoleName, TrustedMetadata};

use crate::durable::read_if_there;
use crate::error::Error;
use crate::folder::Folder;

pub(crate) const ROOT: RoleName = RoleName::from_static(RoleName::ROOT);
pub(crate) const TIMESTAMP: RoleName = RoleName::from_static(RoleName::TIMESTAMP);
pub(crate) const SNAPSHOT: RoleName = RoleName::from_static(RoleName::SNAPSHOT);

/// Root, timestamp and snapshot as trusted metadata, from bytes that may come from anywhere. `root` is
/// trusted.
pub(crate) fn trusted(
    root: &[u8],
    timestamp: &[u8],
    snapshot: &[u8],
    now: jiff::Timestamp,
) -> Result<TrustedMetadata, Error> {
    let mut phase = RootPhase::new(root, &Limits::default())?.finish(now)?;
    phase.update(timestamp)?;
    let mut phase = phase.finish()?;
    phase.update(snapshot)?;
    let trusted = phase.finish()?;
    match trusted.root().consistent_snapshot {
        true => Ok(trusted),
        false => Err(Error::NotConsistent),
    }
}

/// What the folder shows its clients, as this program verified it when it wrote it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub(crate) timestamp: u64,
    pub(crate) timestamp_bytes: Vec<u8>,
    pub(crate) expires: jiff::Timestamp,
    pub(crate) snapshot: Snapshot,
}

impl Shown {
    /// `None` where nothing is published, or what is there cannot be read: then it is published anew.
    pub(crate) fn read(folder: &Folder) -> Result<Option<Self>, Error> {
        let Some(timestamp_bytes) = read_if_there(&folder.timestamp())? else { return Ok(None) };
        let Ok(read) = Unverified::<Timestamp>::parse(&timestamp_bytes) else { return Ok(None) };
        let (timestamp, expires) = (read.claims().version, read.claims().expires);
        let Some(snapshot) = snapshot(folder, read.claims().snapshot.version)? else {
            return Ok(None);
        };
        Ok(Some(Self { timestamp, timestamp_bytes, expires, snapshot }))
    }
}

/// A snapshot that is in the folder.
pub(crate) fn snapshot(folder: &Folder, version: u64) -> Result<Option<Snapshot>, Error> {
    let Some(bytes) = read_if_there(&folder.metadata(version, &SNAPSHOT))? else { return Ok(None) };
    Ok(Unverified::<Snapshot>::parse(&bytes).ok().map(|read| read.claims().clone()))
}
