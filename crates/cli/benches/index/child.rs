//! Work on an index in a process of its own, so that its processor time and its memory are its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use waxseal_testkit::stopwatch::{Taken, peak_memory};

use crate::engine;

/// First argument of such a process.
pub(crate) const CHILD: &str = "--child";

/// What it is to do with the index in `data`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) data: PathBuf,
    pub(crate) work: Work,
}

/// The kinds of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Publishes batches one after the other; measured is from the journal to the published snapshot.
    Upload(Uploads),
    /// Signs every bin again.
    Resign,
    /// Takes uploads at a steady rate while the snapshot process runs.
    Sustain {
        /// The first upload, see [`Uploads::seed`].
        seed: u64,
        /// Uploads a second, of three targets each.
        rate: u32,
        /// For how long.
        seconds: u64,
    },
}

/// Uploads, in batches.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Uploads {
    /// What the uploads follow from.
    pub(crate) seed: u64,
    /// Of three targets, how many each upload has.
    pub(crate) targets: usize,
    /// How many uploads are in a batch.
    pub(crate) in_a_batch: usize,
    /// How many batches are published.
    pub(crate) batches: usize,
}

/// What came of it. Times in seconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Each batch.
    pub(crate) runs: Vec<Run>,
    /// Each upload that was taken into the journal.
    pub(crate) accepted: Vec<Run>,
    /// The most memory that the process had, in KiB.
    pub(crate) peak_kib: u64,
    /// Of a steady rate.
    pub(crate) sustained: Option<Sustained>,
}

/// Seconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) cpu: f64,
    pub(crate) wall: f64,
}

/// What came of a steady rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sustained {
    /// Uploads that are in the journal.
    pub(crate) uploads: usize,
    /// In how many seconds they came there.
    pub(crate) seconds: f64,
    /// From the journal to the published snapshot.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// The longest.
    pub(crate) longest: f64,
    /// From the last journal entry until everything was published.
    pub(crate) drained: f64,
    /// How many snapshots were published.
    pub(crate) snapshots: u64,
}

impl Sustained {
    /// Whether uploads came in at that rate, and no more waited at the end than two seconds' worth.
    pub(crate) fn kept_up(&self, rate: u32) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let came = self.uploads as f64 / self.seconds;
        came > 0.98 * f64::from(rate) && self.drained < 2.0
    }
}

impl From<Taken> for Run {
    fn from(taken: Taken) -> Self {
        Self { cpu: taken.cpu.as_secs_f64(), wall: taken.wall.as_secs_f64() }
    }
}

/// Does some work in a new process.
pub(crate) fn run(data: &Path, work: Work) -> Outcome {
    // A test has no process to spare, and its figures mean nothing.
    if crate::IN_TEST {
        return perform(Job { data: data.to_owned(), work });
    }
    let job = serde_json::to_string(&Job { data: data.to_owned(), work }).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    // A defect is told on the screen.
    let output = command.args([CHILD, &job]).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{job} failed: {}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What that process does.
pub(crate) fn main(job: &str) {
    let outcome = perform(serde_json::from_str(job).unwrap());
    println!("{}", serde_json::to_string(&outcome).unwrap());
}

fn perform(Job { data, work }: Job) -> Outcome {
    let outcome = match work {
        Work::Upload(uploads) => engine::upload(&data, uploads),
        Work::Resign => engine::resign(&data),
        Work::Sustain { seed, rate, seconds } => engine::sustain(&data, seed, rate, seconds),
    };
    Outcome { peak_kib: peak_memory(std::process::id()).unwrap(), ..outcome }
}
