use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::iter::Peekable;
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;

use super::read::finish;
use super::{Archive, ArchiveError, Entries, Entry, FORMAT, PIECES, Piece};
use crate::audit::{Moment, Pin, read_targets};
use crate::store::Store;

/// What was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The snapshot.
    pub snapshot: u64,
    /// Whether every target is in the new piece.
    pub full: bool,
    /// Targets that came or changed, or all of them.
    pub added: u64,
    /// Targets that went.
    pub removed: u64,
    /// Bytes that the archive grew by; 0 where it had this snapshot already.
    pub bytes: u64,
}

/// Appends the present snapshot of an index to an archive, verified from what is known of it. Whole, or not at
/// all: a process that ends in the middle leaves a torn end, which is found.
pub fn append(
    archive: &Archive,
    path: &Path,
    (store, pin): (&dyn Store, &Pin),
    now: Timestamp,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Appended, ArchiveError> {
    let failed = archive.failed("append to");
    let is_full = archive.since_full() >= PIECES;
    let old = if is_full { None } else { Some(archive.newest()?.peekable()) };
    let mut options = OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(path).map_err(&failed)?;
    let mut new = NewPiece { archive, file, out: None, old, is_full, now, added: 0, removed: 0 };
    let written = read_targets(store, pin, now, &mut |moment, entries| {
        progress(entries.bin, entries.bins);
        new.add(moment, entries.targets)
    });
    match written.and_then(|moment| new.finish(&moment)) {
        Ok(appended) => Ok(appended),
        Err(error) => {
            // What was there stays, byte for byte.
            new.cut().map_err(&failed)?;
            Err(error)
        }
    }
}

/// Removes a torn end; how many bytes were removed.
pub fn repair(path: &Path) -> Result<u64, ArchiveError> {
    let Err(ArchiveError::Torn { offset, .. }) = Archive::open(path) else {
        return Archive::open(path).map(|_| 0);
    };
    let failed = |source| ArchiveError::Io { action: "repair", path: path.to_owned(), source };
    let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    file.set_len(offset).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(length - offset)
}

/// A piece that is being written.
struct NewPiece<'a> {
    archive: &'a Archive,
    file: File,
    out: Option<Out>,
    /// What the archive has; `None` where all is to be listed.
    old: Option<Peekable<Entries>>,
    is_full: bool,
    now: Timestamp,
    added: u64,
    removed: u64,
}

struct Out {
    writer: BufWriter<File>,
    context: Context,
    bytes: u64,
}

impl Out {
    fn line(&mut self, line: &str) -> io::Result<()> {
        self.context.update(line.as_bytes());
        self.bytes += line.len() as u64;
        self.writer.write_all(line.as_bytes())
    }
}

impl NewPiece<'_> {
    /// Takes the targets of the next bin, in order.
    fn add(&mut self, moment: &Moment, targets: Vec<Entry>) -> Result<(), ArchiveError> {
        if self.has(moment) {
            return Ok(());
        }
        self.begin(moment)?;
        for entry in targets {
            self.remove_before(Some(&entry))?;
            let old = self.old.as_mut().and_then(|old| {
                old.next_if(|old| old.as_ref().is_ok_and(|old| old.order == entry.order))
            });
            if old.transpose()?.is_some_and(|old| old == entry) {
                continue;
            }
            self.added += 1;
            self.write(&format!("+ {} {} {}\n", entry.digest, entry.length, entry.path))?;
        }
        Ok(())
    }

    /// Whether the archive has this snapshot already.
    fn has(&self, moment: &Moment) -> bool {
        self.archive.pieces().next_back().is_some_and(|newest| {
            newest.snapshot == moment.snapshot
                && newest.snapshot_sha256 == moment.snapshot_sha256.to_string()
        })
    }

    /// What the archive has before the next target, the index has no more.
    fn remove_before(&mut self, next: Option<&Entry>) -> Result<(), ArchiveError> {
        let is_before = |old: &Result<Entry, ArchiveError>| match (old, next) {
            (Ok(old), Some(next)) => old.order.0 < next.order.0,
            _ => true,
        };
        while let Some(old) = self.old.as_mut().and_then(|old| old.next_if(is_before)) {
            self.removed += 1;
            self.write(&format!("- {}\n", old?.path))?;
        }
        Ok(())
    }

    fn begin(&mut self, moment: &Moment) -> Result<(), ArchiveError> {
        if self.out.is_some() {
            return Ok(());
        }
        if let Some(newest) = self.archive.pieces().next_back()
            && newest.snapshot > moment.snapshot
        {
            let (index, archive) = (moment.snapshot, newest.snapshot);
            return Err(ArchiveError::Older { index, archive });
        }
        let piece = Piece {
            waxseal_archive: FORMAT,
            number: self.archive.pieces().len() as u64 + 1,
            previous: self.archive.head().map_or_else(String::new, |head| head.to_string()),
            full: self.is_full,
            time: self.now,
            root: moment.root,
            snapshot: moment.snapshot,
            snapshot_sha256: moment.snapshot_sha256.to_string(),
        };
        let failed = self.archive.failed("append to");
        let mut file = self.file.try_clone().map_err(&failed)?;
        file.seek(SeekFrom::Start(self.archive.end())).map_err(&failed)?;
        let writer = BufWriter::with_capacity(1 << 20, file);
        self.out = Some(Out { writer, context: Context::new(&SHA256), bytes: 0 });
        let header = serde_json::to_string(&piece).map_err(|error| failed(error.into()))?;
        self.write(&format!("{header}\n"))
    }

    fn write(&mut self, line: &str) -> Result<(), ArchiveError> {
        let failed = self.archive.failed("append to");
        let Some(out) = &mut self.out else { return Ok(()) };
        out.line(line).map_err(failed)
    }

    fn finish(&mut self, moment: &Moment) -> Result<Appended, ArchiveError> {
        let snapshot = moment.snapshot;
        let nothing = Appended { snapshot, full: false, added: 0, removed: 0, bytes: 0 };
        if self.has(moment) {
            return Ok(nothing);
        }
        self.begin(moment)?;
        self.remove_before(None)?;
        let failed = self.archive.failed("append to");
        let (added, removed, full) = (self.added, self.removed, self.is_full);
        let Some(mut out) = self.out.take() else { return Ok(nothing) };
        let end = format!("= {}\n", finish(out.context));
        out.writer.write_all(end.as_bytes()).map_err(&failed)?;
        out.writer.flush().map_err(&failed)?;
        self.file.sync_all().map_err(&failed)?;
        let bytes = out.bytes + end.len() as u64;
        Ok(Appended { snapshot, full, added, removed, bytes })
    }

    /// Takes back what was written.
    fn cut(&mut self) -> io::Result<()> {
        if let Some(out) = self.out.take() {
            // What is still in memory is not to be written.
            let _ = out.writer.into_parts();
        }
        self.file.set_len(self.archive.end())?;
        self.file.sync_all()
    }
}
