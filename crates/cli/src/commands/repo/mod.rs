mod gc;
mod import;
mod init;
mod status;

use std::process::ExitCode;

use super::DataOption;

/// Make, fill and look into an index of one's own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Repo {
    /// Make an index in an empty folder, and do not serve it yet
    Init(init::Init),
    /// Take over the targets of an index that exists, all of them in one snapshot
    Import(import::Import),
    /// Remove what no snapshot names that a client may still be using
    Gc(gc::Gc),
    /// Show what is published, what waits, and when each role expires
    Status(status::Status),
}

impl Repo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Init(init) => init.run(),
            Self::Import(import) => import.run(),
            Self::Gc(gc) => gc.run(),
            Self::Status(status) => status.run(),
        }
    }
}
