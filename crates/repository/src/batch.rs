//! Writing a batch: reserve versions, sign and create files, decide.
//!
//! A bin is its published file with the changes made in it ([`crate::bin_file`]). Bins are signed on all
//! cores and written in slices, so that a batch may change every bin of a large index in bounded memory.

use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use jiff::{SignedDuration, Timestamp};
use waxseal_tuf::hash::{Hashed, Sha256};
use waxseal_tuf::metadata::{self, MetaFile, canonical, sign_hashed};
use waxseal_tuf::{KeyId, RoleName, Signer};

use crate::batch_log::BatchLog;
use crate::bin_file::{self, Change, Entries, signed_value};
use crate::bins::Bins;
use crate::cores::on_all_cores;
use crate::database::{BinFile, BinRow, CatalogChange, Decision, Epoch, OfflinePart, Reservation};
use crate::error::{Error, StoreError};
use crate::online_keys::online_keyids;
use crate::renewal::due_bins;
use crate::repository::{Repository, SNAPSHOT, TIMESTAMP, bins_metadata};
use crate::snapshot_file::SnapshotText;
use crate::store::{Creation, Link, StoreKey};

/// About how many bytes of bins are signed before they get their names.
const SLICE: u64 = 16 << 20;

/// How long the roles of the online key are valid; the PEP's one day each by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Of every bin.
    pub bin_n: SignedDuration,
    /// Of snapshot.
    pub snapshot: SignedDuration,
    /// Of timestamp.
    pub timestamp: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let day = SignedDuration::from_hours(24);
        Self { bin_n: day, snapshot: day, timestamp: day }
    }
}

/// An object to create.
#[derive(Debug)]
pub(crate) struct NewObject {
    pub(crate) key: StoreKey,
    pub(crate) bytes: Vec<u8>,
}

/// What a batch is to publish.
pub(crate) struct Contents<'a> {
    /// The last journal entry before it.
    pub(crate) after: u64,
    /// The last journal entry in it.
    pub(crate) serial: u64,
    /// Pages to create.
    pub(crate) objects: &'a [NewObject],
    /// Files that get their plain names.
    pub(crate) links: &'a [Link],
    /// What becomes of the catalog.
    pub(crate) catalog: &'a CatalogChange,
    /// The bins to sign, in order.
    pub(crate) bins: Vec<u32>,
    /// What changes in them.
    pub(crate) changes: &'a dyn Changes,
    /// Whether it goes with new offline roles.
    pub(crate) offline: Option<OfflinePart>,
}

/// Where the changes of a bin come from.
pub(crate) trait Changes: Sync {
    /// About how many bytes the changes of a bin have.
    fn length(&self, bin: u32) -> u64;

    /// Shows `visitor` the changes of a bin, ordered by path, each path once.
    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error>;
}

/// What is shown the changes of a bin.
pub(crate) type Visitor<'a> = &'a mut dyn FnMut(&[Change<'_>]) -> Result<(), Error>;

/// A bin that was signed.
struct SignedBin {
    file: BinFile,
    /// Whether it was in the store already.
    was_there: bool,
}

/// What the writer knows of what is published. It is read from database and store when a process
/// starts and after a failure, and kept up to date meanwhile.
#[derive(Debug)]
pub(crate) struct State {
    /// By number; those that were never signed too.
    pub(crate) bins: Vec<BinRow>,
    pub(crate) snapshot_text: SnapshotText,
    /// The keys that sign them.
    pub(crate) online: Vec<KeyId>,
    pub(crate) snapshot: RoleState,
    pub(crate) timestamp: RoleState,
    /// The digest of the `timestamp.json` that is published.
    timestamp_json: Option<Sha256>,
    /// Between these no bin has to be signed again; not known at first.
    nothing_due: Option<(Timestamp, Timestamp)>,
    /// Whether anything is in the log of the online key's use.
    pub(crate) log_has_begun: bool,
}

/// A role of the online key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoleState {
    /// The newest version that was ever used.
    version: u64,
    /// The published one; 0 when there is none.
    pub(crate) published: u64,
    /// When the published one expires; `None` when there is none.
    pub(crate) expires: Option<Timestamp>,
}

impl State {
    /// `disowned`: whether `timestamp.json` may be somebody else's.
    pub(crate) fn read(repository: &Repository, disowned: bool) -> Result<Self, Error> {
        let (database, bins) = (repository.database(), repository.bins());
        let unsigned = |number| BinRow { number, version: 0, published: None };
        let mut rows: Vec<_> = (0..bins.count()).map(unsigned).collect();
        for row in database.bins()? {
            if let Some(known) = rows.get_mut(row.number as usize) {
                *known = row;
            }
        }
        let role = |role: &RoleName| -> Result<RoleState, Error> {
            let row = database.role(role)?;
            Ok(RoleState {
                version: row.as_ref().map_or(0, |row| row.version),
                published: row.as_ref().map_or(0, |row| row.published),
                expires: row.filter(|row| row.published > 0).map(|row| row.expires),
            })
        };
        let versions = rows.iter().map(|row| row.published.map_or(0, |file| file.version));
        let offline = repository.published_offline_files()?;
        let snapshot_text = SnapshotText::new(bins, versions.collect(), &offline);
        let offline = bins_metadata(repository.store(), database)?;
        // What it is when nothing is being published; anything else was put there by somebody else.
        let timestamp_json = repository.published_timestamp(disowned)?;
        Ok(Self {
            bins: rows,
            snapshot_text,
            online: online_keyids(&offline).to_vec(),
            snapshot: role(&SNAPSHOT)?,
            timestamp: role(&TIMESTAMP)?,
            timestamp_json: timestamp_json.map(|bytes| Sha256::of(&bytes)),
            nothing_due: None,
            log_has_begun: database.key_use_head()?.is_some(),
        })
    }

    /// The same before any of other bins is signed: of every one a version that no bin ever had, so that no
    /// file of the same name has two contents.
    pub(crate) fn with_bins(&self, bins: Bins) -> Self {
        let version = self.bins.iter().map(|bin| bin.version).max().unwrap_or(0);
        let unsigned = |number| BinRow { number, version, published: None };
        let versions = vec![version; bins.count() as usize];
        Self {
            bins: (0..bins.count()).map(unsigned).collect(),
            snapshot_text: self.snapshot_text.with_bins(bins, versions),
            online: self.online.clone(),
            nothing_due: None,
            ..*self
        }
    }

    /// The bins to sign at the time `now`, whatever changes in them; see [`due_bins`].
    pub(crate) fn due_bins(&mut self, lifetime: SignedDuration, now: Timestamp) -> Vec<u32> {
        // All bins are looked at only when it is time, for this is asked before each batch; and when the
        // clock has gone back, since a bin that is signed then expires earlier than was thought.
        if self.nothing_due.is_some_and(|(from, until)| from <= now && now < until) {
            return Vec::new();
        }
        let due = due_bins(&self.bins, lifetime, now);
        self.nothing_due = Some((now, due.next));
        due.bins
    }

    /// The bins that clients do not find yet.
    pub(crate) fn unsigned_bins(&self) -> Vec<u32> {
        let unsigned = self.bins.iter().filter(|bin| bin.published.is_none());
        unsigned.map(|bin| bin.number).collect()
    }

    /// Takes over what a decided batch makes of it, once that is published.
    pub(crate) fn advance(&mut self, batch: &Decision) {
        let published =
            |version, expires| RoleState { version, published: version, expires: Some(expires) };
        self.snapshot = published(batch.snapshot, batch.snapshot_expires);
        self.timestamp = published(batch.timestamp, batch.timestamp_expires);
        self.timestamp_json = Some(Sha256::of(&batch.timestamp_json));
        for (number, file) in &batch.bins {
            let published = Some(*file);
            self.bins[*number as usize] =
                BinRow { number: *number, version: file.version, published };
        }
    }

    /// The next version of everything that a batch signs.
    pub(crate) fn reservation(&self, bins: &[u32]) -> Reservation {
        let next = |bin: &u32| (*bin, self.bins[*bin as usize].version + 1);
        Reservation {
            snapshot: self.snapshot.version + 1,
            timestamp: self.timestamp.version + 1,
            bins: bins.iter().map(next).collect(),
            source: None,
        }
    }
}

/// Who writes a batch, with what.
pub(crate) struct Writer<'a> {
    pub(crate) repository: &'a Repository,
    /// The bins it writes, which are others than those that are published where targets are filed anew.
    pub(crate) bins: Bins,
    pub(crate) epoch: Epoch,
    pub(crate) online: &'a dyn Signer,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) now: Timestamp,
}

impl Writer<'_> {
    /// Writes everything but `timestamp.json`, and decides that the batch is published. `progress` is
    /// told how many bins are written.
    pub(crate) fn write(
        &self,
        state: &mut State,
        contents: &Contents<'_>,
        progress: &dyn Fn(usize),
    ) -> Result<Decision, Error> {
        let reservation = state.reservation(&contents.bins);
        Ok(self.write_reserved(state, contents, &reservation, false, progress)?.0)
    }

    /// The same with versions that are reserved already if `resumed`: then some of the files may be
    /// there. Answers how many were.
    pub(crate) fn write_reserved(
        &self,
        state: &mut State,
        contents: &Contents<'_>,
        reservation: &Reservation,
        resumed: bool,
        progress: &dyn Fn(usize),
    ) -> Result<(Decision, usize), Error> {
        // Written before a file gets its name; and where none has yet, after the key has signed all: one
        // that fails uses up no versions.
        let serials = (contents.after, contents.serial);
        let mut log = BatchLog::new(self, reservation, serials, resumed);
        let bins = reservation.bins.len();
        let mut signed = Vec::with_capacity(bins);
        let mut found = 0;
        let store = self.repository.store();
        let mut creation = store.begin()?;
        // One slice is made durable while the next one is signed.
        thread::scope(|scope| -> Result<(), Error> {
            let mut left = reservation.bins.as_slice();
            let mut writing: Option<(ScopedJoinHandle<'_, Result<(), StoreError>>, usize)> = None;
            let written = |(writing, done): (ScopedJoinHandle<'_, _>, usize)| {
                writing.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                progress(done);
                Ok::<_, Error>(())
            };
            while !left.is_empty() {
                let (slice, rest) = left.split_at(slice_length(state, left, contents.changes));
                let files = self.sign_bins(state, slice, contents.changes, resumed, &*creation)?;
                for ((bin, _), SignedBin { file, was_there }) in slice.iter().zip(files) {
                    signed.push((*bin, file));
                    found += usize::from(was_there);
                    if !was_there {
                        let role = self.bins.role(*bin);
                        log.add(role, file.version, file.signed_sha256);
                    }
                }
                left = rest;
                writing.take().map_or(Ok(()), written)?;
                if !left.is_empty() {
                    log.write(state)?;
                    let slice = std::mem::replace(&mut creation, store.begin()?);
                    writing = Some((scope.spawn(move || slice.finish()), signed.len()));
                }
            }
            writing.take().map_or(Ok(()), written)
        })?;

        state.snapshot_text.update(signed.iter().map(|(bin, file)| (*bin, file.version)));
        let key = StoreKey::Metadata { version: reservation.snapshot, role: SNAPSHOT };
        let snapshot_expires = whole_seconds(self.now + self.lifetimes.snapshot);
        let text = state.snapshot_text.signed(reservation.snapshot, snapshot_expires);
        let snapshot = match self.find(&text, &key, resumed)? {
            Some(found) => found,
            None => {
                let text = Hashed::new(text);
                log.add(SNAPSHOT, reservation.snapshot, text.sha256());
                sign_hashed(text, &[self.online])?
            }
        };
        let (timestamp, timestamp_expires) = self.timestamp(reservation, &snapshot);
        log.add(TIMESTAMP, reservation.timestamp, timestamp.sha256());
        let timestamp_json = sign_hashed(timestamp, &[self.online])?;
        creation.add(&key, &snapshot)?;
        for NewObject { key, bytes } in contents.objects {
            creation.add(key, bytes)?;
        }
        log.write(state)?;
        creation.finish()?;
        store.link(contents.links)?;
        progress(bins);

        let decision = Decision {
            snapshot: reservation.snapshot,
            snapshot_expires,
            timestamp: reservation.timestamp,
            timestamp_expires,
            bins: signed,
            serial: contents.serial,
            timestamp_json,
            previous_timestamp: state.timestamp_json,
            offline: contents.offline,
        };
        self.repository.database().decide(self.epoch, contents.catalog, &decision)?;
        Ok((decision, found))
    }

    /// Timestamp lists snapshot's length and digest: what is to be signed, and when it expires.
    fn timestamp(&self, reservation: &Reservation, snapshot: &[u8]) -> (Hashed, Timestamp) {
        let expires = whole_seconds(self.now + self.lifetimes.timestamp);
        let timestamp = metadata::Timestamp {
            version: reservation.timestamp,
            expires,
            snapshot: MetaFile {
                version: reservation.snapshot,
                length: Some(snapshot.len() as u64),
                hashes: Some(self.repository.hash_algorithms().hashes_of(snapshot)),
            },
        };
        (Hashed::new(canonical(&timestamp)), expires)
    }

    /// Signs some bins and gives them to `creation`, on all cores; the files in the order of the bins.
    /// Each thread takes neighbours.
    fn sign_bins(
        &self,
        state: &State,
        bins: &[(u32, u64)],
        changes: &dyn Changes,
        resumed: bool,
        creation: &dyn Creation,
    ) -> Result<Vec<SignedBin>, Error> {
        let sign = |(number, version): &(u32, u64)| {
            let bin = &state.bins[*number as usize];
            let sign =
                |changes: &[Change<'_>]| self.sign_bin(bin, *version, changes, resumed, creation);
            let mut signed = None;
            changes.visit(*number, &mut |changes| {
                signed = Some(sign(changes)?);
                Ok(())
            })?;
            signed.map_or_else(|| sign(&[]), Ok)
        };
        let sign_part = |bins: &[(u32, u64)]| bins.iter().map(sign).collect::<Result<Vec<_>, _>>();
        let mut signed = Vec::with_capacity(bins.len());
        for part in on_all_cores(bins, sign_part) {
            signed.append(&mut part?);
        }
        Ok(signed)
    }

    fn sign_bin(
        &self,
        bin: &BinRow,
        version: u64,
        changes: &[Change<'_>],
        resumed: bool,
        creation: &dyn Creation,
    ) -> Result<SignedBin, Error> {
        let role = self.bins.role(bin.number);
        let expires = whole_seconds(self.now + self.lifetimes.bin_n);
        let published = self.repository.published_bin(bin)?;
        let not_ours = |_| self.repository.bin_not_ours(bin);
        let file = published.as_ref().map(|file| file.as_slice());
        let entries = file.map_or(Ok(Entries::default()), Entries::of_file);
        let entries = entries.map_err(not_ours)?;
        let added = changes.iter().map(Change::length).sum::<usize>();
        let capacity = file.map_or(0, <[u8]>::len) + added;
        let text =
            bin_file::signed(&role, version, expires, capacity, |out| entries.splice(changes, out));
        let text = text.map_err(not_ours)?;
        let before = file.map_or(0, |file| file.len() as u64);
        let key = StoreKey::Metadata { version, role };
        let found = self.find(&text, &key, resumed)?;
        let was_there = found.is_some();
        let text = Hashed::new(text);
        let signed_sha256 = text.sha256();
        let bytes = match found {
            Some(found) => found,
            None => sign_hashed(text, &[self.online])?,
        };
        let length = bytes.len() as u64;
        // Without changes only its version and its signatures may be longer.
        let after = if changes.is_empty() { 0 } else { length };
        self.bins.check_length(bin.number, before, after)?;
        if !was_there {
            creation.add(&key, &bytes)?;
        }
        let file = BinFile { version, expires, length, signed_sha256 };
        Ok(SignedBin { file, was_there })
    }

    /// If `resumed`, the file that is there under `key` already, where it has just this canonical
    /// `signed` value: signatures of the same may differ.
    fn find(&self, text: &[u8], key: &StoreKey, resumed: bool) -> Result<Option<Vec<u8>>, Error> {
        let found = if resumed { self.repository.metadata_file(key)? } else { None };
        Ok(found.filter(|found| signed_value(found) == Some(text)))
    }
}

/// How many of the bins have about [`SLICE`] bytes together; at least one.
fn slice_length(state: &State, bins: &[(u32, u64)], changes: &dyn Changes) -> usize {
    let mut total = 0;
    let fits = |(bin, _): &&(u32, u64)| {
        let published = state.bins[*bin as usize].published.map_or(0, |file| file.length);
        // So many small ones are enough, too.
        total += (published + changes.length(*bin)).max(4096);
        total <= SLICE
    };
    bins.iter().take_while(fits).count().max(1)
}

/// As metadata writes it.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
