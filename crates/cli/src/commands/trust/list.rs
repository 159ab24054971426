use std::process::ExitCode;

use jiff::Timestamp;
use serde::Serialize;
use waxseal_client::{IndexUrl, LastRefresh, Replaced};
use waxseal_tuf::RoleName;
use waxseal_tuf::metadata::{Root, Unverified};

use crate::expiry::distance;
use crate::output;
use crate::trust::TrustOption;

/// List the trusted indexes: root, expiry, and when each was checked last.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    trust: TrustOption,
}

/// A trusted index as `trust list --json` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    url: String,
    added: Timestamp,
    fingerprint: String,
    root_version: Option<u64>,
    root_expires: Option<Timestamp>,
    /// The last successful refresh on this machine; null where there was none.
    refreshed: Option<LastRefresh>,
    /// Where the same files are too.
    mirrors: Vec<IndexUrl>,
    /// Roots that others took the place of by hand, the oldest first.
    replaced: Vec<Replaced>,
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let stores = self.trust.stores()?;
        let mut indexes = Vec::new();
        for index in stores.list()? {
            let store = stores.find(&index.url)?;
            let root = store.metadata().read(&RoleName::from_static(RoleName::ROOT))?;
            let root = root.and_then(|bytes| Unverified::<Root>::parse(&bytes).ok());
            let root = root.as_ref().map(Unverified::claims);
            indexes.push(Listed {
                url: index.url.to_string(),
                added: index.added,
                fingerprint: index.fingerprint.to_string(),
                root_version: root.map(|root| root.version),
                root_expires: root.map(|root| root.expires),
                refreshed: store.last_refresh(),
                mirrors: index.mirrors,
                replaced: index.replaced,
            });
        }
        if self.json {
            output::json(&indexes)?;
        } else if indexes.is_empty() {
            output::note("no index is trusted; `waxseal trust add` trusts one");
        } else {
            show(&indexes, Timestamp::now());
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show(indexes: &[Listed], now: Timestamp) {
    let shown = |value: Option<String>| value.unwrap_or_else(|| "unreadable".to_owned());
    let rows = indexes.iter().map(|index| {
        let version = shown(index.root_version.map(|version| version.to_string()));
        let expires = shown(index.root_expires.map(|time| {
            let day = time.strftime("%Y-%m-%d");
            format!("{day} ({})", distance(time, now))
        }));
        let refreshed = match index.refreshed {
            Some(LastRefresh { when, snapshot, .. }) => {
                format!("{}, snapshot {snapshot}", distance(when, now))
            }
            None => "never".to_owned(),
        };
        vec![index.url.clone(), version, expires, refreshed, index.fingerprint.clone()]
    });
    let header = ["index", "root", "expires", "last update", "fingerprint of its first root"];
    output::table(&header, rows);
    for index in indexes {
        let url = &index.url;
        index.mirrors.iter().for_each(|mirror| output::line(&format!("{url} is at {mirror} too")));
        index.replaced.iter().for_each(|replaced| was_replaced(url, replaced));
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
