//! The `waxseal` command line: the only place where the crates are put together.

mod broken_lines;
mod cache;
mod ceremony;
mod child;
mod collector;
mod commands;
mod config;
mod credentials;
mod data_folder;
mod demo;
mod expiry;
mod failure;
mod host;
mod minimum_age;
mod online_key;
mod output;
mod plan_text;
mod root_change;
mod terminal;
mod trust;
mod waiting_change;
mod why;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = commands::Arguments::parse();
    log_to_stderr(arguments.log_filter());
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

/// Logs go to stderr, so that stdout is only what was asked for. `WAXSEAL_LOG` takes a filter such as
/// `waxseal_server=debug`.
fn log_to_stderr(default: &str) {
    let filter = EnvFilter::try_from_env("WAXSEAL_LOG");
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new(default)))
        .with_writer(anstream::stderr)
        .with_target(false)
        .init();
}
