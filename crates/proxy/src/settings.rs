//! How long the proxy waits, and how much it keeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use waxseal_index::simple::Links;
use waxseal_tuf::TargetPath;

use crate::MinimumAge;

/// What a [`Proxy`](crate::Proxy) goes by.
#[derive(Clone)]
pub struct Settings {
    /// Age of the metadata after which the next request refreshes it; `None` for one refresh and one
    /// reference time in the proxy's life, until the metadata expires. Default 60 s.
    pub refresh_after: Option<Duration>,
    /// After this time without a verified answer, the answer is a refusal. Default 12 s: pip waits 15.
    pub answer_within: Duration,
    /// After this time, the answer about a file that is still coming begins; its content follows once
    /// it is verified. Default 5 s.
    pub stream_after: Duration,
    /// Time between two of the few bytes that keep a tool waiting for a file that is still coming.
    /// Default 10 s: pip waits 15, uv 30.
    pub heartbeat: Duration,
    /// For how long a failed refresh answers for the next, so that many requests at once do not each
    /// wait for a dead mirror. Default 3 s.
    pub remember_failure: Duration,
    /// For how long a file that turned out changed after its answer had begun is refused at once.
    /// Default 2 minutes.
    pub remember_refused: Duration,
    /// Bytes of small verified files to keep in memory. Default 64 MiB.
    pub memory: u64,
    /// Bytes of large verified files to keep in unnamed temporary files. Default 2 GiB.
    pub disk: u64,
    /// How old files have to be, by their signed time of upload. Default any age.
    pub minimum_age: MinimumAge,
    /// How long is waited for the index to sign what it serves already. Default 8 s: pip waits 15.
    pub wait_for_signature: Duration,
    /// Where the links lead of pages that vouch for their files. Default to this proxy.
    pub links: Links,
    /// Hears how far a large file is whose answer has begun, so often as a tool is kept waiting for it. By
    /// default nobody does.
    pub slow_file: Option<Arc<HearOfSlowFile>>,
    /// The time. Default that of this machine.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// A file that takes its time, of which the tool has nothing before all of it is verified.
#[derive(Debug, Clone, Copy)]
pub struct SlowFile<'a> {
    /// Its path.
    pub path: &'a TargetPath,
    /// Bytes that came.
    pub came: u64,
    /// All of its bytes, where metadata says how many.
    pub length: Option<u64>,
}

/// Who hears of it; it must not block.
pub type HearOfSlowFile = dyn Fn(SlowFile<'_>) + Send + Sync;

impl Default for Settings {
    fn default() -> Self {
        Self {
            refresh_after: Some(Duration::from_mins(1)),
            answer_within: Duration::from_secs(12),
            stream_after: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            remember_failure: Duration::from_secs(3),
            remember_refused: Duration::from_mins(2),
            memory: 64 << 20,
            disk: 2 << 30,
            minimum_age: MinimumAge::default(),
            wait_for_signature: Duration::from_secs(8),
            links: Links::default(),
            slow_file: None,
            clock: Arc::new(Timestamp::now),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("refresh_after", &self.refresh_after)
            .finish_non_exhaustive()
    }
}
