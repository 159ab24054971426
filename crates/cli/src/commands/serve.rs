use std::net::SocketAddr;
use std::process::ExitCode;

use super::{DataOption, block_on};
use crate::data_folder::DataFolder;
use crate::host::{self, Host};
use crate::output;

/// Serve an index and sign what is uploaded to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    data: DataOption,

    /// Where to listen [default: what waxseal.toml of the index says]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let folder = DataFolder::open(&self.data.data)?;
        block_on(async {
            let listen = self.listen.map_or_else(|| Ok(folder.config()?.listen), anyhow::Ok)?;
            let host = Host::open(&folder, host::listen(listen).await?).await?;
            output::note(&format!("serving {} on {}", folder.path().display(), host.url()));
            host.run().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
