//! Bins that were read and compared a short time ago.
//!
//! Whoever accepts a change of a target reads its bin, to see what is there; a moment later the snapshot
//! process changes that bin. At 20 million targets a bin has some 280 KB, so the second reading is worth
//! a few dozen megabytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::database::{BinFile, BinRow};

/// How many bytes are kept.
const LIMIT: usize = 64 << 20;

/// The files of some bins, each as it was published.
#[derive(Debug, Default)]
pub(crate) struct RecentBins(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// In the order in which they came.
    files: BTreeMap<u64, Recent>,
    /// Where each bin's is.
    places: HashMap<u32, u64>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Recent {
    bin: u32,
    file: BinFile,
    bytes: Arc<Vec<u8>>,
}

impl RecentBins {
    /// The published file of a bin, if it is kept.
    pub(crate) fn get(&self, bin: &BinRow) -> Option<Arc<Vec<u8>>> {
        let kept = self.lock();
        let recent = kept.files.get(kept.places.get(&bin.number)?)?;
        (bin.published == Some(recent.file)).then(|| Arc::clone(&recent.bytes))
    }

    /// Keeps the file of a bin, which was compared with what the database has of it; the oldest give
    /// way.
    pub(crate) fn keep(&self, bin: u32, file: BinFile, bytes: &Arc<Vec<u8>>) {
        let mut kept = self.lock();
        kept.forget(bin);
        let place = kept.next;
        kept.next += 1;
        kept.bytes += bytes.len();
        kept.places.insert(bin, place);
        kept.files.insert(place, Recent { bin, file, bytes: Arc::clone(bytes) });
        while kept.bytes > LIMIT
            && let Some((_, oldest)) = kept.files.pop_first()
        {
            kept.bytes -= oldest.bytes.len();
            kept.places.remove(&oldest.bin);
        }
    }

    /// Forgets the file of a bin, which has another one now.
    pub(crate) fn forget(&self, bin: u32) {
        self.lock().forget(bin);
    }

    /// Forgets all of them: their numbers mean others now.
    pub(crate) fn forget_all(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, bin: u32) {
        let recent = self.places.remove(&bin).and_then(|place| self.files.remove(&place));
        self.bytes -= recent.map_or(0, |recent| recent.bytes.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use waxseal_tuf::hash::Sha256;

    use super::*;

    fn row(number: u32, version: u64) -> BinRow {
        let expires = "2100-01-02T03:04:05Z".parse().unwrap();
        let signed_sha256 = Sha256::of(b"signed");
        let published = Some(BinFile { version, expires, length: 1, signed_sha256 });
        BinRow { number, version, published }
    }

    fn keep(bins: &RecentBins, row: &BinRow, length: usize) {
        bins.keep(row.number, row.published.unwrap(), &Arc::new(vec![0; length]));
    }

    #[test]
    fn a_file_is_found_for_just_what_is_published() {
        let bins = RecentBins::default();
        keep(&bins, &row(7, 1), 3);
        assert_eq!(bins.get(&row(7, 1)).unwrap().len(), 3);
        for other in [row(8, 1), row(7, 2), BinRow { published: None, ..row(7, 1) }] {
            assert_eq!(bins.get(&other), None);
        }
        keep(&bins, &row(7, 2), 4);
        assert_eq!((bins.get(&row(7, 1)), bins.get(&row(7, 2)).unwrap().len()), (None, 4));
        bins.forget(7);
        bins.forget(7);
        assert_eq!((bins.get(&row(7, 2)), bins.lock().bytes), (None, 0));
    }

    #[test]
    fn no_more_is_kept_than_the_limit_and_the_oldest_goes_first() {
        let bins = RecentBins::default();
        for number in 0..10 {
            keep(&bins, &row(number, 1), LIMIT / 4);
            assert!(bins.lock().bytes <= LIMIT);
        }
        let kept: Vec<_> = (0..10).filter(|number| bins.get(&row(*number, 1)).is_some()).collect();
        assert_eq!(kept, [6, 7, 8, 9]);
        keep(&bins, &row(20, 1), LIMIT + 1);
        assert_eq!((bins.get(&row(20, 1)), bins.lock().bytes), (None, 0));
        assert!(bins.lock().files.is_empty() && bins.lock().places.is_empty());
    }
}
