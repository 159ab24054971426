//! cargo-deny: licences, duplicate crates and sources, as `deny.toml` says.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, command, run, succeeds};
use crate::paths;

const VERSION: &str = "0.20.2";

/// The check that needs no network. Advisories need a fresh database: the GitHub workflow has one.
pub(crate) fn check() -> Result<Command> {
    let cargo_deny = installed()?;
    Ok(command(cargo_deny, ["--offline", "check", "licenses", "bans", "sources"]))
}

/// The program on the PATH, or ours under `target/tools`, installed when there is neither.
fn installed() -> Result<PathBuf> {
    let ours = paths::tools().join("bin/cargo-deny");
    for program in [PathBuf::from("cargo-deny"), ours.clone()] {
        if succeeds(&mut command(&program, ["--version"])) {
            return Ok(program);
        }
    }
    eprintln!("Installing cargo-deny {VERSION} under target/tools, once; it takes some minutes.");
    let mut install = cargo(&["install", "cargo-deny", "--locked", "--version", VERSION, "--root"]);
    run(install.arg(paths::tools()))?;
    Ok(ours)
}
