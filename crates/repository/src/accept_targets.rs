//! Taking changes of targets into the journal.

use crate::database::{
    AddTarget, AppendedTargets, Conflict, Expected, IdempotencyKey, TargetsAppend, TargetsEntry,
};
use crate::error::Error;
use crate::repository::Repository;
use crate::target_changes::TargetChanges;

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
    pub fn accept_targets(
        &self,
        mut changes: TargetChanges,
        by: String,
        key: Option<&IdempotencyKey>,
    ) -> Result<AcceptedTargets, Error> {
        let replace = std::mem::take(&mut changes.replace);
        let entry = changes.into_entry(by);
        for _ in 0..ATTEMPTS {
            let read_at = self.database().published_serial()?;
            let expected = self.expected(&entry, &replace)?;
            let append = TargetsAppend { entry: &entry, expected: &expected, read_at, key };
            match self.database().append_targets(&append)? {
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
                AppendedTargets::Stale => {}
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
