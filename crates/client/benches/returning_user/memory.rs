//! The most memory that one run takes, in a process of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use waxseal_testkit::stopwatch::peak_memory;
use waxseal_tuf::{MetadataFile, TargetPath};

use crate::client::{self, Folder};
use crate::world::{Scenario, World, files_of, write_store};

/// First argument of the process that is measured.
pub(crate) const CHILD: &str = "--measure-memory";

/// Resident memory and what it is for, in KiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Peak {
    /// When the process starts.
    pub(crate) start: u64,
    /// At the highest.
    pub(crate) most: u64,
    /// The largest file of the run.
    pub(crate) largest_role: u64,
}

impl Peak {
    /// What the run took.
    pub(crate) fn taken(self) -> u64 {
        self.most - self.start
    }

    /// The same in sizes of the largest role.
    pub(crate) fn multiple(self) -> f64 {
        float(self.taken()) / float(self.largest_role)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Runs a scenario in a process that holds nothing but its client.
pub(crate) fn peak(world: &World, scenario: Scenario) -> Peak {
    write_store(&world.scratch("memory"), &scenario.trusted(world));
    fs::write(world.folder().join("target"), world.repository(scenario.kind).target.as_str())
        .unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    let output = command.arg(CHILD).arg(scenario.name()).arg(world.folder()).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let screen = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}{screen}"))
}

/// What that process does.
pub(crate) fn child(scenario: &str, world: &Path) {
    let start = peak_memory(std::process::id()).unwrap();
    let scenario = Scenario::all().find(|other| other.name() == scenario).unwrap();
    let target = TargetPath::new(fs::read_to_string(world.join("target")).unwrap()).unwrap();
    let files = files_of(world, scenario.kind);
    let fetch = |file: &MetadataFile| fs::read(files.join(&file.path)).ok();
    let store = world.join("memory");
    let found = client::find(&mut Folder::at(&store), &target, fetch);
    let most = peak_memory(std::process::id()).unwrap();
    assert!(found.is_some());
    // Everything that the run read or wrote is in its trust store now.
    let sizes = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    let largest_role = sizes.max().unwrap() / 1024;
    let peak = Peak { start, most, largest_role };
    println!("{}", serde_json::to_string(&peak).unwrap());
}
