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

    /// Where to listen; an address of this machine only
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8459")]
    listen: SocketAddr,
}

impl Proxy {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.index.client()?;
        block_on(async {
            let url = client.store().index().url.to_string();
            let proxy = VerifyingProxy::new(client, Settings::default());
            let bound = Bound::bind(self.listen, Exposure::Loopback).await?;
            proxy.refresh().await?;
            let stopped = stopped()?;
            output::note(&format!("verifying {url} as the index {}", bound.index_url()));
            bound.serve(proxy, stopped).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
