//! python-tuf's process, which does the work that it is told and says how long it took.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use waxseal_signing::Scheme;
use waxseal_testkit::import_file::Target;
use waxseal_testkit::peers::{self, CleanCommand, Running};
use waxseal_testkit::stopwatch::Taken;

use crate::published::Published;

/// A running python-tuf.
pub(crate) struct Peer {
    process: Running,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What came of an import file.
pub(crate) struct Built {
    pub(crate) taken: Taken,
    /// Seconds of processor time until everything was in memory.
    pub(crate) reading: f64,
    /// How many bytes the bins have.
    pub(crate) bytes: u64,
}

/// What it answers.
#[derive(Deserialize)]
struct Answer {
    runs: Vec<Run>,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    reading: f64,
    publish: Option<Run>,
}

/// Seconds.
#[derive(Deserialize, Clone, Copy)]
struct Run {
    wall: f64,
    cpu: f64,
}

impl Run {
    fn taken(self) -> Taken {
        let [wall, cpu] = [self.wall, self.cpu].map(|s| Duration::from_secs_f64(s.max(0.0)));
        Taken { wall, cpu }
    }
}

impl Peer {
    /// A repository without a target, in `folder`.
    pub(crate) fn start(folder: &Path, bit_length: u8, scheme: Scheme) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/index/python_tuf.py");
        let command = CleanCommand::new(peers::python()).arg(script).arg(folder);
        let command = command.arg(bit_length.to_string()).arg(scheme.name());
        let mut process = command.talking().spawn();
        let commands = process.child.stdin.take().unwrap();
        let answers = BufReader::new(process.child.stdout.take().unwrap());
        Self { process, commands, answers }
    }

    /// Builds and signs every bin from an import file.
    pub(crate) fn build(&mut self, file: &Path) -> Built {
        let Answer { runs, bytes, reading, .. } = self.ask(&json!({ "do": "build", "file": file }));
        Built { taken: runs[0].taken(), reading, bytes }
    }

    /// Reads what we published: the snapshot, and these bins.
    pub(crate) fn open(&mut self, published: &Published, bins: &[u32]) {
        let files: Vec<_> = bins.iter().map(|bin| published.bin_file(*bin)).collect();
        let (metadata, snapshot) = (&published.folder, &published.snapshot_file);
        let open =
            json!({ "do": "open", "metadata": metadata, "snapshot": snapshot, "bins": files });
        self.ask(&open);
    }

    /// Adds the targets of each batch, and publishes each batch as one snapshot.
    pub(crate) fn upload(&mut self, batches: &[Vec<Target>]) -> Vec<Taken> {
        let target = |target: &Target| json!([target.path, target.length, target.sha256]);
        let batch = |batch: &Vec<Target>| batch.iter().map(target).collect::<Value>();
        let batches: Value = batches.iter().map(batch).collect();
        let answer = self.ask(&json!({ "do": "upload", "batches": batches }));
        answer.runs.into_iter().map(Run::taken).collect()
    }

    /// Signs every bin again that it has: what the bins took, and what the snapshot took.
    pub(crate) fn resign(&mut self) -> [Taken; 2] {
        let answer = self.ask(&json!({ "do": "resign" }));
        [answer.runs[0], answer.publish.unwrap()].map(Run::taken)
    }

    /// What OpenSSL takes to sign messages of these sizes.
    pub(crate) fn sign(&mut self, sizes: &[usize]) -> Taken {
        self.ask(&json!({ "do": "sign", "sizes": sizes })).runs[0].taken()
    }

    fn ask(&mut self, command: &Value) -> Answer {
        writeln!(self.commands, "{command}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| {
            let mut screen = String::new();
            if let Some(stderr) = &mut self.process.child.stderr {
                let _ = std::io::Read::read_to_string(stderr, &mut screen);
            }
            panic!("python-tuf stopped ({error}): {line}{screen}")
        })
    }
}
