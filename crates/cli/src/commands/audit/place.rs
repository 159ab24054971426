//! An index to audit, at a URL or in a folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use waxseal_client::{Fingerprint, IndexUrl};
use waxseal_repository::audit::Pin;
use waxseal_repository::store::{FilesystemStore, Store, StoreKey};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::remote::RemoteIndex;
use crate::trust::TrustOption;

/// What is known of an index from elsewhere.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct PinOptions {
    /// The SHA-256 of the 1.root.json that it must have [default: the root that is trusted for the URL, or
    /// that of the folder]
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "root")]
    fingerprint: Option<Fingerprint>,

    /// A root that it must have, as a file that came over a way you trust
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustOption,
}

impl PinOptions {
    pub(in crate::commands) fn pin(&self, opened: &Opened) -> anyhow::Result<Pin> {
        if let Some(file) = &self.root {
            let read = std::fs::read(file);
            let root = read.with_context(|| format!("cannot read the root {}", file.display()))?;
            return Ok(Pin::Root(root));
        }
        if let Some(fingerprint) = self.fingerprint {
            return Ok(Pin::Fingerprint(fingerprint.sha256()));
        }
        let role = RoleName::from_static(RoleName::ROOT);
        match opened {
            Opened::Url(_, url) => {
                let root = self.trust.stores()?.find(url)?.metadata().read(&role)?;
                Ok(Pin::Root(root.context("the trust store has no root of it")?))
            }
            Opened::Folder(store) => {
                let root = store.read(&StoreKey::Metadata { version: 1, role }, 1 << 20)?;
                Ok(Pin::Fingerprint(Sha256::of(&root.unwrap_or_default())))
            }
        }
    }
}

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
