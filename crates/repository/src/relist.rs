//! Listing every target with other digests (PEP 458, "Hash Algorithm Transition Plan").
//!
//! When the configuration asks for other algorithms, everything new is listed with those at once. What is
//! published already is done in two passes over the bins, a little at a time, between uploads:
//!
//! 1. *hash*: what has to be is read out of the store, compared with every digest that metadata lists, and
//!    hashed; both digests are kept in the database, so that no run does it again. Whatever is wrong is
//!    collected, and then nothing is listed otherwise;
//! 2. *list*: bins are signed anew, some at a time, each time as one snapshot. Just before, targets get
//!    their names with the other digests.
//!
//! So there is a time in which some bins list one and some the other. Each target can be verified all
//! along, for what a client has to know is in its own entry.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use jiff::Timestamp;
use tracing::info;
use waxseal_tuf::hash::{Digest, Hashes, Sha256, Sha512};
use waxseal_tuf::{TargetFile, TargetPath};

use crate::batch::{Changes, Contents, Visitor};
use crate::bin_file::{Change, Entries};
use crate::bins::Bins;
use crate::database::{BinRow, CatalogChange};
use crate::error::{Error, StoreError};
use crate::hash_algorithms::{HashAlgorithms, Listing};
use crate::layout::Layout;
use crate::repository::{Repository, TIMESTAMP};
use crate::snapshot_process::SnapshotProcess;
use crate::store::{Link, StoreKey};

/// How many bytes are hashed before uploads get their turn; a file is hashed as a whole.
const BYTES_A_STEP: u64 = 64 << 20;

/// How many targets are looked at before they do, at the least.
const TARGETS_A_STEP: usize = 2_000;

/// How many targets are listed otherwise in one snapshot, unless one bin has more.
const TARGETS_A_SNAPSHOT: usize = 20_000;

/// How many problems an error names.
const SHOWN: usize = 10;

/// How long it waits after a failure.
const PAUSE: Duration = Duration::from_mins(1);

/// The longest name of a file in a folder.
const LONGEST_NAME: usize = 255;

/// How far it is, in this process.
#[derive(Debug, Default)]
pub(crate) struct Relisting(Mutex<At>);

#[derive(Debug, Default)]
struct At {
    /// The bins that are counted; others begin it anew.
    bins: Option<Bins>,
    is_listing: bool,
    next: u32,
    problems: u64,
    shown: Vec<String>,
    said: Option<Instant>,
    paused: Option<Instant>,
}

/// What a part of a bin takes.
#[derive(Debug, Default)]
struct Found {
    /// Targets that are to be listed otherwise, in canonical form.
    changes: Vec<(String, Vec<u8>)>,
    links: Vec<Link>,
    /// What was hashed now.
    hashed: Vec<(Sha256, Sha512)>,
    /// About how long the bin becomes.
    length: u64,
    /// Whether all of the bin was looked at.
    complete: bool,
}

impl SnapshotProcess {
    /// The same process, listing what is new with digests of these algorithms from now on. What is published
    /// is listed anew while it runs ([`SnapshotProcess::run`], [`SnapshotProcess::publish_all`]).
    ///
    /// [`Error::HashAlgorithmsJump`] where clients that know the present ones could not follow, and
    /// [`Error::HashAlgorithmsOfLayout`] where the layout has no others.
    pub fn with_hash_algorithms(self, wanted: HashAlgorithms) -> Result<Self, Error> {
        let database = self.repository.database();
        let now = database.listing()?;
        if wanted != HashAlgorithms::Sha256 && self.layout() == Layout::Index {
            return Err(Error::HashAlgorithmsOfLayout { wanted });
        }
        let is_published = database.role(&TIMESTAMP)?.is_some_and(|role| role.published > 0);
        if is_published && !now.settled.shares_one_with(wanted) {
            return Err(Error::HashAlgorithmsJump { settled: now.settled, wanted });
        }
        let next = match is_published {
            false => Listing { settled: wanted, moving_to: None },
            _ if now == (Listing { settled: wanted, moving_to: None }) => now,
            // Also back to what it was: some targets may be listed with the others.
            _ => Listing { settled: now.settled, moving_to: Some(wanted) },
        };
        if next != now {
            database.record_listing(self.epoch, next)?;
            info!(from = %now.settled, to = %wanted, "targets are listed with other hash algorithms");
        }
        self.repository.list_with(wanted);
        Ok(self)
    }

    /// Takes the next step of listing targets with other digests, if they are to be; whether there is more
    /// to do. A failure holds up nothing else: the same step is tried again after a while.
    pub(crate) fn relist(&self, now: Timestamp) -> Result<bool, Error> {
        let Some(wanted) = self.repository.database().listing()?.moving_to else {
            return Ok(false);
        };
        let mut at = self.relisting.0.lock().unwrap_or_else(PoisonError::into_inner);
        if at.paused.is_some_and(|since| since.elapsed() < PAUSE) {
            return Ok(false);
        }
        let bins = self.repository.bins();
        if at.bins != Some(bins) || at.paused.is_some() {
            *at = At { bins: Some(bins), ..At::default() };
        }
        let step = if at.is_listing {
            self.list_some(&mut at, wanted, now)
        } else {
            self.hash_some(&mut at, wanted)
        };
        if step.is_err() {
            at.paused = Some(Instant::now());
        }
        step
    }

    /// The first pass.
    fn hash_some(&self, at: &mut At, wanted: HashAlgorithms) -> Result<bool, Error> {
        let (database, count) = (self.repository.database(), self.repository.bins().count());
        let mut budget = Budget { bytes: BYTES_A_STEP, targets: TARGETS_A_STEP };
        while at.next < count && budget.lasts() {
            if at.said.is_none_or(|said| said.elapsed() > Duration::from_secs(10)) {
                at.said = Some(Instant::now());
                info!(bins = at.next, of = count, to = %wanted, "targets are read and hashed");
            }
            let Some(row) = database.bin(at.next)? else {
                at.next += 1;
                continue;
            };
            let mut problems = Vec::new();
            let found = self.look_at(&row, wanted, &mut budget, &mut problems)?;
            if !found.hashed.is_empty() {
                database.record_hashed(self.epoch, row.number, &found.hashed)?;
            }
            if !found.complete {
                continue;
            }
            let before = row.published.map_or(0, |file| file.length);
            if let Err(too_long) =
                self.repository.bins().check_length(row.number, before, found.length)
            {
                problems.push(too_long.to_string());
            }
            at.problems += problems.len() as u64;
            at.shown.extend(problems);
            at.shown.truncate(SHOWN);
            at.next += 1;
        }
        if at.next < count {
            return Ok(true);
        }
        if at.problems > 0 {
            let shown = std::mem::take(&mut at.shown);
            return Err(Error::NotRelisted { count: at.problems, wanted, shown });
        }
        at.next = 0;
        at.is_listing = true;
        Ok(true)
    }

    /// The second pass: one snapshot.
    fn list_some(
        &self,
        at: &mut At,
        wanted: HashAlgorithms,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let (database, count) = (self.repository.database(), self.repository.bins().count());
        let mut kept = self.state().lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that after a failure it is read again.
        let mut state = match kept.take() {
            Some(state) => state,
            None => self.read_state()?,
        };
        let mut relisted = Relisted::default();
        let (mut links, mut targets, mut next) = (Vec::new(), 0, at.next);
        while next < count && targets < TARGETS_A_SNAPSHOT {
            let mut problems = Vec::new();
            let row = &state.bins[next as usize];
            let found = self.look_at(row, wanted, &mut Budget::unlimited(), &mut problems)?;
            if !problems.is_empty() {
                let count = problems.len() as u64;
                problems.truncate(SHOWN);
                return Err(Error::NotRelisted { count, wanted, shown: problems });
            }
            targets += found.changes.len() + found.links.len();
            links.extend(found.links);
            if !found.changes.is_empty() {
                relisted.0.insert(next, found.changes);
            }
            next += 1;
        }
        let serial = database.published_serial()?;
        let contents = Contents {
            after: serial,
            serial,
            objects: &[],
            links: &links,
            catalog: &CatalogChange::default(),
            bins: relisted.0.keys().copied().collect(),
            changes: &relisted,
            offline: None,
        };
        // Also where nothing changes any more: snapshot and timestamp list digests, too.
        if next == count || !contents.bins.is_empty() || !links.is_empty() {
            let _hold = database.hold_objects()?;
            let online = self.keys.one_of(&state.online)?;
            state.snapshot_text.update_offline(&self.repository.published_offline_files()?);
            let batch = self.writer(online, now).write(&mut state, &contents, &|_| {})?;
            let published = self.commit(&batch)?;
            state.advance(&batch);
            info!(
                bins = next,
                of = count,
                snapshot = published.snapshot,
                "listed targets with {wanted}"
            );
        }
        *kept = Some(state);
        at.next = next;
        if next < count {
            return Ok(true);
        }
        database.record_listing(self.epoch, Listing { settled: wanted, moving_to: None })?;
        info!("every target lists {wanted}");
        *at = At::default();
        Ok(false)
    }

    /// Looks at the targets of a bin, as far as the budget goes.
    fn look_at(
        &self,
        row: &BinRow,
        wanted: HashAlgorithms,
        budget: &mut Budget,
        problems: &mut Vec<String>,
    ) -> Result<Found, Error> {
        let mut found = Found::default();
        let Some(file) = self.repository.published_bin(row)? else {
            return Ok(Found { complete: true, ..found });
        };
        let not_ours = |_| self.repository.bin_not_ours(row);
        let mut targets = Vec::new();
        let entries = Entries::of_file(&file).map_err(not_ours)?;
        entries.for_each(|path, file| targets.push((path, file))).map_err(not_ours)?;
        let known = Known::of(&self.repository.database().hashed(row.number)?);
        found.length = file.len() as u64;
        budget.targets = budget.targets.saturating_sub(targets.len());
        for (path, file) in targets {
            match self.relisted(&path, &file, wanted, &known, budget, &mut found)? {
                Ok(true) => {}
                Ok(false) => return Ok(found),
                Err(problem) => problems.push(format!("{path} {problem}")),
            }
        }
        found.complete = true;
        Ok(found)
    }

    /// Adds to `found` what a target takes; `false` where the budget does not last for it, and the inner
    /// error says what is wrong.
    fn relisted(
        &self,
        path: &TargetPath,
        file: &TargetFile,
        wanted: HashAlgorithms,
        known: &Known,
        budget: &mut Budget,
        found: &mut Found,
    ) -> Result<Result<bool, String>, Error> {
        let key = |digest| StoreKey::Target { path: path.clone(), digest };
        let store = self.repository.store();
        let mut there = Vec::new();
        for digest in file.hashes.known() {
            if store.open(&key(digest))?.is_some() {
                there.push(digest);
            }
        }
        let missing = wanted.missing_in(&file.hashes);
        let mut file = file.clone();
        let before = file.clone();
        let Some(from) = there.first().copied() else {
            // Another index keeps it.
            if let Some(missing) = missing {
                return Ok(Err(format!(
                    "is not in this store, and lists no {missing}: bring it back if it was uploaded here; one \
                     of another index has to be sent again with {missing}"
                )));
            }
            wanted.adopt(&mut file);
            found.add(path, &file, &before);
            return Ok(Ok(true));
        };
        let is_named = |digest: &Digest| !wanted.has(digest) || there.contains(digest);
        if missing.is_some() || !file.hashes.known().all(|digest| is_named(&digest)) {
            let pair = match known.pair(&file.hashes) {
                Some(pair) => pair,
                None if !budget.lasts() => return Ok(Ok(false)),
                None => {
                    budget.bytes = budget.bytes.saturating_sub(file.length);
                    match hash(&self.repository, &key(from), &file.hashes, Some(file.length))? {
                        Ok(pair) => pair,
                        Err(problem) => return Ok(Err(problem)),
                    }
                }
            };
            if known.pair(&file.hashes).is_none() {
                found.hashed.push(pair);
            }
            let (sha256, sha512) = pair;
            let digests = [Digest::from(sha256), Digest::from(sha512)];
            for digest in digests.into_iter().filter(|digest| wanted.has(digest)) {
                let to = key(digest);
                let name = digest.to_string().len() + 1 + path.file_name().len();
                if name > LONGEST_NAME {
                    return Ok(Err(format!(
                        "would have a name of {name} bytes with its {}, more than the {LONGEST_NAME} that \
                         file systems take",
                        digest.algorithm()
                    )));
                }
                if digest != from {
                    found.links.push(Link { from: key(from), to });
                }
                file.hashes.insert(digest);
            }
        }
        for digest in before.hashes.known().filter(|digest| !wanted.has(digest)) {
            file.hashes.remove(digest.algorithm());
        }
        found.add(path, &file, &before);
        Ok(Ok(true))
    }
}

impl Found {
    fn add(&mut self, path: &TargetPath, file: &TargetFile, before: &TargetFile) {
        if file == before {
            return;
        }
        let (now, before) = (file.to_canonical(), before.to_canonical());
        self.length = (self.length + now.len() as u64).saturating_sub(before.len() as u64);
        self.changes.push((path.to_string(), now));
    }
}

/// What may be done before uploads get their turn.
struct Budget {
    bytes: u64,
    targets: usize,
}

impl Budget {
    fn unlimited() -> Self {
        Self { bytes: u64::MAX, targets: usize::MAX }
    }

    fn lasts(&self) -> bool {
        self.bytes > 0 && self.targets > 0
    }
}

/// What was hashed of a bin.
struct Known {
    by_sha256: HashMap<Sha256, Sha512>,
    by_sha512: HashMap<Sha512, Sha256>,
}

impl Known {
    fn of(pairs: &[(Sha256, Sha512)]) -> Self {
        Self {
            by_sha256: pairs.iter().copied().collect(),
            by_sha512: pairs.iter().map(|(sha256, sha512)| (*sha512, *sha256)).collect(),
        }
    }

    /// Both digests of the file that lists these, if what is listed agrees with them.
    fn pair(&self, hashes: &Hashes) -> Option<(Sha256, Sha512)> {
        match (hashes.listed_sha256(), hashes.listed_sha512()) {
            (Some(sha256), None) => Some((sha256, *self.by_sha256.get(&sha256)?)),
            (None, Some(sha512)) => Some((*self.by_sha512.get(&sha512)?, sha512)),
            (Some(sha256), Some(sha512)) => {
                (self.by_sha256.get(&sha256) == Some(&sha512)).then_some((sha256, sha512))
            }
            (None, None) => None,
        }
    }
}

/// Bins in which targets are listed otherwise.
#[derive(Default)]
struct Relisted(BTreeMap<u32, Vec<(String, Vec<u8>)>>);

impl Changes for Relisted {
    fn length(&self, bin: u32) -> u64 {
        let changes = self.0.get(&bin).into_iter().flatten();
        changes.map(|(path, file)| path.len() + file.len()).sum::<usize>() as u64
    }

    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        let changes = self.0.get(&bin).into_iter().flatten();
        let changes = changes.map(|(path, file)| Change { path, file: Some(file) });
        visitor(&changes.collect::<Vec<_>>())
    }
}

/// SHA-512 of an object that has just these other digests; anything else is an error that names it.
pub(crate) fn sha512_of(
    repository: &Repository,
    key: &StoreKey,
    hashes: &Hashes,
) -> Result<Sha512, Error> {
    match hash(repository, key, hashes, None)? {
        Ok((_, sha512)) => Ok(sha512),
        Err(problem) => Err(Error::ObjectDamaged { path: key.path(), problem }),
    }
}

/// Reads an object, compares it with the digests that are listed of it, and hashes it; the inner error says
/// what is wrong with it.
fn hash(
    repository: &Repository,
    key: &StoreKey,
    hashes: &Hashes,
    length: Option<u64>,
) -> Result<Result<(Sha256, Sha512), String>, Error> {
    let Some(mut object) = repository.store().open(key)? else {
        return Ok(Err(format!("is missing in the store ({})", key.path())));
    };
    if let Some(length) = length.filter(|length| *length != object.length) {
        let problem = format!(
            "has {} bytes in the store, and metadata says {length} ({})",
            object.length,
            key.path()
        );
        return Ok(Err(problem));
    }
    let Some(mut checker) = hashes.checker() else {
        return Ok(Err("lists no digest that is known here".to_owned()));
    };
    let (mut sha256, mut sha512) = (Context::new(&SHA256), Context::new(&SHA512));
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = object.reader.read(&mut buffer);
        let failed = |source| StoreError::Io { action: "read", path: key.path().into(), source };
        let read = read.map_err(failed)?;
        if read == 0 {
            break;
        }
        checker.update(&buffer[..read]);
        sha256.update(&buffer[..read]);
        sha512.update(&buffer[..read]);
    }
    if let Err(mismatch) = checker.finish() {
        let problem = format!(
            "was changed in the store: {mismatch} ({}); restore it from a mirror or a backup, and find out \
             what changed it",
            key.path()
        );
        return Ok(Err(problem));
    }
    let mut digests = ([0; 32], [0; 64]);
    digests.0.copy_from_slice(sha256.finish().as_ref());
    digests.1.copy_from_slice(sha512.finish().as_ref());
    Ok(Ok((Sha256(digests.0), Sha512(digests.1))))
}
