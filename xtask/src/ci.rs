//! What CI runs: each step with its time, up to the first failure.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::command::{self, cargo, line};
use crate::{deny, test};

/// Runs every step.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    external("format", cargo(&["fmt", "--all", "--check"]))?;
    // Everything that the lock file names, so that later steps need no network.
    external("fetch", cargo(&["fetch", "--locked"]))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"];
    external("lint", cargo(&clippy))?;
    let mut docs = cargo(&["doc", "--locked", "--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "--deny warnings");
    external("docs", docs)?;
    step(
        "licences, duplicates, sources",
        "cargo-deny check",
        || command::run(&mut deny::check()?),
    )?;
    step("test", "cargo xtask test", || test::run(&[]))?;
    eprintln!("ci: every step passed in {}", seconds(started));
    Ok(())
}

fn external(name: &str, mut command: Command) -> Result<()> {
    step(name, &line(&command), || command::run(&mut command))
}

fn step(name: &str, line: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("ci: {name}: {line}");
    let started = Instant::now();
    let done = run();
    let word = if done.is_ok() { "passed" } else { "failed" };
    eprintln!("ci: {name}: {word} in {}", seconds(started));
    done.with_context(|| format!("ci stopped at the step \"{name}\""))
}

fn seconds(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}
