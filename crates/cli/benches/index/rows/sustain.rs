//! Uploads at a steady rate for some minutes.

use serde::Serialize;

use crate::child::{self, Sustained};
use crate::prepared::Prepared;
use crate::published::Published;
use crate::scale::{Scale, Size};

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

/// Uploads of three targets each. Nothing is deleted meanwhile: what is superseded is
/// kept for an hour. The index is not as it was afterwards, so it goes.
pub(super) fn row(scale: &Scale, size: Size) -> Row {
    let prepared = Prepared::get(size.targets, scale);
    let (rate, seconds) = (size.rate, scale.seconds);
    let work = format!("{rate} uploads a second of three targets for {seconds} s, {}", size.name);
    eprintln!("{work} …");
    let seed = 1_000 + Published::read(&prepared.data).version;
    let outcome = child::run(&prepared.data, child::Work::Sustain { seed, rate, seconds });
    Prepared::remove_if_there(size.targets, scale);
    let sustained = outcome.sustained.unwrap();
    let kept_up = sustained.kept_up(rate);
    let reached = kept_up && sustained.p99 < 1.0;
    Row { work, rate, outcome: sustained, kept_up, reached, peak_kib: outcome.peak_kib }
}
