//! Keeping what is in memory there: out of swap, out of core dumps, out of other programs' sight.

use std::fs;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::failure::{Exit, Failure};

/// What could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// All memory of this process is locked.
    Locked,
    /// It is not, and there is no swap that it could go to.
    NoSwap,
    /// It is not, and there is swap.
    Swappable,
}

impl Kept {
    /// As a line for the transcript.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Locked => "memory is locked: no key in it reaches a disk",
            Self::NoSwap => {
                "memory could not be locked, and this machine has no swap: no key in it reaches a disk"
            }
            Self::Swappable => {
                "memory could not be locked, and this machine has swap: keys could reach a disk"
            }
        }
    }

    /// Refuses memory that a disk may keep.
    pub(crate) fn require(self) -> Result<(), Failure> {
        match self {
            Self::Locked | Self::NoSwap => Ok(()),
            Self::Swappable => Err(Failure::new(
                Exit::Failed,
                "keys in memory could be swapped to a disk, where they stay",
                "switch swap off (`swapoff -a` as root), or lift the limit on locked memory (`ulimit -l \
                 unlimited` as root), and begin again",
            )),
        }
    }
}

/// Locks all memory that this process has and will have, and forbids core dumps.
pub(crate) fn lock() -> Kept {
    // Neither fails where it matters: one lowers a limit, the other asks for less.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        Ok(()) => Kept::Locked,
        Err(_) if has_swap() => Kept::Swappable,
        Err(_) => Kept::NoSwap,
    }
}

/// Whether pages of this process could be written to swap. Where that cannot be found out they could.
fn has_swap() -> bool {
    // A line of headings, and one for each swap that is in use.
    fs::read_to_string("/proc/swaps").map_or(true, |swaps| swaps.lines().count() > 1)
}
