//! Signing every bin again.

use waxseal_testkit::stopwatch::Taken;

use super::{PythonTuf, Row};
use crate::child;
use crate::floor::Work;
use crate::prepared::Prepared;
use crate::published::Published;
use crate::scale::{Scale, Size};

/// Every bin of an index of this size.
pub(super) fn row(scale: &Scale, size: Size) -> Row {
    let prepared = Prepared::get(size.targets, scale);
    let work = format!("signing every bin again, {}", size.name);
    eprintln!("{work} …");
    let before = Published::read(&prepared.data);
    let bins = before.bins();
    let sampled = bins.min(size.python_bins);
    let mut python = PythonTuf::start(scale);
    let theirs = python.as_mut().map(|python| {
        let sample: Vec<u32> = (0..sampled).map(|n| n * (bins / sampled)).collect();
        python.peer.open(&before, &sample);
        let [signed, published] = python.peer.resign();
        let factor = bins / sampled;
        Taken {
            cpu: signed.cpu * factor + published.cpu,
            wall: signed.wall * factor + published.wall,
        }
    });
    let outcome = child::run(&prepared.data, child::Work::Resign);
    let after = Published::read(&prepared.data);
    let renewed = (0..bins).all(|bin| after.bin_file(bin) != before.bin_file(bin));
    assert!(renewed, "every bin was to be signed again");
    let signed = Work { bins: after.bin_sizes(0..bins), snapshot: after.snapshot_size() };
    let mut row = Row::of(work, outcome.runs, theirs.as_slice());
    row = row.with_floor(scale, &signed, python.as_mut().map(|python| &mut python.peer));
    if sampled < bins && theirs.is_some() {
        let sample = format!("; python-tuf's figure is that of {sampled} bins, scaled");
        row.note.push_str(&sample);
    }
    row.peak_kib = Some(outcome.peak_kib);
    aim(row)
}

/// Ten times python-tuf's speed, and twice the floor.
pub(super) fn aim(row: Row) -> Row {
    let row = row.aim_at_python(10.0);
    let near = row.to_floor().is_some_and(|times| times <= 2.0);
    let reached = row.reached.map(|reached| reached && near);
    Row { aim: "10 times faster than python-tuf, twice the floor".to_owned(), reached, ..row }
}
