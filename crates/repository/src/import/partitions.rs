//! Targets sorted by bin, on disk where they are many.
//!
//! Bins are split into partitions of neighbours. A target goes to the end of its partition's buffer, and
//! buffers go to a file when they are many bytes together; so a partition is read and sorted alone.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::{ImportError, ImportOptions};
use crate::batch::{Changes, Visitor};
use crate::bin_file::Change;
use crate::bins::Bins;
use crate::error::Error;

/// Into how many partitions bins are split, at most.
const MOST: u32 = 1024;

/// How many sorted partitions are kept, at least.
const SORTED: usize = 8;

/// How many sorted partitions are kept where bins are gone through on so many cores. Each thread goes
/// through neighbours and is in two partitions at most, when it goes from one to the next; with fewer,
/// threads would take each other's away and read and sort them again for each bin. They are in memory,
/// beside [`ImportOptions::memory`]: of 20 million targets in 1024 bins or more each has some 4 MB, so
/// that is 32 MB on up to four cores, and 8 MB for each core on more.
fn kept_sorted(cores: usize) -> usize {
    SORTED.max(2 * cores)
}

/// All targets of an import.
pub(super) struct Partitions {
    bins: Bins,
    scratch: PathBuf,
    /// Most bytes in memory while the file is read; more go to the file.
    memory: usize,
    file: File,
    file_length: AtomicU64,
    parts: Vec<Mutex<Partition>>,
    in_memory: AtomicUsize,
    targets: AtomicU64,
    /// How many bytes the records of each bin have.
    lengths: Vec<AtomicU64>,
    /// The partitions that are kept sorted, the oldest first.
    sorted: Mutex<VecDeque<usize>>,
    /// How many of them.
    kept_sorted: usize,
}

/// Records, one after the other: the bin, the lengths of path and file, and both.
#[derive(Default)]
struct Partition {
    buffer: Vec<u8>,
    /// What was in the buffer before: where it is in the file, and how long.
    spilt: Vec<(u64, usize)>,
    sorted: Option<Arc<Sorted>>,
}

/// A partition read and sorted.
struct Sorted {
    bytes: Vec<u8>,
    /// Ordered by bin and path.
    records: Vec<Record>,
}

#[derive(Clone, Copy)]
struct Record {
    bin: u32,
    path: u32,
    path_length: u16,
    file_length: u32,
}

const HEAD: usize = 4 + 2 + 4;

impl Partitions {
    pub(super) fn new(bins: Bins, options: &ImportOptions) -> Result<Self, ImportError> {
        let scratch = &options.scratch;
        let file = std::fs::create_dir_all(scratch).and_then(|()| tempfile::tempfile_in(scratch));
        let failed = |source| ImportError::Scratch { path: scratch.clone(), source };
        let count = bins.count().min(MOST);
        Ok(Self {
            bins,
            scratch: scratch.clone(),
            memory: options.memory,
            file: file.map_err(failed)?,
            file_length: AtomicU64::new(0),
            parts: (0..count).map(|_| Mutex::default()).collect(),
            in_memory: AtomicUsize::new(0),
            targets: AtomicU64::new(0),
            lengths: (0..bins.count()).map(|_| AtomicU64::new(0)).collect(),
            sorted: Mutex::default(),
            kept_sorted: kept_sorted(thread::available_parallelism().map_or(1, usize::from)),
        })
    }

    /// How many targets were read.
    pub(super) fn targets(&self) -> u64 {
        self.targets.load(Ordering::Relaxed)
    }

    /// The bins that have some, in order.
    pub(super) fn bins(&self) -> Vec<u32> {
        let lengths = (0..).zip(&self.lengths);
        lengths
            .filter(|(_, length)| length.load(Ordering::Relaxed) > 0)
            .map(|(bin, _)| bin)
            .collect()
    }

    fn partition_of(&self, bin: u32) -> usize {
        let a_partition = self.bins.count() / u32::try_from(self.parts.len()).unwrap_or(1);
        (bin / a_partition) as usize
    }

    fn append(&self, number: usize, records: &mut Vec<u8>) -> Result<(), ImportError> {
        let mut partition = lock(&self.parts[number]);
        let total = self.in_memory.fetch_add(records.len(), Ordering::Relaxed) + records.len();
        partition.grow(records.len());
        partition.buffer.append(records);
        let share = self.memory / self.parts.len();
        if total > self.memory && partition.buffer.len() > share / 2 {
            let length = partition.buffer.len();
            let at = self.file_length.fetch_add(length as u64, Ordering::Relaxed);
            let written = self.file.write_all_at(&partition.buffer, at);
            written
                .map_err(|source| ImportError::Scratch { path: self.scratch.clone(), source })?;
            partition.spilt.push((at, length));
            partition.buffer = Vec::new();
            self.in_memory.fetch_sub(length, Ordering::Relaxed);
        }
        Ok(())
    }

    /// A partition, sorted. One that is in memory stays there as it is; of those in the file one that was
    /// asked for long ago is forgotten.
    fn sorted(&self, number: usize) -> Result<Arc<Sorted>, Error> {
        let mut partition = lock(&self.parts[number]);
        if let Some(sorted) = &partition.sorted {
            return Ok(Arc::clone(sorted));
        }
        let is_in_memory = partition.spilt.is_empty();
        let bytes = match is_in_memory {
            true => Ok(std::mem::take(&mut partition.buffer)),
            false => self.read(&partition),
        };
        let bytes =
            bytes.map_err(|source| Error::Scratch { path: self.scratch.clone(), source })?;
        let sorted = Arc::new(Sorted::of(bytes));
        partition.sorted = Some(Arc::clone(&sorted));
        drop(partition);
        if is_in_memory {
            return Ok(sorted);
        }
        let mut kept = lock(&self.sorted);
        kept.push_back(number);
        let oldest = if kept.len() > self.kept_sorted { kept.pop_front() } else { None };
        drop(kept);
        if let Some(oldest) = oldest {
            lock(&self.parts[oldest]).sorted = None;
        }
        Ok(sorted)
    }

    /// All records of a partition.
    fn read(&self, partition: &Partition) -> io::Result<Vec<u8>> {
        let spilt: usize = partition.spilt.iter().map(|(_, length)| length).sum();
        let total = spilt + partition.buffer.len();
        if u32::try_from(total).is_err() {
            return Err(io::Error::other("too many targets for so few bins"));
        }
        let mut bytes = vec![0; spilt];
        let mut rest = bytes.as_mut_slice();
        for (at, length) in &partition.spilt {
            let (part, others) = std::mem::take(&mut rest).split_at_mut(*length);
            self.file.read_exact_at(part, *at)?;
            rest = others;
        }
        bytes.extend_from_slice(&partition.buffer);
        Ok(bytes)
    }
}

impl Partition {
    /// Makes room for more, by steps and not by doubling: there are many partitions.
    fn grow(&mut self, more: usize) {
        const STEP: usize = 32 << 10;
        if self.buffer.capacity() - self.buffer.len() < more {
            self.buffer.reserve_exact(more.max(STEP));
        }
    }
}

impl Changes for Partitions {
    fn length(&self, bin: u32) -> u64 {
        self.lengths[bin as usize].load(Ordering::Relaxed)
    }

    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        visitor(&self.sorted(self.partition_of(bin))?.changes(bin))
    }
}

impl Sorted {
    fn of(bytes: Vec<u8>) -> Self {
        let mut records = Vec::new();
        let mut at = 0;
        while let Some(head) = bytes.get(at..).and_then(<[u8]>::first_chunk::<HEAD>) {
            let [b0, b1, b2, b3, p0, p1, f0, f1, f2, f3] = *head;
            let record = Record {
                bin: u32::from_be_bytes([b0, b1, b2, b3]),
                path: u32::try_from(at + HEAD).unwrap_or(u32::MAX),
                path_length: u16::from_be_bytes([p0, p1]),
                file_length: u32::from_be_bytes([f0, f1, f2, f3]),
            };
            at += HEAD + usize::from(record.path_length) + record.file_length as usize;
            records.push(record);
        }
        records.sort_unstable_by(|a, b| {
            (a.bin, a.path(&bytes), a.file(&bytes)).cmp(&(b.bin, b.path(&bytes), b.file(&bytes)))
        });
        records.dedup_by(|a, b| {
            (a.bin, a.path(&bytes), a.file(&bytes)) == (b.bin, b.path(&bytes), b.file(&bytes))
        });
        Self { bytes, records }
    }

    fn changes(&self, bin: u32) -> Vec<Change<'_>> {
        let begin = self.records.partition_point(|record| record.bin < bin);
        let of_bin = self.records[begin..].iter().take_while(|record| record.bin == bin);
        let change = |record: &Record| Change {
            path: std::str::from_utf8(record.path(&self.bytes)).unwrap_or_default(),
            file: Some(record.file(&self.bytes)),
        };
        of_bin.map(change).collect()
    }
}

impl Record {
    fn path<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let begin = self.path as usize;
        &bytes[begin..begin + usize::from(self.path_length)]
    }

    fn file<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let begin = self.path as usize + usize::from(self.path_length);
        &bytes[begin..begin + self.file_length as usize]
    }
}

/// What one worker has for each partition.
pub(super) struct Shares<'a> {
    partitions: &'a Partitions,
    records: Vec<Vec<u8>>,
    count: u64,
}

impl<'a> Shares<'a> {
    pub(super) fn new(partitions: &'a Partitions) -> Self {
        let records = vec![Vec::new(); partitions.parts.len()];
        Self { partitions, records, count: 0 }
    }

    /// A target, and the canonical form of what is said of it.
    pub(super) fn push(&mut self, bin: u32, path: &str, file: &[u8]) {
        self.push_parts(bin, path, &[file]);
    }

    /// A target of which length and SHA-256 are said.
    pub(super) fn push_usual(&mut self, bin: u32, path: &str, length: &str, sha256: &str) {
        let parts: [&[u8]; 5] = [
            b"{\"hashes\":{\"sha256\":\"",
            sha256.as_bytes(),
            b"\"},\"length\":",
            length.as_bytes(),
            b"}",
        ];
        self.push_parts(bin, path, &parts);
    }

    fn push_parts(&mut self, bin: u32, path: &str, parts: &[&[u8]]) {
        self.count += 1;
        let share = &mut self.records[self.partitions.partition_of(bin)];
        // Neither is longer than what the caller has checked: 4096 bytes and a line.
        let path_length = u16::try_from(path.len()).unwrap_or(u16::MAX);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let record = (HEAD + path.len() + length) as u64;
        self.partitions.lengths[bin as usize].fetch_add(record, Ordering::Relaxed);
        share.extend_from_slice(&bin.to_be_bytes());
        share.extend_from_slice(&path_length.to_be_bytes());
        share.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        share.extend_from_slice(path.as_bytes());
        for part in parts {
            share.extend_from_slice(part);
        }
    }

    /// Gives the partitions their share.
    pub(super) fn deliver(&mut self) -> Result<(), ImportError> {
        self.partitions.targets.fetch_add(std::mem::take(&mut self.count), Ordering::Relaxed);
        for (number, share) in self.records.iter_mut().enumerate().filter(|(_, s)| !s.is_empty()) {
            self.partitions.append(number, share)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_thread_takes_the_partition_of_another_away() {
        assert_eq!([1, 2, 4, 5, 64].map(kept_sorted), [8, 8, 8, 10, 128]);
    }
}
