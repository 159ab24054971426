//! Where the files of a mirror come from: the index, or an update file.

use std::path::Path;

use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};
use waxseal_client::{Client, Files, IndexUrl, Located, MetadataStore, Repository, Settings};
use waxseal_tuf::{MetadataFile, RoleName};

use crate::error::Error;

/// Takes a metadata file apart, or refuses it.
pub(crate) type Check<'a> = &'a mut dyn FnMut(Vec<u8>) -> Result<(), waxseal_client::Error>;

/// A place that has the files of an index and is trusted with nothing. Methods block.
pub(crate) trait Upstream: Sync {
    /// Brings the trust store up to date (TUF 5.3 to 5.5), by the time `now`.
    fn refresh(&self, store: &MetadataStore, now: Timestamp) -> Result<(), Error>;

    /// Hands a metadata file to `check`; whether there is one.
    fn metadata(&self, file: &MetadataFile, check: Check<'_>) -> Result<bool, Error>;

    /// Puts a file into `destination`, verified and durable.
    fn save(&self, file: &Located, destination: &Path, progress: &dyn Fn(u64))
    -> Result<(), Error>;

    /// A version of root, verified by nobody.
    fn root(&self, version: u64) -> Result<Option<Vec<u8>>, Error> {
        let file = MetadataFile {
            role: RoleName::from_static(RoleName::ROOT),
            path: format!("{version}.root.json"),
            max_length: waxseal_tuf::Limits::default().root,
            length: None,
        };
        let mut root = None;
        let mut take = |bytes| {
            root = Some(bytes);
            Ok(())
        };
        self.metadata(&file, &mut take)?;
        Ok(root)
    }
}

/// The index over the network, and other places that have its files.
#[derive(Debug)]
pub struct Index {
    url: IndexUrl,
    settings: Settings,
    files: Files,
    runtime: Runtime,
    client: std::sync::OnceLock<Client>,
}

impl Index {
    /// Nothing is fetched yet.
    pub fn new(url: &IndexUrl, settings: Settings) -> Result<Self, Error> {
        let files = Files::new(url, settings.clone())?;
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(Error::io("start threads for", Path::new("the network")))?;
        Ok(Self { url: url.clone(), settings, files, runtime, client: std::sync::OnceLock::new() })
    }

    /// Where the index is.
    pub fn url(&self) -> &IndexUrl {
        &self.url
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The client of this trust store: one in a process, since a mirror has one.
    fn client(&self, store: &MetadataStore) -> Result<&Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let repository = Repository::from(&self.url);
        let client = Client::of(&repository, store.clone(), self.settings.clone())?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Upstream for Index {
    fn refresh(&self, store: &MetadataStore, now: Timestamp) -> Result<(), Error> {
        let client = self.client(store)?;
        self.runtime.block_on(client.refresh(now))?;
        Ok(())
    }

    fn metadata(&self, file: &MetadataFile, check: Check<'_>) -> Result<bool, Error> {
        let found = self.runtime.block_on(self.files.metadata_with(file, check))?;
        Ok(found.is_some())
    }

    fn save(
        &self,
        file: &Located,
        destination: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        let client = self.client.get().ok_or(waxseal_client::Error::NotRefreshed)?;
        Ok(self.runtime.block_on(client.save_located(file, destination, progress))?)
    }
}
