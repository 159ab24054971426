mod bundle;
mod list;
mod replace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use waxseal_client::{Added, Fingerprint, IndexUrl, Settings, fetch_root_with_fingerprint};

use super::block_on;
use crate::credentials;
use crate::output;
use crate::trust::TrustOption;

/// Say which indexes to trust on this machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Trust {
    Add(Add),
    List(list::List),
    Bundle(bundle::Bundle),
    Replace(replace::Replace),
    Remove(Remove),
}

/// Two ways to use one command.
const ADD_USAGE: &str =
    "waxseal trust add [OPTIONS] <--fingerprint <FINGERPRINT>|--root <FILE>> <URL>
       waxseal trust add [OPTIONS] --bundle <FILE|URL> [--fingerprint <FINGERPRINT>]";

/// Trust an index from its root on, or those of a trust bundle.
///
/// Its operator says over another way which root that is: by its fingerprint, or by giving it as a
/// file. A trust bundle says it of many indexes at once: all of them are trusted, or none.
#[derive(Debug, clap::Args)]
#[command(override_usage = ADD_USAGE)]
pub(crate) struct Add {
    /// The index's URL, or that of its Simple API
    #[arg(required_unless_present = "bundle", conflicts_with = "bundle")]
    url: Option<String>,

    /// The SHA-256 of the index's 1.root.json, or of the bundle, as its operator shows it
    #[arg(long, value_name = "FINGERPRINT", required_unless_present_any = ["root", "bundle"])]
    fingerprint: Option<Fingerprint>,

    /// The index's root itself, as a file that came over a way you trust
    #[arg(long, value_name = "FILE", conflicts_with_all = ["fingerprint", "bundle"])]
    root: Option<PathBuf>,

    /// A trust bundle: a file that came over a way you trust, or a URL, with its fingerprint
    #[arg(long, value_name = "FILE|URL")]
    bundle: Option<String>,

    #[command(flatten)]
    trust: TrustOption,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct RootSource {
    /// The SHA-256 of the index's 1.root.json, as its operator shows it
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<Fingerprint>,

    /// The index's root itself, as a file that came over a way you trust
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
}

/// Stop trusting an index.
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// The index's URL
    url: String,

    #[command(flatten)]
    trust: TrustOption,
}

impl Trust {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Bundle(bundle) => bundle.run(),
            Self::Replace(replace) => replace.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let url = match (self.bundle, self.url) {
            (Some(from), _) => return bundle::add(&stores, &from, self.fingerprint),
            (None, Some(url)) => url,
            (None, None) => anyhow::bail!("neither a URL nor --bundle was given"),
        };
        let (url, credentials) = IndexUrl::parse(&url)?;
        let root = match (self.root, self.fingerprint) {
            (Some(file), _) => std::fs::read(&file)
                .with_context(|| format!("cannot read the root {}", file.display()))?,
            (None, Some(expected)) => {
                let credentials = credentials::find(&url, credentials);
                let settings = Settings { credentials, ..Settings::default() };
                block_on(async {
                    Ok(fetch_root_with_fingerprint(&url, expected, &settings).await?)
                })?
            }
            (None, None) => anyhow::bail!("neither --fingerprint nor --root was given"),
        };
        let text = match stores.add(&url, &root, Timestamp::now())? {
            Added::New => "is trusted from now on",
            Added::Already => "is trusted already",
        };
        let fingerprint = Fingerprint::of(&root).to_string();
        output::line(&format!("{url} {text} (root {fingerprint})"));
        output::compare(&fingerprint);
        Ok(ExitCode::SUCCESS)
    }
}

impl Remove {
    fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let (url, _) = IndexUrl::parse(&self.url)?;
        stores.remove(&url)?;
        output::line(&format!("{url} is no longer trusted"));
        Ok(ExitCode::SUCCESS)
    }
}
