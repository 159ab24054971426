use std::net::SocketAddr;
use std::process::ExitCode;

use waxseal_proxy::{Bound, Exposure, Proxy as VerifyingProxy, Settings};

use super::block_on;
use crate::host::stopped;
use crate::output;
use crate::trust::IndexOptions;

/// Serve a verified view of a trusted index on this machine, for any tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxy {
    #[command(flatten)]
    index: IndexOptions,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8459")]
    listen: SocketAddr,

    /// Answer other machines too; what travels from here to them is not verified again
    #[arg(long)]
    allow_others: bool,
}

impl Proxy {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.index.client()?;
        block_on(async {
            let url = client.store().index().url.to_string();
            let proxy = VerifyingProxy::new(client, Settings::default());
            let exposure = if self.allow_others { Exposure::Anyone } else { Exposure::Loopback };
            let bound = Bound::bind(self.listen, exposure).await?;
            proxy.refresh().await?;
            let stopped = stopped()?;
            output::note(&format!("verifying {url} as the index {}", bound.index_url()));
            bound.serve(proxy, stopped).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
