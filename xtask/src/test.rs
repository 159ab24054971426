//! Every test, after everything that the tests need.

use anyhow::Result;

use crate::command::{self, cargo, succeeds};
use crate::peers;

/// Runs the tests whose names contain one of the filters, or all.
pub(crate) fn run(filters: &[String]) -> Result<()> {
    peers::install()?;
    // Tests start the real binary, and the examples of the client. Of the whole workspace, as the tests are: a
    // part of it has other features, and everything would be compiled once more.
    command::run(&mut cargo(&["build", "--workspace", "--bins", "--examples"]))?;

    // Examples in docs go first, so that the closing lines count the tests.
    let docs = cargo(&["test", "--workspace", "--doc", "--quiet"]);
    let tests = if succeeds(&mut cargo(&["nextest", "--version"])) {
        cargo(&["nextest", "run", "--workspace"])
    } else {
        cargo(&["test", "--workspace", "--lib", "--bins", "--tests"])
    };
    for mut command in [docs, tests] {
        if !filters.is_empty() {
            command.arg("--").args(filters);
        }
        command::run(&mut command)?;
    }
    Ok(())
}
