//! python-tuf, in one process that runs a scenario for each line it reads.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout};
use std::time::Duration;

use serde::Deserialize;
use waxseal_testkit::peers::{self, CleanCommand, Running};
use waxseal_testkit::stopwatch::Taken;

use crate::world::{Scenario, World};

/// Where the peer's Python is.
pub(crate) struct Found(PathBuf);

/// python-tuf, started.
pub(crate) struct Peer {
    _process: Running,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    targets: Vec<(Scenario, String)>,
}

#[derive(Deserialize)]
struct Run {
    wall: f64,
    cpu: f64,
    /// Length of the target, as found.
    length: u64,
}

impl Peer {
    /// Panics with the command that installs it where it is missing.
    pub(crate) fn find() -> Found {
        Found(peers::python())
    }

    /// One run, as python-tuf's process measures it.
    pub(crate) fn run(&mut self, scenario: Scenario) -> Taken {
        let (_, target) = self.targets.iter().find(|(other, _)| *other == scenario).unwrap();
        writeln!(self.questions, "{} {target}", scenario.name()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let run: Run = serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("python-tuf stopped ({error}): {line:?}"));
        assert!(run.length > 0);
        Taken { wall: Duration::from_secs_f64(run.wall), cpu: Duration::from_secs_f64(run.cpu) }
    }
}

impl Found {
    pub(crate) fn start(self, world: &World) -> Peer {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/returning_user/python_tuf.py");
        let command = CleanCommand::new(self.0).arg(script).arg(world.folder());
        let mut process = command.talking().spawn();
        let questions = process.child.stdin.take().unwrap();
        let answers = BufReader::new(process.child.stdout.take().unwrap());
        let target = |scenario: Scenario| world.repository(scenario.kind).target.to_string();
        let targets = Scenario::all().map(|scenario| (scenario, target(scenario))).collect();
        Peer { _process: process, questions, answers, targets }
    }
}
