use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use jiff::Timestamp;
use waxseal_proxy::{Bound, Exposure, Proxy as VerifyingProxy, Settings};

use super::block_on;
use crate::failure::{Exit, Failure};
use crate::host::stopped;
use crate::minimum_age::AgeOptions;
use crate::output;
use crate::trust::IndexOptions;

/// How long a request may wait for another process at the trust store: less than a tool waits.
const LOCK_WAIT: Duration = Duration::from_secs(8);

/// Serve a verified view of a trusted index on this machine, for any tool.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxy {
    #[command(flatten)]
    index: IndexOptions,

    #[command(flatten)]
    age: AgeOptions,

    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8459")]
    listen: SocketAddr,

    /// Answer other machines too; what travels from here to them is not verified again
    #[arg(long)]
    allow_others: bool,
}

impl Proxy {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let client = self.index.client_waiting(LOCK_WAIT)?;
        let minimum_age = self.age.minimum_age()?;
        block_on(async {
            let url = client.url().to_owned();
            client.refresh(Timestamp::now()).await?;
            let proxy =
                VerifyingProxy::new(client, Settings { minimum_age, ..Settings::default() });
            let exposure = if self.allow_others { Exposure::Anyone } else { Exposure::Loopback };
            let bound = Bound::bind(self.listen, exposure).await.map_err(usage)?;
            let stopped = stopped()?;
            output::note(&format!("verifying {url} as the index {}", bound.index_url()));
            bound.serve(proxy, stopped).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// An address that cannot be listened on is the caller's to change.
fn usage(error: waxseal_proxy::Error) -> anyhow::Error {
    let hint = match &error {
        waxseal_proxy::Error::NotLoopback { .. } => {
            "--listen 127.0.0.1:8459 is for this machine alone; --allow-others is for more"
        }
        waxseal_proxy::Error::Listen { .. } => "another program has that address; see --listen",
        waxseal_proxy::Error::Stopped { .. } | waxseal_proxy::Error::NoKeys { .. } => {
            return error.into();
        }
    };
    Failure::new(Exit::Usage, error.to_string(), hint).into()
}
