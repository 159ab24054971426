//! The bins that the published targets are in. They change when an index is filed anew under another
//! number of bins, while it is read.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use crate::bins::Bins;
use crate::error::Error;

/// How long whoever reads waits for the change to be recorded, which takes a moment, until it looks again.
const MOMENT: Duration = Duration::from_millis(1);

/// The bins, and how often they changed.
#[derive(Debug)]
pub(crate) struct CurrentBins {
    bins: RwLock<Bins>,
    /// Odd while a change is being recorded.
    changes: AtomicU64,
}

impl CurrentBins {
    pub(crate) fn new(bins: Bins) -> Self {
        Self { bins: RwLock::new(bins), changes: AtomicU64::new(0) }
    }

    pub(crate) fn get(&self) -> Bins {
        *self.bins.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads something that goes by the bins and by what the database says of them: again where they changed
    /// meanwhile.
    pub(crate) fn consistently<T>(&self, read: impl Fn() -> T) -> T {
        loop {
            let before = self.changes.load(Ordering::Acquire);
            if before % 2 == 1 {
                thread::sleep(MOMENT);
                continue;
            }
            let result = read();
            if self.changes.load(Ordering::Acquire) == before {
                return result;
            }
        }
    }

    /// Records a change with `record`, and answers with other bins from then on.
    pub(crate) fn change(
        &self,
        bins: Bins,
        record: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.changes.fetch_add(1, Ordering::AcqRel);
        let recorded = record();
        if recorded.is_ok() {
            *self.bins.write().unwrap_or_else(PoisonError::into_inner) = bins;
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
        recorded
    }
}
