//! An index to audit, at a URL or in a folder.

use std::path::Path;

use waxseal_client::IndexUrl;
use waxseal_repository::store::{FilesystemStore, Store};

use super::remote::RemoteIndex;

/// Where an index is.
pub(in crate::commands) enum Opened {
    Folder(FilesystemStore),
    Url(RemoteIndex, IndexUrl),
}

impl Opened {
    pub(in crate::commands) fn at(place: &Path) -> anyhow::Result<Self> {
        match super::repo::url_of(place) {
            None => Ok(Self::Folder(super::open(place)?.0)),
            Some(url) => {
                let (url, credentials) = IndexUrl::parse(url)?;
                Ok(Self::Url(RemoteIndex::new(url.clone(), credentials)?, url))
            }
        }
    }

    pub(in crate::commands) fn store(&self) -> &dyn Store {
        match self {
            Self::Folder(store) => store,
            Self::Url(index, _) => index,
        }
    }
}
