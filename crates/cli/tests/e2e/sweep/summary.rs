//! Runs side by side, and what became of them.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::faults::{Fault, Runs, Sweep};

/// What one run saw.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether the call was reached.
    pub(super) injected: bool,
    /// What was left, in words.
    pub(super) left: Vec<&'static str>,
    /// How an upload was answered, or how a command ended; `None`: not at all.
    pub(super) answers: Vec<Option<u16>>,
}

/// What became of a sweep.
#[derive(Debug, Default)]
struct Summary {
    /// Calls that were reached.
    injected: usize,
    /// What each kind of leftover was found how often.
    left: BTreeMap<&'static str, usize>,
    /// How often each answer was given: 0 is no answer.
    answers: BTreeMap<u16, usize>,
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        if !outcome.injected {
            return;
        }
        self.injected += 1;
        for left in &outcome.left {
            *self.left.entry(left).or_default() += 1;
        }
        for answer in &outcome.answers {
            *self.answers.entry(answer.unwrap_or(0)).or_default() += 1;
        }
    }
}

/// What became of all sweeps.
pub(super) struct Summaries<W>(BTreeMap<Sweep<W>, Summary>);

impl<W: Copy + Ord + Debug + Send> Summaries<W> {
    /// Does every run, some at a time, and shows what came of them. It fails where one of them did, when
    /// all are done. The table stays in the file `name` below `target`.
    pub(super) fn of(
        name: &str,
        runs: Runs<W>,
        run: impl Fn(Sweep<W>, usize) -> Outcome + Sync,
    ) -> Self {
        let begun = Instant::now();
        let runs = runs.mixed();
        let count = runs.len();
        let runs = Mutex::new(runs);
        let summaries: Mutex<BTreeMap<Sweep<W>, Summary>> = Mutex::default();
        let failures = Mutex::new(Vec::new());
        let next = || runs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while let Some((sweep, n)) = next() {
                        match catch_unwind(AssertUnwindSafe(|| run(sweep, n))) {
                            Ok(outcome) => {
                                let mut summaries =
                                    summaries.lock().unwrap_or_else(PoisonError::into_inner);
                                summaries.entry(sweep).or_default().add(&outcome);
                            }
                            Err(_) => failures.lock().unwrap().push((sweep, n)),
                        }
                    }
                });
            }
        });
        let this = Self(summaries.into_inner().unwrap());
        let table = format!("{}of {count} runs, in {:.0?}\n", this.table(), begun.elapsed());
        eprintln!("{table}");
        fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &table).unwrap();
        let failures = failures.into_inner().unwrap();
        assert!(failures.is_empty(), "{} runs failed: {failures:?}", failures.len());
        this
    }

    /// How many calls were reached with this fault.
    pub(super) fn injected(&self, watched: W, fault: Fault) -> usize {
        let these =
            self.0.iter().filter(|(sweep, _)| sweep.watched == watched && sweep.fault == fault);
        these.map(|(_, summary)| summary.injected).sum()
    }

    fn table(&self) -> String {
        let mut table = String::new();
        let total: usize = self.0.values().map(|summary| summary.injected).sum();
        for (sweep, Summary { injected, left, answers }) in &self.0 {
            let Sweep { watched, fault, calls } = sweep;
            let _ = writeln!(
                table,
                "{watched:?} {fault:?} {calls}: {injected}, left {left:?}, answers {answers:?}"
            );
        }
        let _ = writeln!(table, "{total} injections");
        table
    }
}
