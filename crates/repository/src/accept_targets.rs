//! Taking changes of targets into the journal.

use std::sync::Arc;

use crate::bins::Bins;
use crate::database::{
    AddTarget, AppendedTargets, Conflict, Database, Expected, IdempotencyKey, TargetsAppend,
    TargetsEntry,
};
use crate::error::Error;
use crate::repository::Repository;
use crate::target_changes::{MAX_CHANGES, TargetChanges};
use crate::together::Together;

/// How often what is published is read before giving up. Reading it has a minute each time.
const ATTEMPTS: u32 = 3;

/// What became of changes of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedTargets {
    /// They are in the journal for good, all of them.
    New {
        /// Their serial.
        serial: u64,
    },
    /// They were accepted before, with the same key.
    Repeated {
        /// The serial they got then.
        serial: u64,
    },
    /// The key was used for other changes; nothing changed.
    KeyUsed,
    /// Paths stand against them; nothing changed.
    Refused {
        /// Those paths, [`MAX_CONFLICTS`](crate::database::MAX_CONFLICTS) of them at most.
        conflicts: Vec<Conflict>,
    },
}

impl Repository {
    /// Takes changes of targets into the journal, all or none, as one entry: when this returns, they
    /// are there for good, and the snapshot process knows of them. `by` is the name of the token they
    /// came with.
    ///
    /// A path whose content would change is refused unless the changes say that it is replaced, and
    /// so is one that belongs to uploads. Entries that wait to be published count as if they were.
    /// [`Error::NoSpace`] when so little space is left that the snapshot process needs it, and
    /// [`Error::BinFull`] when a bin would become longer than clients read.
    pub fn accept_targets(
        &self,
        mut changes: TargetChanges,
        by: String,
        mut key: Option<IdempotencyKey>,
    ) -> Result<AcceptedTargets, Error> {
        self.check_space()?;
        let replace = std::mem::take(&mut changes.replace);
        let mut entry = changes.into_entry(by);
        for _ in 0..ATTEMPTS {
            let read_at = self.database().published_serial()?;
            let expected = self.current_bins().consistently(|| self.expected(&entry, &replace))?;
            let request = Arc::new(Request { entry, expected, bins: self.bins(), read_at, key });
            let appended = self.target_appends().ask(
                Arc::clone(&request),
                MAX_CHANGES,
                |request| request.entry.add.len() + request.entry.remove.len(),
                |group| append(self.database(), group),
            );
            match appended? {
                AppendedTargets::New(serial) => {
                    self.request_publish();
                    return Ok(AcceptedTargets::New { serial });
                }
                AppendedTargets::Repeated(serial) => {
                    return Ok(AcceptedTargets::Repeated { serial });
                }
                AppendedTargets::KeyUsed => return Ok(AcceptedTargets::KeyUsed),
                AppendedTargets::Refused(conflicts) => {
                    return Ok(AcceptedTargets::Refused { conflicts });
                }
                AppendedTargets::Full(full) => return Err(self.bin_full(full)),
                AppendedTargets::Stale => (entry, key) = Request::take(request),
            }
        }
        Err(Error::Overtaken)
    }

    /// Wakes the snapshot process, which publishes what waits and then what runs out.
    pub fn request_publish(&self) {
        self.wake().wake();
    }

    /// What may be at the path of each target to add. Each bin is read once.
    fn expected(&self, entry: &TargetsEntry, replace: &[bool]) -> Result<Vec<Expected>, Error> {
        let mut expected = vec![Expected::Anything; entry.add.len()];
        let mut asked: Vec<_> = entry.add.iter().enumerate().collect();
        asked.retain(|(number, _)| !replace[*number]);
        let bin_of = |target: &AddTarget| self.bins().bin_of(&target.path);
        asked.sort_by_cached_key(|(_, target)| (bin_of(target), target.path.clone()));
        for asked in asked.chunk_by(|(_, a), (_, b)| bin_of(a) == bin_of(b)) {
            let paths: Vec<_> = asked.iter().map(|(_, target)| &target.path).collect();
            let files = self.targets_in_bin(bin_of(asked[0].1), &paths)?;
            for ((number, _), file) in asked.iter().zip(files) {
                let gives_way = Self::is_empty_list(&entry.add[*number].path, file.as_ref());
                expected[*number] = Expected::Same(file.filter(|_| !gives_way));
            }
        }
        Ok(expected)
    }
}

/// Requests that are appended in one commit.
pub(crate) type TargetsTogether = Together<Arc<Request>, Result<AppendedTargets, Error>>;

/// One of them.
#[derive(Debug)]
pub(crate) struct Request {
    entry: TargetsEntry,
    expected: Vec<Expected>,
    bins: Bins,
    read_at: u64,
    key: Option<IdempotencyKey>,
}

impl Request {
    fn append(&self) -> TargetsAppend<'_> {
        let Self { entry, expected, bins, read_at, key } = self;
        TargetsAppend { entry, expected, bins: *bins, read_at: *read_at, key: key.as_ref() }
    }

    /// What is needed to ask again. Nobody else has it any more.
    fn take(request: Arc<Self>) -> (TargetsEntry, Option<IdempotencyKey>) {
        match Arc::try_unwrap(request) {
            Ok(request) => (request.entry, request.key),
            Err(shared) => (shared.entry.clone(), shared.key.clone()),
        }
    }
}

fn append(database: &dyn Database, group: &[&Arc<Request>]) -> Vec<Result<AppendedTargets, Error>> {
    let appends: Vec<_> = group.iter().map(|request| request.append()).collect();
    match database.append_targets(&appends) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) if group.len() == 1 => vec![Err(error)],
        // Nobody waits for another process once more, one after the other.
        Err(error) if error.is_lock_held() => error.for_each(group.len()).map(Err).collect(),
        // All of it may be recorded nevertheless. One may be to blame for the failure: whoever has a key,
        // which tells a repetition, is tried alone, for an answer of its own.
        Err(error) => {
            let each = group.iter().zip(error.for_each(group.len()));
            let answers = each.flat_map(|(request, error)| match request.key {
                Some(_) => append(database, &[request]),
                None => vec![Err(error)],
            });
            answers.collect()
        }
    }
}
