use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use super::block_on;
use crate::child::{self, Protection};

/// Run pip so that everything it installs is verified.
///
/// It runs the pip of the active environment, with the trusted index as its only source for this
/// run. Options of waxseal come first: `waxseal pip --index URL install flask`.
#[derive(Debug, clap::Args)]
pub(crate) struct Pip {
    #[command(flatten)]
    protection: Protection,

    /// What pip is to do, such as `install flask`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    arguments: Vec<OsString>,
}

impl Pip {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        block_on(child::run(self.protection, OsStr::new("pip"), &self.arguments))
    }
}
