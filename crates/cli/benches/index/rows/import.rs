//! From an import file to a published index.

use std::fs;

use super::{PythonTuf, Row, cpu, resign};
use crate::floor::Work;
use crate::prepared::{self, Prepared};
use crate::published::{Published, targets_of};
use crate::scale::{Scale, Size};

/// An index of this size.
pub(super) fn row(scale: &Scale, size: Size) -> Row {
    // Now, so that the index at hand is as it was imported.
    Prepared::remove_if_there(size.targets, scale);
    let first = Prepared::get(size.targets, scale);
    let work = format!("{} targets, import to published", size.name);
    let published = Published::read(&first.data);
    let bins = published.bins();
    let signed = Work { bins: published.bin_sizes(0..bins), snapshot: published.snapshot_size() };

    let in_memory = size.python_bins >= bins;
    let mut python = PythonTuf::start(scale).filter(|_| in_memory);
    let (mut ours, mut theirs) = (vec![first.import.run], Vec::new());
    let mut reading = String::new();
    let builds = if in_memory { scale.builds } else { 1 };
    for build in 0..builds {
        if build == 0 && python.is_none() {
            break;
        }
        let file = prepared::import_file(size.targets);
        if build > 0 {
            let data = prepared::scrap().join("data");
            ours.push(prepared::import(&data, &file, scale).run);
        }
        if let Some(python) = &mut python {
            let built = python.peer.build(&file);
            theirs.push(built.taken);
            reading = format!("; of python-tuf's last run {:.1} s are reading", built.reading);
            check_same(&published, python, built.bytes, signed.bins.iter().sum());
        }
        fs::remove_file(file).unwrap();
    }

    let mut row = Row::of(work, ours, &theirs);
    row = row.with_floor(scale, &signed, python.as_mut().map(|python| &mut python.peer));
    row.peak_kib = Some(first.import.peak_kib);
    let each = cpu(&[first.import.run]) * 1e6;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = each / size.targets as f64;
    let each = format!("; {each:.2} µs of CPU for each target{reading}");
    row.note.push_str(&each);
    match size.import_mib {
        None => resign::aim(row),
        Some(most) => Row {
            aim: format!("under {most} MiB, time proportional to targets"),
            reached: row.peak_kib.map(|kib| kib < most * 1024),
            ..row
        },
    }
}

/// python-tuf's bins hold the same, and are as large.
fn check_same(published: &Published, python: &PythonTuf, theirs: u64, ours: u64) {
    for bin in [0, published.bins() / 2] {
        let file = python.newest(&published.bin_file(bin));
        assert_eq!(targets_of(&file), published.targets(bin), "python-tuf did other work");
    }
    let difference = theirs.abs_diff(ours);
    assert!(difference * 100 < ours, "python-tuf wrote {theirs} bytes, and ours are {ours}");
}
