//! How patient and how trusting in lengths a client is, and where it may ask.

use std::path::PathBuf;
use std::time::Duration;

use waxseal_tuf::Limits;

use crate::{Credentials, FileCache, IndexUrl, Observer};

/// Deadlines, limits and mirrors of a [`Client`](crate::Client).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who asks; sent to the index alone, not to its mirrors. Default none.
    pub credentials: Option<Credentials>,
    /// Where the same files are too, asked in this order when the index, or the mirror before,
    /// fails or is refused. They are trusted with nothing. Default none.
    pub mirrors: Vec<IndexUrl>,
    /// For making a connection. Default 5 s.
    pub connect: Duration,
    /// For a metadata file. Default: 10 s of silence; 30 s and the time that its greatest length
    /// takes at 8 KiB in a second, averaged over 10 s.
    pub metadata: Patience,
    /// For a target file. Default: 20 s of silence; 60 s and the time that its length takes at
    /// 1 KiB in a second, averaged over 30 s.
    pub targets: Patience,
    /// The most bytes of a file whose length no page says. Default 4 GiB.
    pub unsized_file: u64,
    /// The same of what lies beside a file: its core metadata. Default 16 MiB.
    pub unsized_metadata: u64,
    /// The longest wait for another process that writes to the same trust store. Default 60 s.
    pub lock_wait: Duration,
    /// How often a failed connection, or a status 429 or 5xx, is tried again at the same place.
    /// Default 2.
    pub retries: u32,
    /// How often an update begins again from timestamp because a file that valid metadata names is
    /// not there: an index deletes old files in time, and may do so in the middle of an update.
    /// Default 1.
    pub restarts: u32,
    /// Verified files that are kept, to be had again without the network. Default none.
    pub cache: Option<FileCache>,
    /// A file in which is remembered which sources failed, so that the next process asks another one
    /// first. Default none.
    pub health: Option<PathBuf>,
    /// Whether nothing is fetched: what the trust store and the cache have is answered, within the
    /// validity of the metadata. Default no.
    pub offline: bool,
    /// Limits on metadata.
    pub limits: Limits,
    /// Who hears what is fetched and what became trusted. Default nobody.
    pub observer: Observer,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            credentials: None,
            mirrors: Vec::new(),
            connect: Duration::from_secs(5),
            metadata: Patience {
                stall: Duration::from_secs(10),
                deadline: Duration::from_secs(30),
                minimum_rate: 8 << 10,
                rate_window: Duration::from_secs(10),
            },
            targets: Patience {
                stall: Duration::from_secs(20),
                deadline: Duration::from_mins(1),
                minimum_rate: 1 << 10,
                rate_window: Duration::from_secs(30),
            },
            unsized_file: 4 << 30,
            unsized_metadata: 16 << 20,
            lock_wait: Duration::from_mins(1),
            retries: 2,
            restarts: 1,
            cache: None,
            health: None,
            offline: false,
            limits: Limits::default(),
            observer: Observer::default(),
        }
    }
}

/// How long one file is waited for. Only waiting for the network counts, not what the caller does
/// between two pieces of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest wait for an answer, or for its next bytes.
    pub stall: Duration,
    /// For the whole file, tries included, beside the time that its length takes at `minimum_rate`.
    pub deadline: Duration,
    /// Bytes in a second below which a file is given up; 0 for no such bound, and then `deadline`
    /// holds for a file of any length.
    pub minimum_rate: u64,
    /// Over how long the rate is averaged.
    pub rate_window: Duration,
}

impl Patience {
    /// The longest wait for a file of `length` bytes.
    pub fn total(&self, length: u64) -> Duration {
        let at_the_slowest = length.checked_div(self.minimum_rate).unwrap_or_default();
        self.deadline.saturating_add(Duration::from_secs(at_the_slowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_longer_file_may_take_longer_and_every_file_has_an_end() {
        let seconds = Duration::from_secs;
        let patience = Patience {
            stall: seconds(1),
            deadline: seconds(10),
            minimum_rate: 100,
            rate_window: seconds(5),
        };
        assert_eq!(patience.total(0), seconds(10));
        assert_eq!(patience.total(100_000), seconds(1010));
        assert_eq!(Patience { minimum_rate: 0, ..patience }.total(u64::MAX), seconds(10));
        assert!(patience.total(u64::MAX) > seconds(1 << 40));
    }
}
