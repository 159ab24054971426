//! What goes wrong, and at which call: the runs of a sweep.

use std::collections::{BTreeSet, VecDeque};

use super::strace::Counts;

/// Calls by which the index changes something on disk, or asks for it; how far apart those are that are
/// tried; and which errors a disk answers them with.
const CALLS: [(&str, usize, &[Fault]); 11] = [
    ("fsync", 1, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("fdatasync", 1, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("syncfs", 1, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("rename,renameat,renameat2", 1, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("link,linkat", 2, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("unlink,unlinkat", 3, &[Fault::Kill, Fault::Broken]),
    ("mkdir,mkdirat", 1, &[Fault::Kill, Fault::Full]),
    ("ftruncate,fallocate", 1, &[Fault::Kill, Fault::Full]),
    ("write", 3, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("pwrite64", 7, &[Fault::Kill, Fault::Full, Fault::Broken]),
    ("openat,open", 7, &[Fault::Kill, Fault::Broken]),
];

/// What a full disk refuses, from the Nth such call on.
const GROWING: &str = "pwrite64,link,linkat,mkdir,mkdirat,ftruncate,fallocate";

/// What a disk refuses, from the Nth such call on, when its file system looks for space late.
const SYNCING: &str = "fsync,fdatasync,syncfs";

/// What happens at the Nth call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// SIGKILL.
    Kill,
    /// This one finds no space.
    Full,
    /// This one and every later one finds no space, until some is made.
    StaysFull,
    /// This one finds a broken disk.
    Broken,
}

impl Fault {
    /// What `strace` is told.
    pub(super) fn inject(self, n: usize) -> String {
        match self {
            Self::Kill => format!("signal=KILL:when={n}"),
            Self::Full => format!("error=ENOSPC:when={n}"),
            Self::StaysFull => format!("error=ENOSPC:when={n}+"),
            Self::Broken => format!("error=EIO:when={n}"),
        }
    }
}

/// Calls of one kind in what is watched, and a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sweep<W> {
    pub(super) watched: W,
    pub(super) fault: Fault,
    pub(super) calls: &'static str,
}

/// The runs of sweeps: each with the number of the call that goes wrong.
pub(super) struct Runs<W> {
    is_full: bool,
    runs: Vec<(Sweep<W>, usize)>,
}

impl<W: Copy + Ord> Runs<W> {
    /// None yet; `WAXSEAL_SWEEP` says whether a sample will do.
    pub(super) fn new() -> Self {
        let is_full = std::env::var("WAXSEAL_SWEEP").is_ok_and(|sweep| sweep == "full");
        Self { is_full, runs: Vec::new() }
    }

    /// Every kind of call and fault, with what an undisturbed run calls. A sample takes one call of so
    /// many as usual for its kind, times `thinner`.
    pub(super) fn each_call(&mut self, watched: W, counts: &Counts, thinner: usize) {
        for (number, (calls, step, faults)) in CALLS.into_iter().enumerate() {
            for (offset, fault) in faults.iter().enumerate() {
                let sweep = Sweep { watched, fault: *fault, calls };
                self.sweep(sweep, counts, step * thinner, number + offset);
            }
        }
    }

    /// A disk that is full from some call on.
    pub(super) fn stays_full(&mut self, watched: W, counts: &Counts) {
        let mut sweep = |calls, step| {
            self.sweep(Sweep { watched, fault: Fault::StaysFull, calls }, counts, step, 0);
        };
        sweep(GROWING, 8);
        sweep(SYNCING, 1);
    }

    fn sweep(&mut self, sweep: Sweep<W>, counts: &Counts, step: usize, offset: usize) {
        let step = if self.is_full { 1 } else { step };
        let most = counts.most(sweep.calls);
        // Runs differ by a few calls.
        let last = most + usize::from(most > 0);
        let all = (1 + offset % step..=last).step_by(step);
        let possible =
            |n: &usize| sweep.fault == Fault::Kill || !counts.is_off_disk(sweep.calls, *n);
        self.runs.extend(all.filter(possible).map(|n| (sweep, n)));
    }

    /// Long and short runs mixed, so that none is left alone at the end.
    pub(super) fn mixed(mut self) -> VecDeque<(Sweep<W>, usize)> {
        self.runs.sort_by_key(|(sweep, n)| (n * 7919 % 101, *sweep, *n));
        self.runs.into()
    }
}

/// Every call that a sweep is about, as `strace` is told.
pub(super) fn all_calls() -> String {
    let calls: BTreeSet<_> = CALLS.iter().flat_map(|(calls, ..)| calls.split(',')).collect();
    calls.into_iter().collect::<Vec<_>>().join(",")
}
