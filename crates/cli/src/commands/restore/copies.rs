use std::path::PathBuf;

use waxseal_repository::store::Store;

use super::super::audit::Opened;

/// Where files are that are gone or changed in the index itself.
#[derive(Debug, clap::Args)]
pub(super) struct CopiesOption {
    /// A mirror or a backup that has files of the index, as a URL, a data folder or a store; many can be
    /// named. They are believed by their digests alone
    #[arg(long, value_name = "DIR|URL")]
    copies: Vec<PathBuf>,
}

impl CopiesOption {
    pub(super) fn open(&self) -> anyhow::Result<Copies> {
        let opened = self.copies.iter().map(|place| Opened::at(place)).collect::<Result<_, _>>()?;
        Ok(Copies { opened })
    }
}

pub(super) struct Copies {
    opened: Vec<Opened>,
}

impl Copies {
    pub(super) fn stores(&self) -> Vec<&dyn Store> {
        self.opened.iter().map(Opened::store).collect()
    }
}
