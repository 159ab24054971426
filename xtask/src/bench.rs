//! The benchmark of an index at PyPI's size, beside python-tuf.

use anyhow::Result;
use clap::Args;

use crate::command::{cargo, run};
use crate::peers;

/// What `cargo xtask bench` takes.
#[derive(Args)]
pub(crate) struct Options {
    /// What to measure: import, upload, batch, growth, resign, memory, sustained, http; all of it when
    /// nothing is named
    names: Vec<String>,
    /// Fewer repetitions, and a steady rate for 20 seconds in place of 300
    #[arg(long)]
    quick: bool,
    /// Every figure as JSON
    #[arg(long)]
    json: bool,
    /// Import the indexes again that an earlier run left under `target/bench`
    #[arg(long)]
    fresh: bool,

    /// How the online key signs: `ed25519`, or `ecdsa-sha2-nistp256`
    #[arg(long, value_name = "SCHEME")]
    online_key: Option<String>,
}

/// Builds in release, and measures.
pub(crate) fn bench(options: &Options) -> Result<()> {
    peers::install()?;
    let mut bench = cargo(&["bench", "--package", "waxseal", "--bench", "index", "--"]);
    bench.args(&options.names);
    let flags = [("--quick", options.quick), ("--json", options.json), ("--fresh", options.fresh)];
    bench.args(flags.into_iter().filter(|(_, set)| *set).map(|(flag, _)| flag));
    if let Some(scheme) = &options.online_key {
        bench.args(["--online-key", scheme]);
    }
    run(&mut bench)
}
