mod replace;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;
use waxseal_client::{
    Added, Fingerprint, IndexUrl, Replaced, Settings, fetch_root_with_fingerprint,
};
use waxseal_tuf::RoleName;
use waxseal_tuf::metadata::{Root, Unverified};

use super::block_on;
use crate::credentials;
use crate::output;
use crate::trust::TrustOption;

/// Say which indexes to trust on this machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Trust {
    Add(Add),
    List(List),
    Replace(replace::Replace),
    Remove(Remove),
}

/// Trust an index from its root on.
///
/// Its operator says over another way which root that is: by its fingerprint, or by giving it as a
/// file.
#[derive(Debug, clap::Args)]
pub(crate) struct Add {
    /// The index's URL, or that of its Simple API
    url: String,

    #[command(flatten)]
    root: RootSource,

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

/// List the trusted indexes.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustOption,
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
            Self::Replace(replace) => replace.run(),
            Self::Remove(remove) => remove.run(),
        }
    }
}

impl Add {
    fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let (url, credentials) = IndexUrl::parse(&self.url)?;
        let root = match (self.root.root, self.root.fingerprint) {
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

/// A trusted index as `trust list --json` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    url: String,
    added: Timestamp,
    fingerprint: String,
    root_version: Option<u64>,
    root_expires: Option<Timestamp>,
    /// Roots that others took the place of by hand, the oldest first.
    replaced: Vec<Replaced>,
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let mut indexes = Vec::new();
        for index in stores.list()? {
            let root =
                stores.find(&index.url)?.metadata().read(&RoleName::from_static(RoleName::ROOT))?;
            let root = root.and_then(|bytes| Unverified::<Root>::parse(&bytes).ok());
            let root = root.as_ref().map(Unverified::claims);
            indexes.push(Listed {
                url: index.url.to_string(),
                added: index.added,
                fingerprint: index.fingerprint.to_string(),
                root_version: root.map(|root| root.version),
                root_expires: root.map(|root| root.expires),
                replaced: index.replaced,
            });
        }
        if self.json {
            output::json(&indexes)?;
        } else if indexes.is_empty() {
            output::note("no index is trusted; `waxseal trust add` trusts one");
        } else {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "unreadable".to_owned());
            let rows = indexes.iter().map(|index| {
                let version = shown(index.root_version.map(|version| version.to_string()));
                let expires = shown(index.root_expires.map(|time| time.to_string()));
                vec![index.url.clone(), version, expires, index.fingerprint.clone()]
            });
            output::table(&["index", "root", "expires", "fingerprint of its first root"], rows);
            for index in &indexes {
                index.replaced.iter().for_each(|replaced| was_replaced(&index.url, replaced));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn was_replaced(url: &str, replaced: &Replaced) {
    output::line(&format!(
        "{url} on {}: root {} was replaced by hand; version {} was the last that followed from it",
        replaced.when.strftime("%Y-%m-%d %H:%M UTC"),
        replaced.fingerprint,
        replaced.root_version
    ));
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
