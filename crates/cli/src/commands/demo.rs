use std::process::ExitCode;

use super::block_on;
use crate::demo::{self, Options};

/// See what Waxseal refuses: each attack of PEP 458, between pip and an index of this demo's own.
///
/// It makes an index in a temporary folder, publishes packages, and puts a mirror between it and pip
/// that lies. Plain pip is fooled; `waxseal pip` is not. It needs pip, no network, and about half a
/// minute, and leaves nothing behind.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// As JSON
    #[arg(long)]
    json: bool,

    /// Play only the attacks with this in their name, such as `rollback`
    #[arg(long, value_name = "NAME")]
    attack: Option<String>,

    /// Keep the temporary folder, and say where it is
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { json, attack, keep } = self;
        block_on(async { demo::run(&Options { json, keep, attack }).await })
    }
}
