use std::net::SocketAddr;
use std::process::ExitCode;

use super::{DataOption, NewIndexOptions, block_on};
use crate::config::Config;
use crate::data_folder::{DataFolder, Founding, Made, NewIndex, OnlineKey};
use crate::host::{self, Host};
use crate::output;

/// Make an index in an empty folder, with a small key ceremony, and serve it.
///
/// Run again, it goes on with the index that is there.
#[derive(Debug, clap::Args)]
pub(crate) struct Quickstart {
    #[command(flatten)]
    data: DataOption,

    /// Where to listen [default: 127.0.0.1:8458, or what waxseal.toml of the index says]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    #[command(flatten)]
    new: NewIndexOptions,
}

impl Quickstart {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let bins = self.new.bins()?;
        let there = DataFolder::open(&self.data.data).and_then(|folder| folder.config()).ok();
        let is_there = there.is_some();
        let mut config = there.unwrap_or_else(Config::development);
        config.listen = self.listen.unwrap_or(config.listen);
        block_on(async {
            // Before anything is made: an address that is taken is the likeliest failure.
            let listener = host::listen(config.listen).await?;
            let online_key = match is_there {
                true => OnlineKey::New(self.new.online_key),
                false => self.new.online_key(&mut config)?,
            };
            let founding = Founding::Here { bins, online_key: &online_key };
            let new = NewIndex { founding, config: &config, upload_token: true };
            let (folder, made) = DataFolder::open_or_create(&self.data.data, &new)?;
            let host = Host::open(&folder, listener).await?;
            show(&folder, &host, made)?;
            host.run().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn show(folder: &DataFolder, host: &Host, made: Made) -> anyhow::Result<()> {
    let (url, waxseal) = (host.url(), output::own_command());
    let fingerprint = folder.root_fingerprint()?;
    let state = match made {
        Made::Now => "made just now",
        Made::Finished => "made by the ceremony that was interrupted",
        Made::Before => "was there, goes on",
    };
    output::heading("An index that signs what is uploaded to it");
    output::field("data", &format!("{} ({state})", folder.path().display()));
    output::field("index", &format!("{url}/simple/"));
    output::field("root", &format!("fingerprint {fingerprint}"));
    output::compare(&fingerprint.to_string());

    output::heading("Upload, in another terminal");
    match folder.quickstart_token() {
        Some(token) => {
            output::command(&format!(
                "TWINE_USERNAME=__token__ TWINE_PASSWORD={token} twine upload --repository-url \
                 {url}/legacy/ dist/*"
            ));
            output::command(&format!(
                "UV_PUBLISH_TOKEN={token} uv publish --publish-url {url}/legacy/ dist/*"
            ));
        }
        None => {
            let data = output::quoted_path(folder.path());
            output::line("  There is no token of a quickstart here; this makes one:");
            output::command(&format!("{waxseal} token add --data {data} NAME"));
        }
    }

    output::heading("Install, verified");
    output::command(&format!("{waxseal} trust add {url} --fingerprint {fingerprint}"));
    output::command(&format!("{waxseal} pip install flask"));
    output::command(&format!("{waxseal} run -- uv pip install requests"));
    output::line(&format!(
        "  (as before, not verified: pip install --index-url {url}/simple/ flask)"
    ));

    output::heading("Before production");
    show_production(folder);
    output::line("\nCtrl-C stops the index; what was accepted is published first.");
    Ok(())
}

fn show_production(folder: &DataFolder) {
    let keys = folder.keys();
    if folder.has_root_keys() {
        output::line(&format!(
            "  The root keys of this index are on this disk, unencrypted: {}/root-*.pem.\n  Whoever \
             reads two of them can replace every other key. Move each to a place of its own that is\n  \
             not on the network, and remove them here: the server does not need them.",
            keys.display()
        ));
    }
    let online = keys.join("online.pem");
    if online.exists() {
        output::line(&format!(
            "  The server needs {}, which signs what is uploaded.",
            online.display()
        ));
    }
    output::line(
        "  The keys of targets and bins were in memory only and are gone, as PEP 458 recommends.\n  Put a \
         server that speaks TLS before this one.",
    );
    if folder.quickstart_token().is_some() {
        let token = keys.join("upload-token");
        output::line(&format!("  Keep the upload token in {} somewhere else.", token.display()));
    }
}
