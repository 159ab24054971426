//! The benchmark of `benches/index` in its smallest form, so that it goes on working.

#![allow(dead_code, reason = "the modules are the benchmark's; only their smallest form runs here")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "../benches/index/child.rs"]
mod child;
#[path = "../benches/index/engine.rs"]
mod engine;
#[path = "../benches/index/floor.rs"]
mod floor;
#[path = "../benches/index/http/mod.rs"]
mod http;
#[path = "../benches/index/peer.rs"]
mod peer;
#[path = "../benches/index/prepared.rs"]
mod prepared;
#[path = "../benches/index/published.rs"]
mod published;
#[path = "../benches/index/report.rs"]
mod report;
#[path = "../benches/index/rows/mod.rs"]
mod rows;
#[path = "../benches/index/scale.rs"]
mod scale;

/// What the benchmark itself says otherwise.
const IN_TEST: bool = true;

#[test]
fn every_row_of_the_benchmark_can_be_measured() {
    // What an earlier run left may be of an older form.
    std::fs::remove_dir_all(prepared::folder()).unwrap();
    let report = rows::run(&scale::Scale::tiny(), &|_| true);
    // One growth, import, two uploads, two batches, resign, memory.
    assert_eq!(report.rows.len(), 8);
    for row in report.rows.iter().filter(|row| row.peak_kib.is_some()) {
        assert!(row.ours.iter().all(|run| run.wall > 0.0), "{row:?}");
    }
    assert_eq!(report.sustained[0].outcome.uploads, 20);
    assert_eq!(report.http[0].answered.count, 6);
    assert!(report.http[0].verified.count > 0, "{report:?}");
    let tables = report::tables(&report);
    for row in &report.rows {
        assert!(tables.contains(&row.work), "{tables}");
    }
    std::fs::remove_dir_all(prepared::folder()).unwrap();
}
