//! The bytes of large files: they are hashed on all cores, many at a time, and an audit that was interrupted
//! leaves out the bins whose files were all right.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;
use waxseal_tuf::metadata::TargetFile;

use super::Auditor;
use super::report::Kind;
use super::targets::check_bytes;
use super::walk::Done;
use crate::cores;
use crate::error::{Error, StoreError};
use crate::store::StoreKey;

/// How many files are gathered at most, and about how many bytes of them.
const MOST_FILES: usize = 1024;
const MOST_BYTES: u64 = 256 << 20;

/// Large files that are to be hashed.
#[derive(Default)]
pub(super) struct Large<'a> {
    /// What an audit that was interrupted has seen.
    pub(super) done: Option<&'a dyn Done>,
    /// Whether the files of the bin that is read were all right then.
    was_done: bool,
    files: Vec<(StoreKey, TargetFile)>,
    bytes: u64,
    /// Bins that are read, all files of which are among those.
    bins: Vec<(RoleName, Sha256)>,
    /// How much was found when the first of them was begun.
    findings: u64,
}

impl Auditor<'_> {
    /// A bin is read from here on.
    pub(super) fn begin_large(&mut self, role: &RoleName, sha256: Sha256) {
        self.large.was_done = self.large.done.is_some_and(|done| done.contains(role, sha256));
    }

    /// All files of the bin were looked at, but for what is gathered.
    pub(super) fn end_large(&mut self, role: RoleName, sha256: Sha256) -> Result<(), Error> {
        if !std::mem::take(&mut self.large.was_done) {
            self.large.bins.push((role, sha256));
        }
        match self.large.files.len() >= MOST_FILES || self.large.bytes >= MOST_BYTES {
            true => self.hash_large(),
            false => Ok(()),
        }
    }

    /// Has a file hashed, if it was not before.
    pub(super) fn gather_large(&mut self, key: &StoreKey, file: &TargetFile) {
        if !self.large.was_done {
            self.large.bytes += file.length;
            self.large.files.push((key.clone(), file.clone()));
        }
    }

    /// Hashes what is gathered.
    pub(super) fn hash_large(&mut self) -> Result<(), Error> {
        let files = std::mem::take(&mut self.large.files);
        self.large.bytes = 0;
        let (store, next) = (self.store, AtomicUsize::new(0));
        // A file may have as many bytes as all others: whoever is free takes the next.
        let work = || {
            let mut found = Vec::new();
            while let Some((key, file)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                found.push((key, hash(store, key, file)));
            }
            found
        };
        let mut found: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..cores::count().min(files.len())).map(|_| scope.spawn(work)).collect();
            let join = |thread: thread::ScopedJoinHandle<'_, _>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().flat_map(join).collect()
        });
        found.sort_by_key(|(key, _)| *key);
        for (key, hashed) in found {
            match hashed {
                Ok(Ok(())) => self.report.counts.hashed += 1,
                Ok(Err(problem)) => self.find(Kind::TargetChanged, key.path(), problem),
                Err(error) => self.unreadable(key, error)?,
            }
        }
        let bins = std::mem::take(&mut self.large.bins);
        if let Some(done) = self.large.done
            && self.report.counts.findings == self.large.findings
        {
            bins.iter().try_for_each(|(role, sha256)| done.add(role, *sha256))?;
        }
        self.large.findings = self.report.counts.findings;
        Ok(())
    }
}

fn hash(
    store: &dyn crate::store::Store,
    key: &StoreKey,
    file: &TargetFile,
) -> Result<Result<(), String>, StoreError> {
    let Some(object) = store.open(key)? else {
        return Ok(Err("was there a moment ago, and is gone".to_owned()));
    };
    let path = key.path().into();
    let failed = |source| StoreError::Io { action: "read", path, source };
    Ok(check_bytes(object, file, 0).map_err(failed)?.map(drop))
}
