//! What the online key signs of a batch, on its way into the log of its use.
//!
//! It is there for good before any file of it gets a name, in the transaction that uses up the versions
//! of the batch; of a batch of several slices, each later slice has a transaction of its own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tracing::{info, warn};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{self, Role, Unverified};

use crate::batch::{State, Writer};
use crate::bin_file::{is_recorded, signed_value};
use crate::cores::on_all_cores;
use crate::database::Reservation;
use crate::error::Error;
use crate::key_use::{KeyUse, SignedValue, UseKind};
use crate::repository::{Repository, SNAPSHOT, TIMESTAMP};
use crate::store::{Area, StoreKey};

/// The most values in one record of what was there before the log began.
const BEFORE_A_RECORD: usize = 4096;

/// What is signed and not in the log yet.
pub(crate) struct BatchLog<'a> {
    writer: &'a Writer<'a>,
    reservation: &'a Reservation,
    /// The serials of the batch: after the first, up to the second.
    serials: (u64, u64),
    /// Whether an earlier run has reserved the versions.
    resumed: bool,
    reserved: bool,
    signed: Vec<SignedValue>,
}

impl<'a> BatchLog<'a> {
    pub(crate) fn new(
        writer: &'a Writer<'a>,
        reservation: &'a Reservation,
        serials: (u64, u64),
        resumed: bool,
    ) -> Self {
        let signed = Vec::new();
        Self { writer, reservation, serials, resumed, reserved: resumed, signed }
    }

    /// Takes something that was signed, of which no file has a name yet.
    pub(crate) fn add(&mut self, role: RoleName, version: u64, sha256: Sha256) {
        self.signed.push(SignedValue { role, version, sha256 });
    }

    /// Records what was taken, and uses up the versions if that was not done: from then on its files may
    /// get their names.
    pub(crate) fn write(&mut self, state: &mut State) -> Result<(), Error> {
        let database = self.writer.repository.database();
        let signed = std::mem::take(&mut self.signed);
        let mut uses = Vec::new();
        if !signed.is_empty() {
            if !state.log_has_begun {
                let before = before_the_log(self.writer.repository, state)?;
                let values = before.chunks(BEFORE_A_RECORD).map(<[_]>::to_vec);
                uses.extend(values.map(|values| self.record(UseKind::Before, values, state)));
            }
            let kind = if self.resumed { UseKind::Resumed } else { UseKind::Batch };
            uses.push(self.record(kind, signed, state));
        }
        let (epoch, reservation) = (self.writer.epoch, self.reservation);
        let head = match std::mem::replace(&mut self.reserved, true) {
            false => database.reserve(epoch, reservation, &uses)?,
            true if uses.is_empty() => return Ok(()),
            true => database.log_key_use(epoch, reservation.snapshot, &uses)?,
        };
        state.log_has_begun = head.is_some();
        if let Some(head) = head {
            info!(
                target: "waxseal::key_use",
                %head,
                snapshot = reservation.snapshot,
                "the online key was used"
            );
        }
        Ok(())
    }

    fn record(&self, kind: UseKind, signed: Vec<SignedValue>, state: &State) -> KeyUse {
        KeyUse {
            kind,
            time: whole_microseconds(Timestamp::now()),
            keyid: self.writer.online.public_key().default_keyid(),
            snapshot: self.reservation.snapshot,
            published: state.snapshot.published,
            after: self.serials.0,
            serial: self.serials.1,
            signed,
        }
    }
}

/// What the store has of the online key's when the log begins: an earlier program kept none. Of bins that
/// are published, what the database has on record of them; of the rest, what is there.
fn before_the_log(repository: &Repository, state: &State) -> Result<Vec<SignedValue>, Error> {
    let mut there = Vec::new();
    for listed in repository.store().list(Area::Metadata)? {
        match listed?.key {
            Some(StoreKey::Metadata { role, version })
                if role == SNAPSHOT || repository.bins().number(&role).is_some() =>
            {
                there.push(StoreKey::Metadata { role, version });
            }
            Some(StoreKey::Timestamp) => there.push(StoreKey::Timestamp),
            _ => {}
        }
    }
    if !there.is_empty() {
        info!(files = there.len(), "the log of the online key's use begins with what is there");
    }
    let read = |keys: &[StoreKey]| -> Result<Vec<SignedValue>, Error> {
        let read = keys.iter().map(|key| value_of(repository, state, key));
        Ok(read.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    };
    let mut values = BTreeMap::new();
    for part in on_all_cores(&there, read) {
        values.extend(part?.into_iter().map(|value| ((value.role, value.version), value.sha256)));
    }
    // One that is missing, and will be restored.
    for bin in &state.bins {
        if let Some(file) = bin.published {
            let key = (repository.bins().role(bin.number), file.version);
            values.entry(key).or_insert(file.signed_sha256);
        }
    }
    let value = |((role, version), sha256)| SignedValue { role, version, sha256 };
    Ok(values.into_iter().map(value).collect())
}

/// What was signed of a file in the store; `None` where it is gone or is no metadata.
fn value_of(
    repository: &Repository,
    state: &State,
    key: &StoreKey,
) -> Result<Option<SignedValue>, Error> {
    let Some(bytes) = repository.metadata_file(key)? else { return Ok(None) };
    let value = match key {
        StoreKey::Timestamp => read::<metadata::Timestamp>(&bytes)
            .map(|(version, sha256)| SignedValue { role: TIMESTAMP, version, sha256 }),
        StoreKey::Metadata { role, version } => {
            let bin = repository.bins().number(role).and_then(|bin| state.bins.get(bin as usize));
            let recorded = bin.and_then(|bin| bin.published).filter(|it| it.version == *version);
            let sha256 = match (recorded, signed_value(&bytes)) {
                (Some(file), _) if !is_recorded(&bytes, &file) => Some(file.signed_sha256),
                (_, Some(signed)) => Some(Sha256::of(signed)),
                (_, None) if bin.is_some() => read::<metadata::Targets>(&bytes).map(|it| it.1),
                (_, None) => read::<metadata::Snapshot>(&bytes).map(|it| it.1),
            };
            let (role, version) = (role.clone(), *version);
            sha256.map(|sha256| SignedValue { role, version, sha256 })
        }
        StoreKey::Target { .. } | StoreKey::File(_) => return Ok(None),
    };
    if value.is_none() {
        warn!(file = key.path(), "is no metadata, and is left out of the log");
    }
    Ok(value)
}

fn read<T: Role>(bytes: &[u8]) -> Option<(u64, Sha256)> {
    let read = Unverified::<T>::parse(bytes).ok()?;
    Some((read.claims().version(), read.signed_sha256()))
}

/// As the log has it.
fn whole_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
