//! Garbage collection beside a running index, in a thread of its own.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use waxseal_repository::{GcOptions, Repository};

use crate::output;

/// A collection takes at most this part of the time: after one that took a minute, the next begins in
/// fifty.
const PART: u32 = 50;

/// The thread that collects, until this is dropped. What it is at then may end with the program: a
/// collection can be cut off anywhere.
pub(crate) struct Collector {
    _stop: Sender<()>,
}

impl Collector {
    /// Collects a few times within each grace time.
    pub(crate) fn start(
        repository: Arc<Repository>,
        grace: SignedDuration,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = channel::<()>();
        let pause = Duration::from_secs(grace.as_secs().unsigned_abs() / 4);
        let pause = pause.clamp(Duration::from_secs(10), Duration::from_mins(15));
        let run = move || {
            let mut wait = pause;
            let mut targets_at = Instant::now();
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let begun = Instant::now();
                let targets = begun >= targets_at;
                let options = GcOptions { grace, targets, ..GcOptions::default() };
                if let Err(error) = repository.collect_garbage(&options, Timestamp::now(), &|_| {})
                {
                    output::warning(&format!("garbage was not collected: {error}"));
                }
                let took = begun.elapsed();
                if targets {
                    targets_at = Instant::now() + took * PART;
                }
                wait = pause.max(if targets { Duration::ZERO } else { took * PART });
            }
        };
        let thread = thread::Builder::new().name("gc".to_owned()).spawn(run);
        thread.context("cannot start the garbage collection")?;
        Ok(Self { _stop: stop })
    }
}
