//! Which writes fail, and how, of a [store](crate::faulty_store), a [database](crate::faulty_database),
//! or of both together in one count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much of a failing write is done nevertheless. Calls of a store make no promise about the order of
/// their parts, so either half may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It failed.
    Nothing,
    /// It failed on the way.
    FirstHalf,
    /// It failed on the way, having begun at the end.
    SecondHalf,
    /// It failed but persisted.
    All,
}

impl Fault {
    /// All of them.
    pub const EACH: [Self; 4] = [Self::Nothing, Self::FirstHalf, Self::SecondHalf, Self::All];

    /// Those that differ for a method: only some writes of a store have parts.
    pub fn of(method: &str) -> &'static [Self] {
        match method {
            "create" | "create_from_file" | "link" => &Self::EACH,
            _ => &[Self::Nothing, Self::All],
        }
    }

    /// The parts of a call that are done.
    pub(crate) fn part<T>(self, parts: &[T]) -> &[T] {
        let middle = parts.len() / 2;
        match self {
            Self::Nothing => &[],
            Self::FirstHalf => &parts[..middle],
            Self::SecondHalf => &parts[middle..],
            Self::All => parts,
        }
    }

    /// Whether a call without parts is done.
    pub(crate) fn is_done(self) -> bool {
        matches!(self, Self::SecondHalf | Self::All)
    }
}

/// The plan of what fails; clones are the same one. It outlives what it makes fail, as a test outlives
/// the processes that it restarts.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

#[derive(Debug, Default)]
struct Plan {
    /// Writes so far, by method.
    calls: Vec<&'static str>,
    /// Which of them fail: from this one, so many.
    fail: Vec<(usize, usize, Fault)>,
    failed: usize,
    /// How many reads go well before one fails.
    read_fails_after: Option<usize>,
    /// The write of a database that finds the disk full, once.
    full: Option<&'static str>,
}

impl Faults {
    /// Lets `count` writes fail, from the write number `from` since the beginning, and no others.
    pub fn fail(&self, from: usize, count: usize, fault: Fault) {
        self.plan().fail = vec![(from, count, fault)];
    }

    /// Lets one more write fail.
    pub fn fail_also(&self, call: usize, fault: Fault) {
        self.plan().fail.push((call, 1, fault));
    }

    /// Lets one read of a database fail after `reads` others, once.
    pub fn fail_read_after(&self, reads: usize) {
        self.plan().read_fails_after = Some(reads);
    }

    /// Whether a read that was to fail has not come yet.
    pub fn read_is_to_fail(&self) -> bool {
        self.plan().read_fails_after.is_some()
    }

    /// Lets the next call of a method of a database find the disk full.
    pub fn find_full(&self, method: &'static str) {
        self.plan().full = Some(method);
    }

    /// Whether this call does.
    pub(crate) fn finds_full(&self, method: &'static str) -> bool {
        self.plan().full.take_if(|full| *full == method).is_some()
    }

    /// The writes so far.
    pub fn calls(&self) -> Vec<&'static str> {
        self.plan().calls.clone()
    }

    /// How many writes and reads failed.
    pub fn failed(&self) -> usize {
        self.plan().failed
    }

    /// Counts a write, and says whether and how it fails.
    pub(crate) fn write(&self, method: &'static str) -> Option<Fault> {
        let mut plan = self.plan();
        let call = plan.calls.len();
        plan.calls.push(method);
        let fails = |&&(from, count, _): &&(usize, usize, Fault)| {
            (from..from.saturating_add(count)).contains(&call)
        };
        let fault = plan.fail.iter().find(fails).map(|(.., fault)| *fault);
        plan.failed += usize::from(fault.is_some());
        fault
    }

    /// Whether a read fails.
    pub(crate) fn read(&self) -> bool {
        let mut plan = self.plan();
        match plan.read_fails_after {
            None => false,
            Some(0) => {
                plan.read_fails_after = None;
                plan.failed += 1;
                true
            }
            Some(more) => {
                plan.read_fails_after = Some(more - 1);
                false
            }
        }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
