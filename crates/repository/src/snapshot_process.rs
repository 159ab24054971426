//! The snapshot process: the one writer of a repository (PEP 458, "Producing Consistent Snapshots").
//!
//! A batch goes through five steps, and each is durable before the next begins:
//!
//! 1. *reserve*: the versions of everything it signs are used up, in the database;
//! 2. *create*: pages, bins and snapshot are created in the store, and files get their plain names;
//! 3. *decide*: `timestamp.json` is recorded in the database, with the catalog's new rows;
//! 4. *commit*: `timestamp.json` is replaced, if it still is the one the batch was planned on;
//! 5. *finish*: the database records what is published now.
//!
//! Publishing begins with the batch that the database has: one that is decided goes on with steps 4
//! and 5, as it does a moment after step 3; one that is only reserved never will be published, so its
//! versions are skipped, and what it was made of waits in the journal as before. There is no other way
//! to resume. Whatever waits in the journal when a batch is planned goes into it (group commit).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::{debug, error, info, warn};
use waxseal_tuf::Signer;
use waxseal_tuf::hash::Sha256;

use crate::batch::{Contents, Lifetimes, RoleState, State, Writer};
use crate::database::{Batch, Decision, Epoch, JournalRow, Reservation};
use crate::error::{Error, StoreError};
use crate::import::Source;
use crate::layout::Layout;
use crate::lock::holder_of;
use crate::offline_change;
use crate::online_keys::OnlineKeys;
use crate::plan::Planner;
use crate::relist::Relisting;
use crate::renewal;
use crate::repository::{Publishing, Repository};

/// Most journal entries in one batch.
const ENTRIES_A_BATCH: u64 = 1_000;
/// From the beginning of one snapshot to that of the next, for each bin: so many bins, so many bytes is a
/// snapshot, to be kept and fetched. So they are 32 MB a second at most while uploads come; what comes
/// meanwhile goes into the next one.
const GATHERING: Duration = Duration::from_micros(1);
/// How often it looks whether another process has recorded something.
const CHANGE_CHECK: Duration = Duration::from_secs(2);
/// Longest pause after a failure; the first one is a tenth of a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The right to write to a repository; exactly one process has it.
///
/// It is a lock that the operating system takes back when the process ends, however it ends.
#[derive(Debug)]
pub struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the right for the repository whose lock file is `path`, or says that another process
    /// has it.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::WriterLock { path: PathBuf::from(path), source };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true);
        let file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                let holder = holder_of(&[path.to_owned()]);
                Err(Error::SecondWriter { path: path.into(), holder })
            }
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The one writer of a repository.
#[derive(Debug)]
pub struct SnapshotProcess {
    pub(crate) repository: Arc<Repository>,
    pub(crate) keys: OnlineKeys,
    lifetimes: Lifetimes,
    layout: Layout,
    pub(crate) epoch: Epoch,
    /// `None` after a failure, until it is read again.
    state: Mutex<Option<State>>,
    /// Whether the storage was full and no space can be set aside since.
    without_space: AtomicBool,
    /// Whether `timestamp.json` may be somebody else's.
    disowned: AtomicBool,
    pub(crate) relisting: Relisting,
    _lock: WriterLock,
}

/// One published snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The version of snapshot.
    pub snapshot: u64,
    /// The serial up to which it holds the journal.
    pub serial: u64,
}

impl SnapshotProcess {
    /// Prepares to write, with the online key. While that is replaced by another one, both are given.
    pub fn new(
        repository: Arc<Repository>,
        keys: impl Into<OnlineKeys>,
        lifetimes: Lifetimes,
        lock: WriterLock,
    ) -> Result<Self, Error> {
        let keys = keys.into();
        offline_change::check_keys(&repository, &keys)?;
        let (epoch, without_space) = match repository.database().take_over() {
            // Whoever starts with a full disk may use what is set aside for that.
            Err(error) if error.is_storage_full() => {
                repository.store().use_reserve()?;
                (repository.database().take_over()?, true)
            }
            taken => (taken?, false),
        };
        let layout = repository.database().layout()?.unwrap_or_default();
        let (state, without_space) = (Mutex::default(), AtomicBool::new(without_space));
        let disowned = AtomicBool::new(false);
        Ok(Self {
            repository,
            keys,
            lifetimes,
            layout,
            epoch,
            state,
            without_space,
            disowned,
            relisting: Relisting::default(),
            _lock: lock,
        })
    }

    /// The same process, writing what is new in this layout from now on. The repository remembers the
    /// layout; without this call it has the one it had, or at first [`Layout::Files`].
    ///
    /// [`Error::LayoutChanged`] where that would leave files that no metadata lists.
    pub fn with_layout(self, layout: Layout) -> Result<Self, Error> {
        layout.settle(self.repository.database())?;
        Ok(Self { layout, ..self })
    }

    /// The layout it writes in.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Publishes at the time `now` what waits and what runs out, as one snapshot; `None` when there
    /// is nothing of either. A batch that was decided earlier is published first.
    ///
    /// When the storage is full, the space that is set aside is used to keep fresh what is published;
    /// what waits goes on waiting until there is space again.
    pub fn publish(&self, now: Timestamp) -> Result<Option<Published>, Error> {
        if self.without_space.load(Ordering::Relaxed) {
            let has_space = self.repository.store().set_reserve().is_ok();
            self.without_space.store(!has_space, Ordering::Relaxed);
        }
        let published = self.try_publish(now);
        if published.as_ref().is_err_and(Error::is_storage_full) {
            self.repository.store().use_reserve()?;
            self.without_space.store(true, Ordering::Relaxed);
        }
        published
    }

    fn try_publish(&self, now: Timestamp) -> Result<Option<Published>, Error> {
        let mut kept = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that after a failure it is read again.
        let mut state = kept.take();
        let database = self.repository.database();
        match database.batch()? {
            Some(Batch::Decided(batch)) => {
                info!(snapshot = batch.snapshot, "publish the snapshot that was decided");
                return self.commit(&batch).map(Some);
            }
            Some(Batch::Reserved(batch)) => {
                info!(snapshot = batch.snapshot, "skip the snapshot that was not finished");
                database.abandon(self.epoch)?;
                state = None;
            }
            None => {}
        }
        let mut state = match state {
            Some(state) => state,
            None => self.read_state()?,
        };
        let published = match self.publish_change(&mut state, now)? {
            Some(published) => {
                // Other offline roles are published now.
                state = self.read_state()?;
                Some(published)
            }
            None => self.publish_next(&mut state, now)?,
        };
        *kept = Some(state);
        Ok(published)
    }

    /// What waits is published in its order. A bin without room is refused when an entry comes
    /// ([`Error::BinFull`]); where one waits nevertheless - an earlier program took it, or an import
    /// came after it - all before it is published, what is published is kept fresh, and it is tried
    /// again: together with those after it, which may take targets out of the bin.
    fn publish_next(&self, state: &mut State, now: Timestamp) -> Result<Option<Published>, Error> {
        let database = self.repository.database();
        let published = database.published_serial()?;
        let without_space = self.without_space.load(Ordering::Relaxed);
        let (entries, due) = match without_space {
            false => (
                self.next_entries(published, database.last_restoration()?)?,
                state.due_bins(self.lifetimes.bin_n, now),
            ),
            true => (Vec::new(), renewal::last_moment(&state.bins, self.lifetimes.bin_n, now)),
        };
        let mut entries = entries.as_slice();
        loop {
            let nothing_else = due.is_empty() && !self.freshness_is_due(state, now);
            if entries.is_empty() && nothing_else {
                return Ok(None);
            }
            match self.publish_entries(state, entries, &due, now) {
                Err(too_long @ Error::BinTooLong { .. }) if !entries.is_empty() => {
                    // Nothing of it is decided.
                    database.abandon(self.epoch)?;
                    *state = self.read_state()?;
                    entries = &entries[..entries.len() / 2];
                    if entries.is_empty() {
                        if !nothing_else {
                            self.publish_entries(state, &[], &due, now)?;
                        }
                        return Err(too_long);
                    }
                }
                published => return published.map(Some),
            }
        }
    }

    /// The entries of the next batch. Those up to the serial `together` are in one, however many.
    pub(crate) fn next_entries(
        &self,
        published: u64,
        together: u64,
    ) -> Result<Vec<JournalRow>, Error> {
        let database = self.repository.database();
        let mut entries = database.waiting(published, ENTRIES_A_BATCH)?;
        while let Some(last) = entries.last().filter(|last| last.serial < together) {
            let more = database.waiting(last.serial, ENTRIES_A_BATCH)?;
            if more.is_empty() {
                break;
            }
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Publishes these entries and signs what is due, as one snapshot.
    fn publish_entries(
        &self,
        state: &mut State,
        entries: &[JournalRow],
        due: &[u32],
        now: Timestamp,
    ) -> Result<Published, Error> {
        let database = self.repository.database();
        let published = database.published_serial()?;
        let plan = self.planner(state)?.plan(entries)?;
        let bins: BTreeSet<_> = plan.bins().chain(due.iter().copied()).collect();
        let contents = Contents {
            after: published,
            serial: entries.last().map_or(published, |last| last.serial),
            objects: &plan.objects,
            links: &plan.links,
            catalog: &plan.catalog,
            bins: bins.into_iter().collect(),
            changes: &plan,
            offline: None,
        };
        let _hold = database.hold_objects()?;
        let online = self.keys.one_of(&state.online)?;
        let batch = self.writer(online, now).write(state, &contents, &|_| {})?;
        let published = self.commit(&batch)?;
        state.advance(&batch);
        Ok(published)
    }

    /// The repository it writes to.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    pub(crate) fn state(&self) -> &Mutex<Option<State>> {
        &self.state
    }

    pub(crate) fn read_state(&self) -> Result<State, Error> {
        State::read(&self.repository, self.disowned.load(Ordering::Relaxed))
    }

    /// What is in the store is no base any more.
    pub(crate) fn disown(&self) {
        self.disowned.store(true, Ordering::Relaxed);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Publishes what waits, unless an import of `source` is to be gone on with.
    pub(crate) fn publish_before_import(
        &self,
        source: Source,
        now: Timestamp,
    ) -> Result<(), Error> {
        let database = self.repository.database();
        while self.interrupted_import(source, now)?.is_none() {
            let waiting = !database.waiting(database.published_serial()?, 1)?.is_empty();
            if !waiting && database.batch()?.is_none() {
                break;
            }
            if self.publish(now)?.is_none() && self.without_space.load(Ordering::Relaxed) {
                return Err(Error::NoSpace);
            }
        }
        Ok(())
    }

    /// Publishes the targets of an import file, and answers how many of its bins were there from an
    /// earlier run.
    pub(crate) fn publish_import(
        &self,
        contents: &Contents<'_>,
        source: Source,
        now: Timestamp,
        progress: &dyn Fn(usize),
    ) -> Result<(Published, usize), Error> {
        let mut kept = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = None;
        let mut state = self.read_state()?;
        let interrupted = self.interrupted_import(source, now)?;
        let same =
            interrupted.filter(|batch| batch.bins.iter().map(|(bin, _)| bin).eq(&contents.bins));
        let resumed = same.is_some();
        let (reservation, begun) = match same {
            Some(batch) => {
                let begun = batch.source.map_or(now, |(_, begun)| begun);
                (batch, begun)
            }
            None => {
                self.repository.database().abandon(self.epoch)?;
                state = self.read_state()?;
                let mut reservation = state.reservation(&contents.bins);
                reservation.source = Some((source, now));
                (reservation, now)
            }
        };
        let online = self.keys.one_of(&state.online)?;
        let writer = self.writer(online, begun);
        let _hold = self.repository.database().hold_objects()?;
        let written = writer.write_reserved(&mut state, contents, &reservation, resumed, progress);
        if let (true, Err(Error::Store(StoreError::Exists { .. }))) = (resumed, &written) {
            // What is there was made of something else; the next try begins anew.
            self.repository.database().abandon(self.epoch)?;
        }
        let (batch, found) = written?;
        Ok((self.commit(&batch)?, found))
    }

    /// An import of `source` that was not finished, and is not so old that its files would expire soon.
    fn interrupted_import(
        &self,
        source: Source,
        now: Timestamp,
    ) -> Result<Option<Reservation>, Error> {
        let Some(Batch::Reserved(batch)) = self.repository.database().batch()? else {
            return Ok(None);
        };
        let recent = |begun: Timestamp| now.duration_since(begun) < self.lifetimes.bin_n / 4;
        let same = batch.source.is_some_and(|(of, begun)| of == source && recent(begun));
        Ok(same.then_some(batch))
    }

    pub(crate) fn planner(&self, state: &State) -> Result<Planner<'_>, Error> {
        let database = self.repository.database();
        Ok(Planner {
            repository: &self.repository,
            layout: self.layout,
            first: state.snapshot.expires.is_none(),
            restores: database.last_restoration()? > database.published_serial()?,
        })
    }

    pub(crate) fn writer<'a>(&'a self, online: &'a dyn Signer, now: Timestamp) -> Writer<'a> {
        Writer {
            repository: &self.repository,
            bins: self.repository.bins(),
            epoch: self.epoch,
            online,
            lifetimes: self.lifetimes,
            now,
        }
    }

    /// Whether snapshot or timestamp have less than half of their lifetime left, or never were.
    fn freshness_is_due(&self, state: &State, now: Timestamp) -> bool {
        let due = |role: RoleState, lifetime: SignedDuration| {
            role.expires.is_none_or(|expires| expires.duration_since(now) < lifetime / 2)
        };
        due(state.snapshot, self.lifetimes.snapshot)
            || due(state.timestamp, self.lifetimes.timestamp)
    }

    /// Publishes until nothing waits, nothing runs out, and every target lists what is asked for.
    pub fn publish_all(&self, now: Timestamp) -> Result<(), Error> {
        while self.publish(now)?.is_some() || self.relist(now)? {}
        Ok(())
    }

    /// Steps 4 and 5, of a batch that is decided.
    pub(crate) fn commit(&self, batch: &Decision) -> Result<Published, Error> {
        let store = self.repository.store();
        if batch.offline.is_some() {
            self.create_roots_of_snapshot()?;
        }
        let previous = match self.disowned.load(Ordering::Relaxed) {
            true => self.repository.published_timestamp(true)?.map(|bytes| Sha256::of(&bytes)),
            false => batch.previous_timestamp,
        };
        store.replace_timestamp(previous, &batch.timestamp_json)?;
        self.finish(batch)?;
        for (bin, _) in &batch.bins {
            self.repository.forget_bin(*bin);
        }
        let published = Published { snapshot: batch.snapshot, serial: batch.serial };
        self.repository.announce(published.serial);
        debug!(
            snapshot = published.snapshot,
            serial = published.serial,
            bins = batch.bins.len(),
            "published a snapshot"
        );
        Ok(published)
    }

    /// Publishes whatever comes until `stop` is set and everything accepted is published. Failures
    /// are logged and tried again; what they hold up stays in the journal. One that is met while
    /// stopping is returned: then something accepted is not published yet.
    pub fn run(&self, stop: &Stop) -> Result<(), Error> {
        if let Err(failure) = self.repository.store().set_reserve() {
            warn!("no space can be set aside for publishing when the storage is full: {failure}");
            self.without_space.store(failure.is_storage_full(), Ordering::Relaxed);
        }
        let mut failing: Option<Failing> = None;
        let mut short_since = None;
        loop {
            let stopping = stop.is_requested();
            if failing.is_none() {
                self.repository.report(Publishing::Working { since: Timestamp::now() });
            }
            let begun = Instant::now();
            match self.publish(Timestamp::now()) {
                Ok(published) => {
                    if failing.take().is_some() {
                        info!("the snapshot process publishes again");
                    }
                    self.report_published(&mut short_since);
                    match published {
                        Some(_) => {
                            let gathering = GATHERING * self.repository.bins().count();
                            self.pause(gathering.saturating_sub(begun.elapsed()), stop);
                        }
                        None if stopping => return self.nothing_left(),
                        None if self.relists() => {}
                        None => self.wait(self.renewal_check())?,
                    }
                }
                Err(failure @ Error::Fenced { .. }) => {
                    error!("the snapshot process ends: {failure}");
                    return Err(failure);
                }
                Err(failure) if stopping => return Err(failure),
                Err(failure) => {
                    error!("the snapshot process failed and tries again: {failure}");
                    let now_failing = Failing::again(failing.as_ref());
                    let (since, problem) = (now_failing.since, failure.to_string());
                    self.repository.report(Publishing::Failing { since, problem });
                    self.pause(now_failing.pause, stop);
                    failing = Some(now_failing);
                }
            }
        }
    }

    /// Takes a step of listing targets with other digests; whether there is more to do. That it fails holds
    /// up nothing.
    fn relists(&self) -> bool {
        let step = match self.without_space.load(Ordering::Relaxed) {
            true => Ok(false),
            false => self.relist(Timestamp::now()),
        };
        step.unwrap_or_else(|failure| {
            error!("targets are not listed with other hash algorithms yet: {failure}");
            false
        })
    }

    /// Waits until something is to be done, or for so long. New offline roles and what is revoked come from
    /// another process, which cannot wake this one.
    fn wait(&self, length: Duration) -> Result<(), Error> {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let woken = self.repository.wake().wait(left.min(CHANGE_CHECK));
            if woken || left.is_zero() || self.can_publish_change()? || self.has_waiting()? {
                return Ok(());
            }
        }
    }

    /// Whether the journal has more than what is published, and there is space for it.
    fn has_waiting(&self) -> Result<bool, Error> {
        let database = self.repository.database();
        let space = !self.without_space.load(Ordering::Relaxed);
        Ok(space && database.last_serial()? > database.published_serial()?)
    }

    /// How often it looks for roles that run out when nothing else happens: each look may make a
    /// snapshot, which every client fetches.
    fn renewal_check(&self) -> Duration {
        if self.without_space.load(Ordering::Relaxed) {
            return LONGEST_PAUSE;
        }
        let Lifetimes { bin_n, snapshot, timestamp } = self.lifetimes;
        let shortest = bin_n.min(snapshot).min(timestamp).unsigned_abs();
        (shortest / 96).clamp(Duration::from_secs(1), Duration::from_mins(15))
    }

    /// Says what it is at; `short_since` keeps since when there is no space.
    fn report_published(&self, short_since: &mut Option<Timestamp>) {
        self.repository.report(match self.without_space.load(Ordering::Relaxed) {
            true => {
                let since = *short_since.get_or_insert_with(Timestamp::now);
                Publishing::Failing { since, problem: Error::NoSpace.to_string() }
            }
            false => {
                *short_since = None;
                Publishing::Idle
            }
        });
    }

    /// Whoever stops it hears that something is not published.
    fn nothing_left(&self) -> Result<(), Error> {
        let database = self.repository.database();
        let waits = || Ok::<_, Error>(database.last_serial()? > database.published_serial()?);
        match self.without_space.load(Ordering::Relaxed) && waits()? {
            true => Err(Error::NoSpace),
            false => Ok(()),
        }
    }

    /// Uploads do not end a pause; a request to stop does.
    fn pause(&self, length: Duration, stop: &Stop) {
        let end = Instant::now() + length;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || stop.is_requested() {
                return;
            }
            self.repository.wake().wait(left);
        }
    }
}

/// Failures in a row.
struct Failing {
    since: Timestamp,
    /// How long to wait after the last one.
    pause: Duration,
}

impl Failing {
    fn again(before: Option<&Self>) -> Self {
        match before {
            None => Self { since: Timestamp::now(), pause: Duration::from_millis(100) },
            Some(Self { since, pause }) => {
                Self { since: *since, pause: (*pause * 2).min(LONGEST_PAUSE) }
            }
        }
    }
}

/// Asks [`SnapshotProcess::run`] to end.
#[derive(Debug, Clone)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    repository: Arc<Repository>,
}

impl Stop {
    /// A stop for the snapshot process of `repository`.
    pub fn new(repository: Arc<Repository>) -> Self {
        Self { requested: Arc::default(), repository }
    }

    /// Asks it to end when everything accepted is published.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Release);
        self.repository.wake().wake();
    }

    fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }
}
