//! One verified target for a user of an index of PyPI's size, without the network, side by side with
//! python-tuf on the same files: see `docs/performance.md`.
//!
//! ```console
//! $ cargo bench -p waxseal-client --bench returning_user
//! $ cargo bench -p waxseal-client --bench returning_user -- --json
//! $ cargo bench -p waxseal-client --bench returning_user -- --only returning/succinct --rounds 51
//! $ cargo bench -p waxseal-client --bench returning_user -- --only returning/succinct --spin 20
//! ```
//!
//! `--spin SECONDS` runs nothing but the client, for a profiler.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod client;
mod floor;
mod memory;
mod peer;
mod report;
mod world;

use std::time::{Duration, Instant};

use client::{Folder, Memory};
use floor::Floor;
use peer::Peer;
use report::Row;
use waxseal_testkit::stopwatch::{Taken, median, timed};
use world::{Scenario, World};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, scenario, root] = arguments.as_slice()
        && mode == memory::CHILD
    {
        return memory::child(scenario, root.as_ref());
    }
    let options = Options::read(&arguments);
    let scenarios: Vec<Scenario> =
        Scenario::all().filter(|scenario| options.chooses(*scenario)).collect();
    assert!(!scenarios.is_empty(), "no scenario is called {:?}", options.only);
    // First, so that a missing peer is told before anything takes time.
    let peer = options.spin.is_none().then(Peer::find);
    let world = World::new();
    if let Some(duration) = options.spin {
        return scenarios.into_iter().for_each(|scenario| spin(&world, scenario, duration));
    }
    let mut peer = peer.unwrap().start(&world);
    let rows: Vec<Row> = scenarios
        .into_iter()
        .map(|scenario| {
            eprintln!("{} …", scenario.name());
            measure(&world, scenario, &mut peer, options.rounds)
        })
        .collect();
    match options.json {
        true => println!("{}", report::json(&world, &rows)),
        false => print!("{}", report::table(&world, &rows)),
    }
}

struct Options {
    json: bool,
    rounds: usize,
    only: Option<String>,
    spin: Option<Duration>,
}

impl Options {
    fn read(arguments: &[String]) -> Self {
        let mut options = Self { json: false, rounds: 11, only: None, spin: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--json" => options.json = true,
                "--rounds" => options.rounds = value().parse().unwrap(),
                "--only" => options.only = Some(value().clone()),
                "--spin" => options.spin = Some(Duration::from_secs(value().parse().unwrap())),
                other => panic!("no such option: {other}"),
            }
        }
        assert!(options.rounds > 0, "--rounds is at least 1");
        options
    }

    fn chooses(&self, scenario: Scenario) -> bool {
        self.only.as_ref().is_none_or(|only| scenario.name().contains(only.as_str()))
    }
}

/// How often the client runs for each run of python-tuf, which is that much slower.
const OURS_A_ROUND: usize = 5;

/// Runs everything in turn, so that what disturbs the machine disturbs all alike.
fn measure(world: &World, scenario: Scenario, peer: &mut Peer, rounds: usize) -> Row {
    let floor = Floor::of(world, scenario);
    let mut row = Row::new(scenario, floor.describe());
    for round in 0..=rounds {
        let mut taken = Row::new(scenario, String::new());
        for _ in 0..OURS_A_ROUND {
            taken.in_memory.push(in_memory(world, scenario));
            taken.on_disk.push(on_disk(world, scenario));
            taken.floor.push(timed(|| floor.run()));
        }
        taken.python_tuf.push(peer.run(scenario));
        // The first round warms up: allocators, caches, python-tuf's lazy imports.
        if round > 0 {
            row.add(taken);
        }
    }
    row.peak = Some(memory::peak(world, scenario));
    row
}

fn in_memory(world: &World, scenario: Scenario) -> Taken {
    let mut store = Memory(scenario.trusted(world));
    timed(|| client::run(world, scenario, &mut store))
}

fn on_disk(world: &World, scenario: Scenario) -> Taken {
    let mut store = Folder::filled(&world.scratch("ours"), &scenario.trusted(world));
    timed(|| client::run(world, scenario, &mut store))
}

fn spin(world: &World, scenario: Scenario, duration: Duration) {
    let start = Instant::now();
    let mut taken = Vec::new();
    while start.elapsed() < duration {
        taken.push(in_memory(world, scenario).cpu);
    }
    eprintln!(
        "{}: {:?} of the processor, median of {}",
        scenario.name(),
        median(taken.iter().copied()),
        taken.len()
    );
}
