//! The real binary, started as an operator starts it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use waxseal_testkit::peers::Running;
use waxseal_testkit::stopwatch::{peak_memory, processor_of};

use crate::prepared::{drain, waxseal};

/// A running index; killed when dropped.
pub(crate) struct Server {
    running: Running,
    /// Its URL, without a slash at the end.
    pub(crate) url: String,
    /// An upload token.
    pub(crate) token: String,
}

impl Server {
    /// `waxseal serve` on the index in `data`.
    pub(crate) fn start(data: &Path) -> Self {
        let token = waxseal(["token", "add", "bench", "--data"]).arg(data).run().success().stdout;
        let serve = waxseal(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        let mut running = serve.spawn();
        drain(running.child.stdout.take().unwrap());
        let mut stderr = BufReader::new(running.child.stderr.take().unwrap());
        let mut printed = String::new();
        let url = loop {
            let from = printed.len();
            assert!(stderr.read_line(&mut printed).unwrap() > 0, "the index ended: {printed}");
            if let Some((_, url)) = printed[from..].split_once(" on http://") {
                break format!("http://{}", url.trim());
            }
        };
        drain(stderr);
        Self { running, url, token: token.trim().to_owned() }
    }

    /// Processor time so far.
    pub(crate) fn processor(&self) -> Duration {
        processor_of(self.running.child.id())
    }

    /// The most memory so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        peak_memory(self.running.child.id()).expect("the index still runs")
    }
}
