//! The crash sweeps, with a fault at every single system call.

use anyhow::Result;

use crate::command::{self, cargo};
use crate::peers;

/// Runs them, and the commands that are killed at a write, and shows what came of each kind of call. `cargo nextest` is not asked: it ends tests that
/// take as long as these may.
pub(crate) fn run() -> Result<()> {
    peers::install()?;
    let tests = ["test", "--locked", "--package", "waxseal", "--test", "e2e", "sweep::"];
    let mut tests = cargo(&tests);
    command::run(tests.args(["--", "--nocapture", "killed"]).env("WAXSEAL_SWEEP", "full"))
}
