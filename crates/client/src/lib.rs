//! The TUF client: it moves bytes for `waxseal-tuf`, which decides, and keeps what became trusted on
//! disk. It can verify and cannot sign.
//!
//! | item | what it is |
//! |---|---|
//! | [`IndexUrl`], [`Credentials`] | where an index is, and who asks |
//! | [`Fingerprint`] | what a person compares before trusting a root |
//! | [`TrustStores`], [`TrustStore`] | the roots and metadata that are trusted, one folder for each index |
//! | [`MetadataStore`], [`Repository`] | the same for a TUF repository that is no index: a folder, and two URLs |
//! | [`TrustBundle`] | the roots of many indexes in one file |
//! | [`Client`] | refresh, find a target, get its bytes |
//! | [`Files`] | the files of an index as they come, for an audit |
//! | [`Located`] | a file that a target or a project's page vouches for, and where it is |
//! | [`FileCache`] | verified files that are kept |
//! | [`Settings`], [`Observer`] | deadlines, limits and mirrors; who hears of progress |
//! | [`Error`] | what went wrong, with a [hint](Error::hint) and a [slug](Error::slug) |
//!
//! ```no_run
//! # async fn example() -> Result<(), waxseal_client::Error> {
//! use waxseal_client::{Client, IndexUrl, Settings, TrustStores};
//!
//! let stores = TrustStores::new("/home/me/.local/share/waxseal/trust");
//! let index: IndexUrl = "https://packages.example.org/simple/".parse()?;
//! let client = Client::open(&stores.find(&index)?, Settings::default())?;
//! client.refresh(jiff::Timestamp::now()).await?;
//! let path = waxseal_tuf::TargetPath::new("simple/vnd.pypi.simple.v1.json")?;
//! if let Some((_, page)) = client.get(&path).await? {
//!     println!("{} verified bytes", page.len());
//! }
//! # Ok(())
//! # }
//! ```

mod blocking;
mod client;
mod download;
mod encoding;
mod error;
mod fetcher;
mod file_cache;
mod files;
mod fingerprint;
mod health;
mod index_url;
mod listed;
mod metadata_store;
mod observer;
mod project_page;
mod records;
mod replacement;
mod repository;
mod root_change;
mod settings;
mod sources;
mod trust_bundle;
mod trust_store;
mod whole_file;

pub use client::{Client, Refreshed, fetch_root, fetch_root_with_fingerprint};
pub use download::Download;
pub use error::{Error, TransportProblem};
pub use file_cache::{FileCache, Incoming};
pub use files::Files;
pub use fingerprint::Fingerprint;
pub use index_url::{Credentials, IndexUrl};
pub use listed::{KnownPage, Located, files_on_page, linked_path, says_index};
pub use metadata_store::{MetadataStore, StoreLock};
pub use observer::{Event, Observer};
pub use project_page::ProjectPage;
pub use records::LastRefresh;
pub use replacement::{Replacement, find_new_root};
pub use repository::Repository;
pub use root_change::{RootChange, RootKey};
pub use settings::{Patience, Settings};
pub use trust_bundle::{BundleState, BundledIndex, TrustBundle, fetch_bundle};
pub use trust_store::{Added, Replaced, TrustStore, TrustStores, TrustedIndex};
pub use waxseal_index::paths::LAYOUT_FIELD;
