//! Uploads from the journal to the published snapshot, one by one and in batches.

use std::collections::BTreeSet;

use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_testkit::import_file::Target;
use waxseal_tuf::TargetPath;

use super::{PythonTuf, Row};
use crate::child::{self, Uploads};
use crate::floor::Work;
use crate::prepared::Prepared;
use crate::published::{Published, targets_of};
use crate::scale::{Scale, Size};

/// Uploads of one target or three, so many in a batch.
pub(super) fn row(scale: &Scale, size: Size, targets: usize, in_a_batch: usize) -> Row {
    let prepared = Prepared::get(size.targets, scale);
    let batches = if in_a_batch == 1 { scale.uploads } else { scale.batches };
    let what = match (in_a_batch, targets) {
        (1, 1) => "one upload of one target".to_owned(),
        (1, _) => format!("one upload of {targets} targets"),
        (_, 1) => format!("{in_a_batch} uploads of one target in one batch"),
        _ => format!("{in_a_batch} uploads of {targets} targets in one batch"),
    };
    let work = format!("{what}, {}", size.name);
    eprintln!("{work} …");
    let aim = if in_a_batch == 1 { 20.0 } else { 15.0 };
    measure(scale, &prepared, work, targets, in_a_batch, batches).aim_at_python(aim)
}

/// One upload at one size, to be compared with other sizes; without python-tuf.
pub(super) fn growth(scale: &Scale, targets: u64) -> Row {
    let prepared = Prepared::get(targets, scale);
    eprintln!("one upload of one target, {targets} …");
    let work = format!("one upload of one target, {targets} targets in all");
    let alone = Scale { python: false, ..scale.clone() };
    let row = measure(&alone, &prepared, work, 1, 1, scale.uploads);
    let published = Published::read(&prepared.data);
    let (bin, targets) = (published.bin_sizes([0])[0] / 1000, published.targets(0).len());
    let note = format!("a bin has about {targets} targets and {bin} KB");
    Row { aim: "grows only as the bin does".to_owned(), note, ..row }
}

fn measure(
    scale: &Scale,
    prepared: &Prepared,
    work: String,
    targets: usize,
    in_a_batch: usize,
    batches: usize,
) -> Row {
    let before = Published::read(&prepared.data);
    // New paths each time, since what was uploaded stays.
    let seed = 1_000 + before.version;
    // The first batch warms up both.
    let uploads = Uploads { seed, targets, in_a_batch, batches: batches + 1 };
    let lists: Vec<Vec<Target>> =
        uploads.all().into_iter().map(|batch| batch.into_iter().flatten().collect()).collect();
    let touched: BTreeSet<u32> = lists.iter().flatten().map(|target| bin(scale, target)).collect();
    let touched: Vec<u32> = touched.into_iter().collect();

    let mut python = PythonTuf::start(scale);
    let theirs = python.as_mut().map_or_else(Vec::new, |python| {
        python.peer.open(&before, &touched);
        python.peer.upload(&lists).split_off(1)
    });
    let mut ours = child::run(&prepared.data, child::Work::Upload(uploads));
    let after = Published::read(&prepared.data);
    if let Some(python) = &python {
        for bin in touched.iter().take(3) {
            let theirs = python.newest(&after.bin_file(*bin));
            assert_eq!(targets_of(&theirs), after.targets(*bin), "python-tuf did other work");
        }
    }

    let in_last: BTreeSet<u32> =
        lists.last().unwrap().iter().map(|target| bin(scale, target)).collect();
    let bins = after.bin_sizes(in_last);
    let signed = Work { bins, snapshot: after.snapshot_size() };
    let runs = ours.runs.split_off(1);
    let row = Row::of(work, runs, &theirs);
    let mut row = row.with_floor(scale, &signed, python.as_mut().map(|python| &mut python.peer));
    let [cpu, wall] = [super::cpu(&ours.accepted), super::wall(&ours.accepted)].map(|s| s * 1e3);
    let journal = format!("; an upload into the journal: {cpu:.2} ms CPU, {wall:.2} ms");
    row.note.push_str(&journal);
    Row { peak_kib: Some(ours.peak_kib), ..row }
}

fn bin(scale: &Scale, target: &Target) -> u32 {
    let bins = Bins::new(u64::from(scale.bins), BinStyle::Succinct).unwrap();
    bins.bin_of(&TargetPath::new(target.path.clone()).unwrap())
}
