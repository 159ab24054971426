//! Which index a command is about, and what of it is trusted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::FalseyValueParser;
use etcetera::base_strategy::{BaseStrategy as _, choose_base_strategy};
use waxseal_client::{Client, Credentials, IndexUrl, Settings, TrustStore, TrustStores};

use crate::cache::CacheOptions;
use crate::{credentials, root_change};

/// The longest wait for an answer about metadata where there is a mirror to ask instead.
const HURRIED: Duration = Duration::from_secs(4);

/// Where trust is kept.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TrustOption {
    /// Where this machine's trust is kept [default: the user's data folder]
    #[arg(long, value_name = "DIR", env = "WAXSEAL_TRUST_DIR", hide_env_values = true)]
    trust_dir: Option<PathBuf>,
}

/// Options of every command that uses a trusted index.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IndexOptions {
    /// The trusted index to use [default: the only one that is trusted]
    #[arg(long, value_name = "URL", env = "WAXSEAL_INDEX", hide_env_values = true)]
    index: Option<String>,

    /// Where the same files are too, asked when the index fails; trusted with nothing; repeatable
    #[arg(long = "mirror", value_name = "URL", env = "WAXSEAL_MIRRORS", value_delimiter = ' ')]
    #[arg(hide_env_values = true)]
    mirrors: Vec<IndexUrl>,

    /// Fetch nothing: answer what this machine has verified and kept, within its validity
    #[arg(long, env = "WAXSEAL_OFFLINE", hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    offline: bool,

    #[command(flatten)]
    cache: CacheOptions,

    #[command(flatten)]
    trust: TrustOption,
}

impl TrustOption {
    /// The trust stores of this user.
    pub(crate) fn stores(&self) -> anyhow::Result<TrustStores> {
        let base = match &self.trust_dir {
            Some(base) => base.clone(),
            None => choose_base_strategy()
                .context("this user has no home folder: name one for the trust with --trust-dir")?
                .data_dir()
                .join("waxseal")
                .join("trust"),
        };
        Ok(TrustStores::new(base))
    }
}

impl IndexOptions {
    /// Verified access to the index that was named, or to the only one that is trusted.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.client_waiting(Settings::default().lock_wait)
    }

    /// The same, with what is trusted of the index.
    pub(crate) fn store_and_client(&self) -> anyhow::Result<(TrustStore, Client)> {
        let (store, credentials) = self.store()?;
        let client = self.client_of(&store, credentials, Settings::default().lock_wait)?;
        Ok((store, client))
    }

    /// The same, with another patience for a process that uses the same trust.
    pub(crate) fn client_waiting(&self, lock_wait: Duration) -> anyhow::Result<Client> {
        let (store, credentials) = self.store()?;
        self.client_of(&store, credentials, lock_wait)
    }

    fn client_of(
        &self,
        store: &TrustStore,
        credentials: Option<Credentials>,
        lock_wait: Duration,
    ) -> anyhow::Result<Client> {
        let mut mirrors = self.mirrors.clone();
        let remembered = store.index().mirrors.iter();
        mirrors.extend(remembered.filter(|url| !self.mirrors.contains(url)).cloned());
        let observer = root_change::told_on_stderr();
        let mut settings =
            Settings { credentials, mirrors, lock_wait, observer, ..Settings::default() };
        settings.cache = self.cache.files();
        settings.health = self.cache.folder().map(|folder| folder.join("failed-mirrors.json"));
        settings.offline = self.offline;
        if !settings.mirrors.is_empty() {
            // With another one to ask, a silent one is not worth the whole wait.
            settings.connect = settings.connect.min(HURRIED);
            settings.metadata.stall = settings.metadata.stall.min(HURRIED);
        }
        Ok(Client::open(store, settings)?)
    }

    /// Where verified files are kept, and what tools keep of them.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        self.cache.folder()
    }

    /// Whether nothing is to be fetched.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline
    }

    fn store(&self) -> anyhow::Result<(TrustStore, Option<Credentials>)> {
        let stores = self.trust.stores()?;
        match &self.index {
            Some(url) => {
                let (url, credentials) = IndexUrl::parse(url)?;
                let store = stores.find(&url)?;
                Ok((store, credentials::find(&url, credentials)))
            }
            None => {
                let store = stores.find_default()?;
                let credentials = credentials::find(&store.index().url, None);
                Ok((store, credentials))
            }
        }
    }
}
