//! Uploads at a steady rate for some minutes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::child::{self, Sustained};
use crate::prepared::Prepared;
use crate::published::Published;
use crate::scale::{Scale, Size};

/// How often what is superseded is deleted, in place of `waxseal repo gc`.
const CLEANING: Duration = Duration::from_secs(5);

/// One steady rate at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) rate: u32,
    pub(crate) outcome: Sustained,
    pub(crate) kept_up: bool,
    /// The p99 is under a second as well.
    pub(crate) reached: bool,
    pub(crate) peak_kib: u64,
}

/// Uploads of three targets each. The index is not as it was afterwards, so it goes.
pub(super) fn row(scale: &Scale, size: Size) -> Row {
    let prepared = Prepared::get(size.targets, scale.bins);
    let (rate, seconds) = (size.rate, scale.seconds);
    let work = format!("{rate} uploads a second of three targets for {seconds} s, {}", size.name);
    eprintln!("{work} …");
    let seed = 1_000 + Published::read(&prepared.data).version;
    let done = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let cleaning = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // The batch at hand still reads what was published when it began.
                let published = Published::read(&prepared.data);
                thread::park_timeout(CLEANING);
                published.delete_older();
            }
        });
        let outcome = child::run(&prepared.data, child::Work::Sustain { seed, rate, seconds });
        done.store(true, Ordering::Relaxed);
        cleaning.thread().unpark();
        outcome
    });
    Prepared::remove_if_there(size.targets, scale.bins);
    let sustained = outcome.sustained.unwrap();
    let kept_up = sustained.kept_up(rate);
    let reached = kept_up && sustained.p99 < 1.0;
    Row { work, rate, outcome: sustained, kept_up, reached, peak_kib: outcome.peak_kib }
}
