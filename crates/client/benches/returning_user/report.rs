//! The figures, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use waxseal_testkit::stopwatch::{Taken, median};

use crate::memory::Peak;
use crate::world::{Scenario, World};

/// What was measured of one scenario.
pub(crate) struct Row {
    scenario: Scenario,
    floor_is: String,
    /// `waxseal-tuf` alone.
    pub(crate) in_memory: Vec<Taken>,
    /// With a trust store in a folder.
    pub(crate) on_disk: Vec<Taken>,
    pub(crate) python_tuf: Vec<Taken>,
    pub(crate) floor: Vec<Taken>,
    pub(crate) peak: Option<Peak>,
}

impl Row {
    pub(crate) fn new(scenario: Scenario, floor_is: String) -> Self {
        let none = Vec::new;
        let (in_memory, on_disk, python_tuf, floor) = (none(), none(), none(), none());
        Self { scenario, floor_is, in_memory, on_disk, python_tuf, floor, peak: None }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.in_memory.extend(other.in_memory);
        self.on_disk.extend(other.on_disk);
        self.python_tuf.extend(other.python_tuf);
        self.floor.extend(other.floor);
    }
}

fn cpu(taken: &[Taken]) -> Duration {
    median(taken.iter().map(|taken| taken.cpu))
}

fn wall(taken: &[Taken]) -> Duration {
    median(taken.iter().map(|taken| taken.wall))
}

/// A table in Markdown, with what it stands on.
pub(crate) fn table(world: &World, rows: &[Row]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "\nProcessor time, medians. `alone`: waxseal-tuf with a trust store in memory. `with store`: the same with \
         one in a folder\non {}, written as python-tuf writes (temporary file, rename, no fsync). \
         python-tuf: with its\nown in the same place. `ratio`: python-tuf to `with store`. `floor`: \
         the cryptography alone.\n",
        world.folder().parent().unwrap_or(world.folder()).display()
    );
    out.push_str(
        "| scenario | alone | with store | python-tuf | ratio | floor | alone to floor | peak memory |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [alone, stored, peer, floor] =
            [&row.in_memory, &row.on_disk, &row.python_tuf, &row.floor].map(|taken| cpu(taken));
        let peak = row.peak.map_or_else(String::new, |peak| {
            let (taken, of) = (peak.taken(), peak.largest_role);
            format!("{taken} KiB, {:.1} times {of} KiB", peak.multiple())
        });
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {:.1} | {} | {:.1} | {peak} |",
            row.scenario.name(),
            milliseconds(alone),
            milliseconds(stored),
            milliseconds(peer),
            peer.as_secs_f64() / stored.as_secs_f64(),
            milliseconds(floor),
            alone.as_secs_f64() / floor.as_secs_f64(),
        );
    }
    out.push_str("\nThe floor of each:\n");
    for row in rows {
        let _ = writeln!(out, "- {}: {}", row.scenario.name(), row.floor_is);
    }
    let (ours, peers) = (rows[0].in_memory.len(), rows[0].python_tuf.len());
    let _ = writeln!(out, "\nRuns of each: {ours}, python-tuf {peers}, in turn.");
    out
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// Every figure, times in seconds.
pub(crate) fn json(world: &World, rows: &[Row]) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "scenario": row.scenario.name(),
                "alone": figures(&row.in_memory),
                "with_store": figures(&row.on_disk),
                "python_tuf": figures(&row.python_tuf),
                "floor": figures(&row.floor),
                "floor_is": row.floor_is,
                "ratio": cpu(&row.python_tuf).as_secs_f64() / cpu(&row.on_disk).as_secs_f64(),
                "memory": row.peak,
            })
        })
        .collect();
    json!({ "folder": world.folder(), "scenarios": rows })
}

fn figures(taken: &[Taken]) -> Value {
    json!({
        "runs": taken.len(),
        "cpu_median": cpu(taken).as_secs_f64(),
        "cpu_least": taken.iter().map(|taken| taken.cpu).min().map(|least| least.as_secs_f64()),
        "wall_median": wall(taken).as_secs_f64(),
    })
}
