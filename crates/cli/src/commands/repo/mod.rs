mod gc;
mod import;
mod init;
mod publish_root;
mod revoke;
mod status;

use std::process::ExitCode;

use super::{DataOption, NewIndexOptions};

pub(super) use publish_root::{NewRoots, published_after_compromise};

/// Make, import into, take back from, clean up and look into an index of one's own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Repo {
    Init(init::Init),
    Import(import::Import),
    PublishRoot(publish_root::PublishRoot),
    Revoke(revoke::Revoke),
    Gc(gc::Gc),
    Status(status::Status),
}

impl Repo {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Init(init) => init.run(),
            Self::Import(import) => import.run(),
            Self::PublishRoot(publish) => publish.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Gc(gc) => gc.run(),
            Self::Status(status) => status.run(),
        }
    }
}
