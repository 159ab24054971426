use std::ffi::OsString;
use std::process::ExitCode;

use super::block_on;
use crate::child::{self, Protection};

/// Run a command, such as `uv`, so that everything it installs is verified.
///
/// pip and uv have the trusted index as their only source for this run, also where the command
/// calls them.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    protection: Protection,

    /// The command, such as `uv pip install requests`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Some((program, arguments)) = self.command.split_first() else {
            anyhow::bail!("no command was given");
        };
        block_on(child::run(self.protection, program, arguments))
    }
}
