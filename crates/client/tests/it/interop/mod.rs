//! Agreement with other implementations: python-tuf and securesystemslib, run by the peers' Python,
//! and the crate `tough`.
//!
//! Each test starts Python once and gives it all of its cases, since a start costs more than they do.

mod bins;
mod canonical_json;
mod differences;
mod ours;
mod python_tuf_reads;
mod shapes;
mod tough_reads;
mod we_read;

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value as Json;
use waxseal_testkit::peers::{self, CleanCommand};

/// Runs a script beside this file with cases as lines of JSON, and returns its answer to each.
fn ask(script: &str, cases: &[String], args: &[&str]) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cases");
    fs::write(&file, cases.join("\n") + "\n").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/interop").join(script);
    let command = CleanCommand::new(peers::python()).arg(script).arg(&file).args(args);
    let command = command.env("PYTHONDONTWRITEBYTECODE", "1");
    let outcome = command.deadline(Duration::from_mins(2)).run().success();
    let answers: Vec<Json> =
        outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len(), "one answer to each case: {outcome}");
    answers
}

/// As many values of a strategy, the same ones every time.
fn generated<S: Strategy>(count: usize, strategy: S) -> Vec<S::Value> {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Fails with the shortest of the cases that differ, which says the most.
fn assert_no_difference(mut differences: Vec<String>) {
    differences.sort_by_key(String::len);
    let count = differences.len();
    assert!(differences.is_empty(), "{count} cases differ; the shortest:\n{}", differences[0]);
}
