//! Where verified files are kept, and what tools keep of them.

use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy as _, choose_base_strategy};
use waxseal_client::FileCache;

/// The cache of verified files.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CacheOptions {
    /// Where verified files are kept [default: the user's cache folder]
    #[arg(long, value_name = "DIR", env = "WAXSEAL_CACHE_DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,

    /// The most that is kept there of verified files, in MiB; 0 for none
    #[arg(long, value_name = "MIB", env = "WAXSEAL_CACHE_SIZE", hide_env_values = true)]
    #[arg(default_value_t = 4096)]
    cache_size: u64,
}

impl CacheOptions {
    /// The folder; none for a user who has no home.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        match &self.cache_dir {
            Some(folder) => Some(folder.clone()),
            None => Some(choose_base_strategy().ok()?.cache_dir().join("waxseal")),
        }
    }

    /// The files that are kept, unless none are to be.
    pub(crate) fn files(&self) -> Option<FileCache> {
        let folder = self.folder().filter(|_| self.cache_size > 0)?;
        Some(FileCache::new(folder.join("files"), self.cache_size << 20))
    }
}
