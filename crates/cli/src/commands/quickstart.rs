use std::net::SocketAddr;
use std::process::ExitCode;

use waxseal_client::Fingerprint;
use waxseal_repository::Repository;
use waxseal_repository::bins::{BinStyle, Bins};
use waxseal_repository::store::StoreKey;
use waxseal_signing::Scheme;
use waxseal_tuf::RoleName;

use super::{DataOption, block_on};
use crate::data_folder::DataFolder;
use crate::failure::{Exit, Failure};
use crate::host::{self, Host};
use crate::output;

const ROOT: RoleName = RoleName::from_static(RoleName::ROOT);

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

    /// How many bins a new index has: a power of two
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    bins: u64,
}

impl Quickstart {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let bins = Bins::new(self.bins, BinStyle::Succinct)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string(), "see --bins"))?;
        let there = DataFolder::open(&self.data.data).and_then(|folder| folder.config()).ok();
        let mut config = there.unwrap_or_default();
        config.listen = self.listen.unwrap_or(config.listen);
        block_on(async {
            // Before anything is made: an address that is taken is the likeliest failure.
            let listener = host::listen(config.listen).await?;
            let (folder, made) =
                DataFolder::open_or_create(&self.data.data, bins, Scheme::default(), &config)?;
            let host = Host::open(&folder, listener)?;
            show(&folder, &host, made)?;
            host.run().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

fn show(folder: &DataFolder, host: &Host, made: bool) -> anyhow::Result<()> {
    let url = host.url();
    let fingerprint = root_fingerprint(host.repository())?;
    let state = if made { "made just now" } else { "was there, goes on" };
    output::heading("An index that signs what is uploaded to it");
    output::field("data", &format!("{} ({state})", folder.path().display()));
    output::field("index", &format!("{url}/simple/"));
    output::field("root", &format!("fingerprint {fingerprint}"));

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
        None => output::line(
            "  The token of the quickstart is gone; `waxseal token add NAME` makes one.",
        ),
    }

    let waxseal = output::own_command();
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
    output::line(&format!(
        "  The server needs {}, which signs what is uploaded.\n  The keys of targets and bins were \
         in memory only and are gone, as PEP 458 recommends.\n  Put a server that speaks TLS before \
         this one, and keep the upload token in\n  {} somewhere else.",
        keys.join("online.pem").display(),
        keys.join("upload-token").display(),
    ));
}

/// The fingerprint of root version 1, which clients compare once.
fn root_fingerprint(repository: &Repository) -> anyhow::Result<Fingerprint> {
    let key = StoreKey::Metadata { version: 1, role: ROOT };
    let root = repository.store().read(&key, 1 << 20)?;
    let root = root.ok_or_else(|| anyhow::anyhow!("1.root.json is missing from the store"))?;
    Ok(Fingerprint::of(&root))
}
