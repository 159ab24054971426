//! Filing every target anew, under another number of bins.
//!
//! A target's bin is the first bits of the hash of its path, so that one old bin becomes several new ones,
//! or several become one: what a new bin lists is in neighbours of the old order, and is copied as it
//! stands.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Changes, Visitor};
use crate::bin_file::{Change, Entries};
use crate::bins::Bins;
use crate::database::BinRow;
use crate::error::Error;
use crate::repository::Repository;

/// How many old bins are kept apart at a time: each core is at one, and one has two at an edge.
const RECENT: usize = 64;

/// The targets of an index in other bins.
pub(crate) struct Refiled<'a> {
    repository: &'a Repository,
    /// The old bins, by number.
    rows: &'a [BinRow],
    old: Bins,
    new: Bins,
    recent: Mutex<VecDeque<(u32, Arc<Split>)>>,
}

/// An old bin, and in which new bin each of its targets is.
struct Split {
    file: Arc<Vec<u8>>,
    /// In the order of their paths.
    targets: Vec<Target>,
}

struct Target {
    bin: u32,
    path: String,
    /// Where the rest of the entry stands in the file.
    value: Range<usize>,
}

impl<'a> Refiled<'a> {
    pub(crate) fn new(repository: &'a Repository, rows: &'a [BinRow], new: Bins) -> Self {
        let old = repository.bins();
        Self { repository, rows, old, new, recent: Mutex::default() }
    }

    /// The old bins that the targets of a new one are in.
    fn sources(&self, bin: u32) -> Range<u32> {
        let (old, new) = (self.old.count(), self.new.count());
        match old > new {
            true => bin * (old / new)..(bin + 1) * (old / new),
            false => {
                let source = bin / (new / old);
                source..source + 1
            }
        }
    }

    fn split(&self, source: u32) -> Result<Arc<Split>, Error> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, split)) = recent().iter().find(|(number, _)| *number == source) {
            return Ok(Arc::clone(split));
        }
        let row = &self.rows[source as usize];
        let file = self.repository.published_bin(row)?.unwrap_or_default();
        let mut targets = Vec::new();
        let read = |targets: &mut Vec<Target>| {
            if file.is_empty() {
                return Ok(());
            }
            Entries::of_file(&file)?.for_each_text(&file, |path, value| {
                let bin = self.new.bin_of_str(&path);
                targets.push(Target { bin, path, value });
            })
        };
        read(&mut targets).map_err(|_| self.repository.bin_not_ours(row))?;
        let split = Arc::new(Split { file, targets });
        let mut recent = recent();
        recent.push_back((source, Arc::clone(&split)));
        if recent.len() > RECENT.min(4 * crate::cores::count()) {
            recent.pop_front();
        }
        Ok(split)
    }
}

impl Changes for Refiled<'_> {
    fn length(&self, bin: u32) -> u64 {
        let length = |source: u32| {
            self.rows[source as usize].published.map_or(0, |published| published.length)
        };
        let all = self.sources(bin).map(length).sum::<u64>();
        all * u64::from(self.old.count().min(self.new.count())) / u64::from(self.new.count())
    }

    fn visit(&self, bin: u32, visitor: Visitor<'_>) -> Result<(), Error> {
        let splits = self.sources(bin).map(|source| self.split(source));
        let splits = splits.collect::<Result<Vec<_>, _>>()?;
        let mut entries = Vec::new();
        for split in &splits {
            let here = split.targets.iter().filter(|target| target.bin == bin);
            entries.extend(here.map(|target| Change {
                path: &target.path,
                file: Some(&split.file[target.value.clone()]),
            }));
        }
        if splits.len() > 1 {
            entries.sort_unstable_by_key(|entry| entry.path);
        }
        visitor(&entries)
    }
}
