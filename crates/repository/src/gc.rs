//! Garbage collection: removes from the store what no snapshot names that a client may still be using.
//!
//! *Mark*: the last snapshots, and all that were the newest within the grace time, with every bin they
//! list and every target of those, and what pages among them vouch for; the batch that is being
//! published; what waits in the journal. *Sweep*: whatever else is in the store and was put there before
//! the grace time. Roots are never removed.
//!
//! It may run beside the snapshot process, uploads and clients, and be killed at any moment. An object
//! that was garbage may be wanted again while it is collected - the same file is uploaded, a page returns
//! to an older text - so objects are removed a few at a time, while nobody makes any
//! ([`Holds::collect_objects`](crate::database::Holds::collect_objects)), after each was looked up once more.
//!
//! Memory grows with the versions of bins that are kept (some tens of bytes for each bin of each
//! snapshot), with what the journal holds that was not published when it began or came since, and with
//! [`CHUNK`] candidates. Time grows with what the store holds and, for each chunk, with all kept versions
//! of the bins that its candidates fall into, each of which is read. Uploads wait for the removal of
//! [`AT_ONCE`] objects and for the reading of what came since the same was read before them: of the
//! snapshots, as a rule none, and of the bins that those changed, the ones that the objects fall into.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::thread;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};
use waxseal_index::{DistributionFilename, paths};
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::{RoleName, TargetPath, metadata};

use crate::bin_file::Entries;
use crate::bins::Bins;
use crate::ceremony::BINS;
use crate::database::{AddTarget, Batch, BinFile, Collecting, Database, Entry};
use crate::error::Error;
use crate::lock::LockHeld;
use crate::repository::{ROOT, Repository, SNAPSHOT, read_claims};
use crate::store::{Area, StoreKey};
use crate::vouched::mark_vouched;

/// How many candidates are looked up together.
const CHUNK: usize = 100_000;

/// How many objects are removed while uploads wait.
const AT_ONCE: usize = 256;

/// After how long such a wait is worth a word in the log.
const WORTH_A_WORD: Duration = Duration::from_mins(1);

/// How long a pause is before those who make objects are looked at again.
const PAUSE: Duration = Duration::from_secs(2);

/// After how many objects that were listed somebody is told.
const LISTED: u64 = 1_000;

/// How many journal entries are read at a time.
const ENTRIES: u64 = 1_000;

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GcOptions {
    /// For how long after it is superseded a snapshot can still be used: a client may have begun with it
    /// and be slow.
    pub grace: SignedDuration,
    /// How many snapshots are kept at least; below 3 it is 3.
    pub snapshots: usize,
    /// Whether files and pages are looked at too, and not only metadata, of which every batch leaves some.
    pub targets: bool,
    /// Whether nothing is removed, and only counted.
    pub dry_run: bool,
    /// How long those who make objects are waited for, until it gives up. Default half an hour: longer
    /// than an import of millions of targets takes.
    pub patience: Duration,
}

impl Default for GcOptions {
    fn default() -> Self {
        let grace = SignedDuration::from_hours(1);
        let patience = Duration::from_mins(30);
        Self { grace, snapshots: 3, targets: true, dry_run: false, patience }
    }
}

/// What a collection found. In a dry run `removed` is what would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Collected {
    /// How many snapshots were kept.
    pub snapshots: usize,
    /// Objects that were looked at.
    pub seen: u64,
    /// Objects that were removed.
    pub removed: u64,
    /// Their bytes together. A file and its plain name are counted both, and may share their space.
    pub removed_bytes: u64,
    /// Files in the store that this program did not put there; they are left alone.
    pub foreign: u64,
}

/// How far a collection is. It lists, compares and removes by turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GcProgress {
    /// It finds out what is in use: so many snapshots were read.
    Marking {
        /// How many snapshots.
        snapshots: usize,
    },
    /// It goes through the store.
    Listing(Collected),
    /// It looks what is listed up in the bins.
    Comparing {
        /// How many bins were looked at.
        bins: usize,
        /// How many are to be.
        total: usize,
    },
    /// It removes what nothing names.
    Removing(Collected),
}

impl Repository {
    /// Collects garbage, at the time `now` of this machine's clock. `progress` is told now and then.
    ///
    /// [`Error::Locked`] when somebody goes on making objects for longer than
    /// [`GcOptions::patience`]; what was removed before stays removed.
    pub fn collect_garbage(
        &self,
        options: &GcOptions,
        now: Timestamp,
        progress: &dyn Fn(&GcProgress),
    ) -> Result<Collected, Error> {
        let mut found = Collected::default();
        match self.collect(options, now, progress, &mut found) {
            Err(Error::OtherBins { snapshot }) => {
                info!(snapshot, "a snapshot of other bins is in use: no more is collected now");
            }
            collected => collected?,
        }
        Ok(found)
    }

    fn collect(
        &self,
        options: &GcOptions,
        now: Timestamp,
        progress: &dyn Fn(&GcProgress),
        found: &mut Collected,
    ) -> Result<(), Error> {
        let marks = Marks::of(self, options, now, progress)?;
        let mut sweep = Sweep {
            repository: self,
            options,
            before: now - options.grace,
            marks,
            candidates: Vec::new(),
            found,
            progress,
        };
        sweep.found.snapshots = sweep.marks.snapshots.len();
        sweep.area(Area::Metadata)?;
        if options.targets {
            sweep.area(Area::Targets)?;
            sweep.area(Area::Files)?;
        }
        info!(
            seen = sweep.found.seen,
            removed = sweep.found.removed,
            bytes = sweep.found.removed_bytes,
            "collected garbage"
        );
        Ok(())
    }
}

/// Becomes the one who may remove objects. Whoever publishes much holds them for long, and whoever is
/// stopped for good: that is told apart by time alone.
fn collect_objects(database: &dyn Database, patience: Duration) -> Result<Collecting, Error> {
    let begun = Instant::now();
    let mut has_warned = false;
    loop {
        let held = match database.collect_objects() {
            Err(Error::Locked(held)) => LockHeld { waited: begun.elapsed(), ..held },
            answered => return answered,
        };
        if held.waited > patience {
            return Err(Error::Locked(held));
        }
        if held.waited > WORTH_A_WORD && !has_warned {
            has_warned = true;
            warn!("garbage is not collected yet: {held}");
        }
        thread::sleep(PAUSE.min(patience));
    }
}

/// What is in use, but for targets, which are looked up in the bins.
struct Marks {
    /// Which bins there are.
    layout: Bins,
    snapshots: BTreeSet<u64>,
    /// Of each bin.
    bins: BTreeMap<u32, BTreeSet<u64>>,
    /// Those of them that came after the candidates at hand were looked up.
    added: BTreeMap<u32, BTreeSet<u64>>,
    /// Of `targets` and `bins`.
    offline: BTreeMap<RoleName, BTreeSet<u64>>,
    /// What the journal holds that is not published.
    waiting: HashSet<StoreKey>,
    /// The newest journal entry in `waiting`.
    serial: u64,
    /// The newest snapshot when this was marked.
    newest: u64,
}

impl Marks {
    fn of(
        repository: &Repository,
        options: &GcOptions,
        now: Timestamp,
        progress: &dyn Fn(&GcProgress),
    ) -> Result<Self, Error> {
        progress(&GcProgress::Marking { snapshots: 0 });
        let database = repository.database();
        let mut this = Self {
            layout: repository.bins(),
            snapshots: BTreeSet::new(),
            bins: BTreeMap::new(),
            added: BTreeMap::new(),
            offline: BTreeMap::new(),
            waiting: HashSet::new(),
            serial: database.published_serial()?,
            newest: 0,
        };
        this.mark_waiting(database)?;
        this.mark_batch(repository)?;
        this.mark_published(database)?;
        // A snapshot was in use until the one after it was published, and for the grace time after that.
        let mut count = 0;
        let least = options.snapshots.max(3);
        let kept = database.snapshots_while(&mut |snapshot| {
            count += 1;
            count < least || snapshot.published_at >= now - options.grace
        })?;
        this.newest = kept.first().map_or(0, |snapshot| snapshot.version);
        for (number, snapshot) in kept.into_iter().enumerate() {
            let is_there = this.mark_snapshot(repository, snapshot.version)?;
            // No collection takes one of the newest; without it nobody knows what it names.
            if !is_there && number < 3 {
                return Err(Error::SnapshotMissing { version: snapshot.version });
            }
            progress(&GcProgress::Marking { snapshots: this.snapshots.len() });
        }
        this.added.clear();
        Ok(this)
    }

    /// Marks what came since.
    fn catch_up(&mut self, repository: &Repository) -> Result<(), Error> {
        let database = repository.database();
        self.mark_waiting(database)?;
        self.mark_batch(repository)?;
        let known = self.newest;
        for snapshot in database.snapshots_while(&mut |snapshot| snapshot.version > known)? {
            if snapshot.version > known {
                self.newest = self.newest.max(snapshot.version);
                if !self.mark_snapshot(repository, snapshot.version)? {
                    return Err(Error::SnapshotMissing { version: snapshot.version });
                }
            }
        }
        Ok(())
    }

    fn mark_bin(&mut self, bin: u32, version: u64) {
        if self.bins.entry(bin).or_default().insert(version) {
            self.added.entry(bin).or_default().insert(version);
        }
    }

    /// Marks what the database has as published, with a snapshot or before the first.
    fn mark_published(&mut self, database: &dyn Database) -> Result<(), Error> {
        for role in database.roles()? {
            match role.name == SNAPSHOT {
                true => _ = self.snapshots.insert(role.published),
                false => _ = self.offline.entry(role.name).or_default().insert(role.published),
            }
        }
        for bin in database.bins()? {
            if let Some(file) = bin.published {
                self.mark_bin(bin.number, file.version);
            }
        }
        Ok(())
    }

    /// Marks what a snapshot names; `false` where it is not there, as when an earlier collection took it,
    /// with a shorter grace time.
    fn mark_snapshot(&mut self, repository: &Repository, version: u64) -> Result<bool, Error> {
        let key = StoreKey::Metadata { version, role: SNAPSHOT };
        let Some(bytes) = repository.metadata_file(&key)? else { return Ok(false) };
        let snapshot: metadata::Snapshot =
            read_claims(&format!("{version}.snapshot.json"), &bytes)?;
        self.snapshots.insert(version);
        // Beside `bins` and `targets`.
        let bins = (snapshot.roles.iter().count() as u64).saturating_sub(2);
        if bins != u64::from(self.layout.count()) || repository.bins() != self.layout {
            return Err(Error::OtherBins { snapshot: version });
        }
        for (role, file) in snapshot.roles.iter() {
            match repository.bins().number(role) {
                Some(bin) => self.mark_bin(bin, file.version),
                None => _ = self.offline.entry(role.clone()).or_default().insert(file.version),
            }
        }
        Ok(true)
    }

    /// What is being published. A decided batch will be; one of an import may be gone on with.
    fn mark_batch(&mut self, repository: &Repository) -> Result<(), Error> {
        for file in repository.database().waiting_change()? {
            self.offline.entry(file.role).or_default().insert(file.version);
        }
        let (snapshot, bins): (_, Vec<_>) = match repository.database().batch()? {
            Some(Batch::Decided(batch)) => {
                let version = |(bin, file): (u32, BinFile)| (bin, file.version);
                (batch.snapshot, batch.bins.into_iter().map(version).collect())
            }
            Some(Batch::Reserved(batch)) => (batch.snapshot, batch.bins),
            None => return Ok(()),
        };
        for (bin, version) in bins {
            self.mark_bin(bin, version);
            // Its file may not be there yet, and is then to be looked up again.
            self.added.entry(bin).or_default().insert(version);
        }
        self.snapshots.insert(snapshot);
        Ok(())
    }

    /// Marks what journal entries name that came since the last call.
    fn mark_waiting(&mut self, database: &dyn Database) -> Result<(), Error> {
        loop {
            let entries = database.waiting(self.serial, ENTRIES)?;
            let Some(last) = entries.last() else { return Ok(()) };
            self.serial = last.serial;
            for row in entries {
                self.mark_entry(&row.entry);
            }
        }
    }

    fn mark_entry(&mut self, entry: &Entry) {
        let upload = match entry {
            Entry::Upload(upload) => upload,
            Entry::Revoke(_) | Entry::Readmit(_) => return,
            // Another index has its files elsewhere, as a rule.
            Entry::Targets(targets) => {
                for AddTarget { path, file } in &targets.add {
                    let key = |digest| StoreKey::Target { path: path.clone(), digest };
                    self.waiting.extend(file.hashes.known().map(key));
                }
                return;
            }
        };
        let Ok(filename) = upload.filename.parse::<DistributionFilename>() else { return };
        let mut mark = |path: String, digest: Sha256| {
            let Ok(path) = TargetPath::new(path) else { return };
            self.waiting.insert(StoreKey::File(path.clone()));
            self.waiting.insert(StoreKey::Target { path, digest: digest.into() });
        };
        mark(paths::distribution(&filename), upload.sha256);
        if let Some(metadata) = upload.metadata {
            mark(paths::core_metadata(&filename), metadata.sha256);
        }
    }

    /// Whether a metadata file is in use; those of other roles are nobody's business here.
    fn has_metadata(&self, bin: Option<u32>, role: &RoleName, version: u64) -> bool {
        let has = |versions: Option<&BTreeSet<u64>>| versions.is_some_and(|v| v.contains(&version));
        match bin {
            Some(bin) => has(self.bins.get(&bin)),
            None if *role == SNAPSHOT => self.snapshots.contains(&version),
            None if *role == BINS || *role == RoleName::targets() => has(self.offline.get(role)),
            // Of an index that had other bins.
            None if Bins::is_name(role) => false,
            None => true,
        }
    }
}

/// An object that was put there before the grace time.
struct Candidate {
    /// The bin that would list it; `None` for metadata.
    bin: Option<u32>,
    key: StoreKey,
    length: u64,
}

struct Sweep<'a> {
    repository: &'a Repository,
    options: &'a GcOptions,
    before: Timestamp,
    marks: Marks,
    candidates: Vec<Candidate>,
    found: &'a mut Collected,
    progress: &'a dyn Fn(&GcProgress),
}

impl Sweep<'_> {
    fn area(&mut self, area: Area) -> Result<(), Error> {
        (self.progress)(&GcProgress::Listing(*self.found));
        for listed in self.repository.store().list(area)? {
            let listed = listed?;
            self.found.seen += 1;
            if self.found.seen.is_multiple_of(LISTED) {
                (self.progress)(&GcProgress::Listing(*self.found));
            }
            let Some(key) = listed.key else {
                self.found.foreign += 1;
                continue;
            };
            let bin = match &key {
                StoreKey::Timestamp => continue,
                StoreKey::Metadata { role, .. } if *role == ROOT => continue,
                StoreKey::Metadata { role, version } => {
                    if self.marks.has_metadata(self.repository.bins().number(role), role, *version)
                    {
                        continue;
                    }
                    None
                }
                StoreKey::Target { path, .. } | StoreKey::File(path) => {
                    Some(self.repository.bins().bin_of(path))
                }
            };
            if listed.changed >= self.before {
                continue;
            }
            self.candidates.push(Candidate { bin, key, length: listed.length });
            if self.candidates.len() >= CHUNK {
                self.sweep()?;
            }
        }
        self.sweep()
    }

    /// Removes those candidates that nothing names.
    fn sweep(&mut self) -> Result<(), Error> {
        let mut candidates = std::mem::take(&mut self.candidates);
        // All that is marked by now is looked up here; what comes later is looked up before each removal.
        self.marks.catch_up(self.repository)?;
        self.marks.added.clear();
        self.marks.mark_batch(self.repository)?;
        let of_bins: BTreeSet<_> = candidates.iter().filter_map(|it| it.bin).collect();
        let mut named = HashSet::new();
        candidates.sort_by_key(|candidate| candidate.bin);
        let mut rest = candidates.as_slice();
        let total = of_bins.len();
        for (bins, bin) in of_bins.into_iter().enumerate() {
            (self.progress)(&GcProgress::Comparing { bins, total });
            let begin = rest.partition_point(|candidate| candidate.bin < Some(bin));
            let end = rest.partition_point(|candidate| candidate.bin <= Some(bin));
            let keys = rest[begin..end].iter().map(|candidate| &candidate.key).collect();
            let versions = self.marks.bins.get(&bin).into_iter().flatten();
            for version in versions {
                mark_named(self.repository, bin, *version, &keys, &mut named)?;
            }
            rest = &rest[end..];
        }
        candidates.retain(|it| !named.contains(&it.key) && !self.marks.waiting.contains(&it.key));
        let keys = candidates.iter().map(|candidate| &candidate.key);
        mark_vouched(self.repository, &self.marks.bins, keys, &mut named)?;
        candidates.retain(|it| !named.contains(&it.key));
        for garbage in candidates.chunks(AT_ONCE) {
            self.remove(garbage)?;
            (self.progress)(&GcProgress::Removing(*self.found));
        }
        Ok(())
    }

    fn remove(&mut self, garbage: &[Candidate]) -> Result<(), Error> {
        let database = self.repository.database();
        let mut garbage: Vec<&Candidate> = garbage.iter().collect();
        if !self.options.dry_run {
            // While uploads go on: snapshots are long, and as a rule none comes in between.
            self.marks.catch_up(self.repository)?;
            let _collecting = collect_objects(database, self.options.patience)?;
            self.look_again(&mut garbage)?;
            let keys: Vec<_> = garbage.iter().map(|candidate| candidate.key.clone()).collect();
            self.repository.store().remove(&keys)?;
        }
        self.found.removed += garbage.len() as u64;
        self.found.removed_bytes += garbage.iter().map(|candidate| candidate.length).sum::<u64>();
        Ok(())
    }

    /// Takes out what something names now. Nobody makes objects meanwhile.
    fn look_again(&mut self, garbage: &mut Vec<&Candidate>) -> Result<(), Error> {
        self.marks.catch_up(self.repository)?;
        let mut named = HashSet::new();
        for (bin, versions) in &self.marks.added {
            let keys = garbage.iter().filter(|it| it.bin == Some(*bin)).map(|it| &it.key);
            let keys: HashSet<_> = keys.collect();
            for version in versions.iter().filter(|_| !keys.is_empty()) {
                mark_named(self.repository, *bin, *version, &keys, &mut named)?;
            }
        }
        let keys = garbage.iter().map(|candidate| &candidate.key);
        mark_vouched(self.repository, &self.marks.added, keys, &mut named)?;
        garbage.retain(|it| !named.contains(&it.key));
        let marks = &self.marks;
        let bins = self.repository.bins();
        garbage.retain(|it| match &it.key {
            StoreKey::Metadata { role, version } => {
                !marks.has_metadata(bins.number(role), role, *version)
            }
            key => !marks.waiting.contains(key),
        });
        Ok(())
    }
}

/// Adds to `named` those `keys` that a version of a bin lists.
fn mark_named(
    repository: &Repository,
    bin: u32,
    version: u64,
    keys: &HashSet<&StoreKey>,
    named: &mut HashSet<StoreKey>,
) -> Result<(), Error> {
    // Of a batch that is being written it may not be there yet.
    let Some(file) = repository.bin_file(bin, version)? else { return Ok(()) };
    let listed = Entries::of_file(&file).and_then(|entries| {
        entries.for_each(|path, target| {
            let plain = StoreKey::File(path.clone());
            if keys.contains(&plain) {
                named.insert(plain);
            }
            for digest in target.hashes.known() {
                let key = StoreKey::Target { path: path.clone(), digest };
                if keys.contains(&key) {
                    named.insert(key);
                }
            }
        })
    });
    listed.map_err(|_| Error::BinDamaged {
        file: format!("{version}.{}.json", repository.bins().role(bin)),
        problem: "is not in the form that this program writes".to_owned(),
    })
}
