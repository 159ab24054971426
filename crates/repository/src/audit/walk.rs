//! The audit of an index that may be far away: everything that a client could ask for, from a root that
//! is known from elsewhere.
//!
//! It asks for files by their names and lists none, so that any place that has them will do. Bins are
//! looked at by several threads, each of which holds one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::{Root, TargetFile, Targets, Unverified};
use waxseal_tuf::verify::Verified;
use waxseal_tuf::{RoleName, TargetPath};

use super::bins::VerifiedBin;
use super::metadata::Signed;
use super::record::Record;
use super::report::{Kind, Report};
use super::targets::check_bytes;
use super::{Auditor, METADATA_LIMIT, Progress, Settings, metadata_key};
use crate::ceremony::BINS;
use crate::error::{Error, StoreError};
use crate::repository::{ROOT, SNAPSHOT, TIMESTAMP};
use crate::store::{Store, StoreKey};

/// Where the bytes of targets come from.
pub trait TargetBytes: Sync {
    /// Reads the file of a target to its end.
    fn check(&self, key: &StoreKey, file: &TargetFile) -> Result<Checked, StoreError>;
}

/// The targets in a store.
#[derive(Debug, Clone, Copy)]
pub struct StoredTargets<'a>(pub &'a dyn Store);

impl TargetBytes for StoredTargets<'_> {
    fn check(&self, key: &StoreKey, file: &TargetFile) -> Result<Checked, StoreError> {
        let Some(object) = self.0.open(key)? else { return Ok(Checked::Absent) };
        if object.length != file.length {
            let (length, says) = (object.length, file.length);
            return Ok(Checked::Wrong(format!("has {length} bytes, and its target says {says}")));
        }
        let path = key.path().into();
        let failed = |source| StoreError::Io { action: "read", path, source };
        let checked = check_bytes(object, file, 0).map_err(failed)?;
        Ok(checked.map_or_else(Checked::Wrong, |_| Checked::Right))
    }
}

/// What the file of a target is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// What its metadata says.
    Right,
    /// Something else.
    Wrong(String),
    /// Not there.
    Absent,
}

/// What is known of an index from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256 of its first root.
    Fingerprint(Sha256),
    /// A root of it, of any version.
    Root(Vec<u8>),
}

/// How to walk.
#[derive(Debug, Clone, Copy)]
pub struct WalkSettings<'a> {
    /// The time by which metadata is expired or not, and whether all targets are fetched and hashed.
    pub audit: Settings,
    /// What is known from elsewhere.
    pub pin: &'a Pin,
    /// What an earlier audit found, which must not have gone back or changed.
    pub since: Option<&'a Record>,
    /// How many bins are looked at at a time.
    pub threads: usize,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// What is wrong, and what was checked.
    pub report: Report,
    /// Versions and digests, for a later walk; `None` where the index could not be followed to its bins.
    pub record: Option<Record>,
}

/// Bins whose targets were all right in an audit that was interrupted, by role and digest.
pub trait Done: Sync {
    /// Whether all targets of this bin were right.
    fn contains(&self, role: &RoleName, sha256: Sha256) -> bool;

    /// Remembers that they were.
    fn add(&self, role: &RoleName, sha256: Sha256) -> Result<(), Error>;
}

/// Where the files of an index come from.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its metadata.
    pub store: &'a dyn Store,
    /// Its targets.
    pub targets: &'a dyn TargetBytes,
    /// What an audit that was interrupted has seen of those.
    pub done: Option<&'a dyn Done>,
}

/// Walks through an index.
pub fn walk(
    place: Place<'_>,
    settings: WalkSettings<'_>,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Walked, Error> {
    let mut record = Record::new(settings.audit.now);
    let mut ignored = |_| {};
    let mut auditor = Auditor::of_store(place.store, settings.audit, &mut ignored);
    let is_pinned = auditor.is_pinned(settings.pin)?;
    let signed = if is_pinned { auditor.top_level()? } else { None };
    let Some(signed) = signed else {
        return Ok(Walked { report: auditor.report.finished(), record: None });
    };
    auditor.record_top_level(&signed, &mut record)?;
    let mut report = auditor.report;
    let found = bins(place, settings, &signed, progress)?;
    for (part, files) in found {
        report.add(part);
        for (role, version, sha256) in files {
            record.add(&role, version, sha256);
        }
    }
    if let Some(since) = settings.since {
        record.compare(since, &mut report);
    }
    Ok(Walked { report: report.finished(), record: Some(record) })
}

impl Auditor<'_> {
    /// Whether the index has the root that is known from elsewhere; that it has not is found.
    pub(super) fn is_pinned(&mut self, pin: &Pin) -> Result<bool, Error> {
        let version = match pin {
            Pin::Fingerprint(_) => 1,
            Pin::Root(bytes) => {
                Unverified::<Root>::parse(bytes)
                    .map_err(|problem| Error::MetadataDamaged {
                        file: "the root".to_owned(),
                        problem,
                    })?
                    .claims()
                    .version
            }
        };
        let key = metadata_key(&ROOT, version);
        // Where not even this can be read, there is nothing to audit.
        let Some(bytes) = self.store.read(&key, METADATA_LIMIT)? else {
            self.find(
                Kind::Missing,
                key.path(),
                "is not there, and it is the root that is trusted",
            );
            return Ok(false);
        };
        let is_it = match pin {
            Pin::Fingerprint(expected) => Sha256::of(&bytes) == *expected,
            Pin::Root(expected) => bytes == *expected,
        };
        if !is_it {
            let problem =
                format!("is not the root that is trusted: it has SHA-256 {}", Sha256::of(&bytes));
            self.find(Kind::OtherRoot, key.path(), problem);
        }
        Ok(is_it)
    }

    fn record_top_level(&mut self, signed: &Signed, record: &mut Record) -> Result<(), Error> {
        for version in 1..=signed.trusted.root().version {
            if let Some(bytes) = self.read(&metadata_key(&ROOT, version), METADATA_LIMIT)? {
                record.add_root(version, Sha256::of(&bytes));
            }
        }
        let trusted = &signed.trusted;
        let timestamp = (trusted.timestamp().version, Sha256::of(trusted.timestamp().bytes()));
        record.add(&TIMESTAMP, timestamp.0, timestamp.1);
        let snapshot = (trusted.snapshot().version, Sha256::of(trusted.snapshot().bytes()));
        record.add(&SNAPSHOT, snapshot.0, snapshot.1);
        let bins = &signed.delegator;
        record.add(&BINS, bins.version, Sha256::of(bins.bytes()));
        if let Some(listed) = trusted.snapshot().roles.get(&RoleName::targets()) {
            let key = metadata_key(&RoleName::targets(), listed.version);
            if let Some(bytes) = self.read(&key, METADATA_LIMIT)? {
                record.add(&RoleName::targets(), listed.version, Sha256::of(&bytes));
            }
        }
        Ok(())
    }
}

/// Versions and digests of some bins.
type BinFiles = Vec<(RoleName, u64, Sha256)>;

/// Looks at every bin, and its targets.
fn bins(
    place: Place<'_>,
    settings: WalkSettings<'_>,
    signed: &Signed,
    progress: &mut (dyn FnMut(Progress) + Send),
) -> Result<Vec<(Report, BinFiles)>, Error> {
    let (next, total) = (AtomicUsize::new(0), signed.bins.count() as usize);
    let progress = Mutex::new(progress);
    let work = || -> Result<(Report, BinFiles), Error> {
        let mut ignored = |_| {};
        let mut auditor = Auditor::of_store(place.store, settings.audit, &mut ignored);
        let mut files = BinFiles::new();
        loop {
            let bin = next.fetch_add(1, Ordering::Relaxed);
            if bin >= total {
                return Ok((auditor.report, files));
            }
            let told = Progress { what: "bins", done: bin as u64, total: total as u64 };
            progress.lock().unwrap_or_else(PoisonError::into_inner)(told);
            let bin = u32::try_from(bin).unwrap_or(u32::MAX);
            files.extend(auditor.walk_bin(signed, bin, place)?);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..settings.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    })
}

impl Auditor<'_> {
    /// Verifies a bin, and looks at its targets unless that was done.
    fn walk_bin(
        &mut self,
        signed: &Signed,
        bin: u32,
        place: Place<'_>,
    ) -> Result<Option<(RoleName, u64, Sha256)>, Error> {
        let before = self.report.counts.findings;
        let Some(read) = self.verified_bin(signed, bin)? else { return Ok(None) };
        let VerifiedBin { role, bytes, targets: verified, .. } = read;
        let sha256 = Sha256::of(&bytes);
        let was_done = place.done.is_some_and(|done| done.contains(&role, sha256));
        let targets = Some(place.targets).filter(|_| self.settings.deep && !was_done);
        self.walk_targets(signed, bin, &verified, targets)?;
        if let (Some(done), Some(_)) = (place.done, targets)
            && self.report.counts.findings == before
        {
            done.add(&role, sha256)?;
        }
        Ok(Some((role, verified.version, sha256)))
    }

    fn walk_targets(
        &mut self,
        signed: &Signed,
        bin: u32,
        targets: &Verified<Targets>,
        bytes: Option<&dyn TargetBytes>,
    ) -> Result<(), Error> {
        for (path, file) in &targets.targets {
            let Some(path) = self.placed(signed, bin, path, file) else { continue };
            if let Some(bytes) = bytes {
                self.walk_target(bytes, &path, file)?;
            }
        }
        Ok(())
    }

    fn walk_target(
        &mut self,
        bytes: &dyn TargetBytes,
        path: &TargetPath,
        file: &TargetFile,
    ) -> Result<(), Error> {
        // Files are kept under the digests that are known here.
        let mut names = file.hashes.known().peekable();
        if names.peek().is_none() {
            self.report.counts.elsewhere += 1;
            return Ok(());
        }
        let mut is_right = true;
        // A client may ask for any of them.
        for digest in names {
            let key = StoreKey::Target { path: path.clone(), digest };
            match bytes.check(&key, file) {
                Ok(Checked::Right) => continue,
                Ok(Checked::Wrong(problem)) => self.find(Kind::TargetChanged, key.path(), problem),
                Ok(Checked::Absent) => {
                    self.find(Kind::TargetMissing, key.path(), "is a target, and not there");
                }
                Err(error) => self.unreadable(&key, error)?,
            }
            is_right = false;
        }
        if is_right {
            self.report.counts.target_files += 1;
            self.report.counts.hashed += 1;
        }
        Ok(())
    }
}
