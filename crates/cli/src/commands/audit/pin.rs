//! The root that an audit begins with.

use std::path::PathBuf;

use anyhow::Context as _;
use waxseal_client::{Fingerprint, IndexUrl};
use waxseal_repository::audit::Pin;
use waxseal_repository::store::{Store, StoreKey};
use waxseal_tuf::RoleName;
use waxseal_tuf::hash::Sha256;

use super::place::Opened;
use crate::trust::TrustOption;

/// The role of it.
const ROOT: RoleName = RoleName::from_static(RoleName::ROOT);

/// What is known of an index from elsewhere.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct PinOptions {
    /// The SHA-256 of the 1.root.json that the index must have, as its operator shows it [default: the root
    /// that is trusted for its URL, or that of the folder]
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "root")]
    fingerprint: Option<Fingerprint>,

    /// A root that the index must have, as a file that came over a way you trust
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,

    #[command(flatten)]
    trust: TrustOption,
}

impl PinOptions {
    /// The one that was given.
    pub(super) fn given(&self) -> anyhow::Result<Option<Pin>> {
        if let Some(file) = &self.root {
            let read = std::fs::read(file);
            let root = read.with_context(|| format!("cannot read the root {}", file.display()))?;
            return Ok(Some(Pin::Root(root)));
        }
        Ok(self.fingerprint.map(|fingerprint| Pin::Fingerprint(fingerprint.sha256())))
    }

    /// The one that was given, or else that is trusted for this URL.
    pub(super) fn of_url(&self, url: &IndexUrl) -> anyhow::Result<Pin> {
        match self.given()? {
            Some(pin) => Ok(pin),
            None => self.trusted(url),
        }
    }

    /// The one that was given, or else that is trusted for a URL among these places, or else that of the
    /// first folder. They are places of one index, one at least.
    pub(in crate::commands) fn of_places(&self, places: &[&Opened]) -> anyhow::Result<Pin> {
        if let Some(pin) = self.given()? {
            return Ok(pin);
        }
        let (mut untrusted, mut folder) = (None, None);
        for place in places {
            match place {
                Opened::Url(_, url) => match self.trusted(url) {
                    Ok(pin) => return Ok(pin),
                    Err(error) => untrusted = Some(error),
                },
                Opened::Folder(store) => folder = folder.or(Some(store)),
            }
        }
        match (folder, untrusted) {
            (Some(store), _) => of_folder(store),
            (None, Some(error)) => Err(error),
            (None, None) => anyhow::bail!("no place has a root to begin with"),
        }
    }

    fn trusted(&self, url: &IndexUrl) -> anyhow::Result<Pin> {
        let root = self.trust.stores()?.find(url)?.metadata().read(&ROOT)?;
        Ok(Pin::Root(root.context("the trust store has no root of this index")?))
    }
}

/// That of the folder itself.
pub(super) fn of_folder(store: &dyn Store) -> anyhow::Result<Pin> {
    let root = store.read(&StoreKey::Metadata { version: 1, role: ROOT }, 1 << 20)?;
    Ok(Pin::Fingerprint(Sha256::of(&root.unwrap_or_default())))
}
